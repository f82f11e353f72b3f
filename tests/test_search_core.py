"""Searching, part by part, on catalogues of a few rows: what is exact, what is near, what a filter
leaves out, what is cropped, what may change meanwhile. Every number here fits on paper."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import event

import tiny
from lensback import images, networks, terms
from lensback.catalogue import for_sale, offers
from lensback.errors import Away, BadQuery, Error, StaleIndex, UnknownName
from lensback.indexes import open_index
from lensback.networks import Reach
from lensback.promise import CERTIFIED, OPEN, Promise, Threshold
from lensback.rank import Ranked
from lensback.search import (
    MAX_LIMIT,
    MIN_BOX,
    CashbackBasis,
    Looks,
    Prices,
    Query,
    Tools,
    check_box,
    filter_of,
    parse_box,
    search,
    search_live,
    similar,
)
from lensback.search.core import RIVALS
from lensback.search.kinds import LABEL_WEIGHT, MAJORITY, SINK, VOTERS, decided, kinds_of, sunk
from lensback.search.looking import CENTRED, MARGIN, PHOTOS, look, named, prominence, widened
from lensback.search.recolor import WIDE
from lensback.types import WHOLE, Candidate, Filter, IndexRow, Money, Offer, Region, Vectors
from lensback.wire import Answer
from tiny import ColourEncoder, FixedDetector, Row, Tiny, even, photo, product_of

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def turned(degrees: float) -> tuple[float, float, float]:
    """Red turned towards green: its cosine with red is cos(degrees)."""
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0


def cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


VECTORS = {"a": turned(10), "b": turned(20), "c": turned(40), "d": BLUE, "e": turned(-30)}
ROWS = [
    Row("shop", "a1", "a", ("a",), Money(1000, "EUR"), {"category": "Shoes > Boots", "size": "39"}),
    Row("shop", "a2", "a", ("a",), Money(1000, "EUR"), {"category": "Shoes > Boots", "size": "40"}),
    Row("pier", "b1", "b", ("b",), Money(2000, "EUR"), {"category": "Shirts", "color": "dark red"}),
    Row("pier", "c1", "c", ("c",), Money(500, "USD"), {"category": "Shirts", "availability": "out_of_stock"}),
    Row("quay", "d1", "d", ("d",), Money(700, "EUR"), {"category": "Shoes"}),
    Row("quay", "e1", "a", ("e",), Money(900, "EUR"), {"category": "Shoes > Boots", "brand": "Marlo"}),
]  # fmt: skip
LINK = {"template": "https://network.example/click?to={url}&subid={subid}"}


def program(**values: Any) -> dict[str, Any]:
    plain = {"network": "generic", "domains": ["shop.example"], "share": 0.5, "link": LINK}
    return {**plain, "rates": [{"percent": 10}], **values}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    programs = {"shop": program(), "pier": program(domains=["other.example"])}
    return tiny.opened(tmp_path_factory.mktemp("core"), ROWS, VECTORS, programs=programs)


def ask(made: Tiny, colour: Sequence[float] = RED, *, tools: Any = None, **query: Any) -> Answer:
    changed = replace(made.tools, **(tools or {}))
    return search(photo(colour), Query(**query), changed)


# ---- what is near


@pytest.mark.parametrize("query", [{}, {"in_stock": True}, {"color": "red"}])
def test_what_pictures_show_is_asked_in_one_statement(made: Tiny, query: dict[str, Any]) -> None:
    """Products, those that pass the filter, rivals and kinds: then the offers, then the programs."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    ask(made, **query)  # what is read once for a snapshot
    event.listen(made.tools.db.engine, "before_cursor_execute", note)
    try:
        answer = ask(made, **query)
    finally:
        event.remove(made.tools.db.engine, "before_cursor_execute", note)
    assert answer.hits
    read = [said for said in asked if said.startswith("SELECT")]
    of_pictures = [said for said in read if "image_urls.image_hash" in said.partition("FROM")[0]]
    assert len([said for said in of_pictures if "category" in said]) == 1
    if not query.get("color"):  # the model in another colour is asked for beside
        assert len(read) == 3


def test_hits_come_by_their_nearest_image(made: Tiny) -> None:
    answer = ask(made)
    assert [hit.product_id for hit in answer.hits] == [product_of(name) for name in "abcd"]
    wanted = [cos(10), cos(20), cos(40), 0]
    assert [hit.similarity for hit in answer.hits] == pytest.approx(wanted, abs=1e-3)
    assert answer.hits[0].image_hash == tiny.hash_of("a")
    assert [offer.offer_id for offer in answer.hits[0].offers] == [
        ROWS[5].offer_id,
        *sorted(row.offer_id for row in ROWS[:2]),
    ]
    assert (answer.hits[0].title, answer.hits[0].brand) == ("e1", "Marlo")
    assert answer.photo.width == answer.photo.height == 40
    assert set(answer.timings_ms) == {"decode", "regions", "encode", "search", "rank", "total"}
    assert (answer.encoder, answer.snapshot) == ("c0107", made.tools.snapshot.id)
    assert re.fullmatch(r"[0-9a-f]{16}", answer.search_id)
    links = {offer.link for hit in answer.hits for offer in hit.offers}
    assert all(link.endswith(f"?search={answer.search_id}") for link in links)
    assert ask(made).search_id != answer.search_id


def test_a_hit_is_called_by_its_best_offer_not_by_its_cheapest(tmp_path: Path) -> None:
    said = [("Hat", ""), ("Red summer hat", ""), ("Красная шляпа", "Марло"), ("Red hat", "Marlo")]
    rows = [
        Row("shop", str(n), "p", ("a",), Money(100 + n, "EUR"), {"brand": brand, "title": title})
        for n, (title, brand) in enumerate(said)
    ]
    made = tiny.opened(tmp_path, rows, {"a": RED})
    (hit,) = ask(made, language="en").hits
    assert hit.offers[0].title == "Hat"
    assert (hit.title, hit.brand) == ("Red summer hat", "Marlo")
    (hit,) = ask(made, language="ru").hits
    assert (hit.title, hit.brand) == ("Красная шляпа", "Марло")


