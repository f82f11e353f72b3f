"""Clicks under load: `python bench/go_load.py [--rates 100 200 500] [--seconds 20] [--workers 1]`.

A small drawn catalogue with a program, served by `lensback serve` with SQLite. Requests to /go leave at a
fixed rate whatever the answers do (open loop) over 64 kept connections; a latency counts from the moment
a request was due. The client is as thin as it can be, but works on the same machine. Beside what the clock
says, which other work on the machine disturbs, stands the processor time of the server for one request.
In the end every click that was answered with a redirect must be in the database.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from lensback.catalogue import stores
from lensback.db import tables as t
from lensback.showcase import showcase
from lensback.workspace import open_workspace
from rig import Served, arguments, cpu_s, percentiles, write

CONNECTIONS = 64
_SUBID = re.compile(rb"\r\nlocation: [^\r]*[?&]s=([0-9A-Za-z]+)")


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


class Clients:
    """Kept connections that send what is due; each has one request under way at a time."""

    def __init__(self, port: int, ids: list[str]) -> None:
        self.port = port
        self.ids = ids
        self.times: list[float] = []
        self.status: Counter[str] = Counter()
        self.subids: list[str] = []
        self._due: asyncio.Queue[float | None] = asyncio.Queue()

    async def run(self, rate: int, seconds: float) -> dict[str, Any]:
        """Sends at `rate` a second for so long; waits for every answer."""
        workers = [asyncio.create_task(self._one(seed)) for seed in range(CONNECTIONS)]
        begin = time.perf_counter()
        for n in range(int(rate * seconds)):
            due = begin + n / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            self._due.put_nowait(due)
        for _ in workers:
            self._due.put_nowait(None)
        await asyncio.gather(*workers)
        return self._figures(rate, time.perf_counter() - begin)

    async def _one(self, seed: int) -> None:
        rng = random.Random(seed)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while (due := await self._due.get()) is not None:
            offer_id = rng.choice(self.ids)
            head = f"GET /go/{offer_id} HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0\r\n\r\n"
            writer.write(head.encode())
            try:
                answer = await reader.readuntil(b"\r\n\r\n")  # a redirect has no body
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                self.status[type(error).__name__] += 1
                return
            self.times.append(time.perf_counter() - due)
            self.status[answer[9:12].decode()] += 1
            if found := _SUBID.search(answer):
                self.subids.append(found[1].decode())
        writer.close()

    def _figures(self, rate: int, spent: float) -> dict[str, Any]:
        return {
            "rate_per_s": rate,
            "n": len(self.times),
            "answered_per_s": round(len(self.times) / spent, 1),
            "ms": percentiles([1000 * spent for spent in self.times], (50, 99)),
            "status": dict(self.status),
            "load_average": round(os.getloadavg()[0], 1),
        }


def level(
    served: Served, ids: list[str], rate: int, seconds: float
) -> tuple[dict[str, Any], set[str]]:
    clients = Clients(served.port, ids)
    before = cpu_s(served.process.pid)
    figures = asyncio.run(clients.run(rate, seconds))
    spent = cpu_s(served.process.pid) - before
    figures["server_cpu_ms_each"] = round(1000 * spent / max(1, figures["n"]), 2)
    return figures, set(clients.subids)


def kept(folder: Path) -> set[str]:
    """Ids of the clicks in the database, once all of the journal is in."""
    with open_workspace(folder) as workspace:
        workspace.drain()
        with workspace.db.read() as c:
            return set(c.scalars(select(t.clicks.c.click_id)))


def main() -> None:
    asked = arguments(
        __doc__, rates=[50, 100, 200, 300, 400, 500], seconds=20.0, workers=1, name="go_load"
    )
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "w"
        showcase(folder, watch=lambda _stage: lambda _done, _total: None)
        ids = program(folder)
        told: set[str] = set()
        levels = []
        with Served(folder, "--workers", str(given.workers)) as served:
            for rate, seconds in [(20, 2.0), *((r, given.seconds) for r in given.rates)]:
                figures, subids = level(served, ids, rate, seconds)
                levels.append(figures)
                told |= subids
        lost = told - kept(folder)
    figures = {"workers": given.workers, "levels": levels[1:], "redirects": len(told)}
    write(given.name, {**figures, "lost": len(lost)}, given.out)


if __name__ == "__main__":
    main()
