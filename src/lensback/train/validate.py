"""The figure that everything is chosen by: is another view of the thing found among all others?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lensback.train.data import Bond, Rows
from lensback.train.fit import Floats

PAGE = 512


@dataclass(frozen=True, slots=True)
class Score:
    """How many queries, and how many wrong pictures stood before the first right one, for each."""

    ahead: NDArray[np.int64]
    query: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    """The row that each asked with, where `score` made this."""

    def recall(self, k: int) -> float:
        """Share of queries whose right picture is among the first k; nan without a query."""
        return float((self.ahead < k).mean()) if len(self.ahead) else float("nan")

    @property
    def value(self) -> float:
        """The mean of R@1 and R@5: the one number that decides."""
        return (self.recall(1) + self.recall(5)) / 2

    def interval(self, k: int, *, draws: int = 2000) -> tuple[float, float]:
        """95 % bootstrap interval of R@k over queries."""
        random = np.random.default_rng(0)
        hits = self.ahead < k
        means = hits[random.integers(len(hits), size=(draws, len(hits)))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        return float(low), float(high)


def score(vectors: Floats, bond: Bond, queries: Rows, gallery: Rows) -> Score:
    """Each query against the gallery without itself; rows that may not be its negatives, and
    are not its product, do not count. Queries without a right picture there are left out."""
    ahead: list[NDArray[np.int64]] = []
    answered: list[Rows] = []
    for start in range(0, len(queries), PAGE):
        asked = queries[start : start + PAGE]
        similar = vectors[asked] @ vectors[gallery].T
        itself = asked[:, None] == gallery[None]
        right = (bond.product[asked][:, None] == bond.product[gallery][None]) & ~itself
        wrong = ~bond.forbidden(asked, gallery)
        best = np.where(right, similar, -np.inf).max(axis=1, keepdims=True)
        before = (wrong & (similar > best)).sum(axis=1)
        ahead.append(before[right.any(axis=1)])
        answered.append(asked[right.any(axis=1)])
    none = np.zeros(0, np.int64)
    return Score(np.concatenate([*ahead, none]), np.concatenate([*answered, none]))


def paired(
    a: Score, b: Score, k: int, *, groups: Rows | None = None, draws: int = 5000
) -> tuple[float, float, float]:
    """Difference of R@k, b - a, over the same queries, with its 95 % bootstrap interval: over
    queries, or over `groups` of them (a number each) that go together, such as a product's."""
    random = np.random.default_rng(0)
    difference = (b.ahead < k).astype(float) - (a.ahead < k)
    if groups is None:
        groups = np.arange(len(difference))
    _, place = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(place, difference), np.bincount(place)
    drawn = random.integers(len(counts), size=(draws, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def pooled(scores: Sequence[Score]) -> Score:
    """The queries of several folds as one."""
    return Score(np.concatenate([each.ahead for each in scores]))
