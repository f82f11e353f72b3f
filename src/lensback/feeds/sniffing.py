"""What a feed seems to be, from its first 64 KiB."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lensback.errors import FeedError
from lensback.feeds import table
from lensback.feeds.columns import ColumnMap
from lensback.feeds.stream import Source

_PROLOG = re.compile(
    r"\s*(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)", re.DOTALL | re.IGNORECASE
)
_ROOT = re.compile(r"\s*<(?:[\w.\-]+:)?([\w.\-]+)")
_SAVED_HINT = "check the address: open it in a browser and see what it gives"
_FOREIGN = {
    "html": ("an HTML page", _SAVED_HINT),
    "urlset": ("a sitemap", "ask the store for its product feed"),
    "sitemapindex": ("a sitemap index", "ask the store for its product feed"),
    "workbook": ("an Excel file saved as XML", "save it as CSV"),
    "error": ("an error message of the server", _SAVED_HINT),
}
_GOOGLE_ROOTS = {"rss": "rss", "rdf": "rss", "feed": "atom", "channel": "rss"}
_PLAIN_ROOTS = ("products", "items", "catalog", "productdata", "entries")


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What `read` would take the feed for."""

    format: str
    """google, yml or table."""
    dialect: str = ""
    """rss, atom, xml, yml, jsonl, or the name of a ready column map; empty: needs a column map."""
    compression: str = ""
    """gzip, bzip2, zip, joined by `+` from the outside in; empty: none."""
    encoding: str = "utf-8"
    """As the first bytes have it; plain ASCII so far counts as what is declared, else UTF-8."""
    delimiter: str = ""


def sniff(source: Source, format: str = "auto", columns: ColumnMap | None = None) -> Sniffed:  # noqa: A002 - as in `read`
    """Raises FeedError, saying what it seems to be, where it is no feed."""
    head = source.head_text().lstrip("\ufeff \t\r\n")
    if not head:
        if source.failure:
            raise source.failure
        raise FeedError("the feed is empty", hint="check the address")
    kind, dialect, delimiter = (
        _markup(head, format, columns) if head.startswith("<") else _table(head)
    )
    return Sniffed(kind, dialect, source.compression, source.encoding, delimiter)


def _markup(head: str, format: str, columns: ColumnMap | None) -> tuple[str, str, str]:  # noqa: A002
    if head[:15].lower().startswith(("<!doctype html", "<html")):
        raise _not_a_feed("html")
    at = 0
    while skip := _PROLOG.match(head, at):
        at = skip.end()
    found = _ROOT.match(head, at)
    root = found[1].lower() if found else ""
    if root in _FOREIGN:
        raise _not_a_feed(root)
    if (
        format == "yml"
        or root == "yml_catalog"
        or (root in ("shop", "offers") and "<offer " in head)
    ):
        return "yml", "yml", ""
    if format == "google" or root in _GOOGLE_ROOTS or (columns and columns.row):
        return "google", _GOOGLE_ROOTS.get(root, "xml"), ""
    if root in _PLAIN_ROOTS:
        return "google", "xml", ""
    raise FeedError(
        f"this is XML of a kind we do not know, its root is <{root[:40]}>"
        if root
        else "this is no XML",
        hint="ask the store for a Google Merchant or YML feed, or write a column map with `row`",
    )


def _not_a_feed(root: str) -> FeedError:
    seems, hint = _FOREIGN[root]
    return FeedError(f"this seems to be {seems}, not a feed of offers", hint=hint)


def _table(head: str) -> tuple[str, str, str]:
    if head.startswith("{"):
        return "table", "jsonl", ""
    if head.startswith("["):
        raise FeedError("this seems to be one JSON document", hint="write one object a line")
    lines = [line for line in head.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise FeedError("the feed is empty but for comments", hint="check the address")
    delimiter = table.delimiter_of(lines[0])
    if lines[0].count(delimiter) < 2:
        raise FeedError("this is neither XML nor a table", hint="check the address")
    chosen = table.choose(table.header_of(lines[0], delimiter))
    return "table", chosen.name if chosen else "", delimiter
