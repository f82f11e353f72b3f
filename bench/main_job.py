"""The main job on the three real stores: `python bench/main_job.py [--encoder NAME] [--name NAME]`.

Serves LENSBACK_DATA/shops on loopback, connects luma, outlet and closet, and measures:
- first and second sync, each a process of its own: seconds, per-stage tallies, peak memory;
- embedding end to end (files -> vectors on disk) against the bare encoder on decoded pictures; a first sync embeds
  while it downloads, and waits for the network in these seconds: bench/embedding.py measures it alone;
- 300 luma pictures, distorted as a phone would (lensback.distort), through the whole search:
  the own product first; and among those sold by the outlet too, the outlet's offers beside luma's;
- the same with hits of another kind than the region's left out, sunk, and as near as they are;
- 300 second-hand things of closet that the searched stores do not sell: how often is "exact" said;
- grouping against the truth (luma's MPN = the outlet's vendorCode), pairs of colourways, with
  codes and with the codes hidden.
`--closet 1000 --photos 200` is the short form, a few minutes of one core: so many of closet's 5,057
things, drawn by a fixed seed, and so many photos. `--model DIR` links an ONNX model folder
(tools/imagenet_onnx.py writes one) under its own name. `--beside RESULT.json` pairs the photos with
those of another run of the same size.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from lensback import metrics
from lensback.catalogue import offers
from lensback.db import tables as t
from lensback.demo import serve_folder
from lensback.detectors import open_detector
from lensback.distort import distort
from lensback.group import Evidence, group
from lensback.search import Query, search
from lensback.wire import Hit
from lensback.workspace import Workspace
from rig import (
    DATA,
    LOOPBACK,
    arguments,
    by_rule,
    compared,
    connected,
    images_of,
    jpeg,
    share,
    shelve,
    write,
)

PHOTOS = 300
DECODED = 256
"""Pictures by which the bare encoder's speed is taken."""


@contextmanager
def shops(closet: int) -> Iterator[str]:
    """The base address of the three stores, closet with so many of its things (0: all)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for store in ("luma", "outlet"):
            (folder / store).symlink_to(DATA / "shops" / store)
        (folder / "closet").mkdir()
        (folder / "closet" / "images").symlink_to(DATA / "shops" / "closet" / "images")
        with gzip.open(DATA / "shops" / "closet" / "feed.csv.gz", "rt", encoding="utf-8") as lines:
            head, *rows = csv.reader(lines)
        chosen = random.Random(5).sample(rows, closet) if closet else rows
        with gzip.open(folder / "closet" / "feed.csv.gz", "wt", encoding="utf-8") as out:
            csv.writer(out).writerows([head, *chosen])
        with serve_folder(folder) as base:
            yield base


def timed_sync(folder: Path) -> dict[str, Any]:
    """One `lensback sync --json` in its own process."""
    command = [sys.executable, "-m", "lensback", "sync", "--json", "--workspace", str(folder)]
    begin = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **LOOPBACK}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    # The largest child so far: the first sync is the largest.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"seconds": round(seconds, 2), "peak_mb": round(peak), **json.loads(done.stdout)}


def embedding(workspace: Workspace, stages: list[dict[str, Any]]) -> dict[str, Any]:
    """End-to-end pictures a second of the first sync, as a share of the bare encoder's."""
    encoder, batch = workspace.encoder(), workspace.settings.embed_batch
    with workspace.db.read() as c:
        hashes = list(c.scalars(select(t.images.c.hash).order_by(t.images.c.hash).limit(DECODED)))
    decoded = [workspace.images.open(h, encoder.side_px) for h in hashes]
    bare = 0.0  # all threads of the encoder, best of three passes
    for _ in range(3):
        begin = time.perf_counter()
        for at in range(0, len(decoded), batch):
            encoder.encode(decoded[at : at + batch])
        bare = max(bare, len(decoded) / (time.perf_counter() - begin))
    stage = next(s for s in stages if s["stage"] == "embed")
    whole = stage["done"] / stage["seconds"]
    return {
        "end_to_end_per_s": round(whole, 1),
        "bare_encoder_per_s": round(bare, 1),
        "share_of_bare": round(whole / bare, 3),
        "pictures": stage["done"],
    }


def photos(
    workspace: Workspace, store: str, seed: int, count: int, *, first_only: bool
) -> list[tuple[bytes, str]]:
    """Distorted pictures of a store, each with its product."""
    rows = images_of(workspace, store, first_only=first_only)
    chosen = random.Random(seed).sample(rows, min(count, len(rows)))
    return [
        (jpeg(distort(workspace.images.open(image), seed * 10_000 + n)), product)
        for n, (image, product) in enumerate(chosen)
    ]


