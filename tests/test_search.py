"""photo -> answer, part by part and whole: filters, verdicts, order, the shape of the JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garments import items
from lensback import rank
from lensback.catalogue import stores
from lensback.catalogue.offers import offer_id
from lensback.detectors import open_detector
from lensback.encoders import open_encoder
from lensback.errors import BadImage, BadQuery, Error, StaleIndex, TooLarge, UnknownName
from lensback.rank import Calibration
from lensback.search import (
    MIN_BOX,
    Query,
    Tools,
    check_box,
    filter_of,
    parse_box,
    search,
)
from lensback.settings import Settings
from lensback.sync import sync
from lensback.types import Money
from lensback.wire import Answer
from lensback.workspace import Workspace, init
from world import World

T = TypeVar("T")
THINGS = items(14)
BOTH, DEARER, SOLD_OUT = THINGS[5], THINGS[6], THINGS[7]
"""Things of both stores: as they come, cheaper at the second, sold out at the first."""


@dataclass(frozen=True)
class Shop:
    world: World
    workspace: Workspace
    tools: Tools

    def photo(self, thing: Any = BOTH) -> bytes:
        """The store's own picture: it certainly finds itself."""
        path = self.world.stores["harbour"].offers
        offer = next(o for o in path if o.item.id == thing.id)
        page = self.world._pages[f"/harbour/images/{offer.images[0]}"]
        return page[0]

    def ask(self, thing: Any = BOTH, tools: Tools | None = None, **query: Any) -> Answer:
        return search(self.photo(thing), Query(**query), tools or self.tools)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    root = tmp_path_factory.mktemp("search")
    init(root / "workspace")
    chosen = Settings(allow_hosts=("127.0.0.1",), retries=0, index="exact")
    with World(root / "world") as world, Workspace(root / "workspace", chosen) as workspace:
        harbour = world.store("harbour", "google", THINGS[:10], sizes=("S", "M"))
        pier = world.store("pier", "google", THINGS[5:])
        for offer in pier.offers:
            offer.price = "5.00" if offer.item == DEARER else offer.price
        for offer in harbour.offers:
            offer.available = offer.item != SOLD_OUT
        for store in (harbour, pier):
            world.publish(store)
            stores.add(workspace.db, store.name, store.feed_url)
        assert not sync(workspace).failed
        tools = replace(workspace.tools(), detector=open_detector("whole"), calibration=None)
        yield Shop(world, workspace, tools)


def sure(bias: float, none_below: float = -1.0) -> Calibration:
    """A calibration that says the same of everything."""
    return Calibration("any", bias, 0.0, 0.0, none_below)


def outcome(call: Callable[[], T]) -> tuple[T | None, BadQuery | None]:
    """What a call gives, or why it refuses; anything else that it raises is a fault."""
    try:
        return call(), None
    except BadQuery as error:
        return None, error


# ---- boxes

shares = st.floats(0, 1)


@given(shares, shares, shares, shares)
def test_a_box_is_read_as_it_is_written_or_refused(
    x0: float, y0: float, x1: float, y1: float
) -> None:
    text = f"{x0!r}, {y0!r},{x1!r} ,{y1!r}"
    if x1 - x0 >= MIN_BOX and y1 - y0 >= MIN_BOX:
        assert parse_box(text) == (x0, y0, x1, y1)
        check_box((x0, y0, x1, y1))
    else:
        with pytest.raises(BadQuery, match="not a box"):
            parse_box(text)


@given(st.text())
def test_any_text_is_a_box_or_a_bad_query(text: str) -> None:
    box, error = outcome(lambda: parse_box(text))
    assert error is None or (error.hint and len(error.message) < 200)
    assert box is None or all(0 <= value <= 1 for value in box)


@pytest.mark.parametrize(
    "text",
    ["1", "0,0,1", "0,0,1,1,1", "a,b,c,d", "nan,0,1,1", "0,0,inf,1", "-0.1,0,1,1", "0,0,1,2"],
)
def test_what_is_no_box(text: str) -> None:
    with pytest.raises(BadQuery, match="not a box"):
        parse_box(text)


def test_no_box() -> None:
    assert parse_box("") is None
    assert parse_box("  ") is None
    check_box(None)


# ---- the shopper's words


def test_a_plain_question_filters_nothing(shop: Shop) -> None:
    assert filter_of(shop.tools.db, Query()).empty


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_limits_that_are_refused(limit: int, shop: Shop) -> None:
    with pytest.raises(BadQuery, match="limit"):
        filter_of(shop.tools.db, Query(limit=limit))


