"""What a feed seems to be, from its first 64 KiB."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lensback.errors import FeedError
from lensback.feeds import dialects, jsonrows, pricelists, propose, table
from lensback.feeds.columns import ColumnMap
from lensback.feeds.stream import Source

_PROLOG = re.compile(
    r"\s*(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)", re.DOTALL | re.IGNORECASE
)
_TAG = re.compile(r"<(?:[\w.\-]+:)?([\w.\-]+)[\s/>]")
_DTD = re.compile(r"<!ELEMENT\s")
_ROOT = re.compile(r"\s*<(?:[\w.\-]+:)?([\w.\-]+)")
_SAVED_HINT = "check the address: see what it gives in a private window of a browser, where nobody is signed in"
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
    """google, yml, table or json."""
    dialect: str = ""
    """rss, atom, xml, yml, jsonl, json, or the name of a ready column map; empty: needs a map."""
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
    is_markup = head.startswith("<")
    if format == "table" and is_markup:
        _refuse_foreign(head)
        raise FeedError("this is XML, no table", hint="use --format auto")
    if format == "yml" and not is_markup:
        raise FeedError("this is no XML, so no YML", hint="use --format auto")
    kind, dialect, delimiter = (
        _markup(head, format, columns) if is_markup else _table(head, columns)
    )
    return Sniffed(kind, dialect, source.compression, source.encoding, delimiter)


def propose_columns(source: Source, columns: ColumnMap | None = None) -> propose.Proposal | None:
    """What the map in use (yours, a ready one, or a guess) takes from the feed's first bytes; None
    for YML, which needs none. Raises FeedError where it seems to be no feed at all."""
    head = source.head_text().lstrip("\ufeff \t\r\n")
    try:
        seems = sniff(source, "auto", columns)
    except FeedError as error:
        if not error.hint.startswith(propose.HINT):
            raise
        is_json = head.startswith(("{", "["))
        return propose.of_samples(*jsonrows.samples(head)) if is_json else propose.of_xml(head)
    if seems.format == "yml":
        return None
    if seems.format == "google":
        ready = next((m for m in pricelists.XML if m.name == seems.dialect), dialects.GOOGLE)
        return propose.of_xml(head, columns or ready)
    if seems.format == "json":
        return propose.of_samples(*jsonrows.samples(head), columns)
    return _of_table(head, seems.delimiter, columns)


def _of_table(head: str, delimiter: str, columns: ColumnMap | None) -> propose.Proposal:
    lines = table.first_of(head)
    known = columns or (dialects.RAKUTEN if lines[0].startswith("HDR|") else None)
    if known and known.header:
        return propose.of_table(known.header, (), known)
    at = table.heading(lines, columns)
    header = table.header_of(lines[at], delimiter)
    rows = table.first_rows(lines[at + 1 :], delimiter)
    ready = table.choose(header)
    return propose.of_table(
        header, rows, known or (None if ready and ready.missing(header) else ready)
    )


def _refuse_foreign(head: str) -> str:
    """The name of the root element. Raises FeedError where that gives away what is no feed."""
    if head[:15].lower().startswith(("<!doctype html", "<html")):
        raise _not_a_feed("html")
    at = 0
    while skip := _PROLOG.match(head, at):
        at = skip.end()
    found = _ROOT.match(head, at)
    root = found[1].lower() if found else ""
    if root in _FOREIGN:
        raise _not_a_feed(root)
    if not root and _DTD.search(head):
        raise FeedError("this seems to be a DTD, not a feed of offers", hint=_SAVED_HINT)
    return root


def _markup(head: str, format: str, columns: ColumnMap | None) -> tuple[str, str, str]:  # noqa: A002
    root = _refuse_foreign(head)
    tags = {tag.lower() for tag in _TAG.findall(head)}
    if columns and columns.row:
        return "google", "xml", ""
    if root != "kaspi_catalog" and (
        format == "yml"
        or root == "yml_catalog"
        or (root in ("shop", "offers") and "<offer " in head)
    ):
        return "yml", "yml", ""
    if root in _GOOGLE_ROOTS:
        return "google", _GOOGLE_ROOTS[root], ""
    if known := next((ready for ready in pricelists.XML if tags.issuperset(ready.marks)), None):
        return "google", known.name, ""
    if format == "google" or (root in _PLAIN_ROOTS and tags & {"item", "entry", "product"}):
        return "google", "xml", ""
    if not root:
        raise FeedError("this is no XML", hint="check the address")
    what = f"this is XML of a kind we do not know, its root is <{root[:40]}>"
    proposal = propose.of_xml(head)
    if not {"price", "url"} & proposal.fields.keys():
        raise FeedError(what, hint="ask the store for a Google Merchant or YML feed")
    raise FeedError(what, hint=propose.hint(proposal))


def _not_a_feed(root: str) -> FeedError:
    seems, hint = _FOREIGN[root]
    return FeedError(f"this seems to be {seems}, not a feed of offers", hint=hint)


def _table(head: str, columns: ColumnMap | None) -> tuple[str, str, str]:
    if head.startswith(("{", "[")):
        if columns is None:
            jsonrows.check(head)
        first = head.split("\n", 1)[0].strip()
        return "json", "jsonl" if jsonrows.is_lines(first) else "json", ""
    lines = table.first_of(head)
    if not lines:
        raise FeedError("the feed is empty but for comments", hint="check the address")
    if lines[0].startswith("HDR|"):
        return "table", dialects.RAKUTEN.name, "|"
    header_line = lines[table.heading(lines, columns)]
    delimiter = table.delimiter_of(header_line)
    if header_line.count(delimiter) < 2:
        raise FeedError("this is neither XML nor a table", hint="check the address")
    chosen = columns or table.choose(table.header_of(header_line, delimiter))
    return "table", chosen.name if chosen else "", delimiter
