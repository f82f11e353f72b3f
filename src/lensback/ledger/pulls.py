"""How the pulls of each network went: stretches read, the last good pull, rows that were refused."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import delete, func, select

from lensback.db import Database, chunks
from lensback.db import tables as t

DAY_S = 86_400
LATE_DAYS = 120
"""An approved sale is looked at so long: stores take back what they approved."""
MOST_ROWS = 1000
"""Refused rows that are kept for a network; the newest stay."""
MAX_ROW = 4000


@dataclass(frozen=True, slots=True)
class PullState:
    """What is known of one network's pulls. Times are UTC epoch seconds."""

    network: str
    tried_at: int | None = None
    good_at: int | None = None
    """End of the last pull that read everything; None where none did yet."""
    error: str = ""
    """What ended the last pull; "" where it was good."""
    refused: Counter[str] = field(default_factory=Counter)
    """Rows that could not be read, by reason."""
    aside: int = 0
    """Sales whose click nobody knows, or that went through another network: their commission waits."""
    review: int = 0
    """Sales that wait for an operator's decision."""

    @property
    def good(self) -> str:
        """The end of the last good pull as day and minute in UTC, or `never`."""
        if self.good_at is None:
            return "never"
        return f"{datetime.fromtimestamp(self.good_at, UTC):%Y-%m-%d %H:%M} UTC"


def read_since(db: Database, network: str, at: int) -> set[tuple[int, int]]:
    """Stretches (since, until) that were read whole at `at` or later."""
    p = t.pulls.c
    with db.read() as c:
        rows = c.execute(select(p.since, p.until).where(p.network == network, p.at >= at))
        return {(row.since, row.until) for row in rows}


def mark_read(db: Database, network: str, stretch: tuple[int, int], news: int, at: int) -> None:
    """Remembers that this stretch was read whole."""
    row = {"network": network, "since": stretch[0], "until": stretch[1], "news": news, "at": at}
    with db.write() as c:
        db.upsert(c, t.pulls, [row], ["network", "since", "until"], ["news", "at"])


def mark_tried(db: Database, network: str, at: int, error: str = "") -> None:
    """Remembers how a pull ended; `error` is "" for one that read everything. Rows that were refused
    before and did not come again in a good one are forgotten."""
    row = {"network": network, "tried_at": at, "good_at": None if error else at, "error": error}
    changed = ["tried_at", "error"] if error else ["tried_at", "good_at", "error"]
    r = t.refused_rows.c
    with db.write() as c:
        db.upsert(c, t.network_pulls, [row], ["network"], changed)
        if not error:
            c.execute(delete(t.refused_rows).where(r.network == network, r.last_at < at))


def keep_refused(db: Database, network: str, rows: Iterable[tuple[str, str]], at: int) -> None:
    """Keeps rows (reason, text) that could not be read, each once, the newest of them."""
    kept = {
        hashlib.sha256(text.encode()).hexdigest(): {"reason": reason[:500], "row": text[:MAX_ROW]}
        for reason, text in rows
    }
    new = [
        {"network": network, "digest": name, "first_at": at, "last_at": at, **row}
        for name, row in list(kept.items())[-MOST_ROWS:]
    ]
    r = t.refused_rows.c
    with db.write() as c:
        for part in chunks(new):
            db.upsert(c, t.refused_rows, part, ["network", "digest"], ["reason", "last_at"])
        mine = select(r.digest).where(r.network == network).order_by(r.last_at.desc(), r.digest)
        for part in chunks(list(c.scalars(mine))[MOST_ROWS:]):
            c.execute(delete(t.refused_rows).where(r.network == network, r.digest.in_(part)))


def refused_rows(db: Database, network: str = "") -> list[dict[str, object]]:
    """The rows that are kept, newest first: `network`, `reason`, `row`, `first_at`, `last_at`."""
    r = t.refused_rows.c
    query = select(r.network, r.reason, r.row, r.first_at, r.last_at).order_by(r.last_at.desc())
    if network:
        query = query.where(r.network == network)
    with db.read() as c:
        return [dict(row) for row in c.execute(query).mappings()]


def states(db: Database) -> list[PullState]:
    """Every network that was asked, or whose sales are known, by name."""
    r, v = t.refused_rows.c, t.conversions.c
    with db.read() as c:
        tried = {row.network: row for row in c.execute(select(t.network_pulls))}
        refused: dict[str, Counter[str]] = {}
        counted = select(r.network, r.reason, func.count()).group_by(r.network, r.reason)
        for network, reason, count in c.execute(counted):
            refused.setdefault(network, Counter())[reason] = count
        waiting = select(v.network, func.count()).where(v.click_id.is_(None)).group_by(v.network)
        aside = {str(row[0]): int(row[1]) for row in c.execute(waiting)}
        held = select(v.network, func.count()).where(v.review == "held", v.status != "declined")
        review = {str(row[0]): int(row[1]) for row in c.execute(held.group_by(v.network))}
        known = set(c.scalars(select(v.network).distinct()))
    return [
        PullState(
            name,
            tried[name].tried_at if name in tried else None,
            tried[name].good_at if name in tried else None,
            tried[name].error if name in tried else "",
            refused.get(name, Counter()),
            aside.get(name, 0),
            review.get(name, 0),
        )
        for name in sorted({*tried, *refused, *known})
    ]


def ask_from(db: Database, network: str, now: int, window_days: int, reach_days: int = 0) -> int:
    """The begin of a pull that misses no change of a network's sales, UTC epoch seconds.

    The oldest sale that may still change (pending; approved for 120 days), the day before the last
    good pull, and a window where there was none; no further back than the network answers.
    """
    v, p = t.conversions.c, t.network_pulls.c
    begun = func.min(func.coalesce(v.ordered_at, v.first_at))
    mine = v.network == network
    with db.read() as c:
        pending = c.scalar(select(begun).where(mine, v.status == "pending"))
        late = func.coalesce(v.ordered_at, v.first_at) >= now - LATE_DAYS * DAY_S
        approved = c.scalar(select(begun).where(mine, v.status == "approved", late))
        good = c.scalar(select(p.good_at).where(p.network == network))
    since = now - window_days * DAY_S if good is None else int(good) - DAY_S
    oldest = min(int(at) for at in (pending, approved, since) if at is not None)
    furthest = now - (reach_days or 400) * DAY_S
    # Whole days: the next pull finds the same stretches.
    return max(oldest, furthest) // DAY_S * DAY_S
