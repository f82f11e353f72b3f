"""Rows changed, and `kill -9` meanwhile: `python bench/peers/writes.py [--rows 200000] [--kills 12]`.

One row in a hundred gets another vector: our index (staged and published), LanceDB (merged and optimised), a file of faiss and one of
usearch (read, changed in memory, written again: they have no other way). Then the same is killed at moments spread
over the time that it took, each time from the same store as it was, and opened again: is it the old state, the new
one, parts of both, or nothing that can be read? Each deed in a process of its own, one thread; processor time is of
that process. The peers live in build/peers. faiss's HNSW knows no removal, so it is not here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from run import environment, near, seeds  # type: ignore[import-not-found,unused-ignore]
from writes_peer import STORES, run  # type: ignore[import-not-found,unused-ignore]

from lensback.indexes import open_index, row_id
from lensback.types import Filter, IndexRow
from rig import arguments, write

HERE = Path(__file__).resolve().parent
OURS = "ours"
ALIKE = 0.95
"""Of the rows that are looked at so many must be in one state: a graph does not find each of its own."""


class Ours:
    """Our index: what `publish` made is searched."""

    def __init__(self, folder: Path) -> None:
        self._place = folder / "ours"

    def build(self, vectors: Any) -> None:
        self._opened(vectors.shape[1])
        self.change(np.arange(len(vectors)), vectors)

    def open(self) -> None:
        self._opened(256)
        self._index.search(np.ones(256, np.float32), 1, Filter())

    def change(self, rows: Any, vectors: Any) -> None:
        for start in range(0, len(rows), 4000):
            part = [_row(int(n)) for n in rows[start : start + 4000]]
            self._index.upsert(part, vectors[start : start + 4000])
        self._index.publish("bench")

    def rows(self) -> int:
        found = self._index.snapshot
        return found.rows if found else 0

    def nearest(self, vector: Any) -> tuple[int, float]:
        best = self._index.search(vector, 1, Filter())[0]
        return int(best.image_hash), best.similarity

    def _opened(self, dim: int) -> None:
        self._index = open_index("lance", self._place, fingerprint="ab" * 8, dim=dim)


def _row(number: int) -> IndexRow:
    key = (str(number), "shop", "Things", True, "EUR")
    return IndexRow(row_id(*key), *key, price_low=1, price_high=1)


def data(folder: Path, rows: int) -> None:
    """Vectors around those of real pictures, a hundredth of the rows, and other vectors for them."""
    draw = np.random.default_rng(0)
    real = seeds()
    np.save(folder / "vectors.npy", near(real[draw.integers(0, len(real), rows)], draw))
    changed = np.sort(draw.choice(rows, rows // 100, replace=False))
    np.save(folder / "changed.npy", changed)
    np.save(folder / "after.npy", near(real[draw.integers(0, len(real), len(changed))], draw))


def deed(who: str, folder: Path, what: str) -> subprocess.Popen[str]:
    """A process that does one thing to somebody's store."""
    command: list[object] = (
        [sys.executable, __file__, "--step", what, "--folder", folder]
        if who == OURS
        else [environment(), HERE / "writes_peer.py", who, folder, what]
    )
    return subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def told(who: str, folder: Path, what: str) -> dict[str, Any]:
    done = deed(who, folder, what)
    text, _ = done.communicate("\n")
    if done.returncode:
        raise SystemExit(f"{who}: {what} failed")
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def killed(who: str, folder: Path, after_s: float) -> bool:
    """Ends a change so many seconds after it began. False where it was done before."""
    with deed(who, folder, "change") as process:
        if not process.stdout or not process.stdin:
            raise SystemExit("no pipes")
        process.stdout.readline()
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(after_s)
        was_running = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    return was_running


def state(look: dict[str, Any], rows: int) -> str:
    """What a store is in after a kill."""
    if "unreadable" in look:
        return "unreadable"
    enough = ALIKE * look["asked"]
    if look["rows"] == rows and (look["old"] >= enough) != (look["new"] >= enough):
        return "old" if look["old"] >= enough else "new"
    return "torn"


def measured(who: str, folder: Path, rows: int, kills: int) -> dict[str, Any]:
    """Building, changing, and the states after kills."""
    built = told(who, folder, "build")
    files = [path for path in folder.iterdir() if path.suffix != ".npy"]
    pristine = folder / "pristine.npy"  # a folder, named so that it is none of the store's
    pristine.mkdir()
    for path in files:
        copied(path, pristine / path.name)
    changed = told(who, folder, "change")
    look = told(who, folder, "look")
    if state(look, rows) != "new":
        raise SystemExit(f"{who}: not changed: {look}")
    states, finished, samples = Counter[str](), 0, list[str]()
    for n in range(kills):
        for path in files:
            removed(path)
            copied(pristine / path.name, path)
        finished += not killed(who, folder, changed["s"] * (n + 0.5) / kills)
        look = told(who, folder, "look")
        states[state(look, rows)] += 1
        samples += [look["unreadable"]] if "unreadable" in look else []
    for path in (*files, pristine):
        removed(path)
    about = {"build": built, "change": changed, "states": dict(states)}
    return about | {"done_before_the_kill": finished, "said": sorted(set(samples))}


def copied(path: Path, to: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, to)
    else:
        shutil.copyfile(path, to)


def removed(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main() -> None:
    parser = arguments(__doc__, rows=200_000, kills=12)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if asked.step:
        print(json.dumps(run(Ours(asked.folder), asked.folder, asked.step)))
        return
    about = {"rows": asked.rows, "kills": asked.kills, "load_average": os.getloadavg()[0]}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data(folder, asked.rows)
        for who in (OURS, *STORES):
            found[who] = measured(who, folder, asked.rows, asked.kills)
            print(who, json.dumps(found[who]), flush=True)
    write("peers_writes", about | {"stores": found}, asked.out)


if __name__ == "__main__":
    main()
