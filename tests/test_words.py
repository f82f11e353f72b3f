"""Words that a shopper adds to a photo, or asks in its place: endings, languages, colours, odd questions, and
that both databases find the same."""

from __future__ import annotations

import doctest
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import text, update

import tiny
from lensback import stems
from lensback.catalogue import offers, stores, words
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import BadQuery
from lensback.publish import publish
from lensback.search import Query, search, search_words
from lensback.settings import Settings
from lensback.stems import MOST_TERMS, stems_of, terms_of
from lensback.types import Filter, Money
from lensback.web import create_app
from lensback.wire import Answer
from lensback.workspace import Workspace, init
from tiny import Row, Tiny, even, photo, product_of

with warnings.catch_warnings():  # it wants another name of httpx
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

ROWS = [
    Row("shop", "1", "jacket", ("a",), Money(9000, "EUR"), {"title": "Куртка красная на молнии", "brand": "Nike", "category": "Одежда > Куртки"}),
    Row("shop", "2", "coat", ("b",), Money(8000, "EUR"), {"title": "Jacket with a zip", "brand": "Marlo", "color": "Bordeaux red", "category": "Men > Jackets"}),
    Row("pier", "3", "shoes", ("c",), Money(4000, "EUR"), {"title": "Running shoes Air Max 90", "brand": "NIKE", "color": "чёрный", "mpn": "CT-2302/100"}),
    Row("pier", "4", "tie", ("d",), Money(700, "EUR"), {"title": "Silk tie", "brand": "Marlo", "material": "silk", "color": "green"}),
    Row("pier", "5", "hat", ("e",), Money(900, "EUR"), {"title": "Ёлочная шапка", "brand": "Серп", "color": "red", "availability": "out_of_stock"}),
]  # fmt: skip
VECTORS = {
    "a": (1.0, 0.0, 0.0), "b": (0.95, 0.05, 0.0), "c": (0.9, 0.1, 0.0), "d": (0.0, 1.0, 0.0), "e": (0.0, 0.0, 1.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    made = tiny.opened(tmp_path_factory.mktemp("words"), ROWS, VECTORS)
    words.refresh(made.db)
    return made


def test_the_module_says_what_its_examples_say() -> None:
    assert doctest.testmod(stems).failed == 0


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("красное", "Красная"), ("красные", "красному"), ("куртки", "КУРТКА"), ("платья", "платье"), ("shoes", "Shoe"),
        ("dresses", "dress"), ("ёлка", "елка"), ("ｎｉｋｅ", "NIKE"), ("running", "run"), ("молнией", "молния"), ("ботинок", "ботинок"),
    ],
)  # fmt: skip
def test_endings_signs_and_width_make_no_difference(one: str, two: str) -> None:
    assert stems_of(one) == stems_of(two) != []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Nike", {"jacket", "shoes"}),
        ("nike кроссовки", set()),
        ("куртки", {"jacket"}),
        ("jackets zip", {"coat"}),
        ("with a zip", {"coat"}),
        ("красное", {"jacket", "coat", "hat"}),  # in words of two languages
        ("red", {"coat", "hat"}),  # no colour is said of the jacket but in its title
        ("black Nike", {"shoes"}),
        ("CT2302", set()),
        ("CT-2302/100", {"shoes"}),
        ("шёлк", set()),
        ("SILK", {"tie"}),
        ("елочные шапки", {"hat"}),
        ("90", {"shoes"}),
    ],
)
def test_both_databases_find_the_same(db: Database, asked: str, found: set[str]) -> None:
    tiny.write(db, ROWS, "f")
    assert words.refresh(db) == len(ROWS)
    wanted = {product_of(name) for name in found}
    every = [product_of(row.product) for row in ROWS]
    assert set(words.best(db, terms_of(asked), Filter(), 10)) == wanted
    assert words.meeting(db, terms_of(asked), Filter(), every) == wanted
    assert words.meeting(db, terms_of(asked), Filter(), every[:1]) == wanted & set(every[:1])


ODD = [
    '"', '""', "'", "'); DROP TABLE offers; --", "NEAR(a b)", "a OR b", "said:nike", "nike*", "^nike", "-nike", "nike AND", "(((", "!", "&|", "nike & !shoes",
    ":*", "\\", "%_", "{said} : x", "a" * 5000, "слово " * 500, "🦆", "ⅷ ﬁ", "١٢٣", "鞋子", "a\u0000b", "' | 'nike", "<b>", "c0red",
]  # fmt: skip


def test_odd_questions_are_only_words(db: Database) -> None:
    tiny.write(db, ROWS, "f")
    words.refresh(db)
    for asked in ODD:
        terms = terms_of(asked)
        assert len(terms) <= MOST_TERMS
        if terms:
            words.best(db, terms, Filter(in_stock=True), 5)
    assert words.best(db, terms_of("nike*"), Filter(), 5) == words.best(
        db, terms_of("nike"), Filter(), 5
    )
    assert words.best(db, terms_of("silk OR nike"), Filter(), 5) == []  # "or" holds words together
    with db.read() as c:
        assert c.execute(text("SELECT count(*) FROM offers")).scalar() == len(ROWS)


