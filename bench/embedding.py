"""Embedding end to end beside the bare encoder: `python bench/embedding.py [--pictures 400] [--rounds 3]`.

The stage reads, decodes and encodes a store's phone photos and keeps vectors and rows durably; the bare encoder
gets the same pictures, decoded before. Both in turns, on one thread: processor time of all processes, which other
work on the machine disturbs least, and pictures a second by the clock. The ratio is bare over end to end: 1 where
nothing but the encoder costs anything.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select

from lensback.catalogue import pictures
from lensback.db import tables as t
from lensback.embed import embed
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace, init
from rig import DATA, arguments, cpu_s, second_hand, shop_of, write


def filled(workspace: Workspace, base: str, most: int) -> list[str]:
    """The hashes of so many pictures, which lie in the workspace."""
    shop_of(workspace, second_hand(base, most))
    sync(workspace, only="download")
    with workspace.db.read() as c:
        return list(c.scalars(select(t.images.c.hash)))


def spent(work: Callable[[], object]) -> dict[str, float]:
    """Processor seconds and seconds by the clock."""
    begin, before = time.perf_counter(), cpu_s(os.getpid())
    work()
    return {"cpu_s": cpu_s(os.getpid()) - before, "s": time.perf_counter() - begin}


def measured(workspace: Workspace, hashes: list[str], rounds: int) -> list[dict[str, Any]]:
    encoder, batch = workspace.encoder(), workspace.settings.embed_batch
    decoded = [workspace.images.open(each, encoder.side_px) for each in hashes]
    encoder.encode(decoded[:batch])  # warm

    def bare() -> None:
        for at in range(0, len(decoded), batch):
            encoder.encode(decoded[at : at + batch])

    def whole() -> None:
        workspace.vectors.drop(encoder.fingerprint)
        pictures.forget_embeddings(workspace.db, encoder.fingerprint)
        tally = embed(workspace.db, workspace.images, workspace.vectors, encoder, batch=batch)
        if tally.done != len(hashes):
            raise SystemExit(f"{tally.done} of {len(hashes)} embedded: {dict(tally.rejected)}")

    whole()  # warm: what is loaded once, however many pictures there are
    return [{"bare": spent(bare), "end to end": spent(whole)} for _ in range(rounds)]


def main() -> None:
    from lensback.demo import serve_folder

    asked = arguments(__doc__, pictures=400, rounds=3, encoder="eye").parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, serve_folder(DATA / "shops") as base:
        folder = Path(name) / "w"
        init(folder)
        settings = Settings(allow_hosts=("127.0.0.1",), encoder=asked.encoder, threads=1)
        with Workspace(folder, settings) as workspace:
            hashes = filled(workspace, base, asked.pictures)
            found = measured(workspace, hashes, asked.rounds)
    ratios = {
        what: sorted(round(one["bare"][what] / one["end to end"][what], 3) for one in found)
        for what in ("cpu_s", "s")
    }
    each = {
        who: round(1000 * statistics.median(one[who]["cpu_s"] for one in found) / asked.pictures, 2)
        for who in ("bare", "end to end")
    }
    about = {"encoder": asked.encoder, "pictures": asked.pictures, "rounds": asked.rounds}
    told = {"load_average": load, "cpu_ms_each": each, "share_of_bare": ratios}
    told["share_by_cpu_median"] = statistics.median(ratios["cpu_s"])
    write("embedding", about | told, asked.out)


if __name__ == "__main__":
    main()
