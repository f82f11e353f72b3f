"""Comparing the query with every row in memory: the truth, and the fastest way while rows are few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lensback.indexes.rows import to_vectors
from lensback.types import Candidate, Filter, PriceRange, Vector

if TYPE_CHECKING:
    import pyarrow as pa


class Scan:
    """Index rows, ready to be compared. Thread-safe: nothing of it changes."""

    def __init__(self, table: pa.Table) -> None:
        self._vectors = to_vectors(table["vector"])
        self._names: dict[str, dict[str, int]] = {}
        self._codes: dict[str, NDArray[np.int64]] = {}
        for column in ("image_hash", "store", "category", "currency"):
            coded = table[column].combine_chunks().dictionary_encode()
            self._names[column] = {name: i for i, name in enumerate(coded.dictionary.to_pylist())}
            self._codes[column] = coded.indices.to_numpy().astype(np.int64)
        self._images = list(self._names["image_hash"])
        self._in_stock = table["in_stock"].to_numpy()
        self._low = table["price_low"].to_numpy()
        self._high = table["price_high"].to_numpy()

    def search(self, query: Vector, k: int, where: Filter) -> list[Candidate]:
        """At most k candidates of distinct images, best first. `query` is a unit vector."""
        images, vectors = self._codes["image_hash"], self._vectors
        if not where.empty:
            rows = np.flatnonzero(self._mask(where))
            images, vectors = images[rows], vectors[rows]
        # einsum, not `@`: one thread, since searches already run on several.
        return self._top(images, np.einsum("ij,j->i", vectors, query), k)

    def _top(
        self, images: NDArray[np.int64], similarities: NDArray[np.float32], k: int
    ) -> list[Candidate]:
        """The k best images by their best row; equal ones in the order of their hashes."""
        fetch = 4 * k
        while True:
            rows = _at_least(similarities, fetch)
            rows = rows[np.argsort(-similarities[rows], kind="stable")]
            distinct, first = np.unique(images[rows], return_index=True)
            if len(distinct) >= k or fetch >= len(similarities):
                break
            fetch *= 4
        best = np.clip(similarities[rows[first]], -1.0, 1.0)
        found = [Candidate(self._images[i], float(s)) for i, s in zip(distinct, best, strict=True)]
        return sorted(found, key=lambda c: (-c.similarity, c.image_hash))[:k]

    def _mask(self, where: Filter) -> NDArray[np.bool_]:
        mask = np.ones(len(self._low), bool)
        if where.stores:
            mask &= self._among("store", where.stores)
        if where.categories:
            mask &= self._among("category", where.categories)
        if where.in_stock:
            mask &= self._in_stock
        if where.currency:
            mask &= self._among("currency", [where.currency])
        if where.price_max or where.price_min:
            priced = self._priced(where)
            for one in where.elsewhere:
                priced |= self._within(one)
            mask &= priced
        return mask

    def _priced(self, where: Filter) -> NDArray[np.bool_]:
        mask = np.ones(len(self._low), bool)
        if where.price_max:
            mask &= self._among("currency", [where.price_max.currency])
            mask &= self._low <= where.price_max.minor
        if where.price_min:
            mask &= self._among("currency", [where.price_min.currency])
            mask &= self._high >= where.price_min.minor
        return mask

    def _within(self, one: PriceRange) -> NDArray[np.bool_]:
        mask = self._among("currency", [one.currency])
        if one.high is not None:
            mask &= self._low <= one.high
        if one.low is not None:
            mask &= self._high >= one.low
        return mask

    def _among(self, column: str, names: Sequence[str]) -> NDArray[np.bool_]:
        known = self._names[column]
        return np.isin(self._codes[column], [known[name] for name in names if name in known])


def _at_least(similarities: NDArray[np.float32], fetch: int) -> NDArray[np.intp]:
    """Positions of the `fetch` highest, and of all that equal the lowest of them."""
    if fetch >= len(similarities):
        return np.arange(len(similarities))
    return np.flatnonzero(similarities >= np.partition(similarities, -fetch)[-fetch])
