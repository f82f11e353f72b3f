"""Tables: CSV, TSV, `;` and `|` files with a header, and JSON lines, by column map."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Generic, TypeVar

from lensback.errors import FeedError, FeedTruncated
from lensback.feeds import batch, clean
from lensback.feeds.columns import GOOGLE, PARAMS, READY, ColumnMap, Picker, key
from lensback.feeds.stream import Source
from lensback.types import Offer, Rejected

T = TypeVar("T")
MAX_LINE_CHARS = 1 << 20
_FIRST_ROWS = 20
_DELIMITERS = "\t;|,"
_SAMPLE_CHARS = 120


def read(
    source: Source, rules: clean.Rules, columns: ColumnMap | None
) -> Iterator[Offer | Rejected]:
    """Offers of a table whose header a column map (yours or a ready one) understands."""
    lines = _Lines(source)
    header_line = lines.header()
    if header_line.startswith("{"):
        yield from _json_lines(lines, header_line, rules, columns or GOOGLE)
        return
    delimiter = delimiter_of(header_line)
    header = header_of(header_line, delimiter)
    columns = columns or choose(header)
    if columns is None or (missing := columns.missing(header)):
        lacking = (
            "a known set of columns" if columns is None else "a column for " + ", ".join(missing)
        )
        listed = ", ".join(name.strip()[:40] for name in header[:8])
        raise FeedError(
            f"the table lacks {lacking}; its header begins: {listed}",
            hint="write a column map (TOML) for it and name it with --columns",
        )
    yield from _rows(lines, delimiter, len(header), _maker(header, columns, rules))


def choose(header: list[str]) -> ColumnMap | None:
    """The first ready map whose marks are all in the header."""
    return next((columns for columns in READY if columns.fits(header)), None)


def delimiter_of(header_line: str) -> str:
    """The one that cuts the header into the most columns."""
    return max(_DELIMITERS, key=header_line.count)


def header_of(header_line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([header_line], delimiter=delimiter), [])
    except csv.Error as error:
        raise FeedError(
            f"the table's header cannot be read: {error}", hint="check the address"
        ) from error


class _Lines:
    """Physical lines with their ends, as csv.reader wants them; `whole` is False at a cut end."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lines = self._split()
        self.skipped = 0
        self.whole = True
        self.cut = False

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def header(self) -> str:
        """The first line that is neither empty nor a `#` comment. Raises FeedError if none."""
        for line in self._lines:
            if line.strip(" \t\r\n\ufeff") and not line.startswith("#"):
                return line.lstrip("\ufeff")
            self.skipped += 1
        raise FeedError("the feed is empty", hint="check the address")

    def _split(self) -> Iterator[str]:
        rest = ""
        for chunk in self._source.text():
            rest += chunk
            end = rest.rfind("\n") + 1
            if not end and len(rest) > MAX_LINE_CHARS:
                end = rest.rfind("\r", 0, -1) + 1 or len(rest)
            if end:
                # newline="" ends lines at \n, \r and \r\n only, and leaves them as they are
                yield from io.StringIO(rest[:end], newline="")
                rest = rest[end:]
        self.cut = self._source.failure is not None
        if rest and not self.cut:
            for line in io.StringIO(rest, newline=""):
                self.whole = line.endswith(("\n", "\r"))
                yield line


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


def _rows(lines: _Lines, delimiter: str, width: int, make: Make) -> Iterator[Offer | Rejected]:
    """The table's rows in batches; what is no row goes where it stood."""
    reader = csv.reader(lines, delimiter=delimiter)
    line = lines.skipped + 2
    pending = _Pending(make)
    some = False
    while True:
        at = line + reader.line_num
        try:
            values = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            pending.refuse(Rejected("bad row", at, sample=str(error)[:_SAMPLE_CHARS]))
            continue
        if len(values) != width:
            if not any(value.strip() for value in values):
                continue
            some = True
            if len(values) < width and not lines.whole and pending.whole:
                yield from pending.flush()
                raise _truncated(at)
            if any(value.strip() for value in values[width:]):
                sample = " ".join(values)[:_SAMPLE_CHARS]
                pending.refuse(Rejected("bad row", at, sample=sample))
                continue
            values = values[:width] + [""] * (width - len(values))
        else:
            pending.whole = some = True
        if pending.add(values, at):
            yield from pending.flush()
    yield from pending.flush()
    if not some and not lines.cut:
        raise _empty()


