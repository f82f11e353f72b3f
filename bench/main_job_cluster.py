"""The main job on PostgreSQL, Milvus and Ray beside the embedded defaults: the same answers?

    python bench/main_job_cluster.py [--encoder eye] [--photos 300]

The three real stores are synced twice: into SQLite and a Lance index, and into PostgreSQL and a
Milvus, embedded on a Ray of this machine. Then the same luma pictures, distorted as in
bench/main_job.py, are searched in both: same verdict, same products in the same order,
similarities within 0.01.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import main_job
from lensback.demo import serve_folder
from lensback.search import Query, search
from lensback.spread.ray import embed_on_ray
from lensback.sync import sync
from lensback.wire import Answer
from lensback.workspace import Workspace
from rig import DATA, arguments, connected, milvus, postgres, share, write

NEAR = 0.01


def on_servers(folder: Path, base: str, **settings: Any) -> Workspace:
    workspace = connected(folder, base, **settings)
    sync(workspace, only="ingest")
    sync(workspace, only="download")
    w = workspace
    embed_on_ray(w.db, w.images, w.vectors, w.encoder(), w.models, address="local")
    sync(workspace)
    return workspace


def compared(pairs: list[tuple[Answer, Answer]]) -> dict[str, Any]:
    """How often the answers of a pair agree."""
    n = len(pairs)
    ids = [tuple([h.product_id for h in each.hits] for each in pair) for pair in pairs]
    apart = [
        max(
            (abs(h.similarity - g.similarity) for h, g in zip(x.hits, y.hits, strict=False)),
            default=0.0,
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
    asked = arguments(__doc__, encoder="eye", photos=300).parse_args()
    os.environ["RAY_AUTH_MODE"] = "disabled"
    with (
        postgres() as database,
        milvus() as index,
        tempfile.TemporaryDirectory() as folder,
        serve_folder(DATA / "shops") as base,
    ):
        database.execute("CREATE DATABASE shop")
        begin = time.perf_counter()
        one = connected(Path(folder, "one"), base, encoder=asked.encoder)
        sync(one)
        middle = time.perf_counter()
        servers = {"database": database.url("shop"), "index": index.url("shop")}
        many = on_servers(Path(folder, "many"), base, encoder=asked.encoder, **servers)
        end = time.perf_counter()
        with one, many:
            answers = [
                (search(photo, Query(), one.tools()), search(photo, Query(), many.tools()))
                for photo, _ in main_job.photos(one, "luma", 1, asked.photos, first_only=True)
            ]
    figures = {
        "encoder": asked.encoder,
        "embedded_seconds": round(middle - begin, 1),
        "servers_seconds": round(end - middle, 1),
        **compared(answers),
    }
    write("main_job_cluster", figures, asked.out)


if __name__ == "__main__":
    main()
