"""What must not get slower: `python bench/guard.py [--base main] [--rounds 5] [--worse 1.15] [--only WORD]`.

Measures this source tree beside another revision of it (checked out aside), a process for each in turn, so that
whatever else the machine does disturbs both alike, and compares processor time: the ratio of the medians. Ends
with 1 where a ratio is above `--worse`. For contributors, before a change of what is hot; no test in CI.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from rig import DATA, REPOSITORY, STORES, arguments, opened, write

ROWS, DIM, QUERIES = 12_000, 64, 200


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of the work, the least of three."""
    spent = []
    for _ in range(3):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return min(spent)


def step(only: str) -> dict[str, float]:
    """Processor seconds of each thing whose name has that word, of the source tree on the path."""
    return {name: work() for name, work in WORK.items() if only in name}


def command() -> float:
    """The command that only says its version, in a process of its own."""

    def spent() -> float:
        told = resource.getrusage(resource.RUSAGE_CHILDREN)
        return told.ru_utime + told.ru_stime

    begin = spent()
    quiet = subprocess.DEVNULL
    subprocess.run([sys.executable, "-m", "lensback", "--version"], check=True, stdout=quiet)
    return spent() - begin


def feed(store: str) -> float:
    from lensback import feeds

    def read() -> None:
        with (DATA / "shops" / store / STORES[store]).open("rb") as file:
            for _ in feeds.read(file, name=STORES[store], base="http://127.0.0.1"):
                pass

    return seconds(read)


def pixels() -> float:
    from lensback.encoders import open_encoder

    paths = sorted((DATA / "shops" / "luma" / "images").rglob("*.jpg"))[:60]
    encoder, pictures = open_encoder("pixels", Path("nowhere")), [opened(path) for path in paths]
    return seconds(lambda: encoder.encode(pictures))


def index(share: float) -> float:
    """Searches among rows in partitions; a price limit keeps a share of them."""
    import numpy as np

    from lensback.indexes import open_index, row_id
    from lensback.types import Filter, IndexRow, Money

    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((ROWS, DIM), dtype=np.float32)
    keys = [(f"{n:064x}", "shop", "Things", True, "EUR") for n in range(ROWS)]
    rows = [IndexRow(row_id(*key), *key, n, n) for n, key in enumerate(keys)]
    where = Filter(price_max=Money(int(share * ROWS), "EUR")) if share < 1 else Filter()
    with tempfile.TemporaryDirectory() as folder:
        made = open_index("lance", Path(folder), fingerprint="ab" * 8, dim=DIM, min_recall=0.8)
        made.upsert(rows, vectors)
        made.publish("guard")
        made.search(vectors[0], 100, where)
        return seconds(lambda: [made.search(query, 100, where) for query in vectors[:QUERIES]])


WORK: dict[str, Callable[[], float]] = {
    "lensback --version": command,
    "feed, Google's XML": lambda: feed("luma"),
    "feed, YML": lambda: feed("outlet"),
    "feed, CSV": lambda: feed("closet"),
    "encoder pixels": pixels,
    "index": lambda: index(1),
    "index, a filter keeps 10 %": lambda: index(0.1),
}


def measured(tree: Path, only: str) -> dict[str, float]:
    """One process of this script over the sources of a tree."""
    command = [sys.executable, str(Path(__file__).resolve()), "--step", "--only", only]
    env = os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(base: Path, rounds: int, only: str = "") -> dict[str, float]:
    """Ratio of the medians, now to then, for each thing; above 1 is slower."""
    now, then = [], []
    for _ in range(rounds):
        then.append(measured(base, only))
        now.append(measured(REPOSITORY, only))
    return {
        name: round(median(one[name] for one in now) / median(one[name] for one in then), 3)
        for name in now[0]
    }


def main() -> int:
    parser = arguments(__doc__, base="main", rounds=5, worse=1.15, only="")
    parser.add_argument("--step", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(step(asked.only)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        tree, git = Path(name) / "base", ["git", "-C", str(REPOSITORY), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), asked.base], check=True)
        try:
            ratios = compared(tree, asked.rounds, asked.only)
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    about = {"base": asked.base, "rounds": asked.rounds, "load_average": os.getloadavg()[0]}
    write(
        "guard" if not asked.only else f"guard_{asked.only}", about | {"ratios": ratios}, asked.out
    )
    slower = [f"{name}: {ratio} times" for name, ratio in ratios.items() if ratio > asked.worse]
    print("\n".join(slower) or f"nothing is more than {asked.worse} times as slow")
    return int(bool(slower))


if __name__ == "__main__":
    sys.exit(main())
