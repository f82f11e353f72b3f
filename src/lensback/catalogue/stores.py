"""Stores, their programmes and feeds, and the runs of each feed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, bindparam, delete, exists, func, insert, select, update

from lensback.catalogue import health
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import BadQuery, UnknownName
from lensback.types import Feed, Store

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True)
class FeedState:
    """A feed with what its last complete run left for the next one."""

    feed: Feed
    base: str
    etag: str
    last_modified: str
    content_hash: str


def add(
    db: Database,
    name: str,
    feed_url: str = "",
    *,
    format: str | None = None,  # noqa: A002 - the contract's word
    columns: str | None = None,
    base: str | None = None,
    title: str | None = None,
    program: Mapping[str, Any] | None = None,
    fallbacks: Sequence[Mapping[str, Any]] = (),
) -> Store:
    """Connects a store. The same name again changes what is given and keeps the rest, its offers
    too. `fallbacks` are programs for what `program` does not pay, in order; both replace what was
    there. Raises BadQuery for a new store without a feed, and for a name that another one had."""
    now = int(time.time())
    own = {k: v for k, v in (("title", title), ("base", base)) if v is not None}
    feed = {"url": feed_url or None, "format": format, "columns": columns}
    changes = {key: value for key, value in feed.items() if value is not None}
    with db.write() as c:
        _check_name(c, name)
        plain = {"name": name, "title": "", "base": "", "created_at": now}
        db.upsert(c, t.stores, [plain | own], ["name"], list(own))
        row = c.execute(select(t.stores).where(t.stores.c.name == name)).one()
        _put_feed(c, row, changes, now)
        if program is not None:
            _put_programs(c, row.id, [program, *fallbacks], now)
    return Store(name=name, id=row.id, title=row.title, base=row.base)


def rename(db: Database, old: str, new: str) -> None:
    """Calls a store by another name. Its offers keep their ids, so links, prices over time, clicks
    and sales stay with it. Raises UnknownName, and BadQuery where the name is taken."""
    s = t.stores.c
    with db.write() as c:
        row = c.execute(select(s.id, s.former).where(s.name == old)).first()
        if row is None:
            raise UnknownName("store", old, _names(c))
        if c.execute(select(s.id).where(s.name == new)).first():
            raise BadQuery(f"there is a store {new!r}", hint="choose another name")
        _check_name(c, new, row.id)
        former = [*(name for name in row.former if name not in {old, new}), old]
        c.execute(update(t.stores).where(s.id == row.id).values(name=new, former=former))
        for table in (t.clicks, t.conversions):  # a sale is called as its click is
            c.execute(update(table).where(table.c.store == old).values(store=new))


def _check_name(c: Any, name: str, own: int | None = None) -> None:
    """Ids of offers are made of the name that their store had when they came: two stores must
    never share one."""
    if not NAME.fullmatch(name):
        raise BadQuery(
            f"not a store name: {name!r}", hint="use a-z, 0-9, '.', '-', '_', at most 80 characters"
        )
    s = t.stores.c
    for row in c.execute(select(s.id, s.name, s.former).where(s.name != name)):
        if name in row.former and row.id != own:
            raise BadQuery(
                f"{name!r} was the name of the store {row.name!r}, and is in its offers' ids",
                hint="choose another name",
            )


def _put_programs(c: Any, store_id: int, wanted: Sequence[Mapping[str, Any]], now: int) -> None:
    """Earlier programs are replaced place by place and keep their ids, which clicks name."""
    p = t.programs.c
    known = list(c.scalars(select(p.id).where(p.store_id == store_id).order_by(p.id)))
    for at, terms in enumerate(wanted):
        values = {**_program_row(terms), "created_at": now}
        if at < len(known):
            c.execute(update(t.programs).where(p.id == known[at]).values(**values))
        else:
            c.execute(insert(t.programs).values(store_id=store_id, **values))
    c.execute(delete(t.programs).where(p.id.in_(known[len(wanted) :])))


def _program_row(terms: Mapping[str, Any]) -> dict[str, Any]:
    network = str(terms.get("network", ""))
    return {"network": network, "terms": json.loads(json.dumps(terms, default=str))}


def change_program(db: Database, program_id: int, terms: Mapping[str, Any]) -> None:
    """Replaces the terms of one program; clicks keep the ones they happened under."""
    with db.write() as c:
        mine = update(t.programs).where(t.programs.c.id == program_id)
        c.execute(mine.values(**_program_row(terms)))


def _put_feed(c: Any, store: Any, values: dict[str, str], now: int) -> None:
    f = t.feeds.c
    known = c.execute(
        select(f.id, f.url, f.format, f.columns).where(f.store_id == store.id)
    ).first()
    if known is None:
        if "url" not in values:
            raise BadQuery(f"{store.name!r} is new and needs a feed", hint="add --feed URL")
        plain = {"format": "auto", "columns": ""}
        c.execute(insert(t.feeds).values(store_id=store.id, created_at=now, **plain | values))
        return
    if all(getattr(known, key) == value for key, value in values.items()):
        return
    # Another address or map: what the last run remembered is about another file.
    fresh = {"etag": "", "last_modified": "", "content_hash": ""}
    c.execute(update(t.feeds).where(f.id == known.id).values(**values, **fresh))
    health.forgive(c, known.id)


def remove(db: Database, name: str) -> None:
    """Disconnects a store and forgets its offers. Images stay until nobody needs them."""
    with db.write() as c:
        if c.execute(delete(t.stores).where(t.stores.c.name == name)).rowcount == 0:
            raise UnknownName("store", name, _names(c))


def names(db: Database) -> list[str]:
    """All store names, in order."""
    with db.read() as c:
        return _names(c)


def _names(c: Any) -> list[str]:
    return list(c.scalars(select(t.stores.c.name).order_by(t.stores.c.name)))


def titles(db: Database) -> dict[str, str]:
    """Store -> what people call it: the title that the operator gave it, else its name."""
    s = t.stores.c
    with db.read() as c:
        return {row.name: row.title or row.name for row in c.execute(select(s.name, s.title))}


def store_id(db: Database, name: str) -> int:
    """Database id of a store."""
    with db.read() as c:
        found = c.execute(select(t.stores.c.id).where(t.stores.c.name == name)).scalar()
    if found is None:
        raise UnknownName("store", name, names(db))
    return int(found)


def check_names(db: Database, wanted: list[str]) -> list[str]:
    """The wanted stores, or all; UnknownName for one that is not connected."""
    known = names(db)
    for name in wanted:
        if name not in known:
            raise UnknownName("store", name, known)
    return wanted or known


def feed(db: Database, store: str) -> FeedState:
    """The feed of a store."""
    return feeds(db, [store])[0]


def feeds(db: Database, wanted: Sequence[str]) -> list[FeedState]:
    """The feeds of these stores, in their order. Raises UnknownName."""
    query = select(t.feeds, t.stores.c.name, t.stores.c.base).join(
        t.stores, t.stores.c.id == t.feeds.c.store_id
    )
    found: dict[str, FeedState] = {}
    with db.read() as c:
        for part in chunks(wanted):
            for row in c.execute(query.where(t.stores.c.name.in_(part))):
                found[row.name] = _feed_state(row)
    for name in wanted:
        if name not in found:
            raise UnknownName("store", name, names(db))
    return [found[name] for name in wanted]


def _feed_state(row: Any) -> FeedState:
    return FeedState(
        Feed(store=row.name, url=row.url, id=row.id, format=row.format, columns=row.columns),
        base=row.base,
        etag=row.etag,
        last_modified=row.last_modified,
        content_hash=row.content_hash,
    )


def remember(
    db: Database, feed: Feed, *, etag: str = "", last_modified: str = "", content_hash: str = ""
) -> None:
    """Keeps what lets the next sync of an unchanged feed stop early; nothing by default.

    Nothing is kept where the feed's address was changed in the meantime.
    """
    with db.write() as c:
        c.execute(
            update(t.feeds)
            .where(t.feeds.c.id == feed.id, t.feeds.c.url == feed.url)
            .values(etag=etag, last_modified=last_modified, content_hash=content_hash)
        )


def begin_run(db: Database, feed_id: int, started_at: int | None = None) -> int:
    """Opens a run; one that was killed stays `running` until the next begins, then is `killed`."""
    now = int(time.time())
    with db.write() as c:
        c.execute(
            update(t.feed_runs)
            .where(t.feed_runs.c.feed_id == feed_id, t.feed_runs.c.status == "running")
            .values(status="killed", finished_at=now)
        )
        return _insert_run(c, feed_id, "running", started_at or now, {})


def finish_run(db: Database, run_id: int, status: str, **values: Any) -> None:
    """Closes a run with its counts: offers, changed, removed, rejected, samples, message, bytes,
    seconds. Its feed's breaker hears of it."""
    r = t.feed_runs.c
    ended = {"status": status, "finished_at": int(time.time()), **values}
    with db.write() as c:
        c.execute(update(t.feed_runs).where(r.id == run_id).values(**ended))
        feed_id = c.execute(select(r.feed_id).where(r.id == run_id)).scalar()
        if feed_id is not None:
            health.note(c, feed_id, status)