class _Pending(Generic[T]):
    """Rows that wait to be read together."""

    def __init__(self, make: Callable[[list[T]], list[Offer | Rejected]]) -> None:
        self._make = make
        self._rows: list[T] = []
        self._lines: list[int] = []
        self._refused: list[tuple[int, Rejected]] = []
        self.whole = False
        """A row had as many values as the header."""

    def add(self, values: T, line: int) -> bool:
        """Whether it is time to flush."""
        self._rows.append(values)
        self._lines.append(line)
        return len(self._rows) >= batch.ROWS

    def refuse(self, row: Rejected) -> None:
        self._refused.append((len(self._rows), row))

    def flush(self) -> Iterator[Offer | Rejected]:
        made = self._make(self._rows) if self._rows else []
        for i, row in enumerate(made):
            if isinstance(row, Rejected):
                made[i] = replace(row, line=self._lines[i])
        for i, row in reversed(self._refused):
            made.insert(i, row)
        self._rows, self._lines, self._refused = [], [], []
        yield from made


def _truncated(line: int) -> FeedTruncated:
    return FeedTruncated(
        f"the table stops in the middle of line {line}",
        hint="fetch it again; what came before was read",
    )


def _empty() -> FeedError:
    return FeedError("there is no offer in it", hint="check the address and the format")


Make = Callable[[list[list[str]]], list[Offer | Rejected]]


def _maker(header: list[str], columns: ColumnMap, rules: clean.Rules) -> Make:
    """Rows' values -> offers, by the places the map gives each field in this header."""
    plan = _plan(header, columns)
    via_network = {key(name) for name in columns.tracked}
    through = [i for i, name in enumerate(header) if key(name) in via_network]
    rules = clean.with_columns(rules, columns)

    def make(rows: list[list[str]]) -> list[Offer | Rejected]:
        values = list(zip(*rows, strict=True))
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


def _add_params(found: batch.Columns, params: Sequence[str]) -> None:
    """What columns say themselves stands above Admitad's parameters."""
    parsed = [_from_params(raw) if raw else {} for raw in params]
    for name, values in batch.columns_of(parsed).items():
        own = found.get(name)
        found[name] = [a or b for a, b in zip(own, values, strict=True)] if own else values


def _from_params(raw: str) -> clean.Row:
    """Admitad's `Name:value|Name:value`; a name that repeats lists its values."""
    found: dict[str, dict[str, None]] = {}
    for part in raw[: clean.MAX_RAW].split("|"):
        name, _, value = part.partition(":")
        if (target := PARAMS.get(name.strip().lower())) and value.strip():
            found.setdefault(target, {})[value.strip()] = None
    return {target: ", ".join(values) for target, values in found.items()}


# --- JSON lines -------------------------------------------------------------------------------


def _json_lines(
    lines: _Lines, first: str, rules: clean.Rules, columns: ColumnMap
) -> Iterator[Offer | Rejected]:
    """One object a line, Google's names, flat or nested one level (AWIN's enhanced feeds)."""
    rules = clean.with_columns(rules, columns)
    picker = Picker(columns)
    pending = _Pending(lambda rows: batch.offers(batch.columns_of(rows), len(rows), rules))
    line = lines.skipped
    for text in chain([first], lines):
        line += 1
        if not text.strip():
            continue
        item = _json_object(text)
        if item is None and not lines.whole and pending.whole:
            yield from pending.flush()
            raise _truncated(line)
        if item is None and not pending.whole and line - lines.skipped >= _FIRST_ROWS:
            raise FeedError("this seems to be one JSON document", hint="write one object a line")
        if item is None:
            pending.refuse(Rejected("bad row", line, sample=text[:_SAMPLE_CHARS]))
            continue
        pending.whole = True
        if pending.add(picker.row(_flat(item)), line):
            yield from pending.flush()
    yield from pending.flush()


def _json_object(text: str) -> dict[str, object] | None:
    try:
        item = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) else None


def _flat(item: dict[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in item.items():
        if isinstance(value, dict):
            amount = value.get("value", value.get("amount"))
            if amount is None:
                yield from ((inner, _as_text(deep)) for inner, deep in value.items())
            else:
                yield name, f"{_as_text(amount)} {_as_text(value.get('currency', ''))}".strip()
        else:
            yield name, _as_text(value)


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(_as_text(part) for part in value if not isinstance(part, list | dict))
    if isinstance(value, str):
        return value
    return "" if value is None or isinstance(value, dict) else json.dumps(value)
