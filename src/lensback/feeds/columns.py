"""Column maps: which column (or plain XML element) feeds which field. Ready ones and your own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lensback.errors import ConfigError

FIELDS = (
    *("id", "title", "url", "price", "currency", "sale_price", "old_price", "image", "images"),
    *("availability", "brand", "gtin", "mpn", "item_group_id", "color", "size", "category"),
    *("description", "gender", "age_group", "material", "pattern", "condition", "adult"),
    *("deleted", "target_url", "disclosure", "params"),
)
"""`images` takes every column named; every other field the first that is not empty."""
_MAX_NAMES = 10_000
_MAX_IMAGES_CHARS = 50_000
NEEDED = ("id", "title", "url", "price")


@dataclass(frozen=True)
class ColumnMap:
    """Field -> names of columns, best first. Names match whatever their case, spaces or dashes."""

    name: str
    fields: Mapping[str, tuple[str, ...]]
    tracked: tuple[str, ...] = ()
    """Columns whose links already go through an affiliate network."""
    marks: tuple[str, ...] = ()
    """Columns that give this dialect away, all of them."""
    currency: str = ""
    """Of rows that name none."""
    category_separator: str = ">"
    row: str = ""
    """XML only: the element of one row."""
    _by_name: dict[str, tuple[str, int]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for target, names in self.fields.items():
            for rank, name in enumerate(names):
                self._by_name.setdefault(key(name), (target, rank))

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
        """The same from the text itself; `name` is for messages."""
        try:
            return _from_toml(tomllib.loads(text), name)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"column map {name}: {error}", hint="mend that file") from error

    def field_of(self, name: str) -> tuple[str, int] | None:
        """Field and rank (0 is best) of a column or element; None where it means nothing."""
        return self._by_name.get(key(name))

    def fits(self, header: Iterable[str]) -> bool:
        """Whether the header holds every mark."""
        return {key(mark) for mark in self.marks} <= {key(name) for name in header}

    def missing(self, header: Iterable[str]) -> list[str]:
        """Needed fields that no column of the header feeds."""
        found = {place[0] for name in header if (place := self.field_of(name))}
        return [name for name in NEEDED if name not in found]


class Picker:
    """Turns named values into rows, one feed long: every name is looked up once."""

    def __init__(self, columns: ColumnMap) -> None:
        self._columns = columns
        self._urls = columns.fields.get("url", ())
        self._places: dict[str, tuple[str, int] | None] = {}

    def row(self, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Field -> the best value that is not blank (`images`: all of them); `tracked` is set
        where the address goes through a network."""
        row: dict[str, str] = {}
        ranks: dict[str, int] = {}
        for name, value in pairs:
            if not value or not (place := self._place(name)) or value.isspace():
                continue
            target, rank = place
            if target == "images" and target in row:
                if len(row[target]) < _MAX_IMAGES_CHARS:
                    row[target] += "\n" + value
            elif rank < ranks.get(target, 99):
                row[target], ranks[target] = value, rank
        if "url" in row and self._urls[ranks["url"]] in self._columns.tracked:
            row["tracked"] = "1"
        return row

    def _place(self, name: str) -> tuple[str, int] | None:
        if name not in self._places:
            if len(self._places) >= _MAX_NAMES:
                self._places.clear()
            self._places[name] = self._columns.field_of(name)
        return self._places[name]


def key(name: str) -> str:
    """How names are compared.

    >>> key(" g:Image Link"), key("image[0].url"), key("image[2].url")
    ('image_link', 'image_link', 'additional_image_link')
    """
    plain = re.sub(r"[\s_\-]+", "_", name.strip(" \t\r\n\"'\ufeff").lower()).removeprefix("g:")
    if numbered := re.fullmatch(
        r"image\[(\d{1,4})\]\.url|(?:additional_)?image_link_?(\d{1,4})", plain
    ):
        return "image_link" if numbered[1] == "0" else "additional_image_link"
    return plain


