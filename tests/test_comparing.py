"""Order, limits, filters and pages over all that was found, in two currencies: on a real small catalogue."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy import text

from lensback import verdicts
from lensback.catalogue import for_sale, offers
from lensback.catalogue.pictured import pictured
from lensback.errors import BadQuery
from lensback.exchange import Rates
from lensback.rank import Ranked
from lensback.search import CashbackBasis, Query, Tools, filter_of, search
from lensback.search.kinds import of_kind
from lensback.settings import Settings
from lensback.types import Filter, Money, PriceRange
from lensback.wire import Answer, Offer
from lensback.workspace import Workspace
from published import publish

RATES = Rates(datetime.now(UTC).date(), "USD", {"USD": Fraction(1), "RUB": Fraction(1, 80)})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tools, bytes]]:
    """Tools of two stores, one of dollars and one of roubles, with rates; and a photo. `harbour` has the
    size M at half price, of which `lavka` has none."""
    folder, photo = publish(tmp_path_factory.mktemp("comparing"))
    with Workspace(folder, Settings()) as workspace:
        with workspace.db.write() as c:
            c.execute(text("UPDATE offers SET brand = 'Quayline' WHERE currency = 'USD'"))
            c.execute(
                text(
                    "UPDATE offers SET old_price_minor = price_minor * 2 "
                    "WHERE currency = 'USD' AND size = 'M'"
                )
            )
        tools = replace(workspace.tools(), cashback=CashbackBasis(rates=RATES))
        assert tools.calibration is not None
        # Where "none" begins is not the question here: what a filter leaves is compared, however far it is.
        anything = replace(tools.calibration, none_below=-1.0)
        tools = replace(tools, calibration=anything)
        assert {"USD", "RUB"} <= set(offers.currencies(workspace.db))
        yield tools, photo.read_bytes()


def ask(made: tuple[Tools, bytes], **query: Any) -> Answer:
    return search(made[1], Query(**query), made[0])


def dollars(offer: Offer) -> float:
    amount = offer.converted or offer.price_after_cashback
    assert amount.currency == "USD"
    return float(amount.amount)


def test_every_price_is_told_in_one_currency_with_the_day(made: tuple[Tools, bytes]) -> None:
    found = ask(made)
    assert found.rates_on == str(RATES.day)
    for offer in (offer for hit in found.hits for offer in hit.offers):
        if offer.price.currency == "RUB":
            assert offer.converted == Money(offer.price_after_cashback.minor // 80, "USD")
        else:
            assert offer.converted is None
        prices = [dollars(one) for hit in found.hits for one in hit.offers]
    assert prices
    for hit in found.hits:
        here = [dollars(one) for one in hit.offers if one.availability == "in_stock"]
        assert here == sorted(here), "offers of both currencies in one order"
    asked = ask(made, currency="RUB")
    assert {o.converted.currency for h in asked.hits for o in h.offers if o.converted} == {"RUB"}
    bare = search(made[1], Query(), replace(made[0], cashback=CashbackBasis()))
    assert bare.rates_on is None
    assert not any(offer.converted for hit in bare.hits for offer in hit.offers)


def test_an_order_goes_over_all_that_was_found(made: tuple[Tools, bytes]) -> None:
    whole = ask(made, limit=100, order="price")
    cheap = ask(made, limit=3, order="price")
    assert cheap.total == whole.total == len(whole.hits) > 4
    assert [h.product_id for h in cheap.hits] == [h.product_id for h in whole.hits[:3]]
    alike = [hit for hit in whole.hits if not hit.exact]
    prices = [dollars(hit.offers[0]) for hit in alike]
    assert prices == sorted(prices)
    assert prices[0] < max(dollars(hit.offers[0]) for hit in ask(made, limit=3).hits)


@pytest.mark.parametrize("order", ["best", "price", "cashback"])
def test_pages_meet_without_gap_or_overlap(made: tuple[Tools, bytes], order: str) -> None:
    whole = [hit.product_id for hit in ask(made, limit=100, order=order).hits]
    paged: list[str] = []
    for offset in range(0, len(whole) + 4, 4):
        paged += [h.product_id for h in ask(made, limit=4, offset=offset, order=order).hits]
    assert paged == whole
    assert len(set(paged)) == len(paged)


def test_a_limit_of_the_price_holds_in_every_currency(made: tuple[Tools, bytes]) -> None:
    everything = [dollars(o) for h in ask(made, limit=100).hits for o in h.offers]
    middle = sorted(everything)[len(everything) // 2]
    for limits in ({"price_max": f"{middle:.2f}"}, {"price_min": f"{middle:.2f}"}):
        found = ask(made, limit=100, currency="USD", **limits)
        kept = [offer for hit in found.hits for offer in hit.offers]
        assert {offer.price.currency for offer in kept} == {"USD", "RUB"}
        low = "price_min" in limits
        assert all(
            (dollars(o) >= middle - 0.02) if low else (dollars(o) <= middle + 0.02) for o in kept
        )
        assert len(kept) < len(everything)
    db = made[0].db
    without = filter_of(db, Query(price_max="10", currency="USD"))
    assert without.elsewhere == ()
    both = filter_of(db, Query(price_max="10", price_min="1", currency="USD"), rates=RATES)
    assert both.elsewhere == (PriceRange("RUB", 80_00, 800_00),)


def test_filters_by_brand_size_and_discount(made: tuple[Tools, bytes]) -> None:
    brand = [o for h in ask(made, brands=("QUAYLINE",), limit=100).hits for o in h.offers]
    assert {offer.store for offer in brand} == {"harbour"}
    size = [o for h in ask(made, sizes=("m",), limit=100).hits for o in h.offers]
    assert {offer.size for offer in size} == {"M"}
    off = [o for h in ask(made, discount=50, limit=100).hits for o in h.offers]
    assert {(offer.store, offer.size) for offer in off} == {("harbour", "M")}
    assert ask(made, discount=51).hits == ()
    assert ask(made, brands=("nobody",)).verdict == "none"


@pytest.fixture(scope="module")
def drawn(made: tuple[Tools, bytes]) -> tuple[Tools, bytes]:
    """The same with the line of "none" where the calibration drew it."""
    tools = made[0]
    assert tools.calibration is not None
    line = {hit.title: hit.similarity for hit in ask(made, limit=100).hits}
    best, second = sorted(line.values(), reverse=True)[:2]
    between = replace(tools.calibration, none_below=(best + second) / 2)
    return replace(tools, calibration=between), made[1]


def test_a_filter_and_the_line_of_none(drawn: tuple[Tools, bytes]) -> None:
    """What is near enough is judged among all that the filter lets through; where only the filter stands
    before it, that is said, and the way back is offered."""
    whole = ask(drawn, limit=100)
    first = whole.hits[0]
    price = min(dollars(offer) for offer in first.offers)
    assert (whole.verdict, whole.left_out) == ("similar", False)

    kept = ask(drawn, limit=100, price_max=f"{price + 0.5:.2f}", currency="USD")
    assert first.product_id in {hit.product_id for hit in kept.hits}
    assert not kept.left_out

    asked = {"limit": 100, "price_min": f"{price * 3:.2f}", "currency": "USD", "facets": True}
    beyond = ask(drawn, **asked)
    assert (beyond.verdict, beyond.hits, beyond.total) == ("none", (), 0)
    assert beyond.left_out
    assert not beyond.nothing_to_search
    assert verdicts.explanation(beyond) == verdicts.LEFT_OUT_ALL
    assert beyond.facets is not None
    assert {one.value for one in beyond.facets.stores} == {"harbour", "lavka"}
    words = ask(drawn, words="umbrella")
    assert (words.verdict, words.left_out) == ("none", True)

    assert drawn[0].calibration is not None
    nothing = replace(drawn[0], calibration=replace(drawn[0].calibration, none_below=1.1))
    for query in ({}, asked):
        found = ask((nothing, drawn[1]), **query)
        assert (found.verdict, found.left_out) == ("none", False), "it is not sold at all"


def test_an_order_of_prices_where_a_rate_is_unknown(made: tuple[Tools, bytes]) -> None:
    """Roubles have no rate: nothing is guessed, and the pages meet all the same."""
    dollars_only = Rates(RATES.day, "USD", {"USD": Fraction(1)})
    lone = (replace(made[0], cashback=CashbackBasis(rates=dollars_only)), made[1])
    whole = ask(lone, limit=100, order="price")
    assert whole.rates_on is None
    assert not any(offer.converted for hit in whole.hits for offer in hit.offers)
    told = [hit.offers[0].price for hit in whole.hits if not hit.exact]
    amounts = [one.amount for one in told if one.currency == "USD"]
    assert amounts == sorted(amounts)
    currencies = [one.currency for one in told]
    assert currencies == sorted(currencies, key=lambda one: one != "USD"), (
        "never one among the other"
    )
    paged = [
        h.product_id
        for n in range(0, 12, 3)
        for h in ask(lone, limit=3, offset=n, order="price").hits
    ]
    assert paged == [hit.product_id for hit in whole.hits][:12]
    limited = ask(lone, limit=100, price_max="1000", currency="USD", facets=True)
    offered = {offer.price.currency for hit in limited.hits for offer in hit.offers}
    assert offered == {"USD"}, "of the others nobody knows whether they cost less"
    assert limited.facets is not None
    assert {one.value for one in limited.facets.stores} == {"harbour", "lavka"}


def test_what_is_sold_out_gives_way_across_pages(made: tuple[Tools, bytes]) -> None:
    db = made[0].db
    before = [hit for hit in ask(made, limit=100).hits if not hit.exact]
    first, second = before[0], before[1]
    with db.write() as c:
        rows = c.execute(
            text("SELECT id, product_id, title, brand, color, availability FROM offers")
        ).all()
        mine = {"first": first.product_id, "second": second.product_id}
        c.execute(
            text(
                "UPDATE offers SET title = 'One and the same', brand = 'Q', color = '' WHERE product_id IN (:first, :second)"
            ),
            mine,
        )
        c.execute(
            text("UPDATE offers SET availability = 'out_of_stock' WHERE product_id = :first"), mine
        )
    try:
        after = [hit.product_id for hit in ask(made, limit=100).hits if not hit.exact]
        assert after[:2] == [second.product_id, first.product_id]
        one_by_one = [
            h.product_id for n in range(len(before)) for h in ask(made, limit=1, offset=n).hits
        ]
        assert [one for one in one_by_one if one in after] == after
    finally:
        with db.write() as c:
            for row in rows:
                c.execute(
                    text(
                        "UPDATE offers SET title = :title, brand = :brand, color = :color, availability = :availability WHERE id = :id"
                    ),
                    dict(row._mapping),
                )


@pytest.mark.parametrize(
    "wrong", [{"order": "nonsense"}, {"offset": -1}, {"offset": 1001}, {"discount": 100}]
)
def test_what_makes_no_sense_is_said(made: tuple[Tools, bytes], wrong: dict[str, Any]) -> None:
    with pytest.raises(BadQuery) as error:
        ask(made, **wrong)
    assert error.value.hint


def test_facets_are_what_the_hits_have(made: tuple[Tools, bytes]) -> None:
    assert ask(made).facets is None
    facets = ask(made, facets=True, limit=3).facets
    assert facets is not None
    whole = ask(made, limit=100)
    for kind, name in (("stores", "store"), ("categories", "category"), ("sizes", "size")):
        told = {one.value: one.products for one in getattr(facets, kind)}
        seen: dict[str, set[str]] = {}
        for hit in whole.hits:
            for offer in hit.offers:
                if getattr(offer, name):
                    seen.setdefault(getattr(offer, name), set()).add(hit.product_id)
        assert told == {value: len(having) for value, having in seen.items()}
    narrow = ask(made, facets=True, stores=("lavka",)).facets
    assert narrow is not None
    assert {one.value for one in narrow.stores} == {"harbour", "lavka"}, "the way back is offered"


def test_a_filter_is_the_same_in_the_index_and_in_the_catalogue(made: tuple[Tools, bytes]) -> None:
    tools = made[0]
    where = Filter(price_max=Money(2000, "USD"), elsewhere=(PriceRange("RUB", None, 160_000),))
    found = ask(made, limit=100)
    rows = for_sale.rows(tools.db, [hit.product_id for hit in found.hits], where)
    vector = tools.encoder.encode([_picture(made[1])])[0]
    images = {one.image_hash for one in tools.index.search(vector, 1000, where)}
    shown = pictured(tools.db, list(images), where).passing
    assert {product for products in shown.values() for product in products} == set(rows)
    assert rows


def _picture(photo: bytes) -> Any:
    from PIL import Image

    with Image.open(io.BytesIO(photo)) as opened:
        return opened.convert("RGB")


def test_hits_keep_to_the_kind_unless_there_is_nothing() -> None:
    kinds = {"s": frozenset({"shoes"}), "h": frozenset({"hat"}), "u": frozenset[str]()}

    def kept(*hashes: str, lead: float = -0.1, label: str = "shoes") -> list[str]:
        ranked = [Ranked(f"p{h}", h, 0.5, lead if h == "h" else -0.1) for h in hashes]
        return [one.image_hash for one in of_kind(ranked, kinds, label)]

    assert kept("h", "s", "u") == ["s", "u"]
    assert kept("h", "s", lead=0.2) == ["h", "s"], "the nearest of all stays"
    assert kept("h") == ["h"], "all that there is"
    assert kept("h", "s", label="") == ["h", "s"]
