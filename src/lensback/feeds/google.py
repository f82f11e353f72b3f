"""Google Merchant and Meta as RSS 2.0, Atom or plain XML: elements by a column map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from lensback.errors import FeedError, FeedTruncated
from lensback.feeds import batch, clean
from lensback.feeds.columns import MAX_IMAGES_CHARS, UNRANKED, ColumnMap, Picker
from lensback.feeds.dialects import GOOGLE
from lensback.feeds.elements import (
    Element,
    deep_pairs,
    in_order,
    odd_rows,
    pairs,
    permalink,
)
from lensback.feeds.markup import Document
from lensback.feeds.shapes import Fold, Plan, Shape, Shapes, Texts, filled
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
    rows, doubt = _Rows(columns), _Doubt()
    try:
        for block in document.blocks():
            if isinstance(block, Rejected):
                yield from doubt.settle([block], 0, ())
                continue
            found = rows.columns(block.rows)
            yield from doubt.settle(block.offers(found, rules), len(block.rows), found)
    except FeedTruncated:
        yield from doubt.end()
        raise
    yield from doubt.end()


class _Rows:
    """Rows of elements by a column map, as columns."""

    def __init__(self, columns: ColumnMap) -> None:
        self._map, self._picker = columns, Picker(columns)
        self._values = deep_pairs if columns.deep else pairs
        self._tag = ""
        self._shapes = Shapes(self._plan, _fold_of, self._row)

    def columns(self, rows: Sequence[Element]) -> batch.Columns:
        """What the rows say."""
        if self._map.deep:
            return batch.columns_of(list(map(self._row, rows)))
        if rows[0].tag != self._tag:  # what is foreign in a row hangs on its namespace
            self._tag = rows[0].tag
            self._shapes = Shapes(self._plan, _fold_of, self._row)
        found = self._shapes.columns(rows, odd_rows(rows, self._picker.knows))
        if self._map is GOOGLE:
            _add_permalinks(found, rows)
        return found

    def _row(self, element: Element) -> clean.Row:
        return self._picker.row(self._values(element))

    def _plan(self, shape: Shape) -> Plan | None:
        """What `Picker.row` makes of all rows of a shape; None where that is not so simple."""
        places: dict[str, list[tuple[int, int]]] = {}
        for at, name in in_order(self._tag.rpartition("}")[0], shape):
            for field, rank in self._picker.places(name):
                places.setdefault(field, []).append((rank, at))
        plan = []
        for field, found in places.items():
            ranks = [rank for rank, _ in found]
            if max(ranks) >= UNRANKED or (field == "image" and len(set(ranks)) < len(ranks)):
                return None
            if field != "images":
                found.sort(key=itemgetter(0))
            plan.append((field, [at for _, at in found]))
        if self._map.tracked and (urls := places.get("url")):
            through = {self._map.fields["url"][rank] in self._map.tracked for rank, _ in urls}
            if len(through) > 1:
                return None
            if through == {True}:
                plan.append(("tracked", [at for _, at in urls]))
        return plan


def _first(given: Sequence[Texts]) -> Sequence[str]:
    """Row by row the first text that is not blank."""
    best = _unblanked(given[0])
    for other in given[1:]:
        if all(best):
            break
        best = [a or b for a, b in zip(best, _unblanked(other), strict=True)]
    return best


def _joined(given: Sequence[Texts]) -> Sequence[str]:
    """Row by row all texts that are not blank, a line each."""
    if len(given) == 1:
        return _unblanked(given[0])
    rows = (tuple(filter(None, texts)) for texts in zip(*map(_unblanked, given), strict=True))
    return ["\n".join(row)[:MAX_IMAGES_CHARS] if len(row) > 1 else "".join(row) for row in rows]


def _marked(given: Sequence[Texts]) -> Sequence[str]:
    return ["1" if text else "" for text in _first(given)]


def _fold_of(field: str) -> Fold:
    return {"images": _joined, "tracked": _marked}.get(field, _first)


def _unblanked(texts: Texts) -> Sequence[str]:
    found = filled(texts)
    return ["" if v.isspace() else v for v in found] if any(map(str.isspace, found)) else found


def _add_permalinks(columns: batch.Columns, elements: Sequence[Element]) -> None:
    """The page of rows without a link, where their id is the address of one."""
    urls = columns.get("url") or [""] * len(elements)
    if not all(urls):
        pages = [url or permalink(element) for url, element in zip(urls, elements, strict=True)]
        if any(pages):
            columns["url"] = pages


class _Doubt:
    """Holds the first rows back until one has what an offer has and news lack."""

    def __init__(self) -> None:
        self._held: list[Offer | Rejected] | None = []
        self._rows = 0

    def settle(
        self, made: list[Offer | Rejected], rows: int, fields: Iterable[str]
    ) -> Iterator[Offer | Rejected]:
        """Whatever may go on, of so many rows in which something was said of these fields. Raises
        FeedError where it is news."""
        if self._held is not None:
            self._rows += rows
            self._held += made
            if _NEWS.issuperset(fields):
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