def note_run(db: Database, feed_id: int, status: str, started_at: int, **values: Any) -> None:
    """A run that ended before a row was read (unchanged, or not to be had), in one transaction."""
    with db.write() as c:
        ended = {"finished_at": int(time.time()), **values}
        _insert_run(c, feed_id, status, started_at, ended)
        health.note(c, feed_id, status)


def _insert_run(
    c: Any, feed_id: int, status: str, started_at: int, values: Mapping[str, Any]
) -> int:
    health.prune(c, feed_id)
    row = {
        "feed_id": feed_id,
        "started_at": started_at,
        "status": status,
        "rejected": {},
        "samples": [],
    }
    key = c.execute(insert(t.feed_runs).values(**{**row, **values})).inserted_primary_key
    return int(key[0]) if key else 0


@dataclass(frozen=True, slots=True)
class StoreState:
    """One line of `store list`."""

    name: str
    title: str
    """What people call it; empty: by its name."""
    feed_url: str
    format: str
    offers: int
    in_stock: int
    unknown_stock: int
    """Offers whose words of stock nobody knows."""
    images: int
    images_failed: int
    placeholders: int
    """Images that show no thing: they are not searched."""
    last_sync: int | None
    status: str
    message: str
    health: str
    """One word, see `health.WORDS`."""
    todo: str
    """What to do about it, or empty."""
    schedule: str
    next_run: int | None
    """Epoch seconds, where the store has a schedule of its own."""
    rejected: int
    """Rows of the last run that became no offer."""
    failures: int
    """Runs in a row that failed."""


