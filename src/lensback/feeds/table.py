"""Tables: CSV, TSV, `;` and `|` files with a header, and JSON lines, by column map."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from operator import itemgetter

from lensback.counted import counted
from lensback.errors import FeedError
from lensback.feeds import batch, clean, propose
from lensback.feeds.columns import ColumnMap, key
from lensback.feeds.dialects import PARAMS, RAKUTEN, READY
from lensback.feeds.quotes import Noted, OddRows, Writing, bare, quote_of
from lensback.feeds.rows import (
    SAMPLE_CHARS,
    Lines,
    Pending,
    are_wrapped,
    empty,
    no_header,
    truncated,
    unwrapped,
)
from lensback.feeds.stream import Source
from lensback.feeds.texts import MAX_RAW
from lensback.types import Offer, Rejected

_RAKUTEN_LEAST = 26
_MOST_COLUMNS = 5000
_DELIMITERS = "\t;|,^~"
_HEADINGS, _FIRST_LINES, _SAMPLE_LINES = 10, 30, 5
_PATIENCE = 15
"""Blocks of lines that are read row by row after one that had to be, and the next one tried, too."""


def read(
    source: Source, rules: clean.RowRules, columns: ColumnMap | None
) -> Iterator[Offer | Rejected]:
    """Offers of a table whose header a column map (yours or a ready one) understands."""
    first_lines = first_of(source.head_text())
    lines = Lines(source)
    header_line = lines.header()
    lines_before = heading(first_lines, columns)
    for _ in range(lines_before):
        header_line = lines.header()
        lines.skipped += 1
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
        rows = first_rows(first_lines[lines_before + 1 :], delimiter)
        raise FeedError(
            f"the table lacks {lacking}; its header begins: {listed}",
            hint=propose.hint(propose.of_table(header, rows)),
        )
    make = _maker(header, columns, rules)
    quote = quote_of(first_lines[1:], delimiter)
    writing = Writing(delimiter, len(header), _spaced(header_line, delimiter), quote)
    yield from _rows(lines, first, writing, header, make)


def first_of(head: str) -> list[str]:
    """The first lines of a table that say something, its header among them."""
    lines = (line for line in io.StringIO(head, newline="") if line.strip() and not no_header(line))
    first = list(islice(lines, _FIRST_LINES))
    return list(map(unwrapped, first)) if are_wrapped(head) else first


def first_rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Cells of the first lines below a header, as samples: quotes are not looked at."""
    return [line.rstrip("\r\n").split(delimiter) for line in lines[:_SAMPLE_LINES]]


def heading(first_lines: Sequence[str], columns: ColumnMap | None) -> int:
    """Which of the first lines is the header: the first that a map understands. What stands before it
    is a title or a date."""
    if columns and columns.header:
        return 0
    for at, line in enumerate(first_lines[:_HEADINGS]):
        try:
            header = header_of(line, delimiter_of(line))
        except FeedError:
            continue
        known = columns or choose(header)
        if known and not known.missing(header):
            return at
    return 0


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
                raise truncated(
                    number, f"the trailer counts {values[-1][:20]}, not {counted(count, 'row')}"
                )
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
    lines: Lines, first: Sequence[str], writing: Writing, header: list[str], make: Make
) -> Iterator[Offer | Rejected]:
    """The table's rows in batches; what is no row goes where it stood. Blank rows and a header that
    comes again, as where two files were joined, are passed over."""
    taken: list[str] = []
    more, pending = Noted(lines, taken, first), Pending(make)
    odd = OddRows(pending, taken, writing, more)
    at, patience, wait = lines.skipped + 2, 0, 0
    while some := more.some(max(1, batch.ROWS - len(pending.rows))):
        rows = None if wait else _plain_rows(some, writing, header)
        if rows is None:  # not tried again at once: odd rows seldom come alone
            patience, wait = (
                (patience, wait - 1) if wait else (min(2 * patience + 1, _PATIENCE),) * 2
            )
            more.put_back(some)
            at = yield from _one_by_one(odd, lines, at, header)
        else:
            patience = 0
            pending.rows += rows
            pending.lines += range(at, at + len(rows))
            at += len(rows)
            if len(pending.rows) >= batch.ROWS:
                yield from pending.flush()
    some_met = pending.met
    yield from pending.flush()
    if odd.cut_at:
        raise truncated(odd.cut_at)
    if not some_met and not lines.cut:
        raise empty()


def _plain_rows(
    lines: Sequence[str], writing: Writing, header: list[str]
) -> list[list[str]] | None:
    """The rows of lines that hold one each and nothing odd, all at once at the speed of C; None where
    that is not so of every line."""
    text = "".join(lines)
    # a quote alone stands everywhere, and to look behind each takes as long as the reader
    if "\\" in text and "\\" + writing.quote in text:
        return None
    try:
        rows = list(writing.reader(lines))
    except csv.Error:
        return None
    if len(rows) != len(lines) or set(map(len, rows)) != {writing.width} or not all(map(any, rows)):
        return None
    last = header[-1]
    if last in map(itemgetter(-1), rows) and any(_again(values, header) for values in rows):
        return None
    return rows


def _one_by_one(
    odd: OddRows, lines: Lines, at: int, header: list[str]
) -> Generator[Offer | Rejected, None, int]:
    """Rows until no line is left that was taken in vain: the plain ones, and where one is odd what is
    made of it. Returns the number of the next line."""
    pending, taken, more, writing = odd.pending, odd.taken, odd.more, odd.writing
    reader, width, last = writing.reader(more), writing.width, header[-1]
    escaped, again = "\\" + writing.quote, more.again
    while again:
        try:
            values = next(reader, None)
        except csv.Error as error:
            odd.put([], at, whole=lines.whole, why=str(error))
        else:
            if values is None:
                break
            if len(values) == width and len(taken) == 1 and escaped not in taken[0]:
                if any(values) and not (values[-1] == last and _again(values, header)):
                    pending.rows.append(values)
                    pending.lines.append(at)
            else:
                odd.put(values, at, whole=lines.whole)
            if len(pending.rows) >= batch.ROWS:
                yield from pending.flush()
        at += len(taken)
        taken.clear()
    return at


def _again(values: list[str], header: list[str]) -> bool:
    return [values[0].lstrip("\ufeff"), *values[1:]] == header


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
    return tuple(bare(v[1:]) if v.startswith('="') else v for v in map(str.strip, column))


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
