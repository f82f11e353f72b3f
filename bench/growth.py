"""What a catalogue costs as it grows: `python bench/growth.py [--sizes 10000 30000 100000 300000 1000000]`.

Generated offers at ten stores: three sizes a thing, a third of the things at a second store, half of those told
by a GTIN, the others by a photograph alone. No picture is made: vectors lie around those of real pictures (other
things .35 away, other views .2, copies at another store .1), so grouping and calibrating find their neighbours,
but no pixels to look at. Each step runs in a process of its own: processor seconds (its children's, too), the most memory of its
own (anonymous: files mapped into memory do not count) and all that it held. A step that is measured is written
at once and not measured again (`--anew` forgets): the script can be stopped and goes on. A cost is fitted as n to a
power; n log n would be 1.07 to 1.10 between the sizes here. Draws docs/images/growth.svg.
`--draw` writes fits and plot anew from what was measured.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import re
import resource
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sqlalchemy import bindparam, insert, select, update

import plot
from feeds import ean
from lensback.calibrate import calibrate
from lensback.catalogue import stores
from lensback.db import tables as t
from lensback.group import group, pair_images
from lensback.settings import Settings
from lensback.sync import sync
from lensback.types import Filter, Vectors
from lensback.workspace import Workspace, init
from rig import (
    REPOSITORY,
    RESULTS,
    arguments,
    child,
    image_row,
    memory_mb,
    pictures,
    publish_all,
    revision,
    write,
)

SHOPS, SIZES_OF = 10, "SML"
THINGS, SEEDS = 4, 1000
"""Offers for each thing, and real pictures whose vectors others lie around."""
OTHER, VIEW, COPY = 0.35, 0.2, 0.1
FOLDER = REPOSITORY / "build" / "growth"
PLOT = REPOSITORY / "docs" / "images" / "growth.svg"
STEPS = {
    "read": "reading the feeds, all new",
    "pair": "comparing pictures of different stores",
    "group": "grouping",
    "publish": "publishing, all new",
    "read again": "reading the feeds again, one price in a hundred changed",
    "group again": "grouping again, nothing changed",
    "publish again": "publishing again, one price in a hundred changed",
    "calibrate": "calibrating, without its pictures",
    "search": "forty searches of the index",
}
"""In this order; what each is."""


# ---- offers


def shops_of(thing: int) -> tuple[int, ...]:
    """The stores that sell a thing: one, or for each third thing two."""
    first = thing % SHOPS
    return (first,) if thing % 3 else (first, (first + 1 + thing // 3 % (SHOPS - 1)) % SHOPS)


def write_feeds(folder: Path, offers: int, *, changed: bool = False) -> None:
    """A table for each store, together about `offers` rows; `changed`: each hundredth price is another."""
    kinds, looks = ("Shirt", "Coat", "Dress", "Bag", "Shoe", "Hat"), ("plain", "striped", "washed", "soft", "wide")  # fmt: skip
    with ExitStack() as stack:
        files = [
            csv.writer(stack.enter_context((folder / f"s{n}.csv").open("w", newline="")))
            for n in range(SHOPS)
        ]
        for file in files:
            file.writerow(["id", "title", "link", "price", "image_link", "additional_image_link",
                           "description", "product_type", "size", "item_group_id", "brand", "color", "gtin"])  # fmt: skip
        for thing in range(offers // THINGS):
            kind, look, shops = kinds[thing % 6], looks[thing // 6 % 5], shops_of(thing)
            told = (
                f"{kind} of {look} cloth, model {thing}, with a small collar and a long back. " * 3
            )
            price = thing * 7 % 190 + 9 + (changed and thing % 100 == 0)
            for shop in shops:
                image = f"https://img.s{shop}.example/{thing}"
                for place, size in enumerate(SIZES_OF):
                    gtin = ean(3 * thing + place) if len(shops) > 1 and thing % 2 else ""
                    files[shop].writerow(
                        [f"{thing}-{size}", f"{look.title()} {kind.lower()} {thing}", f"https://s{shop}.example/{thing}?size={size}",
                         f"{price}.90 EUR", f"{image}-0.jpg", f"{image}-1.jpg" if thing % 2 else "", told, f"Clothes > {kind}s > {look.title()}",
                         size, f"g{thing}", f"Brand {thing % 400}", ("Blue", "Red", "Green", "Black")[thing // 30 % 4], gtin]
                    )  # fmt: skip


def _near(vectors: Vectors, length: float, draw: np.random.Generator) -> Vectors:
    noise = draw.standard_normal(vectors.shape, dtype=np.float32)
    moved = vectors + length * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    near: Vectors = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return near


def seeds(encode: Callable[[], Vectors]) -> Vectors:
    """Vectors of real pictures; made once."""
    path = FOLDER / "seeds.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, encode())
    found: Vectors = np.load(path)
    return found


class Shown:
    """The vectors of pictures of the feeds, the same each time."""

    def __init__(self, real: Vectors) -> None:
        self._thousand = lru_cache(64)(partial(self._drawn, real))

    def of(self, addresses: list[str], seed: int) -> Vectors:
        """float32 [n, dim] for addresses as `write_feeds` writes them."""
        told = [map(int, re.findall(r"\d+", address)) for address in addresses]
        shops, things, views = map(np.array, zip(*told, strict=True))
        found: Vectors = np.stack([self._thousand(n // 1000)[n % 1000] for n in things])
        draw = np.random.default_rng([1, seed])
        for length, moved in ((VIEW, views > 0), (COPY, shops != things % SHOPS)):
            found[moved] = _near(found[moved], length, draw)
        return found

    def _drawn(self, real: Vectors, block: int) -> Vectors:
        draw = np.random.default_rng([0, block])
        return _near(real[draw.integers(len(real), size=1000)], OTHER, draw)


def shown(workspace: Workspace, real: Vectors) -> None:
    """What downloading and embedding would leave behind, with no picture."""
    encoder, made, u, last = workspace.encoder(deferred=True), Shown(real), t.image_urls.c, 0
    there = (
        update(t.image_urls)
        .where(u.id == bindparam("of"))
        .values(image_hash=bindparam("hash"), status="ok")
    )
    while True:
        query = select(u.id, u.url).where(u.id > last).order_by(u.id).limit(20_000)
        with workspace.db.read() as c:
            rows = c.execute(query).all()
        if not rows:
            return
        hashes = [hashlib.sha256(row.url.encode()).hexdigest() for row in rows]
        vectors = made.of([row.url for row in rows], last)
        workspace.vectors.append(encoder.fingerprint, hashes, vectors)
        ok = {"fingerprint": encoder.fingerprint, "status": "ok"}
        with workspace.db.write() as c:
            c.execute(insert(t.images), [image_row(h) for h in hashes])
            told = [{"of": row.id, "hash": h} for row, h in zip(rows, hashes, strict=True)]
            c.execute(there, told)
            c.execute(insert(t.embeddings), [ok | {"image_hash": h} for h in hashes])
        last = rows[-1].id


# ---- steps


def opened(folder: Path) -> Workspace:
    return Workspace(folder / "w", Settings(encoder="eye", threads=1))


def made(folder: Path, size: int) -> None:
    """An empty workspace with the stores, whose feeds are there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_feeds(folder, size)
    init(folder / "w")
    with opened(folder) as workspace:
        for n in range(SHOPS):
            stores.add(workspace.db, f"s{n}", str(folder / f"s{n}.csv"))


