"""Feed readers against a bare parser of the same file: `python bench/feeds.py [--offers N] [--repeat N]`.

Processor time of `feeds.read` over generated files, about 1.5 kB an offer: a YML (against
`lxml.etree.iterparse` that only counts and clears) and an AWIN table of 36 columns (against
`csv.reader`), and a narrow table of 12 columns where cleaning weighs most. Both sides are measured in
turn, in processes of their own, and the best of each counts; memory is sampled while the reader reads.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from lxml import etree

from lensback import feeds
from lensback.types import Offer
from rig import arguments, child, memory_mb, write

RUSSIAN = """
    тёплая куртка мужская зимняя с капюшоном и карманами на молнии из плотной ткани для
    города прогулок отдыха
""".split()  # noqa: SIM905 - easier to read
ENGLISH = """
    train flow and restore in the versatile collection designed for yoga and training
    intended to sit above ankle waistband lies flat
""".split()  # noqa: SIM905 - easier to read
AWIN = """
    data_feed_id merchant_id merchant_name aw_product_id aw_deep_link image_url aw_thumb_url
    category_id category_name brand_id brand_name merchant_product_id merchant_category mpn
    product_name description promotional_text merchant_deep_link merchant_image_url currency
    search_price in_stock is_for_sale condition product_type colour keywords custom_2
    Fashion:suitable_for Fashion:size Fashion:material Fashion:pattern alternate_image
    product_short_description base_price terms_of_contract
""".split()  # noqa: SIM905 - easier to read
NARROW = """
    aw_deep_link product_name aw_product_id merchant_image_url description merchant_category
    search_price currency merchant_deep_link brand_name colour in_stock
