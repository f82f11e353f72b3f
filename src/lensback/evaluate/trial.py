"""Two encoders on live searches: which one's answers are clicked more often?

Each search goes to `b` with the set share, by chance and by itself. If both were clicked equally
often, then of the searches with a click, too, that share would be of `b`, in whatever order they
come. The evidence against it is a wager that may be looked at after every search (Ville 1939; the
mixture of Robbins 1970): it exceeds 20 by chance at most once in twenty trials, however long one
waits and however often one looks. A plain p-value that is looked at daily has no such limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

CERTAIN = 20.0
"""Evidence from which a difference is called: the chance of a false alarm is at most 1 / 20."""
BROKEN_SPLIT = 1000.0
"""Evidence from which the searches themselves were not split as set."""
WORST = 50_000_000


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the two encoders: its searches, and those with a click."""

    searches: int
    clicked: int
    """Searches with a click at least."""

    @property
    def share(self) -> float | None:
        """Share of its searches with a click; None without a search."""
        return self.clicked / self.searches if self.searches else None


@dataclass(frozen=True, slots=True)
class Trial:
    """`a` is the encoder in use, `b` the one on trial."""

    a: Arm
    b: Arm
    share: float
    """Of searches that go to `b`."""

    @property
    def evidence(self) -> float:
        """Evidence (an e-value) that one encoder is clicked more often; from CERTAIN on it is
        believed."""
        return evidence(self.b.clicked, self.a.clicked + self.b.clicked, self.share)

    @property
    def state(self) -> str:
        """`broken` (the split is not as set), `a` or `b` (is clicked more often), `open`."""
        every = self.a.searches + self.b.searches
        if evidence(self.b.searches, every, self.share) >= BROKEN_SPLIT:
            return "broken"
        if self.evidence < CERTAIN:
            return "open"
        ahead = self.b.clicked > self.share * (self.a.clicked + self.b.clicked)
        return "b" if ahead else "a"

    @property
    def wanted(self) -> int | None:
        """Searches in all that tell a tenth more or less clicks with a fixed sample; None: no
        clicks yet to reckon with."""
        rate = (self.a.clicked + self.b.clicked) / max(1, self.a.searches + self.b.searches)
        return sample_size(rate, rate * 1.1, self.share) if rate else None

    def as_json(self) -> dict[str, Any]:
        """Counts, state and evidence, as `report --json` prints them."""
        return {
            "a": [self.a.searches, self.a.clicked],
            "b": [self.b.searches, self.b.clicked],
            "share": self.share,
            "evidence": round(min(self.evidence, 1e12), 4),
            "state": self.state,
            "searches_wanted": self.wanted,
        }


def evidence(hits: int, n: int, share: float) -> float:
    """Beta(1, 1) mixture against a share: B(hits + 1, n - hits + 1) / (share^hits (1 - share)^rest).

    A martingale that starts at 1 where the share is true (Robbins 1970; Howard, Ramdas 2021).

    >>> evidence(0, 0, 0.5), round(evidence(10, 10, 0.5), 1), evidence(50, 100, 0.5) < 1
    (1.0, 93.1, True)
    """
    if not 0 < share < 1:
        return 1.0
    log = math.lgamma(hits + 1) + math.lgamma(n - hits + 1) - math.lgamma(n + 2)
    log -= hits * math.log(share) + (n - hits) * math.log(1 - share)
    return math.exp(min(log, 700.0))


def sample_size(rate: float, other: float, share: float = 0.5) -> int:
    """Searches in all after which a two-sided test at 5 % sees `other` beside `rate` in 80 of
    100 trials, looked at once: (1.96 + 0.84)^2 (p(1-p)/share_a + q(1-q)/share_b) / (p - q)^2
    (Fleiss, Levin, Paik 2003, without correction).

    >>> sample_size(0.2, 0.22), sample_size(0.2, 0.2) == WORST
    (13014, True)
    """
    if rate == other or not 0 < share < 1:
        return WORST
    spread = rate * (1 - rate) / (1 - share) + other * (1 - other) / share
    return math.ceil((1.959964 + 0.841621) ** 2 * spread / (rate - other) ** 2)
