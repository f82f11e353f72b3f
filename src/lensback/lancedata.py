"""The layer over Lance: one table of vectors for each encoder's fingerprint, written durably.

`vectors` and `indexes.lance` say what the rows mean; opening, flushing, compacting, indexing,
asking for neighbours, and Lance's errors as ours are here, once. So is what was read of a table the last
time: while none of its files has changed, nobody needs to load Lance, which takes a second, to read it again.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from hashlib import blake2b
from pathlib import Path
from time import time, time_ns
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lensback.durable import files_below, flush_tree, replace_file
from lensback.errors import ConfigError, Damaged, MissingExtra, StateError
from lensback.mapped import collected
from lensback.memory import keep_little
from lensback.types import Candidate, Vector

if TYPE_CHECKING:
    import pyarrow as pa

Noted = Mapping[str, NDArray[np.int64]]
"""What was read of a table: names and numbers."""

BATCH_ROWS = 8192
_REMOTE = re.compile(r"(s3|gs|az)://[^/]+.*")
_FINGERPRINT = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""It becomes the name of a folder."""


_importing = threading.Lock()


@contextlib.contextmanager
def _checks_unbuilt() -> Iterator[None]:
    """Around the first `import lancedb`: what checks its messages is built when a message is checked.

    Lance brings a client of a catalogue server, whose hundreds of messages we never send: to build their checks
    was half of the import's time. What another thread defines meanwhile is built when it is used, too.
    """
    with _importing:
        if "lancedb" in sys.modules:
            yield
            return
        import pydantic

        config, checked = pydantic.BaseModel.model_config, pydantic.validate_call
        pydantic.BaseModel.model_config = {**config, "defer_build": True}
        pydantic.validate_call = partial(checked, config={"defer_build": True})  # type: ignore[assignment]
        try:
            yield
        finally:
            pydantic.BaseModel.model_config, pydantic.validate_call = config, checked


