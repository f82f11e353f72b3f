"""Products: what the group stage asks of the catalogue and writes back.

A product's id names one of its offers ("p" + offer id, the smallest), so an id that was
shared once still leads to that offer's product after the grouping has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    MetaData,
    Table,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.sql import ColumnElement

from lensback.catalogue import for_sale
from lensback.catalogue.for_sale import ForSale
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import NotFound
from lensback.mapped import NameLists
from lensback.types import Filter, Showing

PAGE = 2000


@dataclass(frozen=True, slots=True)
class Link:
    """Why two offers (by database id) are the same thing."""

    a: int
    b: int
    reason: str
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Member:
    """An offer on sale under one key, with what must not be contradicted when it is linked."""

    id: int
    store: int
    group: str
    color: str
    brand: str
    thing: Showing | None = None
    """What it says of itself, where a picture is to be judged by it."""
    main: bool = False
    """Whether the picture is its first."""


def _folded(column: Any) -> ColumnElement[str]:
    return func.lower(func.trim(column))


def _code(column: Any) -> ColumnElement[str]:
    """An MPN without the signs that stores write as they like."""
    bare = func.lower(column)
    for sign in (" ", "-", ".", "_", "/"):
        bare = func.replace(bare, sign, "")
    return bare


def by_variant(c: Connection) -> Iterator[list[Member]]:
    """Offers of one store with equal item group and colour (the sizes of a colourway)."""
    o = t.offers.c
    named = (o.item_group_id != "", o.color != "")
    return _members(c, [o.store_id, o.item_group_id, _folded(o.color)], named)


def by_group_and_image(c: Connection) -> Iterator[list[Member]]:
    """Offers of one store with equal item group and main image, where the colour is not told."""
    o, oi = t.offers.c, t.offer_images.c
    named = (o.item_group_id != "", o.color == "")
    return _members(c, [o.store_id, o.item_group_id, oi.image_url_id], named)


def by_title_and_image(c: Connection) -> Iterator[list[Member]]:
    """Offers of one store with equal title, colour and main image, where there is no item group."""
    o, oi = t.offers.c, t.offer_images.c
    keys = [o.store_id, _folded(o.title), _folded(o.color), oi.image_url_id]
    return _members(c, keys, (o.item_group_id == "",))


def by_gtin(c: Connection) -> Iterator[list[Member]]:
    """Offers with one valid GTIN, in whichever of its lengths: zeros in front only fill (a UPC-A is
    an EAN-13 with one)."""
    o = t.offers.c
    return _members(c, [func.ltrim(o.gtin, "0")], (o.gtin != "",))


def by_mpn(c: Connection) -> Iterator[list[Member]]:
    """Offers with one brand and one manufacturer's number of at least four signs."""
    o = t.offers.c
    named = (o.brand != "", func.length(_code(o.mpn)) >= 4)
    return _members(c, [_folded(o.brand), _code(o.mpn)], named)


def _members(c: Connection, keys: list[Any], where: Sequence[Any]) -> Iterator[list[Member]]:
    """Groups of two and more, streamed in order of the key: the database sorts, on disk if need be."""
    o, oi = t.offers.c, t.offer_images.c
    labelled = [key.label(f"key{at}") for at, key in enumerate(keys)]
    query = select(
        *labelled,
        o.id,
        o.store_id,
        o.item_group_id,
        _folded(o.color).label("color"),
        _folded(o.brand).label("brand"),
    )
    query = query.select_from(t.offers).where(o.active, *where)
    if any(key is oi.image_url_id for key in keys):
        query = query.join(t.offer_images, and_(oi.offer_id == o.id, oi.position == 0))
    rows = c.execution_options(yield_per=PAGE).execute(query.order_by(*labelled, o.id))
    n = len(keys)
    for _, group in groupby(rows, key=lambda row: tuple(row[:n])):
        members = [
            Member(row.id, row.store_id, row.item_group_id, row.color, row.brand) for row in group
        ]
        if len(members) > 1:
            yield members


