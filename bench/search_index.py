"""Latency, recall, build time and memory of indexes.

    python bench/search_index.py [--rows 5000 200000] [--members exact lance milvus] [--name NAME]

Clustered unit vectors, dim 256, one image in four at two stores; queries are stored vectors with
noise; k = 100 candidates of distinct images (a search asks for 60 or more), recall@10 against
brute force. Each index is built in one process and searched in another one; Milvus is the
standalone server of the tests, and its memory is the server's. All run on the same machine, one
after the other, so their ratio says more than the absolute figures.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensback.indexes import Index, open_index, row_id
from lensback.types import Filter, IndexRow, Money, Vectors
from rig import arguments, child, memory_mb, milvus, percentiles, write

DIM = 256
K = 100
QUERIES = 200
BATCH = 4000
FINGERPRINT = "b0" * 8


def filters(rows: int) -> dict[str, Filter]:
    """A row's price is its place, so a price limit keeps any share of the rows."""
    return {
        "none": Filter(),
        "10%": Filter(stores=("ten", "one")),
        "1%": Filter(stores=("one",)),
        "0.1%": Filter(price_max=Money(rows // 1000, "EUR")),
    }


class Gallery:
    """`rows` rows over 0.8 * `rows` images, and noisy queries. The same for the same number."""

    def __init__(self, rows: int) -> None:
        draw = np.random.default_rng(0)
        images = rows * 4 // 5
        centres = _unit(draw.standard_normal((max(1, images // 100), DIM), dtype=np.float32))
        near = centres[draw.integers(0, len(centres), images)]
        self.by_image = _unit(near + _noise(draw, images, 1.0))
        self.images = np.concatenate([np.arange(images), np.arange(rows - images)])
        self.kinds = draw.choice(["rest", "ten", "one"], rows, p=[0.9, 0.09, 0.01])
        picked = self.by_image[draw.integers(0, images, QUERIES)]
        self.queries = _unit(picked + _noise(draw, QUERIES, 0.5))

    def rows(self, start: int, stop: int) -> list[IndexRow]:
        made = []
        for place in range(start, min(stop, len(self.images))):
            name, kind = f"{self.images[place]:064x}", str(self.kinds[place])
            # The place in the category keeps two rows of one image apart.
            category = f"c{place // len(self.by_image)}"
            number = row_id(name, kind, category, True, "EUR")
            made.append(IndexRow(number, name, kind, category, True, "EUR", place, place))
        return made

    def upsert(self, index: Index, start: int, stop: int) -> None:
        for at in range(start, stop, BATCH):
            part = self.rows(at, min(at + BATCH, stop))
            index.upsert(part, self.by_image[self.images[at : at + len(part)]])

    def truth(self, where: Filter) -> list[set[str]]:
        """The ten best images of each query, by blocks so that memory stays small."""
        fits = np.ones(len(self.images), bool)
        if where.stores:
            fits &= np.isin(self.kinds, where.stores)
        if where.price_max:
            fits &= np.arange(len(self.images)) <= where.price_max.minor
        images = np.unique(self.images[fits])
        best = [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(self.queries)
        for start in range(0, len(images), 50_000):
            part = images[start : start + 50_000]
            for i, near in enumerate(self.queries @ self.by_image[part].T):
                values, names = np.append(best[i][0], near), np.append(best[i][1], part)
                top = np.argsort(-values)[:10]
                best[i] = (values[top], names[top])
        return [{f"{image:064x}" for image in names} for _, names in best]


def _unit(vectors: NDArray[np.float32]) -> Vectors:
    scaled: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def _noise(draw: np.random.Generator, n: int, length: float) -> NDArray[np.float32]:
    noise = draw.standard_normal((n, DIM), dtype=np.float32)
    scaled: NDArray[np.float32] = noise * np.float32(length / np.sqrt(DIM))
    return scaled


def build(url: str, rows: int, root: Path) -> dict[str, Any]:
    """Seconds of staging, of publishing, and of publishing 3,000 changes; MB on disk."""
    gallery = Gallery(rows)
    before = memory_mb(field="VmHWM")
    index = open_index(url, root, fingerprint=FINGERPRINT, dim=DIM)
    figures = {"stage_s": _seconds(lambda: gallery.upsert(index, 0, rows))}
    figures["publish_s"] = _seconds(lambda: index.publish("bench"))

    def change() -> None:
        gallery.upsert(index, 0, min(rows, 1000))
        index.delete([row.row_id for row in gallery.rows(1000, 2000)])
        gallery.upsert(index, 1000, min(rows, 2000))
        index.publish("bench")

    figures["publish_of_3k_changes_s"] = _seconds(change)
    disk = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    peak = round(memory_mb(field="VmHWM") - before)
    return figures | {"disk_mb": round(disk / 1e6), "peak_above_data_mb": peak}


def search(url: str, rows: int, root: Path) -> dict[str, Any]:
    """Opening, then latency and recall under each filter, then searches a second."""
    gallery = Gallery(rows)
    before = memory_mb()
    index = open_index(url, root)
    start_s = _seconds(lambda: index.search(gallery.queries[0], K, Filter()))
    found = {name: _measured(index, gallery, where) for name, where in filters(rows).items()}
    with ThreadPoolExecutor(2) as pool:
        spent_s = _seconds(
            lambda: list(pool.map(lambda q: index.search(q, K, Filter()), gallery.queries))
        )
    return {
        "open_and_first_search_ms": round(start_s * 1000, 1),
        "searcher_memory_mb": round(memory_mb() - before),
        "searches_per_s_2_threads": round(QUERIES / spent_s),
        "filters": found,
    }


def _measured(index: Index, gallery: Gallery, where: Filter) -> dict[str, float]:
    truths = gallery.truth(where)
    for query in gallery.queries:
        index.search(query, K, where)  # warm: partitions are read when first met
    times, hits, cpu_s = [], 0, time.process_time()
    for query, truth in zip(gallery.queries, truths, strict=True):
        begin = time.perf_counter()
        found = index.search(query, K, where)
        times.append((time.perf_counter() - begin) * 1000)
        hits += len(truth & {candidate.image_hash for candidate in found[:10]})
    cpu_ms = (time.process_time() - cpu_s) * 1000 / len(times)
    recall = hits / max(1, sum(map(len, truths)))
    spent = {f"{name}_ms": value for name, value in percentiles(times, (50, 99)).items()}
    return {**spent, "cpu_ms": round(cpu_ms, 2), "recall_at_10": round(recall, 4)}


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return round(time.perf_counter() - begin, 3)


def measure(member: str, rows: int) -> dict[str, Any]:
    """One member: built in one process, searched in another."""
    with tempfile.TemporaryDirectory() as root:

        def step(name: str, url: str) -> dict[str, Any]:
            return child(__file__, "--step", name, "--url", url, "--root", root, "--rows", rows)

        if member != "milvus":
            return {**step("build", member), **step("search", member)}
        with milvus() as server:
            found = {**step("build", server.url("bench")), **step("search", server.url("bench"))}
            disk = sum(p.stat().st_size for p in server.folder.rglob("*") if p.is_file())
            memory = round(memory_mb(server.pid))
            return {**found, "server_memory_mb": memory, "server_disk_mb": round(disk / 1e6)}


def main() -> None:
    parser = arguments(
        __doc__, rows=[5_000, 200_000], members=["exact", "lance"], name="search_index"
    )
    parser.add_argument("--step", choices=["build", "search"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        step = build if asked.step == "build" else search
        print(json.dumps(step(asked.url, asked.rows[0], asked.root)))
        return
    found: dict[str, dict[str, Any]] = {}
    for rows in asked.rows:
        for member in asked.members:
            found.setdefault(str(rows), {})[member] = measure(member, rows)
            print(rows, member, json.dumps(found[str(rows)][member]), flush=True)
    write(asked.name, {"dim": DIM, "k": K, "rows": found}, asked.out)


if __name__ == "__main__":
    main()
