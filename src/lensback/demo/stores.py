"""Writes the demo's two stores: a Google Merchant feed in dollars, a YML feed in roubles.

Both are invented, prices too, and both feeds say so.
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from lensback.demo.files import write_whole
from lensback.demo.words import COLOURS, Kind

GOOGLE_STORE, YML_STORE = "harbour", "lavka"
ROUBLES_A_DOLLAR = 92
_G = "http://base.google.com/ns/1.0"
_BRANDS = ("Marlo", "Northfold", "Tivoli Row", "Juniper & Co", "Oda", "Brightwell", "Kestrel")
_INVENTED = "An invented store of the demo: its goods, prices and stock are not real."
_INVENTED_RUSSIAN = "Вымышленный магазин демонстрации: товары, цены и наличие не настоящие."


@dataclass(frozen=True, slots=True)
class Thing:
    """One product of the demo: what a store says of it, and its pictures' file names."""

    id: str
    kind: Kind
    title: str
    russian_title: str
    colour: str
    number: int
    images: tuple[str, ...]

    @property
    def brand(self) -> str:
        return _BRANDS[self.number % len(_BRANDS)]

    @property
    def mpn(self) -> str:
        return f"{self.brand[:2].upper()}-{self.number:05d}"

    @property
    def shared(self) -> bool:
        """About a third of the things are sold by both stores."""
        return self.number % 3 == 0

    def dollars(self) -> int:
        low, high = self.kind.price
        return int(self._chance(1).integers(low, high))

    def roubles(self) -> int:
        """The second store's own price: 15 % below to 25 % above the first's, ending in 90."""
        raw = self.dollars() * ROUBLES_A_DOLLAR * float(self._chance(2).uniform(0.85, 1.25))
        return int(raw) // 100 * 100 + 90

    def stock(self, store: int) -> list[tuple[str, bool]]:
        """Size, in stock or not; the first size is always there."""
        sizes = self.kind.sizes[: 2 + self.number % 3]
        chance = self._chance(3 + store).random(len(sizes))
        return [(size, at == 0 or bool(chance[at] > 0.2)) for at, size in enumerate(sizes)]

    def on_sale(self) -> bool:
        return bool(self._chance(7).random() < 0.2)

    def _chance(self, about: int) -> np.random.Generator:
        return np.random.default_rng([self.number, about])


def google_feed(things: Sequence[Thing]) -> bytes:
    """RSS 2.0 with Google's names, UTF-8; one item a size."""
    ET.register_namespace("g", _G)
    rss = ET.Element("rss", version="2.0")
    channel = ET.SubElement(rss, "channel")
    for name, text in (
        ("title", "Harbour"),
        ("link", "https://harbour.example"),
        ("description", _INVENTED),
    ):
        ET.SubElement(channel, name).text = text
    for thing in things:
        for size, in_stock in thing.stock(0):
            _google_item(channel, thing, size, in_stock)
    return _xml(rss, "utf-8")


def _google_item(channel: ET.Element, thing: Thing, size: str, in_stock: bool) -> None:
    item = ET.SubElement(channel, "item")
    ET.SubElement(item, "title").text = thing.title
    ET.SubElement(item, "link").text = f"https://harbour.example/p/{google_id(thing, size)}"
    ET.SubElement(item, "description").text = f"{thing.title}, by {thing.brand}. {_INVENTED}"
    price = thing.dollars()
    asked = {"price": f"{price}.00 USD"}
    if thing.on_sale():
        asked = {"price": f"{round(price * 1.3)}.00 USD", "sale_price": f"{price}.00 USD"}
    images = [_image_url(GOOGLE_STORE, name) for name in thing.images]
    fields = {
        "id": google_id(thing, size), "item_group_id": thing.id, "image_link": images[0], **asked,
        "availability": "in_stock" if in_stock else "out_of_stock", "brand": thing.brand, "mpn": thing.mpn,
        "product_type": thing.kind.category, "color": thing.colour, "size": size, "condition": "new",
    }  # fmt: skip
    for name, text in fields.items():
        ET.SubElement(item, f"{{{_G}}}{name}").text = text
    for image in images[1:]:
        ET.SubElement(item, f"{{{_G}}}additional_image_link").text = image


