"""A Milvus cluster with three query nodes on this machine; one is killed while searches run.

    python bench/milvus_cluster.py [--rows 200000] [--seconds 60]

Needs etcd (Debian: etcd-server) and `pip install confluent-kafka`, whose built-in mock broker
stands in for Kafka (nothing of it is durable). Every role is a process of the wheel that the
tests use. The index has 2 shards and 2 replicas; four threads search through
`lensback.indexes` while one query node gets `kill -9` and comes back later.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from lensback.errors import Error
from lensback.indexes import health, open_index
from lensback.types import Filter
from rig import arguments, memory_mb, percentiles, write
from search_index import DIM, FINGERPRINT, Gallery, K

# Of the tests, in whose folder `rig` lets us look.
from milvus_server import configuration, milvus_programs  # type: ignore[import-not-found,unused-ignore]  # isort: skip
from servers import free_port, listens  # type: ignore[import-not-found,unused-ignore]  # isort: skip

BROKER = """
import time
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1})
broker = next(iter(producer.list_topics(timeout=10).brokers.values()))
print(f"{broker.host}:{broker.port}", flush=True)
time.sleep(86400)
"""
SEARCHERS = 4


class Cluster:
    """etcd, the mock broker, coordinators, one data and one index node, query nodes, a proxy."""

    def __init__(self) -> None:
        self.programs = milvus_programs()
        self.folder = Path(tempfile.mkdtemp(prefix="lensback-cluster-"))
        self.processes: dict[str, subprocess.Popen[Any]] = {}
        self.port = free_port()
        for name in ("configs", "logs", "data"):
            (self.folder / name).mkdir()
        self._etcd, self._broker = self._start_etcd(), self._start_broker()
        self._ports = {name: free_port() for name in ("ROOTCOORD", "QUERYCOORD", "DATACOORD")}

    def _start_etcd(self) -> str:
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        program = shutil.which("etcd") or sys.exit("etcd is missing: apt-get install etcd-server")
        self._run("etcd", [program, "--data-dir", str(self.folder / "etcd"),
                           "--listen-client-urls", client, "--advertise-client-urls", client,
                           "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                           "--initial-cluster", f"default={peer}"])  # fmt: skip
        self._wait(int(client.rpartition(":")[2]))
        return client.removeprefix("http://")

    def _start_broker(self) -> str:
        process = subprocess.Popen(
            [sys.executable, "-c", BROKER],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes["broker"] = process
        if process.stdout is None:
            raise SystemExit("no broker")
        return process.stdout.readline().strip()

    def _run(self, name: str, command: list[str], **more: str) -> None:
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=self.folder, env=os.environ | more, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _wait(self, port: int, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not listens(port):
            if time.monotonic() > end:
                raise SystemExit(f"nobody listens on {port}; see {self.folder / 'logs'}")
            time.sleep(0.2)

    def role(self, name: str, *arguments: str, **ports: int) -> None:
        """Starts one role with ports of its own."""
        home = self.folder / "configs"
        values = {"local_storage_dir": self.folder / "data", "proxy_port": self.port,
                  "system_log_path": "", "etcd_log_path": "stdout",
                  "etcd_data_dir": self.folder / "unused",
                  "rocksmq_data_dir": self.folder / "unused"}  # fmt: skip
        (home / "milvus.yaml").write_text(configuration(self.folder, values), "utf-8")
        shutil.copy(self.programs / "glog.conf", home)
        environment = {
            "LD_LIBRARY_PATH": str(self.programs),
            "MILVUSCONF": str(home),
            "DEPLOY_MODE": "DISTRIBUTED",
            "COMMON_STORAGETYPE": "local",
            "LOCALSTORAGE_PATH": str(self.folder / "data"),
            "ETCD_USE_EMBED": "false",
            "ETCD_ENDPOINTS": self._etcd,
            "MQ_TYPE": "kafka",
            "KAFKA_BROKERLIST": self._broker,
            "METRICS_PORT": str(free_port()),
            "MILVUS_RUN_DIR": str(self.folder / f"run-{name}"),
            **{f"{key}_PORT": str(port) for key, port in (self._ports | ports).items()},
        }
        self._run(name, [str(self.programs / "milvus"), "run", *arguments], **environment)

    def start(self, query_nodes: int) -> None:
        coordinators = ("-rootcoord", "-querycoord", "-datacoord", "-indexcoord")
        self.role("coordinators", "mixture", *coordinators)
        self._wait(self._ports["ROOTCOORD"])
        time.sleep(8)
        self.role("datanode", "datanode", DATANODE=free_port())
        self.role("indexnode", "indexnode", INDEXNODE=free_port())
        for number in range(query_nodes):
            self.role(f"querynode{number}", "querynode", QUERYNODE=free_port())
        time.sleep(3)
        self.role("proxy", "proxy", PROXY=self.port, PROXY_INTERNALPORT=free_port())
        self._wait(self.port)
        time.sleep(5)

    def memory_mb(self) -> dict[str, float]:
        return {name: memory_mb(process.pid) for name, process in self.processes.items()}

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Searcher(threading.Thread):
    """Searches without a pause, and notes how long each took and which failed."""

    def __init__(self, url: str, gallery: Gallery) -> None:
        super().__init__()
        self._index, self._gallery = open_index(url, Path()), gallery
        self.done: list[tuple[float, float, str]] = []
        self.stop = threading.Event()

    def run(self) -> None:
        n = 0
        while not self.stop.is_set():
            n += 1
            query = self._gallery.queries[n % len(self._gallery.queries)]
            begin, wrong = time.monotonic(), ""
            try:
                found = self._index.search(query, K, Filter())
                wrong = "" if len(found) == K else f"{len(found)} of {K} candidates"
            except Error as error:
                wrong = f"{type(error).__name__}: {error.message}"
            self.done.append((begin, time.monotonic() - begin, wrong))


def _summary(done: list[tuple[float, float, str]]) -> dict[str, Any]:
    times = [1000 * spent for _, spent, _ in done]
    wrong = [why for _, _, why in done if why]
    return {
        "searches": len(done),
        "failed": len(wrong),
        "why": sorted(set(wrong))[:3],
        "ms": percentiles(times, (50, 99)),
        "worst_s": round(max(times, default=0.0) / 1000, 2),
    }


def measure(cluster: Cluster, rows: int, seconds: float) -> dict[str, Any]:
    """Fills the cluster, and searches it before, during and after the loss of a query node."""
    gallery = Gallery(rows)
    url = f"milvus://127.0.0.1:{cluster.port}/bench?shards=2&replicas=2"
    index = open_index(url, Path(), fingerprint=FINGERPRINT, dim=DIM)
    begin = time.perf_counter()
    gallery.upsert(index, 0, rows)
    staged = time.perf_counter()
    snapshot = index.publish("bench")
    published = time.perf_counter()
    print("published", snapshot, health(open_index(url, Path())), flush=True)
    searchers = [Searcher(url, gallery) for _ in range(SEARCHERS)]
    for searcher in searchers:
        searcher.start()
    marks = [time.monotonic()]
    time.sleep(seconds / 3)
    marks.append(time.monotonic())
    victim = cluster.processes["querynode0"]
    victim.kill()
    victim.wait()
    time.sleep(seconds)
    alone = health(open_index(url, Path()))
    marks.append(time.monotonic())
    cluster.role("querynode0", "querynode", QUERYNODE=free_port())
    time.sleep(seconds)
    whole, memory = health(open_index(url, Path())), cluster.memory_mb()
    for searcher in searchers:
        searcher.stop.set()
        searcher.join()
    done = sorted(one for searcher in searchers for one in searcher.done)
    parts = [
        _summary([one for one in done if a <= one[0] < b])
        for a, b in itertools.pairwise([*marks, float("inf")])
    ]
    names = ("before", "after_the_kill", "after_the_node_came_back")
    return {
        "rows": rows, "query_nodes": 3, "replicas": 2, "shards": 2,
        "stage_s": round(staged - begin, 1), "publish_s": round(published - staged, 1),
        "recall_at_publish": snapshot.recall, **dict(zip(names, parts, strict=True)),
        "health_with_two_nodes": alone[0], "health_with_three_again": whole[0],
        "memory_mb": memory,
    }  # fmt: skip


def main() -> None:
    asked = arguments(__doc__, rows=200_000, seconds=60.0).parse_args()
    cluster = Cluster()
    try:
        cluster.start(3)
        write("milvus_cluster", measure(cluster, asked.rows, asked.seconds), asked.out)
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
