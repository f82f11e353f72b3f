"""Index rows as Milvus holds them, and filters as conditions on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from lensback.errors import DataError
from lensback.indexes import plan
from lensback.indexes.rows import to_table, to_vectors, unit
from lensback.types import Candidate, Filter, IndexRow, Vector, Vectors

OPEN = 2**62
"""`until` of a version that no generation has ended yet."""
MAX_NAME_BYTES = 256
_PLAIN = ("row_id", "digest", "in_stock", "price_low", "price_high", "image_hash")
_CODED = ("store", "category", "currency")


def schema(client: Any, dim: int, description: str = "") -> Any:
    """The fields of a collection."""
    from pymilvus import DataType

    made = client.create_schema(auto_id=False, enable_dynamic_field=False, description=description)
    made.add_field("version", DataType.INT64, is_primary=True)
    for name in ("row_id", "digest", "since", "until", "price_low", "price_high", *_CODED):
        made.add_field(name, DataType.INT64)
    made.add_field("in_stock", DataType.BOOL)
    made.add_field("image_hash", DataType.VARCHAR, max_length=MAX_NAME_BYTES)
    made.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
    return made


def code(text: str) -> int:
    """63 bits for a name: equal names, equal numbers."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def version(row_id: int, generation: int) -> int:
    """The key of a row's version: writing it again overwrites it."""
    return code(f"{row_id} {generation}")


def entities(rows: Sequence[IndexRow], vectors: Vectors, generation: int) -> list[dict[str, Any]]:
    """Rows as Milvus takes them, in a generation; of rows with one id the last one stays.

    Raises BadQuery where vectors do not fit the rows, DataError where a row cannot be stored.
    """
    table = to_table(rows, vectors)
    plain = table.drop_columns(["vector"]).to_pylist()
    made = []
    for row, vector in zip(plain, to_vectors(table["vector"]), strict=True):
        if len(row["image_hash"].encode()) > MAX_NAME_BYTES:
            raise DataError(f"a row cannot be indexed: its image is named {row['image_hash']!r}")
        made.append(
            {name: row[name] for name in _PLAIN}
            | {name: code(row[name]) for name in _CODED}
            | {"version": version(row["row_id"], generation), "since": generation}
            | {"until": OPEN, "vector": vector}
        )
    return made


def compared(rows: Sequence[Mapping[str, Any]], query: Vector) -> list[Candidate]:
    """The images of rows (`image_hash`, `vector`), each once, best first, every one compared."""
    if not rows:
        return []
    vectors = unit(np.array([row["vector"] for row in rows], np.float32))
    cosines = np.clip(vectors @ query, -1.0, 1.0)
    best: dict[str, float] = {}
    for at in np.argsort(-cosines):
        best.setdefault(rows[at]["image_hash"], float(cosines[at]))
    return [Candidate(image_hash, cosine) for image_hash, cosine in best.items()]


def condition(where: Filter) -> str:
    """The filter as a condition on rows; see `plan.condition`."""
    return plan.condition(where, _among, "in_stock == true")


def _among(column: str, names: Iterable[str]) -> str:
    codes = [str(code(name)) for name in names if plan.storable(name)]
    return f"{column} in [{', '.join(codes)}]" if codes else plan.NOTHING
