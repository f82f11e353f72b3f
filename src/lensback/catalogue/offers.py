"""Offers: written in batches where they changed, read one by one or by image."""

from __future__ import annotations

import base64
import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from lensback import letters, storepage
from lensback.catalogue.filtered import restrict
from lensback.catalogue.pictures import ask_soon
from lensback.catalogue.stores import StoredProgram
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import NotFound
from lensback.types import Filter, Money, Offer, StoredOffer

_APART = ("price", "old_price", "image_urls", "deleted", "external_id")
_COUNTED = {"stock_words", "images_left_out"}
"""What only the account of a run is made of."""
_PLAIN = [f.name for f in fields(Offer) if f.name not in {*_APART, *_COUNTED}]
_UNREAD = {"content_hash", "created_at", "updated_at", "page_key", "article"}
_READ = [column for column in t.offers.c if column.name not in _UNREAD]
# Built once: putting a statement of thirty columns together takes longer than running it.
_SOLD = [*_READ, t.stores.c.name.label("store")]
_OFFERS = select(*_SOLD).join(t.stores).order_by(t.offers.c.id)
_CLICKED = (
    select(
        *_SOLD,
        t.programs.c.id.label("program_id"),
        t.programs.c.network.label("program_network"),
        t.programs.c.terms.label("program_terms"),
    )
    .select_from(
        t.offers.join(t.stores).outerjoin(t.programs, t.programs.c.store_id == t.stores.c.id)
    )
    .where(t.offers.c.offer_id == bindparam("offer"))
    .order_by(t.programs.c.id)
)
"""Built once: putting it together takes longer than running it."""
_IMAGES = (
    select(t.offer_images.c.offer_id, t.image_urls.c.url, t.image_urls.c.image_hash)
    .join(t.image_urls, t.image_urls.c.id == t.offer_images.c.image_url_id)
    .order_by(t.offer_images.c.offer_id, t.offer_images.c.position)
)


def offer_id(store: str, external_id: str) -> str:
    """The public id: 16 base32 letters of a hash, so the same on every machine and in every run."""
    digest = hashlib.blake2b(f"{store}\0{external_id}".encode(), digest_size=10).digest()
    return base64.b32encode(digest).decode().lower()


