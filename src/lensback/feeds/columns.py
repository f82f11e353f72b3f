"""Column maps: which column (or plain XML element) feeds which field. Ready ones and your own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from lensback.checked import STRICT, checked, parse_toml, wrong
from lensback.errors import ConfigError
from lensback.feeds.encodings import codec_of
from lensback.types import AVAILABILITIES

FIELDS = (
    *(
        "id",
        "title",
        "url",
        "price",
        "currency",
        "sale_price",
        "sale_dates",
        "old_price",
        "minor_unit",
    ),
    *("image", "images"),
    *(
        "availability",
        "quantity",
        "delivery_days",
        "brand",
        "gtin",
        "mpn",
        "item_group_id",
        "color",
        "size",
        "category",
    ),
    *("description", "gender", "age_group", "material", "pattern", "condition", "adult"),
    *("deleted", "target_url", "disclosure", "params"),
)
"""`images` takes every column named; every other field the first that is not empty."""
_MAX_NAMES = 10_000
MAX_IMAGES_CHARS = 50_000
UNRANKED = 99
"""No name counts that stands behind so many better ones."""
NEEDED = ("id", "title", "url", "price")


def _names(value: object) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ValueError("must be text or a list of texts")
    return tuple(listed)


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


def _encoding(value: object) -> str:
    if not isinstance(value, str) or not codec_of(value):
        raise ValueError("must be an encoding, as windows-1250 or shift_jis")
    return value


@dataclass(frozen=True)
class _Written:
    """The same as people write it; docs/feeds.md tells of the keys."""

    __pydantic_config__ = STRICT

    fields: Mapping[str, Names] = field(default_factory=dict)
    """A table: field = "column", or a list of columns, best first. Left out where the map adds
    nothing but words of stock, the currency or the encoding to what we know ourselves."""
    name: str = ""
    currency: str = ""
    category_separator: str = ""
    item: str = ""
    row: str = ""
    """The same as `item`."""
    tracked: Annotated[
        bool | tuple[str, ...],
        BeforeValidator(lambda value: value if isinstance(value, bool) else _names(value)),
    ] = False
    """true, or the columns whose links go through an affiliate network."""
    header: tuple[str, ...] = ()
    encoding: Annotated[str, BeforeValidator(_encoding)] = ""
    """The feed's encoding by any name that browsers know, where it declares none or a wrong one."""
    minor_units: Annotated[int, Field(ge=0, le=6)] = 0
    stock: Mapping[str, Names] = field(default_factory=dict)
    """A table: state = "word", or a list of words."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if unknown := sorted(set(self.fields) - set(FIELDS)):
            raise wrong(f"fields.{unknown[0]}", f"is not known; known: {', '.join(FIELDS)}")
        if odd := sorted(set(self.stock) - set(AVAILABILITIES)):
            raise wrong(f"stock.{odd[0]}", f"is not known; known: {', '.join(AVAILABILITIES)}")
        if (self.stock or self.currency or self.encoding) and not self.fields:
            return self
        if not self.fields:
            raise wrong("fields", "is missing")
        if missing := [name for name in NEEDED if not self.fields.get(name)]:
            raise wrong(f"fields.{missing[0]}", "is missing")
        return self


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
    encoding: str = ""
    """Of the feed, where that is told against what it says itself; empty: found by its bytes."""
    minor_units: int = 0
    """Prices are whole numbers of units so many decimal places down: 2 where they are cents."""
    stock: Mapping[str, str] = field(default_factory=dict)
    """What the store says of stock -> one of our states; above the words that we know."""
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
        where = f"column map {name}"
        values = parse_toml(text.encode(), where)
        found = checked(_Written, values, f"{where}: ", hint="See docs/feeds.md")
        return cls(
            name=found.name or Path(name).stem,
            fields=found.fields,
            tracked=found.fields.get("url", ()) if found.tracked is True else found.tracked or (),
            currency=found.currency.upper(),
            category_separator=found.category_separator or ">",
            item=(found.item or found.row).strip("/"),
            header=found.header,
            stock=by_alias(found.stock),
            minor_units=found.minor_units,
            encoding=found.encoding,
        )

    @staticmethod
    def with_currency(text: str, code: str) -> str:
        """The text of a column map (empty: of none) that names this currency for rows that name
        none."""
        head, table, rest = text.partition("\n[") if not text.startswith("[") else ("", text, "")
        kept = [line for line in head.splitlines() if not re.match(r"\s*currency\s*=", line)]
        return "\n".join([f'currency = "{code}"', *kept]) + "\n" + table.lstrip("\n") + rest

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
        known = self._known
        for name, value in pairs:
            places = known[name] if name in known else self.places(name)
            if not places or not value or value.isspace():
                continue
            for target, rank in places:
                if target == "images" and target in row:
                    row[target] = f"{row[target]}\n{value}"[:MAX_IMAGES_CHARS]
                elif rank < ranks.get(target, UNRANKED):
                    row[target], ranks[target] = value, rank
                elif target == "image" and rank == ranks[target]:  # the same element once more
                    row["images"] = f"{row.get('images', '')}\n{value}"[:MAX_IMAGES_CHARS]
        if "url" in row and self._urls[ranks["url"]] in self._columns.tracked:
            row["tracked"] = "1"
        return row

    def knows(self, name: str) -> bool:
        """Whether a column or element of this name feeds any field."""
        return bool(self.places(name))

    def places(self, name: str) -> list[tuple[str, int]]:
        """Fields that a column or element of this name feeds, each with its rank (0 is best)."""
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


def words(**fields: str) -> dict[str, tuple[str, ...]]:
    """Field -> names of columns, best first, which are given in one text.

    >>> words(price="price cost")
    {'price': ('price', 'cost')}
    """
    return {name: tuple(columns.split()) for name, columns in fields.items()}


def by_alias(
    groups: Mapping[str, str | tuple[str, ...]], separator: str | None = None
) -> dict[str, str]:
    """Name -> its aliases, listed or in one text, turned round.

    >>> by_alias({"in_stock": "instock available"})
    {'instock': 'in_stock', 'available': 'in_stock'}
    """
    return {
        alias: name
        for name, listed in groups.items()
        for alias in (listed.split(separator) if isinstance(listed, str) else listed)
    }
