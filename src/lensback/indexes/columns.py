"""What index rows say beside their vectors, column by column, and which of them a filter keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lensback.types import Filter, PriceRange

if TYPE_CHECKING:
    import pyarrow as pa

Number = TypeVar("Number", np.int32, np.int64)
CODED = ("store", "category", "currency")
"""Columns with few different words, kept as a dictionary of them and a number a row."""
FILTERS = 64
"""Filters whose rows are remembered: the same one is asked for each vector of a photo, and by many."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that a filter keeps: a bit for each row (the lowest of a byte first), and how many."""

    bits: NDArray[np.uint8]
    count: int

    @property
    def rows(self) -> NDArray[np.intp]:
        """The numbers of the rows that are kept, ascending. Where few are, most bytes have none of them."""
        some = np.flatnonzero(self.bits)
        byte, bit = np.nonzero(np.unpackbits(self.bits[some, None], axis=1, bitorder="little"))
        return some[byte] * 8 + bit


class Columns:
    """The columns of a table of index rows. Thread-safe: nothing of it changes."""

    def __init__(self, table: pa.Table) -> None:
        """Raises ValueError where a row has a word that there is none of."""
        self._images = _Texts(table["image_hash"])
        self._names: dict[str, dict[str, int]] = {}
        self._codes: dict[str, NDArray[np.int32]] = {}
        for column in CODED:
            coded = _coded(table[column])
            self._names[column] = {name: i for i, name in enumerate(coded.dictionary.to_pylist())}
            self._codes[column] = _within(
                _numbers(coded.indices, np.int32), len(self._names[column])
            )
        self._in_stock = _flags(_whole(table["in_stock"]))
        self._low = _numbers(_whole(table["price_low"]), np.int64)
        self._high = _numbers(_whole(table["price_high"]), np.int64)
        self._remembered = lru_cache(FILTERS)(self._kept)

    def __len__(self) -> int:
        return len(self._low)

    def images(self, rows: NDArray[np.intp]) -> list[str]:
        """The hashes of the images of these rows, in their order."""
        return self._images.of(rows)

    def kept(self, where: Filter) -> Selection | None:
        """The rows that a filter keeps; None: all of them."""
        if where.empty:
            return None
        asked = replace(where, colors=(), brands=(), sizes=(), discount=0)  # no rows' business
        return None if asked.empty else self._remembered(asked)

    def _kept(self, where: Filter) -> Selection:
        mask = self._mask(where)
        return Selection(np.packbits(mask, bitorder="little"), int(mask.sum()))

    def _mask(self, where: Filter) -> NDArray[np.bool_]:
        mask = np.ones(len(self), bool)
        if where.stores:
            mask &= self._among("store", where.stores)
        if where.categories:
            mask &= self._among("category", where.categories)
        if where.in_stock:
            mask &= self._in_stock
        if where.currency:
            mask &= self._among("currency", [where.currency])
        if where.price_max or where.price_min:
            priced = self._priced(where)
            for one in where.elsewhere:
                priced |= self._within(one)
            mask &= priced
        return mask

    def _priced(self, where: Filter) -> NDArray[np.bool_]:
        mask = np.ones(len(self), bool)
        if where.price_max:
            mask &= self._among("currency", [where.price_max.currency])
            mask &= self._low <= where.price_max.minor
        if where.price_min:
            mask &= self._among("currency", [where.price_min.currency])
            mask &= self._high >= where.price_min.minor
        return mask

    def _within(self, one: PriceRange) -> NDArray[np.bool_]:
        mask = self._among("currency", [one.currency])
        if one.high is not None:
            mask &= self._low <= one.high
        if one.low is not None:
            mask &= self._high >= one.low
        return mask

    def _among(self, column: str, names: Sequence[str]) -> NDArray[np.bool_]:
        known = self._names[column]
        wanted = np.zeros(len(known) + 1, bool)  # one more: a table without rows knows no name
        wanted[[known[name] for name in names if name in known]] = True
        found: NDArray[np.bool_] = wanted[self._codes[column]]
        return found


class _Texts:
    """A column of texts, few of which are asked for at once. Of one length, as hashes are, they are cut out of
    the column's own bytes, for a tenth of what Arrow takes for a few rows."""

    def __init__(self, column: Any) -> None:
        self._column = _whole(column)
        self._bytes = _of_one_length(self._column)

    def of(self, rows: NDArray[np.intp]) -> list[str]:
        """The texts of these rows, in their order."""
        if self._bytes is None:
            found: list[str] = self._column.take(rows).to_pylist()
            return found
        length, taken = self._bytes.shape[1], self._bytes.take(rows, axis=0).tobytes()
        places = range(0, len(taken), length)
        if taken.isascii():
            text = taken.decode("ascii")
            return [text[at : at + length] for at in places]
        return [taken[at : at + length].decode() for at in places]


def _of_one_length(column: Any) -> NDArray[np.uint8] | None:
    """The bytes of an array of texts, uint8 [n, length], sharing its memory; None where they are of several
    lengths, or empty, or some are missing."""
    import pyarrow as pa

    if column.type != pa.string() or column.null_count or not len(column):
        return None
    _, ends, data = column.buffers()
    ends = np.frombuffer(ends, np.int32)[column.offset : column.offset + len(column) + 1]
    length = int(ends[1] - ends[0])
    if not length or (np.diff(ends) != length).any():
        return None
    return np.frombuffer(data, np.uint8, len(column) * length, int(ends[0])).reshape(-1, length)


def _numbers(array: Any, kind: type[Number]) -> NDArray[Number]:
    """An array of Arrow's as NumPy's, sharing its memory: whoever asks Arrow for it loads pandas, where that is
    installed, for a fifth of a second."""
    size = np.dtype(kind).itemsize
    return np.frombuffer(array.buffers()[1] or b"", kind, len(array), array.offset * size)


def _within(codes: NDArray[np.int32], words: int) -> NDArray[np.int32]:
    if len(codes) and not 0 <= codes.min() <= codes.max() < words:
        raise ValueError(f"a word's number is not within {words}: damaged")
    return codes


def _flags(array: Any) -> NDArray[np.bool_]:
    """The same of truth values, which are a bit each."""
    begin, end = array.offset, array.offset + len(array)
    bits = np.frombuffer(array.buffers()[1] or b"", np.uint8)
    return np.unpackbits(bits, bitorder="little")[begin:end].astype(bool)


def _whole(column: Any) -> Any:
    """A column in one piece."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _coded(column: Any) -> Any:
    """A column of words as one dictionary array with numbers of 32 bits."""
    import pyarrow as pa

    whole = _whole(column)
    return whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
