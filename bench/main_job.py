"""The main job on the three real stores: `python bench/main_job.py [--encoder NAME]`.

Serves LENSBACK_DATA/shops on loopback, connects luma, outlet and closet, and measures:
- first and second sync, each a process of its own: seconds, per-stage tallies, peak memory;
- embedding end to end (files -> vectors on disk) against the bare encoder on decoded pictures;
- 300 luma pictures, distorted as a phone would (lensback.distort), through the whole search:
  the own product first; and among those sold by the outlet too, the outlet's offers beside luma's;
- the same 300 with every offer of the product taken away: how often is "exact" said then;
- grouping against the truth (luma's MPN = the outlet's vendorCode), pairs of colourways, with
  codes and with the codes hidden.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from lensback.catalogue import offers, stores
from lensback.db import tables as t
from lensback.demo import serve_folder
from lensback.distort import distort
from lensback.encoders import Encoder
from lensback.group import Rules, group
from lensback.search import Query, search
from lensback.settings import Settings
from lensback.workspace import Workspace, init
from record import DATA, share, write

STORES = {"luma": "feed.xml", "outlet": "feed.yml", "closet": "feed.csv.gz"}
PHOTOS = 300


def connect(folder: Path, base: str, encoder: str) -> Workspace:
    init(folder)
    workspace = Workspace(folder, Settings(allow_hosts=("127.0.0.1",), encoder=encoder))
    for name, file in STORES.items():
        stores.add(workspace.db, name, f"{base}/{name}/{file}", base=base)
    return workspace


def timed_sync(folder: Path, encoder: str) -> dict[str, Any]:
    """One `lensback sync --json` in its own process."""
    environment = {
        **os.environ,
        "LENSBACK_ALLOW_HOSTS": '["127.0.0.1"]',
        "LENSBACK_ENCODER": encoder,
    }
    command = [sys.executable, "-m", "lensback", "sync", "--json", "--workspace", str(folder)]
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    # The largest child so far: the first sync is the largest.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"seconds": round(seconds, 2), "peak_mb": round(peak), **json.loads(done.stdout)}


def embedding(workspace: Workspace, stages: list[dict[str, Any]]) -> dict[str, Any]:
    """End-to-end pictures a second of the first sync, as a share of the bare encoder's."""
    encoder = workspace.encoder()
    with workspace.db.read() as c:
        hashes = list(c.scalars(select(t.images.c.hash).order_by(t.images.c.hash).limit(1024)))
    decoded = [workspace.images.open(h, encoder.side_px) for h in hashes]
    bare = bare_speed(encoder, decoded, workspace.settings.embed_batch)
    stage = next(s for s in stages if s["stage"] == "embed")
    whole = stage["done"] / stage["seconds"]
    return {
        "end_to_end_per_s": round(whole, 1),
        "bare_encoder_per_s": round(bare, 1),
        "share_of_bare": round(whole / bare, 3),
        "pictures": stage["done"],
    }


def bare_speed(encoder: Encoder, decoded: list[Any], batch: int) -> float:
    """Pictures a second, all threads of the encoder, best of three passes."""
    best = 0.0
    for _ in range(3):
        begin = time.perf_counter()
        for at in range(0, len(decoded), batch):
            encoder.encode(decoded[at : at + batch])
        best = max(best, len(decoded) / (time.perf_counter() - begin))
    return best


