"""What a process that reads feeds and the service say to each other, and nothing that reads a feed.

Frames go both ways: four bytes of length, then a value by `marshal` (texts, numbers, tuples: the
reader builds nothing else from them).
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields, make_dataclass
from operator import attrgetter
from typing import Any, BinaryIO

from lensback.types import Money, Offer, Rejected

MEMORY_BYTES = 1 << 30
"""Address space of a worker. A reader's memory is flat: the largest feeds take a seventh of it."""
LENGTH = struct.Struct("<I")
_PRICES = frozenset(("price", "old_price"))
Job = tuple[str, str, str, str, str, str, str, int, float]
"""Path, format, column map as TOML, base, name, charset as the server said it, the feed's address to
which others are relative, most bytes, seconds."""

ORDER = [
    (f.name, "" if f.default is MISSING and f.default_factory is MISSING else f.default)
    for f in fields(Offer)
]
"""The fields of an Offer in order, and what each is where a row says nothing."""
FIELDS = tuple(name for name, _ in ORDER)
"""The fields of an Offer, in order."""
values_of = attrgetter(*FIELDS)
"""The values of an offer's fields, in order."""


def packed(rows: Sequence[Offer | Rejected]) -> tuple[Any, ...]:
    """Rows as texts and numbers: the fields of the offers, a column each, and where among them
    which rows were refused."""
    refused = [
        (at, row.reason, row.line, row.external_id, row.sample)
        for at, row in enumerate(rows)
        if isinstance(row, Rejected)
    ]
    columns: list[list[Any]] = [[] for _ in FIELDS]
    offers = [values_of(row) for row in rows if isinstance(row, Offer)]
    if offers:
        columns = list(map(list, zip(*offers, strict=True)))
    for at, name in enumerate(FIELDS):
        if name in _PRICES:
            columns[at] = [price and (price.minor, price.currency) for price in columns[at]]
    return columns, refused


def unpacked(columns: list[list[Any]], refused: list[tuple[Any, ...]]) -> list[Offer | Rejected]:
    """The rows that `packed` took apart."""
    for at, name in enumerate(FIELDS):
        if name in _PRICES:
            columns[at] = [price and Money(*price) for price in columns[at]]
    rows = offers_of(columns)
    for at, *values in refused:
        rows.insert(at, Rejected(*values))
    return rows


def send(stream: BinaryIO, value: Any) -> None:
    """Writes one frame, its length before it, and flushes it. Raises OSError where nobody reads."""
    data = marshal.dumps(value)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


# Filling the slots of a frozen class takes eight times as long as those of a free one. A draft has
# the same slots as an Offer, so that it can become one.
_Draft = make_dataclass("_Draft", [name for name, _ in ORDER], slots=True)


def offers_of(values: Iterable[Iterable[Any]]) -> list[Offer | Rejected]:
    """Offers out of one iterable for each of FIELDS, in their order."""
    drafts = list(map(_Draft, *values))
    for draft in drafts:
        draft.__class__ = Offer
    return drafts
