"""The truth: every row compared with the query, no approximation. For small catalogues and tests.

On disk: `<fingerprint>/<number>.arrow` holds upserted rows and `<number>.npy` deleted ids, one
file per call, in order; `<snapshot id>.arrow` holds a published state, never changed again.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensback.durable import replace_file
from lensback.errors import MissingExtra, StaleIndex, StateError
from lensback.indexes import pointer as pointers
from lensback.indexes.pointer import Pointer, followed
from lensback.indexes.rows import query, schema, to_table
from lensback.indexes.scan import Scan
from lensback.types import Candidate, Filter, IndexRow, Snapshot, Vector, Vectors

if TYPE_CHECKING:
    import pyarrow as pa


class ExactIndex:
    """An `Index` by brute force. See `indexes.Index` for what each verb promises."""

    def __init__(self, root: Path, fingerprint: str, dim: int) -> None:
        self._root = root
        self._fingerprint = fingerprint
        self._dim = dim
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
        table = self._fold()
        if table is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return table["row_id"].to_numpy(), table["digest"].to_numpy()

    def upsert(self, rows: Sequence[IndexRow], vectors: Vectors) -> None:
        if not rows:
            return
        new = to_table(rows, vectors)
        dim = new.schema.field("vector").type.list_size
        if dim != (self._dim or dim):
            raise StaleIndex(
                f"vectors of {dim} numbers in an index of {self._dim}",
                hint="an encoder's fingerprint must change with its dimension",
            )
        self._dim = dim
        replace_file(self._next("arrow"), lambda path: _write(new, path))

    def delete(self, row_ids: Sequence[int]) -> None:
        if len(row_ids):
            ids = np.asarray(row_ids, np.int64)
            replace_file(self._next("npy"), lambda path: _save(ids, path))

    def publish(self, encoder: str) -> Snapshot:
        changes = self._changes()
        old = pointers.read(self._root)
        mine = old is not None and old.snapshot.fingerprint == self._fingerprint
        if old and mine and not changes and old.snapshot.encoder == encoder:
            return old.snapshot
        table = self._fold()
        if table is None:
            raise StateError("nothing is staged", hint="run lensback sync")
        through = int(changes[-1].stem) if changes else self._through(old)
        snapshot = self._describe(table, encoder)
        self._root.mkdir(parents=True, exist_ok=True)
        replace_file(self._root / snapshot.location, lambda path: _write(table, path))
        previous = old.snapshot.location if old else ""
        pointers.write(self._root, Pointer(snapshot, {"through": through}, previous))
        self._clean(snapshot.location, previous)
        return snapshot

    # --- staging: the published rows of this fingerprint, then the log ---

    def _through(self, old: Pointer | None) -> int:
        """Number of the last log file that the published snapshot holds already."""
        if old is None or old.snapshot.fingerprint != self._fingerprint:
            return 0
        return int(old.parameters["through"])

    def _changes(self) -> list[Path]:
        if not self._fingerprint:
            raise StateError(
                "this index is open for reading only", hint="open it with an encoder's fingerprint"
            )
        through = self._through(pointers.read(self._root))
        files = [*self._staging.glob("[0-9]*.arrow"), *self._staging.glob("[0-9]*.npy")]
        return sorted((f for f in files if int(f.stem) > through), key=lambda f: int(f.stem))

    @property
    def _staging(self) -> Path:
        return self._root / self._fingerprint

    def _next(self, suffix: str) -> Path:
        changes = self._changes()
        last = int(changes[-1].stem) if changes else self._through(pointers.read(self._root))
        self._staging.mkdir(parents=True, exist_ok=True)
        return self._staging / f"{last + 1:012d}.{suffix}"

    def _fold(self) -> pa.Table | None:
        """The staged rows, each id once, or None where nothing says what dimension they have."""
        import pyarrow as pa

        old = pointers.read(self._root)
        parts: list[pa.Table] = []
        place: dict[int, int] = {}
        if old and old.snapshot.fingerprint == self._fingerprint:
            _stack(parts, place, _read(self._root / old.snapshot.location))
        for path in self._changes():
            if path.suffix == ".arrow":
                _stack(parts, place, _read(path))
            else:
                for gone in _load(path).tolist():
                    place.pop(gone, None)
        if not parts:
            return schema(self._dim).empty_table() if self._dim else None
        with _translated():
            return pa.concat_tables(parts).take(pa.array(sorted(place.values()), pa.int64()))

    def _describe(self, table: pa.Table, encoder: str) -> Snapshot:
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%S%f}"
        return Snapshot(
            id=name,
            encoder=encoder,
            fingerprint=self._fingerprint,
            dim=table.schema.field("vector").type.list_size,
            rows=table.num_rows,
            recall=1.0,
            location=f"{name}.arrow",
            created_at=now.isoformat(timespec="seconds"),
        )

    def _clean(self, *kept: str) -> None:
        """Removes what no pointer names: old snapshots, folded logs, other encoders' logs."""
        for path in self._root.iterdir():
            if path.suffix == ".arrow" and path.name not in kept:
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
            elif path.suffix == ".tmp":
                path.unlink()


class _Reader:
    """One published snapshot in memory maps."""

    def __init__(self, root: Path, found: Pointer) -> None:
        self.snapshot = found.snapshot
        self._scan = Scan(_read(root / found.snapshot.location))

    def search(self, vector: Vector, k: int, where: Filter) -> list[Candidate]:
        unit_query = query(vector, self.snapshot.dim)
        return self._scan.search(unit_query, k, where) if k > 0 else []


def _stack(parts: list[pa.Table], place: dict[int, int], table: pa.Table) -> None:
    """Appends a table and notes, by row id, where in the stack each of its rows lies."""
    start = sum(part.num_rows for part in parts)
    place.update(zip(table["row_id"].to_pylist(), range(start, start + len(table)), strict=True))
    parts.append(table)


def _write(table: pa.Table, path: Path) -> None:
    import pyarrow as pa

    whole = table.combine_chunks()  # one chunk, so that the vectors are read without a copy
    with _translated(), pa.ipc.new_file(str(path), whole.schema) as writer:
        writer.write_table(whole)


def _read(path: Path) -> pa.Table:
    """Memory-mapped."""
    pa = _arrow()
    with _translated():
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _save(ids: NDArray[np.int64], path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, ids)


def _load(path: Path) -> NDArray[np.int64]:
    with _translated():
        ids: NDArray[np.int64] = np.load(path)
        return ids


def _arrow() -> Any:
    try:
        import pyarrow as pa
        import pyarrow.ipc
    except ImportError as error:
        raise MissingExtra("pyarrow", "all") from error
    return pa


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # every Arrow error is one of the two, or a KeyError
        raise StateError(
            f"the index cannot be used: {error}",
            hint="delete the index folder and run lensback sync",
        ) from error
