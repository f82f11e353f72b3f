"""Tables: CSV, TSV, `;` and `|` files with a header, and JSON lines, by column map."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from lensback.errors import FeedError, FeedTruncated
from lensback.feeds import clean
from lensback.feeds.columns import GOOGLE, PARAMS, READY, ColumnMap, Picker, key
from lensback.feeds.stream import Source
from lensback.types import Offer, Rejected

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
    reader = csv.reader(lines, delimiter=delimiter)
    first_line = lines.skipped + 2
    rows = full = 0
    while True:
        line = first_line + reader.line_num
        try:
            values = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield Rejected("bad row", line, sample=str(error)[:_SAMPLE_CHARS])
            continue
        if len(values) != width:
            if not any(value.strip() for value in values):
                continue
            if len(values) < width and not lines.whole and full:
                raise _truncated(line)
            if any(value.strip() for value in values[width:]):
                yield Rejected("bad row", line, sample=" ".join(values)[:_SAMPLE_CHARS])
                continue
            values += [""] * (width - len(values))
        else:
            full += 1
        rows += 1
        made = make(values)
        yield made if isinstance(made, Offer) else replace(made, line=line)
    if not rows and not lines.cut:
        raise _empty()


def _truncated(line: int) -> FeedTruncated:
    return FeedTruncated(
        f"the table stops in the middle of line {line}",
        hint="fetch it again; what came before was read",
    )


def _empty() -> FeedError:
    return FeedError("there is no offer in it", hint="check the address and the format")


Make = Callable[[list[str]], Offer | Rejected]


def _maker(header: list[str], columns: ColumnMap, rules: clean.Rules) -> Make:
    """A row's values -> an offer, by the places the map gives each field in this header."""
    plan = _plan(header, columns)
    several = dict(plan).get("images", ())
    single = [
        (target, places[0]) for target, places in plan if len(places) == 1 and places != several
    ]
    choices = [(t, places) for t, places in plan if len(places) > 1 and t != "images"]
    via_network = {key(name) for name in columns.tracked}
    tracked_places = [i for i, name in enumerate(header) if key(name) in via_network]
    direct = clean.with_columns(rules, columns)
    tracked = replace(direct, tracked=True)

    def make(values: list[str]) -> Offer | Rejected:
        row = {target: value for target, place in single if (value := values[place])}
        for target, places in choices:
            if value := next((values[i] for i in places if values[i].strip()), ""):
                row[target] = value
        if several:
            row["images"] = "\n".join([values[i] for i in several])
        if params := row.pop("params", ""):
            row = _from_params(params) | row
        url = row.get("url")
        through = bool(url) and any(values[i] == url for i in tracked_places)
        return clean.offer(row, tracked if through else direct)

    return make


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
    via_network = replace(rules, tracked=True)
    picker = Picker(columns)
    line = lines.skipped
    good = 0
    for text in chain([first], lines):
        line += 1
        if not text.strip():
            continue
        item = _json_object(text)
        if item is None and not lines.whole and good:
            raise _truncated(line)
        if item is None and not good and line - lines.skipped >= _FIRST_ROWS:
            raise FeedError("this seems to be one JSON document", hint="write one object a line")
        if item is None:
            yield Rejected("bad row", line, sample=text[:_SAMPLE_CHARS])
            continue
        good += 1
        row, tracked = picker.row(_flat(item))
        made = clean.offer(row, via_network if tracked else rules)
        yield made if isinstance(made, Offer) else replace(made, line=line)


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