def by_image(c: Connection) -> Iterator[tuple[str, list[Member]]]:
    """Image hash -> the offers on sale that show it, where these are of several stores."""
    rows = c.execution_options(yield_per=PAGE).execute(
        _showing().order_by(t.image_urls.c.image_hash, t.offers.c.id)
    )
    for image_hash, group in groupby(rows, key=lambda row: str(row.image_hash)):
        members = [_member(row) for row in group]
        if len({member.store for member in members}) > 1:
            yield image_hash, members


def showing(c: Connection, hashes: Sequence[str]) -> dict[str, list[Member]]:
    """The offers on sale that show these images."""
    found: dict[str, list[Member]] = {}
    for part in chunks(hashes):
        for row in c.execute(
            _showing().where(t.image_urls.c.image_hash.in_(part)).order_by(t.offers.c.id)
        ):
            found.setdefault(row.image_hash, []).append(_member(row))
    return found


def shown_twice(c: Connection) -> Iterator[tuple[str, Iterator[Showing]]]:
    """Image hash -> what the offers on sale that show it, or a copy of it, say of themselves, where
    there are two."""
    p = t.image_pairs.c
    again = (
        select(t.image_urls.c.image_hash)
        .join(t.offer_images, t.offer_images.c.image_url_id == t.image_urls.c.id)
        .where(t.image_urls.c.image_hash.is_not(None))
        .group_by(t.image_urls.c.image_hash)
        .having(func.count() > 1)
    )
    copies = select(p.hash_a).union(select(p.hash_b))
    shown = t.image_urls.c.image_hash
    query = _showing().where(or_(shown.in_(again), shown.in_(copies)))
    rows = c.execution_options(yield_per=PAGE).execute(
        query.order_by(t.image_urls.c.image_hash, t.offers.c.id)
    )
    for image_hash, group in groupby(rows, key=lambda row: str(row.image_hash)):
        yield image_hash, (_thing(row) for row in group)


def _showing() -> Any:
    o, oi, u = t.offers.c, t.offer_images.c, t.image_urls.c
    return (
        select(
            u.image_hash,
            o.id,
            o.store_id,
            o.item_group_id,
            _folded(o.color).label("color"),
            _folded(o.brand).label("brand"),
            o.title,
            o.category,
            o.price_minor,
            o.currency,
            func.min(oi.position).label("position"),
        )
        .select_from(t.offers)
        .join(t.offer_images, oi.offer_id == o.id)
        .join(t.image_urls, u.id == oi.image_url_id)
        .where(o.active, u.image_hash.is_not(None))
        .group_by(u.image_hash, o.id)
    )


def _member(row: Any) -> Member:
    return Member(
        row.id,
        row.store_id,
        row.item_group_id,
        row.color,
        row.brand,
        _thing(row),
        main=row.position == 0,
    )


def _thing(row: Any) -> Showing:
    return Showing(
        row.store_id,
        row.item_group_id,
        row.title,
        row.brand,
        row.category,
        row.price_minor,
        row.currency,
    )


def doubts(c: Connection) -> dict[str, tuple[bool, str]]:
    """Image hash -> whether it is drawn, and what was last thought of what it proves."""
    d = t.image_doubts.c
    return {
        row.image_hash: (row.drawn, row.doubt)
        for row in c.execute(select(d.image_hash, d.drawn, d.doubt))
    }


def replace_doubts(db: Database, new: Mapping[str, tuple[bool, str]]) -> None:
    """Makes the kept doubts those of this grouping; writes only what differs."""
    with db.write() as c:
        old = doubts(c)
        for part in chunks(sorted(old.keys() - new.keys())):
            c.execute(delete(t.image_doubts).where(t.image_doubts.c.image_hash.in_(part)))
        rows = [
            {"image_hash": image_hash, "drawn": drawn, "doubt": doubt}
            for image_hash, (drawn, doubt) in sorted(new.items())
            if old.get(image_hash) != (drawn, doubt)
        ]
        db.upsert(c, t.image_doubts, rows, ["image_hash"], ["drawn", "doubt"])


def image_pairs(c: Connection, at_least: float) -> list[tuple[str, str, float]]:
    """Pairs of images that are one photograph, the surest first."""
    p = t.image_pairs.c
    query = select(p.hash_a, p.hash_b, p.likeness).where(p.likeness >= at_least)
    rows = c.execute(query.order_by(p.likeness.desc(), p.hash_a, p.hash_b))
    return [(row.hash_a, row.hash_b, row.likeness) for row in rows]


