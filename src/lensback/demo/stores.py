"""The demo's two stores: a Google Merchant feed in dollars, a YML feed in Russian and roubles.

Both are invented, prices too, and both feeds say so.
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from PIL import Image

from lensback.demo.things import Thing
from lensback.distort import Distortion, distort

GOOGLE_STORE, YML_STORE = "harbour", "lavka"
_G = "http://base.google.com/ns/1.0"
_INVENTED = "An invented store of the demo: its prices, sizes and stock are not real."
_INVENTED_RUSSIAN = "Вымышленный магазин демонстрации: цены, размеры и наличие не настоящие."
_ANOTHER_STORE = Distortion(
    crop_min=0.02, crop_max=0.1, rotation_deg=0, brightness=0.05, jpeg_quality=70
)
_RUSSIAN_CATEGORIES = {
    "T-shirts": "Футболки", "Polo shirts": "Поло", "Long sleeves": "Лонгсливы", "Knitwear": "Свитеры",
    "Camisoles": "Топы", "Shirts": "Рубашки", "Blouses": "Блузки", "Hoodies": "Толстовки",
    "Trousers": "Брюки", "Shorts": "Шорты", "Skirts": "Юбки", "Dresses": "Платья",
    "Jackets and coats": "Куртки", "Blazers": "Жакеты",
}  # fmt: skip


def offer_ids(thing: Thing) -> frozenset[tuple[str, str]]:
    """(store, the feed's own id) of each offer of a thing: one a size at each store that sells it."""
    harbour = [(GOOGLE_STORE, _google_id(thing, size)) for size in thing.sizes if thing.usd]
    lavka = [(YML_STORE, _yml_id(thing, at)) for at in range(len(thing.sizes)) if thing.rub]
    return frozenset(harbour + lavka)


def google_feed(sold: Sequence[Thing]) -> bytes:
    """RSS 2.0 with Google's names, UTF-8; one item a size."""
    ET.register_namespace("g", _G)
    rss = ET.Element("rss", version="2.0")
    channel = ET.SubElement(rss, "channel")
    about = {"title": "Harbour", "link": "https://harbour.example", "description": _INVENTED}
    _fill(channel, about)
    for thing in sold:
        for at, size in enumerate(thing.sizes):
            _google_item(channel, thing, at, size)
    return _xml(rss, "utf-8")


def _google_item(channel: ET.Element, thing: Thing, at: int, size: str) -> None:
    item = ET.SubElement(channel, "item")
    link = f"https://harbour.example/p/{_google_id(thing, size)}"
    _fill(item, {"title": thing.title, "link": link, "description": f"{thing.title}. {_INVENTED}"})
    price = {"price": f"{thing.usd}.00 USD"}
    if thing.number % 5 == 0:
        price = {"price": f"{round(thing.usd * 1.3)}.00 USD", "sale_price": f"{thing.usd}.00 USD"}
    urls = [_image_url(GOOGLE_STORE, name) for name in thing.photos]
    fields = {
        "id": _google_id(thing, size), "item_group_id": f"h{thing.number:03d}", "image_link": urls[0], **price,
        "availability": "in_stock" if thing.in_stock(0, at) else "out_of_stock",
        "product_type": thing.category, "color": thing.colour, "size": size, "condition": "used",
    }  # fmt: skip
    _fill(item, {f"{{{_G}}}{name}": text for name, text in fields.items()})
    for url in urls[1:]:
        ET.SubElement(item, f"{{{_G}}}additional_image_link").text = url


def yml_feed(sold: Sequence[Thing]) -> bytes:
    """A YML catalogue in windows-1251; one offer a size."""
    root = ET.Element("yml_catalog", date="2026-01-01 06:00")
    shop = ET.SubElement(root, "shop")
    _fill(shop, {"name": "Лавка", "company": _INVENTED_RUSSIAN, "url": "https://lavka.example"})
    ET.SubElement(ET.SubElement(shop, "currencies"), "currency", id="RUR", rate="1")
    categories = ET.SubElement(shop, "categories")
    ET.SubElement(categories, "category", id="1").text = "Одежда"
    names = sorted({_russian_category(thing) for thing in sold})
    for at, name in enumerate(names):
        ET.SubElement(categories, "category", id=str(10 + at), parentId="1").text = name
    offers = ET.SubElement(shop, "offers")
    for thing in sold:
        for at, size in enumerate(thing.sizes):
            _yml_offer(offers, thing, at, size, 10 + names.index(_russian_category(thing)))
    return _xml(root, "windows-1251")


def _yml_offer(offers: ET.Element, thing: Thing, at: int, size: str, category: int) -> None:
    own = {
        "id": _yml_id(thing, at),
        "available": str(thing.in_stock(1, at)).lower(),
        "group_id": str(90000 + thing.number),
    }
    offer = ET.SubElement(offers, "offer", own)
    fields = {
        "url": f"https://lavka.example/item?id={_yml_id(thing, at)}&utm_source=yml",
        "price": str(thing.rub), "currencyId": "RUR", "categoryId": str(category),
        "picture": _image_url(YML_STORE, thing.photos[0]), "name": thing.russian_title,
        "description": f"{thing.russian_title}. {_INVENTED_RUSSIAN}",
    }  # fmt: skip
    _fill(offer, fields)
    ET.SubElement(offer, "param", name="Размер", unit="INT").text = size


def _russian_category(thing: Thing) -> str:
    return _RUSSIAN_CATEGORIES[thing.category.rpartition(" > ")[2]]


def _google_id(thing: Thing, size: str) -> str:
    return f"h{thing.number:03d}-{size}"


def _yml_id(thing: Thing, at: int) -> str:
    return str(700000 + thing.number * 10 + at)


def _image_url(store: str, name: str) -> str:
    return f"{{BASE}}/stores/{store}/images/{name}"


def _fill(element: ET.Element, fields: dict[str, str]) -> None:
    for name, text in fields.items():
        ET.SubElement(element, name).text = text


def _xml(root: ET.Element, encoding: str) -> bytes:
    ET.indent(root, " ")
    text: bytes = ET.tostring(root, encoding=encoding, xml_declaration=True)
    return text


def recrop(picture: bytes, number: int) -> bytes:
    """The second store's picture of the same thing: cropped, in other light, compressed harder."""
    with Image.open(io.BytesIO(picture)) as image:
        changed = distort(image, number, _ANOTHER_STORE)
    stored = io.BytesIO()
    changed.save(stored, "JPEG", quality=80)
    return stored.getvalue()
