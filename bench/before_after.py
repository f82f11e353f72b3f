"""Search latency and sync throughput of a commit and of this tree, side by side in one run.

    python bench/before_after.py [--before COMMIT] [--pictures 400] [--rounds 3] [--searches 300] [--encoder NAME]

The commit is checked out beside (`git worktree`); both run under this Python. One store of real
pictures on loopback is synced by each in turns, `rounds` times from nothing, each in a process of its
own; then both serve what they synced, and the same distorted photos are searched at the one and at the
other in turns, one at a time. Written: bench/results/before_after.json. The default commit is the last
before anything of "Nobody takes it down, nothing phones out, no acknowledged sale is lost". Each tree takes its own
encoder unless one is named: the second edition of `eye` costs more than the first.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from lensback.demo import serve_folder
from lensback.distort import distort
from lensback.workspace import set_setting
from rig import DATA, LOOPBACK, REPOSITORY, Served, arguments, jpeg, opened, percentiles, write

BEFORE = "9ea1f4a^"
STAGES = ("download", "embed", "group", "publish")


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


def command(*words: object) -> str:
    """What a `lensback` command printed."""
    line = [sys.executable, "-m", "lensback", *map(str, words)]
    env = {**os.environ, **LOOPBACK}
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout


def synced(folder: Path, base: str, encoder: str) -> dict[str, float]:
    """A sync from nothing: seconds in all and of each stage."""
    command("init", "--workspace", folder)
    if encoder:
        set_setting(folder, "encoder", encoder)
    command("store", "add", "shop", "--feed", f"{base}/feed.csv", "--base", base, "--workspace", folder)  # fmt: skip
    begin = time.perf_counter()
    told = json.loads(command("sync", "--json", "--workspace", folder))
    spent = {"all": time.perf_counter() - begin}
    for stage in told["stages"]:
        name = stage["stage"].split()[0]
        spent[name] = spent.get(name, 0.0) + float(stage["seconds"])
    return spent


def searched(urls: dict[str, str], photos: list[bytes], many: int) -> dict[str, list[float]]:
    """Milliseconds of searches, in turns, each side first as often as the other."""
    spent: dict[str, list[float]] = {side: [] for side in urls}
    with httpx.Client(timeout=60) as client:
        for n in range(-20, many):  # the first ones warm up
            for side in list(urls)[:: 1 if n % 2 else -1]:
                begin = time.perf_counter()
                files = {"photo": photos[n % len(photos)]}
                client.post(f"{urls[side]}/api/search", files=files).raise_for_status()
                if n >= 0:
                    spent[side].append(1000 * (time.perf_counter() - begin))
    return spent


def main() -> None:
    asked = arguments(
        __doc__, before=BEFORE, pictures=400, rounds=3, searches=300, encoder=""
    ).parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        checked_out(asked.before, Path(name, "before-tree")) as old,
        serve_folder(Path(name)) as root,
    ):
        trees = {"before": old, "after": REPOSITORY}
        paths, base = store(Path(name, "shop"), asked.pictures), f"{root}/shop"
        syncs: dict[str, list[dict[str, float]]] = {side: [] for side in trees}
        for turn in range(asked.rounds):
            for side, where in trees.items():
                with tree(where):
                    syncs[side].append(synced(Path(name, f"{side}{turn}"), base, asked.encoder))
        photos = [jpeg(distort(opened(path), n), 88) for n, path in enumerate(paths[:100])]
        with ExitStack() as both:
            urls = {}
            for side, where in trees.items():
                with tree(where):
                    urls[side] = both.enter_context(Served(Path(name, f"{side}0"))).url
            spent = searched(urls, photos, asked.searches)
    figures: dict[str, Any] = {}
    for side in trees:
        best = {part: min(s.get(part, 0.0) for s in syncs[side]) for part in ("all", *STAGES)}
        figures[side] = {
            "sync_s": {part: round(seconds, 2) for part, seconds in best.items()},
            "pictures_a_second": round(len(paths) / best["all"], 1),
            "search_ms": percentiles(spent[side]),
        }
    before, after = figures["before"], figures["after"]
    ratios = {
        "sync": round(after["sync_s"]["all"] / before["sync_s"]["all"], 3),
        **{p: round(after["search_ms"][p] / before["search_ms"][p], 3) for p in ("p50", "p95")},
    }
    about = {
        "before": asked.before,
        "encoder": asked.encoder,
        "pictures": len(paths),
        "rounds": asked.rounds,
    }
    write("before_after", {**about, "searches": asked.searches, "after_over_before": ratios, "figures": figures}, asked.out)  # fmt: skip


if __name__ == "__main__":
    main()
