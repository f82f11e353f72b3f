"""Three hundred stores that show placeholders: `python bench/placeholder_web.py [--stores 300] [--things 1000]`.

A web is generated and served over HTTP: things, each with a photograph of its maker (a photo of closet, each of
another thing), are sold by two to five stores, which crop and recompress it, word its title in their own way and
language, and set their own price. Beside the photographs they show what shows no thing: the "no image" picture of
their shop software (in many languages and sizes), size charts, their logo, sale banners, and pictures of the brand
(a photograph that all of the brand's offers show, at every store). No GTIN and no MPN is told. A real sync groups
the offers; counted are pairs of stores' things that it joined.

Then the pairs of luma and outlet by pictures alone, as bench/main_job.py counts them.
"""

from __future__ import annotations

import csv
import io
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sqlalchemy import select

from lensback.catalogue import pictures, stores
from lensback.db import tables as t
from lensback.demo import serve_folder
from lensback.metrics import bootstrap
from lensback.sync import sync
from lensback.workspace import Workspace
from main_job import grouping
from rig import DATA, arguments, connected, jpeg, opened, share, write

ADJECTIVES = "Checked Striped Plain Quilted Soft Slim Loose Vintage Classic Ribbed Knitted Washed"
CLOTHS = "cotton wool linen denim leather fleece velvet canvas silk corduroy"
KINDS = {
    "Shirt": "Рубашка", "Jacket": "Куртка", "Dress": "Платье", "Trousers": "Брюки", "Skirt": "Юбка",
    "Boots": "Ботинки", "Bag": "Сумка", "Scarf": "Шарф", "Hat": "Шапка", "Coat": "Пальто",
}  # fmt: skip
RUSSIAN_WORDS = (
    "Клетчатая Полосатая Однотонная Стёганая Мягкая Узкая Свободная Винтажная Классическая Рубчатая Вязаная "
    "Стираная хлопок шерсть лён деним кожа флис бархат канвас шёлк вельвет"
)
WORDS = dict(
    zip(
        [*ADJECTIVES.split(), *CLOTHS.split()],
        RUSSIAN_WORDS.split(),
        strict=True,
    )
)
SYLLABLES = "mar lo ve ti ra no ka el bri son da wen or fi lu qua"
NO_IMAGE = (
    "No image",
    "Kein Bild",
    "Pas d'image",
    "Sin imagen",
    "Brak zdjecia",
    "Image coming soon",
    "Geen foto",
    "",
)
COLUMNS = "id title link price brand product_type image_link additional_image_link"
SIDES = (300, 400, 600)
BRANDS = 40
SOFTWARES = 12
"""Kinds of shop software, each with a "no image" picture of its own."""
WITHOUT_PHOTO, WITH_CHART, WITH_LOGO, WITH_BRAND, WITH_BANNER = 0.08, 0.25, 0.15, 0.25, 0.1
"""Shares of offers."""
RUSSIAN = 0.25
"""Share of stores."""


@dataclass(frozen=True)
class Thing:
    number: int
    brand: str
    kind: str
    words: tuple[str, str]
    model: str
    price: int


@dataclass(frozen=True)
class Shop:
    name: str
    russian: bool
    software: int
    side_px: int
    quality: int


