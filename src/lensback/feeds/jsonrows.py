"""JSON: one object a line, an array of objects, or a document with such an array in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from lensback.errors import FeedError
from lensback.feeds import batch, clean, propose, shopify
from lensback.feeds.amounts import amount_of
from lensback.feeds.columns import ColumnMap, Picker
from lensback.feeds.dialects import GOOGLE, READY, SCHEMA_ORG, TRADEDOUBLER, WOOCOMMERCE
from lensback.feeds.rows import SAMPLE_CHARS, Lines, Pending, empty, truncated
from lensback.feeds.stream import Source
from lensback.types import Offer, Rejected

_PIECE_CHARS = 1 << 16
_MAX_OBJECT_CHARS = 4 << 20
_MAX_PARTS = 50
_MAX_DEPTH = 6
_LIKELY = re.compile(r'"(?:products|items|offers|entries|data|results|rows)"\s*:\s*\[\s*(?=\{)')
_ANY = re.compile(r"\[\s*(?=\{)")
_BETWEEN = re.compile(r"[\s,]*")
# Numbers stay as they are written: 5.50 is no float.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)

_ERRORS = {"error", "errors", "errorMessage", "message", "fault"}

Found = tuple[dict[str, Any] | None, int, str]
"""Object (None: what stands there is none), its line, and what it looks like."""


def read(
    source: Source, rules: clean.RowRules, columns: ColumnMap | None
) -> Iterator[Offer | Rejected]:
    """Offers by a column map or by the names we know; names may be paths (`a/b`)."""
    lines = Lines(source)
    first = lines.header()
    found = _by_line(lines, first) if is_lines(first) else _in_document(lines, first)
    picker: Picker | None = None
    own = columns
    pending: Pending[clean.Row] = Pending(
        lambda rows: batch.offers(batch.columns_of(rows), len(rows), rules)
    )
    try:
        for item, line, sample in found:
            if item is None:
                pending.refuse(Rejected("bad row", line, sample=sample[:SAMPLE_CHARS].strip()))
                continue
            for each in _rows(item, own):
                if picker is None:
                    columns = columns or choose(name for name, _ in _values(each, "", 0))
                    rules = clean.with_columns(rules, columns)
                    picker = Picker(columns)
                pending.rows.append(picker.row(_flat(each, picker)))
                pending.lines.append(line)
            if len(pending.rows) >= batch.ROWS:
                yield from pending.flush()
    except FeedError:
        yield from pending.flush()
        raise
    if picker is None and not lines.cut:
        raise empty()
    yield from pending.flush()


def _rows(item: dict[str, Any], columns: ColumnMap | None) -> Sequence[Mapping[str, Any]]:
    """The rows that an object is: itself, or the variants of a product, where no map is given that
    tells of the object's own names."""
    return (not columns and shopify.rows(item)) or [item]


def is_lines(first: str) -> bool:
    """Whether a first line is an offer, not the beginning (or all) of a document with many."""
    item = _object(first) if first.startswith("{") else None
    if item is None:
        return False
    return _is_named(item) or not _lists(item, _MAX_DEPTH)


def _is_named(item: dict[str, Any]) -> bool:
    return bool({"id", "name", "title"} & item.keys())


def _lists(item: dict[str, Any], depth: int) -> bool:
    """Whether there is a list of objects in it, or in an object in it that is no offer itself."""
    return any(
        bool(v) and isinstance(v[0], dict)
        if isinstance(v, list)
        else isinstance(v, dict) and depth > 0 and not _is_named(v) and _lists(v, depth - 1)
        for v in item.values()
    )


def choose(given: Iterable[str]) -> ColumnMap:
    """The ready map whose marks are all among the names, Google's where there is none."""
    names = {name.lower() for name in given}
    if {"name", "offers/producturl"} <= names:
        return TRADEDOUBLER
    return next(
        (columns for columns in (WOOCOMMERCE, *READY, SCHEMA_ORG) if columns.fits(names)), GOOGLE
    )


def check(head: str) -> None:
    """Raises FeedError where the first offer has none of the names we know, and a guess does better."""
    known, item, name = samples(head)
    if known.keys() & _ERRORS and not known.keys() & {"id", "title", "name"}:
        message = f"this seems to be an error message of the server: {' '.join(head.split())[:120]}"
        raise FeedError(message, hint="check the address, its key and its password")
    groups = {part for path in known for part in (path, path.rpartition("/")[2])}
    if known and choose(known).missing(groups):
        proposal = propose.of_samples(known, item, name)
        if not proposal.missing:
            listed = ", ".join(list(known)[:8])
            message = f"the JSON lacks a known set of names; it begins: {listed}"
            raise FeedError(message, hint=propose.hint(proposal))


