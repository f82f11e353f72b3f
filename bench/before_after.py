"""A commit and this tree, side by side in one run: what a shopper and an operator wait for.

    python bench/before_after.py [--before COMMIT] [--pictures 400] [--rounds 5] [--searches 300] [--seconds 8] [--encoder NAME]

The commit is checked out beside (`git worktree`); both run under this Python. In each round both, the one first that
came second before, say their `--help`, sync one store of real pictures on loopback from nothing, and sync it again,
each in processes of its own. Then both serve what they synced: in each round anew from the start to the first answer;
then the same distorted photos are searched at the one and at the other in turns, and by 4 and 16 clients at
once, each who was answered asks again. Last the parts that `bench/guard.py` compares. Seconds by the clock and of the processor; ratios
are now to then, of each round (of each photo), the median and its 95 % interval by bootstrap. Written: bench/results/before_after.json.

The default commit is the last of the first edition. Each tree takes its own encoder unless one is named: the second edition of
`eye` costs more than the first.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

import guard
from lensback.demo import serve_folder
from lensback.distort import distort
from lensback.workspace import set_setting
from rig import (
    DATA,
    LOOPBACK,
    REPOSITORY,
    Served,
    arguments,
    jpeg,
    memory_mb,
    opened,
    percentiles,
    write,
)

BEFORE = "09e6258"
CLIENTS = (4, 16)


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """A commit's tree."""
    git = ("git", "-C", str(REPOSITORY), "worktree")
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


