"""Index rows as Milvus holds them, and filters as conditions on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

from lensback.errors import DataError
from lensback.indexes.plan import storable
from lensback.indexes.rows import to_table, to_vectors
from lensback.types import Filter, IndexRow, Vectors

OPEN = 2**62
"""`until` of a version that no generation has ended yet."""
NOTHING = "false"
MAX_NAME_BYTES = 256
_INT64 = 2**63 - 1
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


def condition(where: Filter) -> str:
    """The filter as a condition on rows: empty without a limit, NOTHING if unmeetable."""
    parts = []
    if where.stores:
        parts.append(_among("store", where.stores))
    if where.categories:
        parts.append(_among("category", where.categories))
    if where.in_stock:
        parts.append("in_stock == true")
    if where.currency:
        parts.append(_among("currency", [where.currency]))
    if where.price_max:
        parts.append(_among("currency", [where.price_max.currency]))
        parts.append(f"price_low <= {_clamped(where.price_max.minor)}")
    if where.price_min:
        parts.append(_among("currency", [where.price_min.currency]))
        parts.append(f"price_high >= {_clamped(where.price_min.minor)}")
    return NOTHING if NOTHING in parts else " and ".join(dict.fromkeys(parts))


def _among(column: str, names: Iterable[str]) -> str:
    codes = [str(code(name)) for name in names if storable(name)]
    return f"{column} in [{', '.join(codes)}]" if codes else NOTHING


def _clamped(minor: int) -> int:
    return max(-_INT64, min(_INT64, minor))
