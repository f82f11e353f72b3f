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

from lensback.catalogue import for_sale, offers
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
    shown = offers.products_of_images(tools.db, list(images), where)
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