@pytest.mark.parametrize(
    ("amount", "minor"), [("49.90", 4990), ("49", 4900), ("0", 0), ("1e2", 10000), ("0.005", 1)]
)
def test_prices(amount: str, minor: int, shop: Shop) -> None:
    where = filter_of(shop.tools.db, Query(price_max=amount))
    assert where.price_max == Money(minor, "USD"), "the only currency there is"
    named = filter_of(shop.tools.db, Query(price_max=amount, currency="usd"), "RUB")
    assert named.price_max == Money(minor, "USD"), "the shopper's word stands above the setting"
    for query, setting in (
        (Query(price_max=amount, currency="eur"), ""),
        (Query(price_max=amount), "RUB"),
    ):
        with pytest.raises(BadQuery, match="no offer is in") as raised:
            filter_of(shop.tools.db, query, setting)
        assert raised.value.hint == "currencies here: USD"


@pytest.mark.parametrize("amount", ["cheap", "-1", "nan", "inf", "1e13", "1,50", "0x10", "١٢٣x"])
def test_what_is_no_price(amount: str, shop: Shop) -> None:
    with pytest.raises(BadQuery, match="not a price"):
        filter_of(shop.tools.db, Query(price_max=amount))


@given(amount=st.text(max_size=40), currency=st.text(max_size=5))
def test_any_words_are_a_filter_or_our_error(shop: Shop, amount: str, currency: str) -> None:
    query = Query(price_max=amount, currency=currency)
    _, error = outcome(lambda: filter_of(shop.tools.db, query))
    assert error is None or error.hint


def test_categories_and_stores(shop: Shop) -> None:
    path = shop.ask().hits[0].offers[0].category
    assert filter_of(shop.tools.db, Query(category=path)).categories == (path,)
    part = path.split(" > ")[-1]
    assert path in filter_of(shop.tools.db, Query(category=part)).categories
    with pytest.raises(BadQuery, match="no offer has the category"):
        filter_of(shop.tools.db, Query(category="spaceships"))
    with pytest.raises(UnknownName, match="nowhere"):
        filter_of(shop.tools.db, Query(stores=("pier", "nowhere")))
    assert filter_of(shop.tools.db, Query(stores=("pier",))).stores == ("pier",)


# ---- verdicts


def test_nothing_is_exact_without_a_calibration(shop: Shop) -> None:
    found = shop.ask()
    assert (found.verdict, found.calibrated) == ("similar", False)
    assert found.hits[0].similarity > 0.99, "a picture of the catalogue finds itself"
    assert not any(hit.exact for hit in found.hits)
    assert found.probability == 0


@pytest.mark.parametrize(
    ("calibration", "verdict", "exact"),
    [
        (sure(60), "exact", True),
        (sure(-60), "similar", False),
        (sure(60, none_below=1.1), "none", False),
        (sure(60, none_below=0.5), "exact", True),
    ],
)
def test_verdicts(calibration: Calibration, verdict: str, exact: bool, shop: Shop) -> None:
    found = shop.ask(tools=replace(shop.tools, calibration=calibration))
    assert (found.verdict, found.calibrated) == (verdict, True)
    assert all(hit.exact == exact for hit in found.hits)
    assert bool(found.hits) == (verdict != "none")
    assert found.probability == max((hit.probability for hit in found.hits), default=0)


def test_exact_begins_at_the_promised_precision(shop: Shop) -> None:
    even = replace(shop.tools, calibration=sure(0))
    assert shop.ask(tools=replace(even, exact_precision=0.5)).verdict == "exact"
    assert shop.ask(tools=replace(even, exact_precision=0.51)).verdict == "similar"


def test_only_the_leader_is_exact_where_the_margin_counts(shop: Shop) -> None:
    steep = Calibration("any", -20, 0, 10_000, -1.0)
    found = shop.ask(tools=replace(shop.tools, calibration=steep))
    assert [hit.exact for hit in found.hits] == [True] + [False] * (len(found.hits) - 1)


def test_filters_that_leave_nothing(shop: Shop) -> None:
    found = shop.ask(price_max="0.01")
    assert (found.verdict, found.hits, found.probability) == ("none", (), 0.0)


def test_another_encoder_than_the_index_has(shop: Shop) -> None:
    other = open_encoder("pixels*0.5", Path("nowhere"))
    with pytest.raises(StaleIndex, match="another version") as raised:
        shop.ask(tools=replace(shop.tools, encoder=other))
    assert raised.value.hint == "run: lensback sync"


def test_photos_that_are_refused(shop: Shop) -> None:
    for data in (b"", b"words", shop.photo()[:300]):
        with pytest.raises(BadImage):
            search(data, Query(), shop.tools)
    with pytest.raises(TooLarge):
        search(shop.photo(), Query(), replace(shop.tools, max_bytes=100))
    with pytest.raises(TooLarge):
        search(shop.photo(), Query(), replace(shop.tools, max_pixels=100))


@given(st.binary(max_size=300))
def test_any_bytes_are_answered_or_our_error(shop: Shop, data: bytes) -> None:
    with pytest.raises(Error) as raised:
        search(data, Query(), shop.tools)
    assert raised.value.hint