def _unpaired(fingerprint: str) -> Any:
    e, p = t.embeddings.c, t.paired_images.c
    done = exists().where(p.image_hash == e.image_hash)
    return select(e.image_hash).where(e.fingerprint == fingerprint, e.status == "ok", ~done)


def count_to_pair(db: Database, fingerprint: str) -> int:
    """How many images `to_pair` gives."""
    with db.read() as c:
        query = select(func.count()).select_from(_unpaired(fingerprint).subquery())
        return int(c.execute(query).scalar_one())


def to_pair(db: Database, fingerprint: str) -> Iterator[list[str]]:
    """Images with a vector that were not compared with the other stores' yet, in batches."""
    e, query = t.embeddings.c, _unpaired(fingerprint)
    last = ""
    while True:
        with db.read() as c:
            page = list(
                c.scalars(query.where(e.image_hash > last).order_by(e.image_hash).limit(512))
            )
        if not page:
            return
        yield page
        last = page[-1]


def record_pairs(
    db: Database, done: Sequence[str], pairs: Iterable[tuple[str, str, float]]
) -> None:
    """Keeps what a batch of comparisons found and that it was made."""
    rows = [{"hash_a": min(a, b), "hash_b": max(a, b), "likeness": score} for a, b, score in pairs]
    with db.write() as c:
        db.upsert(c, t.image_pairs, rows, ["hash_a", "hash_b"], ["likeness"])
        db.upsert(c, t.paired_images, [{"image_hash": h} for h in done], ["image_hash"])


def active_ids(c: Connection) -> Iterator[tuple[int, str, str]]:
    """(database id, offer id, product id now) of offers on sale, in order of offer id."""
    o = t.offers.c
    query = select(o.id, o.offer_id, o.product_id).where(o.active).order_by(o.offer_id)
    for row in c.execution_options(yield_per=PAGE).execute(query):
        yield row.id, row.offer_id, row.product_id or ""


def max_id(c: Connection) -> int:
    """The largest database id of an offer, 0 if there is none."""
    return int(c.execute(select(func.max(t.offers.c.id))).scalar() or 0)


def assign(db: Database, changes: Iterable[tuple[int, int]]) -> int:
    """Writes (database id, id of the offer that names the product), in batches; how many."""
    o, n = t.offers.c, 0
    for part in chunks(changes):
        with db.write() as c:
            named = {key for _, key in part}
            names = {
                row.id: row.offer_id
                for row in c.execute(select(o.id, o.offer_id).where(o.id.in_(named)))
            }
            for key, name in part:
                c.execute(update(t.offers).where(o.id == key).values(product_id="p" + names[name]))
        n += len(part)
    return n


_links = Table(
    "new_links",
    MetaData(),
    Column("offer_a", BigInteger, primary_key=True),
    Column("offer_b", BigInteger, primary_key=True),
    prefixes=["TEMPORARY"],
)


def replace_links(db: Database, links: Iterable[Link]) -> None:
    """Makes the kept reasons those of this grouping; writes only what differs."""
    old, keys = t.product_links.c, ["offer_a", "offer_b"]
    with db.write() as c:
        _links.create(c)
        for part in chunks(links, 2000):
            named = [{"offer_a": link.a, "offer_b": link.b} for link in part]
            why = [{"reason": link.reason, "score": link.score} for link in part]
            rows = [pair | reason for pair, reason in zip(named, why, strict=True)]
            db.upsert(c, t.product_links, rows, keys, ["reason", "score"])
            c.execute(insert(_links), named)
        kept = exists().where(_links.c.offer_a == old.offer_a, _links.c.offer_b == old.offer_b)
        c.execute(delete(t.product_links).where(~kept))
        # A failure takes the table back with the transaction; to drop it then would hide why.
        _links.drop(c)


