"""Images of offers: which are still to download, which to embed, which rows to index."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, exists, func, or_, select, update

from lensback.db import Database, Part, chunks
from lensback.db import tables as t
from lensback.types import ImageInfo, IndexRow

PAGE = 2000
PAUSE_S = 3600
"""Between tries of an address that failed often: an outage of hours loses nothing."""
FORGIVE_S = 7 * 86_400
"""After a week even a hopeless address gets another try: stores mend their servers."""
FINAL = 1000
"""The attempts of an address that no further try will help."""
RowId = Callable[[str, str, str, bool, str], int]
ALL = Part(0, 1)
"""The whole to-do, not shared with other processes."""


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """One address of an image that some offer on sale needs."""

    id: int
    url: str
    attempts: int


def _needed() -> Any:
    o, oi = t.offers.c, t.offer_images.c
    return exists().where(oi.image_url_id == t.image_urls.c.id, oi.offer_id == o.id, o.active)


def _undone(attempts: int) -> Any:
    u, now = t.image_urls.c, int(time.time())
    again = or_(
        u.attempts < attempts,
        and_(u.attempts < FINAL, u.tried_at < now - PAUSE_S),
        u.tried_at < now - FORGIVE_S,
        u.tried_at > now + PAUSE_S,  # the clock went back since
    )
    return or_(u.status == "new", and_(u.status == "failed", again))


def count_to_download(db: Database, attempts: int, stores: Sequence[str] = ()) -> int:
    """How many images are still to be fetched."""
    with db.read() as c:
        query = select(func.count()).select_from(t.image_urls)
        return int(c.execute(query.where(_undone(attempts), _of(stores))).scalar_one())


def to_download(
    db: Database, attempts: int, stores: Sequence[str] = (), part: Part = ALL
) -> Iterator[ImageUrl]:
    """Image addresses of offers on sale that are new, or failed fewer than `attempts` times.

    Each address comes once in one iteration, whatever happens to it meanwhile.
    """
    u, last = t.image_urls.c, 0
    while True:
        query = select(u.id, u.url, u.attempts).where(u.id > last, _undone(attempts), _of(stores))
        if part.of > 1:
            query = query.where(u.id % part.of == part.number)
        with db.read() as c:
            page = c.execute(query.order_by(u.id).limit(PAGE)).all()
        if not page:
            return
        yield from (ImageUrl(row.id, row.url, row.attempts) for row in page)
        last = page[-1].id


def _of(stores: Sequence[str]) -> Any:
    if not stores:
        return _needed()
    o, oi, s = t.offers.c, t.offer_images.c, t.stores.c
    return exists().where(
        oi.image_url_id == t.image_urls.c.id,
        oi.offer_id == o.id,
        o.active,
        o.store_id == s.id,
        s.name.in_(list(stores)),
    )


@dataclass(frozen=True, slots=True)
class Downloaded:
    """One row of the download stage: an image, or the reason why there is none."""

    url: ImageUrl
    image: ImageInfo | None
    reason: str = ""
    final: bool = False
    """No further try will help (a 404, not a picture)."""
    counts: bool = True
    """False where we refused ourselves: a changed setting is to be felt at once."""
    hint: str = ""
    unwell: bool = False
    """The host failed, not this image of it."""


def record_downloads(db: Database, downloads: Sequence[Downloaded]) -> None:
    """Writes a batch of results in one transaction."""
    now = int(time.time())
    images = {r.image.hash: r.image for r in downloads if r.image}
    with db.write() as c:
        rows = [_image_row(image, now) for image in images.values()]
        db.upsert(c, t.images, rows, ["hash"])
        for r in sorted(downloads, key=lambda each: each.url.id):
            values = {
                "status": "ok" if r.image else "failed",
                "image_hash": r.image.hash if r.image else None,
                "reason": r.reason,
                "attempts": FINAL if r.final else r.url.attempts + r.counts,
                "tried_at": now,
            }
            c.execute(update(t.image_urls).where(t.image_urls.c.id == r.url.id).values(**values))


def _image_row(image: ImageInfo, now: int) -> dict[str, Any]:
    # The database has signed 64-bit integers only.
    phash = image.phash - (1 << 64) if image.phash >= 1 << 63 else image.phash
    return {
        "hash": image.hash,
        "width": image.width,
        "height": image.height,
        "bytes": image.bytes,
        "mime": image.mime,
        "phash": phash,
        "created_at": now,
    }


def _shown() -> Any:
    """Whether an offer on sale shows the image. Correlated: each page looks at its own rows only."""
    u, oi, o = t.image_urls.c, t.offer_images.c, t.offers.c
    return exists().where(
        u.image_hash == t.images.c.hash,
        oi.image_url_id == u.id,
        o.id == oi.offer_id,
        o.active,
    )


def _unembedded(fingerprint: str) -> Select[Any]:
    e = t.embeddings.c
    done = exists().where(e.image_hash == t.images.c.hash, e.fingerprint == fingerprint)
    return select(t.images.c.hash).where(~done, _shown())


def count_to_embed(db: Database, fingerprint: str) -> int:
    """How many images have no vector of this encoder yet."""
    with db.read() as c:
        query = _unembedded(fingerprint).subquery()
        return int(c.execute(select(func.count()).select_from(query)).scalar_one())


def to_embed(db: Database, fingerprint: str, part: Part = ALL) -> Iterator[str]:
    """Hashes of images without a vector, in order of hash, each once. Parts are ranges of hashes."""
    last, end = f"{part.number * 256 // part.of:02x}", f"{(part.number + 1) * 256 // part.of:02x}"
    while True:
        query = _unembedded(fingerprint).where(t.images.c.hash > last)
        if part.number + 1 < part.of:
            query = query.where(t.images.c.hash < end)
        with db.read() as c:
            page = list(c.scalars(query.order_by(t.images.c.hash).limit(PAGE)))
        if not page:
            return
        yield from page
        last = page[-1]


def record_embeddings(db: Database, fingerprint: str, reasons: Mapping[str, str]) -> None:
    """Marks images as embedded ("") or as impossible to embed (the reason)."""
    rows = [
        {
            "fingerprint": fingerprint,
            "image_hash": image,
            "status": "failed" if reason else "ok",
            "reason": reason,
        }
        for image, reason in reasons.items()
    ]
    with db.write() as c:
        db.upsert(c, t.embeddings, rows, ["fingerprint", "image_hash"], ["status", "reason"])


def fetch_again(db: Database, hashes: Sequence[str]) -> None:
    """The files of these images are gone: their addresses are to be fetched anew."""
    u = t.image_urls.c
    with db.write() as c:
        for part in chunks(hashes):
            again = {"status": "new", "image_hash": None, "attempts": 0}
            c.execute(update(t.image_urls).where(u.image_hash.in_(part)).values(**again))


def known(db: Database, hashes: Sequence[str]) -> set[str]:
    """Those of the hashes that are images of this catalogue."""
    found: set[str] = set()
    with db.read() as c:
        for part in chunks(hashes):
            found |= set(c.scalars(select(t.images.c.hash).where(t.images.c.hash.in_(part))))
    return found


def forget_embeddings(db: Database, fingerprint: str) -> None:
    """Drops the account of an encoder's vectors; the failures are forgotten too and tried again."""
    with db.write() as c:
        c.execute(delete(t.embeddings).where(t.embeddings.c.fingerprint == fingerprint))


