"""Images of offers: which are still to download, which to embed, which rows to index."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, exists, func, or_, select, update

from lensback.db import Database, Part, chunks
from lensback.db import tables as t
from lensback.types import ImageInfo, IndexRow

PAGE = 2000
FIRST_PAUSE_S = 3600
"""After the tries in one sync after the other, an address that fails is left alone so long, then twice
as long after each further try: an outage of hours loses nothing."""
LONGEST_PAUSE_S = 7 * 86_400
"""At most so long: stores mend their servers."""
KEEP_S = 14 * 86_400
"""A picture that was good stays in the index while its address fails, for so long."""
BARE = 4
"""Where a server gives neither ETag nor Last-Modified, a look costs the whole picture: it is taken so
many times as rarely."""
CLOCK_S = 3600
"""A try farther in the future than this was written by a clock that went back since."""
MAX_VALIDATOR = 500
RowId = Callable[[str, str, str, bool, str], int]
ALL = Part(0, 1)
"""The whole to-do, not shared with other processes."""


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """One address of an image that some offer on sale needs, and what is known of it."""

    id: int
    url: str
    attempts: int = 0
    """Tries that failed since the last good one."""
    image_hash: str = ""
    """The picture that it showed at the last good try; empty for none."""
    etag: str = ""
    last_modified: str = ""
    failing_since: int | None = None


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often addresses are asked. `soon`: syncs in a row in which a failing one is tried.
    `recheck_s`: age from which a good picture is asked for again; 0: only when its offer changed.
    `per_sync`, `per_store`: most good pictures that one sync asks for again, in all and of a store.
    `anyway`: ask all of the named stores, with no regard to time or number."""

    soon: int = 3
    recheck_s: float = 7 * 86_400
    per_sync: int = 5000
    per_store: int = 500
    anyway: bool = False


def pause_s(attempts: int, soon: int) -> int:
    """How long an address is left alone that failed so often in a row.

    >>> [pause_s(n, 3) // 3600 for n in (1, 2, 3, 4, 5, 99)]
    [0, 0, 1, 2, 4, 168]
    """
    if attempts < soon:
        return 0
    return int(min(FIRST_PAUSE_S * 2 ** min(attempts - soon, 30), LONGEST_PAUSE_S))


def _needed() -> Any:
    o, oi = t.offers.c, t.offer_images.c
    return exists().where(oi.image_url_id == t.image_urls.c.id, oi.offer_id == o.id, o.active)


def _undone(anyway: bool) -> Any:
    u, now = t.image_urls.c, int(time.time())
    again = or_(u.due_at.is_(None), u.due_at <= now, u.tried_at > now + CLOCK_S)
    return or_(u.status == "new", and_(u.status == "failed", *(() if anyway else (again,))))


def count_to_download(db: Database, stores: Sequence[str] = (), *, anyway: bool = False) -> int:
    """How many images are still to be fetched."""
    with db.read() as c:
        query = select(func.count()).select_from(t.image_urls)
        return int(c.execute(query.where(_undone(anyway), _of(stores))).scalar_one())


def to_download(
    db: Database, stores: Sequence[str] = (), part: Part = ALL, *, anyway: bool = False
) -> Iterator[ImageUrl]:
    """Image addresses of offers on sale that are new, or failed and whose time has come again
    (`anyway`: all that failed).

    Each address comes once in one iteration, whatever happens to it meanwhile.
    """
    yield from _pages(db, _undone(anyway), stores, part)


