"""The promise of "exact": from which match probability an answer is called exact, and for how long.

`lensback promise` chooses the thresholds so that with the stated confidence at most the promised
share of exact answers is wrong; here is what it keeps, and when that no longer holds. Pure words
and sums; docs/evaluation.md says how the thresholds are chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lensback.errors import StateError

CERTIFIED, OPEN, BROKEN = "certified", "open", "broken"
"""`open`: too few cases to be sure, nothing speaks against it. `broken`: what was seen speaks
against it even at the strictest threshold, so nothing is called exact."""
CONFIDENCE = 0.95
"""With which the promise holds."""
SKETCH = 256
"""Smallest image hashes that stand for a catalogue (bottom-k sketch, Cohen, Kaplan 2007)."""
LIKE = 0.9
"""Share of images that two states of a catalogue must have in common to be taken for one."""


def fewest(promised: float, confidence: float = CONFIDENCE) -> int:
    """Answers without a mistake that are needed at least: (1 - promised)^n <= 1 - confidence.

    >>> fewest(0.05)
    59
    """
    return math.ceil(math.log(1 - confidence) / math.log(1 - promised))


@dataclass(frozen=True, slots=True)
class Threshold:
    """What was found for all answers, or for those of one category."""

    name: str
    """Category, or empty: all."""
    state: str
    threshold: float | None
    """Match probability from which an answer is exact; None unless certified."""
    answers: int
    """Answers at the threshold (or at the strictest one looked at), and how many were wrong."""
    wrong: int
    upper: float | None
    """One-sided upper bound of the wrong share."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Thresholds, and the encoder, calibration and catalogue they are true for."""

    promised: float
    """Largest share of exact answers that may be wrong."""
    confidence: float
    fingerprint: str
    calibration: str
    """Digest of the calibration whose probabilities were judged."""
    catalogue: tuple[str, ...]
    """Smallest image hashes of the catalogue, sorted, at most SKETCH."""
    images: int
    snapshot: str
    source: str
    """What it was certified on."""
    cases: int
    overall: Threshold
    categories: tuple[Threshold, ...] = ()
    created_at: str = ""

    def exact_from(self, categories: Iterable[str], fallback: float) -> float:
        """Probability from which a hit of these categories is exact; infinite: never.

        The strictest of its categories counts; one that is open takes the threshold of all, and
        where that is open too, `fallback`, which promises nothing.
        """
        known = {each.name: each for each in self.categories}
        wanted = [known[name] for name in categories if name in known and known[name].state != OPEN]
        bars = [_bar(each, fallback) for each in wanted or [self.overall]]
        return max(bars)

    def certified_for(self, categories: Iterable[str]) -> bool:
        """Whether "exact" is promised for a hit of these categories."""
        names = set(categories)
        own = [each.state for each in self.categories if each.name in names and each.state != OPEN]
        return all(state == CERTIFIED for state in own or [self.overall.state])

    def as_json(self) -> dict[str, Any]:
        """The promise by name, as it stands in its file."""
        return asdict(self)


def _bar(limit: Threshold, fallback: float) -> float:
    if limit.state == BROKEN:
        return math.inf
    return fallback if limit.threshold is None else limit.threshold


def resemblance(a: Sequence[str], b: Sequence[str]) -> float:
    """Share of images that two catalogues have in common, estimated from their sketches.

    Hashes are evenly spread, so the smallest of both together are a fair sample of the union.

    >>> resemblance(["1", "2", "3"], ["1", "2", "4"])
    0.5
    >>> resemblance([], [])
    1.0
    """
    one, two = set(a), set(b)
    size = max(len(one), len(two))
    # Beyond the largest hash of a full sketch nothing is known of that catalogue.
    union = sorted(one | two)[:size] if size >= SKETCH else sorted(one | two)
    shared = sum(each in one and each in two for each in union)
    return shared / len(union) if union else 1.0


def check(
    promise: Promise, *, fingerprint: str, calibration: str, catalogue: Sequence[str]
) -> None:
    """Raises StateError where the promise was made for another encoder, calibration or catalogue."""
    hint = "run: lensback promise"
    if promise.fingerprint != fingerprint:
        raise StateError("the promise of exact was made for another encoder", hint=hint)
    if promise.calibration != calibration:
        raise StateError("the promise of exact was made for another calibration", hint=hint)
    alike = resemblance(promise.catalogue, catalogue)
    if alike < LIKE:
        raise StateError(
            f"the catalogue changed since exact was promised: {alike:.0%} of its images are the same",
            hint=hint,
        )
