"""The default index: one Lance table per fingerprint, searched at a pinned version.

Staging writes new versions of the table; searches stay on the version that CURRENT.json names
until `publish` replaces that file. A process killed at any moment leaves whole versions and a
whole pointer; the work is done again by the next sync.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from time import time, time_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensback.durable import flush_tree
from lensback.errors import StaleIndex, StateError
from lensback.indexes import pointer as pointers
from lensback.indexes.plan import NOTHING, Plan, plan, sql, widest
from lensback.indexes.pointer import Pointer, followed
from lensback.indexes.rows import query, schema, to_table, to_vectors, unit
from lensback.indexes.scan import Scan
from lensback.lancedata import connect, opened, table_names, unusable
from lensback.types import Candidate, Filter, IndexRow, Snapshot, Vector, Vectors

BATCH_ROWS = 8192
ANN_ROWS = 50_000
"""Below this many rows they are held in memory and all compared, which is faster than any index
(docs/indexes.md)."""
RETRAIN_GROWTH = 4
"""Rows are added to a trained index until it has grown this many times."""
NPROBES = 8
"""Partitions probed at first; `publish` doubles them until recall is good."""
FETCH = 64
"""Rows fetched at least: the quantised order is put right among them by the full vectors."""
SAMPLE = 64
NOISE = 0.75
"""Length of the noise added to a stored vector of length 1 to make it a query (cosine 0.8): a
photo is no copy of an image, and queries far from all rows are the hard ones."""
_BTREE = ("row_id", "price_low", "price_high")
_BITMAP = ("store", "category", "in_stock", "currency")


class LanceIndex:
    """An `Index` over a folder of Lance tables. See `indexes.Index` for what each verb promises."""

    def __init__(self, root: Path, fingerprint: str, dim: int, min_recall: float) -> None:
        self._root = root
        self._fingerprint = fingerprint
        self._dim = dim
        self._min_recall = min_recall
        self._writing: Any = None
        self._current = followed(root, lambda found: _Reader(root, found))

    @property
    def snapshot(self) -> Snapshot | None:
        reader = self._current.get()
        return reader.snapshot if reader else None

    def search(self, vector: Vector, k: int, where: Filter) -> list[Candidate]:
        reader = self._current.get()
        if reader is None:
            raise StateError("nothing is published yet", hint="run lensback sync")
        return reader.search(vector, k, where)

    def staged(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        table = self._staging()
        empty = np.empty(0, np.int64)
        if table is None:
            return empty, empty
        with _translated():
            found = table.search().select(["row_id", "digest"]).to_arrow()
        return found["row_id"].to_numpy(), found["digest"].to_numpy()

    def upsert(self, rows: Sequence[IndexRow], vectors: Vectors) -> None:
        if not rows:
            return
        new = to_table(rows, vectors)
        table = self._staging(new.schema.field("vector").type.list_size)
        if new.schema != table.schema:
            raise StaleIndex(
                f"vectors of shape {np.shape(vectors)} do not fit the staged index",
                hint="an encoder's fingerprint must change with its dimension",
            )
        with self._durable():
            for start in range(0, new.num_rows, BATCH_ROWS):
                merge = table.merge_insert("row_id").when_matched_update_all()
                merge.when_not_matched_insert_all().execute(new.slice(start, BATCH_ROWS))

    def delete(self, row_ids: Sequence[int]) -> None:
        table = self._staging()
        if table is None or not len(row_ids):
            return
        with self._durable():
            for start in range(0, len(row_ids), BATCH_ROWS):
                some = ", ".join(str(int(i)) for i in row_ids[start : start + BATCH_ROWS])
                table.delete(f"row_id IN ({some})")

    def publish(self, encoder: str) -> Snapshot:
        table = self._staging(self._dim)
        if table is None:
            raise StateError("nothing is staged", hint="run lensback sync")
        old = pointers.read(self._root)
        if old and self._unchanged(old, table, encoder):
            return old.snapshot
        with _translated():
            rows = table.count_rows()
            self._tidy(table, old)
            recall, parameters = self._built(table, rows, old)
            snapshot = self._describe(table, encoder, rows, recall)
        flush_tree(self._root)
        pointers.write(self._root, Pointer(snapshot, parameters, _kept(old, snapshot)))
        self._drop_others(snapshot, old)
        return snapshot

    # --- staging ---

    def _staging(self, dim: int = 0) -> Any:
        """The table that is written; None where it does not exist and `dim` is unknown."""
        if not self._fingerprint:
            raise StateError(
                "this index is open for reading only", hint="open it with an encoder's fingerprint"
            )
        if self._writing is None:
            self._root.mkdir(parents=True, exist_ok=True)
            with _translated():
                self._writing = _opened(connect(self._root), self._name, dim or self._dim)
        return self._writing

    @property
    def _name(self) -> str:
        return f"v_{self._fingerprint}"

    @contextlib.contextmanager
    def _durable(self) -> Iterator[None]:
        """Lance renames its files into place but does not flush them."""
        begin = time_ns()
        with _translated():
            yield
        flush_tree(self._root / f"{self._name}.lance", begin)

    # --- publishing ---

    def _unchanged(self, old: Pointer, table: Any, encoder: str) -> bool:
        same = old.snapshot.location == f"{self._name}@{table.version}"
        good = old.snapshot.recall >= self._min_recall
        return same and good and old.snapshot.encoder == encoder

    def _tidy(self, table: Any, old: Pointer | None) -> None:
        """Compacts, brings the indexes up to date, and removes versions nobody can still read:
        those older than the searched one and than an hour."""
        age = timedelta()
        if old and old.snapshot.location.startswith(f"{self._name}@"):
            age = _age(table, _located(old.snapshot.location)[1])
        table.optimize(cleanup_older_than=age + timedelta(hours=1))

    def _built(self, table: Any, rows: int, old: Pointer | None) -> tuple[float, dict[str, float]]:
        """Recall and query parameters; trains the vector index where it is missing or outgrown."""
        repeat = rows / max(1, _distinct_images(table))
        if rows < ANN_ROWS:
            return 1.0, {"partitions": 0, "repeat": repeat}
        trained = self._trained_rows(table, old)
        fresh = rows >= RETRAIN_GROWTH * trained
        if fresh:
            trained = _train(table, rows)
        sample = _Sample(table, rows)
        recall, tuned = self._tuned(sample, _split(trained))
        if recall < self._min_recall and not fresh:
            trained = _train(table, rows)
            recall, tuned = self._tuned(sample, _split(trained))
        if recall < self._min_recall:
            raise StateError(
                f"recall@10 is {recall:.3f}, below {self._min_recall}: not published",
                hint="lower min_recall, or set index = 'exact'",
            )
        return recall, {**tuned, "repeat": repeat, "trained_rows": trained}

    def _trained_rows(self, table: Any, old: Pointer | None) -> int:
        """Rows the vector index was trained on; 0 where it has to be trained."""
        known = old and old.snapshot.location.startswith(f"{self._name}@")
        names = {index.name for index in table.list_indices()}
        if not old or not known or "vector_idx" not in names:
            return 0
        return int(old.parameters.get("trained_rows", 0))

    def _tuned(self, sample: _Sample, partitions: int) -> tuple[float, dict[str, float]]:
        """The fewest partitions whose recall leaves a margin above `min_recall`."""
        good = (1 + min(1.0, self._min_recall)) / 2
        nprobes = min(NPROBES, partitions)
        while True:
            recall = sample.recall(nprobes)
            if recall >= good or nprobes == partitions:
                return recall, {"partitions": partitions, "nprobes": nprobes}
            nprobes = min(partitions, nprobes * 2)

    def _describe(self, table: Any, encoder: str, rows: int, recall: float) -> Snapshot:
        now = datetime.now(UTC)
        return Snapshot(
            id=f"{now:%Y%m%dT%H%M%S%f}-{table.version}",
            encoder=encoder,
            fingerprint=self._fingerprint,
            dim=table.schema.field("vector").type.list_size,
            rows=rows,
            recall=round(recall, 4),
            location=f"{self._name}@{table.version}",
            created_at=now.isoformat(timespec="seconds"),
        )

    def _drop_others(self, snapshot: Snapshot, old: Pointer | None) -> None:
        """Drops tables of other fingerprints but the one searched before this snapshot's."""
        kept = {_located(place)[0] for place in (snapshot.location, _kept(old, snapshot)) if place}
        with _translated():
            db = connect(self._root)
            for name in table_names(db):
                if name not in kept:
                    db.drop_table(name, ignore_missing=True)


