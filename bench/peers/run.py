"""Peers beside us on the same work: `python bench/peers/run.py [--rows 20000] [--queries 100]`.

Vectors of real pictures, replicated with noise: faiss, usearch and LanceDB bare, and our index, each in a
process of its own, one after the other. Feeds of the three stores: lxml and csv bare, and our reader, which also
checks, cleans and types every field. The peers are installed into an environment of their own, build/peers; nothing of theirs
becomes part of the project. Processor time, one thread: what else the machine does disturbs it least.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from lensback import feeds
from lensback.indexes import lance, open_index, row_id
from lensback.types import Filter, IndexRow, Money, Offer, Vectors
from rig import DATA, NOISE, REPOSITORY, STORES, arguments, pictures, write

HERE = Path(__file__).resolve().parent
PEERS = {
    "faiss IVF": "peers",
    "faiss HNSW": "peers",
    "usearch HNSW": "peers",
    "LanceDB": "peers",
    "autofaiss": "autofaiss",
    "pgvector, HNSW": "pgvector",
}
"""And the environment that each lives in."""
PACKAGES = {
    "peers": ("faiss-cpu", "usearch", "lancedb", "lxml", "numpy"),
    "autofaiss": ("autofaiss", "pyarrow<20"),
    "pgvector": ("pgserver", "psycopg[binary]", "numpy"),
}
SHARES = (1.0, 0.1, 0.01, 0.001)
KINDS = {"luma": "google", "outlet": "yml", "closet": "csv"}
SCALE = 1_000_000
"""A row's price is its share of this, so that a limit of the price keeps a share of the rows."""


def environment(name: str = "peers") -> Path:
    """The Python of an environment of peers, made where it is missing."""
    folder = REPOSITORY / "build" / name
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES[name]], check=True)
        (folder / "made").touch()
    return python


def seeds() -> Vectors:
    """Vectors of real pictures."""
    from lensback.encoders import open_encoder

    return open_encoder("eye", Path("nowhere"), threads=1).encode(pictures(400))


def data(folder: Path, rows: int, queries: int) -> None:
    """Vectors around those of real pictures, queries beside some of them, shares, and the truth."""
    draw = np.random.default_rng(0)
    real = seeds()
    vectors = near(real[draw.integers(0, len(real), rows)], draw)
    share = draw.random(rows)
    asked = near(vectors[draw.integers(0, rows, queries)], draw)
    for name, values in (("vectors", vectors), ("share", share), ("queries", asked)):
        np.save(folder / f"{name}.npy", values)
    similar = asked @ vectors.T
    for limit in SHARES:
        masked = np.where(share < limit, similar, -2.0)
        best = np.argsort(-masked, axis=1)[:, :10]
        kept = np.take_along_axis(masked, best, axis=1) > -2
        np.save(folder / f"truth_{limit}.npy", np.where(kept, best, -1))


def near(vectors: Vectors, draw: np.random.Generator) -> Vectors:
    """Vectors beside these."""
    noise = draw.standard_normal(vectors.shape).astype(np.float32)
    moved = vectors + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    beside: Vectors = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
    return beside


def ours(folder: Path) -> dict[str, Any]:
    """Our index on the same vectors: a row for each, its share as its price."""
    from vectors import measured, peak_mb  # type: ignore[import-not-found,unused-ignore]

    vectors, share = np.load(folder / "vectors.npy"), np.load(folder / "share.npy")
    index = open_index("lance", folder / "ours", fingerprint="ab" * 8, dim=vectors.shape[1])
    before, begin = peak_mb(), time.process_time()
    for start in range(0, len(vectors), 4000):
        part = [_row(i, share[i]) for i in range(start, min(start + 4000, len(vectors)))]
        index.upsert(part, vectors[start : start + len(part)])
    staged = time.process_time()
    index.publish("bench")
    published, most = time.process_time(), peak_mb() - before

    def search(query: Any, limit: float) -> list[int]:
        most = Money(int(limit * SCALE) - 1, "EUR")
        where = Filter() if limit == 1 else Filter(price_max=most)
        return [int(found.image_hash) for found in index.search(query, 100, where)]

    return {
        "stage_cpu_s": round(staged - begin, 1),
        "build_cpu_s": round(published - staged, 1),
        "peak_above_data_mb": round(most),
        "filters": measured(search, folder),
    }


def _row(number: int, share: float) -> IndexRow:
    price, key = int(share * SCALE), (str(number), "shop", "Things", True, "EUR")
    return IndexRow(row_id(*key), *key, price_low=price, price_high=price)


def read_by_us(store: str) -> dict[str, Any]:
    """Our reader on a store's feed, the least of three."""
    best, rows = 1e9, 0
    for _ in range(3):
        begin = time.process_time()
        with (DATA / "shops" / store / STORES[store]).open("rb") as file:
            found = list(feeds.read(file, name=STORES[store], base="http://127.0.0.1"))
        best = min(best, time.process_time() - begin)
        rows = sum(isinstance(one, Offer) for one in found)
    return {"rows": rows, "cpu_s": round(best, 3)}


def _peer(peer: str, home: str, folder: Path) -> Any:
    try:
        python = environment(home)
    except subprocess.CalledProcessError:
        return {"left_out": f"not installed: pip install {' '.join(PACKAGES[home])}"}
    return _child(python, "vectors.py", peer, folder)


def _child(python: Path, script: str, *words: object) -> Any:
    command = [python, HERE / script, *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    asked = arguments(__doc__, rows=20_000, queries=100).parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    lance.ANN_ROWS = min(lance.ANN_ROWS, asked.rows)  # partitions, as a large catalogue has them
    python, found = environment(), dict[str, Any]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data(folder, asked.rows, asked.queries)
        found["vectors"] = {"ours": ours(folder)}
        for peer, home in PEERS.items():
            found["vectors"][peer] = _peer(peer, home, folder)
            print(peer, json.dumps(found["vectors"][peer]), flush=True)
    found["feeds"] = {
        store: {
            "ours": read_by_us(store),
            "bare": _child(python, "feeds.py", kind, DATA / "shops" / store / STORES[store]),
        }
        for store, kind in KINDS.items()
    }
    about = {"rows": asked.rows, "queries": asked.queries, "load_average": os.getloadavg()[0]}
    write("peers", about | found, asked.out)


if __name__ == "__main__":
    main()