def content_hash(offer: Offer) -> str:
    """Changes when anything in the row changed."""
    text = repr([getattr(offer, f.name) for f in fields(Offer) if f.name not in _COUNTED])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class SeenIds:
    """The database ids that a run has met, one bit each, so that memory stays flat."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, key: int) -> bool:
        """Marks the id; False if it was marked before."""
        at, bit = key >> 3, 1 << (key & 7)
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1 - len(self._bits) + 4096))
        if self._bits[at] & bit:
            return False
        self._bits[at] |= bit
        return True

    def __contains__(self, key: int) -> bool:
        at = key >> 3
        return at < len(self._bits) and bool(self._bits[at] & (1 << (key & 7)))


@dataclass(slots=True)
class Written:
    """What one batch did."""

    seen: int = 0
    changed: int = 0
    removed: int = 0
    jumped: int = 0
    """Known offers whose price fell below a tenth or rose above ten times."""
    duplicates: list[str] = field(default_factory=list)


def write_batch(
    db: Database, c: Connection, store_id: int, store: str, batch: Sequence[Offer], seen: SeenIds
) -> Written:
    """Writes the rows that are new or changed; the first of two rows with one id wins.

    A row that a delta feed marks as deleted is deactivated. The transaction is the caller's.
    """
    result = Written()
    unique: dict[str, Offer] = {}
    for offer in batch:
        if unique.setdefault(offer.external_id, offer) is not offer:
            result.duplicates.append(offer.external_id)
    known = _known(c, store_id, list(unique))
    for external_id, row in known.items():
        if not seen.add(row["id"]):
            result.duplicates.append(external_id)
            del unique[external_id]
    changed = [o for o in unique.values() if not o.deleted and _differs(o, known)]
    if changed:
        ids = _write(db, c, store_id, store, changed)
        for key in ids.values():
            seen.add(key)
        _write_prices(c, changed, known, ids)
        result.jumped = sum(_jumped(offer, known.get(offer.external_id)) for offer in changed)
        known_before = {ids[o.external_id] for o in changed if o.external_id in known}
        _write_images(db, c, changed, ids, known_before)
    gone = [known[o.external_id] for o in unique.values() if o.deleted and o.external_id in known]
    result.removed = deactivate(c, [row["id"] for row in gone if row["active"]])
    result.seen, result.changed = len(unique), len(changed)
    return result


def _known(c: Connection, store_id: int, external_ids: list[str]) -> dict[str, RowMapping]:
    o = t.offers.c
    columns = (
        o.id,
        o.external_id,
        o.content_hash,
        o.active,
        o.price_minor,
        o.old_price_minor,
        o.currency,
    )
    where = (o.store_id == store_id, o.external_id.in_(external_ids))
    rows = c.execute(select(*columns).where(*where)).mappings()
    return {row["external_id"]: row for row in rows}


def _differs(offer: Offer, known: Mapping[str, RowMapping]) -> bool:
    row = known.get(offer.external_id)
    return row is None or not row["active"] or row["content_hash"] != content_hash(offer)


def _jumped(offer: Offer, before: RowMapping | None) -> bool:
    if before is None or before["currency"] != offer.price.currency:
        return False
    old, new = before["price_minor"], offer.price.minor
    return bool(new * 10 < old or new > old * 10)


def _write(
    db: Database, c: Connection, store_id: int, store: str, offers: Sequence[Offer]
) -> dict[str, int]:
    """Upserts the rows and returns database id by external id."""
    now = int(time.time())
    rows = [
        {
            "store_id": store_id,
            "offer_id": offer_id(store, offer.external_id),
            **_columns(offer),
            "active": True,
            "created_at": now,
            "updated_at": now,
        }
        for offer in offers
    ]
    update = [name for name in rows[0] if name not in {"store_id", "offer_id", "created_at"}]
    db.upsert(c, t.offers, rows, ["store_id", "external_id"], update)
    return {
        key: row["id"] for key, row in _known(c, store_id, [o.external_id for o in offers]).items()
    }


def _columns(offer: Offer) -> dict[str, Any]:
    return {
        "external_id": offer.external_id,
        "price_minor": offer.price.minor,
        "old_price_minor": offer.old_price.minor if offer.old_price else None,
        "currency": offer.price.currency,
        "content_hash": content_hash(offer),
        "page_key": storepage.key(offer.target_url or offer.url),
        "article": letters.article(offer.mpn) if offer.mpn else "",
        **{name: getattr(offer, name) for name in _PLAIN},
    }


def _write_prices(
    c: Connection, offers: Sequence[Offer], known: Mapping[str, RowMapping], ids: Mapping[str, int]
) -> None:
    now = int(time.time())
    rows = []
    for offer in offers:
        old = offer.old_price.minor if offer.old_price else None
        before = known.get(offer.external_id)
        price = (offer.price.minor, old, offer.price.currency)
        if (
            before
            and (before["price_minor"], before["old_price_minor"], before["currency"]) == price
        ):
            continue
        names = ("price_minor", "old_price_minor", "currency")
        rows.append(
            {"offer_id": ids[offer.external_id], "at": now, **dict(zip(names, price, strict=True))}
        )
    if rows:
        c.execute(insert(t.prices), rows)


def _write_images(
    db: Database, c: Connection, offers: Sequence[Offer], ids: Mapping[str, int], old: set[int]
) -> None:
    """`old`: offers that were there before and changed, whose pictures are asked for again."""
    urls = sorted({url for offer in offers for url in offer.image_urls})
    db.upsert(c, t.image_urls, [{"url": url} for url in urls], ["url"])
    u, oi = t.image_urls.c, t.offer_images
    keys = {row.url: row.id for row in c.execute(select(u.id, u.url).where(u.url.in_(urls)))}
    c.execute(delete(oi).where(oi.c.offer_id.in_([ids[o.external_id] for o in offers])))
    rows = [
        {"offer_id": ids[offer.external_id], "position": at, "image_url_id": keys[url]}
        for offer in offers
        for at, url in enumerate(dict.fromkeys(offer.image_urls))
    ]
    if rows:
        c.execute(insert(oi), rows)
    ask_soon(c, sorted({row["image_url_id"] for row in rows if row["offer_id"] in old}))


def deactivate(c: Connection, keys: Sequence[int]) -> int:
    """Takes offers off sale by database id; they stay for links and price history."""
    for part in chunks(keys):
        values = {"active": False, "updated_at": int(time.time())}
        c.execute(update(t.offers).where(t.offers.c.id.in_(part)).values(**values))
    return len(keys)


def count_active(c: Connection, store_id: int) -> int:
    """How many offers of a store are on sale."""
    o = t.offers.c
    query = select(func.count()).select_from(t.offers)
    return int(c.execute(query.where(o.store_id == store_id, o.active)).scalar_one())


def active_ids(c: Connection, store_id: int) -> Iterable[int]:
    """Database ids of a store's offers on sale."""
    o = t.offers.c
    return c.scalars(select(o.id).where(o.store_id == store_id, o.active))