class _Reader:
    """One published snapshot, open for searching. Thread-safe: its table never moves on."""

    def __init__(self, root: Path, found: Pointer) -> None:
        self.snapshot = found.snapshot
        self._parameters = found.parameters
        name, version = _located(found.snapshot.location)
        with _translated():
            # A connection of its own, so that its caches go when the snapshot goes.
            self._table = connect(root).open_table(name)
            self._table.checkout(version)
            small = not self._parameters["partitions"]
            self._scan = Scan(self._table.search().to_arrow()) if small else None
        self._count = lru_cache(maxsize=4096)(self._table.count_rows)

    def search(self, vector: Vector, k: int, where: Filter) -> list[Candidate]:
        unit_query = query(vector, self.snapshot.dim)
        clause = sql(where)
        if k < 1 or clause == NOTHING:
            return []
        if self._scan:
            return self._scan.search(unit_query, k, where)
        with _translated():
            matches = self._count(clause) if clause else self.snapshot.rows
            return self._distinct(unit_query, k, clause, matches) if matches else []

    def _distinct(self, vector: Vector, k: int, clause: str, matches: int) -> list[Candidate]:
        """k distinct images: an image has a row per store and stock state, so rows are fetched
        as often as images repeat, and more if that was not enough. Where the probed partitions
        do not hold that many matches, all are probed."""
        how = plan(self.snapshot.rows, matches, self._parameters)
        fetch = min(matches, max(FETCH, math.ceil(k * self._parameters["repeat"]) + 8))
        while True:
            found = _nearest(self._table, vector, fetch, how, clause)
            best = _best_per_image(found)
            full = found.num_rows >= fetch
            if len(best) >= k or (full and fetch >= matches) or (not full and how.whole):
                return best[:k]
            if full:
                fetch = min(matches, fetch * 4)
            else:
                how = widest(how, self._parameters)


