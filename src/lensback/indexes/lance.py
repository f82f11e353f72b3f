"""The default index: one Lance table per fingerprint, searched at a pinned version.

While rows are few, or where `exact` is asked for, they are held in memory and all compared; beyond
ANN_ROWS an approximate index on the table is searched. Both are states of one table.

Staging writes new versions of the table; searches stay on the version that CURRENT.json names
until `publish` replaces that file. A process killed at any moment leaves whole versions and a
whole pointer; the work is done again by the next sync.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lensback.errors import StaleIndex, StateError
from lensback.indexes import pointer as pointers
from lensback.indexes import unknown
from lensback.indexes.plan import NOTHING, plan, sql, widest
from lensback.indexes.pointer import Pointer, followed
from lensback.indexes.rows import SAMPLE, noisy, query, schema, to_table, to_vectors
from lensback.indexes.scan import Scan
from lensback.lancedata import BATCH_ROWS, Table, TableFolder, candidates, partitions
from lensback.log import event
from lensback.types import Candidate, Filter, IndexRow, Snapshot, Vector, Vectors

ANN_ROWS = 50_000
"""Below this many rows they are held in memory and all compared, which is faster than any index
(docs/indexes.md)."""
RETRAIN_GROWTH = 4
"""Rows are added to a trained index until it has grown this many times."""
NPROBES = 8
"""Partitions probed at first; `publish` doubles them until recall is good."""
FETCH = 64
"""Rows fetched at least: the quantised order is put right among them by the full vectors."""
_BTREE = ("row_id", "price_low", "price_high")
_BITMAP = ("store", "category", "in_stock", "currency")


_HINT = "run: lensback sync"


def open_lance(
    url: str, root: Path, *, fingerprint: str, dim: int, min_recall: float
) -> LanceIndex:
    """`lance`, or `exact`: the same tables, all of whose rows are compared."""
    if url not in {"lance", "exact"}:
        raise unknown(url)
    return LanceIndex(root / "lance", fingerprint, dim, min_recall, exact=url == "exact")


class LanceIndex:
    """An `Index` over a folder of Lance tables. See `indexes.Index` for what each verb promises.

    `exact`: all rows are compared, however many there are.
    """

    def __init__(
        self, root: Path, fingerprint: str, dim: int, min_recall: float, *, exact: bool = False
    ) -> None:
        self._root = root
        self._shelf = TableFolder(root, "the index", _HINT)
        self._fingerprint = fingerprint
        self._dim = dim
        self._min_recall = min_recall
        self._exact = exact
        self._writing: Table | None = None
        self._current = followed(root, partial(_Reader, self._shelf, exact))

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
        if table is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        found = table.read(["row_id", "digest"])
        return found["row_id"].to_numpy(), found["digest"].to_numpy()

    def upsert(self, rows: Sequence[IndexRow], vectors: Vectors) -> None:
        if not rows:
            return
        new = to_table(rows, vectors)
        table = self._staging(new.schema.field("vector").type.list_size)
        if table is None or new.schema != table.schema:
            raise StaleIndex(
                f"vectors of shape {np.shape(vectors)} do not fit the staged index",
                hint="an encoder's fingerprint must change with its dimension",
            )
        table.merge(new, "row_id", replace=True)

    def delete(self, row_ids: Sequence[int]) -> None:
        table = self._staging()
        if table is None or not len(row_ids):
            return
        parts = (row_ids[at : at + BATCH_ROWS] for at in range(0, len(row_ids), BATCH_ROWS))
        table.delete(f"row_id IN ({', '.join(str(int(i)) for i in part)})" for part in parts)

    def publish(self, encoder: str) -> Snapshot:
        table = self._staging(self._dim)
        if table is None:
            raise StateError("nothing is staged", hint="run lensback sync")
        old = self._last()
        if old and self._unchanged(old, table, encoder):
            return old.snapshot
        rows = table.rows()
        table.compact(self._kept_for(table, old))
        recall, parameters = self._built(table, rows, old)
        version = table.version
        snapshot = pointers.new_snapshot(
            version, f"{self._name}@{version}", encoder=encoder, fingerprint=self._fingerprint,
            dim=table.dim, rows=rows, recall=recall,
        )  # fmt: skip
        pointers.write(self._root, Pointer(snapshot, parameters, _kept(old, snapshot)))
        self._drop_others(snapshot, old)
        return snapshot

    def _last(self) -> Pointer | None:
        """What is searched now. One that cannot be read leads nowhere and is replaced."""
        try:
            return pointers.read(self._root)
        except StateError as error:
            event("the index is published anew", 30, message=error.message)
            return None

    def set_aside(self) -> bool:
        """Takes a table that cannot be read out of use, for the index to be made anew."""
        self._writing = None
        return self._shelf.set_aside(self._name)

    # --- staging ---

    def _staging(self, dim: int = 0) -> Table | None:
        """The table that is written; None where it does not exist and `dim` is unknown."""
        if not self._fingerprint:
            raise StateError(
                "this index is open for reading only", hint="open it with an encoder's fingerprint"
            )
        if self._writing is None:
            self._writing = self._shelf.table(self._fingerprint)
        if self._writing is None and (wide := dim or self._dim):
            self._writing = self._shelf.made(self._fingerprint, partial(schema, wide))
        return self._writing

    @property
    def _name(self) -> str:
        return self._shelf.name(self._fingerprint)

    # --- publishing ---

    def _compares_all(self, rows: int) -> bool:
        return self._exact or rows < ANN_ROWS

    def _unchanged(self, old: Pointer, table: Table, encoder: str) -> bool:
        same = old.snapshot.location == f"{self._name}@{table.version}"
        good = old.snapshot.recall >= self._min_recall
        way = self._compares_all(old.snapshot.rows) == (not old.parameters["partitions"])
        return same and good and way and old.snapshot.encoder == encoder

    def _mine(self, old: Pointer | None) -> bool:
        """Whether what is searched now is a version of the table that is written."""
        return old is not None and old.snapshot.location.startswith(f"{self._name}@")

    def _kept_for(self, table: Table, old: Pointer | None) -> timedelta:
        """The age from which nobody can still read a version: older than the searched one and than
        an hour."""
        age = timedelta()
        if old and self._mine(old):
            age = table.age(_located(old.snapshot.location)[1])
        return age + timedelta(hours=1)

    def _built(
        self, table: Table, rows: int, old: Pointer | None
    ) -> tuple[float, Mapping[str, float]]:
        """Recall and query parameters; trains the vector index where it is missing or outgrown."""
        repeat = rows / max(1, _distinct_images(table))
        if self._compares_all(rows):
            return 1.0, {"partitions": 0, "repeat": repeat}
        trained = self._trained_rows(table, old)
        fresh = rows >= RETRAIN_GROWTH * trained
        if fresh:
            trained = _train(table, rows)
        sample = _Sample(table, rows)
        recall, tuned = self._tuned(sample, partitions(trained))
        if recall < self._min_recall and not fresh:
            trained = _train(table, rows)
            recall, tuned = self._tuned(sample, partitions(trained))
        if recall < self._min_recall:
            raise StateError(
                f"recall@10 is {recall:.3f}, below {self._min_recall}: not published",
                hint="lower min_recall, or set index = 'exact'",
            )
        return recall, {**tuned, "repeat": repeat, "trained_rows": trained}

    def _trained_rows(self, table: Table, old: Pointer | None) -> int:
        """Rows the vector index was trained on; 0 where it has to be trained."""
        if not old or not self._mine(old) or table.indexed("vector") is None:
            return 0
        return int(old.parameters.get("trained_rows", 0))

    def _tuned(self, sample: _Sample, split: int) -> tuple[float, dict[str, float]]:
        """The fewest partitions whose recall leaves a margin above `min_recall`."""
        good = (1 + min(1.0, self._min_recall)) / 2
        nprobes = min(NPROBES, split)
        while True:
            recall = sample.recall(nprobes)
            if recall >= good or nprobes == split:
                return recall, {"partitions": split, "nprobes": nprobes}
            nprobes = min(split, nprobes * 2)

    def _drop_others(self, snapshot: Snapshot, old: Pointer | None) -> None:
        """Drops tables of other fingerprints but the one searched before this snapshot's."""
        kept = {_located(place)[0] for place in (snapshot.location, _kept(old, snapshot)) if place}
        for name in self._shelf.names():
            if name not in kept:
                self._shelf.drop(name)


