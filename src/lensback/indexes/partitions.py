"""Vectors in partitions, of which a search compares with the nearest: an inverted file of single bytes
(faiss), whose best are put in order by the full vectors."""

from __future__ import annotations

import math
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lensback import mapped
from lensback.indexes.columns import Columns, Selection
from lensback.indexes.rows import SAMPLE, noisy
from lensback.indexes.scan import distinct, top
from lensback.types import Candidate, Filter, Vector, Vectors

PER_PARTITION = 64
"""Rows for each partition that they are found by (k-means)."""
NPROBES = 4
"""Partitions probed at first; doubled until recall is good."""
NARROWER = 0.9
"""How the partitions that are probed grow with the share of the rows that a filter takes away."""
FETCH = 64
"""Rows fetched at least: the order of the single bytes is put right among them by the full vectors."""
FEW = 2048
"""Up to so many matching rows are compared one by one. To read more of them takes longer than to probe."""
MANY = 16_384
"""Up to so many matching rows their single bytes may be gathered and all compared."""
SCARCE = 20
"""Rows of the probed partitions for each one that matches, from which that pays: to pass over them takes longer."""
MAPPED = 256
"""Rows from which on their file is mapped for the moment: reading each by itself takes twice as long."""
WINDOW = 1 << 16
"""Bytes of a mapped file that come with the first one that is touched. Where rows lie close together, mapping pays
for fewer of them."""
REMEMBERED = 4
"""Filters whose few rows stay in memory, two megabytes each at most at 256 numbers: the same is asked for each
vector of a photo, and for its next page. And as many of those with many rows, whose bytes take twice as much."""
BLOCK = 16_384
"""Rows that are added, or compared, at once."""
NUMBER = 8
"""Bytes of a row's number in faiss's files."""
_LISTS = b"ilar"
"""What faiss's files have before their partitions."""