def _nearest(table: Any, vector: Vector, limit: int, how: Plan, clause: str = "") -> Any:
    """Arrow table of image_hash and _distance (1 - cosine, exact), nearest first."""
    asked = table.search(vector).distance_type("cosine").select(["image_hash", "_distance"])
    asked = asked.limit(limit)
    if clause:
        asked = asked.where(clause, prefilter=True)
    if how.exact:
        return asked.bypass_vector_index().to_arrow()
    # Refining by 1 compares what the quantised index found with the full vectors. (A maximum of
    # 0 would let Lance probe on by itself, but it does so for every small segment of new rows.)
    return asked.nprobes(how.nprobes).refine_factor(1).to_arrow()


def _best_per_image(found: Any) -> list[Candidate]:
    best: dict[str, float] = {}
    for image_hash, distance in zip(
        found["image_hash"].to_pylist(), found["_distance"].to_pylist(), strict=True
    ):
        best.setdefault(image_hash, max(-1.0, min(1.0, 1.0 - distance)))
    return [Candidate(image_hash, similarity) for image_hash, similarity in best.items()]


class _Sample:
    """Queries (stored vectors with noise) and their true nearest rows: what recall is measured on."""

    def __init__(self, table: Any, rows: int) -> None:
        self._table = table
        draw = np.random.default_rng(0)
        picked = np.sort(draw.choice(rows, min(SAMPLE, rows), replace=False))
        stored = to_vectors(table.take_offsets(picked.tolist()).to_arrow()["vector"])
        noise = draw.standard_normal(stored.shape, dtype=np.float32)
        self._queries = unit(stored + NOISE / math.sqrt(stored.shape[1]) * noise)
        self._tenth = self._true_tenth()

    def _true_tenth(self) -> NDArray[np.float32]:
        """Similarity of each query's tenth best row, over all rows, in one pass: float32 [n]."""
        best = np.full((len(self._queries), 10), -1.0, np.float32)
        for batch in self._table.search().select(["vector"]).to_batches(batch_size=4096):
            both = np.hstack([best, self._queries @ to_vectors(batch["vector"]).T])
            best = np.partition(both, -10, axis=1)[:, -10:]
        tenth: NDArray[np.float32] = best.min(axis=1)
        return tenth

    def recall(self, nprobes: int) -> float:
        """recall@10: the share of the ten found that are as near as the true ten (so rows
        of one image, equally near, are worth the same)."""
        how = Plan(exact=False, nprobes=nprobes)
        hits = 0
        for vector, tenth in zip(self._queries, self._tenth, strict=True):
            distances = _nearest(self._table, vector, FETCH, how)["_distance"].to_numpy()
            hits += int((1 - distances[:10] >= tenth - 1e-5).sum())
        return hits / (10 * len(self._queries))