def _read(workspace: Workspace) -> None:
    report = sync(workspace, only="ingest")
    if report.failed:
        raise SystemExit(f"not read: {report.failed}")


def _group(workspace: Workspace) -> None:
    group(workspace.db, images=workspace.images)


def _pair(workspace: Workspace) -> None:
    fingerprint = workspace.encoder(deferred=True).fingerprint
    pair_images(workspace.db, workspace.images, workspace.vectors, fingerprint)


def _calibrate(workspace: Workspace) -> None:
    encoder = workspace.encoder(deferred=True)
    calibrate(workspace.db, workspace.images, workspace.vectors, encoder)


def _search(workspace: Workspace) -> None:
    asked = Shown(np.load(FOLDER / "seeds.npy")).of([f"s0/{SHOPS * n}-1" for n in range(40)], 7)
    for query in asked:
        workspace.index.search(query, 100, Filter())


WORK: dict[str, Callable[[Workspace], None]] = {
    "read": _read,
    "pair": _pair,
    "group": _group,
    "publish": publish_all,
    "calibrate": _calibrate,
    "search": _search,
}


def spent_s() -> float:
    """Processor seconds of this process and of its children that ended."""
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + told.ru_utime + told.ru_stime


def step(name: str, folder: Path) -> dict[str, float]:
    """One step in this process: what it took."""
    own, done = [memory_mb(field="RssAnon")], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            own.append(memory_mb(field="RssAnon"))

    with opened(folder) as workspace:
        workspace.db, workspace.vectors, workspace.index  # noqa: B018 - opened before time is taken
        watching = threading.Thread(target=watch)
        watching.start()
        begin = spent_s()
        WORK[name.removesuffix(" again")](workspace)
        spent = spent_s() - begin
        done.set()
        watching.join()
    return {"cpu_s": round(spent, 2), "own_mb": max(own), "held_mb": memory_mb(field="VmHWM")}


