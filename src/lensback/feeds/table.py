"""Tables: CSV, TSV, `;` and `|` files with a header, and JSON lines, by column map."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from lensback.errors import FeedError
from lensback.feeds import batch, clean, propose
from lensback.feeds.columns import ColumnMap, key
from lensback.feeds.dialects import PARAMS, RAKUTEN, READY
from lensback.feeds.rows import SAMPLE_CHARS, Lines, Pending, empty, truncated
from lensback.feeds.stream import Source
from lensback.feeds.texts import MAX_RAW
from lensback.types import Offer, Rejected

_RAKUTEN_LEAST = 26
_MOST_COLUMNS = 5000
_DELIMITERS = "\t;|,"
_ESCAPED = '\\"'
_QUOTE = re.compile(r'(?<!\\)((?:\\\\)*)\\"')
_MOST_LINES = 50
"""Of one row whose quotes are escaped."""


def read(
    source: Source, rules: clean.RowRules, columns: ColumnMap | None
) -> Iterator[Offer | Rejected]:
    """Offers of a table whose header a column map (yours or a ready one) understands."""
    lines = Lines(source)
    header_line = lines.header()
    if header_line.startswith("HDR|"):
        yield from _rakuten(lines, rules, columns or RAKUTEN)
        return
    delimiter = delimiter_of(header_line)
    first: list[str] = []
    if columns and columns.header:
        header, first = list(columns.header), [header_line]
        lines.skipped -= 1
    else:
        header = header_of(header_line, delimiter)
        columns = columns or choose(header)
    if columns is None or (missing := columns.missing(header)):
        lacking = (
            "a known set of columns" if columns is None else "a column for " + ", ".join(missing)
        )
        listed = ", ".join(name.strip()[:40] for name in header[:8])
        raise FeedError(
            f"the table lacks {lacking}; its header begins: {listed}",
            hint=propose.hint(propose.of_table(header, [])),
        )
    make = _maker(header, columns, rules)
    spaced = _spaced(header_line, delimiter)
    yield from _rows(lines, chain(first, lines), delimiter, len(header), make, spaced=spaced)


def _rakuten(lines: Lines, rules: clean.RowRules, columns: ColumnMap) -> Iterator[Offer | Rejected]:
    """Rows without a header between `HDR|` and `TRL|count`: what the count says must be there."""
    header = list(columns.header)
    pending = Pending(_maker(header, columns, rules))
    number = lines.skipped + 1
    count = 0
    for line in lines:
        number += 1
        values = line.rstrip("\r\n").split("|")
        if values[0] == "TRL":
            yield from pending.flush()
            if not values[-1].strip().isdecimal() or int(values[-1]) != count:
                raise truncated(number, f"the trailer tells of {values[-1][:20]} rows, not {count}")
            return
        if not line.strip():
            continue
        count += 1
        if len(values) < _RAKUTEN_LEAST:
            pending.refuse(Rejected("bad row", number, sample=line[:SAMPLE_CHARS].strip()))
            continue
        pending.rows.append((values + [""] * len(header))[: len(header)])
        pending.lines.append(number)
        if len(pending.rows) == batch.ROWS:
            yield from pending.flush()
    yield from pending.flush()
    raise truncated(number)


def choose(header: list[str]) -> ColumnMap | None:
    """The first ready map whose marks are all in the header."""
    return next((columns for columns in READY if columns.fits(header)), None)


def delimiter_of(header_line: str) -> str:
    """The one that cuts the header into the most columns."""
    return max(_DELIMITERS, key=header_line.count)


def header_of(header_line: str, delimiter: str) -> list[str]:
    """The column names in a header line. Raises FeedError where quotes make it unreadable."""
    if header_line.count(delimiter) > _MOST_COLUMNS:
        raise FeedError("a header with that many columns is none", hint="check the address")
    try:
        reader = csv.reader(
            [header_line], delimiter=delimiter, skipinitialspace=_spaced(header_line, delimiter)
        )
        return list(_uncelled(tuple(next(reader, []))))
    except csv.Error as error:
        raise FeedError(
            f"the table's header cannot be read: {error}", hint="check the address"
        ) from error


def _spaced(header_line: str, delimiter: str) -> bool:
    """Whether a space follows every delimiter, as people write tables: `1, "Cup, red", 5 EUR`."""
    return header_line.count(delimiter) == header_line.count(delimiter + " ")


Plan = list[tuple[str, tuple[int, ...]]]


def _plan(header: list[str], columns: ColumnMap) -> Plan:
    """Field -> places in a row, best first."""
    ranked: dict[str, list[tuple[int, int]]] = {}
    for index, name in enumerate(header):
        for target, names in columns.fields.items():
            for rank, known in enumerate(names):
                if key(known) == key(name):
                    ranked.setdefault(target, []).append((rank, index))
    return [(target, tuple(i for _, i in sorted(places))) for target, places in ranked.items()]


def _rows(
    lines: Lines, text: Iterable[str], delimiter: str, width: int, make: Make, *, spaced: bool
) -> Iterator[Offer | Rejected]:
    """The table's rows in batches; what is no row goes where it stood."""
    taken: list[str] = []
    more = _Noted(text, taken)
    reader = csv.reader(more, delimiter=delimiter, skipinitialspace=spaced)
    at = lines.skipped + 2
    pending = Pending(make)
    rows, places = pending.rows, pending.lines
    odd = _Odd(pending, taken, delimiter, width, more)
    while True:
        try:
            for values in reader:
                if len(values) == width and len(taken) == 1 and _ESCAPED not in taken[0]:
                    rows.append(values)
                    places.append(at)
                elif odd.cut(values, at, whole=lines.whole):
                    yield from pending.flush()
                    raise truncated(at)
                if len(rows) >= batch.ROWS:
                    yield from pending.flush()
                at += len(taken)
                taken.clear()
        except csv.Error as error:
            if odd.apart(at) is None:
                pending.refuse(Rejected("bad row", at, sample=str(error)[:SAMPLE_CHARS]))
            at += len(taken)
            taken.clear()
        else:
            break
    some = pending.met
    yield from pending.flush()
    if not some and not lines.cut:
        raise empty()


