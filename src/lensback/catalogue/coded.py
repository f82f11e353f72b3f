"""Products by what a photo says of them: a number or a page in a code, an article number in print."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from lensback import gtins
from lensback.catalogue.filtered import restrict
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.types import Filter


def by_gtin(db: Database, number: str) -> list[str]:
    """Ids of the products with an offer on sale under this number, however it is written."""
    return _products(db, t.offers.c.gtin.in_(gtins.spellings(number)), Filter())


def by_page(db: Database, page_key: str) -> list[str]:
    """Ids of the products with an offer on sale on this page (`storepage.key`)."""
    return _products(db, t.offers.c.page_key == page_key, Filter())


def by_articles(db: Database, articles: Collection[str]) -> dict[str, list[str]]:
    """Article (`letters.article`) -> ids of the products with an offer on sale under it; those that nobody sells
    are left out."""
    o = t.offers
    query = select(o.c.article, o.c.product_id).select_from(o.join(t.stores)).distinct()
    found: dict[str, list[str]] = {}
    with db.read() as c:
        for part in chunks(sorted(articles)):
            wanted = (o.c.article.in_(part), o.c.product_id.is_not(None), *restrict(Filter()))
            for row in c.execute(query.where(*wanted).order_by(o.c.product_id)):
                found.setdefault(row.article, []).append(row.product_id)
    return found


@dataclass(frozen=True, slots=True, order=True)
class Named:
    """What an offer is called: its title, its brand, and its article number as it looks."""

    title: str
    brand: str
    article: str


def named(db: Database, product_ids: Sequence[str]) -> dict[str, list[Named]]:
    """Product -> what its offers on sale are called, each once."""
    o = t.offers.c
    query = select(o.product_id, o.title, o.brand, o.article).distinct()
    found: dict[str, list[Named]] = {}
    with db.read() as c:
        for part in chunks(product_ids):
            for row in c.execute(query.where(o.active, o.product_id.in_(part))):
                found.setdefault(row.product_id, []).append(
                    Named(row.title, row.brand, row.article)
                )
    return found


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
