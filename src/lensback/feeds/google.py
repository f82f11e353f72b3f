"""Google Merchant and Meta as RSS 2.0, Atom or plain XML: elements by a column map."""

from __future__ import annotations

from collections.abc import Iterator

from lensback.errors import FeedError, FeedTruncated
from lensback.feeds import batch, clean
from lensback.feeds.columns import ColumnMap, Picker
from lensback.feeds.dialects import GOOGLE
from lensback.feeds.elements import Element, deep_pairs, pairs, permalink
from lensback.feeds.markup import Document
from lensback.types import Offer, Rejected

ROWS = ("item", "entry", "product")
_NEWS = {"id", "title", "url", "description", "images", "image", "category"}
_FIRST_ROWS = 20
_MOST_HELD = 1000
"""Of rows that are refused and say nothing of what the feed is."""


def read(
    chunks: Iterator[bytes], rules: clean.RowRules, columns: ColumnMap | None
) -> Iterator[Offer | Rejected]:
    """Offers of an RSS or Atom feed, or of any XML whose elements `columns` names."""
    columns = columns or GOOGLE
    rules = clean.with_columns(rules, columns)
    within = columns.item.split("/")[-2] if "/" in columns.item else ""
    document = Document(chunks, (columns.row,) if columns.row else ROWS, within)
    values = deep_pairs if columns.deep else pairs
    picker, doubt = Picker(columns), _Doubt()
    try:
        for block in document.blocks():
            if isinstance(block, Rejected):
                yield from doubt.settle([block], [])
                continue
            rows = [picker.row(values(element)) for element in block.rows]
            if columns is GOOGLE:
                _add_permalinks(rows, block.rows)
            yield from doubt.settle(block.offers(batch.columns_of(rows), rules), rows)
    except FeedTruncated:
        yield from doubt.end()
        raise
    yield from doubt.end()


def _add_permalinks(rows: list[clean.Row], elements: list[Element]) -> None:
    """The page of rows without a link, where their id is the address of one."""
    for row, element in zip(rows, elements, strict=True):
        if "url" not in row and (page := permalink(element)):
            row["url"] = page


class _Doubt:
    """Holds the first rows back until one has what an offer has and news lack."""

    def __init__(self) -> None:
        self._held: list[Offer | Rejected] | None = []
        self._rows = 0

    def settle(
        self, made: list[Offer | Rejected], rows: list[clean.Row]
    ) -> Iterator[Offer | Rejected]:
        """Whatever may go on. Raises FeedError where it is news."""
        if self._held is not None:
            self._rows += len(rows)
            self._held += made
            if not any(row.keys() - _NEWS for row in rows):
                if self._rows >= _FIRST_ROWS:
                    raise _news()
                if len(self._held) < _MOST_HELD:
                    return
            made, self._held = self._held, None
        yield from made

    def end(self) -> Iterator[Offer | Rejected]:
        if self._held and self._rows:
            raise _news()
        yield from self._held or ()
        self._held = None


def _news() -> FeedError:
    return FeedError(
        "this seems to be a news feed (RSS without prices)",
        hint="ask the store for its Google Merchant feed",
    )
