"""Shares of outcomes that never come without their n and interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lensback import metrics
from lensback.questions import Outcome

SCREEN = 12
"""Products on the first screen: the default `--limit` of a search."""


def seen_first(outcome: Outcome) -> bool:
    """The very thing stands first."""
    return outcome.present and outcome.rank == 1 and not told_none(outcome)


def seen(outcome: Outcome) -> bool:
    """The very thing is among the first SCREEN products. Where `none` was said nothing is shown,
    whatever its rank would have been."""
    return outcome.present and metrics.within(outcome.rank, SCREEN) and not told_none(outcome)


def misled(outcome: Outcome) -> bool:
    """Something was called exact although nobody sells the thing."""
    return not outcome.present and outcome.verdict == "exact"


def told_none(outcome: Outcome) -> bool:
    """The answer was that nothing is near."""
    return outcome.verdict == "none"


def wrong_exact(outcome: Outcome) -> bool:
    """What was called exact is not the thing."""
    return outcome.exact_right is False


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `n`, with a Wilson interval (1927) of 95 %. Of nothing it is not known.

    Photos of one thing succeed and fail together, so that 100 photos of 50 things tell less
    than 100 photos of 100 things: the interval is that of `effective` cases.
    """

    hits: int
    n: int
    effective: float

    @classmethod
    def of(cls, outcomes: Iterable[Outcome], good: Callable[[Outcome], bool]) -> Share:
        """Counts; `effective` is n over the design effect of photos that share a thing."""
        every = list(outcomes)
        flags = [good(outcome) for outcome in every]
        things = [outcome.cluster or outcome.photo for outcome in every]
        return cls(sum(flags), len(flags), metrics.effective(things, flags))

    @classmethod
    def plain(cls, hits: int, n: int) -> Share:
        """A share of `n` cases that do not depend on each other."""
        return cls(hits, n, float(n))

    @property
    def known(self) -> bool:
        """Whether there was a case at all."""
        return self.n > 0

    @property
    def value(self) -> float:
        """The share that was seen, 0 to 1; NaN without a case."""
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> metrics.Interval:
        """Low and high end; 0 and 1 of nothing."""
        return metrics.wilson(self.value * self.effective, self.effective) or (0.0, 1.0)

    @property
    def low(self) -> float:
        """Lower end of its 95 % interval."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """Upper end of its 95 % interval."""
        return self.interval[1]

    def as_json(self) -> dict[str, object]:
        """Counts, share and interval, as `report --json` prints them."""
        if not self.known:
            return {"hits": 0, "n": 0, "share": None, "low": None, "high": None}
        low, high = round(self.low, 4), round(self.high, 4)
        return {"hits": self.hits, "n": self.n, "share": self.value, "low": low, "high": high}


def of_hundred(shares: Sequence[float]) -> list[int]:
    """Whole numbers that add up to 100, by largest remainder; no share above 0 becomes 0
    where it is a failing, which stands last: what is bad is not rounded away.

    >>> of_hundred([0.996, 0.0, 0.004])
    [99, 0, 1]
    """
    parts = [int(100 * share) for share in shares]
    rest = sorted(range(len(shares)), key=lambda i: parts[i] - 100 * shares[i])
    for i in rest[: 100 - sum(parts)]:
        parts[i] += 1
    if shares[-1] > 0 and not parts[-1]:
        parts[-1] += 1
        parts[max(range(len(parts) - 1), key=parts.__getitem__)] -= 1
    return parts
