"""Rows of a table that are not as they should be: each is taken as what makes it fit the header."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lensback.feeds.rows import SAMPLE_CHARS, Lines, Pending
from lensback.types import Rejected

if TYPE_CHECKING:
    from _csv import Reader

_MOST_LINES = 50
"""Of one row whose quotes are escaped."""
_MORE_LINES = 10
"""Of one whose quotes nobody escapes."""
_WRAPPED = 2
"""Cells in single quotes that a line must have to be one of a table that quotes so."""


def quote_of(lines: Sequence[str], delimiter: str) -> str:
    """The quotes of a table by its first lines: single ones where most lines have cells in them, and
    no cell begins with a double one."""
    mark = re.escape(delimiter)
    cell = re.compile(rf"(?:^|{mark})'[^']*+(?:''[^']*+)*+'(?={mark}|[\r\n]*\Z)")
    wrapped = sum(len(cell.findall(line)) >= _WRAPPED for line in lines)
    double = re.compile(rf'(?:^|{mark})\s*"')
    return "'" if 2 * wrapped > len(lines) and not any(map(double.search, lines)) else '"'


@dataclass(frozen=True)
class Writing:
    """How a table is written."""

    delimiter: str
    width: int
    spaced: bool = False
    """A space follows every delimiter."""
    quote: str = '"'

    def reader(self, text: Iterable[str], *, strict: bool = True) -> Reader:
        """The rows. Raises csv.Error where quotes are not as they should be, if it is strict."""
        return csv.reader(
            text,
            delimiter=self.delimiter,
            quotechar=self.quote,
            skipinitialspace=self.spaced,
            strict=strict,
        )

    @cached_property
    def cell(self) -> re.Pattern[str]:
        """A cell whose closing quote is one that a delimiter or the end follows, whatever quotes
        are in it; or one that begins with none."""
        quote, mark = re.escape(self.quote), re.escape(self.delimiter)
        inner = rf"(?:[^{quote}]|{quote}(?! *(?:{mark}|\Z)))*+"
        return re.compile(rf" *{quote}({inner}){quote} *(?={mark}|\Z)|((?! *{quote})[^{mark}]*+)")


@dataclass(slots=True)
class OddRows:
    """Rows of several lines or of another width than the header's, or with quotes that a backslash
    escapes or nobody does. `taken`: the lines of this row; `more`: those behind it."""

    pending: Pending[list[str]]
    taken: list[str]
    writing: Writing
    more: Noted
    cut_at: int = 0
    """The line of a half row at the end of a cut file."""

    def put(self, values: list[str], at: int, *, whole: bool, why: str = "") -> None:
        """Puts the row where it belongs, in as many lines as it takes. `values`: what csv makes of it,
        or `why` it makes nothing; `whole`: the file does not end in the middle of a line."""
        if self._escaped(at) or self._apart(at, whole=whole):
            return
        if not (why or any(value.strip() for value in values)) or self._loosely(at):
            return
        values = self._plainly() if why else values
        if len(values) < self.writing.width and self._is_cut(whole) and self.pending.whole:
            self.cut_at = at
        elif values:
            self._put(values, at)
        else:
            self.pending.refuse(Rejected("bad row", at, sample=why[:SAMPLE_CHARS]))

    def _is_cut(self, whole: bool) -> bool:
        """Whether this is the last row and the file ends within it."""
        return not (whole or self.more.again)

    def _escaped(self, at: int) -> bool:
        r"""Whether the row has quotes that a backslash escapes (`"12\" wide"`): it has where it is
        no row of doubled quotes and only so fits the header. Puts it then, in as many lines as it takes."""
        escaped = "\\" + self.writing.quote
        if not any(escaped in line for line in self.taken):
            return False
        if len(self._strictly(self.taken) or ()) == 1:
            return False
        had, quote = len(self.taken), re.compile(rf"(?<!\\)((?:\\\\)*)\\{self.writing.quote}")
        for _ in range(_MOST_LINES):
            if rows := self._strictly(
                quote.sub(rf"\1{2 * self.writing.quote}", line) for line in self.taken
            ):
                for values, begin in rows:
                    self._put(values, at + begin)
                return True
            if self.more.next() is None:
                break
        self.more.give_back(had)
        return False

    def _loosely(self, at: int) -> bool:
        """Whether the row fits the header only where quotes inside a cell are left alone
        (`"<b class="x">"`, `"12" pan, red"`), or a delimiter behind a backslash. Puts it then, in as
        many lines as it takes."""
        if len(self._strictly(self.taken) or ()) == 1:
            return False
        rest = (n for n, line in enumerate(self.taken) if n and self._cells(line.rstrip("\r\n")))
        self.more.give_back(next(rest, len(self.taken)))  # a whole row ends no other
        had = len(self.taken)
        for _ in range(_MORE_LINES):
            values = self._cells("".join(self.taken).rstrip("\r\n"))
            if values is not None:
                self._put(values, at)
                return True
            line = self.more.next()
            if line is None or self._cells(line.rstrip("\r\n")):
                break
        self.more.give_back(had)
        return False

    def _plainly(self) -> list[str]:
        """The cells of a line of which quotes make no sense, as they stand; none where they do not fit."""
        values = self.taken[0].rstrip("\r\n").split(self.writing.delimiter)
        fits = len(self.taken) == 1 and len(values) == self.writing.width
        return [bare(value, self.writing.quote) for value in values] if fits else []

    def _cells(self, text: str) -> list[str] | None:
        mark, quote = self.writing.delimiter, self.writing.quote
        if f"\\{mark}" in text and quote not in text:
            parts = re.split(rf"(?<!\\){re.escape(mark)}", text)
            return self._fitting([part.replace(f"\\{mark}", mark) for part in parts])
        values, at = [], 0
        while cell := self.writing.cell.match(text, at):
            values.append(cell[2] if cell[1] is None else cell[1].replace(2 * quote, quote))
            at = cell.end() + 1
            if at > len(text):
                return self._fitting(values)
        return None

    def _fitting(self, values: list[str]) -> list[str] | None:
        return values if len(values) == self.writing.width else None

    def _strictly(self, text: Iterable[str]) -> list[tuple[list[str], int]] | None:
        """Rows with the lines before each, None unless every one of them is as it should be."""
        reader = self.writing.reader(text)
        rows: list[tuple[list[str], int]] = []
        begin = 0
        try:
            for values in reader:
                if len(values) != self.writing.width:
                    return None
                rows.append((values, begin))
                begin = reader.line_num
        except csv.Error:
            return None
        return rows

    def _apart(self, at: int, *, whole: bool) -> bool:
        """Whether these are lines that a quote nobody closed has joined. Makes rows of them again then,
        and says in `cut_at` where the last one is cut."""
        width, quote = self.writing.width, self.writing.quote
        if width < 3 or not (len(self.taken) > 1 or self.taken[0].count(quote) % 2):
            return False
        plain = csv.reader(self.taken, delimiter=self.writing.delimiter, quoting=csv.QUOTE_NONE)
        try:
            found = list(plain)
        except csv.Error:
            return False
        fits = sum(len(values) == width for values in found)
        if len(found) != len(self.taken) or 2 * fits <= len(found):
            return False  # a field of several lines: most of them are no whole row
        cut = self._is_cut(whole) and len(found[-1]) < width
        for line, values in enumerate(found[: len(found) - cut], at):
            if any(value.strip() for value in values):
                self._put([bare(value, quote) for value in values], line)
        self.cut_at = at if cut else 0
        return True

    def _put(self, values: list[str], at: int) -> None:
        """A short row is filled up; a long one is none, unless nothing is in what is too much."""
        width = self.writing.width
        if any(value.strip() for value in values[width:]):
            sample = " ".join(values)[:SAMPLE_CHARS]
            self.pending.refuse(Rejected("bad row", at, sample=sample))
            return
        self.pending.rows.append((values + [""] * width)[:width])
        self.pending.lines.append(at)


def bare(value: str, quote: str = '"') -> str:
    """A cell that was read as it stands, without the quotes around all of it, or the one that opens it
    and that nobody closed."""
    if len(value) > 1 and value.startswith(quote) and value.endswith(quote):
        return value[1:-1].replace(2 * quote, quote)
    return value[1:] if value.startswith(quote) and value.count(quote) == 1 else value


class Noted:
    """The lines of a table, each noted in `taken`; those that were taken in vain come again, also after
    the last one."""

    def __init__(self, lines: Lines, taken: list[str], first: Iterable[str] = ()) -> None:
        """`first`: lines that come before the rest."""
        self._taken = taken
        self._lines = lines
        self.again = deque(first)
        """Lines that were taken in vain and are still to come."""

    def __iter__(self) -> Iterator[str]:
        again, note, lines = self.again, self._taken.append, iter(self._lines)
        while line := again.popleft() if again else next(lines, ""):
            note(line)
            yield line

    def next(self) -> str | None:
        """One line more for the row that was taken last."""
        return next(iter(self), None)

    def some(self, most: int) -> list[str]:
        """The next lines, at most so many, not noted; none at the end."""
        if not self.again:
            return self._lines.some(most)
        return [self.again.popleft() for _ in range(min(most, len(self.again)))]

    def give_back(self, kept: int) -> None:
        """All but the first `kept` of the lines taken last come again."""
        self.put_back(self._taken[kept:])
        del self._taken[kept:]

    def put_back(self, lines: Sequence[str]) -> None:
        """These lines are the next ones."""
        self.again.extendleft(reversed(lines))