def partitions(rows: int) -> int:
    """How many partitions so many rows get: of about 400 rows each, then larger ones, because the time
    to sort rows into them grows with their number.

    >>> partitions(1000), partitions(200_000), partitions(1_000_000), partitions(10_000_000)
    (2, 500, 1024, 1220)
    """
    return max(1, min(rows // 400, 1024), rows // 8192)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many partitions to probe; 0: compare with every matching row, one by one."""

    nprobes: int
    whole: bool = True
    """No wider search can find more."""


def plan(rows: int, matches: int, parameters: Mapping[str, float]) -> Plan:
    """How to search `matches` of `rows` rows.

    Few matches are compared one by one. Otherwise a filter asks for more partitions than the
    unfiltered search that `publish` has tuned: one that keeps one row in ten for eight times as many. (Ten
    times would meet as many matches; but the nearest are where the query is: docs/measured.md.)
    """
    if matches <= FEW:
        return Plan(0)
    split = int(parameters["partitions"])
    nprobes = min(split, math.ceil(parameters["nprobes"] * (rows / matches) ** NARROWER))
    return Plan(nprobes, whole=nprobes == split)


def widest(narrow: Plan, parameters: Mapping[str, float]) -> Plan:
    """A plan that searches all partitions."""
    return replace(narrow, nprobes=int(parameters["partitions"]), whole=True)


class Partitions:
    """Rows in partitions, ready to be searched. Thread-safe: nothing of it changes.

    `vectors` are those of the rows, float32 [n, dim], in a file: few are read for each search, by
    their place, so that they do not count as memory of the process.
    """

    def __init__(self, index: Any, columns: Columns, vectors: Vectors, file: Path) -> None:
        self._index = index
        self._columns = columns
        self._rows = len(columns)
        self._dim = vectors.shape[1]
        self.split = int(index.nlist)
        """How many partitions there are."""
        self._file = os.open(file, os.O_RDONLY)
        # Of no method: the file is closed as soon as nobody searches here any more.
        self._few = lru_cache(REMEMBERED)(partial(_few, columns, self._file, self._dim))
        held = _bytes(index)
        self._many = held and lru_cache(REMEMBERED)(partial(_alone, index, held, columns))

    def __del__(self) -> None:
        if (file := getattr(self, "_file", None)) is not None:
            os.close(file)

    def search(
        self, query: Vector, k: int, where: Filter, parameters: Mapping[str, float]
    ) -> list[Candidate]:
        """At most k candidates of distinct images, best first. `query` is a unit vector.

        An image has a row per store and stock state, so rows are fetched as often as images repeat,
        and more if that was not enough. Where the probed partitions do not hold that many matches,
        all are probed; what a narrow filter keeps is a partition of its own."""
        kept = self._columns.kept(where)
        matches = kept.count if kept else self._rows
        if not matches:
            return []
        how = plan(self._rows, matches, parameters)
        if not how.nprobes:
            few, vectors = self._few(where)
            # einsum, not `@`: one thread, since searches already run on several.
            return top(self._columns, few, np.einsum("ij,j->i", vectors, query), k)
        index = self._index
        passed = how.nprobes * self._rows / self.split
        if kept and self._many and matches <= MANY and passed >= SCARCE * matches:
            index, kept, how = self._many(where), None, Plan(1)
        fetch = min(matches, max(FETCH, math.ceil(k * parameters["repeat"]) + 8))
        while True:
            rows = _nearest(index, query, fetch, how.nprobes, kept)
            best = distinct(self._columns.images(rows), self._similarities(query, rows))
            full = len(rows) >= fetch
            if len(best) >= k or (full and fetch >= matches) or (not full and how.whole):
                return best[:k]
            if full:
                fetch = min(matches, fetch * 4)
            else:
                how = widest(how, parameters)

    def _similarities(self, query: Vector, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Cosines of the full vectors of these rows."""
        vectors = _vectors(self._file, self._dim, rows)
        cosines: NDArray[np.float32] = np.einsum("ij,j->i", vectors, query)
        return cosines

    def recall(self, nprobes: int, sample: SampleQueries) -> float:
        """recall@10 on a sample: the share of the ten found that are as near as the true ten (so
        rows of one image, equally near, are worth the same)."""
        hits = 0
        for query, tenth in zip(sample.queries, sample.tenth, strict=True):
            rows = _nearest(self._index, query, FETCH, nprobes, None)
            near = self._similarities(query, rows)
            hits += int((np.sort(near)[-10:] >= tenth - 1e-5).sum())
        return hits / (10 * len(sample.queries))


def _nearest(
    index: Any, query: Vector, fetch: int, nprobes: int, kept: Selection | None
) -> NDArray[np.intp]:
    """Numbers of the nearest rows."""
    asked = _asked(nprobes) if kept is None else probing(nprobes, kept)
    found: NDArray[np.intp] = index.search(query[None], fetch, params=asked)[1][0]
    return found[found >= 0]


class _Bytes:
    """The single bytes of rows that are numbered as they lie: partition by partition, in an index's mapped file."""

    def __init__(self, index: Any, sizes: NDArray[np.int64]) -> None:
        self._index, self._wide = index, int(index.code_size)
        self._ends, self._begins = np.cumsum(sizes), np.cumsum(sizes) - sizes

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """The single bytes of these rows, uint8 [n, code size]."""
        partition = np.searchsorted(self._ends, rows, side="right")
        # Behind the bytes of a partition lie the numbers of its rows.
        at = rows * self._wide + self._begins[partition] * NUMBER
        all_of_it = int(self._ends[-1]) * (self._wide + NUMBER)
        first = int(np.searchsorted(self._ends, 0, side="right"))
        every = _faiss().rev_swig_ptr(self._index.invlists.get_codes(first), all_of_it)
        taken: NDArray[np.uint8] = sliding_window_view(every, self._wide)[at]
        return taken


def _bytes(index: Any) -> _Bytes | None:
    """The single bytes of the rows of `read`'s partitions; None where an earlier version numbered them otherwise,
    or they do not lie as a file has them."""
    lists, wide = index.invlists, int(index.code_size) + NUMBER
    sizes = np.array([lists.list_size(n) for n in range(index.nlist)])
    begins, filled = np.cumsum(sizes) - sizes, np.flatnonzero(sizes).tolist()
    if not filled:
        return None
    places = np.array([int(lists.get_codes(n)) for n in filled])
    if (places - places[0] != begins[filled] * wide).any():
        return None
    for n in (filled[0], filled[-1]):
        numbers = _faiss().rev_swig_ptr(lists.get_ids(n), int(sizes[n]))
        if (numbers != np.arange(sizes[n]) + begins[n]).any():
            return None
    return _Bytes(index, sizes)


def _alone(index: Any, every: _Bytes, columns: Columns, where: Filter) -> Any:
    """The rows that a filter keeps as the one partition of an index of their own."""
    faiss, kept = _faiss(), columns.kept(where)
    rows = kept.rows if kept else np.arange(len(columns))
    codes, numbers = every.of(rows), rows.astype(np.int64)
    middle = faiss.IndexFlatIP(index.d)
    middle.add(np.zeros((1, index.d), np.float32))
    kind, metric = index.sq.qtype, index.metric_type
    alone = faiss.IndexIVFScalarQuantizer(middle, index.d, 1, kind, metric, False)
    alone.sq, alone.is_trained = index.sq, True
    lists = alone.invlists
    lists.add_entries(0, len(rows), faiss.swig_ptr(numbers), faiss.swig_ptr(codes))
    alone.ntotal = len(rows)
    return alone


def _few(columns: Columns, file: int, dim: int, where: Filter) -> tuple[NDArray[np.intp], Vectors]:
    """The rows that a filter keeps, and their vectors."""
    kept = columns.kept(where)
    rows = kept.rows if kept else np.arange(len(columns))
    return rows, _vectors(file, dim, rows)


def _vectors(file: int, dim: int, rows: NDArray[np.intp]) -> Vectors:
    """The vectors of these rows, float32 [n, dim], read from their file."""
    size = 4 * dim
    if len(rows) >= MAPPED or 2 * len(set((rows * size // WINDOW).tolist())) < len(rows):
        with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as mapped:
            every = np.frombuffer(mapped, np.float32).reshape(-1, dim)
            taken: Vectors = every[rows]
            del every  # else it could not be closed
        return taken
    read = b"".join(os.pread(file, size, row * size) for row in rows.tolist())
    return np.frombuffer(read, np.float32).reshape(len(rows), dim)


class SampleQueries:
    """Queries (stored vectors with noise) and the similarity of each one's true tenth: what recall is
    measured on."""

    def __init__(self, vectors: Vectors) -> None:
        draw = np.random.default_rng(0)
        picked = np.sort(draw.choice(len(vectors), min(SAMPLE, len(vectors)), replace=False))
        self.queries = noisy(np.asarray(vectors[picked]), draw)
        best = np.full((len(self.queries), 10), -1.0, np.float32)
        for start in range(0, len(vectors), BLOCK):
            both = np.hstack([best, self.queries @ vectors[start : start + BLOCK].T])
            best = np.partition(both, -10, axis=1)[:, -10:]
        self.tenth: NDArray[np.float32] = best.min(axis=1)


def tuned(made: Partitions, sample: SampleQueries, split: int, good: float) -> tuple[float, int]:
    """Recall, and the fewest partitions to probe whose recall is `good`."""
    nprobes = min(NPROBES, split)
    while True:
        recall = made.recall(nprobes, sample)
        if recall >= good or nprobes == split:
            return recall, nprobes
        nprobes = min(split, nprobes * 2)


def write(vectors: Vectors, path: Path, *, renumbered: bool = False) -> NDArray[np.int64]:
    """Sorts all vectors into partitions and writes these; equal for equal vectors. Memory holds a block of them: all
    else waits in files beside `path`.

    Returns the numbers of the vectors, int [n], partition by partition. `renumbered`: the partitions call each by its
    place in that order, for whoever writes the vectors in it."""
    faiss, (rows, dim) = _faiss(), vectors.shape
    split = partitions(rows)
    with _all_threads(faiss), tempfile.TemporaryDirectory(dir=path.parent, prefix=".sorted.") as at:
        middles = faiss.IndexFlatIP(dim)
        index = faiss.IndexIVFScalarQuantizer(
            middles,
            dim,
            split,
            faiss.ScalarQuantizer.QT_8bit_uniform,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        index.train(_sample(vectors, split, Path(at)))
        with (Path(at) / "codes").open("wb") as file:
            for start in range(0, rows, BLOCK):
                file.write(index.sa_encode(np.ascontiguousarray(vectors[start : start + BLOCK])))
        wide = int(index.sa_code_size())
        codes = np.memmap(Path(at) / "codes", np.uint8, "r", shape=(rows, wide))
        index.ntotal = rows
        with path.open("wb") as file:
            return _lists(index, codes, file, Path(at), renumbered=renumbered)


def _sample(vectors: Vectors, split: int, folder: Path) -> Vectors:
    """Rows that the partitions are found by, in a file: a sixteenth of a catalogue with a million."""
    rows, dim = vectors.shape
    wanted = min(rows, max(split * PER_PARTITION, BLOCK))
    picked = np.sort(np.random.default_rng(0).choice(rows, wanted, replace=False))
    pieces = (vectors[picked[start : start + BLOCK]] for start in range(0, wanted, BLOCK))
    return mapped.collected(pieces, np.float32, folder).reshape(wanted, dim)


def _lists(
    index: Any, codes: NDArray[np.uint8], file: BinaryIO, folder: Path, *, renumbered: bool
) -> NDArray[np.int64]:
    """Writes a trained index as faiss itself would if the rows had been added to it: its head, then each
    partition's codes and row numbers. Each of `codes` begins with the number of its partition, the lowest byte first.
    Returns the rows in that order."""
    bare = bytes(_faiss().serialize_index(index))
    file.write(bare[: bare.rindex(_LISTS)])
    before = codes.shape[1] - int(index.code_size)
    sizes, order = _sorted(codes[:, :before], int(index.nlist), folder)
    ends = np.cumsum(sizes)
    file.write(_LISTS + struct.pack("<QQ", index.nlist, index.code_size))
    file.write(b"full" + struct.pack("<Q", index.nlist) + sizes.astype("<u8").tobytes())
    for end, size in zip(ends.tolist(), sizes.tolist(), strict=True):
        rows = order[end - size : end]
        file.write(np.ascontiguousarray(codes[rows, before:]).data)
        file.write((np.arange(end - size, end) if renumbered else rows).astype("<i8").data)
    return order


def _sorted(
    numbers: NDArray[np.uint8], split: int, folder: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many rows each partition has, and the rows in order of partition, then of number: in a file, block by
    block put where their partition has come to. `numbers`: [n, bytes], the lowest byte first."""

    def blocks() -> Iterator[NDArray[np.int64]]:
        places = 256 ** np.arange(numbers.shape[1])
        for start in range(0, len(numbers), BLOCK):
            yield numbers[start : start + BLOCK] @ places

    sizes = np.zeros(split, np.int64)
    for block in blocks():
        sizes += np.bincount(block, minlength=split)
    order = mapped.zeros(len(numbers), np.int64, folder)
    following = np.cumsum(sizes) - sizes
    for number, block in enumerate(blocks()):
        own = np.argsort(block, kind="stable")
        here = np.bincount(block, minlength=split)
        within = np.arange(len(block)) - np.repeat(np.cumsum(here) - here, here)
        order[following[block[own]] + within] = number * BLOCK + own
        following += here
    return sizes, order


def read(path: Path) -> Any:
    """The partitions of a file, mapped into memory. Raises RuntimeError where it is damaged."""
    faiss = _faiss()
    faiss.omp_set_num_threads(1)  # searches already run on several threads
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)


def probing(nprobes: int, kept: Selection | None = None) -> Any:
    """How a search of `read`'s partitions is told to look through so many of them, for rows that are kept."""
    selected = _faiss().IDSelectorBitmap(kept.bits) if kept else None
    return _faiss().SearchParametersIVF(sel=selected, nprobe=nprobes)


_asked = cache(probing)
"""Remembered where all rows are kept: to say it anew takes a thirtieth of a search."""


def _faiss() -> Any:
    """The library, loaded when it is first needed. (Its stubs know fewer arguments than it takes.)"""
    import faiss

    return faiss


@contextmanager
def _all_threads(faiss: Any) -> Iterator[None]:
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(1)
