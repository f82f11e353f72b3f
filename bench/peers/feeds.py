"""lxml and csv bare on feeds: `python feeds.py KIND FILE`, in an environment of its own.

KIND is `google` (RSS), `yml` or `csv` (gzip). Every element or row is read to its end and its fields kept as a
dictionary of words; nothing is checked. Prints rows, and seconds of processor time (the least of three).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import time
from collections.abc import Iterator


def xml(path: str, element: str) -> Iterator[dict[str, str]]:
    from lxml import etree

    for _, node in etree.iterparse(path, tag=f"{{*}}{element}", events=("end",)):
        yield {child.tag: child.text or "" for child in node}
        node.clear()
        while node.getprevious() is not None:
            del node.getparent()[0]


def table(path: str) -> Iterator[dict[str, str]]:
    with gzip.open(path) as packed:
        yield from csv.DictReader(io.TextIOWrapper(packed, "utf-8", newline=""))


def main() -> None:
    kind, path = sys.argv[1:]
    best, rows = 1e9, 0
    for _ in range(3):
        begin = time.process_time()
        read = table(path) if kind == "csv" else xml(path, "item" if kind == "google" else "offer")
        rows = sum(1 for _ in read)
        best = min(best, time.process_time() - begin)
    print(json.dumps({"rows": rows, "cpu_s": round(best, 3)}))


if __name__ == "__main__":
    main()