class Web:
    """The folder that is served, and which thing each offer is."""

    def __init__(self, folder: Path, shops: int, things: int, seed: int) -> None:
        self.luck = random.Random(seed)
        self.folder = folder
        self.truth: dict[tuple[str, str], int] = {}
        photos = sorted((DATA / "shops" / "closet" / "images").iterdir())
        self.luck.shuffle(photos)
        self.photos, self.brand_photos = photos[:things], photos[things : things + BRANDS]
        self.brands = [
            "".join(self.luck.sample(SYLLABLES.split(), 3)).title() for _ in range(BRANDS)
        ]
        self.shops = [self._shop(n) for n in range(shops)]
        self.things = [self._thing(n) for n in range(things)]
        self._write()

    def _shop(self, n: int) -> Shop:
        luck = self.luck
        software, side = luck.randrange(SOFTWARES), luck.choice(SIDES)
        return Shop(f"shop{n:03}", luck.random() < RUSSIAN, software, side, luck.randint(60, 92))

    def _thing(self, n: int) -> Thing:
        luck = self.luck
        words = luck.choice(ADJECTIVES.split()), luck.choice(CLOTHS.split())
        model = f"{luck.choice('ABKMRX')}{luck.randint(100, 9999)}"
        price = round(10 ** luck.uniform(0.9, 2.5))
        return Thing(n, luck.choice(self.brands), luck.choice(list(KINDS)), words, model, price)

    def _write(self) -> None:
        sold: dict[Shop, list[Thing]] = {shop: [] for shop in self.shops}
        for thing in self.things:
            for shop in self.luck.sample(self.shops, self.luck.randint(2, 5)):
                sold[shop].append(thing)
        for shop, things in sold.items():
            folder = self.folder / shop.name
            folder.mkdir()
            self._common(shop, folder)
            sink = io.StringIO()
            table = csv.writer(sink)
            table.writerow(COLUMNS.split())
            for thing in things:
                table.writerow(self._offer(shop, thing, folder))
            (folder / "feed.csv").write_text(sink.getvalue())

    def _offer(self, shop: Shop, thing: Thing, folder: Path) -> list[str]:
        luck = self.luck
        key = f"{thing.number}"
        self.truth[shop.name, key] = thing.number
        shown = []
        if luck.random() < WITHOUT_PHOTO:
            shown.append("noimage.jpg")
        else:
            picture = self._taken(opened(self.photos[thing.number]), shop)
            (folder / f"{key}.jpg").write_bytes(picture)
            shown.append(f"{key}.jpg")
        chances = {
            "chart": WITH_CHART,
            "logo": WITH_LOGO,
            f"brand{thing.brand}": WITH_BRAND,
            "banner": WITH_BANNER,
        }
        shown += [f"{name}.jpg" for name, chance in chances.items() if luck.random() < chance]
        if f"brand{thing.brand}.jpg" in shown and not (folder / f"brand{thing.brand}.jpg").exists():
            photo = opened(self.brand_photos[self.brands.index(thing.brand)])
            (folder / f"brand{thing.brand}.jpg").write_bytes(self._taken(photo, shop))
        kind = KINDS[thing.kind] if shop.russian else thing.kind
        words = [WORDS[word] if shop.russian else word for word in thing.words]
        told = [w for w in words if luck.random() < 0.7]
        model = [thing.model] if luck.random() < 0.3 else []
        order = [*told, kind, *([thing.brand] if luck.random() < 0.7 else []), *model]
        price = f"{thing.price * luck.uniform(0.8, 1.25):.2f} EUR"
        urls = [f"{{BASE}}/{shop.name}/{name}" for name in shown]
        page = f"https://{shop.name}.example/{key}"
        return [
            key,
            " ".join(order),
            page,
            price,
            thing.brand,
            f"Clothes > {kind}",
            urls[0],
            ",".join(urls[1:]),
        ]

    def _taken(self, photo: Image.Image, shop: Shop) -> bytes:
        """The photograph as a store shows it: a little cropped, its size, its quality."""
        width, height = photo.size
        left, top, right, bottom = (self.luck.uniform(0, 0.05) for _ in range(4))
        box = (left * width, top * height, width * (1 - right), height * (1 - bottom))
        cut = photo.crop(box)
        cut.thumbnail((shop.side_px, shop.side_px))
        return jpeg(cut, shop.quality)

    def _common(self, shop: Shop, folder: Path) -> None:
        luck = random.Random(f"{shop.software}")
        side, quality = shop.side_px, shop.quality
        grounds = {"noimage": no_image(shop.software, luck), "chart": chart(shop.software, luck),
                   "logo": lettered(shop.name, random.Random(shop.name)), "banner": lettered("SALE -50%", luck)}  # fmt: skip
        for name, picture in grounds.items():
            (folder / f"{name}.jpg").write_bytes(jpeg(picture.resize((side, side)), quality))


def _shade(luck: random.Random, low: int, high: int) -> tuple[int, int, int]:
    return luck.randint(low, high), luck.randint(low, high), luck.randint(low, high)


