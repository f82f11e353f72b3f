"""The languages of page, bot and report: texts by gettext, numbers, dates and money by Babel.

English stands in the code and the templates; every other language is one `locale/<language>.po`.
`{name}` in a text is a value. `make words` gathers the texts into the .po files.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from babel import Locale
from babel.core import get_global, parse_locale
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, get_territory_currencies
from babel.support import NullTranslations, Translations
from babel.units import format_unit

from lensback.errors import UnknownName
from lensback.types import Money

ENGLISH = "en"
_CODE = re.compile(r"^(-?[A-Z]{3})(?=\d)")


def N_(text: str) -> str:  # noqa: N802 - gettext's own name for "translate this later"
    """The text itself, marked for the translators: `say` is called on it later."""
    return text


def script(language: str) -> str:
    """The script in which a language is usually written (ISO 15924); empty where nobody knows.

    >>> script("ru"), script("en-GB"), script("nobody's")
    ('Cyrl', 'Latn', '')
    """
    name, *_ = re.split("[-_]", language)
    subtags = str(get_global("likely_subtags").get(name, "")).split("_")
    return subtags[1] if len(subtags) == len(("language", "script", "territory")) else ""


@dataclass(frozen=True, slots=True)
class Speech:
    """One language. Raises UnknownName for one that has no .po file."""

    language: str

    def __post_init__(self) -> None:
        if self.language not in languages():
            raise UnknownName("language", self.language, list(languages()))

    @property
    def direction(self) -> str:
        """How its lines run, as HTML says it: `ltr` or `rtl`."""
        return str(_locale(self.language).text_direction)

    def say(self, text: str, **values: object) -> str:
        """The text in this language, with its values; their numbers as `number` writes them."""
        return self.filled(str(_translations(self.language).gettext(text)), values)

    def plural(self, one: str, many: str, n: int, **values: object) -> str:
        """The form of a text that goes with `n`, which stands in it as `{n}`.

        >>> Speech("ru").plural("{n} store", "{n} stores", 3)
        '3 магазина'
        """
        text = str(_translations(self.language).ngettext(one, many, n))
        return self.filled(text, {"n": n, **values})

    def filled(self, text: str, values: Mapping[str, object]) -> str:
        """A text that is translated already, with its values. Markup stays markup: values are escaped. The full
        stop of a value that ends a sentence is the sentence's.

        >>> Speech("ru").filled("До {day}.", {"day": "29 нояб. 2026 г."})
        'До 29 нояб. 2026 г.'
        """
        if not values:
            return text
        said = {k: self.number(v) if isinstance(v, int | float) else v for k, v in values.items()}
        for name, value in said.items():
            if str(value).endswith("."):
                text = text.replace(f"{{{name}}}.", f"{{{name}}}")
        return text.format(**said)

    def number(self, value: float) -> str:
        """A number for people: thousands apart, about three digits that count.

        >>> Speech("en").number(1234567), Speech("ru").number(0.1234), Speech("en").number(12.0)
        ('1,234,567', '0,123', '12')
        """
        return str(format_decimal(value, "#,##0" + _decimals(value), locale=_locale(self.language)))

    def decimal(self, value: float, *, signed: bool = False) -> str:
        """Three digits after the point, as experts write a share.

        >>> Speech("en").decimal(0.5), Speech("ru").decimal(0.25, signed=True)
        ('0.500', '+0,250')
        """
        pattern = "+0.000;-0.000" if signed else "0.000"
        return str(format_decimal(value, pattern, locale=_locale(self.language)))

    def money(self, amount: Money | Mapping[str, Any]) -> str:
        """An amount, or its JSON, as people of this language write it; whole amounts without cents.

        >>> Speech("en").money({"amount": "3456.00", "currency": "RUB"})
        'RUB\\xa03,456'
        >>> Speech("ru").money(Money(850, "EUR"))
        '8,50\\xa0€'
        """
        said = amount.as_json() if isinstance(amount, Money) else amount
        return _money(self.language, str(said["amount"]), str(said["currency"]))

    def about(self, value: float, currency: str) -> str:
        """An amount that is not known to the cent, with the digits of `number`.

        >>> Speech("en").about(12345.678, "EUR"), Speech("ru").about(0.1234, "EUR")
        ('€12,346', '0,123\\xa0€')
        """
        return _currency(self.language, value, currency, _decimals(value))

    def unit(self, value: float, unit: str) -> str:
        """A measured value with its unit, one of CLDR's.

        >>> Speech("en").unit(28, "millisecond"), Speech("ru").unit(2.5, "second")
        ('28 ms', '2,5 с')
        """
        locale = _locale(self.language)
        pattern = "#,##0" + _decimals(value)
        return str(format_unit(value, unit, "short", format=pattern, locale=locale))

    def date(self, epoch: int) -> str:
        """A day, from seconds since 1970 (UTC)."""
        return str(format_date(datetime.fromtimestamp(epoch, UTC), locale=_locale(self.language)))


@cache
def languages() -> dict[str, str]:
    """Every language that is spoken here, with its own name for itself."""
    folder = files("lensback").joinpath("locale")
    others = sorted(file.name[:-3] for file in folder.iterdir() if file.name.endswith(".po"))
    return {code: str(_locale(code).language_name).capitalize() for code in (ENGLISH, *others)}


def nearest(asked: str) -> Speech:
    """The best language that is spoken here for an Accept-Language header, English otherwise.

    >>> [nearest(a).language for a in ("fr;q=0.9, ru-RU, en;q=0.5", "*", "x;q=;;")]
    ['ru', 'en', 'en']
    """
    names = (tag.lower().split("-")[0] for tag in _accepted(asked))
    return Speech(next((name for name in names if name in languages()), ENGLISH))


def currencies_of(asked: str) -> list[str]:
    """What people pay with where the languages of an Accept-Language header are spoken, the likeliest first.
    English without a country says nothing: it is read everywhere.

    >>> currencies_of("en, ru;q=0.9, de-CH;q=0.8, zh-Hans-CN;q=0.7"), currencies_of("*, es-419, x;q=;;")
    (['RUB', 'CHF', 'CNY'], [])
    """
    lands = map(_land, _accepted(asked))
    return [money for land in lands for money in get_territory_currencies(land)[:1]]


def _accepted(asked: str) -> list[str]:
    """The languages of an Accept-Language header, the dearest first."""
    wanted = []
    for at, part in enumerate(asked[:500].split(",")):
        name, _, weight = part.partition(";q=")
        try:
            wanted.append((-float(weight or 1), at, name.strip()))
        except ValueError:
            continue
    return [name for weight, _, name in sorted(wanted) if weight]


def _land(tag: str) -> str:
    """The country that a language's tag names, else the one where most speak it; "ZZ", nobody's, for none."""
    try:
        name, land, *_ = parse_locale(tag, sep="-")
    except ValueError:
        return "ZZ"
    likely = "" if name == ENGLISH else str(get_global("likely_subtags").get(name, ""))
    return land or likely.rpartition("_")[2] or "ZZ"


def _decimals(value: float) -> str:
    """What follows the units in a number's pattern: fewer places for larger numbers."""
    if isinstance(value, int) or abs(value) >= 100:
        return ""
    places = 1 if abs(value) >= 10 else 3 if abs(value) < 0.2 else 2
    return "." + "#" * places


@cache
def _locale(language: str) -> Locale:
    return Locale.parse(language)


@lru_cache(maxsize=8192)
def _money(language: str, amount: str, currency: str) -> str:
    """Kept: a page shows few amounts, each many times, and the library works long on one."""
    value = Decimal(amount)
    return _currency(language, value, currency, "" if value == value.to_integral_value() else ".00")


def _currency(language: str, value: float | Decimal, currency: str, decimals: str) -> str:
    locale = _locale(language)
    pattern = str(locale.currency_formats["standard"].pattern).split(";")[0]
    text = format_currency(
        value,
        currency,
        format=pattern.replace(".00", decimals),
        locale=locale,
        currency_digits=decimals == ".00",
    )
    # English sets a code hard against the number; CLDR wants a space there, Babel adds none.
    return _CODE.sub("\\1\u00a0", str(text))


@cache
def _translations(language: str) -> NullTranslations:
    """Compiled in memory: a translator edits one text file, and there is nothing to build."""
    if language == ENGLISH:
        return NullTranslations()
    text = files("lensback").joinpath("locale", f"{language}.po").read_bytes()
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(text), locale=language))
    compiled.seek(0)
    return Translations(compiled)