""".split()  # noqa: SIM905 - easier to read


def ean(number: int) -> str:
    """A GTIN-13 of its own for every product."""
    digits = f"{400000000000 + number}"
    total = sum(int(d) * (3 if place % 2 else 1) for place, d in enumerate(digits))
    return digits + str(-total % 10)


def price(rng: random.Random) -> int:
    """As prices are: few are 1,234.56, most are round."""
    return round(rng.lognormvariate(8, 1)) // 10 * 10 + 90


def write_yml(path: Path, n: int) -> None:
    rng = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        file.write(
            '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE yml_catalog SYSTEM "shops.dtd">\n'
        )
        file.write('<yml_catalog date="2026-01-01 10:00"><shop><name>S</name><currencies>')
        file.write('<currency id="RUR" rate="1"/></currencies>\n<categories>')
        for c in range(200):
            parent = f' parentId="{c // 10}"' if c > 9 else ""
            file.write(f'<category id="{c}"{parent}>Раздел {c}</category>\n')
        file.write("</categories><offers>\n")
        for k in range(n):
            now = price(rng)
            told = " ".join(rng.choices(RUSSIAN, k=42))
            images = f"https://cdn.shop.example/images/{k // 1000}/{k}"
            file.write(
                f'<offer id="{k}" available="{"true" if k % 7 else "false"}" group_id="{k // 5}">\n'
                f"<url>https://shop.example/catalog/item-{k}/?color=blue&amp;utm_source=yml&amp;utm_medium=cpc</url>\n"
                f"<price>{now}.00</price>\n<oldprice>{now + 500}</oldprice>\n<currencyId>RUR</currencyId>\n"
                f"<categoryId>{k % 200}</categoryId>\n<picture>{images}_1.jpg</picture>\n"
                f"<picture>{images}_2.jpg</picture>\n<picture>{images}_3.jpg</picture>\n"
                f"<store>false</store><pickup>true</pickup><delivery>true</delivery>\n"
                f"<name>Куртка Vendor{k % 300} Model {k} синяя</name>\n<vendor>Vendor{k % 300}</vendor>\n"
                f"<vendorCode>V-{k}</vendorCode>\n"
                f"<description><![CDATA[<p>{told} {k} & <b>ещё</b></p>]]></description>\n"
                f"<barcode>{ean(k)}</barcode>\n<sales_notes>Предоплата</sales_notes>\n"
                f'<param name="Цвет">синий</param>\n<param name="Размер" unit="RU">{40 + k % 20}</param>\n'
                f'<param name="Пол">Мужской</param>\n<param name="Материал">Хлопок {k % 100}%</param>\n</offer>\n'
            )
        file.write("</offers></shop></yml_catalog>\n")


def write_table(path: Path, n: int, columns: list[str]) -> None:
    rng = random.Random(2)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        words = 75 if columns is AWIN else 5
        for k in range(n):
            image = f"https://images.shop.example/is/image/shop/{k}_1"
            row = {
                "data_feed_id": 72291,
                "merchant_id": 30347,
                "merchant_name": "shop (US)",
                "aw_product_id": 40026645008 + k,
                "aw_deep_link": f"https://www.awin1.com/pclick.php?p={40026645008 + k}&a=1299065&m=30347",
                "image_url": image,
                "aw_thumb_url": "https://images2.productserve.com/?w=70&h=70&bg=white&trim=5&t=letterbox&url="
                f"ssl%3Aimages.shop.example%2F{k}_1&feedId=72291&k=a4127d7c7a899a725f2acb2a18fbb9a0773638df",
                "category_id": 137,
                "category_name": "Men's Clothing",
                "brand_name": f"Brand {k % 300}",
                "merchant_product_id": f"us_{k}",
                "merchant_category": "Apparel & Accessories > Clothing > Pants",
                "mpn": f"M{k}",
                "product_name": f"Wunder Under High-Rise Leggings {k}",
                "description": " ".join(rng.choices(ENGLISH, k=words)).capitalize() + ", really.",
                "promotional_text": "prod11780200",
                "merchant_deep_link": f"https://shop.example/p/leggings/_/prod{k}?color=0001&locale=en_US",
                "merchant_image_url": image,
                "currency": "USD",
                "search_price": f"{price(rng) / 100:.2f}",
                "in_stock": 1,
                "is_for_sale": 1,
                "condition": "new",
                "product_type": "Pants",
                "colour": f"Black {k % 50}",
                "keywords": "yoga pants",
                "custom_2": k % 7,
                "Fashion:suitable_for": "Female",
                "Fashion:size": k % 20,
                "alternate_image": f"https://images.shop.example/is/image/shop/{k}_2",
                "product_short_description": "A short text of it.",
            }
            rows.writerow([row.get(name, "") for name in columns])


def read(path: Path) -> tuple[int, list[float]]:
    """Offers, and resident memory at every tenth of a million."""
    offers = 0
    memory = [memory_mb()]
    with path.open("rb") as file:
        for row in feeds.read(file):
            offers += isinstance(row, Offer)
            if offers % 100_000 == 0:
                memory.append(memory_mb())
    return offers, memory


def bare_xml(path: Path) -> tuple[int, list[float]]:
    n = 0
    for _, element in etree.iterparse(str(path), tag="offer"):
        n += 1
        element.clear(keep_tail=True)
        while element.getprevious() is not None:
            del element.getparent()[0]
    return n, []


def bare_csv(path: Path) -> tuple[int, list[float]]:
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1, []


WORK = {"read": read, "bare_xml": bare_xml, "bare_csv": bare_csv}


def one(name: str, path: Path) -> None:
    """One measurement, in this process; prints JSON."""
    begin = time.process_time()
    n, memory = WORK[name](path)
    spent = time.process_time() - begin
    print(json.dumps({"n": n, "s": spent, "peak_mb": memory_mb(field="VmHWM"), "rss_mb": memory}))


def measured(name: str, path: Path, expected: int) -> dict[str, Any]:
    found = child(__file__, "--one", name, path)
    if found["n"] != expected:
        raise SystemExit(f"{name} found {found['n']} of {expected} offers")
    return found


def compare(path: Path, bare: str, n: int, repeat: int) -> dict[str, Any]:
    turns = [(measured("read", path, n), measured(bare, path, n)) for _ in range(repeat)]
    ours_s, theirs_s = (min(turn[side]["s"] for turn in turns) for side in (0, 1))
    return {
        "file_mb": round(path.stat().st_size / 1e6),
        "read_s": round(ours_s, 2),
        "bare_s": round(theirs_s, 2),
        "ratio": round(ours_s / theirs_s, 2),
        "offers_per_s": round(n / ours_s),
        "peak_mb": turns[0][0]["peak_mb"],
        "rss_mb_each_100000": turns[0][0]["rss_mb"],
    }


def main() -> None:
    parser = arguments(__doc__, offers=100_000, repeat=3, folder=None)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one[0], Path(options.one[1]))
        return
    n = options.offers
    figures: dict[str, Any] = {"offers": n, "repeat": options.repeat}
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        path = Path(temporary) / "feed"
        write_yml(path, n)
        figures["yml"] = compare(path, "bare_xml", n, options.repeat)
        for name, columns in (("awin_36_columns", AWIN), ("awin_12_columns", NARROW)):
            write_table(path, n, columns)
            figures[name] = compare(path, "bare_csv", n, options.repeat)
    write("feeds" if n < 1_000_000 else "feeds_million", figures, options.out)


if __name__ == "__main__":
    main()