def no_image(software: int, luck: random.Random) -> Image.Image:
    """A frame, a mountain or a camera, and words in one of many languages."""
    picture = Image.new("RGB", (600, 600), _shade(luck, 200, 255))
    draw, ink = ImageDraw.Draw(picture), _shade(luck, 90, 190)
    draw.rectangle((150, 150, 450, 380), outline=ink, width=luck.randint(4, 14))
    if software % 3 == 0:
        draw.polygon([(170, 360), (260, 230), (330, 310), (370, 260), (430, 360)], fill=ink)
    elif software % 3 == 1:
        draw.ellipse((240, 200, 360, 320), outline=ink, width=14)
    draw.text(
        (300, 450), NO_IMAGE[software % len(NO_IMAGE)], ink, ImageFont.load_default(48), anchor="mm"
    )
    return picture


def chart(software: int, luck: random.Random) -> Image.Image:
    """A table of sizes."""
    picture = Image.new("RGB", (600, 600), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(26)
    rows, columns = 6 + software % 5, 4 + software % 3
    for row in range(rows):
        for column in range(columns):
            at = (30 + column * 540 // columns, 40 + row * 520 // rows)
            draw.rectangle(
                (*at, at[0] + 540 // columns, at[1] + 520 // rows), outline=(150, 150, 150)
            )
            draw.text((at[0] + 8, at[1] + 8), str(luck.randint(32, 120)), (40, 40, 40), font)
    return picture


def lettered(text: str, luck: random.Random) -> Image.Image:
    """A logo or a banner: large letters on one colour."""
    picture = Image.new("RGB", (600, 600), _shade(luck, 30, 220))
    ImageDraw.Draw(picture).text(
        (300, 300), text, _shade(luck, 200, 255), ImageFont.load_default(100), anchor="mm"
    )
    return picture


def joined(workspace: Workspace, truth: dict[tuple[str, str], int]) -> dict[str, Any]:
    """Pairs of stores' things that are one product, held against the truth. Pairs of one product are
    right and wrong together, so precision has a bootstrap by product beside Wilson's interval."""
    o = t.offers.c
    found: dict[str, list[tuple[str, str]]] = {}
    query = select(t.stores.c.name, o.external_id, o.product_id).join(t.stores).where(o.active)
    with workspace.db.read() as c:
        for store, key, product in c.execute(query):
            found.setdefault(product, []).append((store, key))
    pairs = [
        (product, truth[a] == truth[b])
        for product, offers in sorted(found.items())
        for a, b in combinations(offers, 2)
    ]
    right = np.array([same for _, same in pairs], float)
    sold = Counter(truth.values())
    true = sum(n * (n - 1) // 2 for n in sold.values())
    by_product = bootstrap(
        [product for product, _ in pairs], lambda rows: float(right[rows].mean())
    )
    return {
        "precision": share(int(right.sum()), len(pairs)),
        "precision_by_product95": by_product and [round(x, 4) for x in by_product],
        "recall": share(int(right.sum()), true),
        "joined_products": sum(len(offers) > 1 for offers in found.values()),
    }


def main() -> None:
    chosen = arguments(__doc__, stores=300, things=1000, seed=1, encoder="pixels").parse_args()
    with tempfile.TemporaryDirectory() as name:
        served = Path(name) / "web"
        served.mkdir()
        web = Web(served, chosen.stores, chosen.things, chosen.seed)
        with (
            serve_folder(served) as base,
            connected(Path(name) / "w", base, (), encoder=chosen.encoder) as made,
        ):
            for shop in web.shops:
                stores.add(made.db, shop.name, f"{base}/{shop.name}/feed.csv", base=base)
            report = sync(made)
            tally = next(tally for tally in report.tallies if tally.stage == "group")
            figures: dict[str, Any] = {
                "encoder": chosen.encoder,
                "stores": len(web.shops),
                "things": len(web.things),
                "offers": len(web.truth),
                "failed": len(report.failed),
                "web": joined(made, web.truth),
                "placeholders": pictures.placeholders(made.db),
                "refused": dict(tally.rejected),
                "seconds": {tally.stage: round(tally.seconds, 1) for tally in report.tallies[-4:]},
            }
        with (
            serve_folder(DATA / "shops") as base,
            connected(Path(name) / "v", base, encoder=chosen.encoder) as made,
        ):
            sync(made)
            figures["luma_outlet_codes_hidden"] = grouping(made, codes=False)
            figures["luma_outlet_with_codes"] = grouping(made, codes=True)
    write("placeholder_web", figures, chosen.out)


if __name__ == "__main__":
    main()
