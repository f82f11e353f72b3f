"""Products by what a code in a photo says of them: a number, or a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from lensback import gtins
from lensback.catalogue.filtered import restrict
from lensback.db import Database
from lensback.db import tables as t
from lensback.types import Filter


def by_gtin(db: Database, number: str) -> list[str]:
    """Ids of the products with an offer on sale under this number, however it is written."""
    return _products(db, t.offers.c.gtin.in_(gtins.spellings(number)), Filter())


def by_page(db: Database, page_key: str) -> list[str]:
    """Ids of the products with an offer on sale on this page (`storepage.key`)."""
    return _products(db, t.offers.c.page_key == page_key, Filter())


def passing(db: Database, product_ids: Sequence[str], where: Filter) -> list[str]:
    """Those of the products that have an offer which passes the filter."""
    if where.empty or not product_ids:
        return list(product_ids)
    return _products(db, t.offers.c.product_id.in_(product_ids), where)


def gtins_of(db: Database, product_ids: Sequence[str]) -> dict[str, set[str]]:
    """Product -> the numbers of its offers on sale, "" for an offer without one."""
    o = t.offers.c
    query = select(o.product_id, o.gtin).where(o.active, o.product_id.in_(product_ids)).distinct()
    found: dict[str, set[str]] = {}
    with db.read() as c:
        for row in c.execute(query):
            found.setdefault(row.product_id, set()).add(row.gtin)
    return found


def _products(db: Database, wanted: Any, where: Filter) -> list[str]:
    o = t.offers
    query = select(o.c.product_id).select_from(o.join(t.stores))
    query = query.where(wanted, o.c.product_id.is_not(None), *restrict(where)).distinct()
    with db.read() as c:
        return sorted(c.scalars(query))
