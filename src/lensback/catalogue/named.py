"""Offers as people name them: by words, by the store's own id, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select

from lensback.catalogue.offers import stored_where
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import NotFound
from lensback.types import StoredOffer


def public_id(db: Database, wanted: str) -> str:
    """The public id of an offer that is named by it or by `STORE:SKU`, the store's own id of it.
    Raises NotFound for a pair that the catalogue does not have."""
    store, mark, sku = wanted.partition(":")
    if not mark:
        return wanted
    o = t.offers.c
    named = select(o.offer_id).join(t.stores).where(t.stores.c.name == store, o.external_id == sku)
    with db.read() as c:
        found = c.execute(named).scalar()
    if found is None:
        raise NotFound(f"no such offer: {wanted}", hint=f"run: lensback offers find {sku}")
    return str(found)


def find(db: Database, words: Sequence[str], store: str = "", most: int = 20) -> list[StoredOffer]:
    """Offers whose title, brand, own id or public id holds every word, whatever its case; those on
    sale first."""
    o = t.offers.c
    text = func.lower(o.title + " " + o.brand + " " + o.external_id + " " + o.offer_id)
    limits = [text.contains(word.lower(), autoescape=True) for word in words]
    if store:
        limits.append(t.stores.c.name == store)
    query = select(o.id).join(t.stores).where(*limits).order_by(o.active.desc(), o.id).limit(most)
    with db.read() as c:
        keys = list(c.scalars(query))
        found = {stored.offer_id: stored for stored in stored_where(c, [o.id.in_(keys)])}
    return sorted(found.values(), key=lambda stored: not stored.active)


def every(db: Database, store: str = "", *, sold_only: bool = True) -> Iterator[StoredOffer]:
    """Every offer, store by store in no time order, a few hundred in memory at once."""
    o, last = t.offers.c, 0
    limits = [*([o.active] if sold_only else []), *([t.stores.c.name == store] if store else [])]
    while True:
        query = select(o.id).join(t.stores).where(o.id > last, *limits).order_by(o.id).limit(500)
        with db.read() as c:
            keys = list(c.scalars(query))
            rows = stored_where(c, [o.id.in_(keys)])
        if not keys:
            return
        yield from rows
        last = keys[-1]
