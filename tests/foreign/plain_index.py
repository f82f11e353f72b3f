"""Engines of another package, found by entry points: an index of whole files, and an embedding
"elsewhere" that is done here. Not for use: every change writes everything anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.feather

from lensback.durable import replace_file
from lensback.embed import embed
from lensback.errors import StaleIndex, StateError
from lensback.indexes import pointer, rows, scan
from lensback.types import Candidate, Filter, IndexRow, Snapshot, Tally, Vector, Vectors


def open_plain(
    url: str, root: Path, *, fingerprint: str, dim: int, min_recall: float
) -> PlainIndex:
    """`plain://NAME`: a folder of that name."""
    return PlainIndex(root / f"plain-{url.partition('://')[2]}", fingerprint, dim)


class PlainIndex:
    def __init__(self, root: Path, fingerprint: str, dim: int) -> None:
        self._root, self._fingerprint, self._dim = root, fingerprint, dim
        self._current = pointer.followed(root, self._read)

    def _read(self, found: pointer.Pointer) -> tuple[Snapshot, scan.Scan]:
        return found.snapshot, scan.Scan(pa.feather.read_table(found.snapshot.location))

    @property
    def snapshot(self) -> Snapshot | None:
        current = self._current.get()
        return current[0] if current else None

    def search(self, vector: Vector, k: int, where: Filter) -> list[Candidate]:
        current = self._current.get()
        if current is None:
            raise StateError("nothing is published yet", hint="run lensback sync")
        unit_query = rows.query(vector, current[0].dim)
        return current[1].search(unit_query, k, where) if k > 0 else []

    def staged(self) -> tuple[Any, Any]:
        table = self._staged()
        if table is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return table["row_id"].to_numpy(), table["digest"].to_numpy()

    def upsert(self, new: Sequence[IndexRow], vectors: Vectors) -> None:
        table = rows.to_table(new, vectors)
        old = self._staged()
        if old is not None and old.schema != table.schema:
            raise StaleIndex("vectors of another dimension", hint="run lensback sync")
        kept = [self._without(old, table["row_id"].to_pylist())] if old is not None else []
        self._write(pa.concat_tables([*kept, table]))

    def delete(self, row_ids: Sequence[int]) -> None:
        old = self._staged()
        if old is not None:
            self._write(self._without(old, [int(i) for i in row_ids]))

    def publish(self, encoder: str) -> Snapshot:
        table, now = self._staged(), datetime.now(UTC).isoformat()
        if table is None and self._dim:
            table = rows.schema(self._dim).empty_table()
        if table is None:
            raise StateError("nothing is staged", hint="run lensback sync")
        old = self.snapshot
        if old and (old.fingerprint, old.encoder) == (self._fingerprint, encoder):
            before = pa.feather.read_table(old.location)
            if before.sort_by("row_id").equals(table.sort_by("row_id")):
                return old
        place = str(self._root / f"{now}.feather")
        dim = table.schema.field("vector").type.list_size
        made = Snapshot(now, encoder, self._fingerprint, dim, len(table), 1.0, place, now)
        self._root.mkdir(parents=True, exist_ok=True)
        pa.feather.write_feather(table, place, compression="uncompressed")
        pointer.write(self._root, pointer.Pointer(made))
        return made

    def _staged(self) -> Any:
        if not self._fingerprint:
            raise StateError("open for reading only", hint="open it with a fingerprint")
        file = self._root / f"{self._fingerprint}.feather"
        if file.exists():
            return pa.feather.read_table(file, memory_map=False)
        return rows.schema(self._dim).empty_table() if self._dim else None

    def _write(self, table: Any) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        file = self._root / f"{self._fingerprint}.feather"
        whole = table.combine_chunks()
        replace_file(file, lambda p: pa.feather.write_feather(whole, str(p), "uncompressed"))

    @staticmethod
    def _without(table: Any, row_ids: list[int]) -> Any:
        gone = pa.compute.is_in(table["row_id"], value_set=pa.array(row_ids, pa.int64()))
        return table.filter(pa.compute.invert(gone))


def embed_here(
    db: Any, images: Any, vectors: Any, encoder: Any, models: Path, *, address: str,
    threads: int = 1, batch: int = 32, progress: Any = None,
) -> Tally:  # fmt: skip
    """An engine for `lensback embed --on here:ADDRESS`."""
    tally = embed(db, images, vectors, encoder, batch=batch, progress=progress)
    tally.notes["address"] = address
    return tally
