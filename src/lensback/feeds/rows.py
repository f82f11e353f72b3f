"""What tables and JSON share: physical lines, and rows that wait to be read together."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from operator import length_hint
from typing import Generic, TypeVar

from lensback.errors import FeedError, FeedTruncated
from lensback.feeds.stream import Source
from lensback.types import Offer, Rejected

T = TypeVar("T")
MAX_LINE_CHARS = 1 << 20
SAMPLE_CHARS = 120


def no_header(line: str) -> bool:
    """Whether a line before the header is a comment, or Excel's word for the delimiter (`sep=;`)."""
    return line.startswith("#") or re.fullmatch(r'\ufeff?"?sep=.?"?\s*', line) is not None


_WRAPPED = re.compile(r'\ufeff?"((?:[^"]|"")*+)"\s*')
_LEAST_COLUMNS = 3


def are_wrapped(head: str) -> bool:
    """Whether the lines of a table are one cell each, as Excel saves a table that it did not take apart:
    `"1,""Cup, red"",5 EUR"`. Told by the first two."""
    if head.lstrip("\ufeff \r\n")[:1] != '"':
        return False
    first = [line for line in islice(io.StringIO(head, newline=""), 20) if line.strip()][:2]
    found = list(filter(None, map(_WRAPPED.fullmatch, first)))
    return len(found) == 2 and max(map(found[0][1].count, "\t;|,")) >= _LEAST_COLUMNS - 1


def unwrapped(line: str) -> str:
    """The line in such a cell; any other line as it is."""
    found = _WRAPPED.fullmatch(line)
    return found[1].replace('""', '"') + line[len(line.rstrip("\r\n")) :] if found else line


class Lines:
    """Physical lines with their ends, as csv.reader wants them: one by one, or as many as are at hand."""

    def __init__(self, source: Source) -> None:
        self._source = source
        blocks = self._split()
        if are_wrapped(source.head_text()):
            blocks = (list(map(unwrapped, block)) for block in blocks)
        self._blocks = blocks
        self._ahead: Iterator[str] = iter(())
        self._lines = self._each()
        self._ended = True
        self.skipped = 0
        self.cut = False

    def __iter__(self) -> Iterator[str]:
        return self._lines

    @property
    def whole(self) -> bool:
        """Whether the line taken last has its end; False at a cut end of the file only."""
        return self._ended or length_hint(self._ahead) > 0

    def some(self, most: int) -> list[str]:
        """The next lines, at most so many, as far as they are at hand; none at the end. They are no
        more than a chunk of the file, however long lines are."""
        return list(islice(self._ahead, most)) if self._more() else []

    def header(self) -> str:
        """The first line that is neither empty nor no header at all. Raises FeedError if none."""
        for line in self._lines:
            if line.strip(" \t\r\n\ufeff") and not no_header(line):
                return line.lstrip("\ufeff")
            self.skipped += 1
        raise FeedError("the feed is empty", hint="check the address")

    def _each(self) -> Iterator[str]:
        while self._more():
            yield from self._ahead

    def _more(self) -> bool:
        """Whether a line is left; a block of them is at hand then."""
        while not length_hint(self._ahead):
            block = next(self._blocks, None)
            if block is None:
                return False
            self._ahead = iter(block)
        return True

    def _split(self) -> Iterator[list[str]]:
        rest = ""
        for chunk in self._source.text():
            rest += chunk
            end = rest.rfind("\n") + 1
            if not end and len(rest) > MAX_LINE_CHARS:
                end = rest.rfind("\r", 0, -1) + 1 or len(rest)
            if end:
                # newline="" ends lines at \n, \r and \r\n only, and leaves them as they are
                yield io.StringIO(rest[:end], newline="").readlines()
                rest = rest[end:]
        self.cut = self._source.failure is not None
        if rest and not self.cut:
            self._ended = rest.endswith(("\n", "\r"))
            yield io.StringIO(rest, newline="").readlines()


class Pending(Generic[T]):
    """Rows that wait to be read together, with the lines on which they begin."""

    def __init__(self, make: Callable[[list[T]], list[Offer | Rejected]]) -> None:
        self._make = make
        self.rows: list[T] = []
        self.lines: list[int] = []
        self._refused: list[tuple[int, Rejected]] = []
        self._flushed = self._none = False

    @property
    def whole(self) -> bool:
        """There was a row that could be read."""
        return self._flushed or bool(self.rows)

    @property
    def met(self) -> bool:
        """There was a row at all, or what should have been one."""
        return self.whole or self._none

    def refuse(self, row: Rejected) -> None:
        """Puts what is no row where it stood."""
        self._none = True
        self._refused.append((len(self.rows), row))

    def flush(self) -> Iterator[Offer | Rejected]:
        """Reads the waiting rows together and yields what each became, in order of their lines."""
        made = self._make(self.rows) if self.rows else []
        if Rejected in map(type, made):
            for i, row in enumerate(made):
                if isinstance(row, Rejected):
                    made[i] = replace(row, line=self.lines[i])
        for i, row in reversed(self._refused):
            made.insert(i, row)
        self._flushed = self.whole
        self.rows.clear()
        self.lines.clear()
        self._refused.clear()
        yield from made


def truncated(line: int, why: str = "") -> FeedTruncated:
    """The error for a feed that stops in the middle of this line (1-based)."""
    return FeedTruncated(
        why or f"the feed stops in the middle of line {line}",
        hint="fetch it again; what came before was read",
    )


def empty() -> FeedError:
    """The error for a feed without a single offer."""
    return FeedError("there is no offer in it", hint="check the address and the format")
