"""The figure that everything is chosen by: is another view of the thing found among all others?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lensback import metrics
from lensback.train.data import Bond, Rows
from lensback.train.fit import Floats

PAGE = 512
DRAWS = 5000


@dataclass(frozen=True, slots=True)
class Score:
    """The rank of the right picture for each query, from 1; a tie with a wrong one counts against us."""

    ranks: Rows
    query: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    """The row that each asked with, where `score` made this."""

    def hits_at(self, k: int) -> list[bool]:
        """Whether its right picture is among the first k, for each query."""
        return [metrics.within(rank, k) for rank in self.ranks.tolist()]

    def recall(self, k: int) -> float:
        """Share of queries whose right picture is among the first k; nan without a query."""
        found = metrics.share(self.hits_at(k))
        return float("nan") if found is None else found

    @property
    def value(self) -> float:
        """The mean of R@1 and R@5: the one number that decides."""
        return (self.recall(1) + self.recall(5)) / 2


def score(vectors: Floats, bond: Bond, queries: Rows, gallery: Rows) -> Score:
    """Each query against the gallery without itself; rows that may not be its negatives, and
    are not its product, do not count. Queries without a right picture there are left out."""
    ranks, answered = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(queries), PAGE):
        asked = queries[start : start + PAGE]
        itself = asked[:, None] == gallery[None]
        right = (bond.product[asked][:, None] == bond.product[gallery][None]) & ~itself
        similar = vectors[asked] @ vectors[gallery].T
        found = metrics.ranks(similar, right, ~bond.forbidden(asked, gallery))
        ranks.append(found[found > 0])
        answered.append(asked[found > 0])
    return Score(np.concatenate(ranks), np.concatenate(answered))


def paired(a: Score, b: Score, k: int, *, groups: Rows | None = None) -> tuple[float, float, float]:
    """Difference of R@k, b - a, over the same queries, and its 95 % bootstrap interval: over
    queries, or over `groups` of them (a number each) that go together, such as a product's.
    Of no queries it is nan; of one group nothing is known: -1 to 1."""
    clusters = np.arange(len(a.ranks)) if groups is None else groups
    found = metrics.paired_difference(b.hits_at(k), a.hits_at(k), clusters.tolist(), draws=DRAWS)
    value = float("nan") if found.value is None else found.value
    low, high = (-1.0, 1.0) if found.low is None or found.high is None else (found.low, found.high)
    return value, low, high


def pooled(scores: Sequence[Score]) -> Score:
    """The queries of several folds as one."""
    return Score(np.concatenate([each.ranks for each in scores]))
