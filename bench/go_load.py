"""Clicks under load: `python bench/go_load.py [--rate 500] [--seconds 20]`.

A small drawn catalogue with a program, served by `lensback serve` with SQLite; requests to /go leave at a
fixed rate whatever the answers do (open loop), from this machine: the client's work is in the figures.
Then every click that was answered with a redirect must be in the database.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from sqlalchemy import func, select

from lensback.catalogue import stores
from lensback.db import tables as t
from lensback.showcase import showcase
from lensback.workspace import open_workspace
from load import Served
from record import write

BROWSER = {"User-Agent": "Mozilla/5.0 Firefox/140.0"}
_SUBID = re.compile(r"[?&]s=([0-9A-Za-z]+)")


def program(folder: Path) -> list[str]:
    """Gives every store a program; offer ids to click on."""
    with open_workspace(folder) as workspace:
        with workspace.db.read() as c:
            rows = c.execute(select(t.offers.c.offer_id, t.offers.c.url)).all()
        hosts = sorted({urlsplit(row.url).netloc for row in rows})
        for state in stores.overview(workspace.db):
            terms = {
                "network": "generic",
                "domains": hosts,
                "share": "0.5",
                "rates": [{"percent": "8"}],
                "link": {"template": "https://track.example/c?s={subid}&to={url}"},
            }
            stores.add(workspace.db, state.name, state.feed_url, program=terms)
        return [row.offer_id for row in rows]


async def clicked(url: str, ids: list[str], rate: int, seconds: float) -> dict[str, Any]:
    """Sends at `rate` a second; latency is from when a request was due to its answer."""
    times: list[float] = []
    status: Counter[str] = Counter()
    subids: list[str] = []
    rng = random.Random(0)
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(
        base_url=url, headers=BROWSER, limits=limits, timeout=30
    ) as client:

        async def one(due: float) -> None:
            try:
                answer = await client.get(f"/go/{rng.choice(ids)}")
            except httpx.TransportError as error:
                status[type(error).__name__] += 1
                return
            times.append(time.perf_counter() - due)
            status[str(answer.status_code)] += 1
            if found := _SUBID.search(answer.headers.get("location", "")):
                subids.append(found[1])

        begin = time.perf_counter()
        tasks = []
        for n in range(int(rate * seconds)):
            due = begin + n / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(one(due)))
        await asyncio.gather(*tasks)
        spent = time.perf_counter() - begin
    p50, p99 = np.percentile(np.array(times) * 1000, [50, 99]) if times else (0.0, 0.0)
    return {
        "rate_per_s": rate,
        "seconds": round(spent, 1),
        "answered_per_s": round(len(times) / spent, 1),
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "status": dict(status),
        "redirects": len(subids),
        "different_click_ids": len(set(subids)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="*", default=[50, 100, 200, 300, 500])
    parser.add_argument("--seconds", type=float, default=15)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "w"
        showcase(folder, count=60, watch=lambda _stage: lambda _done, _total: None)
        ids = program(folder)
        served = Served(folder)
        try:
            asyncio.run(clicked(served.url, ids, 20, 2))  # warm
            levels = [asyncio.run(clicked(served.url, ids, r, given.seconds)) for r in given.rates]
        finally:
            served.stop()
        with open_workspace(folder) as workspace:
            workspace.drain()
            with workspace.db.read() as c:
                kept = c.execute(select(func.count()).select_from(t.clicks)).scalar_one()
    redirects = sum(level["redirects"] for level in levels) + 40
    write(
        "go_load",
        {"levels": levels, "redirects": redirects, "clicks_kept": kept, "lost": redirects - kept},
    )


if __name__ == "__main__":
    main()
