"""recall@10 of a Milvus collection, measured before its state is published."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensback.indexes.rows import SAMPLE, noisy
from lensback.types import Vectors

SLICES = 20
"""The truth is asked for in slices of the row ids, which are evenly spread hashes: of a filter
that leaves fewer than 7 rows in 100 Milvus compares every one."""
_IDS = 1 << 63

Search = Callable[[Vectors, str, int, int], list[NDArray[np.float32]]]
"""(queries, condition, limit, width) -> similarities of each query's rows, best first."""


class Sample:
    """Queries (stored vectors with noise) and the similarity of each one's true tenth row."""

    def __init__(self, stored: Vectors, search: Search) -> None:
        self._queries = noisy(stored, np.random.default_rng(0))
        self._search = search
        best = np.full((len(stored), 10), -1.0, np.float32)
        for start, stop in _slices():
            for i, found in enumerate(
                search(self._queries, f"{start} <= row_id < {stop}", 10, 512)
            ):
                best[i] = np.sort(np.concatenate([best[i], found]))[-10:]
        self._tenth = best[:, 0]

    def recall(self, width: int) -> float:
        """recall@10: the share of the ten found that are as near as the true ten."""
        found = self._search(self._queries, "", 10, width)
        hits = [
            int((row >= tenth - 1e-5).sum()) / max(1, min(10, len(row)))
            for row, tenth in zip(found, self._tenth, strict=True)
        ]
        return float(np.mean(hits))


def _slices() -> list[tuple[int, int]]:
    edges = [_IDS * n // SLICES for n in range(SLICES)] + [_IDS - 1]
    return list(itertools.pairwise(edges))


def sample_condition(rows: int) -> str:
    """About SAMPLE of `rows` rows, by chance: their ids are evenly spread."""
    return f"row_id < {min(_IDS - 1, _IDS * SAMPLE // max(1, rows))}"


def stored_vectors(rows: Sequence[dict[str, Any]]) -> Vectors:
    """The vectors of rows that Milvus sent: float32 [n, dim]."""
    return np.array([row["vector"] for row in rows], np.float32)