def samples(head: str) -> tuple[dict[str, str], str, str]:
    """Names and examples of the first whole object of a feed's beginning, for a proposal."""
    found = _LIKELY.search(head) or _ANY.search(head)
    at = 0 if is_lines(head.split("\n", 1)[0]) or not found else found.end()
    item, _ = _next(head, at)
    first = _rows(item, None)[0] if isinstance(item, dict) else {}
    known = {name: value for name, value in _values(first, "", 0) if value}
    return known, "", "json"


# --- objects ----------------------------------------------------------------------------------


def _object(text: str) -> dict[str, Any] | None:
    try:
        item = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) else None


def _by_line(lines: Lines, first: str) -> Iterator[Found]:
    line = lines.skipped
    for text in chain([first], lines):
        line += 1
        if not text.strip():
            continue
        item = _object(text)
        if item is None and not lines.whole:
            raise truncated(line)
        yield item, line, text


def _in_document(lines: Lines, first: str) -> Iterator[Found]:
    """Objects of the array that seems to hold the offers; text is held for one object only."""
    pieces = _pieces(chain([first], lines))
    buffer = next(pieces, "")
    line = lines.skipped + 1
    start = (buffer.startswith("[") and _ANY.match(buffer)) or _LIKELY.search(buffer)
    if not (start := start or _ANY.search(buffer)):
        raise FeedError("this is JSON without a list of offers", hint="check the address")
    at = start.end()
    line += buffer.count("\n", 0, at)
    while True:
        skip = _BETWEEN.match(buffer, at)
        end = skip.end() if skip else at
        line += buffer.count("\n", at, end)
        at = end
        if buffer.startswith("]", at):
            return
        item, end = _next(buffer, at)
        if end:
            sample = buffer[at : at + SAMPLE_CHARS]
            yield (item if isinstance(item, dict) else None), line, sample
            line += buffer.count("\n", at, end)
            at = end
            continue
        piece = next(pieces, "")
        if not piece or len(buffer) - at > _MAX_OBJECT_CHARS:
            raise truncated(line, f"the JSON breaks off or is no JSON on line {line}")
        buffer, at = buffer[at:] + piece, 0


def _next(buffer: str, at: int) -> tuple[Any, int]:
    """The value at `at` and its end; end 0 where it is not (yet) one."""
    try:
        item, end = _DECODER.raw_decode(buffer, at)
    except (ValueError, RecursionError):
        return None, 0
    # A number or a word may go on in the next piece.
    return (item, end) if end < len(buffer) or isinstance(item, dict | list) else (None, 0)


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _PIECE_CHARS:
            yield "".join(held)
            held, size = [], 0
    if held:
        yield "".join(held)


# --- values -----------------------------------------------------------------------------------


def _flat(item: Mapping[str, Any], picker: Picker) -> Iterator[tuple[str, str]]:
    """Names with their texts: paths of what is nested, and, last, the bare names inside groups that
    mean nothing themselves (AWIN's `product_basic`)."""
    yield from _values(item, "", 0)
    for name, value in item.items():
        if isinstance(value, dict) and not picker.knows(name):
            yield from _values(value, "", 1)


def _values(item: Mapping[str, Any], path: str, depth: int) -> Iterator[tuple[str, str]]:
    for name, value in item.items():
        if isinstance(value, list):
            yield from _of_list(value, path + name, depth)
        elif isinstance(value, dict):
            yield from _of_dict(value, path + name, depth)
        else:
            yield path + name, _as_text(value)


def _of_dict(value: dict[str, Any], path: str, depth: int) -> Iterator[tuple[str, str]]:
    if amount := amount_of(value):
        yield path, amount
    else:
        # What stands for the whole: {"brand": {"name": …}}, {"image": {"url": …}}
        for name in ("name", "url"):
            if isinstance(value.get(name), str):
                yield path, value[name]
                break
    if depth < _MAX_DEPTH:
        yield from _values(value, path + "/", depth + 1)


def _of_list(values: list[Any], path: str, depth: int) -> Iterator[tuple[str, str]]:
    yield path, "\n".join(filter(None, map(_as_text, values)))
    for value in values[:_MAX_PARTS]:
        if not isinstance(value, dict):
            continue
        named, text = value.get("name"), value.get("value")
        if isinstance(named, str) and isinstance(text, str):
            yield f"{path}/field[{named}]", text
        else:
            yield from _of_dict(value, path, depth)


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ""
