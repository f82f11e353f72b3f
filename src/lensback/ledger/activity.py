"""What happened lately, for the operator's eye: searches by day, verdicts, latency, clicks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import select

from lensback.db import Database
from lensback.db import tables as t

DAY_S = 86_400
MOST_SEARCHES = 200_000
"""Searches read for one look; the newest count."""


@dataclass(slots=True)
class Day:
    """What happened on one UTC day: searches by verdict, clicks, times of answers."""

    day: str
    searches: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    clicks: int = 0

    def latency_ms(self, share: float) -> float | None:
        """Nearest-rank percentile; None without searches."""
        return percentile(self.latencies_ms, share)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of them does not exceed.

    >>> percentile([4, 1, 3, 2], 0.5), percentile([], 0.5)
    (2, None)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def days(db: Database, now: int, count: int = 14) -> list[Day]:
    """The last days, today first; days without a search are there too."""
    found = {name: Day(name) for name in (_day(now - back * DAY_S) for back in range(count))}
    since = now - now % DAY_S - (count - 1) * DAY_S
    s, k = t.searches.c, t.clicks.c
    with db.read() as c:
        query = select(s.at, s.verdict, s.latency_ms).where(s.at >= since)
        for row in c.execute(query.order_by(s.at.desc()).limit(MOST_SEARCHES)):
            if day := found.get(_day(row.at)):
                day.searches += 1
                day.verdicts[row.verdict] += 1
                day.latencies_ms.append(row.latency_ms)
        for at in c.scalars(select(k.at).where(k.at >= since).limit(MOST_SEARCHES)):
            if day := found.get(_day(at)):
                day.clicks += 1
    return list(found.values())


def _day(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).date().isoformat()
