"""Latency, recall, build time and memory of the two embedded indexes.

    python bench/search_index.py [--rows 5000 200000] [--out bench/results/search_index.json]

Clustered unit vectors, dim 256, one image in four at two stores; queries are stored vectors with
noise; k = 100 candidates of distinct images (a search asks for 60 or more), recall@10 against
brute force. Each index is built in one process and searched in another one. Both run on the same
machine, one after the other, so their ratio says more than the absolute figures.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lensback.indexes import Index, open_index, row_id
from lensback.types import Filter, IndexRow, Vectors
from record import RESULTS, write

DIM = 256
K = 100
QUERIES = 200
FINGERPRINT = "b0" * 8
FILTERS = {"none": Filter(), "10%": Filter(stores=("ten", "one")), "1%": Filter(stores=("one",))}


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

    def truth(self, where: Filter) -> list[set[str]]:
        """The ten best images of each query."""
        fits = np.isin(self.kinds, where.stores) if where.stores else np.ones(len(self.kinds), bool)
        images = np.unique(self.images[fits])
        best = np.argsort(-(self.queries @ self.by_image[images].T), axis=1)[:, :10]
        return [{f"{images[i]:064x}" for i in row} for row in best]


def _unit(vectors: NDArray[np.float32]) -> Vectors:
    scaled: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def _noise(draw: np.random.Generator, n: int, length: float) -> NDArray[np.float32]:
    noise = draw.standard_normal((n, DIM), dtype=np.float32)
    scaled: NDArray[np.float32] = noise * np.float32(length / np.sqrt(DIM))
    return scaled


def build(url: str, rows: int, root: Path) -> dict[str, float]:
    """Seconds of staging, publishing, and of a small second publish; MB on disk and at the peak."""
    gallery = Gallery(rows)
    before = _peak_mb()
    index = open_index(url, root, fingerprint=FINGERPRINT, dim=DIM)
    staged_s = _seconds(lambda: _stage(index, gallery, rows))
    publish_s = _seconds(lambda: index.publish("bench"))
    changed = gallery.rows(0, min(rows, 2000))
    index.upsert(changed[:1000], gallery.by_image[gallery.images[:1000]])
    index.delete([row.row_id for row in changed[1000:]])
    again_s = _seconds(lambda: index.publish("bench"))
    index.upsert(changed, gallery.by_image[gallery.images[: len(changed)]])
    index.publish("bench")
    disk = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    return {
        "stage_s": staged_s,
        "publish_s": publish_s,
        "publish_of_2k_changes_s": again_s,
        "disk_mb": round(disk / 1e6),
        "peak_above_data_mb": round(_peak_mb() - before),
    }


def _stage(index: Index, gallery: Gallery, rows: int) -> None:
    for start in range(0, rows, 8192):
        part = gallery.rows(start, start + 8192)
        index.upsert(part, gallery.by_image[gallery.images[start : start + len(part)]])


def search(url: str, rows: int, root: Path) -> dict[str, object]:
    """Warm start, then latency and recall under each filter, then searches per second."""
    gallery = Gallery(rows)
    import lancedb  # noqa: F401 - its import is no part of the index's start

    before = _now_mb()
    index = open_index(url, root)
    start_s = _seconds(lambda: index.search(gallery.queries[0], K, Filter()))
    figures = {name: _measured(index, gallery, where) for name, where in FILTERS.items()}
    with ThreadPoolExecutor(2) as pool:
        spent_s = _seconds(
            lambda: list(pool.map(lambda q: index.search(q, K, Filter()), gallery.queries))
        )
    return {
        "open_and_first_search_ms": round(start_s * 1000, 1),
        "memory_mb": round(_now_mb() - before),
        "searches_per_s_2_threads": round(QUERIES / spent_s),
        "filters": figures,
    }


def _measured(index: Index, gallery: Gallery, where: Filter) -> dict[str, float]:
    for query in gallery.queries:
        index.search(query, K, where)  # warm: partitions are read when first met
    truths = gallery.truth(where)
    times, hits, cpu_s = [], 0, time.process_time()
    for query, truth in zip(gallery.queries, truths, strict=True):
        begin = time.perf_counter()
        found = index.search(query, K, where)
        times.append((time.perf_counter() - begin) * 1000)
        hits += len(truth & {candidate.image_hash for candidate in found[:10]})
    cpu_ms = (time.process_time() - cpu_s) * 1000 / len(times)
    p50, p99 = np.percentile(times, [50, 99])
    recall = hits / (10 * len(gallery.queries))
    return {
        "p50_ms": round(p50, 2),
        "p99_ms": round(p99, 2),
        "cpu_ms": round(cpu_ms, 2),
        "recall_at_10": round(recall, 4),
    }


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return round(time.perf_counter() - begin, 3)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _now_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def _child(step: str, url: str, rows: int, root: Path) -> dict[str, object]:
    done = subprocess.run(
        [
            sys.executable,
            __file__,
            "--step",
            step,
            "--index",
            url,
            "--root",
            str(root),
            "--rows",
            str(rows),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _ratios(
    sizes: dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]],
) -> dict[str, object]:
    """How many times faster lance answers than exact, by p50."""
    return {
        size: {
            name: round(
                found["exact"]["filters"][name]["p50_ms"]
                / found["lance"]["filters"][name]["p50_ms"],
                2,
            )
            for name in FILTERS
        }
        for size, found in sizes.items()
    }


def run(sizes: list[int], out: Path) -> None:
    found: dict[str, dict[str, dict[str, object]]] = {}
    for rows in sizes:
        for url in ("exact", "lance"):
            with tempfile.TemporaryDirectory() as folder:
                built = _child("build", url, rows, Path(folder))
                searched = _child("search", url, rows, Path(folder))
            found.setdefault(str(rows), {})[url] = {**built, **searched}
            print(rows, url, json.dumps({**built, **searched}), flush=True)
    figures = {
        "dim": DIM,
        "k": K,
        "rows": found,
        "lance_faster_than_exact": _ratios(found),  # type: ignore[arg-type]
    }
    write("search_index", figures, out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 200_000])
    parser.add_argument("--out", type=Path, default=RESULTS / "search_index.json")
    parser.add_argument("--step", choices=["build", "search"], help=argparse.SUPPRESS)
    parser.add_argument("--index", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not asked.step:
        run(asked.rows, asked.out)
    else:
        step = build if asked.step == "build" else search
        print(json.dumps(step(asked.index, asked.rows[0], asked.root)))


if __name__ == "__main__":
    main()