class TableFolder:
    """The tables of one folder, or of `s3://bucket/prefix` (gs://, az://).

    `what` and `hint` go into the StateError that every failure of Lance becomes. Keys and endpoint
    of an object store come from its usual environment variables (AWS_ACCESS_KEY_ID, AWS_ENDPOINT, …).
    """

    def __init__(self, place: Path | str, what: str, hint: str) -> None:
        text = str(place)
        remote = "://" in text
        if remote and not _REMOTE.fullmatch(text):
            raise ConfigError(
                f"not a place for datasets: {text!r}", hint="use a folder or s3://bucket/prefix"
            )
        self.place: Path | str = text.rstrip("/") if remote else Path(place)
        self._what, self._hint = what, hint

    def table(self, fingerprint: str) -> Table | None:
        """A handle of its own on the encoder's table, at its newest version. None where there is
        none, and then not even the folder is made. Raises ConfigError for what is no fingerprint."""
        name = self.name(fingerprint)
        with self.translated():
            raw = _opened(self._connect(), name) if self._has(name) else None
        return Table(raw, self._folder(name), self.translated) if raw is not None else None

    def made(self, fingerprint: str, schema: Callable[[], pa.Schema]) -> Table:
        """An empty table for this encoder, made now."""
        name = self.name(fingerprint)
        with self.translated():  # overwrite: a kill may have left its folder
            raw = self._connect().create_table(name, schema=schema(), mode="overwrite")
        if folder := self._folder(name):
            flush_tree(folder)
        return Table(raw, self._folder(name), self.translated)

    def at(self, name: str, version: int) -> Table:
        """A table held at a version. Its connection is its own, so its caches go when it goes."""
        with self.translated():
            raw = self._connect().open_table(name)
            raw.checkout(version)
        return Table(raw, self._folder(name), self.translated)

    def name(self, fingerprint: str) -> str:
        """The name of an encoder's table."""
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise ConfigError(
                f"not a fingerprint: {fingerprint!r}", hint="use letters, digits, `.`, `_` and `-`"
            )
        return f"v_{fingerprint}"

    def names(self) -> list[str]:
        """Names of all tables of the folder, sorted."""
        if isinstance(self.place, Path) and not self.place.is_dir():
            return []
        with self.translated():
            return sorted(_names(self._connect()))

    def drop(self, name: str) -> None:
        """Removes a table; one that is not there is fine."""
        with self.translated():
            self._connect().drop_table(name, ignore_missing=True)
        if note := self._note(name):
            note.unlink(missing_ok=True)

    def noted(self, name: str) -> Noted | None:
        """What was read of a table last, where no file of it was written, cut or lost since; None where that
        is not known. Lance is not needed for it."""
        note, mark = self._note(name), self._mark(name)
        if not note or not mark:
            return None
        try:
            with note.open("rb") as file, np.load(file) as found:
                kept = {key: _member(found, key) for key in found.files}
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):
            return None  # there is none yet, or it was damaged: the table itself is read
        return kept if _bytes(kept.pop("mark", None)) == mark else None

    def note(self, name: str, read: Callable[[], Noted]) -> Noted:
        """Reads a table and notes what came of it, unless somebody writes to the table meanwhile."""
        before = self._mark(name)
        told = read()
        note = self._note(name)
        if note and before and before == self._mark(name):
            numbers: dict[str, NDArray[Any]] = {**told, "mark": np.frombuffer(before, np.uint8)}
            with contextlib.suppress(OSError):  # it spares time, that is all
                replace_file(note, lambda partial: _saved(partial, numbers))
        return told

    def set_aside(self, name: str) -> bool:
        """Takes a table of this disk out of use; its files stay, as `NAME.lance.damaged`. False
        where there is none."""
        folder = self._folder(name)
        if not folder or not folder.exists():
            return False
        aside = folder.with_name(f"{folder.name}.damaged")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        return True

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Lance's errors in the block as StateError."""
        try:
            yield
        except (ValueError, RuntimeError, OSError, KeyError) as error:
            if "os error 28" in str(error):  # ENOSPC
                message = f"the disk is full: {self._what} cannot be written"
                raise StateError(message, hint="free some space, then sync again") from error
            message = f"{self._what} cannot be used: {str(error)[:300]}"
            refused = re.search(r"os error (?!2\b)\d+", str(error))  # rights, open files, the disk
            if refused or not isinstance(self.place, Path):
                raise StateError(message, hint=self._hint) from error
            raise Damaged(message, hint=self._hint) from error

    def _connect(self) -> Any:
        """A connection whose reads see at once what another process has written."""
        try:
            with _checks_unbuilt():
                import lancedb
        except ImportError as error:
            raise MissingExtra("lancedb") from error
        keep_little()
        if isinstance(self.place, Path):
            self.place.mkdir(parents=True, exist_ok=True)
        return lancedb.connect(self.place, read_consistency_interval=timedelta(0))

    def _has(self, name: str) -> bool:
        folder = self._folder(name)
        return folder.is_dir() if folder else name in _names(self._connect())

    def _folder(self, name: str) -> Path | None:
        return self.place / f"{name}.lance" if isinstance(self.place, Path) else None

    def _note(self, name: str) -> Path | None:
        return self.place / f"{name}.noted.npz" if isinstance(self.place, Path) else None

    def _mark(self, name: str) -> bytes:
        """Changes with every file of the table that is written, cut or lost; empty where there is no
        table, or one in an object store."""
        folder = self._folder(name)
        if not folder or not folder.is_dir():
            return b""
        mark = blake2b(digest_size=16)
        for path, size, written_ns in sorted(files_below(str(folder))):
            mark.update(
                f"{path.removeprefix(str(folder))}\0{size}\0{written_ns}\0".encode(
                    errors="surrogateescape"
                )
            )
        return mark.digest()


