"""The main job on PostgreSQL, Milvus and Ray beside the embedded defaults: the same answers?

    python bench/main_job_cluster.py [--encoder eye] [--photos 300]

The three real stores are synced twice: into SQLite and a Lance index, and into PostgreSQL and a
Milvus, embedded on a Ray of this machine. Then the same luma pictures, distorted as in
bench/main_job.py, are searched in both: same verdict, same products in the same order,
similarities within 0.01.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["RAY_AUTH_MODE"] = "disabled"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from PIL import Image
from sqlalchemy import select

from lensback.catalogue import stores
from lensback.db import tables as t
from lensback.demo import serve_folder
from lensback.distort import distort
from lensback.search import Query, search
from lensback.settings import Settings
from lensback.spread import embed_on_ray
from lensback.sync import sync
from lensback.types import Answer
from lensback.workspace import Workspace, init
from main_job import STORES
from milvus_server import MilvusServer  # type: ignore[import-not-found]
from record import DATA, share, write
from servers import Postgres  # type: ignore[import-not-found]

NEAR = 0.01


def opened(folder: Path, base: str, **settings: Any) -> Workspace:
    init(folder)
    workspace = Workspace(folder, Settings(allow_hosts=("127.0.0.1",), **settings))
    for name, file in STORES.items():
        stores.add(workspace.db, name, f"{base}/{name}/{file}", base=base)
    return workspace


def photos(workspace: Workspace, count: int) -> list[bytes]:
    """Main pictures of luma, distorted."""
    u, o, oi = t.image_urls.c, t.offers.c, t.offer_images.c
    query = (
        select(u.image_hash)
        .distinct()
        .join(t.offer_images, oi.image_url_id == u.id)
        .join(t.offers, o.id == oi.offer_id)
        .join(t.stores, t.stores.c.id == o.store_id)
        .where(t.stores.c.name == "luma", oi.position == 0)
        .order_by(u.image_hash)
    )
    with workspace.db.read() as c:
        hashes = list(c.scalars(query))
    chosen = random.Random(1).sample(hashes, min(count, len(hashes)))
    return [jpeg(distort(workspace.images.open(h), n)) for n, h in enumerate(chosen)]


def jpeg(image: Image.Image) -> bytes:
    image.save(sink := io.BytesIO(), "JPEG", quality=95)
    return sink.getvalue()


def on_servers(folder: Path, base: str, database: str, index: str, encoder: str) -> Workspace:
    workspace = opened(folder, base, encoder=encoder, database=database, index=index)
    sync(workspace, only="ingest")
    sync(workspace, only="download")
    w = workspace
    embed_on_ray(w.db, w.images, w.vectors, w.encoder(), w.models, address="local")
    sync(workspace)
    return workspace


def compared(pairs: list[tuple[Answer, Answer]]) -> dict[str, Any]:
    n = len(pairs)
    ids = [([h.product.product_id for h in x.hits], [h.product.product_id for h in y.hits])
           for x, y in pairs]  # fmt: skip
    apart = [
        max(
            (abs(h.similarity - g.similarity) for h, g in zip(x.hits, y.hits, strict=False)),
            default=0,
        )
        for x, y in pairs
    ]
    return {
        "same_verdict": share(sum(x.verdict == y.verdict for x, y in pairs), n),
        "same_products_in_order": share(sum(a == b for a, b in ids), n),
        "same_first_product": share(sum(a[:1] == b[:1] for a, b in ids), n),
        "similarities_within_0.01": share(sum(d <= NEAR for d in apart), n),
        "largest_difference_of_similarity": round(max(apart), 6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--encoder", default="eye")
    parser.add_argument("--photos", type=int, default=300)
    asked = parser.parse_args()
    postgres, milvus = Postgres(), MilvusServer()
    try:
        postgres.start()
        postgres.execute("CREATE DATABASE shop")
        milvus.start()
        with tempfile.TemporaryDirectory() as folder, serve_folder(DATA / "shops") as base:
            begin = time.perf_counter()
            one = opened(Path(folder, "one"), base, encoder=asked.encoder)
            sync(one)
            middle = time.perf_counter()
            url = milvus.url("shop")
            many = on_servers(Path(folder, "many"), base, postgres.url("shop"), url, asked.encoder)
            end = time.perf_counter()
            with one, many:
                answers = [
                    (search(photo, Query(), one.tools()), search(photo, Query(), many.tools()))
                    for photo in photos(one, asked.photos)
                ]
            figures = {
                "encoder": asked.encoder,
                "embedded_seconds": round(middle - begin, 1),
                "servers_seconds": round(end - middle, 1),
                **compared(answers),
            }
    finally:
        milvus.close()
        postgres.close()
    write("main_job_cluster", figures)


if __name__ == "__main__":
    main()
