"""The catalogue's revision: whether what grouping and publishing read has changed since.

A digest of the rows themselves, so that it tells of every change, whoever made it. Reading them takes a
small part of the time of grouping them; memory does not grow with the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import Select, select

from lensback.db import Database
from lensback.db import tables as t

PAGE = 2000

_O, _U, _P, _D, _L = (
    table.c for table in (t.offers, t.image_urls, t.image_pairs, t.image_doubts, t.product_links)
)
_OFFERS = (
    select(
        *(_O.id, _O.offer_id, _O.store_id, _O.item_group_id, _O.color, _O.brand, _O.title),
        *(_O.category, _O.price_minor, _O.currency, _O.availability, _O.gtin, _O.mpn),
        _O.content_hash,  # and with it what only words are found by
    )
    .where(_O.active)
    .order_by(_O.id)
)
_STORES = select(t.stores.c.id, t.stores.c.name).order_by(t.stores.c.id)
_SHOWN = select(*t.offer_images.c).order_by(*t.offer_images.primary_key)
_ADDRESSES = select(_U.id, _U.image_hash).where(_U.image_hash.is_not(None)).order_by(_U.id)
_PRODUCTS = select(_O.id, _O.product_id).where(_O.active).order_by(_O.id)
_PAIRS = select(*_P).order_by(_P.hash_a, _P.hash_b)
_DOUBTS = select(*_D).order_by(_D.image_hash)
_LINKS = select(*_L).order_by(_L.offer_a, _L.offer_b)


def said(db: Database, fingerprint: str) -> str:
    """Digest of what stores say of what is on sale, what pictures they show, and which of these have
    vectors of an encoder: what products and index are made of."""
    e = t.embeddings.c
    encoded = select(e.image_hash, e.status).where(e.fingerprint == fingerprint)
    return _digest(db, [_OFFERS, _STORES, _SHOWN, _ADDRESSES, encoded.order_by(e.image_hash)])


def grouped(db: Database) -> str:
    """Digest of what grouping wrote: products, their reasons, what pictures prove."""
    return _digest(db, [_PRODUCTS, _PAIRS, _DOUBTS, _LINKS])


def _digest(db: Database, asked: Sequence[Select[Any]]) -> str:
    """Of the rows of all statements, in one consistent state."""
    digest = blake2b(digest_size=16)
    with db.read() as c:
        for statement in asked:
            rows = c.execution_options(yield_per=PAGE).execute(statement)
            for page in rows.partitions():
                # JSON keeps rows and values apart.
                digest.update(json.dumps([tuple(row) for row in page]).encode("ascii"))
            digest.update(b";")
    return digest.hexdigest()
