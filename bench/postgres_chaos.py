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

import argparse
import http.client
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from lensback.catalogue import stores
from lensback.demo import serve_folder
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace, init
from main_job import STORES
from record import DATA, write
from servers import Postgres, free_port  # type: ignore[import-not-found]
from test_sync import state  # type: ignore[import-not-found]

OUTAGE_S = 5.0
GRACE_S = 10.0
"""After a restart of PostgreSQL, until a failed search counts."""


def environment(url: str) -> dict[str, str]:
    return os.environ | {
        "LENSBACK_ALLOW_HOSTS": '["127.0.0.1"]',
        "LENSBACK_ENCODER": "pixels",
        "LENSBACK_DATABASE": url,
    }


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
        mark = uuid.uuid4().hex
        body = (
            (
                f'--{mark}\r\nContent-Disposition: form-data; name="photo"; filename="p.jpg"\r\n'
                "Content-Type: image/jpeg\r\n\r\n"
            ).encode()
            + self.photo
            + f"\r\n--{mark}--\r\n".encode()
        )
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
            line.request("POST", "/api/search", body, kind)
            return line.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            line.close()


class Process:
    """One of ours, started again after a kill."""

    def __init__(self, name: str, arguments: list[str], env: dict[str, str]) -> None:
        self.name, self._env = name, env
        self._command = [sys.executable, "-m", "lensback", *arguments]
        self.start()

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self._command, env=self._env, stdout=quiet, stderr=quiet)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.start()


def clean(folder: Path, base: str) -> dict[str, Any]:
    """One undisturbed sync on SQLite."""
    init(folder)
    settings = Settings(allow_hosts=("127.0.0.1",), encoder="pixels")
    with Workspace(folder, settings) as workspace:
        connect(workspace, base, list(STORES))
        sync(workspace)
        made: dict[str, Any] = state(workspace)
        return made


def connect(workspace: Workspace, base: str, names: list[str]) -> None:
    for name in names:
        stores.add(workspace.db, name, f"{base}/{name}/{STORES[name]}", base=base)


def chaos(folder: Path, base: str, server: Postgres, kills: int) -> dict[str, Any]:
    draw = random.Random(3)
    url = server.url("shop")
    init(folder)
    settings = Settings(allow_hosts=("127.0.0.1",), encoder="pixels", database=url)
    with Workspace(folder, settings) as workspace:
        connect(workspace, base, ["luma"])
        sync(workspace)
        connect(workspace, base, ["outlet", "closet"])
    photo = next((DATA / "shops" / "luma").rglob("*.jpg")).read_bytes()
    ports = [free_port(), free_port()]
    at = ["--workspace", str(folder)]
    serves = [Process(f"serve {n}", ["serve", "--port", str(port), *at], environment(url))
              for n, port in enumerate(ports)]  # fmt: skip
    clients = [Client(port, photo) for port in ports]
    threads = [threading.Thread(target=client.run) for client in clients]
    time.sleep(GRACE_S)
    for thread in threads:
        thread.start()
    began = time.monotonic()
    syncs = [Process(f"sync {n}", ["sync", *at], environment(url)) for n in range(2)]
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
    again = Process("sync last", ["sync", *at], environment(url))
    codes.append(again.process.wait(600))
    spent = time.monotonic() - began
    for client in clients:
        client.stop.set()
    for thread in threads:
        thread.join()
    for process in serves:
        process.process.terminate()
        process.process.wait(30)
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
    others: dict[int, int] = {}
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
                others[status] = others.get(status, 0) + 1
    return counts | {"statuses_of_failed_otherwise": others}


def _until_well(killed: float, ends: list[tuple[float, int]]) -> tuple[float, float]:
    """From a kill to the first answer of the process that took its place."""
    later = (when for when, status in ends if when > killed + 0.5 and status == 200)
    return killed, next(later, float("inf"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=12)
    asked = parser.parse_args()
    server = Postgres()
    server.start()
    server.execute("CREATE DATABASE shop")
    try:
        with tempfile.TemporaryDirectory() as folder, serve_folder(DATA / "shops") as base:
            expected = clean(Path(folder, "clean"), base)
            found = chaos(Path(folder, "chaos"), base, server, asked.kills)
    finally:
        server.close()
    made = found.pop("made")
    found["equal_to_one_undisturbed_sync"] = {key: made[key] == expected[key] for key in expected}
    found["rows"] = {key: len(made[key]) for key in ("offers", "urls", "prices", "hashes", "index")}
    write("postgres_chaos", found)


if __name__ == "__main__":
    main()