def _train(table: Any, rows: int) -> int:
    """Builds the vector index and the filters' indexes over all rows; returns `rows`."""
    from lancedb.index import Bitmap, BTree, IvfSq

    _rewrite(table)
    for column in _BTREE:
        table.create_index(column, config=BTree())
    for column in _BITMAP:
        table.create_index(column, config=Bitmap())
    table.create_index("vector", config=IvfSq(distance_type="cosine", num_partitions=_split(rows)))
    return rows


def _rewrite(table: Any) -> None:
    """Writes the rows anew, in one commit, where deleted ones lie among them: training on such
    a table takes fifty times as long (200k rows, 1 % deleted: 280 s instead of 5 s)."""
    import pyarrow as pa

    if not int(table.list_versions()[-1]["metadata"].get("total_deletion_file_rows", 0)):
        return
    rows = table.search().to_batches(batch_size=BATCH_ROWS)
    table.add(pa.RecordBatchReader.from_batches(table.schema, rows), mode="overwrite")


def _split(rows: int) -> int:
    """Partitions of about 2048 rows, then larger ones: training time grows with their square."""
    return max(1, min(rows // 2048, 512), rows // 8192)


def _distinct_images(table: Any) -> int:
    """Counted on 64-bit hashes: 8 bytes an image."""
    seen = [
        np.fromiter(map(hash, batch["image_hash"].to_pylist()), np.int64, batch.num_rows)
        for batch in table.search().select(["image_hash"]).to_batches()
    ]
    return len(np.unique(np.concatenate(seen))) if seen else 0


def _opened(db: Any, name: str, dim: int) -> Any:
    """The table, made if `dim` is known; None where there is none."""
    if name in table_names(db) and (table := opened(db, name)) is not None:
        return table
    return db.create_table(name, schema=schema(dim), mode="overwrite") if dim else None


def _located(location: str) -> tuple[str, int]:
    """`v_<fingerprint>@<version>` -> table name, version."""
    name, _, version = location.rpartition("@")
    return name, int(version)


def _kept(old: Pointer | None, snapshot: Snapshot) -> str:
    """The last location in another table than the snapshot's."""
    table = _located(snapshot.location)[0]
    places = [old.snapshot.location, old.previous] if old else []
    return next((place for place in places if place and _located(place)[0] != table), "")


def _age(table: Any, version: int) -> timedelta:
    """Time since a version was written; zero if it is not there. Lance tells local time."""
    for known in table.list_versions():
        if known["version"] == version:
            return timedelta(seconds=max(0.0, time() - known["timestamp"].timestamp()))
    return timedelta()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        hint = "run lensback sync; if that does not help, delete the index folder and sync again"
        raise unusable("the index", error, hint) from error
