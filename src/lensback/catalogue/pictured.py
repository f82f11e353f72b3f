"""What is said of some pictures by the offers on sale that show them, all of it in one statement: asked for one by
one, products and categories took longer than ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, and_, select

from lensback.catalogue.filtered import REMEMBERED, restrict
from lensback.db import Database
from lensback.db import tables as t
from lensback.db.lists import among, listed
from lensback.types import Filter


@dataclass(frozen=True, slots=True)
class Pictured:
    """Products and categories of some pictures, by image hash, sorted; where there is nothing to say of a picture it is
    missing."""

    products: Mapping[str, Sequence[str]]
    """The products that show it."""
    passing: Mapping[str, Sequence[str]]
    """Those of them that have an offer passing the filter."""
    categories: Mapping[str, Sequence[str]]
    """The category paths of the offers that show it."""


_EVERY = Filter()


def pictured(db: Database, hashes: Sequence[str], where: Filter = _EVERY) -> Pictured:
    """What the offers that show these images say of them; `where` decides which of the products pass."""
    products: dict[str, set[str]] = {}
    passing: dict[str, set[str]] = {}
    categories: dict[str, set[str]] = {}
    if hashes:
        asked = {"hashes": listed(hashes, shared=db.shared)}
        with db.read() as c:
            rows = c.execute(_said(where, db.shared), asked).all()
        for image_hash, product_id, category, passes in rows:
            categories.setdefault(image_hash, set()).add(category)
            if product_id is not None:
                products.setdefault(image_hash, set()).add(product_id)
                if passes:
                    passing.setdefault(image_hash, set()).add(product_id)
    return Pictured(*map(_sorted, (products, passing, categories)))


def _sorted(values_of: Mapping[str, set[str]]) -> dict[str, list[str]]:
    return {image_hash: sorted(values) for image_hash, values in values_of.items()}


@lru_cache(REMEMBERED)
def _said(where: Filter, shared: bool) -> Select[Any]:
    """Rows of image hash, product, category and whether the offer passes, each once. The filter is a column and
    no condition: nothing but the pictures can decide how the statement is run."""
    o, u, oi = t.offers, t.image_urls, t.offer_images
    passes = and_(*restrict(where)).label("passes")
    return (
        select(u.c.image_hash, o.c.product_id, o.c.category, passes)
        .select_from(u)
        .join(oi, oi.c.image_url_id == u.c.id)
        .join(o, o.c.id == oi.c.offer_id)
        .join(t.stores, t.stores.c.id == o.c.store_id)
        .where(among(u.c.image_hash, "hashes", shared=shared), o.c.active)
        .distinct()
    )