@dataclass(frozen=True, slots=True)
class _Odd:
    """Rows of several lines or of another width than the header's, or with quotes that a backslash
    escapes. `taken`: the lines of this row; `more`: those behind it."""

    pending: Pending[list[str]]
    taken: list[str]
    delimiter: str
    width: int
    more: _Noted

    def cut(self, values: list[str], at: int, *, whole: bool) -> bool:
        """Puts the row where it belongs; True instead where it is the half row of a cut file."""
        if self._escaped(at):
            return False
        if (apart := self.apart(at, whole=whole)) is not None:
            return apart
        if not any(value.strip() for value in values):
            return False
        if len(values) < self.width and not whole and self.pending.whole:
            return True
        self._put(values, at)
        return False

    def _escaped(self, at: int) -> bool:
        r"""Whether the row has quotes that a backslash escapes (`"12\" wide"`): it has where it is
        no row of doubled quotes and only so fits the header. Puts it then, in as many lines as it takes."""
        if not any(_ESCAPED in line for line in self.taken):
            return False
        if len(self._strictly(self.taken) or ()) == 1:
            return False
        had = len(self.taken)
        for _ in range(_MOST_LINES):
            if rows := self._strictly(_QUOTE.sub(r'\1""', line) for line in self.taken):
                for values, begin in rows:
                    self._put(values, at + begin)
                return True
            if self.more.next() is None:
                break
        self.more.give_back(had)
        return False

    def _strictly(self, text: Iterable[str]) -> list[tuple[list[str], int]] | None:
        """Rows with the lines before each, None unless every one of them is as it should be."""
        reader = csv.reader(text, delimiter=self.delimiter, strict=True)
        rows: list[tuple[list[str], int]] = []
        begin = 0
        try:
            for values in reader:
                if len(values) != self.width:
                    return None
                rows.append((values, begin))
                begin = reader.line_num
        except csv.Error:
            return None
        return rows

    def apart(self, at: int, *, whole: bool = True) -> bool | None:
        """Makes rows again of lines that a quote nobody closed has joined, and says whether the
        last one is cut; None where they belong together."""
        if self.width < 3 or not (len(self.taken) > 1 or self.taken[0].count('"') % 2):
            return None
        plain = csv.reader(self.taken, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)
        try:
            found = list(plain)
        except csv.Error:
            return None
        fits = sum(len(values) == self.width for values in found)
        if len(found) != len(self.taken) or 2 * fits <= len(found):
            return None  # a field of several lines: most of them are no whole row
        cut = not whole and len(found[-1]) < self.width
        for line, values in enumerate(found[: len(found) - cut], at):
            if any(value.strip() for value in values):
                self._put([_bare(value) for value in values], line)
        return cut

    def _put(self, values: list[str], at: int) -> None:
        """A short row is filled up; a long one is none, unless nothing is in what is too much."""
        if any(value.strip() for value in values[self.width :]):
            sample = " ".join(values)[:SAMPLE_CHARS]
            self.pending.refuse(Rejected("bad row", at, sample=sample))
            return
        self.pending.rows.append((values + [""] * self.width)[: self.width])
        self.pending.lines.append(at)


