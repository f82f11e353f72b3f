"""When a store's next sync is due: `6h`, `30m`, `2d`, or a cron line in UTC. Pure sums."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from lensback.errors import BadQuery

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_YEARS = 9
"""How far ahead a cron line is followed: February 29th may be eight years away."""
_HINT = "write 30m, 6h, 1d, or a cron line in quotes: '0 */6 * * *' (UTC)"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every `period_s` seconds; or, where that is 0, at the minutes of five sets of numbers."""

    text: str
    period_s: int = 0
    cron: tuple[frozenset[int], ...] = ()

    def due_at(self, last: int | None, now: int) -> int:
        """Epoch seconds from which the next run is due. `last`: start of the one before.

        Missed runs fall into one. A last run in the future (the clock went back) counts as none.

        >>> parse("6h").due_at(1000, 2000), parse("6h").due_at(None, 2000), parse("6h").due_at(9999, 2000)
        (22600, 2000, 2000)
        """
        if last is None or last > now:
            return now
        return last + self.period_s if self.period_s else _next(self.cron, last)

    def usual_s(self, now: int) -> int:
        """Seconds that usually lie between two runs: the longest of the next few gaps."""
        if self.period_s:
            return self.period_s
        times = [now]
        for _ in range(8):
            times.append(_next(self.cron, times[-1]))
        return max(b - a for a, b in pairwise(times[1:]))


def parse(text: str) -> Schedule:
    """Reads a schedule. Raises BadQuery saying what is wrong.

    >>> parse("90m").period_s, parse("0 4 * * 1").cron[1]
    (5400, frozenset({4}))
    """
    text = " ".join(text.split())
    if found := re.fullmatch(r"(\d{1,6})\s?([mhd])", text):
        period_s = int(found[1]) * _UNITS[found[2]]
        if period_s:
            return Schedule(text, period_s)
    parts = text.split(" ")
    if len(text) > 80 or len(parts) != len(_FIELDS):
        raise BadQuery(f"not a schedule: {text[:80]!r}", hint=_HINT)
    sets = [_numbers(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]
    sets[4] = frozenset(n % 7 for n in sets[4])
    schedule = Schedule(text, cron=tuple(sets))
    _next(schedule.cron, 0)
    return schedule


def _numbers(part: str, name: str, low: int, high: int) -> frozenset[int]:
    """One field of a cron line: `*`, `5`, `1-5`, `*/15`, `1-30/2`, and lists of these."""
    found: set[int] = set()
    for piece in part.split(","):
        match = re.fullmatch(r"(\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?", piece)
        if not match:
            raise BadQuery(f"not a {name} of a schedule: {part[:40]!r}", hint=_HINT)
        first = low if match[1] == "*" else int(match[2])
        last = high if match[1] == "*" or (match[4] and not match[3]) else int(match[3] or first)
        step = int(match[4] or 1)
        if not (low <= first <= last <= high and step):
            raise BadQuery(f"not a {name} of a schedule: {part[:40]!r}", hint=_HINT)
        found |= set(range(first, last + 1, step))
    return frozenset(found)


def _next(cron: tuple[frozenset[int], ...], after: int) -> int:
    """The first matching minute after a moment. Where days of the month and of the week are both
    limited, either will do, as cron has it."""
    minutes, hours, days, months, weekdays = cron
    begin = datetime.fromtimestamp(after, UTC).replace(second=0, microsecond=0) + timedelta(
        minutes=1
    )
    either = len(days) < 31 and len(weekdays) < 7
    day = begin.replace(hour=0, minute=0)
    for _ in range(366 * _YEARS):
        in_month, in_week = day.day in days, day.isoweekday() % 7 in weekdays
        fits = in_month or in_week if either else in_month and in_week
        if fits and day.month in months:
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    at = day.replace(hour=hour, minute=minute)
                    if at >= begin:
                        return int(at.timestamp())
        day += timedelta(days=1)
    raise BadQuery("no such day ever comes", hint=_HINT)
