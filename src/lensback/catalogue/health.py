"""How feeds and hosts are: schedules, breakers, the last runs, and one word that says it all.

A breaker opens after BREAK_AFTER failures in a row: the feed or host is left alone for an hour,
then two, at most a day. A success closes it.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from lensback import schedule as schedules
from lensback.catalogue.pictures import without_address
from lensback.counted import counted
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import UnknownName
from lensback.schedule import Schedule

BREAK_AFTER = 3
PAUSE_S = 3600
LONGEST_S = 86_400
ASKED_S = 60
"""A Retry-After from which the whole host is left alone, and not one address of it."""
LATE_S = 3 * 86_400
"""Age from which a store without a schedule is late."""
KEPT_RUNS = 100
"""Runs kept of each feed."""

GOOD = ("ok", "unchanged")
BAD = ("failed", "truncated", "shrank")
WORDS = ("fresh", "late", "failing", "paused", "never synced")


def pause_s(failures: int) -> float:
    """How long to leave alone what failed so often in a row. With jitter: what failed together
    does not come back together.

    >>> pause_s(2), 2700 <= pause_s(3) <= 4500, pause_s(99) <= 1.25 * LONGEST_S
    (0.0, True, True)
    """
    if failures < BREAK_AFTER:
        return 0.0
    whole = min(PAUSE_S * 2.0 ** min(failures - BREAK_AFTER, 10), LONGEST_S)
    return whole * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


def is_open(retry_at: int, now: int) -> bool:
    """Whether a breaker still holds. A time farther away than any pause was written by a clock
    that went back since, and holds nothing."""
    return now < retry_at <= now + 1.25 * LONGEST_S


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """What decides whether a store's feed is read now."""

    store: str
    feed_id: int
    schedule: Schedule | None
    paused: bool
    failures: int
    retry_at: int
    last_started: int | None
    last_seconds: float

    def waits(self, now: int) -> str:
        """Why it is left alone, or empty."""
        if self.paused:
            return "paused"
        if is_open(self.retry_at, now):
            minutes = max(1, (self.retry_at - now) // 60)
            return f"failed {counted(self.failures, 'time')} in a row; next try in {minutes} min"
        return ""

    def due_at(self, usual: Schedule | None, now: int) -> int | None:
        """Epoch seconds from which a sync is due, None where nothing asks for one."""
        plan = self.schedule or usual
        if plan is None or self.paused:
            return None
        due = plan.due_at(self.last_started, now)
        return max(due, self.retry_at) if is_open(self.retry_at, now) else due


def feeds(db: Database) -> list[FeedHealth]:
    """Every store's feed, those first that were read well and quickly the last time."""
    s, f, h, r = t.stores.c, t.feeds.c, t.feed_states.c, t.feed_runs
    last = select(func.max(r.c.id)).where(r.c.feed_id == f.id).correlate(t.feeds)
    query = (
        select(
            s.name, f.id, h.schedule, h.paused, h.failures, h.retry_at, r.c.started_at, r.c.seconds
        )
        .select_from(t.stores)
        .join(t.feeds, f.store_id == s.id)
        .outerjoin(t.feed_states, h.feed_id == f.id)
        .outerjoin(r, r.c.id == last.scalar_subquery())
        .order_by(s.name)
    )
    with db.read() as c:
        rows = c.execute(query).all()
    found = [
        FeedHealth(
            store=row.name,
            feed_id=row.id,
            schedule=schedules.parse(row.schedule) if row.schedule else None,
            paused=bool(row.paused),
            failures=row.failures or 0,
            retry_at=row.retry_at or 0,
            last_started=row.started_at,
            last_seconds=row.seconds or 0.0,
        )
        for row in rows
    ]
    return sorted(found, key=lambda health: (health.failures, health.last_seconds))


@dataclass(frozen=True, slots=True)
class Standing:
    """A store in one word of WORDS, and when its feed was last read well (epoch seconds)."""

    name: str
    word: str
    last_ok: int | None


def standing(db: Database) -> list[Standing]:
    """Every store's, without counting offers: for a look each few seconds."""
    r = t.feed_runs.c
    last = select(func.max(r.id)).where(r.finished_at.is_not(None)).group_by(r.feed_id)
    good = select(r.feed_id, func.max(r.finished_at)).where(r.status.in_(GOOD)).group_by(r.feed_id)
    with db.read() as c:
        ended = select(r.feed_id, r.status).where(r.id.in_(last))
        status: dict[int, str] = {row[0]: row[1] for row in c.execute(ended)}
        read: dict[int, int] = {row[0]: row[1] for row in c.execute(good)}
    now = int(time.time())
    return [
        Standing(
            feed.store, word(status.get(feed.feed_id, ""), feed.paused, at, feed.schedule, now), at
        )
        for feed in feeds(db)
        for at in (read.get(feed.feed_id),)
    ]


def note(c: Connection, feed_id: int, status: str) -> None:
    """A run ended: closes the breaker, or brings it nearer to opening."""
    if status in GOOD:
        _put(c, feed_id, {"failures": 0, "retry_at": 0}, only_known=True)
    elif status in BAD and status != "shrank":  # that one waits for the operator, not for time
        h = t.feed_states.c
        failures = (c.execute(select(h.failures).where(h.feed_id == feed_id)).scalar() or 0) + 1
        pause = pause_s(failures)
        retry_at = int(time.time() + pause) if pause else 0
        _put(c, feed_id, {"failures": failures, "retry_at": retry_at})


def forgive(c: Connection, feed_id: int) -> None:
    """Forgets the failures: the feed's address was changed."""
    _put(c, feed_id, {"failures": 0, "retry_at": 0}, only_known=True)


def prune(c: Connection, feed_id: int) -> None:
    """Drops the oldest runs of a feed."""
    r = t.feed_runs.c
    oldest = (
        select(r.id).where(r.feed_id == feed_id).order_by(r.id.desc()).offset(KEPT_RUNS).limit(1)
    )
    if first := c.execute(oldest).scalar():
        c.execute(delete(t.feed_runs).where(r.feed_id == feed_id, r.id <= first))


def set_schedule(db: Database, store: str, text: str) -> None:
    """Gives a store a schedule of its own; none for the empty text. Raises BadQuery."""
    if text:
        text = schedules.parse(text).text
    with db.write() as c:
        _put(c, _feed_id(c, store), {"schedule": text})


def set_paused(db: Database, store: str, paused: bool) -> None:
    """Leaves a store out of syncs that do not name it, or takes it in again, its failures forgotten."""
    values: dict[str, Any] = {"paused": paused}
    if not paused:
        values |= {"failures": 0, "retry_at": 0}
    with db.write() as c:
        _put(c, _feed_id(c, store), values)


def _feed_id(c: Connection, store: str) -> int:
    query = select(t.feeds.c.id).join(t.stores, t.stores.c.id == t.feeds.c.store_id)
    found = c.execute(query.where(t.stores.c.name == store)).scalar()
    if found is None:
        known = list(c.scalars(select(t.stores.c.name).order_by(t.stores.c.name)))
        raise UnknownName("store", store, known)
    return int(found)


def _put(
    c: Connection, feed_id: int, values: Mapping[str, Any], *, only_known: bool = False
) -> None:
    h = t.feed_states
    done = c.execute(update(h).where(h.c.feed_id == feed_id).values(**values)).rowcount
    if not done and not only_known:
        empty = {"schedule": "", "paused": False, "failures": 0, "retry_at": 0}
        c.execute(insert(h).values(feed_id=feed_id, **{**empty, **values}))


# ---- what an operator reads


def word(
    status: str, paused: bool, last_ok: int | None, schedule: Schedule | None, now: int
) -> str:
    """One of WORDS. `status`: of the last run that ended; `last_ok`: end of the last good one."""
    if paused:
        return "paused"
    if status in BAD:
        return "failing"
    if last_ok is None:
        return "never synced"
    limit_s = 1.5 * schedule.usual_s(now) + 3600 if schedule else LATE_S
    return "late" if now - last_ok > limit_s else "fresh"


def advice(name: str, health: str, status: str, hint: str) -> str:
    """What to do about it, one line; empty where nothing is."""
    if health == "failing" and status == "shrank":
        return f"look at the feed; if the offers are really gone: lensback sync {name} --force"
    if health == "failing":
        return hint or f"open the feed's address in a browser, then: lensback sync {name}"
    if health == "paused":
        return f"when it is to go on: lensback store resume {name}"
    return f"run: lensback sync {name}" if health in {"late", "never synced"} else ""


def runs(db: Database, store: str, limit: int = 10) -> list[dict[str, Any]]:
    """The last runs of a store's feed, newest first: times, status, counts, rejects with samples."""
    r = t.feed_runs.c
    with db.read() as c:
        feed_id = _feed_id(c, store)
        query = select(t.feed_runs).where(r.feed_id == feed_id).order_by(r.id.desc()).limit(limit)
        return [
            {key: row[key] for key in row if key not in {"id", "feed_id"}}
            for row in c.execute(query).mappings()
        ]


def rejected(db: Database) -> dict[str, tuple[int, Counter[str]]]:
    """Store -> offers, and rows that became none by their reason, of its last run that read a whole
    feed: one that found it unchanged says nothing new."""
    r, f, s = t.feed_runs.c, t.feeds.c, t.stores.c
    last = select(func.max(r.id)).where(r.status == "ok").group_by(r.feed_id)
    query = (
        select(s.name, r.offers, r.rejected)
        .join(t.feeds, f.store_id == s.id)
        .join(t.feed_runs, r.feed_id == f.id)
        .where(r.id.in_(last))
    )
    with db.read() as c:
        return {name: (offers, Counter(why or {})) for name, offers, why in c.execute(query)}


def too_many(done: int, rejected: Counter[str], share: float, what: str = "rows") -> str:
    """That more than this share was rejected, and why; empty where it was not.

    >>> too_many(5, Counter({"no url": 4, "no price": 1}), 0.2)
    '5 of 10 rows rejected, more than 20 % (reject_guard): 4 × no url, 1 × no price'
    >>> too_many(8, Counter({"no url": 2}), 0.2)
    ''
    """
    refused = rejected.total()
    if refused <= share * (done + refused):
        return ""
    why = ", ".join(f"{count} × {reason}" for reason, count in rejected.most_common(4))
    return f"{refused} of {done + refused} {what} rejected, more than {100 * share:g} % (reject_guard): {why}"


def image_failures(db: Database, store: str) -> dict[str, int]:
    """Why images of a store's offers on sale are missing: reason without its address -> how many."""
    u, oi, o, s = t.image_urls.c, t.offer_images.c, t.offers.c, t.stores.c
    query = (
        select(u.reason, func.count(u.id.distinct()))
        .join(t.offer_images, oi.image_url_id == u.id)
        .join(t.offers, o.id == oi.offer_id)
        .join(t.stores, s.id == o.store_id)
        .where(s.name == store, o.active, u.status == "failed")
        .group_by(u.reason)
    )
    found: Counter[str] = Counter()
    with db.read() as c:
        for reason, n in c.execute(query):
            found[without_address(reason)] += n
    return dict(found.most_common())


# ---- hosts


@dataclass(slots=True)
class Host:
    """The breaker of one host, and whether it changed since it was read."""

    failures: int = 0
    retry_at: int = 0
    reason: str = ""
    changed: bool = False


class Hosts:
    """The breakers of hosts during a stage; `save` keeps what changed. `trust` opens them all."""

    def __init__(self, db: Database, *, trust: bool = False) -> None:
        h = t.hosts.c
        with db.read() as c:
            rows = c.execute(select(h.host, h.failures, h.retry_at, h.reason)).all()
        self._known = {row.host: Host(row.failures, row.retry_at, row.reason) for row in rows}
        if trust:
            for host in self._known.values():
                host.failures = host.retry_at = 0
        self._db = db
        self._answered: set[str] = set()

    def closed_for(self, name: str) -> str:
        """Why the host is not asked now, or empty."""
        host = self._known.get(name)
        if host and is_open(host.retry_at, int(time.time())):
            return f"{name} failed {counted(host.failures, 'time')} in a row: {host.reason}"
        return ""

    def succeeded(self, name: str) -> None:
        """Notes that the host answered, which closes its breaker."""
        self._answered.add(name)
        host = self._known.get(name)
        if host and host.failures:
            host.failures, host.retry_at, host.reason, host.changed = 0, 0, "", True

    def answered(self, name: str) -> bool:
        """Whether the host has answered since this object was made."""
        return name in self._answered

    def failed(self, name: str, reason: str, after: int = BREAK_AFTER, wait_s: float = 0.0) -> None:
        """The host did not answer, or with a failure of its own. `after` in a row open its breaker;
        so does, for so long, one that asks to be left alone (`wait_s`)."""
        host = self._known.setdefault(name, Host())
        host.failures, host.reason, host.changed = host.failures + 1, reason[:300], True
        pause = pause_s(BREAK_AFTER + host.failures - after) if host.failures >= after else 0
        pause = max(pause, min(wait_s, LONGEST_S) if wait_s >= ASKED_S else 0)
        host.retry_at = int(time.time() + pause) if pause else 0

    def save(self) -> None:
        """Keeps the breakers that changed; those that closed are forgotten."""
        changed = {name: host for name, host in self._known.items() if host.changed}
        if not changed:
            return
        rows = [
            {"host": name[:300], "failures": h.failures, "retry_at": h.retry_at, "reason": h.reason}
            for name, h in changed.items()
            if h.failures
        ]
        with self._db.write() as c:
            for name, host in changed.items():
                if not host.failures:
                    c.execute(delete(t.hosts).where(t.hosts.c.host == name[:300]))
            self._db.upsert(c, t.hosts, rows, ["host"], ["failures", "retry_at", "reason"])
        for host in changed.values():
            host.changed = False


def open_hosts(db: Database) -> list[tuple[str, int, str]]:
    """Hosts that are left alone now: name, until when (epoch seconds), why."""
    now, h = int(time.time()), t.hosts.c
    with db.read() as c:
        rows = c.execute(select(h.host, h.retry_at, h.reason).order_by(h.host)).all()
    return [(row.host, row.retry_at, row.reason) for row in rows if is_open(row.retry_at, now)]