# ---- hits


def test_every_store_of_a_thing_is_shown_beside(shop: Shop) -> None:
    first = shop.ask().hits[0]
    sold = shop.world.offers_of(BOTH)
    assert {offer.offer_id for offer in first.offers} == {offer_id(*one) for one in sold}
    assert {offer.store for offer in first.offers} == {"harbour", "pier"}


def test_a_store_filter_takes_the_others_offers_away(shop: Shop) -> None:
    first = shop.ask(stores=("pier",)).hits[0]
    assert {offer.store for offer in first.offers} == {"pier"}


def test_offers_are_in_a_shoppers_order(shop: Shop) -> None:
    for thing, first_store in ((BOTH, "harbour"), (DEARER, "pier"), (SOLD_OUT, "pier")):
        for hit in shop.ask(thing).hits:
            assert list(hit.offers) == list(rank.in_order(hit.offers))
        assert shop.ask(thing).hits[0].offers[0].store == first_store
    sold_out = shop.ask(SOLD_OUT).hits[0].offers
    assert sold_out[-1].availability == "out_of_stock"
    in_stock = shop.ask(SOLD_OUT, in_stock=True).hits[0].offers
    assert {offer.store for offer in in_stock} == {"pier"}


def test_hits_are_ordered_and_limited(shop: Shop) -> None:
    every = shop.ask(limit=100).hits
    similarities = [hit.similarity for hit in every]
    assert similarities == sorted(similarities, reverse=True)
    assert len({hit.product_id for hit in every}) == len(every)
    assert [h.product_id for h in shop.ask(limit=3).hits] == [h.product_id for h in every[:3]]


def test_the_box_is_what_is_searched(shop: Shop) -> None:
    box = (0.1, 0.2, 0.9, 0.8)
    found = shop.ask(box=box)
    assert found.region == box
    assert [r.label for r in found.regions] == ["given", "whole"]
    assert shop.ask().region == (0, 0, 1, 1)


# ---- the JSON

CONTRACT = {
    "search_id": "", "verdict": "", "probability": 0, "photo": {"width": 0, "height": 0},
    "region": [], "regions": [{"box": [], "label": "", "score": 0}],
    "hits": [{
        "product_id": "", "title": "", "brand": "", "similarity": 0, "probability": 0,
        "exact": True, "image": "",
        "offers": [{
            "offer_id": "", "store": "", "price": {"amount": "", "currency": ""},
            "cashback": {"amount": "", "currency": "", "up_to": True},
            "price_after_cashback": {"amount": "", "currency": ""},
            "availability": "", "link": "",
        }],
    }],
    "timings_ms": {"decode": 0, "regions": 0, "encode": 0, "search": 0, "rank": 0, "total": 0},
    "encoder": "", "snapshot": "",
}  # fmt: skip
"""Promised; keys may be added and are documented, none is taken away."""


def written(answer: Answer) -> dict[str, Any]:
    """The answer as a client gets it."""
    made: dict[str, Any] = json.loads(answer.model_dump_json())
    return made


def paths(value: Any, path: str = "") -> set[str]:
    """Every key of a JSON value, with its place: `hits[].offers[].price.amount`."""
    if isinstance(value, dict):
        return {
            p
            for key, child in value.items()
            for p in {f"{path}.{key}"} | paths(child, f"{path}.{key}")
        }
    if isinstance(value, list):
        return {p for child in value for p in paths(child, f"{path}[]")}
    return set()


def test_the_json_has_the_keys_of_the_contract(shop: Shop) -> None:
    made = written(shop.ask())
    assert paths(CONTRACT) <= paths(made)


def test_the_json_is_what_the_docs_show(shop: Shop) -> None:
    page = (Path(__file__).parents[1] / "docs" / "search.md").read_text("utf-8")
    block = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert block
    assert paths(json.loads(block[1])) == paths(written(shop.ask()))


def test_values_of_the_json(shop: Shop) -> None:
    found = shop.ask(DEARER)
    made: Any = written(found)
    offer = made["hits"][0]["offers"][0]
    assert offer["price"] == {"amount": "5.00", "currency": "USD"}
    assert offer["cashback"] == {"amount": "0.00", "currency": "USD", "up_to": False}
    assert offer["price_after_cashback"] == offer["price"]
    assert offer["link"] == f"/go/{offer['offer_id']}?search={made['search_id']}"
    assert made["hits"][0]["image"] == f"/images/{found.hits[0].image_hash}"
    assert re.fullmatch(r"[0-9a-f]{16}", made["search_id"])
    assert made["encoder"] == shop.tools.encoder.fingerprint
    assert made["snapshot"] == shop.tools.snapshot.id
    nothing: Any = written(shop.ask(price_max="0.01"))
    assert (nothing["verdict"], nothing["hits"]) == ("none", [])
