"""Indexes: vectors made searchable, under filters. The door `Index` and its opener.

How a filter meets a row: `stores`, `categories`, `in_stock` and `currency` are properties of
the row itself. A row has a price *range*, so it matches where some offer of it could match:
`price_low <= price_max` and `price_high >= price_min`, both in the limit's own currency.
The catalogue filters the offers of a hit exactly afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lensback.engines import engine, known
from lensback.errors import ConfigError, UnknownName
from lensback.types import Candidate, Filter, IndexRow, Snapshot, Vector, Vectors

GROUP = "lensback.indexes"
"""Entry points by which other packages add engines: scheme of the URL -> Opener."""
OWN = {
    "exact": "lensback.indexes.lance:open_lance",
    "lance": "lensback.indexes.lance:open_lance",
    "milvus": "lensback.indexes.milvus:open_milvus",
}
LIBRARIES = {"exact": ("pyarrow",), "lance": ("pyarrow", "faiss"), "milvus": ("pymilvus",)}
"""What each of our own imports by its first search."""


class Index(Protocol):
    """One published snapshot to search, one staged state to write.

    Writers (one at a time) bring the staged state to what the catalogue wants with
    `upsert` and `delete`; both are durable when they return and invisible to searches.
    `publish` checks the staged state's recall and makes it the one that is searched, atomically.
    A reader in another process sees a new snapshot at its next search.
    """

    @property
    def snapshot(self) -> Snapshot | None:
        """What searches see now; None before the first publish."""

    def staged(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row ids and row digests of the staged state, in one order, each [n]."""

    def upsert(self, rows: Sequence[IndexRow], vectors: Vectors) -> None:
        """Writes rows by `row_id`; vectors[i] belongs to rows[i]. Idempotent."""

    def delete(self, row_ids: Sequence[int]) -> None:
        """Forgets rows; unknown ids are fine."""

    def publish(self, encoder: str) -> Snapshot:
        """Staged state -> searched state. `encoder` is the name to keep in the snapshot."""

    def search(self, vector: Vector, k: int, where: Filter) -> list[Candidate]:
        """At most k candidates with distinct images, best first.

        Raises StaleIndex where the vector has another dimension than the snapshot,
        StateError where nothing is published yet.
        """


@runtime_checkable
class Fillable(Protocol):
    """An Index that takes the rows of a whole catalogue better in one go."""

    def fill(self, batches: Iterable[tuple[Sequence[IndexRow], Vectors]]) -> None:
        """Writes rows, each once, where none are staged: all of them, or on an error none."""


class Opener(Protocol):
    """What an entry point of GROUP names."""

    def __call__(
        self, url: str, root: Path, *, fingerprint: str, dim: int, min_recall: float
    ) -> Index:
        """Opens `url` and writes nothing yet; see `open_index` for what the arguments mean. `root`
        is a folder for what the engine keeps on this machine, one for all engines."""


@runtime_checkable
class Served(Protocol):
    """An Index behind which is a server of its own."""

    def health(self) -> tuple[str, bool]:
        """What the server says of itself, and whether it is whole. Raises where it cannot serve."""


@runtime_checkable
class Mendable(Protocol):
    """An Index whose files lie on this machine and can be made anew from the vectors."""

    def set_aside(self) -> bool:
        """Takes its table out of use where that cannot be read; False where it can, or there is none."""


def open_index(
    url: str, root: Path, *, fingerprint: str = "", dim: int = 0, min_recall: float = 0.95
) -> Index:
    """Opens the index `url`: `lance` or `exact`, which live under `root`, one in a Milvus
    (`milvus://host:19530/collection`), or one of an engine that another package adds.

    `fingerprint` and `dim` name the encoder whose vectors are staged; without a fingerprint
    the index is for reading only, and staging raises StateError. `min_recall` is the
    recall@10 below which `publish` refuses. Raises UnknownName, or MissingExtra.
    """
    if fingerprint and not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", fingerprint):
        raise ConfigError(
            f"not a fingerprint: {fingerprint!r}", hint="use letters, digits, `.`, `_` and `-`"
        )
    opener: Opener = engine(GROUP, OWN, url.partition("://")[0], "index")
    return opener(url, root, fingerprint=fingerprint, dim=dim, min_recall=min_recall)


def imports(url: str) -> tuple[str, ...]:
    """Names of the modules that opening and searching an index imports; none of an engine that another package adds."""
    scheme = url.partition("://")[0]
    opener = OWN.get(scheme)
    return (opener.partition(":")[0], *LIBRARIES[scheme]) if opener else ()


def unknown(url: str) -> UnknownName:
    """The error of an opener that is given a URL of another form than its own."""
    return UnknownName("index", url, known(GROUP, OWN))


def health(index: Index) -> tuple[str, bool]:
    """What the server behind an index says of itself and whether it is whole; "" for none.

    Raises one of our errors where it cannot serve.
    """
    return index.health() if isinstance(index, Served) else ("", True)


def row_id(image_hash: str, store: str, category: str, in_stock: bool, currency: str) -> int:
    """Identity of a row: 63 bits of BLAKE2b, the same in every process and on every machine.

    >>> row_id("aa", "shop", "Shoes", True, "EUR") == row_id("aa", "shop", "Shoes", False, "EUR")
    False
    """
    return _hash63(image_hash, store, category, bool(in_stock), currency)


def row_digest(row: IndexRow) -> int:
    """63 bits over all that a row says: it changes when the staged row must be written again."""
    return _hash63(
        row.row_id,
        row.image_hash,
        row.store,
        row.category,
        bool(row.in_stock),
        row.currency,
        row.price_low,
        row.price_high,
    )


def _hash63(*parts: str | int | bool) -> int:
    # JSON keeps the parts apart ("a", "bc" is not "ab", "c") and takes any string.
    digest = blake2b(json.dumps(parts).encode("ascii"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