def test_another_image_of_a_product_may_be_the_nearest(made: Tiny) -> None:
    first = ask(made, turned(0), tools={"detector": made.tools.detector}).hits[0]
    assert first.image_hash == tiny.hash_of("a")
    other = search(photo((0.87, 0.0, 0.0)), Query(stores=("quay",)), made.tools).hits[0]
    assert (other.product_id, other.image_hash) == (product_of("a"), tiny.hash_of("e"))
    assert other.similarity == pytest.approx(cos(30), abs=1e-3)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_at_most_limit_hits(made: Tiny, limit: int) -> None:
    assert len(ask(made, limit=limit).hits) == min(limit, 4)


def test_nothing_near_is_none_from_a_line_on(made: Tiny) -> None:
    best = ask(made).hits[0].similarity
    at, above = even(best), even(math.nextafter(best, 2))
    assert ask(made, tools={"calibration": at}).hits
    nothing = ask(made, tools={"calibration": above})
    assert (nothing.verdict, nothing.hits, nothing.probability) == ("none", (), 0.0)
    assert nothing.calibrated


def test_the_line_of_none_looks_at_the_best_of_all_hits(made: Tiny) -> None:
    """Boots sank below a shirt: the first hit is not the most similar, and it alone is too far."""
    detector = FixedDetector((Region(WHOLE, "top", 1.0),))
    answer = ask(made, tools={"calibration": even(cos(15)), "detector": detector})
    assert [hit.product_id for hit in answer.hits[:2]] == [product_of("b"), product_of("a")]
    assert answer.hits[0].similarity < cos(15) < answer.hits[1].similarity


# ---- what is exact


def test_exact_begins_at_the_precision_itself(made: Tiny) -> None:
    half = {"calibration": even(), "exact_precision": 0.5}
    answer = ask(made, tools=half)
    assert (answer.verdict, answer.probability) == ("exact", 0.5)
    assert all(hit.exact for hit in answer.hits)
    assert ask(made, tools={**half, "exact_precision": 0.5 + 1e-12}).verdict == "similar"


def test_one_exact_hit_among_others_makes_the_answer_exact(made: Tiny) -> None:
    """p is a half at no lead: only the first is ahead of every other product."""
    answer = ask(made, tools={"calibration": even(margin=50.0), "exact_precision": 0.9})
    assert [hit.exact for hit in answer.hits] == [True, False, False, False]
    assert answer.verdict == "exact"


def test_without_a_calibration_nothing_is_exact(made: Tiny) -> None:
    answer = ask(made, tools={"exact_precision": 0.0})
    assert (answer.verdict, answer.calibrated, answer.probability) == ("similar", False, 0.0)
    assert not any(hit.exact for hit in answer.hits)


def test_the_lead_is_over_the_next_product(made: Tiny) -> None:
    answer = ask(made, tools={"calibration": even(margin=10)})
    lead = cos(10) - cos(20)
    by_hand = [1 / (1 + math.exp(-10 * m)) for m in (lead, -lead, cos(40) - cos(10), -cos(10))]
    assert [hit.probability for hit in answer.hits] == pytest.approx(by_hand, abs=0.01)
    assert answer.probability == max(hit.probability for hit in answer.hits)


# ---- what a filter leaves out still competes


def test_a_filtered_product_is_held_against_what_the_filter_left_out(made: Tiny) -> None:
    """`b` alone at its store would lead; `a`, which is nearer, is sold elsewhere."""
    tools = {"calibration": even(margin=50), "exact_precision": 0.5}
    alone = ask(made, tools=tools, stores=("pier",))
    lead = cos(20) - cos(10)
    assert [hit.product_id for hit in alone.hits] == [product_of("b"), product_of("c")]
    assert alone.hits[0].probability == pytest.approx(1 / (1 + math.exp(-50 * lead)), abs=0.02)
    assert (alone.verdict, alone.hits[0].exact) == ("similar", False)


def test_a_product_is_not_its_own_rival(made: Tiny) -> None:
    """`a` is also shown by an image at another store that is nearer: that is itself, no rival."""
    tools = {"calibration": even(margin=50), "exact_precision": 0.5}
    answer = ask(made, tools=tools, stores=("quay",))
    assert answer.hits[0].product_id == product_of("a")
    assert answer.hits[0].similarity == pytest.approx(cos(30), abs=1e-3)
    # Its rival is `b`, twenty degrees away; it is found again at thirty.
    wanted = 1 / (1 + math.exp(-50 * (cos(30) - cos(20))))
    assert answer.hits[0].probability == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ({"stores": ("shop",)}, "a"),
        ({"stores": ("shop", "quay")}, "ad"),
        ({"category": "Shirts"}, "bc"),
        ({"category": "Boots"}, "a"),
        ({"in_stock": True}, "abd"),
        ({"price_max": "9", "currency": "EUR"}, "ad"),
        ({"price_min": "10.01", "currency": "EUR"}, "b"),
        ({"price_min": "10", "price_max": "10", "currency": "EUR"}, "a"),
        ({"price_max": "99", "currency": "usd"}, "c"),
        ({"color": "red"}, "b"),
        ({"color": "green"}, ""),
        ({"category": "Shirts", "in_stock": True}, "b"),
    ],
    ids=str,
)  # fmt: skip
def test_filters(made: Tiny, query: dict[str, Any], left: str) -> None:
    answer = ask(made, **query)
    assert [hit.product_id for hit in answer.hits] == [product_of(name) for name in left]
    assert answer.verdict == ("similar" if left else "none")


def test_a_hit_shows_only_the_offers_that_pass(made: Tiny) -> None:
    (hit,) = ask(made, stores=("shop",)).hits
    assert {offer.store for offer in hit.offers} == {"shop"}
    (cheap,) = ask(made, stores=("quay",), category="Boots").hits
    assert [offer.offer_id for offer in cheap.offers] == [ROWS[5].offer_id]


# ---- how many images are looked at


def crowd(folder: Path, n: int, **tools: Any) -> Tiny:
    """n images of one near product, and one of another behind them, which alone is blue."""
    rows = [Row("shop", f"n{k}", "near", (f"n{k}",)) for k in range(n)]
    rows.append(Row("shop", "far", "far", ("far",), fields={"color": "blue"}))
    vectors = {f"n{k}": turned(k / 10) for k in range(n)} | {"far": turned(60)}
    return tiny.opened(folder, rows, vectors, **tools)