def _from_toml(values: dict[str, Any], path: str) -> ColumnMap:
    def wrong(what: str) -> ConfigError:
        return ConfigError(f"column map {path}: {what}", hint="see docs/feeds.md for the keys")

    known = {"name", "fields", "tracked", "currency", "category_separator", "row"}
    if unknown := sorted(set(values) - known):
        raise wrong(f"unknown key {unknown[0]!r}")
    fields = values.get("fields")
    if not isinstance(fields, dict) or not fields:
        raise wrong("a table [fields] is missing")
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise wrong(f"unknown field {unknown[0]!r}; known: {', '.join(FIELDS)}")
    texts = {
        name: values.get(name, "") for name in ("name", "currency", "category_separator", "row")
    }
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
        row=texts["row"],
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


def _words(**fields: str) -> dict[str, tuple[str, ...]]:
    return {name: tuple(columns.split()) for name, columns in fields.items()}


GOOGLE = ColumnMap(
    name="google",
    fields=_words(
        id="id guid",
        title="title name",
        url="link url",
        price="price",
        currency="currency price_currency",
        sale_price="sale_price",
        image="image_link image image_url picture",
        images="additional_image_link additional_image_links",
        availability="availability",
        brand="brand",
        gtin="gtin ean barcode",
        mpn="mpn",
        item_group_id="item_group_id",
        color="color colour",
        size="size",
        category="product_type google_product_category category fb_product_category",
        description="description summary content",
        gender="gender",
        age_group="age_group",
        material="material",
        pattern="pattern",
        condition="condition",
        adult="adult",
        disclosure="ad_disclosure",
    ),
    marks=("id", "title", "price"),
)
"""Google Merchant names, for RSS, Atom, plain XML, TSV, CSV and JSON lines. Meta uses the same."""

META = ColumnMap(
    name="meta",
    fields=GOOGLE.fields,
    marks=("id", "title", "price", "condition", "fb_product_category"),
)

AWIN = ColumnMap(
    name="awin",
    fields=_words(
        id="aw_product_id merchant_product_id",
        title="product_name",
        url="aw_deep_link merchant_deep_link",
        target_url="merchant_deep_link",
        price="search_price store_price display_price",
        currency="currency",
        old_price="product_price_old rrp_price",
        # AWIN's own proxied thumbnails come last: they are small.
        image="merchant_image_url large_image image_url alternate_image alternate_image_two"
        " alternate_image_three alternate_image_four aw_image_url merchant_thumb_url aw_thumb_url",
        images="alternate_image_two alternate_image_three alternate_image_four",
        availability="in_stock stock_status is_for_sale",
        brand="brand_name",
        gtin="product_gtin ean upc isbn",
        mpn="mpn model_number",
        item_group_id="parent_product_id",
        color="colour",
        size="fashion:size size",
        category="merchant_product_category_path merchant_category category_name",
        description="description product_short_description",
        gender="fashion:suitable_for",
        age_group="fashion:suitable_for",
        material="fashion:material",
        pattern="fashion:pattern",
        condition="condition",
    ),
    tracked=("aw_deep_link",),
    marks=("aw_product_id", "product_name"),
)

ADMITAD = ColumnMap(
    name="admitad",
    fields=_words(
        id="id",
        title="name",
        url="url",
        price="price",
        currency="currencyId",
        old_price="oldprice old_price",
        image="picture",
        images="pictures",
        availability="available",
        brand="vendor",
        gtin="barcode",
        mpn="vendorCode model",
        item_group_id="group_id",
        category="categoryId",
        description="description",
        disclosure="ad_disclosure",
        params="param",
        deleted="deleted",
    ),
    tracked=("url",),
    marks=("currencyId", "categoryId", "name"),
    category_separator="/",
)

READY = (AWIN, ADMITAD, META, GOOGLE)
"""Most telling first."""

PARAMS = by_alias(
    {
        "color": "цвет|color|colour|колір|түс|цвет товара|основной цвет|цвет производителя",
        "size": "размер|size|розмір|размер одежды|размер обуви|размер производителя"
        "|российский размер",
        "gender": "пол|gender|sex|стать|для кого",
        "material": "материал|состав|material|composition|матеріал|склад|ткань",
        "pattern": "узор|рисунок|принт|pattern|орнамент",
        "age_group": "возраст|age|age_group|возрастная группа",
    },
    "|",
)
"""Names of YML and Admitad parameters -> field."""
