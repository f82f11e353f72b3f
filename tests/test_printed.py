"""Words in a photo: how they are read, what an article number is, and what an answer makes of them."""

from __future__ import annotations

import doctest
import importlib
import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from sqlalchemy import text

import tiny
from lensback import letters
from lensback.catalogue import coded
from lensback.db import sqlite_url
from lensback.doctor import examine
from lensback.errors import MissingExtra
from lensback.images import Code, Decoders, TextLine, Word, texts
from lensback.rank import Ranked
from lensback.search import Looks, Query, search
from lensback.search.printed import SURE, in_order, printed
from lensback.settings import Settings
from lensback.speech import Speech
from lensback.types import WHOLE, Box, Filter, Region
from lensback.verdicts import reasons
from lensback.wire import Answer
from lensback.workspace import Workspace, init, open_workspace
from revisions import database_at
from servers import Postgres
from tiny import FixedDetector, Row, Tiny, even, product_of

LIMITS = (20 << 20, 50_000_000)
HERE = (0.1, 0.1, 0.4, 0.2)


def line(*words: str, sure: float = 0.99, box: Box = HERE) -> TextLine:
    return TextLine(tuple(Word(one, sure) for one in words), box)


def lines(*said: str) -> list[TextLine]:
    return [line(*one.split()) for one in said]


