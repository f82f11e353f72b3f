"""A served catalogue under load: `python bench/load.py [--workspace DIR] [--searches 10000]`.

Builds (or takes) a workspace of the three real stores, runs `lensback serve` in a process of its own
and asks it from here, on the same machine: the client's work is in the figures.
- 1, 4, 16, 64 clients, each asking again as soon as it is answered: searches a second, latency
  p50/p95/p99 of what was answered, how many were refused with 503 and Retry-After, other errors;
- memory of the server over many searches;
- SIGTERM under load: every request that was taken is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from lensback.demo import serve_folder
from lensback.distort import distort
from main_job import connect
from record import DATA, write

PHOTOS = 40
SECONDS = 15.0


def photos() -> list[bytes]:
    """Distorted luma pictures, as a phone would send them."""
    rng = random.Random(0)
    files = sorted((DATA / "shops" / "luma" / "images").rglob("*.jpg"))
    made = []
    for at, path in enumerate(rng.sample(files, PHOTOS)):
        buffer = io.BytesIO()
        with Image.open(path) as picture:
            distort(picture.convert("RGB"), at).save(buffer, "JPEG", quality=85)
        made.append(buffer.getvalue())
    return made


async def clients(
    url: str, many: list[bytes], n: int, seconds: float, most: int = 0
) -> dict[str, Any]:
    """`n` clients for a while (or until `most` answers)."""
    times: list[float] = []
    refused = 0
    errors: dict[str, int] = {}
    end = time.perf_counter() + seconds

    async def one(client: httpx.AsyncClient, seed: int) -> None:
        nonlocal refused
        rng = random.Random(seed)
        while time.perf_counter() < end and not (most and len(times) >= most):
            begin = time.perf_counter()
            try:
                response = await client.post("/api/search", files={"photo": rng.choice(many)})
            except httpx.TransportError as error:
                errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1
                continue
            if response.status_code == 200:
                times.append(time.perf_counter() - begin)
            elif response.status_code == 503 and "retry-after" in response.headers:
                refused += 1
                await asyncio.sleep(
                    0.2
                )  # politer than told, so that the refusals do not fill the log
            else:
                name = str(response.status_code)
                errors[name] = errors.get(name, 0) + 1

    limits = httpx.Limits(max_connections=n, max_keepalive_connections=n)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        begin = time.perf_counter()
        await asyncio.gather(*(one(client, seed) for seed in range(n)))
        spent = time.perf_counter() - begin
    p50, p95, p99 = np.percentile(np.array(times) * 1000, [50, 95, 99]) if times else (0, 0, 0)
    return {
        "clients": n,
        "answered": len(times),
        "searches_per_s": round(len(times) / spent, 1),
        "p50_ms": round(float(p50), 1),
        "p95_ms": round(float(p95), 1),
        "p99_ms": round(float(p99), 1),
        "refused_503_with_retry_after": refused,
        "other_errors": errors,
    }


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


class Served:
    """`lensback serve` on a free port."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "lensback", "serve", "--port", str(self.port)]
        command += options
        env = {**os.environ, "LENSBACK_WORKSPACE": str(folder), "LENSBACK_RATE_LIMIT": "0"}
        self.process = subprocess.Popen(command, env=env)
        while True:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=30).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


async def told_to_stop(served: Served, many: list[bytes]) -> dict[str, int]:
    """SIGTERM while 16 clients ask: what was taken is answered or refused, never cut off."""
    outcome = {"answered": 0, "refused": 0, "not_taken": 0, "cut_off": 0}
    stopping = asyncio.Event()

    async def one(client: httpx.AsyncClient) -> None:
        while True:
            late = stopping.is_set()
            try:
                response = await client.post("/api/search", files={"photo": many[0]})
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


def measure(folder: Path, searches: int) -> dict[str, Any]:
    many = photos()
    served = Served(folder)
    try:
        asyncio.run(clients(served.url, many, 4, 5))  # warm
        others = os.getloadavg()[0]  # before we ask: what else the machine does
        levels = [asyncio.run(clients(served.url, many, n, SECONDS)) for n in (1, 4, 16, 64)]
        memory = [round(rss_mb(served.process.pid), 1)]
        for _ in range(10):
            asyncio.run(clients(served.url, many, 8, 3600, searches // 10))
            memory.append(round(rss_mb(served.process.pid), 1))
        stop = asyncio.run(told_to_stop(served, many))
        code = served.process.wait(60)
    finally:
        served.process.kill()
    return {
        "load_average_before": round(others, 1),
        "levels": levels,
        "searches": searches,
        "memory_mb": memory,
        "sigterm_under_load": stop,
        "exit_code": code,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, help="A synced workspace; built where missing.")
    parser.add_argument("--encoder", default="eye")
    parser.add_argument("--searches", type=int, default=10_000)
    given = parser.parse_args()
    if given.workspace:
        write("load", measure(given.workspace, given.searches))
        return
    with tempfile.TemporaryDirectory() as name, serve_folder(DATA / "shops") as base:
        folder = Path(name) / "w"
        connect(folder, base, given.encoder).close()
        env = {
            **os.environ,
            "LENSBACK_ALLOW_HOSTS": '["127.0.0.1"]',
            "LENSBACK_ENCODER": given.encoder,
        }
        command = [sys.executable, "-m", "lensback", "sync", "--workspace", str(folder)]
        subprocess.run(command, env=env, check=True)
        write("load", measure(folder, given.searches))


if __name__ == "__main__":
    main()