def links_of(db: Database, product_id: str) -> list[dict[str, Any]]:
    """The reasons that hold a product together, by public offer id."""
    a, b, p = t.offers.alias("a"), t.offers.alias("b"), t.product_links.c
    query = (
        select(a.c.offer_id.label("a"), b.c.offer_id.label("b"), p.reason, p.score)
        .join(a, a.c.id == p.offer_a)
        .join(b, b.c.id == p.offer_b)
        .where(a.c.product_id == product_id)
        .order_by(a.c.offer_id, b.c.offer_id)
    )
    with db.read() as c:
        return [dict(row) for row in c.execute(query).mappings()]


def find(db: Database, product_id: str) -> tuple[str, list[ForSale]]:
    """The id of a product and its offers on sale, also by an id that an earlier grouping gave it.
    Raises NotFound."""
    found = for_sale.rows(db, [product_id], Filter())
    if not found and product_id.startswith("p"):
        with db.read() as c:
            o = t.offers.c
            now = c.execute(select(o.product_id).where(o.offer_id == product_id[1:])).scalar()
        found = for_sale.rows(db, [now], Filter()) if now else {}
    if not found:
        raise NotFound(f"no such product: {product_id}", hint="search again: offers come and go")
    return next(iter(found.items()))


def count(db: Database) -> int:
    """Products with an offer on sale."""
    o = t.offers.c
    with db.read() as c:
        query = select(func.count(o.product_id.distinct())).where(o.active)
        return int(c.execute(query).scalar_one())


def views(c: Connection, fingerprint: str) -> Mapping[str, Sequence[str]]:
    """Product -> its images with a vector that no other product shows, both in order."""
    e, u, oi, o = t.embeddings.c, t.image_urls.c, t.offer_images.c, t.offers.c
    shown = (
        select(e.image_hash, func.min(o.product_id).label("product_id"))
        .join(t.image_urls, u.image_hash == e.image_hash)
        .join(t.offer_images, oi.image_url_id == u.id)
        .join(t.offers, o.id == oi.offer_id)
        .where(o.active, o.product_id.is_not(None), e.fingerprint == fingerprint, e.status == "ok")
        .group_by(e.image_hash)
        .having(func.count(o.product_id.distinct()) == 1)
        .subquery()
    ).c
    shared = c.dialect.name == "postgresql"  # whose order is else that of its language
    key = shown.product_id.collate("C") if shared else shown.product_id
    query = select(shown.product_id, shown.image_hash).order_by(key, shown.image_hash)
    rows = c.execution_options(yield_per=PAGE).execute(query)
    return NameLists(
        (product_id, [row.image_hash for row in group])
        for product_id, group in groupby(rows, key=lambda row: str(row.product_id))
    )


def of_images(c: Connection, hashes: Sequence[str]) -> dict[str, list[str]]:
    """Image hash -> products that show it."""
    u, oi, o = t.image_urls.c, t.offer_images.c, t.offers.c
    query = (
        select(u.image_hash, o.product_id)
        .distinct()
        .join(t.offer_images, oi.image_url_id == u.id)
        .join(t.offers, o.id == oi.offer_id)
        .where(o.active, o.product_id.is_not(None))
    )
    found: dict[str, list[str]] = {}
    for part in chunks(hashes):
        for row in c.execute(query.where(u.image_hash.in_(part)).order_by(o.product_id)):
            found.setdefault(row.image_hash, []).append(row.product_id)
    return found


def on_sale(c: Connection, names: Iterable[str]) -> set[str]:
    """Those of these products that some offer on sale belongs to. A product is named by one of its offers, so a
    name ends with that offer, even where others sell the thing."""
    o = t.offers.c
    query = select(o.product_id).distinct().where(o.active)
    parts = chunks(sorted(set(names)))
    return {name for part in parts for name in c.scalars(query.where(o.product_id.in_(part)))}


def copies_of(c: Connection, hashes: Sequence[str]) -> dict[str, set[str]]:
    """Image hash -> the images that are the same photograph at another store."""
    p = t.image_pairs.c
    found: dict[str, set[str]] = {}
    for part in chunks(hashes):
        for row in c.execute(
            select(p.hash_a, p.hash_b).where(or_(p.hash_a.in_(part), p.hash_b.in_(part)))
        ):
            found.setdefault(row.hash_a, set()).add(row.hash_b)
            found.setdefault(row.hash_b, set()).add(row.hash_a)
    return found
