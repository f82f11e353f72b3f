"""Rows changed in pgvector, and `kill -9` of its whole server meanwhile: `python pgvector_writes.py FOLDER [KILLS]`, in an environment of its own.

FOLDER holds what writes.py puts there: vectors.npy [n, dim], changed.npy [m], after.npy [m, dim]. The rows get their other vectors
in one transaction. A process that does so is killed together with every process of the server at moments spread over the seconds that it took, the server is
started again, and all changed rows are compared, then searched for through the graph. Prints one JSON like writes.py's: processor time of this
process and the server's (kept as bench/results/peers_pgvector_writes.json). Nothing of the project is imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

PLACE = Path("/tmp/lensback-pgvector-writes")  # where its own user reaches it
ALIKE = 0.95
"""Of the rows that are searched for so many must be found: a graph does not find each of its own."""


def started() -> Any:
    import pgserver

    return pgserver.get_server(PLACE, cleanup_mode=None)


def connected(uri: str) -> Any:
    import psycopg

    return psycopg.connect(uri, autocommit=True)


def pids() -> list[int]:
    """The server's first process and all that it started."""
    file = PLACE / "postmaster.pid"
    if not file.exists():
        return []
    first = int(file.read_text().split()[0])
    task = Path(f"/proc/{first}/task/{first}/children")
    return [first, *map(int, task.read_text().split())] if task.exists() else []


def words(vector: Any) -> str:
    return "[" + ",".join(map(repr, vector.tolist())) + "]"


def build(c: Any, vectors: Any) -> None:
    c.execute("CREATE EXTENSION vector")
    c.execute("SET maintenance_work_mem = '1GB'")
    c.execute("SET max_parallel_maintenance_workers = 0")
    c.execute(f"CREATE TABLE t (row int PRIMARY KEY, vector vector({vectors.shape[1]}))")
    with c.cursor().copy("COPY t FROM STDIN") as copy:
        for number, one in enumerate(vectors):
            copy.write_row((number, words(one)))
    c.execute(
        "CREATE INDEX ON t USING hnsw (vector vector_ip_ops) WITH (m = 16, ef_construction = 128)"
    )


def change(c: Any, rows: Any, vectors: Any) -> None:
    pairs = [(words(one), int(row)) for row, one in zip(rows, vectors, strict=True)]
    with c.transaction(), c.cursor() as cursor:
        cursor.executemany("UPDATE t SET vector = %s::vector WHERE row = %s", pairs)


def spent_s(c: Any) -> float:
    """Of this process and of the one that serves it."""
    told = Path(f"/proc/{c.info.backend_pid}/schedstat").read_text()
    return time.process_time() + int(told.split()[0]) / 1e9


def state(c: Any, before: Any, after: Any, rows: Any) -> str:
    """What the store is in: all changed rows by what they say, then by what the graph finds of them."""
    count = c.execute("SELECT count(*) FROM t").fetchone()[0]
    held = dict(c.execute("SELECT row, vector::text FROM t WHERE row = ANY(%s)", (rows.tolist(),)))
    now = np.array([json.loads(held[int(row)]) for row in rows], np.float32)
    for name, wanted in (("old", before), ("new", after)):
        if count == before_count and np.abs(now - wanted).max() < 1e-6:
            asked = "SELECT row FROM t ORDER BY vector <#> %s::vector LIMIT 1"
            found = [c.execute(asked, (words(one),)).fetchone()[0] for one in wanted]
            return name if (np.array(found) == rows).mean() >= ALIKE else f"{name}, not found"
    return "torn"


def killed(uri: str, after_s: float) -> bool:
    """Ends a change, and the server. False where the change was done before."""
    command = [sys.executable, __file__, sys.argv[1], "change", uri]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if not process.stdout or not process.stdin:
            raise SystemExit("no pipes")
        process.stdout.readline()
        process.stdin.write(b"\n")
        process.stdin.flush()
        time.sleep(after_s)
        running = process.poll() is None
        server = pids()
        process.kill()
        for pid in server:
            with contextlib.suppress(
                ProcessLookupError
            ):  # its own process may be gone with the client
                os.kill(pid, signal.SIGKILL)
        process.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in server):
        time.sleep(0.05)
    return running


def again() -> Any:
    """The server after a kill: it mends itself from its log."""
    import pgserver

    pgserver.PostgresServer._instances.pop(PLACE.resolve(), None)  # noqa: SLF001 - it knows one server a process
    pgserver.PostgresServer._instances.pop(PLACE, None)  # noqa: SLF001
    return started()


def main() -> None:
    global before_count
    folder = Path(sys.argv[1])
    vectors, rows = np.load(folder / "vectors.npy"), np.load(folder / "changed.npy")
    after, before, before_count = np.load(folder / "after.npy"), vectors[rows], len(vectors)
    if sys.argv[2:3] == ["change"]:
        c = connected(sys.argv[3])
        print("ready", flush=True)
        sys.stdin.readline()
        change(c, rows, after)
        return
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 12
    shutil.rmtree(PLACE, ignore_errors=True)
    uri = started().get_uri()
    c = connected(uri)
    begin = spent_s(c)
    build(c, vectors)
    built, begin, clock = spent_s(c) - begin, spent_s(c), time.perf_counter()
    change(c, rows, after)
    changed, seconds = spent_s(c) - begin, time.perf_counter() - clock
    states, finished = Counter[str](), 0
    if state(c, before, after, rows) != "new":
        raise SystemExit("not changed")
    for n in range(kills):
        change(c, rows, before)
        c.execute("CHECKPOINT")
        c.close()
        finished += not killed(uri, seconds * (n + 0.5) / kills)
        uri = again().get_uri()
        c = connected(uri)
        states[state(c, before, after, rows)] += 1
    c.close()
    again().cleanup()
    about = {
        "build": {"cpu_s": round(built, 2)},
        "change": {"cpu_s": round(changed, 2), "s": round(seconds, 2)},
    }
    print(
        json.dumps(about | {"states": dict(states), "done_before_the_kill": finished, "said": []})
    )


before_count = 0
"""Rows that there must be."""

if __name__ == "__main__":
    main()