def to_recheck(
    db: Database, cadence: Cadence, stores: Sequence[str] = (), part: Part = ALL
) -> Iterator[ImageUrl]:
    """Addresses of good pictures to ask for again: those longest due first, within the cadence's
    numbers. A picture is due since it was last asked for where one of its offers changed after
    that. With `cadence.anyway` all of the stores, without what a server could answer 304 to."""
    good = t.image_urls.c.status == "ok"
    if cadence.anyway:
        for url in _pages(db, good, stores, part):
            yield replace(url, etag="", last_modified="")
        return
    u, oi, o = t.image_urls.c, t.offer_images.c, t.offers.c
    owner = func.min(o.store_id)
    due = (
        select(u.id, u.due_at, owner.label("store_id"))
        .join(t.offer_images, oi.image_url_id == u.id)
        .join(t.offers, o.id == oi.offer_id)
        .where(good, u.due_at <= int(time.time()), o.active)
        .group_by(u.id, u.due_at)
    )
    if stores:
        due = due.where(o.store_id.in_(select(t.stores.c.id).where(_named(stores))))
    if part.of > 1:
        due = due.where(u.id % part.of == part.number)
    dues = due.subquery()
    order = (dues.c.due_at, dues.c.id)
    rank = func.row_number().over(partition_by=dues.c.store_id, order_by=order).label("rank")
    ranked = select(dues.c.id, dues.c.due_at, rank).subquery()
    limits = (-(-cadence.per_store // part.of), -(-cadence.per_sync // part.of))
    chosen = (
        select(*_ASKED)
        .join(ranked, ranked.c.id == u.id)
        .where(ranked.c.rank <= limits[0])
        .order_by(ranked.c.due_at, u.id)
        .limit(limits[1])
    )
    with db.read() as c:
        rows = c.execute(chosen).all()
    yield from map(_image_url, rows)


_U = t.image_urls.c
_ASKED = (_U.id, _U.url, _U.attempts, _U.image_hash, _U.etag, _U.last_modified, _U.failing_since)


def _image_url(row: Any) -> ImageUrl:
    return ImageUrl(
        row.id, row.url, row.attempts, row.image_hash or "", row.etag, row.last_modified,
        row.failing_since,
    )  # fmt: skip


def _pages(db: Database, where: Any, stores: Sequence[str], part: Part) -> Iterator[ImageUrl]:
    u, last = t.image_urls.c, 0
    while True:
        query = select(*_ASKED).where(u.id > last, where, _of(stores))
        if part.of > 1:
            query = query.where(u.id % part.of == part.number)
        with db.read() as c:
            page = c.execute(query.order_by(u.id).limit(PAGE)).all()
        if not page:
            return
        yield from map(_image_url, page)
        last = page[-1].id


def _named(stores: Sequence[str]) -> Any:
    return t.stores.c.name.in_(list(stores))


def _of(stores: Sequence[str]) -> Any:
    if not stores:
        return _needed()
    o, oi, s = t.offers.c, t.offer_images.c, t.stores.c
    return exists().where(
        oi.image_url_id == t.image_urls.c.id,
        oi.offer_id == o.id,
        o.active,
        o.store_id == s.id,
        _named(stores),
    )


@dataclass(frozen=True, slots=True)
class Downloaded:
    """One row of the download stage: an image, or the reason why there is none."""

    url: ImageUrl
    image: ImageInfo | None
    reason: str = ""
    same: bool = False
    """The address still shows the picture that it showed before; nothing was decoded."""
    counts: bool = True
    """False where we refused ourselves: a changed setting is to be felt at once."""
    hint: str = ""
    unwell: bool = False
    """The host failed, not this image of it."""
    wait_s: float = 0.0
    """What the server's Retry-After asks for."""
    etag: str = ""
    last_modified: str = ""

    @property
    def good(self) -> bool:
        """Whether the address shows a picture."""
        return self.same or self.image is not None


def record_downloads(
    db: Database, downloads: Sequence[Downloaded], cadence: Cadence | None = None
) -> None:
    """Writes a batch of results in one transaction."""
    now, cadence = int(time.time()), cadence or Cadence()
    images = {r.image.hash: r.image for r in downloads if r.image}
    with db.write() as c:
        rows = [_image_row(image, now) for image in images.values()]
        db.upsert(c, t.images, rows, ["hash"])
        for r in sorted(downloads, key=lambda each: each.url.id):
            values = _shows(r, now, cadence) if r.good else _fails(r, now, cadence)
            c.execute(
                update(t.image_urls)
                .where(t.image_urls.c.id == r.url.id)
                .values(tried_at=now, reason=r.reason, **values)
            )


def _shows(r: Downloaded, now: int, cadence: Cadence) -> dict[str, Any]:
    etag, modified = r.etag or r.url.etag * r.same, r.last_modified or r.url.last_modified * r.same
    spread = random.uniform(0.9, 1.1)  # noqa: S311 - what came together is not asked for together
    rest_s = cadence.recheck_s * spread * (1 if etag or modified else BARE)
    return {
        "status": "ok",
        "image_hash": r.image.hash if r.image else r.url.image_hash,
        "attempts": 0,
        "failing_since": None,
        "etag": etag if len(etag) <= MAX_VALIDATOR else "",
        "last_modified": modified if len(modified) <= MAX_VALIDATOR else "",
        "due_at": now + int(rest_s) if cadence.recheck_s else None,
    }


def _fails(r: Downloaded, now: int, cadence: Cadence) -> dict[str, Any]:
    attempts, since = r.url.attempts + r.counts, r.url.failing_since or now
    since = min(since, now)
    wait_s = max(pause_s(attempts, cadence.soon) * r.counts, min(r.wait_s, LONGEST_PAUSE_S))
    kept = r.url.image_hash if now - since <= KEEP_S else ""
    return {
        "status": "failed",
        "image_hash": kept or None,
        "attempts": attempts,
        "failing_since": since,
        "due_at": now + int(wait_s),
    }


def ask_soon(c: Connection, ids: Sequence[int]) -> None:
    """The offers of these addresses changed, and their pictures may have, too: they are due since
    they were last asked for, so that none waits behind those that change all the time."""
    u = t.image_urls.c
    for part in chunks(ids):
        due = {"due_at": func.coalesce(u.tried_at, 0)}
        c.execute(update(t.image_urls).where(u.id.in_(part)).values(**due))


@dataclass(frozen=True, slots=True)
class MissingImage:
    """An address that showed no picture at the last try."""

    url: str
    reason: str
    attempts: int
    failing_since: int
    """Epoch seconds of the first failure in a row; so are the other times."""
    tried_at: int
    next_try: int
    """Not before then, by a sync that does not name the store with --force."""
    kept: bool
    """Its picture of before is still searched, for KEEP_S after `failing_since`."""


def missing(db: Database, store: str, limit: int) -> list[MissingImage]:
    """The pictures of a store's offers on sale that could not be had, the latest failures first."""
    u = t.image_urls.c
    query = select(*_ASKED, u.reason, u.tried_at, u.due_at).where(
        u.status == "failed", _of([store])
    )
    with db.read() as c:
        rows = c.execute(query.order_by(u.failing_since.desc(), u.id).limit(limit)).all()
    return [
        MissingImage(
            row.url, without_address(row.reason), row.attempts, row.failing_since or row.tried_at,
            row.tried_at, row.due_at or row.tried_at, bool(row.image_hash),
        )
        for row in rows
    ]  # fmt: skip


def without_address(reason: str) -> str:
    """A reason without the address in it, so that equal ones are equal."""
    return re.sub(r":?\s*https?://\S+", "", reason)


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


def _shown(*where: Any) -> Any:
    """Whether an offer on sale shows the image. Correlated: each page looks at its own rows only."""
    u, oi, o = t.image_urls.c, t.offer_images.c, t.offers.c
    return exists().where(
        u.image_hash == t.images.c.hash,
        oi.image_url_id == u.id,
        o.id == oi.offer_id,
        o.active,
        *where,
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


def fetch_again(db: Database, hashes: Sequence[str]) -> int:
    """The files of these images are gone: their addresses are to be fetched anew. What is searched
    of them stays until then. Those that fail anyway keep their turn. How many addresses it was."""
    count = 0
    u = t.image_urls.c
    fresh = {"status": "new", "attempts": 0, "etag": "", "last_modified": "", "due_at": None}
    with db.write() as c:
        for part in chunks(hashes):
            again = (u.image_hash.in_(part), u.status == "ok")
            count += c.execute(update(t.image_urls).where(*again).values(**fresh)).rowcount
    return count


def on_disk(db: Database, start: str, most: int, end: str = "g") -> list[tuple[str, int]]:
    """Hash and bytes of pictures that should be on the disk, in order of hash, from `start` to `end`."""
    i, good = t.images.c, _shown(t.image_urls.c.status == "ok")
    query = select(i.hash, i.bytes).where(i.hash >= start, i.hash < end, good)
    with db.read() as c:
        rows = c.execute(query.order_by(i.hash).limit(most)).all()  # at once: thousands
        return [(name, size) for name, size in rows]


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


def shows_no_thing(image_hash: Any) -> Any:
    """Whether the image shows no thing."""
    d = t.image_doubts.c
    return exists().where(d.image_hash == image_hash, d.doubt == "placeholder")


def placeholders(db: Database, store: str = "") -> int:
    """How many images of offers on sale show no thing: placeholders, size charts, logos."""
    u, oi, o = t.image_urls.c, t.offer_images.c, t.offers.c
    query = (
        select(func.count(u.image_hash.distinct()))
        .join(t.offer_images, oi.image_url_id == u.id)
        .join(t.offers, o.id == oi.offer_id)
        .where(o.active, shows_no_thing(u.image_hash))
    )
    if store:
        query = query.join(t.stores).where(t.stores.c.name == store)
    with db.read() as c:
        return int(c.execute(query).scalar_one())


def searchable(c: Connection, fingerprint: str, identify: RowId) -> Iterator[IndexRow]:
    """Every row the index should hold, streamed: images with a vector shown by offers on sale.

    `identify` is the index family's `row_id`.
    """
    rows = c.execution_options(yield_per=PAGE).execute(index_rows(fingerprint))
    for row in rows:
        key = (row.image_hash, row.store, row.category, bool(row.in_stock), row.currency)
        yield IndexRow(identify(*key), *key, price_low=row.low, price_high=row.high)


def index_rows(fingerprint: str) -> Select[Any]:
    """The statement behind `searchable`."""
    u, oi, o, e = t.image_urls.c, t.offer_images.c, t.offers.c, t.embeddings.c
    in_stock = (o.availability == "in_stock").label("in_stock")
    return (
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
        .where(o.active, e.status == "ok", o.product_id.is_not(None), ~shows_no_thing(u.image_hash))
        .group_by(u.image_hash, t.stores.c.name, o.category, in_stock, o.currency)
    )


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
            found[without_address(reason)] += n
        return found
