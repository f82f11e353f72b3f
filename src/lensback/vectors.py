"""Embeddings by (image hash, encoder fingerprint) in Lance tables: the truth behind any index.

One table per fingerprint. `append` inserts what is not there yet, so appending a batch again
after a kill changes nothing. Rows that are there twice all the same (two writers at once) are
read once: of equal hashes the first one counts, and they are equal vectors anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lensback import mapped
from lensback.counted import counted
from lensback.errors import BadQuery, NotFound
from lensback.lancedata import Table, TableFolder, candidates
from lensback.types import Candidate, Vectors

if TYPE_CHECKING:
    import pyarrow as pa

GET_HASHES = 1000
"""Hashes asked for at once."""
TOGETHER = 256
"""Queries that are compared at once."""
NPROBES = 32
"""Partitions probed for neighbours."""
INDEXED_ROWS = 20_000
"""From this many rows the hashes are indexed."""
TIDY_APPENDS = 256
"""Appends of one process after which a table is tidied."""


class VectorStore:
    """The vectors under `root`, a folder or `s3://bucket/prefix`. Safe to share between threads;
    one process writes at a time.

    `dtype="float16"` halves new tables on disk; vectors come back as float32 either way.
    """

    def __init__(
        self, root: Path | str, *, dtype: Literal["float32", "float16"] = "float32"
    ) -> None:
        hint = "run: lensback sync"
        self._shelf = TableFolder(root, "the vector store", hint)
        self._dtype = dtype
        self._tables: dict[str, Table] = {}
        self._appends: dict[str, int] = {}
        self._lock = threading.Lock()

    def append(self, fingerprint: str, hashes: Sequence[str], vectors: Vectors) -> None:
        """Keeps vectors[i] for hashes[i]; a hash that is there already keeps its vector.

        Durable when it returns: the files are flushed. Raises BadQuery where the shapes do
        not fit or a number is not finite.
        """
        new = _checked(hashes, vectors)
        if not len(hashes):
            return
        dim = new.shape[1]
        with self._lock:
            table = self._table(fingerprint) or self._made(fingerprint, dim)
            if table.dim != dim:
                raise BadQuery(f"vectors of {dim} numbers, the table has {table.dim}")
            table.merge(_rows(table.schema, hashes, new), "image_hash", replace=False)
            _index_hashes(table)
            self._appends[fingerprint] = self._appends.get(fingerprint, 0) + 1
            if self._appends[fingerprint] % TIDY_APPENDS == 0:
                _tidy(table)

    def count(self, fingerprint: str) -> int:
        """Rows of the table; 0 where there is none."""
        if noted := self._shelf.noted(self._shelf.name(fingerprint)):
            return int(noted["rows"])
        table = self._table(fingerprint)
        return table.rows() if table else 0

    def hashes(self, fingerprint: str) -> Iterator[list[str]]:
        """All hashes, in batches, each once, in no promised order."""
        for names, _ in self._batches(fingerprint, 65_536, ["image_hash"]):
            yield names

    def get(self, fingerprint: str, hashes: Sequence[str]) -> Vectors:
        """float32 [len(hashes), dim], in the order asked. Raises NotFound naming a missing one."""
        table = self._state(fingerprint)
        found: dict[str, NDArray[np.float32]] = {}
        for names, vectors in self._named(table, hashes) if table else ():
            for name, vector in zip(names, vectors, strict=True):
                found.setdefault(name, vector)
        missing = [name for name in hashes if name not in found]
        if missing:
            raise NotFound(
                f"no vector for {len(missing)} of {counted(len(hashes), 'image')}, first {missing[0]!r}",
                hint="run lensback sync",
            )
        if not hashes:
            return np.empty((0, table.dim if table else 0), np.float32)
        return np.stack([found[name] for name in hashes])

    def scan(self, fingerprint: str, batch: int = 4096) -> Iterator[tuple[list[str], Vectors]]:
        """All hashes with float32 [n, dim], each once, n <= batch. Memory does not grow with
        the table; what is appended meanwhile is not seen."""
        yield from self._batches(fingerprint, batch, ["image_hash", "vector"])

    def neighbours(self, fingerprint: str, queries: Vectors, k: int) -> list[list[Candidate]]:
        """The k nearest stored images of each query (unit vectors), best first.

        Exact, block by block, while that is cheap; else by an approximate index on the table,
        which this call makes or brings up to date.
        """
        if np.ndim(queries) != 2 or not np.isfinite(queries).all():
            raise BadQuery(f"queries of shape {np.shape(queries)}, want finite [n, dim]")
        queries = np.ascontiguousarray(queries, np.float32)
        table = self._table(fingerprint)
        rows = table.rows() if table else 0
        if not table or not rows or not len(queries) or k < 1:
            return [[] for _ in queries]
        if queries.shape[1] != table.dim:
            raise BadQuery(f"queries of {queries.shape[1]} numbers, the table has {table.dim}")
        if not _scan_is_cheap(rows, len(queries)):
            with self._lock:
                if _index_vectors(table, rows):
                    near = (table.nearest(query, k + 8, nprobes=NPROBES) for query in queries)
                    return [candidates(found)[:k] for found in near]
        return self._neighbours_by_scan(fingerprint, queries, k)

    def drop(self, fingerprint: str) -> None:
        """Forgets all vectors of an encoder; an unknown one is fine."""
        with self._lock:
            self._tables.pop(fingerprint, None)
            self._shelf.drop(self._shelf.name(fingerprint))

    def set_aside(self, fingerprint: str) -> bool:
        """Takes a table that cannot be read out of use, for its vectors to be made again."""
        with self._lock:
            self._tables.pop(fingerprint, None)
            return self._shelf.set_aside(self._shelf.name(fingerprint))

    def check(self, fingerprint: str, *, anew: bool = False) -> int:
        """Reads every hash: how many vectors there are. Raises Damaged where a file is missing or
        cut, which nobody would see while nothing is to be written. While no file has changed since the
        last time nothing is read, unless `anew`."""
        name = self._shelf.name(fingerprint)
        noted = None if anew else self._shelf.noted(name)
        if noted is None and (table := self._state(fingerprint)):
            noted = self._shelf.note(name, lambda: {"rows": np.array(_rows_read(table))})
        return int(noted["rows"]) if noted else 0

    def forget(self, fingerprint: str, hashes: Sequence[str]) -> None:
        """Deletes vectors; unknown hashes are fine. Durable when it returns."""
        with self._lock:
            if table := self._table(fingerprint):
                table.delete(_among(hashes))

    def fingerprints(self) -> list[str]:
        """Encoders that have a table here, sorted."""
        return [name[2:] for name in self._shelf.names() if name.startswith("v_")]

    def tidy(self) -> None:
        """Compacts every table, indexes new rows, removes versions older than an hour."""
        for fingerprint in self.fingerprints():
            with self._lock:
                if table := self._table(fingerprint):
                    _tidy(table)

    def _table(self, fingerprint: str) -> Table | None:
        """The open table; None where there is none."""
        if fingerprint not in self._tables and (found := self._shelf.table(fingerprint)):
            self._tables[fingerprint] = found
        return self._tables.get(fingerprint)

    def _state(self, fingerprint: str) -> Table | None:
        """A handle of its own, held at the newest version: what comes is one state of the table."""
        if (table := self._table(fingerprint)) is None:
            return None
        return self._shelf.at(self._shelf.name(fingerprint), table.version)

    def _made(self, fingerprint: str, dim: int) -> Table:
        table = self._shelf.made(fingerprint, partial(_schema, dim, self._dtype))
        self._tables[fingerprint] = table
        return table

    # --- reading ---

    @staticmethod
    def _named(table: Table, hashes: Sequence[str]) -> Iterator[tuple[list[str], Vectors]]:
        for where in _among(hashes):
            yield from _read(table.taken("image_hash", ["image_hash", "vector"], where=where))

    def _batches(
        self, fingerprint: str, batch: int, columns: Sequence[str]
    ) -> Iterator[tuple[list[str], Vectors]]:
        if (table := self._state(fingerprint)) is None:
            return
        fresh_rows = _Once(table)
        for names, found in _read(table.pieces(columns, size=batch)):
            fresh = fresh_rows(names)
            for start in range(0, len(fresh), batch):
                some = fresh[start : start + batch]
                yield [names[i] for i in some], found[some]

    def _neighbours_by_scan(
        self, fingerprint: str, queries: Vectors, k: int
    ) -> list[list[Candidate]]:
        best: list[list[tuple[float, str]]] = [[] for _ in queries]
        floor = np.full(len(queries), -np.inf, np.float32)
        for names, vectors in self.scan(fingerprint):
            for start in range(0, len(queries), TOGETHER):
                similarities = queries[start : start + TOGETHER] @ vectors.T
                own = floor[start : start + TOGETHER]
                for i in np.flatnonzero(similarities.max(axis=1) > own):
                    kept = _merged(best[start + i], names, similarities[i], k, own[i])
                    best[start + i] = kept
                    if len(kept) == k:
                        own[i] = -kept[-1][0]
        return [[Candidate(name, -away) for away, name in own] for own in best]


class _Once:
    """Which rows of a batch are the first of their hash. Only hashes that come twice are kept in
    memory; they are found beforehand on 64-bit hashes of them, which wait in a file."""

    def __init__(self, table: Table) -> None:
        codes = mapped.hashes(names for names, _ in _read(table.pieces(["image_hash"])))
        self._suspects = {code for some in mapped.repeated(codes) for code in some.tolist()}
        self._seen: set[str] = set()

    def __call__(self, names: Sequence[str]) -> list[int]:
        if not self._suspects:
            return list(range(len(names)))
        return [i for i, name in enumerate(names) if self._first(name)]

    def _first(self, name: str) -> bool:
        if hash(name) not in self._suspects:
            return True
        first = name not in self._seen
        self._seen.add(name)
        return first


def _merged(
    best: list[tuple[float, str]],
    names: Sequence[str],
    similarities: NDArray[np.float32],
    k: int,
    floor: np.float32,
) -> list[tuple[float, str]]:
    """The k best (-similarity, name) of what was known and one more block, of which what is above `floor` counts."""
    near = np.flatnonzero(similarities > floor)
    if len(near) > k:
        near = near[np.argpartition(similarities[near], -k)[-k:]]
    away = np.negative(np.clip(similarities[near], -1, 1)).tolist()
    return sorted([*best, *zip(away, (names[j] for j in near.tolist()), strict=True)])[:k]


def _scan_is_cheap(rows: int, queries: int) -> bool:
    """Reading a row costs about 4 us, comparing it 10 ns a query; an indexed query 8 ms."""
    return rows < 100_000 or rows * (4e-6 + queries * 1e-8) < queries * 8e-3


def _index_vectors(table: Table, rows: int) -> bool:
    """Trains the approximate index, again when the table has grown four times; adds new rows.

    False where it would have to be trained although deleted rows lie among the others: that
    takes fifty times as long, longer than comparing with every row.
    """
    inside, outside = table.indexed("vector") or (0, rows)
    if inside * 4 <= rows:
        if table.deletions:
            return False
        table.train(rows)
    elif outside > rows // 20:
        _tidy(table)
    return True


def _index_hashes(table: Table) -> None:
    """Indexes the hashes, again when the table has grown twofold: who asks for a batch of vectors would else look
    through all, and n batches through n times n."""
    rows = table.rows()
    if rows >= INDEXED_ROWS and (table.indexed("image_hash") or (0, 0))[0] * 2 <= rows:
        table.index("image_hash")


def _tidy(table: Table) -> None:
    _index_hashes(table)
    table.compact()


def _checked(hashes: Sequence[str], vectors: Vectors) -> Vectors:
    array = np.ascontiguousarray(vectors, np.float32)
    if array.ndim != 2 or len(array) != len(hashes):
        raise BadQuery(f"{len(hashes)} hashes, but vectors of shape {array.shape}")
    if not np.isfinite(array).all():
        raise BadQuery("a vector holds NaN or infinity")
    _check_text(hashes)
    return array


def _rows_read(table: Table) -> int:
    return sum(rows.num_rows for rows in table.pieces(["image_hash"]))


def _rows(schema: pa.Schema, hashes: Sequence[str], vectors: Vectors) -> pa.Table:
    """An Arrow table of the batch, each hash once."""
    import pyarrow as pa

    first = list({name: i for i, name in reversed(list(enumerate(hashes)))}.values())
    kind = schema.field("vector").type
    flat = pa.array(vectors[first].astype(kind.value_type.to_pandas_dtype()).reshape(-1))
    columns = [
        pa.array([hashes[i] for i in first]),
        pa.FixedSizeListArray.from_arrays(flat, kind.list_size),
    ]
    return pa.table(columns, schema=schema)


def _schema(dim: int, dtype: str) -> pa.Schema:
    import pyarrow as pa

    number = pa.float16() if dtype == "float16" else pa.float32()
    return pa.schema([("image_hash", pa.string()), ("vector", pa.list_(number, dim))])


def _read(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[list[str], Vectors]]:
    """Record batches -> hashes and float32 [n, dim]; [n, 0] where no vectors were asked for."""
    for batch in batches:
        names = batch["image_hash"].to_pylist()
        if "vector" in batch.schema.names:
            flat = batch["vector"].flatten().to_numpy(zero_copy_only=False)
            yield names, flat.astype(np.float32, copy=False).reshape(len(names), -1)
        else:
            yield names, np.empty((len(names), 0), np.float32)


def _among(hashes: Sequence[str]) -> Iterator[str]:
    """Conditions that together name these hashes, GET_HASHES in each."""
    _check_text(hashes)
    quoted = ["'" + name.replace("'", "''") + "'" for name in hashes]
    for start in range(0, len(quoted), GET_HASHES):
        yield f"image_hash IN ({', '.join(quoted[start : start + GET_HASHES])})"


def _check_text(hashes: Sequence[str]) -> None:
    try:
        "".join(hashes).encode()
    except UnicodeEncodeError as error:
        raise BadQuery(f"a hash is not valid Unicode: {error}") from error
