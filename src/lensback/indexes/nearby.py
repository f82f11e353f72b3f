"""All vectors of a store in partitions, for as many questions as there are vectors: what is near each of them.

Asked one after the other of the whole store, n pictures cost n times n. The partitions lie in files that
nobody keeps: they are made for one stage, and memory holds a byte of each number while they are made, as at a publish.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensback.indexes import partitions
from lensback.types import Candidate, Vectors

NPROBES = 8
"""Partitions looked through for each question: what is nearly the same lies in the same or the next one."""


class Nearby:
    """What is near many vectors at once. Similarities are those of single bytes: .01 off at most."""

    def __init__(self, index: Any, names: NDArray[np.bytes_]) -> None:
        self._index, self._names = index, names

    def of(self, queries: Vectors, k: int) -> list[list[Candidate]]:
        """The k nearest vectors of each query (unit vectors), best first."""
        asked = partitions.probing(min(NPROBES, self._index.nlist))
        near, rows = self._index.search(np.ascontiguousarray(queries, np.float32), k, params=asked)
        return [
            [
                Candidate(self._names[row].decode(), float(np.clip(similarity, -1, 1)))
                for similarity, row in zip(own, places, strict=True)
                if row >= 0
            ]
            for own, places in zip(near, rows, strict=True)
        ]


@contextmanager
def nearby(
    batches: Iterable[tuple[Sequence[str], Vectors]], folder: Path | None = None
) -> Iterator[Nearby]:
    """Partitions of what `batches` give: names, and vectors [n, dim]; at least one. They are gone after the
    block. `folder`: where there is room for them, 1.3 kB for each vector of 256 numbers."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".nearby.") as place:
        vectors, names = _written(batches, Path(place))
        partitions.write(vectors, Path(place) / "partitions")
        yield Nearby(partitions.read(Path(place) / "partitions"), names)


def _written(
    batches: Iterable[tuple[Sequence[str], Vectors]], place: Path
) -> tuple[Vectors, NDArray[np.bytes_]]:
    """The vectors, mapped into memory, and the names."""
    names: list[NDArray[np.bytes_]] = []
    dim = 0
    with (place / "vectors").open("wb") as file:
        for some, vectors in batches:
            dim = vectors.shape[1]
            file.write(np.ascontiguousarray(vectors, np.float32).data)
            names.append(np.array([name.encode() for name in some]))
    rows = sum(map(len, names))
    shape = (rows, dim)
    mapped: Vectors = np.memmap(place / "vectors", np.float32, mode="r", shape=shape)
    return mapped, np.concatenate(names)