def get(db: Database, wanted: str) -> StoredOffer:
    """One offer by its public id, on sale or not. Raises NotFound."""
    with db.read() as c:
        found = stored_where(c, [t.offers.c.offer_id == wanted])
    if not found:
        raise no_such(wanted)
    return found[0]


def no_such(wanted: str) -> NotFound:
    """The error for a public id that no offer has."""
    return NotFound(f"no such offer: {wanted}", hint="search again: offers come and go")


def to_click(db: Database, wanted: str) -> tuple[StoredOffer, tuple[StoredProgram, ...]]:
    """One offer, without its images, and its store's programs, the first choice first, in one
    statement: what a click needs. Raises NotFound."""
    with db.read() as c:
        rows = c.execute(_CLICKED, {"offer": wanted}).mappings().all()
    if not rows:
        raise no_such(wanted)
    programs = tuple(
        StoredProgram(row["store"], row["program_network"], row["program_terms"], row["program_id"])
        for row in rows
        if row["program_id"] is not None
    )
    return _stored_offer(rows[0], ()), programs


def of_products(
    db: Database, product_ids: Sequence[str], where: Filter
) -> dict[str, list[StoredOffer]]:
    """The offers on sale of these products that pass the filter, by product."""
    with db.read() as c:
        rows = stored_where(c, [t.offers.c.product_id.in_(product_ids), *restrict(where)])
    by_product: dict[str, list[StoredOffer]] = {}
    for row in rows:
        by_product.setdefault(row.product_id, []).append(row)
    return by_product


def images_of_products(db: Database, product_ids: Sequence[str]) -> dict[str, str]:
    """Product -> hash of the first image of its first offer on sale that has one."""
    o, u, oi = t.offers.c, t.image_urls.c, t.offer_images.c
    query = (
        select(o.product_id, u.image_hash)
        .join(t.offer_images, oi.offer_id == o.id)
        .join(t.image_urls, u.id == oi.image_url_id)
        .where(o.product_id.in_(product_ids), o.active, u.image_hash.is_not(None))
        .order_by(o.id, oi.position)
    )
    found: dict[str, str] = {}
    with db.read() as c:
        for row in c.execute(query) if product_ids else ():
            found.setdefault(row.product_id, row.image_hash)
    return found


def same_group(db: Database, product_id: str, where: Filter) -> list[str]:
    """Products of the same model (a store's item group) that have an offer passing the filter, the
    product itself among them."""
    o = t.offers
    groups = select(o.c.store_id, o.c.item_group_id).where(
        o.c.product_id == product_id, o.c.active, o.c.item_group_id != ""
    )
    with db.read() as c:
        query = select(o.c.product_id).select_from(o.join(t.stores))
        query = query.where(o.c.product_id.is_not(None), *restrict(where)).distinct()
        found = set(c.scalars(query.where(o.c.product_id == product_id)))
        for store, group in c.execute(groups.distinct()).all():
            found.update(c.scalars(query.where(o.c.store_id == store, o.c.item_group_id == group)))
        return sorted(found)


def stored_where(c: Connection, limits: Sequence[Any]) -> list[StoredOffer]:
    """The offers that meet all of these conditions, by database id, with their images."""
    rows = c.execute(_OFFERS.where(*limits)).mappings().all()
    images: dict[int, list[tuple[str, str | None]]] = {}
    for part in chunks([row["id"] for row in rows]):
        for link in c.execute(_IMAGES.where(t.offer_images.c.offer_id.in_(part))):
            images.setdefault(link.offer_id, []).append((link.url, link.image_hash))
    return [_stored_offer(row, images.get(row["id"], [])) for row in rows]


