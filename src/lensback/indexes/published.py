"""A published snapshot on disk: what searches need of one version of a table, in files that are mapped
into memory and never change.

    v_<fingerprint>@<version>/rows.arrow        what rows say, column by column
                              vectors.f32       their vectors, one after the other
                              partitions.faiss  the same in partitions, where rows are many
                              seal.json         of which version they are, size and digest of each

They are made from the table: whoever finds them missing or damaged makes them again.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensback import mapped
from lensback.durable import flush, flush_tree
from lensback.indexes import partitions
from lensback.indexes.columns import CODED, Columns
from lensback.indexes.rows import to_vectors
from lensback.indexes.scan import Scan
from lensback.lancedata import Table
from lensback.types import Vectors

if TYPE_CHECKING:
    import pyarrow as pa

ROWS, VECTORS, PARTITIONS = "rows.arrow", "vectors.f32", "partitions.faiss"
SEAL = "seal.json"
LOOKS, LOOK_BYTES = 64, 4096
"""Places of a file that its digest is of, and how much is read at each: files that grow with the catalogue are
not read whole whenever one is opened."""
COLUMNS = ("image_hash", *CODED, "in_stock", "price_low", "price_high")


@dataclass(frozen=True, slots=True)
class Files:
    """The folder of one snapshot, opened."""

    folder: Path
    scan: Scan | None
    partitions: partitions.Partitions | None
    """One of the two: all rows are compared, or those of the nearest partitions."""
    vectors: Vectors
    """float32 [rows, dim], mapped into memory."""


def whole(folder: Path, *, all_compared: bool) -> bool:
    """Whether the files of a folder are those that were sealed, as far as can be told without opening
    them."""
    names = (ROWS, VECTORS) if all_compared else (ROWS, VECTORS, PARTITIONS)
    try:
        seal = json.loads((folder / SEAL).read_bytes())
        return seal["of"] == folder.name and all(
            seal[name] == _digest(folder / name) for name in names
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def opened(folder: Path, *, all_compared: bool) -> Files | None:
    """The files of a folder; None where they are not there, damaged, or of another version."""
    import pyarrow as pa

    if not whole(folder, all_compared=all_compared):
        return None
    try:
        with pa.memory_map(str(folder / ROWS)) as source:
            table = pa.ipc.open_file(source).read_all()
        vectors = _mapped(folder / VECTORS, table.num_rows, int(table.schema.metadata[b"dim"]))
        if all_compared:
            return Files(folder, Scan(table, vectors), None, vectors)
        index = partitions.read(folder / PARTITIONS)
        if index.ntotal != table.num_rows:
            return None
        columns = Columns(table)
        searched = partitions.Partitions(index, columns, vectors, folder / VECTORS)
        return Files(folder, None, searched, vectors)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, pa.ArrowException):
        return None


def unseal(folder: Path) -> None:
    """Whoever opens these files makes them again; on a disk that cannot be written they stay as they are."""
    with suppress(OSError):
        (folder / SEAL).unlink()


def made(table: Table, folder: Path, *, in_partitions: bool) -> None:
    """Writes the files of a table that is held at a version, durably, in one rename. What was there is replaced."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _written(table, part, in_partitions)
        seal = {path.name: _digest(path) for path in sorted(part.iterdir())}
        (part / SEAL).write_text(json.dumps({"of": folder.name, **seal}))
        flush_tree(part)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
        flush(folder.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def drop_others(root: Path, kept: Collection[str]) -> None:
    """Removes the folders of all other snapshots, and what killed processes left of theirs. Who has
    one of them open goes on in it."""
    for folder in root.glob("v_*@*"):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
    drop_parts(root)


def drop_parts(root: Path) -> None:
    """Removes what killed processes left half made. For the one that writes, before it fills the disk once more:
    what is killed at the same place again and again would leave a catalogue's vectors each time."""
    for folder in root.glob(".v_*@*.part"):
        shutil.rmtree(folder, ignore_errors=True)
    for file in root.glob(".*.tmp"):
        file.unlink(missing_ok=True)


def _written(table: Table, folder: Path, in_partitions: bool) -> None:
    """Rows and vectors, in the table's order or partition by partition. Memory holds a batch of them: the columns
    wait in files, from which they are joined."""
    import pyarrow as pa

    with tempfile.TemporaryDirectory(dir=folder, prefix=".columns.") as place:
        columns = _Files(Path(place))
        with (folder / VECTORS).open("wb") as file:
            for batch in table.pieces([*COLUMNS, "vector"]):
                file.write(np.ascontiguousarray(to_vectors(batch["vector"])).data)
                columns.add(batch)
        whole = columns.joined()
        if in_partitions:
            whole = _sorted(whole, table.dim, folder, Path(place) / "sorted")
        whole = whole.replace_schema_metadata({"dim": str(table.dim)})
        with (
            pa.OSFile(str(folder / ROWS), "wb") as sink,
            pa.ipc.new_file(sink, whole.schema) as writer,
        ):
            writer.write_table(whole)


def _sorted(rows: pa.Table, dim: int, folder: Path, place: Path) -> pa.Table:
    """Makes the partitions, and brings the vectors and these rows into their order: what one search finds lies close
    together then, and is read from the file in a third of the time."""
    place.mkdir()
    vectors = _mapped(folder / VECTORS, rows.num_rows, dim)
    order = partitions.write(vectors, folder / PARTITIONS, renumbered=True)
    columns = _Files(place)
    with (place / VECTORS).open("wb") as file:
        for start in range(0, len(order), partitions.BLOCK):
            some = order[start : start + partitions.BLOCK]
            file.write(vectors[some].data)
            columns.add(rows.take(some).combine_chunks().to_batches()[0])
    (place / VECTORS).replace(folder / VECTORS)
    return columns.joined()


class _Files:
    """Columns of index rows, collected batch by batch in files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows = 0
        self._words: dict[str, dict[str, int]] = {column: {} for column in CODED}

    def add(self, batch: pa.RecordBatch) -> None:
        """The next rows."""
        hashes = [name.encode() for name in batch["image_hash"].to_pylist()]
        self._put("image_hash", b"".join(hashes))
        self._put("lengths", np.fromiter(map(len, hashes), np.int32, len(hashes)))
        for column, words in self._words.items():
            coded = batch[column].dictionary_encode()
            known = [words.setdefault(word, len(words)) for word in coded.dictionary.to_pylist()]
            self._put(column, np.array(known, np.int32)[coded.indices.to_numpy()])
        self._put("in_stock", batch["in_stock"].to_numpy(zero_copy_only=False))
        for column in ("price_low", "price_high"):
            self._put(column, batch[column].to_numpy())
        self._rows += batch.num_rows

    def joined(self) -> pa.Table:
        """All of them, mapped into memory; valid as long as the files are."""
        import pyarrow as pa

        columns: dict[str, pa.Array] = {"image_hash": self._hashes()}
        for column, words in self._words.items():
            codes = pa.Array.from_buffers(pa.int32(), self._rows, [None, self._buffer(column)])
            columns[column] = pa.DictionaryArray.from_arrays(codes, pa.array(words, pa.string()))
        flags = np.frombuffer(self._buffer("in_stock"), bool)
        columns["in_stock"] = pa.array(flags)
        for column in ("price_low", "price_high"):
            buffers = [None, self._buffer(column)]
            columns[column] = pa.Array.from_buffers(pa.int64(), self._rows, buffers)
        return pa.table(columns)

    def _hashes(self) -> pa.Array:
        import pyarrow as pa

        lengths = np.frombuffer(self._buffer("lengths"), np.int32)
        ends = mapped.zeros(self._rows + 1, np.int32, self._folder)
        np.cumsum(lengths, out=ends[1:])
        buffers = [None, pa.py_buffer(ends), self._buffer("image_hash")]
        return pa.Array.from_buffers(pa.string(), self._rows, buffers)

    def _put(self, column: str, values: NDArray[Any] | bytes) -> None:
        with (self._folder / column).open("ab") as file:
            file.write(values if isinstance(values, bytes) else np.ascontiguousarray(values).data)

    def _buffer(self, column: str) -> pa.Buffer:
        import pyarrow as pa

        path = self._folder / column
        if not path.exists() or not path.stat().st_size:
            return pa.py_buffer(b"")
        return pa.memory_map(str(path)).read_buffer()


def _digest(path: Path) -> str:
    """Of the file's size, and of its bytes at places all over it."""
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        read = blake2b(str(size).encode(), digest_size=16)
        for i in range(LOOKS):
            read.update(
                os.pread(file.fileno(), LOOK_BYTES, max(0, size - LOOK_BYTES) * i // (LOOKS - 1))
            )
    return read.hexdigest()


def _mapped(file: Path, rows: int, dim: int) -> Vectors:
    """Raises ValueError where the file holds another number of vectors."""
    if file.stat().st_size != rows * dim * 4:
        raise ValueError(f"{file} is damaged")
    if not rows:
        return np.empty((0, dim), np.float32)
    return np.memmap(file, np.float32, "r", shape=(rows, dim))
