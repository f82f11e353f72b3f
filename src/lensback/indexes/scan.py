"""Comparing the query with every row: the truth, and the fastest way while rows are few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lensback.indexes.columns import Columns
from lensback.indexes.rows import to_vectors
from lensback.types import Candidate, Filter, Vector, Vectors

if TYPE_CHECKING:
    import pyarrow as pa


class Scan:
    """Index rows, ready to be compared. Thread-safe: nothing of it changes."""

    def __init__(self, table: pa.Table, vectors: Vectors | None = None) -> None:
        """`vectors` [rows, dim]: those of the table's column `vector` unless they are given."""
        self._columns = Columns(table)
        self._vectors = to_vectors(table["vector"]) if vectors is None else vectors

    def search(self, query: Vector, k: int, where: Filter) -> list[Candidate]:
        """At most k candidates of distinct images, best first. `query` is a unit vector."""
        kept = self._columns.kept(where)
        rows = kept.rows if kept else None
        vectors = self._vectors if rows is None else self._vectors[rows]
        # einsum, not `@`: one thread, since searches already run on several.
        return top(self._columns, rows, np.einsum("ij,j->i", vectors, query), k)


def top(
    columns: Columns, rows: NDArray[np.intp] | None, similarities: NDArray[np.float32], k: int
) -> list[Candidate]:
    """The k best images by their best row; equal ones in the order of their hashes. `rows`: the
    numbers of those that were compared; None: all."""
    fetch = 4 * k
    while True:
        best = _at_least(similarities, fetch)
        found = distinct(columns.images(best if rows is None else rows[best]), similarities[best])
        if len(found) >= k or fetch >= len(similarities):
            return found[:k]
        fetch *= 4


def distinct(names: list[str], similarities: NDArray[np.float32]) -> list[Candidate]:
    """Each image once by its best row, best first; equal ones in the order of their hashes."""
    nearness = np.maximum(np.minimum(similarities, 1.0), -1.0)
    best: dict[str, float] = {}
    for distance, name in sorted(zip((-nearness).tolist(), names, strict=True)):
        best.setdefault(name, -distance)
    return list(map(Candidate, best, best.values()))


def _at_least(similarities: NDArray[np.float32], fetch: int) -> NDArray[np.intp]:
    """Positions of the `fetch` highest, and of all that equal the lowest of them."""
    if fetch >= len(similarities):
        return np.arange(len(similarities))
    return np.flatnonzero(similarities >= np.partition(similarities, -fetch)[-fetch])
