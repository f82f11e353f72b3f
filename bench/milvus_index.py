"""A Milvus beside the embedded index: build, memory, latency and recall under filters.

    python bench/milvus_index.py [--rows 200000] [--members lance milvus]

The vectors, rows and queries of bench/search_index.py (clustered unit vectors, dim 256, one image
in four at two stores), k = 100 candidates, recall@10 against brute force. Milvus is the
standalone server of the tests, started here on a free port. Both run on the same machine, one
after the other. Memory is that of the process that answers: the searcher's own for the embedded
index, the server's for Milvus.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from lensback.indexes import Index, open_index
from lensback.types import Filter, Money
from milvus_server import MilvusServer  # type: ignore[import-not-found]
from record import write
from search_index import DIM, FINGERPRINT, QUERIES, Gallery, K

BATCH = 4000
ROWS = 200_000


def filters(rows: int) -> dict[str, Filter]:
    """A row's price is its place, so a price limit keeps any share of the rows."""
    return {
        "none": Filter(),
        "10%": Filter(stores=("ten", "one")),
        "1%": Filter(stores=("one",)),
        "0.1%": Filter(price_max=Money(rows // 1000, "EUR")),
    }


def truths(gallery: Gallery, where: Filter) -> list[set[str]]:
    """The ten best images of each query, by blocks so that memory stays small."""
    fits = np.ones(len(gallery.images), bool)
    if where.stores:
        fits &= np.isin(gallery.kinds, where.stores)
    if where.price_max:
        fits &= np.arange(len(gallery.images)) <= where.price_max.minor
    images = np.unique(gallery.images[fits])
    best = [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(gallery.queries)
    for start in range(0, len(images), 50_000):
        part = images[start : start + 50_000]
        for i, near in enumerate(gallery.queries @ gallery.by_image[part].T):
            values, names = np.append(best[i][0], near), np.append(best[i][1], part)
            top = np.argsort(-values)[:10]
            best[i] = (values[top], names[top])
    return [{f"{image:064x}" for image in names} for _, names in best]


def build(url: str, rows: int, root: Path) -> dict[str, float]:
    """Seconds of staging, of publishing, and of publishing 2,000 changes."""
    gallery = Gallery(rows)
    index = open_index(url, root, fingerprint=FINGERPRINT, dim=DIM)
    begin = time.perf_counter()
    for start in range(0, rows, BATCH):
        part = gallery.rows(start, start + BATCH)
        index.upsert(part, gallery.by_image[gallery.images[start : start + len(part)]])
    staged = time.perf_counter()
    snapshot = index.publish("bench")
    published = time.perf_counter()
    changed = gallery.rows(0, 2000)
    index.upsert(changed[:1000], gallery.by_image[gallery.images[:1000]])
    index.delete([row.row_id for row in changed[1000:]])
    index.upsert(changed[1000:], gallery.by_image[gallery.images[1000:2000]])
    index.publish("bench")
    return {
        "stage_s": round(staged - begin, 1),
        "publish_s": round(published - staged, 1),
        "publish_of_3k_changes_s": round(time.perf_counter() - published, 1),
        "recall_at_publish": snapshot.recall,
    }


def search(url: str, rows: int, root: Path) -> dict[str, object]:
    gallery = Gallery(rows)
    before = _now_mb()
    index = open_index(url, root)
    begin = time.perf_counter()
    index.search(gallery.queries[0], K, Filter())
    first_s = time.perf_counter() - begin
    found = {name: _measured(index, gallery, where) for name, where in filters(rows).items()}
    begin = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda query: index.search(query, K, Filter()), gallery.queries))
    spent_s = time.perf_counter() - begin
    return {
        "open_and_first_search_ms": round(first_s * 1000, 1),
        "searcher_memory_mb": round(_now_mb() - before),
        "searches_per_s_2_threads": round(QUERIES / spent_s),
        "filters": found,
    }


def _measured(index: Index, gallery: Gallery, where: Filter) -> dict[str, float]:
    wanted = truths(gallery, where)
    for query in gallery.queries[:50]:
        index.search(query, K, where)
    times, hits = [], 0
    for query, truth in zip(gallery.queries, wanted, strict=True):
        begin = time.perf_counter()
        found = index.search(query, K, where)
        times.append((time.perf_counter() - begin) * 1000)
        hits += len(truth & {candidate.image_hash for candidate in found[:10]})
    p50, p99 = np.percentile(times, [50, 99])
    total = sum(len(truth) for truth in wanted)
    return {
        "p50_ms": round(p50, 2),
        "p99_ms": round(p99, 2),
        "recall_at_10": round(hits / total, 4),
    }


def _now_mb(process: str = "self") -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def _child(step: str, url: str, rows: int, root: Path) -> dict[str, object]:
    command = [sys.executable, __file__, "--step", step, "--url", url, "--root", str(root)]
    done = subprocess.run(
        [*command, "--rows", str(rows)], check=True, stdout=subprocess.PIPE, text=True
    )
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure(member: str, rows: int) -> dict[str, object]:
    """One member: built in one process, searched in another."""
    with tempfile.TemporaryDirectory() as folder:
        if member != "milvus":
            built = _child("build", member, rows, Path(folder))
            return {**built, **_child("search", member, rows, Path(folder))}
        server = MilvusServer()
        server.start()
        try:
            url = server.url("bench")
            built = _child("build", url, rows, Path(folder))
            searched = _child("search", url, rows, Path(folder))
            disk = sum(p.stat().st_size for p in server.folder.rglob("*") if p.is_file())
            return {**built, **searched, "server_memory_mb": round(_now_mb(str(server.pid))),
                    "server_disk_mb": round(disk / 1e6)}  # fmt: skip
        finally:
            server.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--members", nargs="+", default=["lance", "milvus"])
    parser.add_argument("--step", choices=["build", "search"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        step = build if asked.step == "build" else search
        print(json.dumps(step(asked.url, asked.rows, asked.root)))
        return
    found = {}
    for member in asked.members:
        found[member] = measure(member, asked.rows)
        print(member, json.dumps(found[member]), flush=True)
    name = "milvus_index" if asked.rows == ROWS else f"milvus_index_{asked.rows}"
    write(name, {"rows": asked.rows, "dim": DIM, "k": K, "members": found})


if __name__ == "__main__":
    main()
