"""Embeddings by (image hash, encoder fingerprint) in Lance tables: the truth behind any index.

One table per fingerprint. `append` inserts what is not there yet, so appending a batch again
after a kill changes nothing. Rows that are there twice all the same (two writers at once) are
read once: of equal hashes the first one counts, and they are equal vectors anyway.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from time import time_ns
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lensback.durable import flush_tree
from lensback.errors import BadQuery, ConfigError, NotFound
from lensback.lancedata import Shelf, opened, unusable
from lensback.types import Candidate, Vectors

GET_HASHES = 1000
"""Hashes asked for at once."""
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
        self._shelf = Shelf(root)
        self._dtype = dtype
        self._tables: dict[str, Any] = {}
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
        begin = time_ns()
        with self._lock, _translated():
            table = self._table(fingerprint, dim=new.shape[1])
            if _dim(table) != new.shape[1]:
                raise BadQuery(f"vectors of {new.shape[1]} numbers, the table has {_dim(table)}")
            merge = table.merge_insert("image_hash").when_not_matched_insert_all()
            merge.execute(_rows(table.schema, hashes, new))
            self._flush(fingerprint, begin)
            self._after_append(fingerprint, table)

    def count(self, fingerprint: str) -> int:
        """Rows of the table; 0 where there is none."""
        with _translated():
            table = self._table(fingerprint)
            return int(table.count_rows()) if table is not None else 0

    def hashes(self, fingerprint: str) -> Iterator[list[str]]:
        """All hashes, in batches, each once, in no promised order."""
        for names, _ in self._batches(fingerprint, 65_536, vectors=False):
            yield names

    def get(self, fingerprint: str, hashes: Sequence[str]) -> Vectors:
        """float32 [len(hashes), dim], in the order asked. Raises NotFound naming a missing one."""
        with _translated():
            table = self._table(fingerprint)
            found: dict[str, NDArray[np.float32]] = {}
            for start in range(0, len(hashes) if table is not None else 0, GET_HASHES):
                asked = table.search().where(_among(hashes[start : start + GET_HASHES]))
                for names, vectors in _read(asked.select(["image_hash", "vector"]).to_batches()):
                    for name, vector in zip(names, vectors, strict=True):
                        found.setdefault(name, vector)
        missing = [name for name in hashes if name not in found]
        if missing:
            raise NotFound(
                f"no vector for {len(missing)} of {len(hashes)} images, first {missing[0]!r}",
                hint="run lensback sync",
            )
        if not hashes:
            return np.empty((0, _dim(table) if table is not None else 0), np.float32)
        return np.stack([found[name] for name in hashes])

    def scan(self, fingerprint: str, batch: int = 4096) -> Iterator[tuple[list[str], Vectors]]:
        """All hashes with float32 [n, dim], each once, n <= batch. Memory does not grow with
        the table but for 8 bytes a row; what is appended meanwhile is not seen."""
        yield from self._batches(fingerprint, batch, vectors=True)

    def neighbours(self, fingerprint: str, queries: Vectors, k: int) -> list[list[Candidate]]:
        """The k nearest stored images of each query (unit vectors), best first.

        Exact, block by block, while that is cheap; else by an approximate index on the table,
        which this call makes or brings up to date.
        """
        if np.ndim(queries) != 2 or not np.isfinite(queries).all():
            raise BadQuery(f"queries of shape {np.shape(queries)}, want finite [n, dim]")
        queries = np.ascontiguousarray(queries, np.float32)
        rows = self.count(fingerprint)
        if not rows or not len(queries) or k < 1:
            return [[] for _ in queries]
        with _translated():
            dim = _dim(self._table(fingerprint))
        if queries.shape[1] != dim:
            raise BadQuery(f"queries of {queries.shape[1]} numbers, the table has {dim}")
        if _scan_is_cheap(rows, len(queries)):
            return self._neighbours_by_scan(fingerprint, queries, k)
        with self._lock, _translated():
            table = self._table(fingerprint)
            if _index_vectors(table, rows):
                return [_nearest(table, query, k) for query in queries]
        return self._neighbours_by_scan(fingerprint, queries, k)

    def drop(self, fingerprint: str) -> None:
        """Forgets all vectors of an encoder; an unknown one is fine."""
        with self._lock, _translated():
            self._tables.pop(fingerprint, None)
            self._shelf.connect().drop_table(_name(fingerprint), ignore_missing=True)

    def forget(self, fingerprint: str, hashes: Sequence[str]) -> None:
        """Deletes vectors; unknown hashes are fine. Durable when it returns."""
        begin = time_ns()
        with self._lock, _translated():
            table = self._table(fingerprint)
            for start in range(0, len(hashes) if table is not None else 0, GET_HASHES):
                table.delete(_among(hashes[start : start + GET_HASHES]))
            self._flush(fingerprint, begin)

    def fingerprints(self) -> list[str]:
        """Encoders that have a table here, sorted."""
        with _translated():
            names = self._shelf.names()
        return sorted(name[2:] for name in names if name.startswith("v_"))

    def tidy(self) -> None:
        """Compacts every table, indexes new rows, removes versions older than an hour."""
        for fingerprint in self.fingerprints():
            begin = time_ns()
            with self._lock, _translated():
                _tidy(self._table(fingerprint))
                self._flush(fingerprint, begin)

    # --- tables ---

    def _table(self, fingerprint: str, dim: int = 0) -> Any:
        """The open table, made where `dim` is given; None where there is none."""
        held = self._tables.get(fingerprint)
        if held is not None:
            return held
        name = _name(fingerprint)
        table = opened(self._shelf.connect(), name) if self._shelf.has(name) else None
        if table is None and dim:
            made = {"schema": _schema(dim, self._dtype), "mode": "overwrite"}
            table = self._shelf.connect().create_table(name, **made)
        if table is not None:
            self._tables[fingerprint] = table
        return table

    def _flush(self, fingerprint: str, since_ns: int) -> None:
        """What was written since then is on disk; an object store keeps what it acknowledged."""
        if folder := self._shelf.folder(_name(fingerprint)):
            flush_tree(folder, since_ns)

    def _after_append(self, fingerprint: str, table: Any) -> None:
        count = self._appends[fingerprint] = self._appends.get(fingerprint, 0) + 1
        if count % TIDY_APPENDS == 0:
            begin = time_ns()
            _tidy(table)
            self._flush(fingerprint, begin)

    # --- reading ---

    def _batches(
        self, fingerprint: str, batch: int, *, vectors: bool
    ) -> Iterator[tuple[list[str], Vectors]]:
        with _translated():
            if self._table(fingerprint) is None:
                return
            # A handle of its own, held at one version: what comes is one state of the table.
            table = self._shelf.connect().open_table(_name(fingerprint))
            table.checkout(table.version)
            fresh_rows = _Once(table)
            columns = ["image_hash", "vector"] if vectors else ["image_hash"]
            for names, found in _read(table.search().select(columns).to_batches(batch_size=batch)):
                fresh = fresh_rows(names)
                for start in range(0, len(fresh), batch):
                    some = fresh[start : start + batch]
                    yield [names[i] for i in some], found[some]

    def _neighbours_by_scan(
        self, fingerprint: str, queries: Vectors, k: int
    ) -> list[list[Candidate]]:
        best: list[list[Candidate]] = [[] for _ in queries]
        floor = np.full(len(queries), -np.inf, np.float32)
        for names, vectors in self.scan(fingerprint):
            similarities = queries @ vectors.T
            for i in np.flatnonzero(similarities.max(axis=1) > floor):
                best[i] = _merged(best[i], names, similarities[i], k)
                if len(best[i]) == k:
                    floor[i] = best[i][-1].similarity
        return best


class _Once:
    """Which rows of a batch are the first of their hash. Only hashes that come twice are kept in
    memory; they are found beforehand on 64-bit hashes of them, 8 bytes a row."""

    def __init__(self, table: Any) -> None:
        codes = [
            np.fromiter(map(hash, names), np.int64, len(names))
            for names, _ in _read(table.search().select(["image_hash"]).to_batches())
        ]
        values, counts = np.unique(
            np.concatenate([*codes, np.empty(0, np.int64)]), return_counts=True
        )
        self._suspects = set(values[counts > 1].tolist())
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
    best: list[Candidate], names: Sequence[str], similarities: NDArray[np.float32], k: int
) -> list[Candidate]:
    """The k best of what was known and one more block."""
    near = np.argpartition(similarities, -k)[-k:] if len(names) > k else np.arange(len(names))
    more = [Candidate(names[j], float(np.clip(similarities[j], -1, 1))) for j in near]
    return sorted([*best, *more], key=lambda c: (-c.similarity, c.image_hash))[:k]


def _scan_is_cheap(rows: int, queries: int) -> bool:
    """Reading a row costs about 4 us, comparing it 10 ns a query; an indexed query 8 ms."""
    return rows < 100_000 or rows * (4e-6 + queries * 1e-8) < queries * 8e-3


def _index_vectors(table: Any, rows: int) -> bool:
    """Trains the approximate index, again when the table has grown four times; adds new rows.

    False where it would have to be trained although deleted rows lie among the others: that
    takes fifty times as long, longer than comparing with every row.
    """
    from lancedb.index import IvfSq

    stats = table.index_stats("vector_idx") if _has_index(table, "vector_idx") else None
    if stats is None or stats.num_indexed_rows * 4 <= rows:
        if int(table.list_versions()[-1]["metadata"].get("total_deletion_file_rows", 0)):
            return False
        split = max(1, min(rows // 2048, 512), rows // 8192)
        table.create_index("vector", config=IvfSq(distance_type="cosine", num_partitions=split))
    elif stats.num_unindexed_rows > rows // 20:
        _tidy(table)
    return True


def _nearest(table: Any, query: NDArray[np.float32], k: int) -> list[Candidate]:
    asked = table.search(query).distance_type("cosine").select(["image_hash", "_distance"])
    found = asked.limit(k + 8).nprobes(32).refine_factor(1).to_arrow()
    best: dict[str, float] = {}
    for name, distance in zip(
        found["image_hash"].to_pylist(), found["_distance"].to_pylist(), strict=True
    ):
        best.setdefault(name, max(-1.0, min(1.0, 1.0 - distance)))
    return [Candidate(name, similarity) for name, similarity in best.items()][:k]


def _tidy(table: Any) -> None:
    from lancedb.index import BTree

    if table.count_rows() >= INDEXED_ROWS and not _has_index(table, "image_hash_idx"):
        table.create_index("image_hash", config=BTree())
    table.optimize(cleanup_older_than=timedelta(hours=1))


def _has_index(table: Any, name: str) -> bool:
    return any(index.name == name for index in table.list_indices())


def _checked(hashes: Sequence[str], vectors: Vectors) -> Vectors:
    array = np.ascontiguousarray(vectors, np.float32)
    if array.ndim != 2 or len(array) != len(hashes):
        raise BadQuery(f"{len(hashes)} hashes, but vectors of shape {array.shape}")
    if not np.isfinite(array).all():
        raise BadQuery("a vector holds NaN or infinity")
    _check_text(hashes)
    return array


def _rows(schema: Any, hashes: Sequence[str], vectors: Vectors) -> Any:
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


def _schema(dim: int, dtype: str) -> Any:
    import pyarrow as pa

    number = pa.float16() if dtype == "float16" else pa.float32()
    return pa.schema([("image_hash", pa.string()), ("vector", pa.list_(number, dim))])


def _dim(table: Any) -> int:
    return int(table.schema.field("vector").type.list_size)


def _read(batches: Any) -> Iterator[tuple[list[str], Vectors]]:
    """Record batches -> hashes and float32 [n, dim]; [n, 0] where no vectors were asked for."""
    for batch in batches:
        names = batch["image_hash"].to_pylist()
        if "vector" in batch.schema.names:
            flat = batch["vector"].flatten().to_numpy(zero_copy_only=False)
            yield names, flat.astype(np.float32, copy=False).reshape(len(names), -1)
        else:
            yield names, np.empty((len(names), 0), np.float32)


def _among(hashes: Sequence[str]) -> str:
    _check_text(hashes)
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in hashes)
    return f"image_hash IN ({quoted})"


def _check_text(hashes: Sequence[str]) -> None:
    try:
        "".join(hashes).encode()
    except UnicodeEncodeError as error:
        raise BadQuery(f"a hash is not valid Unicode: {error}") from error


def _name(fingerprint: str) -> str:
    # It becomes the name of a folder.
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", fingerprint):
        raise ConfigError(
            f"not a fingerprint: {fingerprint!r}", hint="use letters, digits, `.`, `_` and `-`"
        )
    return f"v_{fingerprint}"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError, OSError) as error:
        hint = "run lensback doctor; lost vectors are made again by lensback sync"
        raise unusable("the vector store", error, hint) from error