def shown(
    *said: str, ground: tuple[int, int, int] = (90, 120, 60), px: int = 34, turn: float = 0
) -> bytes:
    """A photo of one colour with a white label on it, a line of print below the other."""
    font = ImageFont.load_default(px)
    wide = max(int(font.getlength(one)) for one in said) + 2 * px
    label = Image.new("RGB", (wide, 2 * px * len(said) + px), "white")
    for n, one in enumerate(said):
        ImageDraw.Draw(label).text((px, px // 2 + 2 * px * n), one, "black", font)
    label = label.rotate(turn, expand=True, fillcolor=ground, resample=Image.Resampling.BICUBIC)
    picture = Image.new("RGB", (max(900, label.width + 60), max(700, label.height + 60)), ground)
    picture.paste(label, (30, 30))
    picture.save(sink := io.BytesIO(), "JPEG", quality=88)
    return sink.getvalue()


# ---- what an article number is


def test_the_module_says_what_its_examples_say() -> None:
    assert doctest.testmod(letters).failed == 0


@pytest.mark.parametrize(
    "raw", ["DD1391-100", "dd1391 100", "DD1391/100", "DD139l-1OO", "ＤＤ1391－100", "DD1391_100"]
)
def test_ways_to_write_an_article_are_one(raw: str) -> None:
    assert letters.article(raw) == letters.article("DD1391-100") != ""


@pytest.mark.parametrize("raw", ["ВА2041-С", "BA2041-C", "bа204l-с"])
def test_cyrillic_and_latin_letters_that_look_alike_are_one(raw: str) -> None:
    assert letters.article(raw) == letters.article("ВА2041-С") != ""


@pytest.mark.parametrize(
    "raw", ["", "501", "XL", "2024", "-.-", "100%", "42 EUR", "Air Max 90", "куртка", "12/2024", "A" * 60 + "123", "123456"]
)  # fmt: skip
def test_what_is_too_little_to_name_a_thing(raw: str) -> None:
    assert letters.article(raw) == ""


@pytest.mark.parametrize(("one", "two"), [("DD1391-100", "DD1391-101"), ("1234567", "1234568"), ("DD1391-100", "DD1391")])  # fmt: skip
def test_other_articles_stay_others(one: str, two: str) -> None:
    assert letters.article(one) != letters.article(two) != ""


# ---- what an answer makes of it

ROWS = [
    Row("shop", "boot", "boot", ("red",), fields={"mpn": "DD1391-100", "brand": "Marlo", "title": "Suede boot, brown", "color": "brown"}),
    Row("pier", "boot2", "boot", ("red2",), fields={"mpn": "dd1391100", "brand": "Marlo", "title": "Boot"}),
    Row("shop", "hat", "hat", ("green",), fields={"mpn": "7041882", "brand": "Roxy", "title": "Felt hat"}),
    Row("pier", "cap", "cap", ("green2",), fields={"mpn": "CAP-2041", "brand": "Roxy", "title": "Wool cap Northwind"}),
    Row("pier", "tie", "tie", ("blue",), fields={"mpn": "TIE-9000", "brand": "Kent", "title": "Silk tie"}),
    Row("shop", "tie2", "tie2", ("blue2",), fields={"mpn": "TIE 9000", "brand": "Kent", "title": "Silk tie, striped"}),
    Row("pier", "sock", "sock", ("blue3",), fields={"gtin": "4006381333931", "title": "Sock KX7731B"}),
]  # fmt: skip
VECTORS = {
    "red": (1.0, 0.0, 0.0), "red2": (0.95, 0.05, 0.0), "green": (0.0, 1.0, 0.0), "green2": (0.05, 0.95, 0.0),
    "blue": (0.0, 0.0, 1.0), "blue2": (0.0, 0.05, 0.95), "blue3": (0.05, 0.0, 0.95),
}  # fmt: skip
GREEN, RED, BLUE = (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
FAR = even(none_below=0.8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    regions = (Region((0.5, 0.5, 1.0, 1.0), "top", 0.9), Region(WHOLE))
    opened = tiny.opened(
        tmp_path_factory.mktemp("printed"), ROWS, VECTORS, detector=FixedDetector(regions),
        calibration=FAR, max_bytes=LIMITS[0], max_pixels=LIMITS[1],
    )  # fmt: skip
    yield opened
    opened.db.close()


def ask(
    made: Tiny, colour: tuple[float, float, float], said: list[TextLine], **query: Any
) -> Answer:
    """The answer to a photo of one colour in which this was read."""
    tools = replace(made.tools, texts=lambda _data, _most, _pixels: tuple(said))
    return search(tiny.photo(colour), Query(**query), tools)


@pytest.mark.parametrize(
    ("text", "kind", "colour", "first", "exact"),
    [
        ("CAP-2041", "Code128", GREEN, "cap", True),
        ("cap 2041", "DataMatrix", GREEN, "cap", True),
        ("CAP-2041", "QRCode", BLUE, "cap", False),  # nothing else speaks for it
        ("7041882", "Code128", GREEN, "hat", True),
        ("7041882", "Code128", BLUE, "", False),  # digits alone are a parcel's, too
        ("CAP-2041", "ITF", BLUE, "", False),
        ("TIE-9000", "Code128", BLUE, "tie2", False),  # two products have it
        ("XYZ-9999", "Code128", GREEN, "", False),
    ],
)
def test_an_article_in_a_code_counts_as_one_that_was_read(
    made: Tiny, text: str, kind: str, colour: tuple[float, float, float], first: str, exact: bool
) -> None:
    code = Code(text, kind, (0.6, 0.6, 0.8, 0.7))
    tools = replace(made.tools, codes=lambda *_: (code,))
    answer = search(tiny.photo(colour), Query(), tools)
    told = [one.text for one in answer.codes]
    assert told == ([text] if first else [])
    if first:
        assert answer.hits[0].product_id == product_of(first)
    assert any(hit.exact for hit in answer.hits) == exact


def test_an_article_in_a_code_does_not_wait_for_words(made: Tiny) -> None:
    go = threading.Event()
    code = Code("CAP-2041", "Code128", (0.6, 0.6, 0.8, 0.7))
    tools = replace(
        made.tools, codes=lambda *_: (code,), texts=lambda *_: go.wait(240) and (), text_wait_s=0.01, looks=Looks(60)
    )  # fmt: skip
    try:
        answer = search(tiny.photo(GREEN), Query(), tools)
    finally:
        go.set()
    assert (answer.verdict, answer.by, answer.reading) == ("exact", "article", True)


def test_an_article_that_one_product_has_makes_it_exact(made: Tiny) -> None:
    answer = ask(made, GREEN, lines("Wool", "CAP-2041"))
    first = answer.hits[0]
    assert (answer.verdict, answer.by, answer.probability) == ("exact", "article", 1.0)
    assert (first.product_id, first.exact, first.by) == (product_of("cap"), True, "article")
    assert [hit.exact for hit in answer.hits[1:]] == [False] * (len(answer.hits) - 1)
    (code,) = answer.codes
    assert (code.kind, code.text, code.state, code.ambiguous) == ("article", "CAP-2041", "sold", False)  # fmt: skip
    assert code.looks_like_it


@pytest.mark.parametrize(
    "said",
    [
        "Art. DD1391-100", "Art.DD1391-100", "ART: DD1391 100", "Арт. DD1391-100", "АРТИКУЛ DD1391-1OO", "Style: DD1391/100",
        "SKU DD1391-100 42", "(Ref DD139l-100)", "№ DD1391-100 MARLO", "Marlo DD1391-100", "MARL0 DD1391-100",
    ],
)  # fmt: skip
def test_a_thing_that_looks_otherwise_needs_a_label_or_its_brand(made: Tiny, said: str) -> None:
    """A photo of the label alone: nothing near looks like it."""
    answer = ask(made, (1.0, 1.0, 1.0), lines(said))
    assert (answer.verdict, answer.by) == ("exact", "article")
    assert [hit.product_id for hit in answer.hits if hit.exact] == [product_of("boot")]


def test_a_bare_article_of_a_thing_that_looks_otherwise_comes_first_and_is_not_exact(
    made: Tiny,
) -> None:
    answer = ask(made, GREEN, lines("DD1391-100"))
    assert answer.hits[0].product_id == product_of("boot")
    assert not any(hit.exact for hit in answer.hits)


def test_a_colour_that_is_asked_for_makes_nothing_look_like_the_photo(made: Tiny) -> None:
    answer = ask(made, GREEN, lines("DD1391-100"), color="brown")
    assert not any(hit.exact for hit in answer.hits)


def test_digits_alone_are_a_telephone_unless_something_speaks_for_them(made: Tiny) -> None:
    assert ask(made, RED, lines("call 7041882")).codes == ()
    assert ask(made, RED, lines("call 7041882")).hits[0].product_id == product_of("boot")
    assert ask(made, RED, lines("Art 7041882")).by == "article"
    assert ask(made, GREEN, lines("7041882")).by == "article"
    assert ask(made, GREEN, lines("70 41 882")).by == "looks"  # a price, or a telephone
    assert ask(made, RED, lines("ROXY", "7041882")).by == "article"


def test_an_article_of_two_products_makes_none_exact(made: Tiny) -> None:
    answer = ask(made, BLUE, lines("Kent", "TIE-9000"))
    assert {hit.product_id for hit in answer.hits[:2]} == {product_of("tie"), product_of("tie2")}
    assert not any(hit.exact for hit in answer.hits)
    assert answer.codes[0].ambiguous
    assert "TIE-9000" in reasons(answer, Speech("en"))[0]
    one = ask(made, BLUE, lines("Kent", "TIE-9000"), stores=("pier",))
    assert not any(hit.exact for hit in one.hits)


@pytest.mark.parametrize("sure", [0.0, 0.6, SURE - 0.01])
def test_a_letter_that_is_not_sure_makes_nothing_exact(made: Tiny, sure: float) -> None:
    answer = ask(made, GREEN, [line("Art", sure=1.0), line("CAP-2041", sure=sure)])
    assert not any(hit.exact for hit in answer.hits)
    assert answer.codes == ()
    assert answer.hits[0].product_id == product_of("cap")  # it still speaks for it
    assert ask(made, GREEN, [line("CAP-2041", sure=SURE)]).by == "article"


@pytest.mark.parametrize("said", ["CAP-2042", "CAP-204", "CAP-20411", "XCAP-2041", "CAP 2 041 7"])
def test_nearly_an_article_is_another_one(made: Tiny, said: str) -> None:
    answer = ask(made, GREEN, lines(f"Art. {said}"))
    assert not any(hit.exact for hit in answer.hits)
    assert answer.codes == ()


@pytest.mark.parametrize("said", ["4006381333931", "4 006381 333931", "4OO6381 33393l"])
def test_the_number_under_a_bar_code_is_read_as_well(made: Tiny, said: str) -> None:
    answer = ask(made, RED, lines(said))
    assert (answer.verdict, answer.by) == ("exact", "barcode")
    assert answer.hits[0].product_id == product_of("sock")
    assert answer.codes[0].text == "4006381333931"


@pytest.mark.parametrize("said", ["4006381333932", "4006381333913", "5011423196527"])
def test_a_number_that_is_unsound_or_unknown_says_nothing(made: Tiny, said: str) -> None:
    answer = ask(made, RED, lines(said))
    assert (answer.codes, answer.by) == ((), "looks")


def test_what_filters_leave_out_is_told(made: Tiny) -> None:
    answer = ask(made, GREEN, lines("CAP-2041"), stores=("shop",))
    assert answer.codes[0].state == "filtered"
    assert product_of("cap") not in {hit.product_id for hit in answer.hits}
    assert reasons(answer, Speech("ru"))[0].startswith("Вещь с артикулом CAP-2041")


def test_print_far_from_the_chosen_box_is_of_another_thing(made: Tiny) -> None:
    said = [line("CAP-2041", box=(0.05, 0.05, 0.2, 0.1))]
    assert ask(made, GREEN, said, box=(0.7, 0.6, 0.95, 0.9)).codes == ()
    assert ask(made, GREEN, said, box=(0.0, 0.0, 0.6, 0.6)).by == "article"


def test_brand_and_title_bring_a_look_alike_up(made: Tiny) -> None:
    plain = ask(made, BLUE, [])
    assert plain.hits[0].product_id == product_of("tie")
    answer = ask(made, BLUE, lines("KENT", "Silk tie striped"))
    assert answer.hits[0].product_id == product_of("tie2")
    assert (answer.by, answer.verdict) == ("looks", plain.verdict)
    assert answer.read == ("KENT", "Silk", "tie", "striped")
    assert reasons(answer, Speech("en")) == ("Read in the photo: KENT, Silk, tie, striped.",)
    assert {hit.product_id: hit.similarity for hit in answer.hits} == {
        hit.product_id: hit.similarity for hit in plain.hits
    }


@pytest.mark.parametrize("said", ["NORTHWIND", "N0RTHW1ND", "Northwlnd", "NORTHWLND!", "NORTWIND", "WOOLNORTHWIND"])  # fmt: skip
def test_a_long_word_is_known_with_one_letter_wrong_or_a_space_lost(made: Tiny, said: str) -> None:
    assert ask(made, GREEN, lines(said)).hits[0].product_id == product_of("cap")


@pytest.mark.parametrize("said", ["NORTH", "WIND", "Nordwand", "of the", "a", "42", "!!", ""])
def test_other_words_change_nothing(made: Tiny, said: str) -> None:
    answer, plain = ask(made, GREEN, lines(said)), ask(made, GREEN, [])
    assert [hit.product_id for hit in answer.hits] == [hit.product_id for hit in plain.hits]
    assert answer.read == ()


def test_words_show_nothing_that_is_not_near(made: Tiny) -> None:
    answer = ask(made, (1.0, 1.0, 1.0), lines("Roxy", "felt hat"))
    assert (answer.verdict, answer.hits, answer.read) == ("none", (), ())


def test_what_had_sunk_stays_below_unless_the_words_lift_it() -> None:
    ranked = [Ranked("a", "", 0.7, 0), Ranked("sunk", "", 0.9, 0), Ranked("b", "", 0.6, 0)]
    assert in_order(ranked, {}) == ranked
    assert [one.product_id for one in in_order(ranked, {"b": 0.05})] == ["a", "sunk", "b"]
    assert [one.product_id for one in in_order(ranked, {"b": 0.2})] == ["b", "a", "sunk"]
    assert [one.product_id for one in in_order(ranked, {"sunk": 0.1})] == ["sunk", "a", "b"]


def test_nothing_read_asks_the_database_nothing() -> None:
    ranked = [Ranked("a", "", 0.7, 0)]
    nowhere: Any = None
    assert printed(nowhere, [], ranked, Filter(), 0.0).ranked is ranked


def test_a_photo_full_of_text_is_bounded(made: Tiny) -> None:
    many = [line(*(f"AB{n}{m}XY7" for m in range(24))) for n in range(100, 140)]
    assert ask(made, GREEN, [*many, line("CAP-2041")]).hits


# ---- beside everything else


def test_words_that_come_late_count_for_the_next_question(made: Tiny) -> None:
    go = threading.Event()

    def slow(_data: bytes, _most: int, _pixels: int) -> tuple[TextLine, ...]:
        go.wait(240)
        return (line("CAP-2041"),)

    looks = Looks(60)
    tools = replace(made.tools, texts=slow, text_wait_s=0.01, looks=looks)
    first = search(tiny.photo(GREEN), Query(), tools)
    assert (first.by, first.reading, first.codes) == ("looks", True, ())
    go.set()
    late = search(tiny.photo(GREEN), Query(), replace(tools, text_wait_s=240))
    assert (late.by, late.reading) == ("article", False)


def test_nobody_is_told_to_ask_again_where_photos_are_forgotten(made: Tiny) -> None:
    go = threading.Event()
    tools = replace(
        made.tools, texts=lambda *_: go.wait(240) and (), text_wait_s=0.01, looks=Looks(0)
    )
    assert search(tiny.photo(GREEN), Query(), tools).reading is False
    go.set()


# ---- reading


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    opened = Decoders(1)
    yield opened
    opened.close()
    assert opened.pids() == []


def words_of(found: tuple[TextLine, ...]) -> list[str]:
    return [word.text for one in found for word in one.words]


@pytest.mark.parametrize("turn", [0, 8, -15])
def test_a_label_is_read(decoders: Decoders, turn: float) -> None:
    found = decoders.texts(shown("NORTHWIND", "Art. DD1391-100", turn=turn), *LIMITS)
    assert {"NORTHWIND", "DD1391-100"} <= set(words_of(found))
    assert min(word.sure for one in found for word in one.words) > 0.5
    for one in found:
        x0, y0, x1, y1 = one.box
        assert 0 <= x0 < x1 < 0.8
        assert 0 <= y0 < y1 < 0.6


def test_what_is_no_picture_or_has_no_words_has_none(decoders: Decoders) -> None:
    photo = shown("NORTHWIND")
    assert decoders.texts(tiny.photo(GREEN, (600, 500)), *LIMITS) == ()
    (pid,) = decoders.pids()
    assert decoders.texts(photo[:1500], *LIMITS) == ()
    assert decoders.texts(b"GIF89a" + bytes(50), *LIMITS) == ()
    assert decoders.texts(photo, 10, LIMITS[1]) == () == decoders.texts(photo, LIMITS[0], 1000)
    assert decoders.pids() == [pid]


def test_russian_words_are_not_read_as_such(decoders: Decoders) -> None:
    """The models have no Cyrillic letter: what comes out are Latin ones that look like them."""
    font = ImageFont.truetype("DejaVuSans.ttf", 40) if _dejavu() else pytest.skip("no such font")
    ImageDraw.Draw(picture := Image.new("RGB", (700, 300), "white")).text((40, 100), "АРТ. ВС-20417", "black", font)  # fmt: skip
    picture.save(sink := io.BytesIO(), "PNG")
    said = words_of(decoders.texts(sink.getvalue(), *LIMITS))
    assert not any("Ѐ" <= sign <= "ӿ" for sign in "".join(said))
    assert letters.article("ВС-20417") in {letters.article(one) for one in said}


def _dejavu() -> bool:
    try:
        ImageFont.truetype("DejaVuSans.ttf", 12)
    except OSError:
        return False
    return True


def test_a_label_in_a_photo_makes_an_answer_exact(made: Tiny, decoders: Decoders) -> None:
    tools = replace(made.tools, texts=decoders.texts)
    answer = search(shown("NORTHWIND", "Art. CAP-2041", ground=(20, 250, 20)), Query(), tools)
    assert (answer.verdict, answer.by) == ("exact", "article")
    assert [hit.product_id for hit in answer.hits if hit.exact] == [product_of("cap")]
    assert answer.timings_ms["texts"] >= 0


NO_NETWORK = """
import sys
def nothing_goes_out(event, _args):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}:
        print("REACHED OUT", event, flush=True)
        raise OSError(event)
sys.addaudithook(nothing_goes_out)
from lensback.images import texts
print([word.text for line in texts.read(sys.stdin.buffer.read(), None, 10**8) for word in line.words])
"""


def test_reading_asks_nobody(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK], input=shown("NORTHWIND"), capture_output=True, check=False, cwd=tmp_path
    )  # fmt: skip
    assert done.stdout.decode().strip() == "['NORTHWIND']", done.stderr.decode()


def test_too_many_at_once_are_not_kept_waiting(decoders: Decoders) -> None:
    taken = 0
    while decoders._waiting.acquire(blocking=False):
        taken += 1
    try:
        assert decoders.texts(shown("NORTHWIND"), *LIMITS) == ()
    finally:
        for _ in range(taken):
            decoders._waiting.release()


# ---- the extra, and the database of before


@pytest.fixture
def without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "installed", lambda: False)


def test_without_the_extra_words_are_not_read_unless_they_are_to_be(without_it: None) -> None:
    assert texts.wanted("auto") is False is texts.wanted("off")
    with pytest.raises(MissingExtra) as missing:
        texts.wanted("on")
    assert "rapidocr" in missing.value.message
    assert "rapidocr" in missing.value.hint
    assert Settings.model_fields["ocr"].default == "auto"


def test_with_the_extra_they_are_read_unless_switched_off() -> None:
    assert texts.wanted("auto") is True is texts.wanted("on")
    assert texts.wanted("off") is False


def told(workspace: Workspace) -> list[tuple[str, str, str]]:
    return [(c.state, c.message, c.hint) for c in examine(workspace) if c.part == "words"]


def test_the_doctor_says_whether_words_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LENSBACK_OCR")
    init(tmp_path)
    with open_workspace(tmp_path) as workspace:
        ((state, message, _),) = told(workspace)
        assert (state, "no Cyrillic" in message) == ("ok", True)
        monkeypatch.setattr(texts, "installed", lambda: False)
        ((state, message, hint),) = told(workspace)
        assert (state, "rapidocr" in message, hint) == ("ok", True, "")
        workspace.settings = Settings(ocr="on")
        ((state, message, hint),) = told(workspace)
        assert (state, "rapidocr" in hint) == ("fail", True)
        workspace.settings = Settings(ocr="off")
        assert told(workspace) == [("ok", "of photos are not read: `ocr` is off", "")]


@given(st.text("OQILSBZ0158АВЕЁКМНОРСТУХІЅЈЗЯxyzб-/_ .²", max_size=45) | st.text(max_size=12))
def test_the_articles_that_are_kept_are_those_of_now(raw: str) -> None:
    """Whoever changes what an article looks like brings the kept ones along: a migration of its own."""
    kept = importlib.import_module("lensback.db.versions.0018_articles_of_offers")
    assert kept.article(raw) == letters.article(raw)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_offers_of_before_are_found_by_their_article(
    kind: str, tmp_path: Path, postgres: Postgres
) -> None:
    """A catalogue of the version before 0018 has the article of every offer after the upgrade."""
    url = sqlite_url(tmp_path / "old.db") if kind == "sqlite" else postgres.url(postgres.database())
    database = database_at("0016", url)
    plain = ", ".join("''" for _ in range(12))
    try:
        with database.write() as c:
            c.execute(text("INSERT INTO stores (id, name, title, base, created_at, former) VALUES (1,'s','','',0,'[]')"))  # fmt: skip
            for n, mpn in enumerate(["DD1391-100", "", "XL", "dd1391 100"]):
                c.execute(
                    text(
                        "INSERT INTO offers (id, store_id, offer_id, external_id, url, target_url, title,"
                        " price_minor, currency, availability, content_hash, created_at, updated_at, product_id,"
                        " adult, tracked, active, condition, mpn, brand, gtin, item_group_id, color, size,"
                        " category, description, gender, age_group, material, pattern, disclosure)"
                        f" VALUES (:n, 1, :id, :key, '', '', 't', 1, 'EUR', 'in_stock', 'h', 0, 0, :product,"
                        f" FALSE, FALSE, TRUE, 'new', :mpn, {plain})"
                    ),
                    {"n": n + 1, "id": f"o{n}", "key": str(n), "product": f"p{n}", "mpn": mpn},
                )
        database.migrate()
        key = letters.article("DD1391-100")
        assert coded.by_articles(database, {key, "NONE123"}) == {key: ["p0", "p3"]}
        with database.read() as c:
            assert list(c.scalars(text("SELECT article FROM offers ORDER BY id"))) == [key, "", "", key]  # fmt: skip
    finally:
        database.close()
