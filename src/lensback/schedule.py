"""When a store's next sync is due: `6h`, `30m`, `2d`, or a cron line in UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from cronsim import CronSim, CronSimError

from lensback.errors import BadQuery

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_HINT = "write 30m, 6h, 1d, or a cron line in quotes: '0 */6 * * *' (UTC)"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every `period_s` seconds; where that is 0, at the minutes that the cron line `text` names."""

    text: str
    period_s: int = 0

    def due_at(self, last: int | None, now: int) -> int:
        """Epoch seconds from which the next run is due. `last`: start of the one before.

        Missed runs fall into one. A last run in the future (the clock went back) counts as none.

        >>> parse("6h").due_at(1000, 2000), parse("6h").due_at(None, 2000), parse("6h").due_at(9999, 2000)
        (22600, 2000, 2000)
        """
        if last is None or last > now:
            return now
        return last + self.period_s if self.period_s else _next(self.text, last)

    def usual_s(self, now: int) -> int:
        """Seconds that usually lie between two runs: the longest of the next few gaps."""
        if self.period_s:
            return self.period_s
        times = [now]
        for _ in range(8):
            times.append(_next(self.text, times[-1]))
        return max(b - a for a, b in pairwise(times[1:]))


def parse(text: str) -> Schedule:
    """Reads a schedule. Raises BadQuery saying what is wrong.

    >>> parse("90m").period_s, parse("0 4 * * 1").due_at(0, 0)
    (5400, 360000)
    """
    text = " ".join(text.split())
    if found := re.fullmatch(r"(\d{1,6})\s?([mhd])", text):
        period_s = int(found[1]) * _UNITS[found[2]]
        if period_s:
            return Schedule(text, period_s)
    if len(text) > 80 or text.count(" ") != 4:  # of six fields the first would be seconds
        raise BadQuery(f"not a schedule: {text[:80]!r}", hint=_HINT)
    _next(text, 0)
    return Schedule(text)


def _next(cron: str, after: int) -> int:
    """The first matching minute after a moment. Where days of the month and of the week are both
    limited, either will do, as cron has it."""
    try:
        return int(next(CronSim(cron, datetime.fromtimestamp(after, UTC))).timestamp())
    except CronSimError as error:
        raise BadQuery(f"not a schedule: {cron!r}: {error}", hint=_HINT) from error
    except StopIteration as error:
        raise BadQuery(f"no day of {cron!r} ever comes", hint=_HINT) from error