class _Reader:
    """One published snapshot, open for searching. Thread-safe: its table never moves on."""

    def __init__(self, shelf: TableFolder, exact: bool, pointer: Pointer) -> None:
        self.snapshot = pointer.snapshot
        self._parameters = pointer.parameters
        self._table = shelf.at(*_located(pointer.snapshot.location))
        all_compared = exact or not self._parameters["partitions"]
        self._scan = Scan(self._table.read()) if all_compared else None
        self._count = lru_cache(maxsize=4096)(self._table.rows)

    def search(self, vector: Vector, k: int, where: Filter) -> list[Candidate]:
        unit_query = query(vector, self.snapshot.dim)
        clause = sql(where)
        if k < 1 or clause == NOTHING:
            return []
        if self._scan:
            return self._scan.search(unit_query, k, where)
        matches = self._count(clause) if clause else self.snapshot.rows
        return self._distinct(unit_query, k, clause, matches) if matches else []

    def _distinct(self, vector: Vector, k: int, clause: str, matches: int) -> list[Candidate]:
        """k distinct images: an image has a row per store and stock state, so rows are fetched
        as often as images repeat, and more if that was not enough. Where the probed partitions
        do not hold that many matches, all are probed."""
        how = plan(self.snapshot.rows, matches, self._parameters)
        fetch = min(matches, max(FETCH, math.ceil(k * self._parameters["repeat"]) + 8))
        while True:
            found = self._table.nearest(vector, fetch, nprobes=how.nprobes, where=clause)
            best = candidates(found)
            full = found.num_rows >= fetch
            if len(best) >= k or (full and fetch >= matches) or (not full and how.whole):
                return best[:k]
            if full:
                fetch = min(matches, fetch * 4)
            else:
                how = widest(how, self._parameters)


