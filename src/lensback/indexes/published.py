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
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from lensback.durable import flush, flush_tree
from lensback.indexes import partitions
from lensback.indexes.columns import CODED, Columns
from lensback.indexes.rows import to_vectors
from lensback.indexes.scan import Scan
from lensback.lancedata import BATCH_ROWS, Table
from lensback.types import Vectors

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


def made(table: Table, folder: Path, *, in_partitions: bool) -> None:
    """Writes the files of the table's version, durably, in one rename. What was there is replaced."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        rows = _written(table, part)
        if in_partitions:
            partitions.write(_mapped(part / VECTORS, rows, table.dim), part / PARTITIONS)
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
    for pattern in ("v_*@*", ".v_*@*.part"):
        for folder in root.glob(pattern):
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)


def _written(table: Table, folder: Path) -> int:
    """Rows and vectors, in the table's order; how many."""
    import pyarrow as pa

    batches = []
    with (folder / VECTORS).open("wb") as file:
        for batch in table.batches([*COLUMNS, "vector"], size=BATCH_ROWS):
            file.write(np.ascontiguousarray(to_vectors(batch["vector"])).data)
            batches.append(batch.select(list(COLUMNS)))
    schema = pa.schema([table.schema.field(name) for name in COLUMNS])
    whole = pa.Table.from_batches(batches, schema=schema).combine_chunks()
    for column in CODED:
        place = whole.schema.get_field_index(column)
        whole = whole.set_column(place, column, whole[column].dictionary_encode())
    whole = whole.replace_schema_metadata({"dim": str(table.dim)}).combine_chunks()
    with pa.OSFile(str(folder / ROWS), "wb") as sink, pa.ipc.new_file(sink, whole.schema) as writer:
        writer.write_table(whole)
    return int(whole.num_rows)


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