def _bare(value: str) -> str:
    """Without quotes around all of it, which were read as they stood."""
    whole = len(value) > 1 and value.startswith('"') and value.endswith('"')
    return value[1:-1].replace('""', '"') if whole else value


class _Noted:
    """The lines of a table, each noted in `taken`; those that were taken in vain come again."""

    def __init__(self, text: Iterable[str], taken: list[str]) -> None:
        self._taken = taken
        self._again: list[str] = []
        self._text = iter(text)
        self._lines = self._noted()

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def next(self) -> str | None:
        """One line more for the row that was taken last."""
        line = self._again.pop(0) if self._again else next(self._text, None)
        if line is not None:
            self._taken.append(line)
        return line

    def give_back(self, kept: int) -> None:
        """All but the first `kept` of the lines taken last come again."""
        self._again[:0] = self._taken[kept:]
        del self._taken[kept:]

    def _noted(self) -> Iterator[str]:
        note, again = self._taken.append, self._again  # local names: once for each line of a file
        for line in self._text:
            note(line)
            yield line
            while again:
                note(kept := again.pop(0))
                yield kept


Make = Callable[[list[list[str]]], list[Offer | Rejected]]


def _maker(header: list[str], columns: ColumnMap, rules: clean.RowRules) -> Make:
    """Rows' values -> offers, by the places the map gives each field in this header."""
    plan = _plan(header, columns)
    via_network = {key(name) for name in columns.tracked}
    through = [i for i, name in enumerate(header) if key(name) in via_network]
    rules = clean.with_columns(rules, columns)
    short = {place for field, places in plan if field not in clean.LONG for place in places}

    def make(rows: list[list[str]]) -> list[Offer | Rejected]:
        values = [*zip(*rows, strict=True)]
        for place in short:
            values[place] = _uncelled(values[place])
        found: batch.Columns = {
            field: _joined(values, places) if field == "images" else _first(values, places)
            for field, places in plan
        }
        if through and "url" in found:
            found["tracked"] = _marks(found["url"], [values[i] for i in through])
        if params := found.pop("params", None):
            _add_params(found, params)
        return batch.offers(found, len(rows), rules)

    return make


def _uncelled(column: tuple[str, ...]) -> tuple[str, ...]:
    """The cells without the formula by which Excel keeps their digits: `="00123"`."""
    if '="' not in "".join(column):
        return column
    return tuple(_bare(v[1:]) if v.startswith('="') else v for v in map(str.strip, column))


def _first(values: list[tuple[str, ...]], places: tuple[int, ...]) -> Sequence[str]:
    """Row by row the first of the columns that is not blank."""
    best: Sequence[str] = values[places[0]]
    for place in places[1:]:
        if all(best) and not any(map(str.isspace, best)):
            break
        other = values[place]
        if any(other):
            best = [a if a and not a.isspace() else b for a, b in zip(best, other, strict=True)]
    return best


def _joined(values: list[tuple[str, ...]], places: tuple[int, ...]) -> Sequence[str]:
    """Row by row what stands in any of the columns, a line each."""
    full = [values[place] for place in places if any(values[place])]
    if len(full) < 2:
        return full[0] if full else values[places[0]]
    return list(map("\n".join, zip(*full, strict=True)))


def _marks(urls: Sequence[str], through: list[tuple[str, ...]]) -> Sequence[str]:
    """Which addresses stand in a column that goes through a network."""
    if any(column is urls for column in through):
        return urls
    return ["1" if url and url in found else "" for url, *found in zip(urls, *through, strict=True)]


def _add_params(columns: batch.Columns, params: Sequence[str]) -> None:
    """What columns say themselves stands above Admitad's parameters."""
    parsed = [_from_params(raw) if raw else {} for raw in params]
    for name, values in batch.columns_of(parsed).items():
        own = columns.get(name)
        columns[name] = [a or b for a, b in zip(own, values, strict=True)] if own else values


def _from_params(raw: str) -> clean.Row:
    """Admitad's `Name:value|Name:value`; a name that repeats lists its values."""
    found: dict[str, dict[str, None]] = {}
    for part in raw[:MAX_RAW].split("|"):
        name, _, value = part.partition(":")
        if (target := PARAMS.get(name.strip().lower())) and value.strip():
            found.setdefault(target, {})[value.strip()] = None
    return {target: ", ".join(values) for target, values in found.items()}