def test_words_follow_the_offers(db: Database) -> None:
    tiny.write(db, ROWS, "f")
    assert (words.refresh(db), words.refresh(db)) == (len(ROWS), 0)
    changed = replace(ROWS[3], fields={**ROWS[3].fields, "title": "Woollen scarf"})
    with db.write() as c:
        store = c.execute(t.stores.select().where(t.stores.c.name == "pier")).one()
        offers.write_batch(db, c, store.id, "pier", [changed.offer()], offers.SeenIds())
    assert words.best(db, terms_of("tie"), Filter(), 5) == [product_of("tie")]  # not yet
    assert words.refresh(db) == 1
    assert words.best(db, terms_of("tie"), Filter(), 5) == []
    assert words.best(db, terms_of("scarves wool scarf woollen"), Filter(), 5) == []
    assert words.best(db, terms_of("scarf"), Filter(), 5) == [product_of("tie")]
    with db.write() as c:
        c.execute(update(t.offers).where(t.offers.c.title == "Woollen scarf").values(active=False))
    words.refresh(db)
    assert words.best(db, terms_of("scarf"), Filter(), 5) == []
    stores.remove(db, "shop")
    words.refresh(db)
    assert words.best(db, terms_of("nike"), Filter(), 5) == [product_of("shoes")]
    with db.read() as c:
        assert c.execute(text("SELECT count(*) FROM offer_words")).scalar() == 2


def test_one_offer_must_meet_words_and_filter(db: Database) -> None:
    tiny.write(db, ROWS, "f")
    words.refresh(db)
    assert words.best(db, terms_of("red"), Filter(in_stock=True), 5) == [product_of("coat")]
    assert words.best(db, terms_of("nike"), Filter(stores=("pier",)), 5) == [product_of("shoes")]


# ---- in an answer


def ask(made: Tiny, question: str, tools: dict[str, Any] | None = None, **query: Any) -> Answer:
    return search(
        photo((1.0, 0.0, 0.0)), Query(words=question, **query), replace(made.tools, **(tools or {}))
    )


def products(answer: Answer) -> list[str]:
    return [hit.product_id for hit in answer.hits]


def test_of_what_looks_like_the_photo_that_remains_which_words_name(made: Tiny) -> None:
    assert products(ask(made, ""))[:3] == [
        product_of("jacket"),
        product_of("coat"),
        product_of("shoes"),
    ]
    assert products(ask(made, "nike")) == [product_of("jacket"), product_of("shoes")]
    assert products(ask(made, "zip")) == [product_of("coat")]
    assert {hit.by for hit in ask(made, "nike").hits} == {"looks"}
    assert products(ask(made, "the ?!")) == products(ask(made, ""))


def test_a_margin_is_over_everything_not_over_what_words_leave(made: Tiny) -> None:
    """What words leave alone is not for that reason more likely the very thing."""
    sure = {"calibration": even(margin=100.0)}
    assert ask(made, "zip", sure).hits[0].probability < 0.5


def test_words_find_alone_what_the_photo_does_not_look_like(made: Tiny) -> None:
    answer = ask(made, "silk", {"calibration": even(none_below=0.5, bias=9.0)})
    assert (products(answer), answer.by, answer.verdict) == (
        [product_of("tie")],
        "words",
        "similar",
    )
    assert (answer.hits[0].by, answer.hits[0].exact, answer.hits[0].probability) == (
        "words",
        False,
        0.0,
    )
    nothing = ask(made, "umbrella")
    assert (nothing.verdict, nothing.hits) == ("none", ())


def test_words_alone_are_a_question(made: Tiny) -> None:
    answer = search_words(Query(words="nike", stores=("pier",)), made.tools)
    assert (products(answer), answer.verdict, answer.by) == (
        [product_of("shoes")],
        "similar",
        "words",
    )
    assert answer.hits[0].image_hash == tiny.hash_of("c")
    assert search_words(Query(words="umbrella"), made.tools).verdict == "none"
    assert len(search_words(Query(words="nike", limit=1), made.tools).hits) == 1
    for asked in ("", "?!", "with the"):
        with pytest.raises(BadQuery):
            search_words(Query(words=asked), made.tools)


def test_the_api_takes_words(tmp_path: Path) -> None:
    """With a photo, without one, and what is no question."""
    init(tmp_path)
    settings = Settings(encoder="pixels", index="exact", detector="whole")
    with Workspace(tmp_path, settings) as workspace:
        encoder = workspace.encoder()
        tiny.write(workspace.db, ROWS, encoder.fingerprint)
        pictures = [
            Image.new("RGB", (40, 40), colour)
            for colour in ("red", "pink", "black", "green", "white")
        ]
        hashes = [tiny.hash_of(name) for name in VECTORS]
        workspace.vectors.append(encoder.fingerprint, hashes, encoder.encode(pictures))
        which = {"fingerprint": encoder.fingerprint, "encoder": "pixels"}
        publish(workspace.db, workspace.vectors, workspace.staging(encoder), **which)
        with TestClient(create_app(workspace)) as client:
            api = client.post("/api/search", files={"q": (None, "Nike")}).json()
            assert {hit["product_id"] for hit in api["hits"]} == {
                product_of("jacket"),
                product_of("shoes"),
            }
            assert (api["by"], api["photo"]) == ("words", {"width": 0, "height": 0})
            files = {"photo": ("p.png", photo((1.0, 0.0, 0.0)))}
            both = client.post("/api/search", files=files, data={"q": "куртки"}).json()
            assert [hit["product_id"] for hit in both["hits"]] == [product_of("jacket")]
            for asked in ("?!", "x" * 201, "a\x01b"):
                bad = client.post("/api/search", files={"q": (None, asked)})
                assert (bad.status_code, bad.json()["error"]["type"]) == (422, "BadQuery"), asked
            page = client.post("/", files={"q": (None, "Nike")}).text
            assert "Air Max 90" in page
            assert 'value="Nike"' in page
            none = client.post(
                "/", files={"q": (None, "<b>umbrella")}, headers={"accept-language": "en"}
            ).text
            assert "Nothing in the connected stores goes by these words." in none
            assert "<b>umbrella" not in none
