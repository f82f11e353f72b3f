"""Google Merchant and Meta as RSS 2.0, Atom or plain XML: elements by a column map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from lxml import etree

from lensback.errors import FeedError, FeedTruncated
from lensback.feeds import clean
from lensback.feeds.columns import GOOGLE, ColumnMap, Picker
from lensback.feeds.markup import Document, inner_text, line_in_block, local
from lensback.types import Offer, Rejected

ROWS = ("item", "entry", "product")
_NEWS = {"id", "title", "url", "description", "images", "image", "category"}
_FIRST_ROWS = 20

Found = tuple[clean.Row, bool, int] | Rejected


def read(
    text: Iterator[str], rules: clean.Rules, columns: ColumnMap | None
) -> Iterator[Offer | Rejected]:
    """Offers of an RSS or Atom feed, or of any flat XML whose elements `columns` names."""
    columns = columns or GOOGLE
    rules = clean.with_columns(rules, columns)
    via_network = replace(rules, tracked=True)
    document = Document(text, (columns.row,) if columns.row else ROWS)
    for found in _checked(_rows(document, Picker(columns))):
        if isinstance(found, Rejected):
            yield found
            continue
        row, tracked, line = found
        made = clean.offer(row, via_network if tracked else rules)
        yield made if isinstance(made, Offer) else replace(made, line=line)


def _rows(document: Document, picker: Picker) -> Iterator[Found]:
    for found in document.rows():
        if isinstance(found, Rejected):
            yield found
            continue
        element, line = found
        row, tracked = picker.row(_pairs(element))
        yield row, tracked, line + line_in_block(element)


def _pairs(element: etree._Element) -> Iterator[tuple[str, str]]:
    for child in element:
        name = local(child.tag)
        # Atom writes <link href="…"/>
        yield name, inner_text(child) or (child.get("href", "") if name == "link" else "")


def _checked(rows: Iterator[Found]) -> Iterator[Found]:
    """The same rows, unless the first of them have nothing that an offer has and news lack."""
    first: list[Found] = []
    cut: FeedTruncated | None = None
    try:
        first.extend(islice(rows, _FIRST_ROWS))
    except FeedTruncated as error:  # `extend` keeps what came before
        cut = error
    if first and all(isinstance(row, tuple) and row[0].keys() <= _NEWS for row in first):
        raise FeedError(
            "this seems to be a news feed (RSS without prices)",
            hint="ask the store for its Google Merchant feed",
        )
    yield from first
    if cut:
        raise cut
    yield from rows
