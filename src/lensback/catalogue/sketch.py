"""A few image hashes that stand for a whole catalogue."""

from __future__ import annotations

from sqlalchemy import exists, select

from lensback.db import Database
from lensback.db import tables as t


def smallest_images(db: Database, fingerprint: str, limit: int) -> tuple[str, ...]:
    """The smallest hashes of the images that can be found with an encoder, sorted.

    Hashes are evenly spread, so two catalogues share about as large a part of these as of all.
    """
    u, oi, o, e = t.image_urls.c, t.offer_images.c, t.offers.c, t.embeddings.c
    shown = exists().where(
        u.image_hash == e.image_hash, oi.image_url_id == u.id, o.id == oi.offer_id, o.active
    )
    query = select(e.image_hash).where(e.fingerprint == fingerprint, e.status == "ok", shown)
    with db.read() as c:
        return tuple(c.scalars(query.order_by(e.image_hash).limit(limit)))