class _Sample:
    """Queries (stored vectors with noise) and their true nearest rows: what recall is measured on."""

    def __init__(self, table: Table, rows: int) -> None:
        self._table = table
        draw = np.random.default_rng(0)
        picked = np.sort(draw.choice(rows, min(SAMPLE, rows), replace=False))
        stored = to_vectors(table.taken(picked.tolist(), "vector"))
        self._queries = noisy(stored, draw)
        self._tenth = self._true_tenth()

    def _true_tenth(self) -> NDArray[np.float32]:
        """Similarity of each query's tenth best row, over all rows, in one pass: float32 [n]."""
        best = np.full((len(self._queries), 10), -1.0, np.float32)
        for batch in self._table.batches(["vector"], size=4096):
            both = np.hstack([best, self._queries @ to_vectors(batch["vector"]).T])
            best = np.partition(both, -10, axis=1)[:, -10:]
        tenth: NDArray[np.float32] = best.min(axis=1)
        return tenth

    def recall(self, nprobes: int) -> float:
        """recall@10: the share of the ten found that are as near as the true ten (so rows
        of one image, equally near, are worth the same)."""
        hits = 0
        for vector, tenth in zip(self._queries, self._tenth, strict=True):
            found = self._table.nearest(vector, FETCH, nprobes=nprobes)
            hits += int((1 - found["_distance"].to_numpy()[:10] >= tenth - 1e-5).sum())
        return hits / (10 * len(self._queries))


def _train(table: Table, rows: int) -> int:
    """Builds the vector index and the filters' indexes over all rows; returns `rows`."""
    table.rewrite()
    table.index(*_BTREE)
    table.index(*_BITMAP, few_values=True)
    table.train(rows)
    return rows


def _distinct_images(table: Table) -> int:
    """Counted on 64-bit hashes: 8 bytes an image."""
    seen = [
        np.fromiter(map(hash, batch["image_hash"].to_pylist()), np.int64, batch.num_rows)
        for batch in table.batches(["image_hash"])
    ]
    return len(np.unique(np.concatenate(seen))) if seen else 0


def _located(location: str) -> tuple[str, int]:
    """`v_<fingerprint>@<version>` -> table name, version."""
    name, _, version = location.rpartition("@")
    return name, int(version)


def _kept(old: Pointer | None, snapshot: Snapshot) -> str:
    """The last location in another table than the snapshot's."""
    table = _located(snapshot.location)[0]
    places = [old.snapshot.location, old.previous] if old else []
    return next((place for place in places if place and _located(place)[0] != table), "")