def distorted(workspace: Workspace, count: int = PHOTOS) -> dict[str, Any]:
    """Phone-like photos of luma through the whole search."""
    o = t.offers.c
    with workspace.db.read() as c:
        sold = select(o.product_id).join(t.stores).where(t.stores.c.name == "outlet").distinct()
        at_outlet = set(c.scalars(sold))
    tools = workspace.tools()
    plain = replace(tools, detector=open_detector("whole"))
    counts: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    asked = photos(workspace, "luma", 1, count, first_only=True)
    each = ""
    for data, product_id in asked:
        answer = search(data, Query(), tools)
        verdicts[answer.verdict] += 1
        products = [hit.product_id for hit in answer.hits]
        right = products[:1] == [product_id]
        counts["first"] += right
        each += str(int(right))
        counts["five"] += product_id in products[:5]
        exact = [hit.product_id for hit in answer.hits if hit.exact]
        counts["exact"] += bool(exact)
        counts["exact_right"] += exact[:1] == [product_id]
        if product_id in at_outlet:
            counts["outlet"] += 1
            shown = {offer.store for offer in answer.hits[0].offers} if right else set()
            counts["outlet_beside"] += shown >= {"luma", "outlet"}
        whole = search(data, Query(), plain)
        counts["whole"] += [hit.product_id for hit in whole.hits[:1]] == [product_id]
    n = len(asked)
    return {
        "own_product_first": share(counts["first"], n),
        "own_product_in_first_5": share(counts["five"], n),
        "own_product_first_whole_photo": share(counts["whole"], n),
        "outlet_beside_luma": share(counts["outlet_beside"], counts["outlet"]),
        "called_exact": share(counts["exact"], n),
        "exact_is_right": share(counts["exact_right"], counts["exact"]),
        "verdicts": dict(verdicts),
        "first_each": each,
    }


def beside(mine: str, other: Path) -> dict[str, Any]:
    """How much oftener the own product is first than in another run, on the same photos."""
    told = json.loads(other.read_text("utf-8"))
    theirs = told["distorted"]["first_each"]
    ours, before = [one == "1" for one in mine], [one == "1" for one in theirs]
    gain = metrics.paired_difference(ours, before, [str(n) for n in range(len(ours))])
    only = metrics.mcnemar(ours, before)
    return {
        "encoder": told["encoder"],
        "gain_of_own_product_first": [None if v is None else round(v, 4) for v in (gain.value, gain.low, gain.high)],
        "only_this": only.better,
        "only_the_other": only.worse,
        "p": only.p,
    }  # fmt: skip


def other_kinds(workspace: Workspace, count: int = PHOTOS) -> dict[str, Any]:
    """The same photos with and without the rule that hits of another kind are left out."""
    asked = photos(workspace, "luma", 1, count, first_only=True)
    found = by_rule([data for data, _ in asked], workspace.tools())
    places = {
        rule: [_place(hits, product) for hits, (_, product) in zip(each, asked, strict=True)]
        for rule, each in found.items()
    }
    return compared(places, [product for _, product in asked])


def _place(hits: Sequence[Hit], product: str) -> int:
    """0-based, 12 where it is not there."""
    return next((n for n, hit in enumerate(hits) if hit.product_id == product), 12)


def nobody_sells(workspace: Workspace, count: int = PHOTOS) -> dict[str, Any]:
    """Second-hand things of closet as photos, closet itself filtered out: nothing is exact."""
    tools, elsewhere = workspace.tools(), Query(stores=("luma", "outlet"))
    asked = photos(workspace, "closet", 2, count, first_only=False)
    verdicts = Counter(search(data, elsewhere, tools).verdict for data, _ in asked)
    return {"called_exact": share(verdicts["exact"], len(asked)), "verdicts": dict(verdicts)}


def grouping(workspace: Workspace, *, codes: bool) -> dict[str, Any]:
    """Precision and recall of luma-outlet pairs of colourways; the truth is the shared code."""
    tally = group(workspace.db, evidence=Evidence(codes=codes))
    colourways: dict[str, dict[tuple[str, str], set[str]]] = {"luma": {}, "outlet": {}}
    o = t.offers.c
    with workspace.db.read() as c:
        query = select(t.stores.c.name, o.mpn, o.product_id).join(t.stores).where(o.active)
        for store, mpn, product_id in c.execute(query):
            if store in colourways:
                model, *_, colour = mpn.split("-")
                colourways[store].setdefault((model, colour), set()).add(product_id)
    said = {
        (a, b)
        for a, products in colourways["luma"].items()
        for b, others in colourways["outlet"].items()
        if products & others
    }
    right = sum(a == b for a, b in said)
    true = sum(a in colourways["outlet"] for a in colourways["luma"])
    split = sum(len(products) > 1 for by in colourways.values() for products in by.values())
    return {
        "precision": share(right, len(said)),
        "recall": share(right, true),
        "colourways_split_in_two": split,
        "refused": dict(tally.rejected),
        "seconds": round(tally.seconds, 2),
    }


def main() -> None:
    parser = arguments(
        __doc__, encoder="pixels", model=None, name="main_job", closet=0, photos=PHOTOS, beside=None
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, shops(asked.closet) as base:
        folder = Path(name) / "workspace"
        with connected(folder, base, encoder=asked.encoder) as workspace:
            shelve(workspace, asked.model)
            first, second = timed_sync(folder), timed_sync(folder)
            counted = dict(offers.counts(workspace.db))
            figures = {
                "encoder": asked.encoder,
                "offers": counted,
                "first_sync": first,
                "second_sync": second,
                "second_over_first": round(second["seconds"] / first["seconds"], 4),
                "first_sync_ms_per_offer": round(
                    1000 * first["seconds"] / sum(counted.values()), 2
                ),
                "embedding": embedding(workspace, first["stages"]),
                "distorted": distorted(workspace, asked.photos),
                "other_kinds": other_kinds(workspace, asked.photos),
                "nobody_sells": nobody_sells(workspace, asked.photos),
                "grouping_codes_hidden": grouping(workspace, codes=False),
                "grouping_with_codes": grouping(workspace, codes=True),
            }
    if asked.beside:
        figures["beside"] = beside(figures["distorted"]["first_each"], asked.beside)
    write(asked.name, figures, asked.out)


if __name__ == "__main__":
    main()
