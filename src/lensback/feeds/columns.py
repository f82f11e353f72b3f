"""Column maps: which column (or plain XML element) feeds which field. Ready ones and your own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from lensback.errors import ConfigError

FIELDS = (
    *("id", "title", "url", "price", "currency", "sale_price", "sale_dates", "old_price"),
    *("image", "images"),
    *("availability", "brand", "gtin", "mpn", "item_group_id", "color", "size", "category"),
    *("description", "gender", "age_group", "material", "pattern", "condition", "adult"),
    *("deleted", "target_url", "disclosure", "params"),
)
"""`images` takes every column named; every other field the first that is not empty."""
_MAX_NAMES = 10_000
_MAX_IMAGES_CHARS = 50_000
_TEXTS = ("name", "currency", "category_separator", "item")
NEEDED = ("id", "title", "url", "price")


@dataclass(frozen=True)
class ColumnMap:
    """Field -> names of columns, best first. Case, spaces, dashes and underscores do not count."""

    name: str
    fields: Mapping[str, tuple[str, ...]]
    tracked: tuple[str, ...] = ()
    """Columns whose links already go through an affiliate network."""
    marks: tuple[str, ...] = ()
    """Columns that give this dialect away, all of them."""
    currency: str = ""
    """Of rows that name none."""
    category_separator: str = ">"
    item: str = ""
    """XML only: the element of one row, with the elements around it if need be: `products/product`."""
    header: tuple[str, ...] = ()
    """Names of the columns of a table that has no header."""
    _by_name: dict[str, list[tuple[str, int]]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for target, names in self.fields.items():
            for rank, name in enumerate(names):
                self._by_name.setdefault(key(name), []).append((target, rank))

    @classmethod
    def load(cls, path: str | Path) -> ColumnMap:
        """Reads a TOML column map; see docs/feeds.md. Raises ConfigError naming the key."""
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"column map {path}: {error}", hint="mend that file") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "columns") -> ColumnMap:
        """Reads a column map from TOML text; `name` stands for it in messages. Raises ConfigError
        naming the key."""
        try:
            return _from_toml(tomllib.loads(text), name)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"column map {name}: {error}", hint="mend that file") from error

    @property
    def row(self) -> str:
        """XML only: the name of a row's element, or empty."""
        return self.item.rpartition("/")[2]

    @property
    def deep(self) -> bool:
        """Whether a name is a path or an attribute: `price/@currency`, `param[colour]`."""
        return any(mark in name for name in chain(*self.fields.values()) for mark in "/@[")

    def fields_of(self, name: str) -> list[tuple[str, int]]:
        """Fields that a column or element feeds, each with its rank (0 is best)."""
        return self._by_name.get(key(name), [])

    def fits(self, header: Iterable[str]) -> bool:
        """Whether the header holds every mark."""
        return {key(mark) for mark in self.marks} <= {key(name) for name in header}

    def missing(self, header: Iterable[str]) -> list[str]:
        """Needed fields that no column of the header feeds."""
        found = {target for name in header for target, _ in self.fields_of(name)}
        return [name for name in NEEDED if name not in found]


class Picker:
    """Turns named values into rows, one feed long: every name is looked up once."""

    def __init__(self, columns: ColumnMap) -> None:
        self._columns = columns
        self._urls = columns.fields.get("url", ())
        self._known: dict[str, list[tuple[str, int]]] = {}

    def row(self, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Field -> the best value that is not blank (`images`: all of them); `tracked` is set
        where the address goes through a network."""
        row: dict[str, str] = {}
        ranks: dict[str, int] = {}
        for name, value in pairs:
            if not value or value.isspace():
                continue
            for target, rank in self._places(name):
                if target == "images" and target in row:
                    row[target] = f"{row[target]}\n{value}"[:_MAX_IMAGES_CHARS]
                elif rank < ranks.get(target, 99):
                    row[target], ranks[target] = value, rank
        if "url" in row and self._urls[ranks["url"]] in self._columns.tracked:
            row["tracked"] = "1"
        return row

    def knows(self, name: str) -> bool:
        """Whether a column or element of this name feeds any field."""
        return bool(self._places(name))

    def _places(self, name: str) -> list[tuple[str, int]]:
        if name not in self._known:
            if len(self._known) >= _MAX_NAMES:
                self._known.clear()
            self._known[name] = self._columns.fields_of(name)
        return self._known[name]


def key(name: str) -> str:
    """How names are compared.

    >>> key(" g:Image Link"), key("imageLink"), key("image[0].url"), key("image[2].url")
    ('imagelink', 'imagelink', 'imagelink', 'additionalimagelink')
    """
    plain = re.sub(r"[\s_\-]+", "", name.strip(" \t\r\n\"'\ufeff").lower()).removeprefix("g:")
    if numbered := re.fullmatch(
        r"image\[(\d{1,4})\]\.url|(?:additional)?imagelink(\d{1,4})", plain
    ):
        return "imagelink" if numbered[1] == "0" else "additionalimagelink"
    return plain


def _from_toml(values: dict[str, Any], path: str) -> ColumnMap:
    def wrong(what: str) -> ConfigError:
        return ConfigError(f"column map {path}: {what}", hint="see docs/feeds.md for the keys")

    known = {*_TEXTS, "fields", "tracked", "row", "header"}
    if unknown := sorted(set(values) - known):
        raise wrong(f"unknown key {unknown[0]!r}")
    fields = values.get("fields")
    if not isinstance(fields, dict) or not fields:
        raise wrong("a table [fields] is missing")
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise wrong(f"unknown field {unknown[0]!r}; known: {', '.join(FIELDS)}")
    values = {"item": values.get("row", ""), **values}
    texts = {name: values.get(name, "") for name in _TEXTS}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise wrong(f"{name} must be text")
    mapped = {
        target: _names(value, wrong(f"{target} must be text or a list of texts"))
        for target, value in fields.items()
    }
    if missing := [name for name in NEEDED if not mapped.get(name)]:
        raise wrong(f"field {missing[0]!r} is missing")
    tracked = values.get("tracked", False)
    return ColumnMap(
        name=texts["name"] or Path(path).stem,
        fields=mapped,
        tracked=mapped["url"]
        if tracked is True
        else _names(tracked or [], wrong("tracked must be true or columns")),
        currency=texts["currency"].upper(),
        category_separator=texts["category_separator"] or ">",
        item=texts["item"].strip("/"),
        header=_names(values.get("header", []), wrong("header must be a list of columns")),
    )


def _names(value: object, error: ConfigError) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise error
    return tuple(listed)


def by_alias(groups: Mapping[str, str], separator: str | None = None) -> dict[str, str]:
    """Name -> its aliases in one text, turned round.

    >>> by_alias({"in_stock": "instock available"})
    {'instock': 'in_stock', 'available': 'in_stock'}
    """
    return {a: name for name, listed in groups.items() for a in listed.split(separator)}
