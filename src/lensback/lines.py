"""The line of "none": the similarity from which something is shown at all, for each kind of thing.

A line lies as high as it may without telling `none` of more than LOST of what is on sale. Kinds
differ: another view of a bag is farther from the first than another view of a shirt is. A kind with
enough evidence has a line of its own, drawn toward the common one the more the less is known of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LOST = 0.015
"""Share of what is on sale that may lie below its line: the largest of .01, .015 and .02 at which, with
something to spare, not more than 3 % of held-out photos are lost (docs/measured.md)."""
FEW = 10
"""Photos of what is on sale below which they draw no line at all."""
ENOUGH = 20
"""Photos of a kind from which it has a line of its own."""
COMMON_WORTH = 30
"""Photos of its own from which a kind's line is nearer to its own evidence than to the common line."""
NONE_QUANTILE = 0.01
"""Share of the questions whose product is held out, its siblings staying, that lie below the line where
there is nothing better to draw it by."""


@dataclass(frozen=True, slots=True)
class OnSale:
    """What is nearest to one photo of a thing on sale."""

    similarity: float
    kinds: frozenset[str] = frozenset()
    """Of the nearest picture: labels of lensback.detectors.taxonomy; none where its categories say none."""


@dataclass(frozen=True, slots=True)
class NoneLines:
    """The common line, and those of the kinds that are known well enough."""

    common: float
    of_kind: Mapping[str, float]


def drawn(sold: Sequence[OnSale], siblings: Sequence[float]) -> NoneLines:
    """The lines by what is on sale; none lies above half of `siblings`, the similarities of questions
    whose product is held out: what is like it is worth showing.

    With fewer than FEW of what is on sale, the common line is NONE_QUANTILE of `siblings`; -1 of nothing.
    """
    if len(sold) < FEW:
        return NoneLines(float(np.quantile(siblings, NONE_QUANTILE)) if siblings else -1.0, {})
    highest = float(np.median(siblings)) if siblings else 1.0
    common = _low([one.similarity for one in sold])
    of_kind: dict[str, list[float]] = {}
    for one in sold:
        if len(one.kinds) == 1:  # of what is filed under two, neither learns
            of_kind.setdefault(min(one.kinds), []).append(one.similarity)
    lines = {
        kind: min(highest, _shrunk(values, common))
        for kind, values in sorted(of_kind.items())
        if len(values) >= ENOUGH
    }
    return NoneLines(min(highest, common), lines)


def _shrunk(values: Sequence[float], common: float) -> float:
    """The line of one kind between its own and the common one."""
    own = len(values) / (len(values) + COMMON_WORTH)
    return common + own * (_low(values) - common)


def _low(values: Sequence[float]) -> float:
    return float(np.quantile(values, LOST))