class Table:
    """Rows with a key column and unit vectors in `vector`, in versions. Writes are durable when they
    return; all failures are StateError."""

    def __init__(
        self,
        raw: Any,
        folder: Path | None,
        translated: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        self.raw = raw
        self._folder = folder
        self._translated = translated

    @property
    def schema(self) -> pa.Schema:
        """The names and types of the table's columns."""
        return self.raw.schema

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self.schema.field("vector").type.list_size)

    @property
    def version(self) -> int:
        """Number of the table's state: larger after every write."""
        with self._translated():
            return int(self.raw.version)

    def rows(self, where: str = "") -> int:
        """How many there are, under a condition in SQL."""
        with self._translated():
            return int(self.raw.count_rows(where or None))

    def pieces(self, columns: Sequence[str], *, size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Some columns of all rows of a table that is held at a version (`TableFolder.at`), at most `size` at once.

        Each piece is asked for by itself: Lance reads ahead all of a stream, and would hold every vector of the
        table. (LANCE_DEFAULT_IO_BUFFER_SIZE would bound that for all reads of a process, but one whose
        batch is larger than it may wait for itself for ever: lance-format/lance#4946.)
        """
        with self._translated():
            for start in range(0, int(self.raw.count_rows()), size):
                asked = self.raw.search().select(list(columns)).offset(start).limit(size)
                yield from asked.to_batches(batch_size=size)

    def taken(self, key: str, columns: Sequence[str], *, where: str) -> Iterator[pa.RecordBatch]:
        """Some columns of the few rows whose key is under a condition, in the table's order, of a table that is held
        at a version (`TableFolder.at`).

        They are found first and then taken by their places. Asked for in one go, Lance reads all columns of every row
        that is in no index yet, to look at the key alone.
        """
        with self._translated():
            asked = self.raw.search().select([key]).with_row_id(True)
            places = asked.where(where).to_arrow()["_rowid"].to_pylist()
            if places:
                yield from self.raw.take_row_ids(sorted(places)).select(list(columns)).to_batches()

    def read(self, columns: Sequence[str] = ()) -> pa.Table:
        """All rows; all columns by default."""
        with self._translated():
            asked = self.raw.search()
            return (asked.select(list(columns)) if columns else asked).to_arrow()

    def nearest(self, vector: Vector, limit: int, *, nprobes: int = 0, where: str = "") -> pa.Table:
        """`image_hash` and `_distance` (1 - cosine, exact) of the nearest rows, nearest first.
        Compares with every row that matches, or with those of so many partitions."""
        with self._translated():
            asked = self.raw.search(vector).distance_type("cosine")
            asked = asked.select(["image_hash", "_distance"]).limit(limit)
            asked = asked.where(where, prefilter=True) if where else asked
            if not nprobes:
                return asked.bypass_vector_index().to_arrow()
            # Refining by 1 compares what the quantised index found with the full vectors. (A maximum
            # of 0 would let Lance probe on by itself, but it does so for every small segment of new
            # rows.)
            return asked.nprobes(nprobes).refine_factor(1).to_arrow()

    # --- writing ---

    @contextlib.contextmanager
    def _durable(self) -> Iterator[None]:
        """What is written in the block is on disk after it: Lance renames its files into place but
        does not flush them. An object store keeps what it acknowledged."""
        begin = time_ns()
        with self._translated():
            yield
        if self._folder:
            flush_tree(self._folder, begin)

    def merge(self, rows: pa.Table, key: str, *, replace: bool) -> None:
        """Adds rows; one whose key is there already is replaced, or left as it is."""
        with self._durable():
            for start in range(0, rows.num_rows, BATCH_ROWS):
                merge = self.raw.merge_insert(key).when_not_matched_insert_all()
                merge = merge.when_matched_update_all() if replace else merge
                merge.execute(rows.slice(start, BATCH_ROWS))

    def add(self, file: Path) -> None:
        """Adds the rows of a file in Arrow's streaming format, none of which is there. They become one
        fragment: what came in many has to be joined, for which Lance reads ahead all of it."""
        import pyarrow as pa

        with self._durable(), pa.memory_map(str(file)) as source:
            self.raw.add(pa.ipc.open_stream(source))

    def delete(self, wheres: Iterator[str]) -> None:
        """Deletes the rows under each of these conditions."""
        with self._durable():
            for where in wheres:
                self.raw.delete(where)

    def compact(self, keep: timedelta = timedelta(hours=1)) -> None:
        """Joins small files, adds new rows to the indexes, removes versions older than `keep`."""
        with self._durable():
            self.raw.optimize(cleanup_older_than=keep)

    def index(self, *columns: str, few_values: bool = False) -> None:
        """Makes columns quick to filter by; `few_values`: the same ones again and again."""
        from lancedb.index import Bitmap, BTree

        with self._durable():
            for column in columns:
                self.raw.create_index(column, config=Bitmap() if few_values else BTree())

    def train(self, rows: int) -> None:
        """Trains the vector index anew, in `partitions(rows)`."""
        from lancedb.index import IvfSq

        config = IvfSq(distance_type="cosine", num_partitions=partitions(rows))
        with self._durable():
            self.raw.create_index("vector", config=config)

    # --- what Lance knows of it ---

    @property
    def deletions(self) -> bool:
        """Whether deleted rows lie among the others."""
        with self._translated():
            newest = self.raw.list_versions()[-1]["metadata"]
        return bool(int(newest.get("total_deletion_file_rows", 0)))

    def indexed(self, column: str) -> tuple[int, int] | None:
        """Rows in a column's index and rows not in it yet; None where there is no index."""
        name = f"{column}_idx"
        with self._translated():
            if not any(index.name == name for index in self.raw.list_indices()):
                return None
            stats = self.raw.index_stats(name)
        return stats.num_indexed_rows, stats.num_unindexed_rows

    def age(self, version: int) -> timedelta:
        """Time since a version was written; zero if it is not there. Lance tells local time."""
        with self._translated():
            for known in self.raw.list_versions():
                if known["version"] == version:
                    return timedelta(seconds=max(0.0, time() - known["timestamp"].timestamp()))
        return timedelta()


def partitions(rows: int) -> int:
    """How many partitions so many rows get: of about 2048 rows each, then larger ones, because
    training time grows with the square of their number.

    >>> partitions(1000), partitions(100_000), partitions(10_000_000)
    (1, 48, 1220)
    """
    return max(1, min(rows // 2048, 512), rows // 8192)


def candidates(rows: pa.Table) -> list[Candidate]:
    """What `Table.nearest` found, each image once by its best row, best first."""
    best: dict[str, float] = {}
    names, distances = rows["image_hash"].to_pylist(), rows["_distance"].to_pylist()
    for name, distance in zip(names, distances, strict=True):
        best.setdefault(name, max(-1.0, min(1.0, 1.0 - distance)))
    return [Candidate(name, similarity) for name, similarity in best.items()]


def _saved(path: Path, numbers: dict[str, Any]) -> None:
    with path.open("wb") as file:  # by its name it would be given another ending
        np.savez(file, **numbers)


def _member(file: Any, name: str) -> NDArray[Any]:
    """An array of a file of arrays, read in pieces, to where it is no memory of the process. Its sum is checked."""
    with file.zip.open(f"{name}.npy") as member:
        np.lib.format.read_magic(member)
        shape, _, kind = np.lib.format.read_array_header_1_0(member)
        pieces = iter(lambda: member.read(kind.itemsize * BATCH_ROWS), b"")
        return collected((np.frombuffer(piece, kind) for piece in pieces), kind.type).reshape(shape)


def _bytes(mark: NDArray[Any] | None) -> bytes:
    return b"" if mark is None else mark.tobytes()


def _opened(db: Any, name: str) -> Any:
    """The table; None where there is only its folder: a full disk or a kill broke its making off."""
    try:
        return db.open_table(name)
    except ValueError as error:
        if "was not found" not in str(error):
            raise
        return None


def _names(db: Any) -> list[str]:
    names: list[str] = []
    page = None
    while True:
        answer = db.list_tables(page_token=page)
        names += answer.tables
        page = answer.page_token
        if not page:
            return names
