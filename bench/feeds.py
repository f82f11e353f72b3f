"""Feed readers against a bare parser of the same file: `python bench/feeds.py [--offers N]`.

Processor time of `feeds.read` over a generated YML (against `lxml.etree.iterparse` that only counts
and clears) and a generated AWIN CSV (against `csv.reader`), and the reader's memory above what the
imports take.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lxml import etree

from lensback import feeds
from record import write


def write_yml(path: Path, n: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?><yml_catalog><shop><categories>')
        file.write('<category id="1">Одежда</category></categories><offers>\n')
        for k in range(n):
            file.write(
                f'<offer id="{k}" type="vendor.model" available="true" group_id="{k // 5}">'
                f"<url>https://s.example/item?id={k}&amp;utm_source=yml</url><price>{100 + k % 9000}</price>"
                f"<oldprice>{200 + k % 9000}</oldprice><currencyId>RUR</currencyId><categoryId>1</categoryId>"
                f"<picture>https://s.example/i/{k}.jpg</picture><picture>https://s.example/i/{k}b.jpg</picture>"
                f"<typePrefix>Куртка</typePrefix><vendor>Vendor</vendor><vendorCode>V-{k}</vendorCode><model>Model {k}</model>"
                f"<description><![CDATA[<p>Тёплая куртка {k} & капюшон</p>]]></description><barcode>4006381333931</barcode>"
                f'<param name="Цвет">синий</param><param name="Размер">M</param></offer>\n'
            )
        file.write("</offers></shop></yml_catalog>\n")


def write_csv(path: Path, n: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            [
                "aw_deep_link",
                "product_name",
                "aw_product_id",
                "merchant_image_url",
                "description",
                "merchant_category",
                "search_price",
                "currency",
                "merchant_deep_link",
                "brand_name",
                "colour",
                "in_stock",
            ]
        )
        for k in range(n):
            rows.writerow(
                [
                    f"https://www.awin1.com/pclick.php?p={k}&a=1&m=2",
                    f"Thing {k}",
                    k,
                    f"https://s.example/{k}.jpg",
                    "Text, with a comma",
                    "Clothing > Shirts",
                    "12.50",
                    "GBP",
                    f"https://s.example/{k}",
                    "Brand",
                    "blue",
                    "1",
                ]
            )


def read(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in feeds.read(file))


def bare_xml(path: Path) -> int:
    n = 0
    for _, element in etree.iterparse(str(path), tag="offer"):
        n += 1
        element.clear(keep_tail=True)
        while element.getprevious() is not None:
            del element.getparent()[0]
    return n


def bare_csv(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def seconds(work: Callable[[Path], int], path: Path, expected: int) -> float:
    """Processor time, best of three."""
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        if work(path) != expected:
            raise SystemExit(f"{work.__name__} did not find {expected} offers")
        best = min(best, time.process_time() - begin)
    return round(best, 2)


def peak_mb(path: Path | None) -> int:
    """Peak memory of a process that imports the reader and, with a path, reads the file."""
    code = "import sys, io, resource; from lensback import feeds; import lxml.etree\n"
    if path:
        code += f"for _ in feeds.read(open({str(path)!r}, 'rb')): pass\n"
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--offers", type=int, default=100_000)
    n = parser.parse_args().offers
    figures: dict[str, object] = {"offers": n, "imports_only_mb": peak_mb(None)}
    with tempfile.TemporaryDirectory() as temporary:
        for name, fill, bare in (("yml", write_yml, bare_xml), ("csv", write_csv, bare_csv)):
            path = Path(temporary) / f"feed.{name}"
            fill(path, n)
            ours, theirs = seconds(read, path, n), seconds(bare, path, n)
            figures[name] = {
                "file_mb": round(path.stat().st_size / 1e6),
                "read_s": ours,
                "bare_s": theirs,
                "ratio": round(ours / theirs, 1),
                "offers_per_s": round(n / ours),
                "peak_mb": peak_mb(path),
            }
    write("feeds", figures)


if __name__ == "__main__":
    main()
