"""The default index: rows and vectors staged in one Lance table per fingerprint, and searched in
files of their own.

Staging writes new versions of the table. `publish` makes the files of one version (`published`), measures
how well they find, and lets CURRENT.json name them: searches go on in the old ones until then. They need
neither the table nor Lance. A process killed at any moment leaves whole versions and a whole pointer; the
work is done again by the next sync.

While rows are few, or where `exact` is asked for, all are compared; beyond ANN_ROWS those of the nearest
partitions.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lensback import mapped
from lensback.counted import counted
from lensback.errors import Damaged, StaleIndex, StateError
from lensback.indexes import pointer as pointers
from lensback.indexes import published, unknown
from lensback.indexes.partitions import Partitions, SampleQueries, partitions, tuned
from lensback.indexes.pointer import Pointer, followed
from lensback.indexes.published import Files
from lensback.indexes.rows import query, schema, to_table
from lensback.lancedata import BATCH_ROWS, Noted, Table, TableFolder
from lensback.log import event
from lensback.types import Candidate, Filter, IndexRow, Snapshot, Vector, Vectors

if TYPE_CHECKING:
    import pyarrow as pa

ANN_ROWS = 10_000
"""Below this many rows all are compared, which is as fast and never misses (docs/indexes.md)."""
KEYED_ROWS = 20_000
"""From this many rows on the table's ids are indexed: a few changed rows are found among them."""
LEAST_RECALL = 0.985
"""recall@10 that the number of probed partitions is chosen for, where `min_recall` asks for less."""


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
        self._current = followed(root, partial(_Reader, root, self._shelf, exact))
        self._searched = False

    @property
    def snapshot(self) -> Snapshot | None:
        if not self._searched:  # who never searches need not load what opens the files
            pointer = pointers.read(self._root)
            if pointer and published.whole(
                self._root / pointer.snapshot.location,
                all_compared=_compares_all(pointer, self._exact),
            ):
                return pointer.snapshot
        reader = self._current.get()
        return reader.snapshot if reader else None

    def search(self, vector: Vector, k: int, where: Filter) -> list[Candidate]:
        reader, self._searched = self._current.get(), True
        if reader is None:
            raise StateError("nothing is published yet", hint="run lensback sync")
        return reader.search(vector, k, where)

    def staged(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        noted = self._noted()
        if noted is None and (table := self._staging()):
            noted = self._ids_and_digests(table)
        if noted is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return noted["row_id"], noted["digest"]

    def upsert(self, rows: Sequence[IndexRow], vectors: Vectors) -> None:
        if not rows:
            return
        new = to_table(rows, vectors)
        table = self._staging(new.schema.field("vector").type.list_size)
        if table is None or new.schema != table.schema:
            raise _unfit(np.shape(vectors)[1])
        table.merge(new, "row_id", replace=True)

    def fill(self, batches: Iterable[tuple[Sequence[IndexRow], Vectors]]) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        published.drop_parts(self._root)
        prefix = f".{self._name}@new."  # `drop_parts` knows it
        with tempfile.TemporaryDirectory(".part", prefix, self._root) as place:
            file = Path(place) / "rows"
            tables = (to_table(rows, vectors) for rows, vectors in batches if rows)
            if (wide := _spooled(tables, file)) and (table := self._staging(wide)):
                if table.dim != wide:
                    raise _unfit(wide)
                table.add(file)

    def delete(self, row_ids: Sequence[int]) -> None:
        table = self._staging()
        if table is None or not len(row_ids):
            return
        parts = (row_ids[at : at + BATCH_ROWS] for at in range(0, len(row_ids), BATCH_ROWS))
        table.delete(f"row_id IN ({', '.join(str(int(i)) for i in part)})" for part in parts)

    def publish(self, encoder: str) -> Snapshot:
        old, noted = self._last(), self._noted()
        if old:  # whoever was killed after the pointer had changed left the snapshot before
            published.drop_others(self._root, {old.snapshot.location})
        if old and noted and self._unchanged(old, int(noted["version"]), encoder):
            return old.snapshot
        table = self._staging(self._dim)
        if table is None:
            raise StateError("nothing is staged", hint="run: lensback sync")
        if old and self._unchanged(old, table.version, encoder):
            self._shelf.note(self._name, partial(self._ids_and_digests, table))
            return old.snapshot
        rows = table.rows()
        if rows >= KEYED_ROWS and table.indexed("row_id") is None:
            table.index("row_id")
        table.compact(self._kept_for(table, old))
        version = table.version
        location = f"{self._name}@{version}"
        held = self._shelf.at(self._name, version)
        recall, parameters = self._built(held, rows, location)
        snapshot = pointers.new_snapshot(
            version, location, encoder=encoder, fingerprint=self._mine,
            dim=table.dim, rows=rows, recall=recall,
        )  # fmt: skip
        pointers.write(self._root, Pointer(snapshot, parameters, _kept(old, snapshot)))
        self._drop_others(snapshot, old)
        self._shelf.note(self._name, partial(self._ids_and_digests, table))
        return snapshot

    def _last(self) -> Pointer | None:
        """What is searched now. One that cannot be read leads nowhere and is replaced."""
        try:
            return pointers.read(self._root)
        except StateError as error:
            event("the index is published anew", 30, message=error.message)
            return None

    def set_aside(self) -> bool:
        """Takes the table out of use where it cannot be read, for the index to be made anew."""
        try:
            if table := self._staging():
                self._ids_and_digests(table)
        except Damaged:
            self._writing = None
            return self._shelf.set_aside(self._name)
        return False

    # --- staging ---

    def _ids_and_digests(self, table: Table) -> Noted:
        """Which state of the staged table it is, its rows' ids and digests. Raises Damaged where it cannot be
        read."""
        version = table.version
        held = self._shelf.at(self._name, version)

        def column(name: str) -> NDArray[np.int64]:
            pieces = held.pieces([name], size=8 * BATCH_ROWS)
            return mapped.collected((piece[name].to_numpy() for piece in pieces), np.int64)

        return {
            "version": np.array(version),
            "row_id": column("row_id"),
            "digest": column("digest"),
        }

    def _noted(self) -> Noted | None:
        """What `_ids_and_digests` of the staged table as it still is; None where that is not known."""
        return self._shelf.noted(self._name)

    def _staging(self, dim: int = 0) -> Table | None:
        """The table that is written; None where it does not exist and `dim` is unknown."""
        if self._writing is None:
            self._writing = self._shelf.table(self._mine)
        if self._writing is None and (wide := dim or self._dim):
            self._writing = self._shelf.made(self._mine, partial(schema, wide))
        return self._writing

    @property
    def _mine(self) -> str:
        """The fingerprint of the encoder whose vectors are staged."""
        if not self._fingerprint:
            raise StateError(
                "this index is open for reading only", hint="open it with an encoder's fingerprint"
            )
        return self._fingerprint

    @property
    def _name(self) -> str:
        return self._shelf.name(self._mine)

    # --- publishing ---

    def _compares_all(self, rows: int) -> bool:
        return self._exact or rows < ANN_ROWS

    def _unchanged(self, old: Pointer, version: int, encoder: str) -> bool:
        same = old.snapshot.location == f"{self._name}@{version}"
        good = old.snapshot.recall >= self._min_recall
        rows = old.snapshot.rows
        split = 0 if self._compares_all(rows) else partitions(rows)
        way = old.parameters["partitions"] == split
        return same and good and way and old.snapshot.encoder == encoder

    def _is_mine(self, old: Pointer | None) -> bool:
        """Whether what is searched now is a version of the table that is written."""
        return old is not None and old.snapshot.location.startswith(f"{self._name}@")

    def _kept_for(self, table: Table, old: Pointer | None) -> timedelta:
        """The age from which nobody can still read a version: older than the searched one and than
        an hour."""
        age = timedelta()
        if old and self._is_mine(old):
            age = table.age(_located(old.snapshot.location)[1])
        return age + timedelta(hours=1)

    def _built(self, table: Table, rows: int, location: str) -> tuple[float, Mapping[str, float]]:
        """Makes the files of a snapshot. Its recall, and how it is to be searched."""
        repeat = rows / max(1, _distinct_images(table))
        folder, few = self._root / location, self._compares_all(rows)
        published.made(table, folder, in_partitions=not few)
        if few:
            return 1.0, {"partitions": 0, "repeat": repeat}
        files = published.opened(folder, all_compared=False)
        if files is None or files.partitions is None:
            raise StateError(f"{folder} cannot be read again", hint=_HINT)
        good = max(LEAST_RECALL, (1 + min(1.0, self._min_recall)) / 2)
        split = partitions(rows)
        recall, nprobes = tuned(files.partitions, SampleQueries(files.vectors), split, good)
        if recall < self._min_recall:
            raise StateError(
                f"recall@10 is {recall:.3f}, below {self._min_recall}: not published",
                hint="lower min_recall, or set index = 'exact'",
            )
        return recall, {"partitions": split, "nprobes": nprobes, "repeat": repeat}

    def _drop_others(self, snapshot: Snapshot, old: Pointer | None) -> None:
        """Drops tables of other fingerprints but the one searched before this snapshot's."""
        kept = {_located(place)[0] for place in (snapshot.location, _kept(old, snapshot)) if place}
        for name in self._shelf.names():
            if name not in kept:
                self._shelf.drop(name)
        published.drop_others(self._root, {snapshot.location})


class _Reader:
    """One published snapshot, open for searching. Thread-safe: its files never change."""

    def __init__(self, root: Path, shelf: TableFolder, exact: bool, pointer: Pointer) -> None:
        self.snapshot = pointer.snapshot
        self._pointer = pointer
        self._open = partial(_files, root, shelf, pointer, _compares_all(pointer, exact))
        self._files = self._open()
        self._mending = Lock()
        self._no_better: Files | None = None
        """Made again, and a search met the same: it is not the files, and to make them takes long."""

    def search(self, vector: Vector, k: int, where: Filter) -> list[Candidate]:
        unit_query = query(vector, self.snapshot.dim)
        if k < 1:
            return []
        files = self._files
        try:
            return self._nearest(files, unit_query, k, where)
        except (IndexError, ValueError) as error:  # damaged since, or where its seal does not look
            files = self._made_again(files, error)
        try:
            return self._nearest(files, unit_query, k, where)
        except (IndexError, ValueError) as error:
            self._no_better = files
            raise StateError(f"{files.folder} is damaged", hint=_HINT) from error

    def _nearest(self, files: Files, query: Vector, k: int, where: Filter) -> list[Candidate]:
        if files.partitions:
            return files.partitions.search(query, k, where, self._parameters(files.partitions))
        return files.scan.search(query, k, where) if files.scan else []

    def _parameters(self, there: Partitions) -> Mapping[str, float]:
        """How they are to be searched. A snapshot of an earlier version has its files made here, in partitions of
        another size."""
        own, split = self._pointer.parameters, there.split
        if own["partitions"] == split:
            return own
        share = own["nprobes"] / own["partitions"]
        return {**own, "partitions": split, "nprobes": math.ceil(share * split)}

    def _made_again(self, files: Files, error: Exception) -> Files:
        with self._mending:
            if self._files is files is not self._no_better:  # else another thread was quicker
                event("the files of the index are damaged", 30, error=str(error))
                published.unseal(files.folder)
                self._files = self._open()
            return self._files


def _compares_all(pointer: Pointer, exact: bool) -> bool:
    """Whether a search of what is published compares with every row."""
    return exact or not pointer.parameters["partitions"]


def _files(root: Path, shelf: TableFolder, pointer: Pointer, all_compared: bool) -> Files:
    """The files of a snapshot, made again from its table where they are gone or damaged. Raises
    StateError where that is gone, too, or another snapshot was published meanwhile."""
    location = pointer.snapshot.location
    folder = root / location
    if files := published.opened(folder, all_compared=all_compared):
        return files
    if pointers.read(root) != pointer:
        raise StateError(f"{location} is no longer what is searched", hint="try again")
    table = shelf.at(*_located(location))
    try:
        published.made(table, folder, in_partitions=bool(pointer.parameters["partitions"]))
    except OSError as error:
        raise StateError(f"{folder} cannot be written: {error.strerror}", hint=_HINT) from error
    event("the files of the index are made again", 30, snapshot=pointer.snapshot.id)
    if files := published.opened(folder, all_compared=all_compared):
        return files
    raise StateError(f"{folder} cannot be read", hint=_HINT)


def _unfit(dim: int) -> StaleIndex:
    return StaleIndex(
        f"vectors of {counted(dim, 'number')} do not fit the staged index",
        hint="an encoder's fingerprint must change with its dimension",
    )


def _spooled(tables: Iterable[pa.Table], path: Path) -> int:
    """Writes tables into a file, one after the other: how many numbers their vectors have, 0 where there are none."""
    import pyarrow as pa

    first, dim = None, 0
    with ExitStack() as stack:
        for table in tables:
            if first is None:
                first = table.schema
                dim = int(first.field("vector").type.list_size)
                writer = stack.enter_context(pa.ipc.new_stream(str(path), first))
            if table.schema != first:
                raise _unfit(int(table.schema.field("vector").type.list_size))
            try:
                writer.write_table(table)
            except OSError as error:
                message = f"{path} cannot be written: {error.strerror or error}"
                raise StateError(message, hint="free some space, then sync again") from error
    return dim


def _distinct_images(table: Table) -> int:
    """Counted on 64-bit hashes."""
    names = (batch["image_hash"].to_pylist() for batch in table.pieces(["image_hash"]))
    return mapped.distinct(mapped.hashes(names))


def _located(location: str) -> tuple[str, int]:
    """`v_<fingerprint>@<version>` -> table name, version."""
    name, _, version = location.rpartition("@")
    return name, int(version)


def _kept(old: Pointer | None, snapshot: Snapshot) -> str:
    """The last location in another table than the snapshot's."""
    table = _located(snapshot.location)[0]
    places = [old.snapshot.location, old.previous] if old else []
    return next((place for place in places if place and _located(place)[0] != table), "")
