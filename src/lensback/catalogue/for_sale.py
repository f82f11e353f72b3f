"""What an answer shows of offers: few columns, read fast, and the images beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, cast

from sqlalchemy import Select, bindparam, select

from lensback.catalogue import offers
from lensback.catalogue.filtered import REMEMBERED, restrict
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.types import Availability, Filter


class ForSale(Protocol):
    """A row of the catalogue with what an answer shows of an offer, read without the rest."""

    product_id: str
    offer_id: str
    store: str
    store_title: str
    """What people call the store, where the operator gave it a name for them."""
    title: str
    brand: str
    size: str
    color: str
    category: str
    availability: Availability
    currency: str
    price_minor: int
    old_price_minor: int | None
    url: str
    target_url: str
    disclosure: str


EVERYTHING = Filter()

# Built once: putting a statement together takes longer than running it.
_ROWS = (
    select(
        *(t.offers.c[name] for name in ForSale.__annotations__ if not name.startswith("store")),
        t.stores.c.name.label("store"),
        t.stores.c.title.label("store_title"),
    )
    .join(t.stores)
    .order_by(t.offers.c.id)
)
_ONE = _ROWS.where(t.offers.c.offer_id == bindparam("offer"))


def rows(db: Database, product_ids: Sequence[str], where: Filter) -> dict[str, list[ForSale]]:
    """What an answer shows of the offers of these products that pass the filter, by product;
    products without any are missing."""
    return _by_product(db, _sold(where), {"products": list(product_ids)})


def traits(db: Database, product_ids: Sequence[str]) -> list[Any]:
    """Rows of (product_id, store, category, brand, size, color), each once, of the offers on sale of
    these products."""
    o = t.offers.c
    columns = (o.product_id, t.stores.c.name.label("store"), o.category, o.brand, o.size, o.color)
    query = select(*columns).distinct().join_from(t.offers, t.stores).where(o.active)
    found: list[Any] = []
    with db.read() as c:
        for part in chunks(product_ids):
            found += c.execute(query.where(o.product_id.in_(part))).all()
    return found


def colors(db: Database, where: Filter = EVERYTHING) -> list[Any]:
    """Rows of (store, category, color, in_stock), each once, of the offers on sale that name a colour and
    pass the filter."""
    o = t.offers.c
    here = (o.availability == "in_stock").label("in_stock")
    query = select(t.stores.c.name.label("store"), o.category, o.color, here).distinct()
    query = query.join_from(t.offers, t.stores).where(o.color != "", *restrict(where))
    with db.read() as c:
        return list(c.execute(query))


def are_more(db: Database, categories: Sequence[str], most: int) -> bool:
    """Whether more than `most` offers, on sale or not, have one of these categories, or any where none is said;
    counts no further."""
    o = t.offers.c
    some = select(o.id).where(*([o.category.in_(categories)] if categories else ()))
    with db.read() as c:
        beyond = c.execute(some.offset(most).limit(1)).first()
    return beyond is not None


def row(db: Database, wanted: str) -> ForSale:
    """What an answer shows of one offer, by its public id, on sale or not. Raises NotFound."""
    for found in _by_product(db, _ONE, {"offer": wanted}).values():
        return found[0]
    raise offers.no_such(wanted)


@lru_cache(REMEMBERED)
def _sold(where: Filter) -> Select[Any]:
    """The rows of `products` that pass a filter."""
    asked: Any = bindparam("products", expanding=True)
    return _ROWS.where(t.offers.c.product_id.in_(asked), *restrict(where))


def _by_product(
    db: Database, query: Select[Any], asked: Mapping[str, Any]
) -> dict[str, list[ForSale]]:
    by_product: dict[str, list[ForSale]] = {}
    with db.read() as c:
        for one in cast("Sequence[ForSale]", c.execute(query, asked).all()):
            by_product.setdefault(one.product_id, []).append(one)
    return by_product


def images(db: Database, offer_ids: Iterable[str]) -> dict[str, list[str]]:
    """Offer id -> hashes of its images, in the store's order; offers without any are missing."""
    o, u, oi = t.offers.c, t.image_urls.c, t.offer_images.c
    query = (
        select(o.offer_id, u.image_hash)
        .select_from(t.offer_images)
        .join(t.offers, o.id == oi.offer_id)
        .join(t.image_urls, u.id == oi.image_url_id)
        .where(u.image_hash.is_not(None))
        .order_by(oi.offer_id, oi.position)
    )
    found: dict[str, list[str]] = {}
    with db.read() as c:
        for part in chunks(offer_ids):
            for one in c.execute(query.where(o.offer_id.in_(part))):
                found.setdefault(one.offer_id, []).append(one.image_hash)
    return found
