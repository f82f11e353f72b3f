"""Numbers and names that wait in a file, mapped into memory: what grows with the catalogue, and is needed for
one stage only, is no memory of the process. Such a file has no name and is gone when nobody holds it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import IO, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)
BLOCK = 65_536
"""Numbers that are looked at together."""
_APART = "\0"


def zeros(n: int, kind: type[Number], folder: Path | None = None) -> NDArray[Number]:
    """n zeros, in a folder that has room for them. Raises OSError where it has none."""
    # Written, and not only made long: a page that the disk has no room for would end the process.
    sizes = (min(BLOCK, n - start) for start in range(0, n, BLOCK))
    return collected((np.zeros(size, kind) for size in sizes), kind, folder)


def collected(
    pieces: Iterable[NDArray[Any]], kind: type[Number], folder: Path | None = None
) -> NDArray[Number]:
    """The numbers of all pieces, one after the other."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, kind).data)
        return _of_file(file, kind)


def in_order(numbers: NDArray[Number]) -> NDArray[Number]:
    """Numbers sorted, the smallest first, into a file; the given ones stay as they are."""
    copied = collected(_blocks(numbers), numbers.dtype.type)
    copied.sort()
    return copied


def hashes(batches: Iterable[Sequence[str]]) -> NDArray[np.int64]:
    """64-bit hashes of all names, the smallest first, in a file."""
    found = collected(
        (np.fromiter(map(hash, names), np.int64, len(names)) for names in batches), np.int64
    )
    found.sort()
    return found


def distinct(ascending: NDArray[Number]) -> int:
    """How many different ones there are."""
    return len(ascending) - sum(map(len, repeated(ascending)))


def repeated(ascending: NDArray[Number]) -> Iterator[NDArray[Number]]:
    """Those that are equal to the one before, block by block."""
    for start in range(1, len(ascending), BLOCK):
        block = ascending[start : start + BLOCK]
        yield block[block == ascending[start - 1 : start - 1 + len(block)]]


class _Kept:
    """Has a file without a name for as long as it lives."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this lives

    def __del__(self) -> None:
        if file := getattr(self, "_file", None):  # else there was no room for one
            with suppress(OSError):  # on a full disk: who wrote heard of it
                file.close()


class Records(_Kept):
    """Rows of numbers in the order they were added, read from the file again."""

    def __init__(self, form: str) -> None:
        """`form` as `struct` writes it."""
        super().__init__()
        self._row = Struct(form)
        self._n = 0

    def add(self, *numbers: float) -> None:
        """Adds a row of numbers behind the others."""
        self._file.write(self._row.pack(*numbers))
        self._n += 1

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        self._file.flush()
        for start in range(0, self._n, BLOCK):
            size = min(BLOCK, self._n - start) * self._row.size
            yield from self._row.iter_unpack(
                os.pread(self._file.fileno(), size, start * self._row.size)
            )


class Latest(_Kept):
    """Bytes by name, in a file: the last `many` that were put there, none of more than `size`. What the disk has no
    room for is not kept."""

    def __init__(self, many: int, size: int) -> None:
        super().__init__()
        self._many, self._size = many, size
        self._places: dict[str, tuple[int, int]] = {}
        self._names: dict[int, str] = {}
        self._next = 0

    def get(self, name: str) -> bytes | None:
        """What was put there under the name; None where it is not there (any more)."""
        if (found := self._places.get(name)) is None:
            return None
        place, length = found
        return os.pread(self._file.fileno(), length, place * self._size)

    def put(self, name: str, data: bytes) -> None:
        """Keeps it under a name that has none yet, in the place of the oldest one."""
        if len(data) > self._size:
            raise ValueError(f"{len(data)} bytes, at most {self._size} are kept")
        place = self._next
        if (oldest := self._names.pop(place, None)) is not None:
            del self._places[oldest]
        with suppress(OSError):
            if os.pwrite(self._file.fileno(), data, place * self._size) == len(data):
                self._names[place], self._places[name] = name, (place, len(data))
                self._next = (place + 1) % self._many


class NameLists(Mapping[str, Sequence[str]]):
    """Names, each with names of its own, in order: read from the file whenever they are asked for.

    Made of names that ascend, once; no name holds a zero byte.
    """

    def __init__(self, pairs: Iterable[tuple[str, Sequence[str]]]) -> None:
        with tempfile.TemporaryFile() as file:
            self._ends = collected(self._written(pairs, file), np.int64)
            self._text = _of_file(file, np.uint8)

    @staticmethod
    def _written(pairs: Iterable[tuple[str, Sequence[str]]], file: Any) -> Iterator[Any]:
        before, end = "", 0
        for name, names in pairs:
            if end and name <= before:
                raise ValueError(f"{name!r} after {before!r}")
            end += file.write(_APART.join((name, *names, "")).encode())
            yield np.array([end])
            before = name

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, name: str) -> list[str]:
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            first, *names = self._at(middle)
            if first == name:
                return names
            low, high = (middle + 1, high) if first < name else (low, middle)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (self._at(place)[0] for place in range(len(self)))

    def pairs(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Names with their own names, in order."""
        for place in range(len(self)):
            name, *names = self._at(place)
            yield name, names

    def _at(self, place: int) -> list[str]:
        start = int(self._ends[place - 1]) if place else 0
        return self._text[start : int(self._ends[place])].tobytes().decode().split(_APART)[:-1]


def in_name_order(
    names: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, Sequence[str]]]:
    """The items of a mapping, in order of name."""
    return names.pairs() if isinstance(names, NameLists) else iter(sorted(names.items()))


def _blocks(numbers: NDArray[Number]) -> Iterator[NDArray[Number]]:
    return (numbers[start : start + BLOCK] for start in range(0, len(numbers), BLOCK))


def _of_file(file: Any, kind: type[Number]) -> NDArray[Number]:
    file.flush()
    size = np.dtype(kind).itemsize
    if not (n := file.tell() // size):
        return np.empty(0, kind)
    return cast("NDArray[Number]", np.asarray(np.memmap(file, kind, "r+", shape=(n,))))
