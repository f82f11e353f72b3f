"""Our search without a filter beside a graph's, in turn: `python bench/peers/graph.py [--rows 200000] [--rounds 5] [--folder DIR]`.

The vectors, queries and truth of run.py. faiss's HNSW (of the project's own faiss; 16 links, 128 looked at, as in vectors.py) gives row
numbers; ours gives candidates with their hashes and exact cosines. Each query is asked of both, one after the other, in one
process and thread; processor time, the median of the queries' ratios with its bootstrap interval, and a profile of ours.
`--folder`: vectors, graph and index stay there and are not made again.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import faiss
import numpy as np
import run  # type: ignore[import-not-found,unused-ignore]

from lensback.indexes import open_index
from lensback.types import Filter
from rig import arguments, write

K = 100


def graph(folder: Path) -> Any:
    if not (folder / "hnsw.faiss").exists():
        vectors = np.load(folder / "vectors.npy")
        made = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
        made.hnsw.efConstruction = 128
        made.add(vectors)
        faiss.write_index(made, str(folder / "hnsw.faiss"))
    return faiss.read_index(str(folder / "hnsw.faiss"))


def recall(found: list[set[int]], truth: Any) -> float:
    return round(float(np.mean([len(a & set(b.tolist())) / 10 for a, b in zip(found, truth, strict=True)])), 4)  # fmt: skip


def compared(folder: Path, rounds: int) -> dict[str, Any]:
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth_1.0.npy")
    index, other = open_index("lance", folder / "ours"), graph(folder)
    asked, every = faiss.SearchParametersHNSW(efSearch=128), Filter()
    mine: list[set[int]] = []
    theirs: list[set[int]] = []
    for query in queries:  # warm, and what they find
        mine.append({run.number(one) for one in index.search(query, K, every)[:10]})
        theirs.append(set(other.search(query[None], K, params=asked)[1][0][:10].tolist()))
    spent = np.empty((rounds, len(queries), 2))
    for times in spent:
        for i, query in enumerate(queries):
            begin = time.thread_time_ns()
            index.search(query, K, every)
            between = time.thread_time_ns()
            other.search(query[None], K, params=asked)
            times[i] = (between - begin) / 1e6, (time.thread_time_ns() - between) / 1e6
    each = np.median(spent[..., 0] / spent[..., 1], axis=0)
    draw = np.random.default_rng(0)
    medians = np.median(draw.choice(each, (2000, len(each))), axis=1)
    told = {}
    for name, at, found in (("ours", 0, mine), ("faiss HNSW", 1, theirs)):
        p10, p50, p99 = np.percentile(spent[..., at], (10, 50, 99)).round(3).tolist()
        told[name] = {"cpu_p10_ms": p10, "cpu_p50_ms": p50, "cpu_p99_ms": p99,
                      "recall_at_10": recall(found, truth)}  # fmt: skip
    interval = np.percentile(medians, (2.5, 97.5)).round(3).tolist()
    return told | {"ratio": round(float(np.median(each)), 3), "interval95": interval}


def main() -> None:
    parser = arguments(__doc__, rows=200_000, queries=100, rounds=5, folder=None)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    faiss.omp_set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "truth_1.0.npy").exists():
            run.data(folder, asked.rows, asked.queries)
        if not (folder / "ours").exists():
            run.filled(folder)
        about = {"rows": asked.rows, "queries": asked.queries, "rounds": asked.rounds}
        found = compared(folder, asked.rounds)
        write("peers_graph", about | {"load_average": os.getloadavg()[0]} | found, asked.out)


if __name__ == "__main__":
    main()