def google_id(thing: Thing, size: str) -> str:
    return f"{thing.id}-{size.replace(' ', '-')}"


def yml_id(thing: Thing, at: int) -> str:
    return str(700000 + thing.number * 10 + at)


def yml_feed(things: Sequence[Thing]) -> bytes:
    """A YML catalogue in windows-1251; one offer a size."""
    root = ET.Element("yml_catalog", date="2026-01-01 06:00")
    shop = ET.SubElement(root, "shop")
    for name, text in (
        ("name", "Лавка"),
        ("company", _INVENTED_RUSSIAN),
        ("url", "https://lavka.example"),
    ):
        ET.SubElement(shop, name).text = text
    ET.SubElement(ET.SubElement(shop, "currencies"), "currency", id="RUR", rate="1")
    names = sorted({thing.kind.russian_category for thing in things})
    categories = ET.SubElement(shop, "categories")
    ET.SubElement(categories, "category", id="1").text = "Одежда и аксессуары"
    for at, name in enumerate(names):
        ET.SubElement(categories, "category", id=str(10 + at), parentId="1").text = name
    offers = ET.SubElement(shop, "offers")
    for thing in things:
        for at, (size, in_stock) in enumerate(thing.stock(1)):
            _yml_offer(
                offers,
                thing,
                at,
                size,
                in_stock,
                str(10 + names.index(thing.kind.russian_category)),
            )
    return _xml(root, "windows-1251")


def _yml_offer(
    offers: ET.Element, thing: Thing, at: int, size: str, in_stock: bool, category: str
) -> None:
    group = str(90000 + thing.number)
    offer = ET.SubElement(
        offers, "offer", id=yml_id(thing, at), available=str(in_stock).lower(), group_id=group
    )
    fields = {
        "url": f"https://lavka.example/item?id={yml_id(thing, at)}&utm_source=yml",
        "price": str(thing.roubles()), "currencyId": "RUR", "categoryId": category,
        "picture": _image_url(YML_STORE, thing.images[0]), "name": thing.russian_title, "vendor": thing.brand,
        "description": f"{thing.russian_title}. {_INVENTED_RUSSIAN}",
    }  # fmt: skip
    if thing.number % 4:  # stores forget the maker's number now and then
        fields["vendorCode"] = thing.mpn
    for name, text in fields.items():
        ET.SubElement(offer, name).text = text
    ET.SubElement(offer, "param", name="Цвет").text = COLOURS[thing.colour].russian
    ET.SubElement(offer, "param", name="Размер", unit="INT").text = size


def _image_url(store: str, name: str) -> str:
    return f"{{BASE}}/stores/{store}/images/{name}"


def _xml(root: ET.Element, encoding: str) -> bytes:
    ET.indent(root, " ")
    text: bytes = ET.tostring(root, encoding=encoding, xml_declaration=True)
    return text


def recrop(source: Path, target: Path, number: int) -> None:
    """The second store's picture of the same thing: cropped, smaller, lighter, compressed harder."""
    chance = np.random.default_rng([number, 31])
    with Image.open(source) as image:
        width, height = image.size
        left, top, right, bottom = chance.uniform(0.01, 0.05, 4) * [width, height, width, height]
        cropped = image.convert("RGB").crop(
            (int(left), int(top), int(width - right), int(height - bottom))
        )
    scale = float(chance.uniform(0.7, 0.9))
    small = cropped.resize(
        (int(cropped.width * scale), int(cropped.height * scale)), Image.Resampling.LANCZOS
    )
    lit = ImageEnhance.Brightness(small).enhance(float(chance.uniform(0.95, 1.05)))
    write_whole(target, jpeg(lit, quality=int(chance.integers(62, 74))))


def jpeg(image: Image.Image, quality: int = 88) -> bytes:
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=quality)
    return stored.getvalue()
