"""How long a start takes: help, a sync in which nothing changed, `serve` to its first and second answer.

    python bench/starts.py [--before COMMIT] [--size 200000] [--pictures 300] [--rounds 9] [--encoder NAME]

A commit and this tree in turns, the one first that came second before, each start in processes of its own. The sync is
of three stores on loopback that were synced before, each with a third of the pictures, by the encoder that is named; its
feeds say by their date that they are unchanged. `serve` has a catalogue of `--size` invented offers, as `bench/latency.py`
makes it, with the encoder that is the default, and is asked whether it is ready 20 times a second; then it is sent one
photo, and another one. Seconds by the clock and of the processor, those of child processes included. Ratios are now to
then, of each round: the median and its 95 % interval by bootstrap. Written: bench/results/starts.json.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from before_after import _turn, checked_out, command, ratio, store, tree
from lensback.demo import serve_folder
from lensback.distort import distort
from lensback.settings import Settings
from lensback.workspace import Workspace, init, set_setting
from rig import (  # fmt: skip
    REPOSITORY,
    Served,
    arguments,
    child,
    cpu_s,
    jpeg,
    memory_mb,
    pictures,
    published,
    write,
)

BEFORE = "4c07818"
STORES, SEEDS = 3, 300


def connected(folder: Path, base: str, encoder: str) -> None:
    """A workspace whose stores were synced."""
    command("init", "--workspace", folder)
    set_setting(folder, "encoder", encoder)
    for n in range(STORES):
        here = f"{base}/store{n}"
        command("store", "add", f"store{n}", "--feed", f"{here}/feed.csv", "--base", here, "--workspace", folder)  # fmt: skip
    command("sync", "--json", "--workspace", folder)


def catalogue(folder: Path, size: int) -> dict[str, Any]:
    """A workspace to serve, made by the tree on the path."""
    init(folder)
    with Workspace(folder, Settings(photo_memory_s=0)) as workspace:
        return {"publish_s": published(workspace, pictures(SEEDS), size)}


def again(folder: Path) -> dict[str, float]:
    """Help, and a sync in which nothing changed."""
    spent = {f"help {kind}": n for kind, n in command("--help")[1].items()}
    _, took = command("sync", "--json", "--workspace", folder)
    return spent | {f"sync again {kind}": n for kind, n in took.items()}


def served(folder: Path, photos: list[bytes]) -> dict[str, float]:
    """`serve` from its start to two answers. The second is of the photo's own time, from its sending."""
    begin = time.perf_counter()
    with Served(folder) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        spent = {"ready s": time.perf_counter() - begin, "ready cpu_s": cpu_s(server.process.pid)}
        for name, photo in zip(("first answer", "second answer"), photos, strict=True):
            since, before = (begin, 0.0) if name == "first answer" else _now(server)
            client.post("/api/search", files={"photo": photo}).raise_for_status()
            spent[f"{name} s"] = time.perf_counter() - since
            spent[f"{name} cpu_s"] = cpu_s(server.process.pid) - before
        return spent | {"serve MB": memory_mb(server.process.pid)}


def _now(server: Served) -> tuple[float, float]:
    return time.perf_counter(), cpu_s(server.process.pid)


def main() -> None:
    parser = arguments(
        __doc__, before=BEFORE, size=200_000, pictures=300, rounds=9, encoder="pixels", make=""
    )
    asked = parser.parse_args()
    if asked.make:
        print(json.dumps(catalogue(Path(asked.make), asked.size)))
        return
    load, begin = os.getloadavg()[0], time.perf_counter()
    photos = [jpeg(distort(image, n), 88) for n, image in enumerate(pictures(SEEDS)[:2])]
    with (
        tempfile.TemporaryDirectory() as name,
        checked_out(asked.before, Path(name, "before-tree")) as old,
        serve_folder(Path(name)) as base,
    ):
        trees = {"before": old, "after": REPOSITORY}
        for n in range(STORES):
            store(Path(name, f"store{n}"), asked.pictures // STORES)
        for side, where in trees.items():
            with tree(where):
                connected(Path(name, f"synced-{side}"), base, asked.encoder)
                child(__file__, "--make", Path(name, f"served-{side}"), "--size", asked.size)
        rounds: dict[str, list[dict[str, float]]] = {side: [] for side in trees}
        for turn in range(-1, asked.rounds):  # the first one compiles
            for side in _turn(trees, turn):
                with tree(trees[side]):
                    spent = again(Path(name, f"synced-{side}"))
                    spent |= served(Path(name, f"served-{side}"), photos)
                if turn >= 0:
                    rounds[side].append(spent)
                    print(turn, side, {k: round(v, 2) for k, v in spent.items()}, flush=True)
    figures = {
        side: {n: round(float(np.median([one[n] for one in told])), 3) for n in told[0]}
        for side, told in rounds.items()
    }
    ratios = {n: ratio(*([one[n] for one in told] for told in rounds.values())) for n in figures["after"]}  # fmt: skip
    about = {"before": asked.before, "size": asked.size, "stores": STORES, "pictures": asked.pictures,
             "encoder of the sync": asked.encoder, "rounds": asked.rounds, "load_average": round(load, 1),
             "took_s": round(time.perf_counter() - begin)}  # fmt: skip
    write("starts", about | {"figures": figures, "ratios": ratios}, asked.out)


if __name__ == "__main__":
    main()