def _stored_offer(row: RowMapping, links: Sequence[tuple[str, str | None]]) -> StoredOffer:
    old, currency = row["old_price_minor"], row["currency"]
    offer = Offer(
        external_id=row["external_id"],
        price=Money(row["price_minor"], currency),
        old_price=Money(old, currency) if old is not None else None,
        image_urls=tuple(url for url, _ in links),
        **{name: row[name] for name in _PLAIN},
    )
    return StoredOffer(
        offer_id=row["offer_id"],
        store=row["store"],
        product_id=row["product_id"] or "",
        offer=offer,
        image_hashes=tuple(image for _, image in links if image),
        active=row["active"],
    )


def price_history(db: Database, wanted: str) -> list[tuple[int, Money]]:
    """(epoch seconds, price) of an offer, oldest first."""
    p, o = t.prices.c, t.offers.c
    with db.read() as c:
        rows = c.execute(
            select(p.at, p.price_minor, p.currency)
            .join(t.offers, o.id == p.offer_id)
            .where(o.offer_id == wanted)
            .order_by(p.id)
        )
        return [(row.at, Money(row.price_minor, row.currency)) for row in rows]


def categories(db: Database) -> tuple[str, ...]:
    """Every category path on sale, in order."""
    with db.read() as c:
        return tuple(
            sorted(c.scalars(select(t.offers.c.category).where(t.offers.c.active).distinct()))
        )


def color_words(db: Database) -> tuple[str, ...]:
    """The different colour words of the offers on sale."""
    return words(db, "color")


def words(db: Database, column: str) -> tuple[str, ...]:
    """The different words of one column (`color`, `brand`, `size`) of the offers on sale, sorted."""
    o = t.offers.c
    with db.read() as c:
        said = select(o[column]).where(o.active, o[column] != "").distinct()
        return tuple(sorted(c.scalars(said)))


def category_paths(known: Sequence[str], word: str) -> tuple[str, ...]:
    """The known categories that are `word`, lie under it, or have it as one part of their path."""
    wanted = [part.casefold() for part in split_path(word)]
    return tuple(p for p in known if _contains([x.casefold() for x in split_path(p)], wanted))


def split_path(category: str) -> list[str]:
    """The parts of a category path."""
    return [part.strip() for part in category.split(">") if part.strip()]


def _contains(parts: list[str], wanted: list[str]) -> bool:
    n = len(wanted)
    return n > 0 and any(parts[at : at + n] == wanted for at in range(len(parts) - n + 1))


def currencies(db: Database) -> list[str]:
    """Currencies of the offers on sale, the most frequent first."""
    o = t.offers.c
    with db.read() as c:
        query = select(o.currency).where(o.active).group_by(o.currency)
        return list(c.scalars(query.order_by(func.count().desc(), o.currency)))


SOME_PAGES = 200
"""Of a store: enough to see where its offers lead."""


def pages(db: Database, store: str, most: int = SOME_PAGES) -> list[str]:
    """Some pages of a store's offers on sale, those behind a network's link where it was read."""
    o = t.offers.c
    page = func.coalesce(func.nullif(o.target_url, ""), o.url)
    query = select(page).join(t.stores).where(t.stores.c.name == store, o.active)
    read = or_(~o.tracked, o.target_url != "")
    with db.read() as c:
        return list(c.scalars(query.where(read).order_by(o.id.desc()).limit(most)))


def samples(db: Database, most: int, stores: Sequence[str] = ()) -> list[StoredOffer]:
    """Some offers on sale with an image, of these stores or of all, spread evenly over the
    catalogue; quick at any size."""
    o = t.offers.c
    own = select(t.stores.c.id).where(t.stores.c.name.in_(stores))
    sold = [o.active, *([o.store_id.in_(own)] if stores else [])]
    with db.read() as c:
        low, high = c.execute(select(func.min(o.id), func.max(o.id)).where(*sold)).one()
        steps = range(low, high + 1, max(1, (high + 1 - low) // most)) if low else range(0)
        first = [select(func.min(o.id)).where(*sold, o.id >= at) for at in steps]
        keys = {c.scalar(query) for query in first} - {None}
        found = stored_where(c, [o.id.in_(keys)])
    unlike = {stored.product_id: stored for stored in found if stored.image_hashes}
    return list(unlike.values())[:most]


def counts(db: Database) -> Counter[str]:
    """Offers on sale by store."""
    with db.read() as c:
        query = select(t.stores.c.name, func.count()).join(t.offers).where(t.offers.c.active)
        return Counter(dict(c.execute(query.group_by(t.stores.c.name)).all()))