@pytest.mark.parametrize(("n", "limit", "hits"), [(7, 2, 2), (8, 2, 1), (11, 3, 2), (12, 3, 1)])
def test_four_images_a_hit_are_looked_at_where_few_are_usual(
    tmp_path: Path, n: int, limit: int, hits: int
) -> None:
    made = crowd(tmp_path, n, candidates=1)
    assert len(ask(made, limit=limit).hits) == hits


@pytest.mark.parametrize(("candidates", "hits"), [(9, 1), (10, 2)])
def test_as_many_images_as_are_usual(tmp_path: Path, candidates: int, hits: int) -> None:
    assert len(ask(crowd(tmp_path, 9, candidates=candidates), limit=2).hits) == hits


@pytest.mark.parametrize(("n", "asked"), [(39, 1), (40, 2)])
def test_a_colour_is_looked_for_ten_times_deeper_then_in_all_of_the_category(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int, asked: int
) -> None:
    made, counts = crowd(tmp_path, n, candidates=4), []
    real = type(made.index).search
    monkeypatch.setattr(
        type(made.index),
        "search",
        lambda self, vector, count, where: (
            (where.colors and counts.append(count)) or real(self, vector, count, where)
        ),
    )
    assert len(ask(made, limit=1, color="blue").hits) == 1
    assert counts == [40, WIDE][:asked]


@pytest.mark.parametrize(("own", "lead"), [(23, True), (24, False)])
def test_twenty_four_images_are_rivals(tmp_path: Path, own: int, lead: bool) -> None:
    """The product has that many images before the other's one: a rival that is not seen is none."""
    rows = [Row("shop", f"n{k}", "near", (f"n{k}",)) for k in range(own)]
    rows.append(Row("pier", "far", "far", ("far",)))
    vectors = {f"n{k}": turned(k / 10) for k in range(own)} | {"far": turned(60)}
    made = tiny.opened(tmp_path, rows, vectors, calibration=even(margin=100))
    (hit,) = ask(made, stores=("shop",)).hits
    assert hit.probability == (pytest.approx(1.0) if lead else 0.5)


@pytest.mark.parametrize("n", [RIVALS - 1, RIVALS])
def test_rivals_are_the_nearest_of_the_whole_catalogue(tmp_path: Path, n: int) -> None:
    """However many images the rival has: it is the product that leads, not what comes after."""
    made = crowd(tmp_path, n, calibration=even(margin=100), exact_precision=0.5)
    (hit,) = ask(made, limit=1, color="blue").hits
    assert hit.probability < 1e-6
    assert not hit.exact


# ---- the promise


def promise(overall: str, **categories: str) -> Promise:
    def threshold(name: str, state: str) -> Threshold:
        return Threshold(name, state, 0.4 if state == CERTIFIED else None, 100, 0, 0.01)

    kinds = tuple(threshold(name, state) for name, state in categories.items())
    facts: dict[str, Any] = {"images": 5, "snapshot": "s", "source": "views", "cases": 100}
    return Promise(0.05, 0.9, "c0107", "digest", (), **facts, overall=threshold("", overall), categories=kinds)  # fmt: skip


@pytest.mark.parametrize(
    ("given_promise", "certified"),
    [
        (None, False),
        (promise(CERTIFIED), True),
        (promise(OPEN), False),
        (promise(OPEN, Boots=CERTIFIED), True),
        (promise(OPEN, Shirts=CERTIFIED), False),
        (promise(CERTIFIED, Shirts="broken"), True),
        (promise(CERTIFIED, Boots="broken"), False),
    ],
)
def test_certified_is_said_of_what_is_called_exact(
    made: Tiny, given_promise: Promise | None, certified: bool
) -> None:
    """Only `a`, boots, leads: what is beside it (shirts) need not be certified."""
    tools = {"calibration": even(margin=100), "exact_precision": 0.6, "promise": given_promise}
    answer = ask(made, tools=tools)
    if given_promise is None or certified:
        assert [hit.exact for hit in answer.hits] == [True, False, False, False]
    assert answer.certified is certified


def test_where_nothing_is_exact_all_hits_have_to_be_certified(made: Tiny) -> None:
    surely_not = {"calibration": even(bias=-50)}
    for given_promise, certified in (
        (promise(CERTIFIED), True),
        (promise(OPEN, Boots=CERTIFIED, Shirts=CERTIFIED), False),
        (promise(OPEN, Boots=CERTIFIED, Shirts=CERTIFIED, Shoes=CERTIFIED), True),
    ):
        answer = ask(made, tools={**surely_not, "promise": given_promise})
        assert (answer.verdict, answer.certified) == ("similar", certified)


def test_the_promise_says_from_when_something_is_exact(made: Tiny) -> None:
    """Its threshold is .4; the settings' .6 counts where it is open."""
    half = {"calibration": even(), "exact_precision": 0.6}
    assert ask(made, tools=half).verdict == "similar"
    assert ask(made, tools={**half, "promise": promise(OPEN)}).verdict == "similar"
    answer = ask(made, tools={**half, "promise": promise(OPEN, Boots=CERTIFIED)})
    assert [hit.exact for hit in answer.hits] == [True, False, False, False]
    broken = ask(made, tools={**half, "exact_precision": 0.1, "promise": promise("broken")})
    assert broken.verdict == "similar"


# ---- an index that changes meanwhile


