"""Every text that people read is translated, and numbers, dates and money are each language's own."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import (
    _parse_config_object,  # what `make words` reads its mapping with
)
from babel.messages.pofile import read_po
from markupsafe import Markup

import lensback
from lensback.errors import UnknownName
from lensback.evaluate.page.form import Form
from lensback.speech import ENGLISH, Speech, languages, nearest

PACKAGE = Path(lensback.__file__).parent
FOREIGN = [language for language in languages() if language != ENGLISH]
Texts = str | tuple[str, ...]


def in_use() -> set[Texts]:
    """Every msgid of code and templates; a text with a plural is a pair."""
    config = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text("utf-8"))
    methods, options = _parse_config_object(config["tool"]["babel"])
    return {found[2] for found in extract_from_dir(PACKAGE, methods, options)}


def catalogue(language: str) -> Catalog:
    with (PACKAGE / "locale" / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def forms(texts: Texts) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(texts)


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def faults(message: Message) -> Iterator[str]:
    """What is wrong with one translation."""
    if message.fuzzy:
        yield "fuzzy"
    wanted = places(forms(message.id)[-1])
    for form in forms(message.string):
        if not form.strip():
            yield "empty"
        elif places(form) != wanted:
            yield f"places {places(form)} instead of {wanted}"
        elif form.count("**") != forms(message.id)[-1].count("**") or form.count("`") % 2:
            yield "marks"


@pytest.mark.parametrize("language", FOREIGN)
def test_every_text_is_translated_and_no_other(language: str) -> None:
    known = {forms(message.id): message for message in catalogue(language) if message.id}
    used = {forms(texts) for texts in in_use()}
    assert len(used) > 450
    assert used - set(known) == set(), "not translated: run `make words`, then fill in"
    assert set(known) - used == set(), "nothing says this any more: run `make words`"
    wrong = {texts: list(faults(message)) for texts, message in known.items()}
    assert {texts: found for texts, found in wrong.items() if found} == {}


@pytest.mark.parametrize("language", FOREIGN)
def test_every_plural_has_all_forms_of_its_language(language: str) -> None:
    read = catalogue(language)
    plurals = [message for message in read if message.pluralizable]
    assert len(plurals) > 8
    assert {len(message.string) for message in plurals} == {read.num_plurals}


@pytest.mark.parametrize(
    ("string", "fault"),
    [
        ("Осталось {m} из {all}", "places"),
        ("Осталось {n}", "places"),
        ("Осталось {n} из {all} {n}", ""),
        ("Осталось **{n} из {all}", "marks"),
        ("", "empty"),
        (" ", "empty"),
    ],
)
def test_a_wrong_translation_is_noticed(string: str, fault: str) -> None:
    found = list(faults(Message("{n} of {all} are left", string)))
    assert [each.split()[0] for each in found] == ([fault] if fault else [])
    assert list(faults(Message("a", "а", flags=["fuzzy"]))) == ["fuzzy"]


@pytest.mark.parametrize(
    ("n", "english", "russian"),
    [
        (0, "0 stores", "0 магазинов"),
        (1, "1 store", "1 магазин"),
        (2, "2 stores", "2 магазина"),
        (5, "5 stores", "5 магазинов"),
        (11, "11 stores", "11 магазинов"),
        (21, "21 stores", "21 магазин"),
        (112, "112 stores", "112 магазинов"),
        (1001, "1,001 stores", "1\u00a0001 магазин"),
    ],
)
def test_the_plural_that_goes_with_a_number(n: int, english: str, russian: str) -> None:
    said = [Speech(language).plural("{n} store", "{n} stores", n) for language in ("en", "ru")]
    assert said == [english, russian]


COUNTED: list[tuple[Callable[[Form, int], str], str, str]] = [
    (Form.photos, "photo photos", "снимок снимка снимков"),
    (Form.pictures, "picture pictures", "картинка картинки картинок"),
    (Form.products, "product products", "товар товара товаров"),
    (Form.things, "thing things", "вещь вещи вещей"),
    (Form.cases, "case cases", "случай случая случаев"),
    (Form.answers, "answer answers", "ответ ответа ответов"),
    (Form.searches, "search searches", "поиск поиска поисков"),
]


@pytest.mark.parametrize(("counted", "english", "russian"), COUNTED)
def test_what_the_report_counts(
    counted: Callable[[Form, int], str], english: str, russian: str
) -> None:
    numbers = (0, 1, 2, 5, 11, 21, 112)
    one, many = english.split()
    assert [counted(Form(Speech("en")), n) for n in numbers] == [
        f"{n}\u00a0{one if n == 1 else many}" for n in numbers
    ]
    first, few, rest = russian.split()
    words = (rest, first, few, rest, rest, first, rest)
    assert [counted(Form(Speech("ru")), n) for n in numbers] == [
        f"{n}\u00a0{word}" for n, word in zip(numbers, words, strict=True)
    ]


def test_values_never_become_markup() -> None:
    form = Form(Speech("en"))
    evil = "<b>`x`</b> **y** {n} & \"'"
    said = form.say("**{name}** and `code` of {n}", name=evil, n=1234567)
    assert isinstance(said, Markup)
    assert said == (
        "<strong>&lt;b&gt;`x`&lt;/b&gt; **y** {n} &amp; &#34;&#39;</strong>"
        " and <code>code</code> of 1,234,567"
    )
    assert form.say("a < b") == "a &lt; b"


def test_a_text_without_values_is_said_as_it_is() -> None:
    assert Speech("en").say("{q : rank(q) = 1}") == "{q : rank(q) = 1}"


def test_languages_are_the_files_that_are_there() -> None:
    assert languages() == {"en": "English", "ru": "Русский"}
    with pytest.raises(UnknownName, match="xx") as caught:
        Speech("xx")
    assert "ru" in caught.value.hint


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("ru-RU", "ru"),
        ("fr, ru;q=0.3", "ru"),
        ("ru;q=0, de", "en"),
        ("ru;q=0.2, en;q=0.9", "en"),
        ("rus", "en"),
    ],
)
def test_the_nearest_language(asked: str, language: str) -> None:
    assert nearest(asked).language == language


@pytest.mark.parametrize(
    ("value", "english", "russian"),
    [
        (0, "0", "0"),
        (0.0, "0", "0"),
        (3.0, "3", "3"),
        (0.05, "0.05", "0,05"),
        (0.1234, "0.123", "0,123"),
        (1.237, "1.24", "1,24"),
        (12.37, "12.4", "12,4"),
        (123.7, "124", "124"),
        (-0.25, "-0.25", "-0,25"),
        (1234567, "1,234,567", "1\u00a0234\u00a0567"),
    ],
)
def test_numbers(value: float, english: str, russian: str) -> None:
    assert (Speech("en").number(value), Speech("ru").number(value)) == (english, russian)


def test_money_dates_and_units() -> None:
    english, russian = Speech("en"), Speech("ru")
    for amount, said in (
        ({"amount": "3456.50", "currency": "EUR"}, ("€3,456.50", "3\u00a0456,50\u00a0€")),
        ({"amount": "3456.00", "currency": "EUR"}, ("€3,456", "3\u00a0456\u00a0€")),
        ({"amount": "-8.50", "currency": "RUB"}, ("-RUB\u00a08.50", "-8,50\u00a0₽")),
        ({"amount": "3456", "currency": "JPY"}, ("¥3,456", "3\u00a0456\u00a0¥")),
        ({"amount": "1.500", "currency": "KWD"}, ("KWD\u00a01.500", "1,500\u00a0KWD")),
    ):
        assert (english.money(amount), russian.money(amount)) == said
    assert (english.about(12.345, "EUR"), russian.about(0.1234, "USD")) == ("€12.3", "0,123\u00a0$")
    assert (english.date(1_760_000_000), russian.date(1_760_000_000)) == (
        "Oct 9, 2025",
        "9 окт. 2025\u202fг.",
    )
    assert english.unit(28, "millisecond").split() == ["28", "ms"]
    assert russian.unit(2.5, "second").split() == ["2,5", "с"]
    assert (english.decimal(0.5), russian.decimal(-0.25, signed=True)) == ("0.500", "-0,250")


def test_a_sentence_ends_in_one_full_stop() -> None:
    """Whatever its last value ends in; in the middle of a sentence it keeps its own."""
    day = Speech("ru").date(1_796_000_000)
    assert day.endswith("г.")
    for text in ("An answer of {day}.", "Something wrong? Claim it until {day}."):
        said = Speech("ru").say(text, day=day)
        assert said.endswith("г.")
        assert ".." not in said
    assert Speech("ru").filled("{day} и {n}.", {"day": day, "n": 5}) == f"{day} и 5."
