"""Two serve and two sync processes on one PostgreSQL, killed at random, the server crashed midway.

    python bench/postgres_chaos.py [--kills 12]

The three real stores, encoder `pixels`. luma is synced and served first; then outlet and closet
are connected and two `lensback sync` processes work at once, while a client searches both `serve`
processes without a pause. Every few seconds `kill -9` hits one of the four at random and it is
started again; midway PostgreSQL is stopped as in a crash (SIGQUIT) for five seconds. At the end
the catalogue is held against that of one undisturbed sync on SQLite: offers, prices, images,
vectors, products and index rows.
"""

from __future__ import annotations

import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from lensback.demo import serve_folder
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace
from rig import DATA, LOOPBACK, STORES, arguments, connect, connected, lensback, postgres, write

OUTAGE_S = 5.0
GRACE_S = 10.0
"""After a restart of PostgreSQL, until a failed search counts."""


@dataclass(slots=True)
class Client:
    """Searches one `serve` without a pause; notes when each search ended and how."""

    port: int
    photo: bytes
    ends: list[tuple[float, int]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.is_set():
            self.ends.append((time.monotonic(), self._search()))
            time.sleep(0.05)

    def _search(self) -> int:
        try:
            url = f"http://127.0.0.1:{self.port}/api/search"
            return httpx.post(url, files={"photo": self.photo}, timeout=30).status_code
        except httpx.TransportError:
            return 0


class Process:
    """One of ours, started again after a kill."""

    def __init__(self, name: str, url: str, *arguments: object) -> None:
        self.name, self._arguments = name, arguments
        self._env = {**LOOPBACK, "LENSBACK_ENCODER": "pixels", "LENSBACK_DATABASE": url}
        self.start()

    def start(self) -> None:
        self.process: subprocess.Popen[bytes] = lensback(*self._arguments, **self._env)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.start()


def state(workspace: Workspace) -> dict[str, Any]:
    """What must be equal in the end: as the tests compare catalogues after a kill."""
    from test_sync import state as of  # type: ignore[import-not-found,unused-ignore]

    found: dict[str, Any] = of(workspace)
    return found


def clean(folder: Path, base: str) -> dict[str, Any]:
    """One undisturbed sync on SQLite."""
    with connected(folder, base, encoder="pixels") as workspace:
        sync(workspace)
        return state(workspace)


def chaos(folder: Path, base: str, server: Any, kills: int) -> dict[str, Any]:
    from servers import free_port  # type: ignore[import-not-found,unused-ignore]

    draw = random.Random(3)
    url = server.url("shop")
    with connected(folder, base, ["luma"], encoder="pixels", database=url) as workspace:
        sync(workspace)
        connect(workspace, base, [name for name in STORES if name != "luma"])
    photo = next((DATA / "shops" / "luma").rglob("*.jpg")).read_bytes()
    ports = [free_port(), free_port()]
    at = ("--workspace", folder)
    serves = [
        Process(f"serve {n}", url, "serve", "--port", port, *at) for n, port in enumerate(ports)
    ]
    clients = [Client(port, photo) for port in ports]
    threads = [threading.Thread(target=client.run) for client in clients]
    time.sleep(GRACE_S)
    for thread in threads:
        thread.start()
    began = time.monotonic()
    syncs = [Process(f"sync {n}", url, "sync", *at) for n in range(2)]
    away: list[tuple[float, float]] = []
    killed: dict[str, list[float]] = {}
    for turn in range(kills):
        time.sleep(draw.uniform(1.5, 6))
        if turn == kills // 2:
            begin = time.monotonic()
            server.stop(signal.SIGQUIT)
            time.sleep(OUTAGE_S)
            server.start()
            away.append((begin, time.monotonic() + GRACE_S))
            continue
        victim = draw.choice([*serves, *syncs])
        killed.setdefault(victim.name, []).append(time.monotonic())
        victim.kill()
    codes = [process.process.wait(600) for process in syncs]
    again = Process("sync last", url, "sync", *at)
    codes.append(again.process.wait(600))
    spent = time.monotonic() - began
    for client in clients:
        client.stop.set()
    for thread in threads:
        thread.join()
    for process in serves:
        process.process.terminate()
        process.process.wait(30)
    settings = Settings(allow_hosts=("127.0.0.1",), encoder="pixels", database=url)
    with Workspace(folder, settings) as workspace:
        made = state(workspace)
    return {"made": made, "seconds": round(spent, 1), "exit_codes_of_syncs": codes,
            "kills": {name: len(times) for name, times in sorted(killed.items())},
            **searches(clients, serves, away, killed)}  # fmt: skip


def searches(
    clients: list[Client],
    serves: list[Process],
    away: list[tuple[float, float]],
    killed: dict[str, list[float]],
) -> dict[str, Any]:
    """Searches that failed, apart from those of a killed process and of the outage."""
    counts = {"searches": 0, "ok": 0, "failed_while_database_away": 0,
              "failed_while_its_process_restarts": 0, "failed_otherwise": 0}  # fmt: skip
    others: Counter[int] = Counter()
    for client, process in zip(clients, serves, strict=True):
        starts = [_until_well(t, client.ends) for t in killed.get(process.name, [])]
        for when, status in client.ends:
            counts["searches"] += 1
            if status == 200:
                counts["ok"] += 1
            elif any(start - 1 <= when <= stop for start, stop in away):
                counts["failed_while_database_away"] += 1
            elif any(start - 1 <= when <= stop for start, stop in starts):
                counts["failed_while_its_process_restarts"] += 1
            else:
                counts["failed_otherwise"] += 1
                others[status] += 1
    return counts | {"statuses_of_failed_otherwise": dict(others)}


def _until_well(killed: float, ends: list[tuple[float, int]]) -> tuple[float, float]:
    """From a kill to the first answer of the process that took its place."""
    later = (when for when, status in ends if when > killed + 0.5 and status == 200)
    return killed, next(later, float("inf"))


def main() -> None:
    asked = arguments(__doc__, kills=12).parse_args()
    with (
        postgres() as server,
        tempfile.TemporaryDirectory() as folder,
        serve_folder(DATA / "shops") as base,
    ):
        server.execute("CREATE DATABASE shop")
        expected = clean(Path(folder, "clean"), base)
        found = chaos(Path(folder, "chaos"), base, server, asked.kills)
    made = found.pop("made")
    found["equal_to_one_undisturbed_sync"] = {key: made[key] == expected[key] for key in expected}
    found["rows"] = {key: len(made[key]) for key in ("offers", "urls", "prices", "hashes", "index")}
    write("postgres_chaos", found, asked.out)


if __name__ == "__main__":
    main()