class Publishing(ColourEncoder):
    """While it encodes, a sync publishes an index of `fingerprint`."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.index = open_index("exact", folder / "index", fingerprint=fingerprint, dim=3)
        self.rows: Any = None

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        self.index.upsert(*self.rows)
        self.index.publish("colour")
        return super().encode(images)


@pytest.mark.parametrize("same", [True, False])
def test_an_index_that_is_replaced_while_a_photo_is_searched(tmp_path: Path, same: bool) -> None:
    made = tiny.opened(tmp_path, ROWS, VECTORS)
    encoder = Publishing(tmp_path, ColourEncoder.fingerprint if same else "other")
    other = IndexRow(7, tiny.hash_of("a"), "shop", "Shoes", True, "EUR", 1000, 1000)
    encoder.rows = ([other], tiny.unit([RED]))
    tools = replace(made.tools, encoder=encoder)
    if same:
        assert search(photo(RED), Query(), tools).hits
        assert made.index.snapshot != tools.snapshot
    else:
        with pytest.raises(StaleIndex, match="just replaced") as raised:
            search(photo(RED), Query(), tools)
        assert raised.value.hint == "search again"


def test_an_encoder_of_another_fingerprint_is_refused_before_anything_is_done(made: Tiny) -> None:
    class Other(ColourEncoder):
        fingerprint = "another"

    tools = replace(made.tools, encoder=Other())
    stored = offers.get(made.db, ROWS[0].offer_id)
    for call in (
        lambda: search(b"no photo at all", Query(), tools),
        lambda: similar(stored, tiny.unit(RED), Query(), tools),
    ):
        with pytest.raises(StaleIndex, match="another version of encoder 'colour'"):
            call()


@pytest.mark.parametrize("trouble", [StaleIndex, Away])
def test_what_happens_in_between_is_asked_once_more(made: Tiny, trouble: type[Error]) -> None:
    """The tools are opened anew for it; what goes wrong twice, or otherwise, is said."""
    troubles: list[Error] = []
    opened: list[int] = []

    def tools() -> Tools:
        opened.append(len(opened))
        if troubles:
            raise troubles.pop()
        return made.tools

    def asked(*more: Error) -> int:
        troubles[:], opened[:] = more, []
        answer = search_live(photo(RED), Query(limit=2), tools)
        assert [hit.product_id for hit in answer.hits] == [hit.product_id for hit in found.hits]
        return len(opened)

    found = search(photo(RED), Query(limit=2), made.tools)
    assert asked() == 1
    assert asked(trouble("gone")) == 2
    with pytest.raises(trouble):
        asked(trouble("gone"), trouble("gone"))
    with pytest.raises(UnknownName):
        asked(UnknownName("store", "what", []))
    assert opened == [0]


# ---- similar


@pytest.mark.parametrize("limit", [1, 2, 3, 12])
def test_similar_leaves_the_product_itself_out(made: Tiny, limit: int) -> None:
    stored = offers.get(made.db, ROWS[0].offer_id)
    tools = replace(made.tools, calibration=even(bias=50))
    hits = similar(stored, tiny.unit(VECTORS["a"]), Query(limit=limit), tools)
    assert [hit.product_id for hit in hits] == [product_of(name) for name in "bcd"][:limit]
    assert not any(hit.exact for hit in hits)
    assert all(hit.probability > 0.5 for hit in hits), "likely, and yet not called exact"
    assert hits[0].offers[0].link == f"/go/{ROWS[2].offer_id}"


def test_similar_obeys_filters_and_the_highest_limit(made: Tiny) -> None:
    stored = offers.get(made.db, ROWS[0].offer_id)
    vector = tiny.unit(VECTORS["a"])
    hits = similar(stored, vector, Query(limit=MAX_LIMIT, stores=("quay",)), made.tools)
    assert [hit.product_id for hit in hits] == [product_of("d")]


# ---- what is cropped


def framed(box: tuple[float, float, float, float], inside: Any, outside: Any) -> bytes:
    """A hundred pixels on a side: one colour in a box, another around it."""
    picture = Image.new("RGB", (100, 100), tuple(round(255 * c) for c in outside))
    left, top, right, bottom = (round(100 * value) for value in box)
    tile = Image.new("RGB", (right - left, bottom - top), tuple(round(255 * c) for c in inside))
    picture.paste(tile, (left, top))
    return tiny.png(picture)


PART = (0.3, 0.3, 0.7, 0.7)


def test_a_region_is_searched_with_its_margin_and_with_the_whole_photo(tmp_path: Path) -> None:
    """40 px of green, 6 px more of red around it: 1600 of 2116 pixels are green. The whole photo has
    1600 of 10000."""
    rows = [Row("shop", name, name, (name,)) for name in ("red", "green")]
    things = (Region(PART, "item", 0.9), Region(WHOLE, "whole", 0.01))
    made = tiny.opened(tmp_path, rows, {"red": RED, "green": GREEN}, detector=FixedDetector(things))
    asked = framed(PART, GREEN, RED)

    def similarity(answer: Answer) -> dict[str, float]:
        return {hit.title: hit.similarity for hit in answer.hits}

    side = 40 * (1 + MARGIN)
    green, red = 1600, side**2 - 1600
    both = similarity(search(asked, Query(), made.tools))
    assert both["green"] == pytest.approx(green / math.hypot(green, red), abs=0.01)
    assert both["red"] == pytest.approx(8400 / math.hypot(8400, 1600), abs=0.01)
    chosen = similarity(search(asked, Query(box=PART), made.tools))
    assert chosen["green"] == pytest.approx(green / math.hypot(green, red), abs=0.01)
    assert chosen["red"] == pytest.approx(red / math.hypot(green, red), abs=0.01)
    drawn = similarity(search(asked, Query(box=(0.31, 0.31, 0.69, 0.69)), made.tools))
    assert drawn == {"green": pytest.approx(1, abs=1e-3), "red": pytest.approx(0, abs=1e-3)}


def test_regions_of_the_answer(made: Tiny) -> None:
    things = (Region(PART, "item", 0.9), Region(WHOLE, "whole", 0.01))
    tools = {"detector": FixedDetector(things)}
    answer = ask(made, tools=tools)
    assert answer.region == PART
    assert [(r.box, r.label, r.score) for r in answer.regions] == [
        (PART, "item", 0.9),
        (WHOLE, "whole", 0.01),
    ]
    box = (0.1, 0.1, 0.4, 0.5)
    given_box = ask(made, tools=tools, box=box)
    assert (given_box.region, given_box.regions[0].label, len(given_box.regions)) == (
        box,
        "given",
        3,
    )


DOUBTFUL = Region((0.6, 0.6, 0.9, 0.9), "bag", 0.2, likely=False)


def test_what_the_detector_does_not_believe_in_stands_behind_more(made: Tiny) -> None:
    things = (Region(PART, "item", 0.9), DOUBTFUL, Region(WHOLE, "whole", 0.01))
    answer = ask(made, tools={"detector": FixedDetector(things)})
    assert [r.label for r in answer.regions] == ["item", "whole"]
    assert [(r.label, r.score) for r in answer.more_regions] == [("bag", 0.2)]
    asked = ask(made, tools={"detector": FixedDetector(things)}, box=DOUBTFUL.box)
    assert [r.label for r in asked.regions] == ["bag", "item", "whole"], "who chooses it sees it"
    assert (asked.region, asked.more_regions) == (DOUBTFUL.box, ())


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("near", [True, False])
def test_nothing_to_search_is_said_by_score_and_by_distance(
    made: Tiny, *, seen: bool, near: bool
) -> None:
    """A photo in which nothing is likely, and nothing on sale is near."""
    things = (replace(DOUBTFUL, likely=seen), Region(WHOLE, "whole", 0.01, likely=seen))
    tools = {"detector": FixedDetector(things), "calibration": even(none_below=-1 if near else 2)}
    answer = ask(made, tools=tools)
    assert answer.nothing_to_search == (not seen and not near)
    assert (answer.verdict == "none") == (not near)
    assert answer.region == (DOUBTFUL.box if seen else WHOLE)
    assert [r.label for r in answer.regions] == (["bag", "whole"] if seen else ["whole"])
    drawn = ask(made, tools=tools, box=(0.1, 0.1, 0.4, 0.5))
    assert not drawn.nothing_to_search, "who draws a box sees a thing"


@pytest.mark.parametrize("sure", [True, False])
@pytest.mark.parametrize("near", [True, False])
def test_where_nothing_is_near_a_region_is_offered_only_if_one_is_sure(
    made: Tiny, *, sure: bool, near: bool
) -> None:
    """Two regions that are likely, one of them sure or none: a flower that looks like a hat."""
    bag, whole = Region(PART, "bag", 0.5, sure=sure), Region(WHOLE, "whole", 0.01, sure=sure)
    things = (bag, Region((0.6, 0.6, 0.9, 0.9), "hat", 0.4, sure=False), whole)
    tools = {"detector": FixedDetector(things), "calibration": even(none_below=-1 if near else 2)}
    answer = ask(made, tools=tools)
    told = not sure and not near
    assert (answer.verdict == "none", answer.nothing_to_search) == (not near, told)
    assert answer.region == (WHOLE if told else PART)
    assert [r.label for r in answer.regions] == (["whole"] if told else ["bag", "hat", "whole"])
    assert [r.label for r in answer.more_regions] == (["bag", "hat"] if told else [])
    chosen = ask(made, tools=tools, box=PART)
    assert (chosen.region, chosen.nothing_to_search) == (PART, False), "who chooses it sees it"


def test_what_filters_leave_out_is_near(made: Tiny) -> None:
    """A shirt is near and not sold that cheaply: the photo shows a thing, however doubtful."""
    doubtful = (DOUBTFUL, Region(WHOLE, "whole", 0.01, likely=False))
    tools = {"detector": FixedDetector(doubtful), "calibration": even(none_below=-1)}
    answer = ask(made, tools=tools, brands=("nobody",))
    assert (answer.verdict, answer.left_out, answer.nothing_to_search) == ("none", True, False)


@pytest.mark.parametrize("label", ["whole", "item", "top"])
def test_what_is_shown_is_decided_by_the_line_of_the_nearest_things_kind(
    tmp_path: Path, label: str
) -> None:
    """A shirt at .8 and a boot at .7: shirts are shown from .9 on, boots from .6; without the shirt the
    boot is the nearest. A kind without a line has the common one."""
    rows = [
        Row("shop", "shirt", "shirt", ("shirt",), fields={"category": "Shirts"}),
        Row("other", "boot", "boot", ("boot",), fields={"category": "Shoes > Boots"}),
    ]
    away = {
        "shirt": turned(math.degrees(math.acos(0.8))),
        "boot": turned(math.degrees(math.acos(0.7))),
    }
    made = tiny.opened(tmp_path, rows, away)
    of_kind = {"top": 0.9, "shoes": 0.6}
    for common, lines, stores, verdict in (
        (-1.0, of_kind, (), "none"),
        (2.0, of_kind, ("other",), "similar"),
        (2.0, {"top": 0.75}, (), "similar"),
        (-1.0, {"shoes": 2.0}, (), "similar"),
        (2.0, {"bag": 0.1}, (), "none"),
    ):
        calibration = replace(even(none_below=common, bias=-9.0), none_below_of=lines)
        tools = replace(
            made.tools,
            calibration=calibration,
            detector=FixedDetector((Region(WHOLE, label, 1.0),)),
        )
        answer = search(photo(RED), Query(stores=stores), tools)
        assert answer.verdict == verdict, (common, lines, stores)


def test_of_another_kind_than_the_item_sinks(tmp_path: Path) -> None:
    """A shirt a little nearer than a boot: called shoes by a sure detector, the boot comes first."""
    rows = [
        Row("shop", "shirt", "shirt", ("shirt",), fields={"category": "Shirts"}),
        Row("shop", "boot", "boot", ("boot",), fields={"category": "Shoes > Boots"}),
    ]
    near, less = math.degrees(math.acos(0.95)), math.degrees(math.acos(0.95 - SINK + 0.005))
    made = tiny.opened(tmp_path, rows, {"shirt": turned(near), "boot": turned(less)})
    for label, first in (
        ("shoes", "boot"),
        ("top", "shirt"),
        ("item", "shirt"),
        ("whole", "shirt"),
    ):
        tools = replace(made.tools, detector=FixedDetector((Region(WHOLE, label, 1.0),)))
        answer = search(photo(RED), Query(), tools)
        assert answer.hits[0].title == first, label
        shown = {hit.title: hit.similarity for hit in answer.hits}
        assert shown["shirt"] == pytest.approx(0.95, abs=1e-3), "sinking changes no figure"


def test_a_filter_does_not_change_what_kind_the_neighbours_say(tmp_path: Path) -> None:
    """The boots next door say shoes though the filter leaves only shirts and a boot."""
    boots = [
        Row("pier", f"b{k}", f"b{k}", (f"b{k}",), fields={"category": "Boots"}) for k in range(11)
    ]
    rows = [
        *boots,
        Row("shop", "shirt", "shirt", ("shirt",), fields={"category": "Shirts"}),
        Row("shop", "boot", "boot", ("boot",), fields={"category": "Boots"}),
    ]
    vectors = {f"b{k}": turned(k) for k in range(11)} | {"shirt": turned(18), "boot": turned(20)}
    # "dress" is close to neither; eleven boots outvote it, two mixed ones would not.
    detector = FixedDetector((Region(WHOLE, "dress", 0.5),))
    made = tiny.opened(tmp_path, rows, vectors, detector=detector)
    answer = search(photo(RED), Query(stores=("shop",)), made.tools)
    assert [hit.title for hit in answer.hits] == ["boot"]


# ---- looking


@pytest.mark.parametrize(
    ("box", "by", "wide"),
    [
        ((0.4, 0.4, 0.6, 0.6), 0.5, (0.35, 0.35, 0.65, 0.65)),
        ((0.0, 0.2, 0.4, 1.0), 0.5, (0.0, 0.0, 0.5, 1.0)),
        ((0.6, 0.0, 1.0, 0.4), 0.5, (0.5, 0.0, 1.0, 0.5)),
        ((0.2, 0.2, 0.4, 0.6), 0.0, (0.2, 0.2, 0.4, 0.6)),
        ((0.2, 0.3, 0.6, 0.5), MARGIN, (0.17, 0.285, 0.63, 0.515)),
    ],
)
def test_margins(box: Any, by: float, wide: Any) -> None:
    assert widened(box, by) == pytest.approx(wide)
    assert widened(box, MARGIN) == widened(box)


def test_prominence_by_hand() -> None:
    """score * sqrt(area) * exp(-(d / .35)^2 / 2), d in halves of the photo from its middle."""
    assert prominence(Region((0.25, 0.25, 0.75, 0.75), "x", 0.8)) == pytest.approx(0.8 * 0.5)
    aside = Region((0.5, 0.4, 0.9, 0.6), "x", 1.0)  # middle at (.7, .5): .4 of the half away
    wanted = math.sqrt(0.08) * math.exp(-((0.4 / CENTRED) ** 2) / 8)
    assert prominence(aside) == pytest.approx(wanted)
    below = Region((0.4, 0.5, 0.6, 0.9), "x", 1.0)
    assert prominence(below) == pytest.approx(wanted)


def test_a_drawn_box_needs_half_in_common_to_be_called_a_region() -> None:
    known = Region((0.0, 0.0, 0.4, 0.4), "top", 0.7)
    half = Region((0.0, 0.0, 0.4, 0.2), "given")
    less = Region((0.0, 0.0, 0.4, 0.19), "given")
    assert named(half, [half, known]) == Region(half.box, "top", 0.7)
    assert named(less, [less, known]) == less
    better = Region((0.0, 0.0, 0.4, 0.21), "shoes", 0.1)
    assert named(half, [half, known, better]).label == "shoes"
    assert named(half, [half]) == half


def test_a_look_is_remembered_for_the_same_limits_only() -> None:
    looks, detector = Looks(60), FixedDetector((Region(WHOLE, "whole"),))
    first = look(photo(RED), looks, detector, 40, (10_000, 10_000), {})
    assert look(photo(RED), looks, detector, 10, (10_000, 10_000), {}) is first
    assert look(photo(RED), looks, detector, 10, (10_001, 10_000), {}) is not first
    assert look(photo(RED), looks, detector, 10, (10_000, 10_001), {}) is not first
    assert look(photo(RED), looks, replace(detector, fingerprint="2"), 10, (10_000, 10_000), {}) is not first  # fmt: skip
    assert look(photo(RED), looks, detector, 999, (10_000, 10_000), {}) is first, "whole already"
    assert PHOTOS == 24


# ---- kinds


def test_labels_of_categories() -> None:
    kinds = kinds_of({"a": ["Shoes > Boots", "Shirts"], "b": ["Spaceships"], "c": []})
    assert kinds == {"a": frozenset({"shoes", "top"}), "b": frozenset(), "c": frozenset()}


def near(*hashes: str) -> list[Candidate]:
    return [Candidate(name, 0.9) for name in hashes]


def test_votes_by_hand() -> None:
    """Twelve vote, each for one; the detector counts .8 of its score against all of them."""
    kinds = {"s": frozenset({"shoes"}), "t": frozenset({"top"}), "st": frozenset({"shoes", "top"})}
    sure = Region(WHOLE, "top", 1.0)
    assert LABEL_WEIGHT == 0.8
    assert decided(sure, near("s"), kinds) == "shoes", "1 against .8"
    assert decided(sure, near("st"), kinds) == "top", "1.3 against .5"
    assert decided(sure, near("s", "st"), kinds) == "top", ".8 + .25 against .75"
    assert decided(sure, near(*["s"] * VOTERS, *["t"] * 50), kinds) == "shoes", "the first twelve"
    many = {str(k): frozenset({label}) for k, label in enumerate(["shoes", "bag", "hat", "belt"])}
    # .8 of 1.8 is .444 of all that was said: less than the majority needs.
    assert MAJORITY == 0.45
    assert decided(sure, near(*many), many) == ""
    three = {key: many[key] for key in list(many)[:3]} | {"t": frozenset({"top"})}
    assert decided(sure, near(*three), three) == "top", ".8 + .25 of 1.8"


def test_sinking_by_hand() -> None:
    kinds = {
        "s": frozenset({"shoes"}),
        "t": frozenset({"top"}),
        "both": frozenset({"shoes", "top"}),
    }
    rows = [Ranked(h, h, sim, 0.0) for h, sim in (("t", 0.9), ("both", 0.89), ("s", 0.9 - SINK + 1e-6), ("unknown", 0.84))]  # fmt: skip
    assert [one.product_id for one in sunk(rows, kinds, "shoes")] == ["both", "s", "t", "unknown"]
    assert sunk(rows, kinds, "") == rows


# ---- prices


def price(made: Tiny, sku: str, basis: CashbackBasis | None = None) -> Any:
    row = for_sale.row(made.db, next(r.offer_id for r in ROWS if r.sku == sku))
    return Prices.of(made.db, [row], basis or CashbackBasis()).offer(row, "s" * 16)


def test_cashback_by_hand(made: Tiny) -> None:
    paid = price(made, "a1")
    assert (paid.cashback, paid.price_after_cashback) == (Money(50, "EUR"), Money(950, "EUR"))
    assert not paid.up_to
    assert paid.link == f"/go/{ROWS[0].offer_id}?search={'s' * 16}"
    for sku in ("b1", "d1"):  # a program of another domain; none at all
        plain = price(made, sku)
        assert (plain.cashback.minor, plain.up_to) == (0, False)
        assert plain.price_after_cashback == plain.price


PRICED = [
    Row("shop", "1", "p", ("a",), Money(1000, "EUR"), {"category": "Shoes"}),
    Row("shop", "2", "p", ("a",), Money(1000, "EUR"), {"category": "Bags"}),
    Row("shop", "3", "p", ("a",), Money(3000, "EUR"), {"category": "Shoes"}),
    Row("shop", "4", "p", ("a",), Money(1000, "EUR"), {"category": "Shoes", "old_price": Money(1500, "EUR")}),
    Row("shop", "5", "p", ("a",), Money(1000, "EUR"), {"category": "Shoes", "url": "https://elsewhere.example/5"}),
    Row("shop", "6", "p", ("a",), Money(1000, "EUR"), {"category": "Shoes", "url": "https://elsewhere.example/6", "target_url": "https://www.shop.example/6"}),
    Row("pier", "7", "p", ("a",), Money(1000, "EUR"), {"category": "Shoes"}),
    Row("shop", "8", "p", ("a",), Money(1000, "JPY"), {"category": "Shoes"}),
    Row("shop", "9", "p", ("a",), Money(1000, "EUR"), {"category": "Shoes", "disclosure": "Ad, erid: 2VtzqwABCDEF"}),
]  # fmt: skip


def test_sums_are_shared_only_where_nothing_differs(tmp_path: Path) -> None:
    """All in one answer: each offer has its own price, category, store, currency and address."""
    rates = [{"percent": 10, "category": ["Shoes"]}, {"percent": 2}]
    pier = program(domains=["pier.example"], rates=[{"percent": 30}, {"percent": 1}])
    made = tiny.opened(
        tmp_path, PRICED, {"a": RED}, programs={"shop": program(rates=rates), "pier": pier}
    )
    shown = {offer.title: offer for offer in ask(made).hits[0].offers}
    back = {sku: (offer.cashback.minor, offer.up_to) for sku, offer in shown.items()}
    assert back == {
        "1": (50, False),
        "2": (10, True),
        "3": (150, False),
        "4": (50, False),
        "5": (0, False),
        "6": (50, False),
        "7": (150, False),
        "8": (50, False),
        "9": (50, False),
    }
    assert shown["4"].old_price == Money(1500, "EUR")
    assert all(shown[sku].old_price is None for sku in "123")
    assert shown["8"].cashback.currency == "JPY"
    assert shown["9"].disclosure == "Ad, erid: 2VtzqwABCDEF"
    assert shown["1"].disclosure == ""


def test_a_broken_program_pays_nothing(tmp_path: Path) -> None:
    made = tiny.opened(tmp_path, PRICED[:1], {"a": RED}, programs={"shop": program(share=7)})
    assert ask(made).hits[0].offers[0].cashback.minor == 0


# ---- which links can be made: told without making them


PAGES = st.one_of(
    st.sampled_from(
        [
            "https://shop.example/a?b=c",
            "http://shop.example",
            "https://SHOP.example/x",
            "https://a.b.shop.example:8443/x",
            "https://shop.example:443/x",
            "https://shop.example.evil.example/x",
            "https://xshop.example/",
            "https://магазин.example/путь",
            "https://user@shop.example/",
            "ftp://shop.example/",
            "javascript:alert(1)",
            "",
            "https://",
            "https://shop.example/\u00e9 %zz%",
            "https://shop.example/\r\nx",
            "https://[::1]/",
            "https://shop.example:99999/",
            "https://network.example/click?to=https%3A%2F%2Fshop.example%2F&subid=1",
            "https://network.example/click?to=https%3A%2F%2Fevil.example%2F&subid=1",
            "https://shop.example/" + "x" * 350,
            "https://shop.example/" + "%" * 900,
            "https://shop.example/" + "/" * 1300,
            "https://shop.example/" + "x" * 5000,
            "https://shop.example/?utm_source=x&gclid=y#frag",
        ]
    ),
    st.builds(
        "https://{}shop.example/{}".format,
        st.sampled_from(["", "www.", "-.", "a_b.", "."]),
        st.text(max_size=40),
    ),
    st.integers(300, 1500).map(lambda n: "https://shop.example/" + "%a"[n % 2] * n),
    st.text(max_size=30),
)
TERMS = [
    program(),
    program(erid="2VtzqwABCDEF"),
    program(domains=["shop.example", "network.example"]),
    program(deny_deeplinks=True, landing="https://shop.example/"),
    program(domains=["shop.example:8443"]),
    program(tracking_hosts=["elsewhere.example"]),
    program(network="admitad", link={"base": "https://ad.admitad.example/g/abc/"}),
]


class Page:
    def __init__(self, url: str, target_url: str, disclosure: str) -> None:
        self.url, self.target_url, self.disclosure = url, target_url, disclosure


@given(
    which=st.sampled_from(range(len(TERMS))),
    pages=st.lists(
        st.builds(
            Page,
            PAGES,
            st.one_of(st.just(""), PAGES),
            st.sampled_from(["", "erid: 2VtzqwABCDEFGH"]),
        ),
        max_size=4,
    ),
)
@example(which=1, pages=[Page("https://shop.example/" + "%" * 800, "", "")])
def test_a_link_is_within_reach_exactly_where_one_can_be_made(
    which: int, pages: list[Page]
) -> None:
    parsed = terms.parse(TERMS[which])
    network = networks.open_network(parsed.network)
    reach = Reach(network, parsed)
    for page in pages:  # what was learnt from one must hold for the next
        try:
            made = bool(networks.offer_deeplink(network, parsed, page, "0" * 22))
        except BadQuery:
            made = False
        assert reach.covers(page) is made, page.url


# ---- the shopper's words


def test_limits(made: Tiny) -> None:
    for limit in (1, MAX_LIMIT):
        assert filter_of(made.db, Query(limit=limit)).empty
    for limit in (0, MAX_LIMIT + 1):
        with pytest.raises(BadQuery, match=f"limit is {limit}"):
            filter_of(made.db, Query(limit=limit))


def test_the_smallest_box() -> None:
    check_box((0.5, 0.5, 0.5 + MIN_BOX + 1e-9, 0.5 + MIN_BOX + 1e-9))
    for box in ((0.5, 0.5, 0.5 + MIN_BOX / 2, 1.0), (0.5, 0.5, 1.0, 0.5 + MIN_BOX / 2)):
        with pytest.raises(BadQuery, match="not a box"):
            check_box(box)
    assert parse_box("0,0,1,1") == WHOLE


@pytest.mark.parametrize(
    ("query", "currency", "where"),
    [
        (Query(price_max="0", currency="EUR"), "", Money(0, "EUR")),
        (Query(price_max="999999999999", currency="EUR"), "", Money(99999999999900, "EUR")),
        (Query(price_max="5"), "EUR", Money(500, "EUR")),
        (Query(price_max="5"), "eur", Money(500, "EUR")),
        (Query(price_max="5", currency="usd"), "EUR", Money(500, "USD")),
    ],
)
def test_price_limits(made: Tiny, query: Query, currency: str, where: Money) -> None:
    found_filter = filter_of(made.db, query, currency)
    assert (found_filter.price_max, found_filter.price_min) == (where, None)
    least = replace(query, price_min=query.price_max, price_max="")
    assert filter_of(made.db, least, currency).price_min == where


@pytest.mark.parametrize(
    ("query", "message", "hint"),
    [
        (Query(price_max="1000000000000", currency="EUR"), "not a price", "use a number"),
        (Query(price_min="-0.01", currency="EUR"), "not a price", "use a number"),
        (Query(price_max="x"), "not a price", "use a number"),
        (Query(price_max="5", currency="RUB"), "no offer is in 'RUB'", "currencies here: EUR, USD"),
        (Query(price_max="5"), "several currencies", "--currency EUR"),
        (Query(category="Spaceships"), "no offer has the category 'Spaceships'", "as a store names it"),
        (Query(color="mauve"), "no such colour: 'mauve'", "black, white"),
    ],
)  # fmt: skip
def test_words_that_mean_nothing_here(made: Tiny, query: Query, message: str, hint: str) -> None:
    with pytest.raises(BadQuery, match=re.escape(message)) as raised:
        filter_of(made.db, query)
    assert hint in raised.value.hint
    with pytest.raises(UnknownName):
        filter_of(made.db, replace(query, stores=("nowhere",)))


def test_the_words_of_the_stores_stand_for_a_colour(made: Tiny) -> None:
    assert filter_of(made.db, Query(color="red")).colors == ("dark red",)
    assert filter_of(made.db, Query(color="pink")).colors == ("pink",), "a word that no offer has"
    assert filter_of(made.db, Query(in_stock=True)) == Filter(in_stock=True)


def test_what_an_answer_may_ask_is_read_once_a_snapshot(tmp_path: Path) -> None:
    made = tiny.opened(tmp_path, ROWS[:1], VECTORS)
    assert filter_of(made.db, Query(category="Boots"), snapshot="one").categories
    tiny.write(made.db, [Row("new", "n", "n", ("a",), fields={"category": "Hats"})], "c0107")
    with pytest.raises(BadQuery):
        filter_of(made.db, Query(category="Hats"), snapshot="one")
    assert filter_of(made.db, Query(category="Hats"), snapshot="two").categories == ("Hats",)


def test_a_price_without_a_currency_is_in_that_of_the_settings(made: Tiny) -> None:
    cheap = ask(made, price_max="9", tools={"currency": "EUR"})
    assert [hit.product_id for hit in cheap.hits] == [product_of(name) for name in "ad"]
    assert [hit.product_id for hit in ask(made, price_max="9", tools={"currency": "USD"}).hits] == [
        product_of("c")
    ]


def test_offers_of_the_settings_currency_come_first(tmp_path: Path) -> None:
    rows = [
        Row("shop", "e", "p", ("a",), Money(100, "EUR")),
        Row("shop", "u", "p", ("a",), Money(900, "USD")),
    ]
    made = tiny.opened(tmp_path, rows, {"a": RED})
    for currency, first in (("EUR", "e"), ("USD", "u"), ("", "e")):
        assert ask(made, tools={"currency": currency}).hits[0].offers[0].title == first


def test_words_are_those_of_the_snapshot_that_is_searched(tmp_path: Path) -> None:
    made = tiny.opened(tmp_path, ROWS[:1], VECTORS)
    assert ask(made, category="Boots").hits
    more = Row("shop", "n", "n", ("d",), fields={"category": "Hats"})
    tiny.write(made.db, [more], "c0107")
    tiny.fill(made.index, made.db, "c0107", VECTORS)
    tools = {"snapshot": made.index.publish("colour")}
    assert [hit.title for hit in ask(made, category="Hats", tools=tools).hits] == ["n"]


class Watching(FixedDetector):
    """Keeps how large the photos were that it saw."""

    def __init__(self) -> None:
        super().__init__((Region(WHOLE, "whole"),))
        object.__setattr__(self, "sizes", [])

    def find(self, photo: Image.Image) -> list[Region]:
        self.sizes.append(photo.size)  # type: ignore[attr-defined]
        return super().find(photo)


@pytest.mark.parametrize(
    ("box", "side_px"),
    [
        (None, 64),
        ((0.0, 0.0, 1.0, 1.0), 32),
        ((0.1, 0.1, 0.35, 0.9), 128),
        ((0.1, 0.1, 0.9, 0.2), 320),
        ((0.0, 0.0, 0.02, 0.02), 1600),
    ],
)
def test_a_photo_is_decoded_as_finely_as_the_encoder_needs(
    made: Tiny, box: Any, side_px: int
) -> None:
    """The encoder takes 32 px: half of a photo, or the smaller side of the box, has to fill them."""
    large, watching = photo(RED, (1000, 800)), Watching()
    search(large, Query(box=box), replace(made.tools, detector=watching))
    wanted = images.decode(large, side_px=side_px, max_pixels=1 << 20).size
    assert watching.sizes == [wanted]  # type: ignore[attr-defined]


def test_an_offer_made_by_hand_is_what_the_tiny_catalogue_holds() -> None:
    assert ROWS[0].offer() == Offer(
        "a1", "a1", "https://shop.example/a1", Money(1000, "EUR"),
        image_urls=("https://shop.example/a.jpg",), category="Shoes > Boots", size="39",
    )  # fmt: skip
