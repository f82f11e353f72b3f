"""YML (Yandex Market Language), simplified, vendor.model and mixed; also Admitad's XML export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from lxml import etree

from lensback import gtins
from lensback.feeds import batch, clean
from lensback.feeds.columns import by_alias
from lensback.feeds.dialects import PARAMS
from lensback.feeds.elements import attributes, inner_text, local
from lensback.feeds.markup import Document
from lensback.feeds.money import currency
from lensback.feeds.stock import Words
from lensback.feeds.texts import MAX_RAW, text
from lensback.types import Offer, Rejected

ROWS = ("offer",)
_STOCK = ("availability", "quantity")

# Field -> elements, in lower case. `picture` and `barcode` may repeat; of the rest the first counts.
FIELDS = by_alias(
    {
        "url": "url",
        "price": "price",
        "old_price": "oldprice old_price price_old",
        "sale_price": "price_promo",
        "currency": "currencyid",
        "category_id": "categoryid",
        "images": "picture pictures image images",
        "name": "name",
        "title_alone": "title name_ua",
        "prefix": "typeprefix",
        "brand": "vendor",
        "model": "model",
        "mpn": "vendorcode",
        "gtin": "barcode",
        "description": "description",
        "availability": "available presence availability",
        "quantity": "count quantity stock_quantity quantity_in_stock stock instock in_stock amount"
        " available_quantity stock_count qty quantityinstock stockquantity stock_qty",
        "adult": "adult",
        "param": "param",
        "condition": "condition",
        "item_group_id": "group_id",
        "disclosure": "ad_disclosure",
        "outlets": "outlets",
        "hidden": "disabled",
    }
)
ATTRIBUTES = {
    "id": "id",
    "available": "availability",
    "in_stock": "quantity",
    "instock": "quantity",
    "group_id": "item_group_id",
    "deleted": "deleted",
}


def read(chunks: Iterator[bytes], rules: clean.RowRules) -> Iterator[Offer | Rejected]:
    """Offers of a YML catalogue. Currency of an offer that names none: the catalogue's own."""
    document = Document(chunks, ROWS)
    paths = _category_paths(document.head)
    rules = replace(rules, currency=rules.currency or _own_currency(document.head))
    fields = _Fields()
    for block in document.blocks():
        if isinstance(block, Rejected):
            yield block
            continue
        columns = batch.columns_of([_row(element, fields, rules.stock) for element in block.rows])
        _compose(columns, len(block.rows), paths)
        yield from block.offers(columns, rules)


def _row(element: etree._Element, fields: _Fields, words: Words) -> clean.Row:
    row: clean.Row = {}
    for key, value in attributes(element):
        if value and (name := ATTRIBUTES.get(key)):
            row[name] = _again(name, row[name], value, words) if name in row else value
    for child in element:
        name = fields[child.tag]
        if not name:
            continue
        said = _inner(child, name) if len(child) else child.text
        if name == "param":
            name = _param(child.get("name", "")[:_LONGEST])
        elif name in _LOOKED_AT:
            said = _count_of(child) if name == "outlets" else child.get("type") or said
        if said and name:
            row[name] = _again(name, row[name], said, words) if name in row else said
    if (counts := row.pop("outlets", "")) and not any(name in row for name in _STOCK):
        row["quantity"] = counts
    if "hidden" in row and clean.flag(row.pop("hidden")):  # Yandex Market: not for sale now
        row["availability"] = "out of stock"
    return row


_LOOKED_AT = ("outlets", "condition")  # <condition type="used"/>


def _inner(child: etree._Element, name: str) -> str:
    return "\n".join(map(inner_text, child)) if name == "images" else inner_text(child)


def _count_of(outlets: etree._Element) -> str:
    """How many are in the shop of which most is told: `<outlet id="1" instock="5"/>`."""
    counts = [count for outlet in outlets if (count := outlet.get("instock"))]
    return next((count for count in counts if count.strip(" 0.,")), "".join(counts[:1]))


_LONGEST = 100


@lru_cache(1024)
def _param(name: str) -> str:
    return PARAMS.get(name.strip().lower(), "")


class _Fields(dict[str, str]):
    """Tag -> field, or empty. Spellings differ (oldPrice, old_price): each is looked up once."""

    def __missing__(self, tag: str) -> str:
        if len(self) >= 10_000:  # a feed that makes names up must not fill the memory
            self.clear()
        self[tag] = FIELDS.get(local(tag).lower(), "")
        return self[tag]


def _again(name: str, before: str, value: str, words: Words) -> str:
    """What counts of an element that was there before."""
    if name == "images":
        return f"{before}\n{value}"[:MAX_RAW]
    if name in _STOCK and words.of(before) in ("in_stock", "unknown"):
        return value  # attribute and element disagree: for sale only if both say so
    return value if name == "gtin" and not gtins.gtin(before) else before


def _compose(columns: batch.Columns, count: int, paths: dict[str, str]) -> None:
    """The titles (`name`, or type, vendor and model) and the categories' paths."""
    names = columns.pop("name", None) or [""] * count
    if not all(names):
        empty = [""] * count
        alone, prefix = columns.get("title_alone", empty), columns.get("prefix", empty)
        brand, model = columns.get("brand", empty), columns.get("model", empty)
        names = [
            name or title or " ".join(filter(None, parts))
            for name, title, *parts in zip(names, alone, prefix, brand, model, strict=True)
        ]
    columns["title"] = names
    for name in ("title_alone", "prefix", "model"):
        columns.pop(name, None)
    if places := columns.pop("category_id", None):
        columns["category"] = [_path(place.strip(), paths) for place in places]


def _path(place: str, paths: dict[str, str]) -> str:
    return paths.get(place) or ("" if place.isdigit() else place.replace("/", ">"))


def _category_paths(head: etree._Element) -> dict[str, str]:
    """Id -> path from the root, ` > ` between; a loop in the tree is cut where it closes."""
    named: dict[str, tuple[str, str]] = {}
    for element in head.iter("{*}category"):
        title = text(inner_text(element), clean.MAX_WORD).replace(">", "/")
        named[element.get("id", "").strip()] = (title, element.get("parentId", "").strip())
    paths: dict[str, str] = {}
    for place in named:
        parts: list[str] = []
        seen: set[str] = set()
        step = place
        while step in named and step not in seen and len(seen) < 32:
            seen.add(step)
            parts.append(named[step][0])
            step = named[step][1]
        paths[place] = " > ".join(part for part in reversed(parts) if part)
    return paths


def _own_currency(head: etree._Element) -> str:
    """The only currency, or the only one with rate 1."""
    rates = [(str(e.get("id", "")), str(e.get("rate", ""))) for e in head.iter("{*}currency")]
    own = rates if len(rates) == 1 else [pair for pair in rates if pair[1] == "1"]
    return currency(own[0][0]) if len(own) == 1 else ""
