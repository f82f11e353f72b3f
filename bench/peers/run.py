"""Peers beside us on the same work: `python bench/peers/run.py [--rows 20000] [--queries 100] [--only NAMES] [--folder DIR]`.

Vectors of real pictures, replicated with noise: faiss, usearch, LanceDB, autofaiss, clip-retrieval and pgvector bare, and our index, each in a
process of its own, one after the other. `--only`: of these alone, and what the JSON holds of the others stays; of feeds alone five rounds in turn, in a JSON of their own. `--folder`: the vectors stay there. With `--rows 200000 --out bench/results/peers_200k.json` a large catalogue. Feeds of the three stores: lxml and csv bare, and our reader, which also
checks, cleans and types every field. The peers are installed into an environment of their own, build/peers; nothing of theirs
becomes part of the project. Processor time, one thread: what else the machine does disturbs it least.
"""

from __future__ import annotations

import json
import os
import shutil
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
from lensback.types import Candidate, Filter, IndexRow, Money, Offer, Vectors
from rig import DATA, NOISE, REPOSITORY, RESULTS, STORES, arguments, pictures, write

HERE = Path(__file__).resolve().parent
PEERS = {
    "faiss IVF": "peers",
    "faiss HNSW": "peers",
    "usearch HNSW": "peers",
    "LanceDB": "peers",
    "autofaiss": "autofaiss",
    "clip-retrieval": "clip",
    "pgvector, HNSW": "pgvector",
}
"""And the environment that each lives in."""
PACKAGES = {
    "peers": ("faiss-cpu", "usearch", "lancedb", "lxml", "numpy"),
    "autofaiss": ("autofaiss", "pyarrow<20"),
    "clip": (
        "torch==2.13.0", "autofaiss", "faiss-cpu", "flask<4", "flask_restful<1", "flask_cors<5", "h5py", "prometheus-client<1",
        "fire<0.6", "tqdm", "requests", "pillow", "ftfy", "regex", "transformers<4.50", "sentence-transformers<3",
        "scikit-learn", "scipy", "wandb", "aiohttp", "img2dataset", "numpy<2", "pyarrow<16", "pandas<3", "setuptools<81",
    ),
    "pgvector": ("pgserver", "psycopg[binary]", "numpy"),
}  # fmt: skip
ALONE = {
    "clip": ("clip-retrieval==2.45.0", "all_clip", "clip-anytorch", "multilingual-clip", "torchvision==0.28.0", "webdataset<0.3")
}  # fmt: skip
"""What is installed without what it says it needs: it would bring half of a machine-learning workshop."""
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
        if alone := ALONE.get(name):
            command = [python, "-m", "pip", "install", "--quiet", "--no-deps", *alone]
            subprocess.run(command, check=True)
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


def filled(folder: Path) -> tuple[Any, dict[str, float]]:
    """Our index on the same vectors, and what it took: a row for each, its share as its price."""
    from vectors import peak_mb  # type: ignore[import-not-found,unused-ignore]

    vectors, share = np.load(folder / "vectors.npy"), np.load(folder / "share.npy")
    shutil.rmtree(folder / "ours", ignore_errors=True)
    index = open_index("lance", folder / "ours", fingerprint="ab" * 8, dim=vectors.shape[1])
    before, begin = peak_mb(), time.process_time()
    for start in range(0, len(vectors), 4000):
        part = [_row(i, share[i]) for i in range(start, min(start + 4000, len(vectors)))]
        index.upsert(part, vectors[start : start + len(part)])
    staged = time.process_time()
    index.publish("bench")
    return index, {
        "stage_cpu_s": round(staged - begin, 1),
        "build_cpu_s": round(time.process_time() - staged, 1),
        "peak_above_data_mb": round(peak_mb() - before),
    }


def ours(folder: Path) -> dict[str, Any]:
    """Our index, measured as the others are."""
    from vectors import measured

    index, told = filled(folder)

    def search(query: Any, limit: float) -> Any:
        most = Money(int(limit * SCALE) - 1, "EUR")
        return index.search(query, 100, Filter() if limit == 1 else Filter(price_max=most))

    def numbers(found: Any) -> Any:
        return np.array([number(one) for one in found], int)

    return told | {"filters": measured(search, folder, rows_of=numbers)}


def number(found: Candidate) -> int:
    """The number of the row that a candidate is."""
    return int(found.image_hash, 16)


def _row(number: int, share: float) -> IndexRow:
    price, key = int(share * SCALE), (f"{number:064x}", "shop", "Things", True, "EUR")
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


def feeds_in_turn(python: Path, rounds: int = 5) -> dict[str, Any]:
    """Of each store's feed the processor seconds of ours and of the bare parser, read in turn, and how
    they relate: the median over the rounds, the least and the most."""
    found = {}
    for store, kind in KINDS.items():
        path = DATA / "shops" / store / STORES[store]
        turns = [(read_by_us(store), _child(python, "feeds.py", kind, path)) for _ in range(rounds)]
        ratios = sorted(ours["cpu_s"] / bare["cpu_s"] for ours, bare in turns)
        found[store] = {
            "rows": turns[0][0]["rows"],
            "ours_cpu_s": min(ours["cpu_s"] for ours, _ in turns),
            "bare_cpu_s": min(bare["cpu_s"] for _, bare in turns),
            "ratio": round(ratios[rounds // 2], 2),
            "ratios": [round(ratios[0], 2), round(ratios[-1], 2)],
        }
    return found


def _peer(peer: str, home: str, folder: Path) -> Any:
    try:
        python = environment(home)
    except subprocess.CalledProcessError:
        return {"left_out": f"not installed: pip install {' '.join(PACKAGES[home])}"}
    if home == "clip":
        return _child(python, "clip_peer.py", folder)
    return _child(python, "vectors.py", peer, folder)


def _child(python: Path, script: str, *words: object) -> Any:
    command = [python, HERE / script, *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    everybody = ["ours", *PEERS, "feeds"]
    parser = arguments(__doc__, rows=20_000, queries=100, only=everybody, folder=None)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    lance.ANN_ROWS = min(lance.ANN_ROWS, asked.rows)  # partitions, as a large catalogue has them
    if asked.only == ["feeds"]:  # lxml is at hand
        found = feeds_in_turn(Path(sys.executable))
        load = os.getloadavg()[0]
        write("peers_feeds", {"rounds": 5, "load_average": load, "feeds": found}, asked.out)
        return
    out = asked.out or RESULTS / "peers.json"
    held = json.loads(out.read_text()) if out.exists() and asked.only != everybody else {}
    vectors, told = held.get("vectors", {}), {"feeds": held.get("feeds", {})}
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "truth_1.0.npy").exists():
            data(folder, asked.rows, asked.queries)
        for who in (one for one in asked.only if one != "feeds"):
            load = round(os.getloadavg()[0], 1)
            found = ours(folder) if who == "ours" else _peer(who, PEERS[who], folder)
            vectors[who] = {"load_average": load} | found
            print(who, json.dumps(vectors[who]), flush=True)
    if "feeds" in asked.only:
        told["feeds"] = {
            store: {
                "ours": read_by_us(store),
                "bare": _child(
                    environment(), "feeds.py", kind, DATA / "shops" / store / STORES[store]
                ),
            }
            for store, kind in KINDS.items()
        }
    about = {"rows": asked.rows, "queries": asked.queries, "load_average": os.getloadavg()[0]}
    write("peers", about | {"vectors": vectors} | told, out)


if __name__ == "__main__":
    main()