def count_embedded(db: Database, fingerprint: str) -> int:
    """Images with a vector of this encoder, by the catalogue's account."""
    e = t.embeddings.c
    where = (e.fingerprint == fingerprint, e.status == "ok")
    with db.read() as c:
        return int(
            c.execute(select(func.count()).select_from(t.embeddings).where(*where)).scalar_one()
        )


def searchable(c: Connection, fingerprint: str, identify: RowId) -> Iterator[IndexRow]:
    """Every row the index should hold, streamed: images with a vector shown by offers on sale.

    `identify` is the index family's `row_id`.
    """
    u, oi, o, e = t.image_urls.c, t.offer_images.c, t.offers.c, t.embeddings.c
    in_stock = (o.availability == "in_stock").label("in_stock")
    query = (
        select(
            u.image_hash,
            t.stores.c.name.label("store"),
            o.category,
            in_stock,
            o.currency,
            func.min(o.price_minor).label("low"),
            func.max(o.price_minor).label("high"),
        )
        .select_from(t.offers)
        .join(t.stores)
        .join(t.offer_images, oi.offer_id == o.id)
        .join(t.image_urls, u.id == oi.image_url_id)
        .join(t.embeddings, and_(e.image_hash == u.image_hash, e.fingerprint == fingerprint))
        .where(o.active, e.status == "ok", o.product_id.is_not(None))
        .group_by(u.image_hash, t.stores.c.name, o.category, in_stock, o.currency)
    )
    rows = c.execution_options(yield_per=PAGE).execute(query)
    for row in rows:
        key = (row.image_hash, row.store, row.category, bool(row.in_stock), row.currency)
        yield IndexRow(identify(*key), *key, price_low=row.low, price_high=row.high)


def counts(db: Database) -> dict[str, int]:
    """Image addresses by status, and images."""
    u = t.image_urls.c
    with db.read() as c:
        by_status = c.execute(select(u.status, func.count()).where(_needed()).group_by(u.status))
        found: dict[str, int] = {str(status): int(n) for status, n in by_status}
        found["images"] = int(c.execute(select(func.count()).select_from(t.images)).scalar_one())
    return found


def failures(db: Database) -> dict[str, int]:
    """Why images of offers on sale are missing: reason without its address -> how many."""
    u = t.image_urls.c
    with db.read() as c:
        query = select(u.reason, func.count()).where(u.status == "failed", _needed())
        found: Counter[str] = Counter()
        for reason, n in c.execute(query.group_by(u.reason)):
            found[re.sub(r":?\s*https?://\S+", "", reason)] += n
        return found