def overview(db: Database, only: str = "") -> list[StoreState]:
    """What an operator wants to see of each store, or of one."""
    s, f = t.stores, t.feeds
    run, ok = t.feed_runs, t.feed_runs.alias()
    last = select(func.max(run.c.id)).where(run.c.feed_id == f.c.id).correlate(f)
    good = select(func.max(ok.c.finished_at)).where(
        ok.c.feed_id == f.c.id, ok.c.status.in_(health.GOOD)
    )
    query = (
        select(
            s.c.id.label("key"),
            s.c.name,
            s.c.title,
            f.c.url,
            f.c.format,
            good.scalar_subquery().label("last_ok"),
            run,
        )
        .join(f, f.c.store_id == s.c.id)
        .outerjoin(run, run.c.id == last.scalar_subquery())
        .order_by(s.c.name)
    )
    with db.read() as c:
        rows = c.execute(query.where(s.c.name == only) if only else query).all()
        counts = {row.store_id: row for row in c.execute(_offer_counts())}
        pictures = {row.store_id: row for row in c.execute(_picture_counts())}
    plans = {plan.store: plan for plan in health.feeds(db)}
    return [
        _store_state(row, counts.get(row.key), pictures.get(row.key), plans[row.name])
        for row in rows
        if row.name in plans
    ]


