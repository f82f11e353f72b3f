"""Index rows as one Arrow table: what every member of the family keeps on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lensback.counted import counted
from lensback.errors import BadQuery, DataError, StaleIndex
from lensback.indexes import row_digest
from lensback.types import IndexRow, Vector, Vectors

if TYPE_CHECKING:
    import pyarrow as pa


SAMPLE = 64
"""Queries that recall is measured with."""
NOISE = 0.75
"""Length of the noise added to a stored vector of length 1 to make it a query (cosine 0.8): a
photo is no copy of an image, and queries far from all rows are the hard ones."""


def schema(dim: int) -> pa.Schema:
    """The columns of an IndexRow, its digest, and the vector as float32[dim]."""
    import pyarrow as pa

    return pa.schema(
        [
            ("row_id", pa.int64()),
            ("digest", pa.int64()),
            ("image_hash", pa.string()),
            ("store", pa.string()),
            ("category", pa.string()),
            ("in_stock", pa.bool_()),
            ("currency", pa.string()),
            ("price_low", pa.int64()),
            ("price_high", pa.int64()),
            ("vector", pa.list_(pa.float32(), dim)),
        ]
    )


def to_table(rows: Sequence[IndexRow], vectors: Vectors) -> pa.Table:
    """Rows and their vectors -> a table of `schema`; of rows with one id the last one stays.

    Raises BadQuery where vectors do not fit the rows, DataError where a row cannot be stored.
    """
    import pyarrow as pa

    checked = unit(vectors)
    if checked.ndim != 2 or len(checked) != len(rows):
        raise BadQuery(f"{counted(len(rows), 'row')}, but vectors of shape {checked.shape}")
    last = list({row.row_id: i for i, row in enumerate(rows)}.values())
    kept = [rows[i] for i in last]
    fields = [name for name in schema(1).names if name not in {"digest", "vector"}]
    columns: dict[str, object] = {name: [getattr(row, name) for row in kept] for name in fields}
    columns["digest"] = [row_digest(row) for row in kept]
    flat = pa.array(checked[last].reshape(-1))
    columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, checked.shape[1])
    try:
        return pa.table(columns, schema=_ordered(columns, checked.shape[1]))
    except (UnicodeEncodeError, OverflowError, pa.ArrowException) as error:
        raise DataError(
            f"a row cannot be indexed: {error}", hint="check the feed's text"
        ) from error


def _ordered(columns: dict[str, object], dim: int) -> pa.Schema:
    wanted = schema(dim)
    columns.update({name: columns.pop(name) for name in wanted.names})
    return wanted


def to_vectors(column: pa.ChunkedArray | pa.Array) -> Vectors:
    """A fixed-size-list column -> float32 [n, dim]; no copy where it is one float32 chunk."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):  # combine_chunks copies even a single chunk
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    flat: Vectors = column.flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32, copy=False).reshape(len(column), column.type.list_size)


def unit(vectors: Vectors) -> Vectors:
    """Float32, each row of length 1. Raises BadQuery on NaN, infinity and the zero vector."""
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(array, axis=-1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise BadQuery("a vector has no direction", hint="it must be finite and not all zeros")
    directions: Vectors = array / lengths
    return directions


def noisy(stored: Vectors, draw: np.random.Generator) -> Vectors:
    """Stored unit vectors as queries to measure recall with: float32 [n, dim], of length 1."""
    noise = draw.standard_normal(stored.shape, dtype=np.float32)
    return unit(stored + NOISE / math.sqrt(stored.shape[1]) * noise)


def query(vector: Vector, dim: int) -> Vector:
    """The query as a unit vector. Raises StaleIndex where it is not one of `dim` numbers."""
    if np.shape(vector) != (dim,):
        raise StaleIndex(
            f"the index holds vectors of {dim} numbers, the query has shape {np.shape(vector)}",
            hint="run lensback sync",
        )
    array = np.ascontiguousarray(vector, dtype=np.float32)
    length = math.sqrt(np.dot(array, array))  # `unit` of one vector, in a third of the time
    if not 0 < length < math.inf:
        return unit(array)  # says what is wrong
    direction: Vector = array / np.float32(length)
    return direction
