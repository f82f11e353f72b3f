"""How much of what each store sells a photo can lead to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import and_, case, exists, func, select

from lensback.catalogue.pictures import index_rows, shows_no_thing
from lensback.db import Database
from lensback.db import tables as t


def findable(db: Database, fingerprint: str) -> dict[str, tuple[int, int]]:
    """Store -> how many of its offers on sale a photo can lead to, and how many there are."""
    o, oi, u, e = t.offers.c, t.offer_images.c, t.image_urls.c, t.embeddings.c
    seen = exists().where(
        oi.offer_id == o.id,
        u.id == oi.image_url_id,
        e.image_hash == u.image_hash,
        e.fingerprint == fingerprint,
        e.status == "ok",
    )
    found = func.sum(case((and_(seen, o.product_id.is_not(None)), 1), else_=0))
    query = select(t.stores.c.name, found, func.count()).select_from(t.offers).join(t.stores)
    with db.read() as c:
        rows = c.execute(query.where(o.active).group_by(t.stores.c.name).order_by(t.stores.c.name))
        return {name: (int(n), int(sold)) for name, n, sold in rows}


def searched(db: Database, fingerprint: str, hashes: Sequence[str]) -> set[str]:
    """Which of these images a search looks at: those with a vector that show a thing."""
    e = t.embeddings.c
    query = select(e.image_hash).where(
        e.image_hash.in_(hashes),
        e.fingerprint == fingerprint,
        e.status == "ok",
        ~shows_no_thing(e.image_hash),
    )
    with db.read() as c:
        return set(c.scalars(query))


def rows_by_store(db: Database, fingerprint: str) -> Counter[str]:
    """Store -> how many rows the index should hold of it."""
    rows = index_rows(fingerprint).subquery()
    query = select(rows.c.store, func.count()).group_by(rows.c.store)
    with db.read() as c:
        return Counter({str(store): int(n) for store, n in c.execute(query)})