@contextmanager
def tree(root: Path) -> Iterator[None]:
    """Every process that is started within uses the package of this tree."""
    kept = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = str(root / "src")
    command = [sys.executable, "-c", "import lensback; print(lensback.__file__)"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if not told.startswith(str(root)):
        raise SystemExit(f"{told.strip()} is not of {root}")
    try:
        yield
    finally:
        os.environ["PYTHONPATH"] = kept


def store(folder: Path, many: int) -> list[Path]:
    """A folder with a feed and its pictures."""
    paths = sorted((DATA / "shops").glob("*/images/*.jpg"))[:many]
    (folder / "images").mkdir(parents=True)
    with (folder / "feed.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "title", "link", "price", "image_link"])
        for n, path in enumerate(paths):
            shutil.copyfile(path, folder / "images" / f"{n}.jpg")
            link = f"https://shop.example/{n}"
            rows.writerow([n, f"Thing {n}", link, "10.00 EUR", f"{{BASE}}/images/{n}.jpg"])
    return paths


def command(*words: object) -> tuple[str, dict[str, float]]:
    """What a `lensback` command printed, and seconds by the clock and of the processor."""
    line = [sys.executable, "-m", "lensback", *map(str, words)]
    env = {**os.environ, **LOOPBACK}
    begin, before = time.perf_counter(), _children_s()
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    seconds = time.perf_counter() - begin
    return done.stdout, {"s": seconds, "cpu_s": _children_s() - before}


def _children_s() -> float:
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told.ru_utime + told.ru_stime


def synced(folder: Path, base: str, encoder: str) -> dict[str, float]:
    """Help, a sync from nothing and one more: seconds of each, and of the first one's stages."""
    spent = {f"help {kind}": n for kind, n in command("--help")[1].items()}
    command("init", "--workspace", folder)
    if encoder:
        set_setting(folder, "encoder", encoder)
    command("store", "add", "shop", "--feed", f"{base}/feed.csv", "--base", base, "--workspace", folder)  # fmt: skip
    told, took = command("sync", "--json", "--workspace", folder)
    spent |= {f"first sync {kind}": n for kind, n in took.items()}
    for stage in json.loads(told)["stages"]:
        name = f"of it {stage['stage'].split()[0]} s"
        spent[name] = spent.get(name, 0.0) + float(stage["seconds"])
    _, took = command("sync", "--json", "--workspace", folder)
    return spent | {f"sync again {kind}": n for kind, n in took.items()}


def started(folder: Path, photo: bytes) -> dict[str, float]:
    """`serve`: seconds to its first answer, and its memory then."""
    begin = time.perf_counter()
    with Served(folder) as served:
        httpx.post(
            f"{served.url}/api/search", files={"photo": photo}, timeout=60
        ).raise_for_status()
        seconds = time.perf_counter() - begin
        return {"first answer s": seconds, "serve MB": memory_mb(served.process.pid)}


def searched(urls: Mapping[str, str], photos: Sequence[bytes], many: int) -> dict[str, list[float]]:
    """Milliseconds of searches, in turns, each side first as often as the other."""
    spent: dict[str, list[float]] = {side: [] for side in urls}
    with httpx.Client(timeout=60) as client:
        for n in range(-20, many):  # the first ones warm up
            for side in _turn(urls, n):
                begin = time.perf_counter()
                files = {"photo": photos[n % len(photos)]}
                client.post(f"{urls[side]}/api/search", files=files).raise_for_status()
                if n >= 0:
                    spent[side].append(1000 * (time.perf_counter() - begin))
    return spent


async def at_once(url: str, photos: Sequence[bytes], clients: int, seconds: float) -> float:
    """Searches answered a second; who is refused asks again after a tenth of one."""
    end, answered = time.perf_counter() + seconds, 0

    async def one(number: int, client: httpx.AsyncClient) -> None:
        nonlocal answered
        while time.perf_counter() < end:
            number += 1
            files = {"photo": photos[number * 7 % len(photos)]}
            if (await client.post("/api/search", files=files)).status_code == 200:
                answered += 1
            else:
                await asyncio.sleep(0.1)

    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        await asyncio.gather(*(one(n * 31, client) for n in range(clients)))
    return answered / seconds


def _turn(sides: Mapping[str, object], n: int) -> list[str]:
    """Both, in the other order each time."""
    return list(sides)[:: 1 if n % 2 else -1]


def ratio(before: Sequence[float], after: Sequence[float], *, places: int = 3) -> dict[str, Any]:
    """Now to then: the median of the pairs' ratios and its 95 % interval by bootstrap."""
    pairs = np.array(after) / np.maximum(np.array(before), 1e-9)
    draw = np.random.default_rng(0)
    drawn = np.median(pairs[draw.integers(0, len(pairs), (2000, len(pairs)))], axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"ratio": round(float(np.median(pairs)), places), "n": len(pairs),
            "interval95": [round(float(low), places), round(float(high), places)]}  # fmt: skip


def main() -> None:
    asked = arguments(
        __doc__, before=BEFORE, pictures=400, rounds=5, searches=300, seconds=8.0, encoder=""
    ).parse_args()
    load, begin = os.getloadavg()[0], time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as name,
        checked_out(asked.before, Path(name, "before-tree")) as old,
        serve_folder(Path(name)) as root,
    ):
        trees = {"before": old, "after": REPOSITORY}
        paths, base = store(Path(name, "shop"), asked.pictures), f"{root}/shop"
        photos = [jpeg(distort(opened(path), n), 88) for n, path in enumerate(paths[:100])]
        rounds: dict[str, list[dict[str, float]]] = {side: [] for side in trees}
        for turn in range(asked.rounds):
            for side in _turn(trees, turn):
                folder = Path(name, f"{side}{turn}")
                with tree(trees[side]):
                    spent = synced(folder, base, asked.encoder) | started(folder, photos[0])
                rounds[side].append(spent)
                print(
                    turn, side, json.dumps({k: round(v, 2) for k, v in spent.items()}), flush=True
                )
        with ExitStack() as both:
            urls = {}
            for side, where in trees.items():
                with tree(where):
                    urls[side] = both.enter_context(Served(Path(name, f"{side}0"))).url
            spent_ms = searched(urls, photos, asked.searches)
            for clients in CLIENTS:
                for turn in range(asked.rounds):
                    for side in _turn(trees, turn):
                        rate = asyncio.run(at_once(urls[side], photos, clients, asked.seconds))
                        rounds[side][turn][f"searches a second, {clients} clients"] = rate
        parts = guard.compared(old, asked.rounds)
    names = [n for n in rounds["after"][0] if all(n in one for one in rounds["before"])]
    ratios = {n: ratio(*([one[n] for one in rounds[side]] for side in trees)) for n in names}
    ratios["a search, ms"] = ratio(spent_ms["before"], spent_ms["after"])
    figures = {
        side: {
            n: round(float(np.median([one[n] for one in rounds[side]])), 2) for n in rounds[side][0]
        }
        | {"a search, ms": percentiles(spent_ms[side])}
        for side in trees
    }
    about = {
        "before": asked.before,
        "encoder": asked.encoder,
        "pictures": len(paths),
        "rounds": asked.rounds,
        "searches": asked.searches,
        "load_average": round(load, 1),
        "took_s": round(time.perf_counter() - begin),
    }
    found = {
        "after_over_before": {"sync": ratios["first sync s"]["ratio"]},
        "ratios": ratios,
        "parts": parts,
        "figures": figures,
    }
    write("before_after", about | found, asked.out)


if __name__ == "__main__":
    main()
