"""Offers for sale -> the hits and products that every face shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lensback import rank
from lensback.catalogue import for_sale, products
from lensback.catalogue.for_sale import ForSale
from lensback.catalogue.saved import SavedThing
from lensback.db import Database
from lensback.search.prices import CashbackBasis, Prices
from lensback.search.titles import caption
from lensback.types import Money
from lensback.wire import By, Hit, Link, Offer, Product


def in_order(
    rows: Sequence[ForSale], prices: Prices, *, currency: str = "", search_id: str = ""
) -> tuple[Offer, ...]:
    """The offers of one product as a shopper wants to see them."""
    return rank.in_order((prices.offer(row, search_id) for row in rows), currency)


def hit_of(
    product_id: str,
    rows: Sequence[ForSale],
    ordered: tuple[Offer, ...],
    *,
    image_hash: str,
    similarity: float = 0.0,
    probability: float = 0.0,
    exact: bool = False,
    language: str = "",
    by: By = "looks",
) -> Hit:
    """A hit called what its best offer is called (`titles.caption`) for a reader of `language`."""
    called = caption(rows, language)
    return Hit(
        product_id=product_id,
        title=called.title,
        brand=called.brand,
        category=called.category,
        similarity=similarity,
        probability=probability,
        exact=exact,
        by=by,
        image=f"/images/{image_hash}",
        offers=ordered,
    )


def product_of(
    db: Database,
    product_id: str,
    rows: Sequence[ForSale],
    links: Iterable[Mapping[str, Any]],
    basis: CashbackBasis,
    currency: str = "",
    language: str = "",
) -> Product:
    """A product with its offers, its images, and the reasons that hold it together, called as
    `hit_of` calls it."""
    called = caption(rows, language)
    ordered = in_order(rows, Prices.of(db, rows, basis), currency=currency)
    shown = for_sale.images(db, [offer.offer_id for offer in ordered])
    images = dict.fromkeys(image for one in ordered for image in shown.get(one.offer_id, ()))
    return Product(
        product_id=product_id,
        title=called.title,
        brand=called.brand,
        category=called.category,
        images=tuple(f"/images/{image}" for image in images),
        offers=ordered,
        links=tuple(Link(**link) for link in links),
    )


def saved_thing(
    db: Database, owner: str, product_id: str, basis: CashbackBasis, language: str, at: int
) -> SavedThing:
    """A product as it is at a moment (UTC epoch), for somebody to save: its lowest price in stock, in the
    currency of its best offer. Raises NotFound."""
    key, rows = products.find(db, product_id)
    thing = product_of(db, key, rows, (), basis, language=language)
    here = [offer for offer in thing.offers if offer.here]
    currency = thing.offers[0].price.currency
    within_reach = here or [offer for offer in thing.offers if offer.reachable] or thing.offers
    prices = [one.price for one in within_reach if one.price.currency == currency]
    price: Money = min(prices, key=lambda money: money.minor)
    image = thing.images[0].rpartition("/")[2] if thing.images else ""
    return SavedThing(
        owner, key, thing.title, image, price, bool(here), language, at, price, bool(here)
    )
