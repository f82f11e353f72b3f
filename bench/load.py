"""A served catalogue under load: `python bench/load.py [--workspace DIR] [--searches 10000]`.

Takes (or builds) a workspace of the three real stores, runs `lensback serve` in a process of its
own and asks it from here, on the same machine: the client's work is in the figures.
- 1, 4, 16, 64 clients, each asking again as soon as it is answered (closed loop): searches a second, latency
  p50/p95/p99 of what was answered, how many were refused with 503 and Retry-After, other errors;
- photos sent at fixed rates whatever the answers do (open loop): the same, a latency counting from when its
  photo was due; and the server's processor time for each answer, which other work disturbs least;
- memory of the server over many searches;
- SIGTERM under load: every request that was taken is answered.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx

from lensback.demo import serve_folder
from lensback.distort import distort
from lensback.sync import sync
from rig import (
    DATA,
    Served,
    arguments,
    connected,
    cpu_s,
    jpeg,
    memory_mb,
    opened,
    percentiles,
    write,
)

PHOTOS = 40
RATES = (2, 5, 10, 15, 20, 30)
"""Photos a second that are offered in turn."""


def photos() -> list[bytes]:
    """Distorted luma pictures, as a phone would send them."""
    files = sorted((DATA / "shops" / "luma" / "images").rglob("*.jpg"))
    chosen = random.Random(0).sample(files, PHOTOS)
    return [jpeg(distort(opened(path), n), 85) for n, path in enumerate(chosen)]


async def clients(
    url: str, many: list[bytes], n: int, seconds: float, most: int = 0
) -> dict[str, Any]:
    """`n` clients for a while (or until `most` answers)."""
    times: list[float] = []
    refused = 0
    errors: Counter[str] = Counter()
    end = time.perf_counter() + seconds

    async def one(client: httpx.AsyncClient, seed: int) -> None:
        nonlocal refused
        rng = random.Random(seed)
        while time.perf_counter() < end and not (most and len(times) >= most):
            begin = time.perf_counter()
            try:
                response = await client.post("/api/search", files={"photo": rng.choice(many)})
            except httpx.TransportError as error:
                errors[type(error).__name__] += 1
                continue
            if response.status_code == 200:
                times.append(1000 * (time.perf_counter() - begin))
            elif response.status_code == 503 and "retry-after" in response.headers:
                refused += 1
                await asyncio.sleep(0.2)  # sooner than it was told, or refusals would be few
            else:
                errors[str(response.status_code)] += 1

    limits = httpx.Limits(max_connections=n, max_keepalive_connections=n)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        begin = time.perf_counter()
        await asyncio.gather(*(one(client, seed) for seed in range(n)))
        spent = time.perf_counter() - begin
    return {
        "clients": n,
        "answered": len(times),
        "searches_per_s": round(len(times) / spent, 1),
        "ms": percentiles(times),
        "refused_503_with_retry_after": refused,
        "other_errors": dict(errors),
    }


async def offered(url: str, many: list[bytes], rate: float, seconds: float) -> dict[str, Any]:
    """So many photos a second, sent when they are due."""
    times: list[float] = []
    outcome: Counter[str] = Counter()

    async def one(client: httpx.AsyncClient, due: float, photo: bytes) -> None:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        try:
            response = await client.post("/api/search", files={"photo": photo})
        except httpx.TransportError as error:
            outcome[type(error).__name__] += 1
            return
        outcome[str(response.status_code)] += 1
        if response.status_code == 200:
            times.append(1000 * (time.perf_counter() - due))

    limits, rng = httpx.Limits(max_connections=256), random.Random(0)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        begin = time.perf_counter()
        dues = [begin + n / rate for n in range(int(rate * seconds))]
        await asyncio.gather(*(one(client, due, rng.choice(many)) for due in dues))
        spent = time.perf_counter() - begin
    return {
        "offered_per_s": rate,
        "answered": len(times),
        "searches_per_s": round(len(times) / spent, 1),
        "ms": percentiles(times),
        "status": dict(outcome),
    }


def with_processor(pid: int, asking: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """The figures, and the server's processor time for each answer meanwhile."""
    before = cpu_s(pid)
    figures = asyncio.run(asking)
    spent_ms = 1000 * (cpu_s(pid) - before)
    return figures | {"server_cpu_ms_each": round(spent_ms / max(1, figures["answered"]), 1)}


async def told_to_stop(served: Served, photo: bytes) -> dict[str, int]:
    """SIGTERM while 16 clients ask: what was taken is answered or refused, never cut off."""
    outcome = {"answered": 0, "refused": 0, "not_taken": 0, "cut_off": 0}
    stopping = asyncio.Event()

    async def one(client: httpx.AsyncClient) -> None:
        while True:
            late = stopping.is_set()
            try:
                response = await client.post("/api/search", files={"photo": photo})
            except (httpx.ConnectError, httpx.ConnectTimeout):
                outcome["not_taken"] += 1
                return
            except httpx.TransportError:
                # A kept-alive connection that the server closed before it read the request.
                outcome["not_taken" if late else "cut_off"] += 1
                return
            outcome["answered" if response.status_code == 200 else "refused"] += 1

    async with httpx.AsyncClient(base_url=served.url, timeout=60) as client:
        tasks = [asyncio.create_task(one(client)) for _ in range(16)]
        await asyncio.sleep(3)
        served.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.05)
        stopping.set()
        await asyncio.gather(*tasks)
    return outcome


def measure(folder: Path, searches: int, seconds: float) -> dict[str, Any]:
    many = photos()
    with Served(folder) as served:
        pid = served.process.pid
        asyncio.run(clients(served.url, many, 4, 5))  # warm
        others = os.getloadavg()[0]  # before we ask: what else the machine does
        levels = [
            with_processor(pid, clients(served.url, many, n, seconds)) for n in (1, 4, 16, 64)
        ]
        rates = [with_processor(pid, offered(served.url, many, r, seconds)) for r in RATES]
        memory = [memory_mb(pid)]
        for _ in range(10 if searches else 0):
            asyncio.run(clients(served.url, many, 8, 3600, searches // 10))
            memory.append(memory_mb(pid))
        stop = asyncio.run(told_to_stop(served, many[0]))
        code = served.process.wait(60)
    return {
        "load_average_before": round(others, 1),
        "levels": levels,
        "rates": rates,
        "searches": searches,
        "memory_mb": memory,
        "sigterm_under_load": stop,
        "exit_code": code,
    }


def main() -> None:
    asked = arguments(__doc__, workspace=None, encoder="eye", searches=10_000, seconds=15.0)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as name, serve_folder(DATA / "shops") as base:
        folder = given.workspace or Path(name) / "w"
        if not given.workspace:
            with connected(folder, base, encoder=given.encoder) as workspace:
                sync(workspace)
        write("load", measure(folder, given.searches, given.seconds), given.out)


if __name__ == "__main__":
    main()
