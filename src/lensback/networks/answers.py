"""A network's answer -> nested mappings and lists, and the rows in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lensback.errors import PostbackError
from lensback.networks.news import picked

Row = Mapping[str, Any]
_ABOUT_TYPES = (
    "{http://www.w3.org/2001/XMLSchema-instance}",
    "{http://schemas.xmlsoap.org/soap/encoding/}",
)
"""Attributes that say how SOAP wrote a value, and nothing of the value."""


def values_of(body: bytes, kind: str, title: str) -> Any:
    """JSON or XML as values. Raises PostbackError where it is neither.

    XML: `{root: …}`; children by their tag (a list where a tag comes again), attributes as
    `@name`, an element without both as its text.
    """
    try:
        if kind == "xml":
            return _xml(body)
        # Amounts stay what was written: a float would lose the last cent.
        return json.loads(body, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise PostbackError(
            f"{title} did not answer with {kind.upper()}",
            hint="try again later; if it stays so, its [poll] has changed",
        ) from error


def _xml(body: bytes) -> Any:
    """Raises ValueError where it is none. Entities and other files are left alone."""
    from lxml import etree  # only where a network speaks it

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error
    return {_name(root): _element(root)}


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _element(element: Any) -> Any:
    found: dict[str, Any] = {
        f"@{name}": value
        for name, value in element.attrib.items()
        if not name.startswith(_ABOUT_TYPES)
    }
    text = (element.text or "").strip()
    for child in element.iterchildren("*"):
        name, value = _name(child), _element(child)
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    if found and text:
        found["text"] = text
    return found or text


def rows_of(body: Any, path: str, kind: str, title: str) -> list[Row]:
    """The rows at a dotted path, or at the first of several (`a|b`) that there is; "" is the body itself. Raises PostbackError where there is no
    list: an answer that we do not know must not look like "no sales"."""
    paths = path.split("|")
    known = any(picked(body, one.rpartition(".")[0] or one) is not None for one in paths)
    path = next((one for one in paths if picked(body, one) is not None), path)
    rows = picked(body, path) if path else body
    if kind == "xml":
        # No element is no row, one element no list.
        rows = rows if isinstance(rows, list) else [rows] if rows else [] if known else None
    elif isinstance(rows, Mapping) and all(isinstance(row, Mapping) for row in rows.values()):
        rows = list(rows.values()) if path else rows  # rows by their number
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise PostbackError(
            f"{title}'s answer has no list at {path or 'the top'}",
            hint=f"it says: {json.dumps(body, default=str)[:200]}",
        )
    return rows


def each_of(rows: list[Row], path: str) -> Iterator[Row]:
    """Every item at `path` of every row, as `each` beside what its row says; "": the rows."""
    for row in rows:
        if not path:
            yield row
            continue
        items = picked(row, path)
        for item in items if isinstance(items, list) else []:
            yield {**row, "each": item}