def _store_state(row: Any, counts: Any, pictures: Any, plan: health.FeedHealth) -> StoreState:
    now = int(time.time())
    status = row.status or "never synced"
    message, _, hint = (row.message or "").partition("\n")
    word = health.word(status, plan.paused, row.last_ok, plan.schedule, now)
    return StoreState(
        name=row.name,
        title=row.title,
        feed_url=row.url,
        format=row.format,
        offers=counts.offers if counts else 0,
        in_stock=counts.in_stock if counts else 0,
        unknown_stock=counts.unknown_stock if counts else 0,
        images=pictures.images if pictures else 0,
        images_failed=pictures.failed if pictures else 0,
        placeholders=pictures.placeholders if pictures else 0,
        last_sync=row.finished_at,
        status=status,
        message=message,
        health=word,
        todo=health.advice(row.name, word, status, hint),
        schedule=plan.schedule.text if plan.schedule else "",
        next_run=plan.due_at(None, now),
        rejected=sum((row.rejected or {}).values()),
        failures=plan.failures,
    )


def _offer_counts() -> Any:
    o = t.offers
    in_stock, unknown = (
        func.sum((o.c.availability == state).cast(Integer)) for state in ("in_stock", "unknown")
    )
    counts = (in_stock.label("in_stock"), unknown.label("unknown_stock"))
    query = select(o.c.store_id, func.count().label("offers"), *counts)
    return query.where(o.c.active).group_by(o.c.store_id)


def _picture_counts() -> Any:
    o, u, oi = t.offers, t.image_urls, t.offer_images
    d = t.image_doubts.c
    nothing = exists().where(d.image_hash == u.c.image_hash, d.doubt == "placeholder")
    distinct = (
        select(o.c.store_id, u.c.id, u.c.status, nothing.label("no_thing"))
        .join(oi, oi.c.offer_id == o.c.id)
        .join(u, u.c.id == oi.c.image_url_id)
        .where(o.c.active)
        .distinct()
        .subquery()
    )
    return select(
        distinct.c.store_id,
        func.count().label("images"),
        func.sum((distinct.c.status == "failed").cast(Integer)).label("failed"),
        func.sum(distinct.c.no_thing.cast(Integer)).label("placeholders"),
    ).group_by(distinct.c.store_id)


@dataclass(frozen=True, slots=True)
class StoredProgram:
    """A store's program as it was given; `terms.parse` checks it."""

    store: str
    network: str
    terms: Mapping[str, Any]
    id: int


_PROGRAMS = (
    select(t.stores.c.name, t.programs.c.network, t.programs.c.terms, t.programs.c.id)
    .select_from(t.programs)
    .join(t.stores)
    .where(t.stores.c.name.in_(bindparam("names", expanding=True)))
    .order_by(t.programs.c.id)
)
"""Built once: putting it together takes longer than running it."""


def programs(db: Database, names: Iterable[str]) -> dict[str, tuple[StoredProgram, ...]]:
    """The programs of these stores, by store, the first choice first; stores without one are
    missing."""
    found: dict[str, list[StoredProgram]] = {}
    with db.read() as c:
        for part in chunks(sorted(set(names))):
            for row in c.execute(_PROGRAMS, {"names": part}).all():
                one = StoredProgram(row.name, row.network, row.terms, row.id)
                found.setdefault(row.name, []).append(one)
    return {name: tuple(each) for name, each in found.items()}