def distorted(workspace: Workspace, seed: int = 1) -> dict[str, Any]:
    """Phone-like photos of luma through the whole search."""
    with workspace.db.read() as c:
        u, o, oi = t.image_urls.c, t.offers.c, t.offer_images.c
        rows = c.execute(
            select(u.image_hash, o.product_id)
            .distinct()
            .join(t.offer_images, oi.image_url_id == u.id)
            .join(t.offers, o.id == oi.offer_id)
            .join(t.stores, t.stores.c.id == o.store_id)
            .where(t.stores.c.name == "luma", oi.position == 0)
            .order_by(u.image_hash)
        ).all()
        sold = select(o.product_id).join(t.stores).where(t.stores.c.name == "outlet").distinct()
        at_outlet = set(c.scalars(sold))
    chosen = random.Random(seed).sample(rows, PHOTOS)
    tools = workspace.tools()
    plain = replace(tools, detector=_whole())
    counts: dict[str, int] = defaultdict(int)
    verdicts: dict[str, int] = defaultdict(int)
    for n, (image_hash, product_id) in enumerate(chosen):
        copy = distort(workspace.images.open(image_hash), seed * 10_000 + n)
        data = _jpeg(copy)
        answer = search(data, Query(), tools)
        verdicts[answer.verdict] += 1
        first = answer.hits[0] if answer.hits else None
        right = first is not None and first.product.product_id == product_id
        counts["first"] += right
        counts["five"] += any(h.product.product_id == product_id for h in answer.hits[:5])
        exact = [hit for hit in answer.hits if hit.exact]
        counts["exact"] += bool(exact)
        counts["exact_right"] += bool(exact) and exact[0].product.product_id == product_id
        if product_id in at_outlet:
            counts["outlet"] += 1
            shown = {s.store for s in first.product.offers} if first and right else set()
            counts["outlet_beside"] += shown >= {"luma", "outlet"}
        whole = search(data, Query(), plain)
        counts["whole_first"] += bool(whole.hits) and whole.hits[0].product.product_id == product_id
    return {
        "own_product_first": share(counts["first"], PHOTOS),
        "own_product_in_first_5": share(counts["five"], PHOTOS),
        "own_product_first_whole_photo": share(counts["whole_first"], PHOTOS),
        "outlet_beside_luma": share(counts["outlet_beside"], counts["outlet"]),
        "called_exact": share(counts["exact"], PHOTOS),
        "exact_is_right": share(counts["exact_right"], counts["exact"]),
        "verdicts": dict(verdicts),
    }


def nobody_sells(workspace: Workspace, seed: int = 2) -> dict[str, Any]:
    """300 second-hand things of closet as photos, closet itself filtered out: nothing is exact."""
    with workspace.db.read() as c:
        u, o, oi = t.image_urls.c, t.offers.c, t.offer_images.c
        rows = list(
            c.scalars(
                select(u.image_hash)
                .distinct()
                .join(t.offer_images, oi.image_url_id == u.id)
                .join(t.offers, o.id == oi.offer_id)
                .join(t.stores, t.stores.c.id == o.store_id)
                .where(t.stores.c.name == "closet")
                .order_by(u.image_hash)
            )
        )
    tools = workspace.tools()
    verdicts: dict[str, int] = defaultdict(int)
    for n, image_hash in enumerate(random.Random(seed).sample(rows, PHOTOS)):
        copy = distort(workspace.images.open(image_hash), seed * 10_000 + n)
        verdicts[search(_jpeg(copy), Query(stores=("luma", "outlet")), tools).verdict] += 1
    return {"called_exact": share(verdicts["exact"], PHOTOS), "verdicts": dict(verdicts)}


def _whole() -> Any:
    from lensback.detectors import open_detector

    return open_detector("whole")


def _jpeg(image: Any) -> bytes:
    import io

    image.save(buffer := io.BytesIO(), "JPEG", quality=90)
    return buffer.getvalue()


def grouping(workspace: Workspace, *, codes: bool) -> dict[str, Any]:
    """Precision and recall of luma-outlet pairs of colourways; the truth is the shared code."""
    tally = group(workspace.db, rules=Rules(codes=codes))
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="pixels")
    parser.add_argument("--model", type=Path, help="folder of an ONNX model to link as `imagenet`")
    parser.add_argument("--name", default="main_job")
    options = parser.parse_args()
    if not (DATA / "shops").is_dir():
        raise SystemExit(f"no real data at {DATA}: set LENSBACK_DATA")
    with (
        tempfile.TemporaryDirectory() as temporary,
        serve_folder(DATA / "shops") as base,
    ):
        folder = Path(temporary) / "workspace"
        with connect(folder, base, options.encoder) as workspace:
            if options.model:
                workspace.models.mkdir()
                (workspace.models / "imagenet").symlink_to(options.model.resolve())
            first = timed_sync(folder, options.encoder)
            second = timed_sync(folder, options.encoder)
            total = sum(offers.counts(workspace.db).values())
            figures = {
                "encoder": options.encoder,
                "offers": dict(offers.counts(workspace.db)),
                "first_sync": first,
                "second_sync": second,
                "second_over_first": round(second["seconds"] / first["seconds"], 4),
                "first_sync_ms_per_offer": round(1000 * first["seconds"] / total, 2),
                "embedding": embedding(workspace, first["stages"]),
                "distorted": distorted(workspace),
                "nobody_sells": nobody_sells(workspace),
                "grouping_codes_hidden": grouping(workspace, codes=False),
                "grouping_with_codes": grouping(workspace, codes=True),
            }
    write(options.name, figures)


if __name__ == "__main__":
    main()
