"""All vectors of a store in partitions, for as many questions as there are vectors: what is near each of them.

Asked one after the other of the whole store, n pictures cost n times n. The partitions lie in files that
nobody keeps: they are made for one stage, and memory holds a block of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensback import mapped
from lensback.indexes import partitions
from lensback.types import Candidate, Vectors

NPROBES = 8
"""Partitions looked through for each question: what is nearly the same lies in the same or the next one."""


class Nearby:
    """What is near many vectors at once. Similarities are those of single bytes: .01 off at most."""

    def __init__(self, index: Any, names: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self._index, self._names, self._ends = index, names, ends

    def of(self, queries: Vectors, k: int) -> list[list[Candidate]]:
        """The k nearest vectors of each query (unit vectors), best first."""
        asked = partitions.probing(min(NPROBES, self._index.nlist))
        near, rows = self._index.search(np.ascontiguousarray(queries, np.float32), k, params=asked)
        return [
            [
                Candidate(self._name(int(row)), float(np.clip(similarity, -1, 1)))
                for similarity, row in zip(own, places, strict=True)
                if row >= 0
            ]
            for own, places in zip(near, rows, strict=True)
        ]

    def _name(self, row: int) -> str:
        start = int(self._ends[row - 1]) if row else 0
        return self._names[start : int(self._ends[row])].tobytes().decode()


@contextmanager
def nearby(
    batches: Iterable[tuple[Sequence[str], Vectors]], folder: Path | None = None
) -> Iterator[Nearby]:
    """Partitions of what `batches` give: names, and vectors [n, dim]; at least one. They are gone after the
    block. `folder`: where there is room for them, 1.3 kB for each vector of 256 numbers."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".nearby.") as place:
        vectors, names, ends = _written(batches, Path(place))
        partitions.write(vectors, Path(place) / "partitions")
        yield Nearby(partitions.read(Path(place) / "partitions"), names, ends)


def _written(
    batches: Iterable[tuple[Sequence[str], Vectors]], place: Path
) -> tuple[Vectors, NDArray[np.uint8], NDArray[np.int64]]:
    """The vectors and the names, one after the other, mapped into memory, and where each name ends."""
    dim = 0
    with (place / "vectors").open("wb") as file, (place / "names").open("wb") as told:

        def lengths() -> Iterator[NDArray[np.int64]]:
            nonlocal dim
            for some, vectors in batches:
                dim = vectors.shape[1]
                file.write(np.ascontiguousarray(vectors, np.float32).data)
                names = [name.encode() for name in some]
                told.write(b"".join(names))
                yield np.fromiter(map(len, names), np.int64, len(names))

        ends = mapped.collected(lengths(), np.int64, place)
    np.cumsum(ends, out=ends)
    shape = (len(ends), dim)
    every: Vectors = np.memmap(place / "vectors", np.float32, mode="r", shape=shape)
    return every, np.memmap(place / "names", np.uint8, mode="r"), ends
