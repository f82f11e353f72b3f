"""YML (Yandex Market Language), simplified, vendor.model and mixed; also Admitad's XML export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from lxml import etree

from lensback.feeds import batch, clean
from lensback.feeds.columns import PARAMS, by_alias
from lensback.feeds.markup import Document, inner_text, local
from lensback.types import Offer, Rejected

ROWS = ("offer",)

# Field -> elements, in lower case. `picture` and `barcode` may repeat; of the rest the first counts.
FIELDS = by_alias(
    {
        "url": "url",
        "price": "price",
        "old_price": "oldprice old_price",
        "currency": "currencyid",
        "category_id": "categoryid",
        "images": "picture",
        "name": "name",
        "title_alone": "title",
        "prefix": "typeprefix",
        "brand": "vendor",
        "model": "model",
        "mpn": "vendorcode",
        "gtin": "barcode",
        "description": "description",
        "availability": "available",
        "adult": "adult",
        "param": "param",
        "condition": "condition",
        "item_group_id": "group_id",
        "disclosure": "ad_disclosure",
    }
)
ATTRIBUTES = {
    "id": "id",
    "available": "availability",
    "group_id": "item_group_id",
    "deleted": "deleted",
}


def read(text: Iterator[str], rules: clean.Rules) -> Iterator[Offer | Rejected]:
    """Offers of a YML catalogue. Currency of an offer that names none: the catalogue's own."""
    document = Document(text, ROWS)
    paths = _category_paths(document.head)
    rules = replace(rules, currency=rules.currency or _own_currency(document.head))
    fields = _Fields()
    for block in document.blocks():
        if isinstance(block, Rejected):
            yield block
            continue
        read_row = partial(_row, paths=paths, fields=fields, flat=block.flat)
        yield from block.offers(batch.columns_of(list(map(read_row, block.rows))), rules)


def _row(element: etree._Element, paths: dict[str, str], fields: _Fields, flat: bool) -> clean.Row:
    row: clean.Row = {}
    for attribute, value in element.items():
        if value and (name := ATTRIBUTES.get(attribute)):
            row[name] = value
    for child in element:
        name = fields[child.tag]
        if not name:
            continue
        value = child.text if flat or not len(child) else inner_text(child)
        if name == "param":
            name = PARAMS.get(child.get("name", "").strip().lower(), "")
        elif name == "condition":
            value = child.get("type") or value
        if name and value:
            if name in row:
                _again(row, name, value)
            else:
                row[name] = value
    _compose(row, paths)
    return row


class _Fields(dict[str, str]):
    """Tag -> field, or empty. Spellings differ (oldPrice, old_price): each is looked up once."""

    def __missing__(self, tag: str) -> str:
        if len(self) >= 10_000:  # a feed that makes names up must not fill the memory
            self.clear()
        self[tag] = FIELDS.get(local(tag).lower(), "")
        return self[tag]


def _again(row: clean.Row, name: str, value: str) -> None:
    """An element that was there before."""
    if name == "images" and len(row[name]) < clean.MAX_RAW:
        row[name] += "\n" + value
    elif name == "availability" and clean.availability(row[name]) == "in_stock":
        row[name] = value  # attribute and element disagree: for sale only if both say so
    elif name == "gtin" and not clean.gtin(row[name]):
        row[name] = value


def _compose(row: clean.Row, paths: dict[str, str]) -> None:
    """The title (`name`, or type, vendor and model) and the category's path."""
    named = row.pop("name", "") or row.pop("title_alone", "")
    parts = (row.pop("prefix", ""), row.get("brand", ""), row.pop("model", ""))
    row["title"] = named or " ".join(part for part in parts if part)
    if place := row.pop("category_id", "").strip():
        path = paths.get(place, "")
        row["category"] = path or ("" if place.isdigit() else place.replace("/", ">"))


def _category_paths(head: etree._Element) -> dict[str, str]:
    """Id -> path from the root, ` > ` between; a loop in the tree is cut where it closes."""
    named: dict[str, tuple[str, str]] = {}
    for element in head.iter("{*}category"):
        title = clean.text(inner_text(element), clean.MAX_WORD).replace(">", "/")
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
    return clean.currency(own[0][0]) if len(own) == 1 else ""