def measured(size: int, folder: Path) -> dict[str, Any]:
    """Every step of one catalogue, each in a process of its own. What is measured is kept beside the catalogue
    after each: who stopped goes on with the step that was broken off."""
    kept = folder / f"{size}.json"
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text("utf-8"))
    else:
        found = {"revision": revision(), "load_average": round(os.getloadavg()[0], 1)}
        made(folder, size)
    for name in STEPS:
        if name in found:
            continue
        if name == "read again":
            write_feeds(folder, size, changed=True)
        if name == "pair":
            with opened(folder) as workspace:
                shown(workspace, seeds(lambda: workspace.encoder().encode(pictures(SEEDS))))
        found[name] = child(__file__, "--step", name, "--folder", folder, OMP_NUM_THREADS="1")
        print(size, name, json.dumps(found[name]), flush=True)
        kept.write_text(json.dumps(found), "utf-8")
    shutil.rmtree(folder)
    return found


# ---- what it says


def fitted(runs: Mapping[str, list[dict[str, Any]]], name: str) -> dict[str, Any]:
    """The power of n that a step's processor time grows with, by least squares of the logarithms, and its
    95 % interval (Student's t over the runs)."""
    points = [(math.log(int(n)), math.log(max(run[name]["cpu_s"], 0.01)))
              for n, many in runs.items() for run in many if name in run]  # fmt: skip
    if len({x for x, _ in points}) < 3:
        return {"power": None, "interval95": None, "n": len(points)}
    line = stats.linregress(*zip(*points, strict=True))
    wide = float(stats.t.ppf(0.975, len(points) - 2) * line.stderr)
    power = float(line.slope)
    ends = [round(power - wide, 2), round(power + wide, 2)]
    return {"power": round(power, 2), "interval95": ends, "n": len(points)}


def middle(many: list[dict[str, Any]], name: str, what: str) -> float:
    """The median over the runs of a size."""
    return float(statistics.median(run[name][what] for run in many if name in run))


def _cell(many: list[dict[str, Any]], name: str) -> str:
    if not any(name in run for run in many):
        return "not measured"
    return f"{middle(many, name, 'cpu_s'):.3g} · {middle(many, name, 'own_mb'):.0f}"


def table(record: Mapping[str, Any]) -> str:
    """The rows of docs/measured.md: processor seconds and MB of its own at each size, and the power."""
    runs = record["runs"]
    head = ["step", *(f"{int(n):,}" for n in runs), "power of n"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, told in STEPS.items():
        cells = [_cell(many, name) for many in runs.values()]
        fit = record["fits"][name]
        ends = fit["interval95"]
        power = f"{fit['power']} ({ends[0]} to {ends[1]})" if ends else "not known"
        lines.append("| " + " | ".join([told, *cells, power]) + " |")
    return "\n".join(lines)


def drawn(record: Mapping[str, Any]) -> str:
    """Processor seconds of each step by offers, as SVG."""
    lines = {
        name: [
            (float(n), middle(many, name, "cpu_s"))
            for n, many in record["runs"].items()
            if any(name in run for run in many)
        ]
        for name in STEPS
    }
    return plot.log_log(lines, "offers", "processor seconds", guide=lambda n: n * math.log(n))


def _written(runs: dict[str, list[dict[str, Any]]], out: Path) -> None:
    record = {"runs": runs, "fits": {name: fitted(runs, name) for name in STEPS}}
    write("growth", record, out)
    if out.parent == RESULTS:
        PLOT.write_text(drawn(record), "utf-8")
    print(table(record))


def main() -> None:
    parser = arguments(__doc__, sizes=[10_000, 30_000, 100_000, 300_000, 1_000_000], repeat=1)
    parser.add_argument("--anew", action="store_true", help="forget what was measured")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for the catalogues")
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(step(asked.step, asked.folder)))
        return
    out = asked.out or RESULTS / "growth.json"
    runs: dict[str, list[dict[str, Any]]] = {}
    if out.exists() and not asked.anew:
        runs = json.loads(out.read_text("utf-8"))["runs"]
    if asked.draw:
        asked.sizes = []
        _written(runs, out)
    for size in asked.sizes:
        while len(runs.setdefault(str(size), [])) < asked.repeat:
            runs[str(size)].append(measured(size, asked.folder / "catalogue"))
            runs = dict(sorted(runs.items(), key=lambda item: int(item[0])))
            _written(runs, out)


if __name__ == "__main__":
    main()
