"""A real Milvus for tests and benchmarks, from the wheel that carries the server.

The wheel is no dependency of the project: it is fetched once into a cache folder and unpacked
there. `MilvusServer` runs everything in one process; the roles of a cluster are started by
`bench/milvus_cluster.py` from the same folder.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

from servers import CACHE, END_S, free_port, guard, one_at_a_time, wait_until

VERSION = "2.3.5"
_FOLDER = CACHE / f"milvus-{VERSION}"


def milvus_programs() -> Path:
    """The folder of the server, its libraries and its configuration's template."""
    if sys.platform != "linux":
        pytest.skip("the wheel of the Milvus server runs on Linux only")
    with one_at_a_time("milvus"):
        if not (_FOLDER / "milvus").exists():
            _unpack(_wheel())
    return _FOLDER


def _wheel() -> Path:
    found = list(CACHE.glob(f"milvus-{VERSION}-*.whl"))
    if not found:
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                 "--disable-pip-version-check", "--dest", str(CACHE), f"milvus=={VERSION}"]  # fmt: skip
        done = subprocess.run(fetch, check=False, capture_output=True, text=True)
        found = list(CACHE.glob(f"milvus-{VERSION}-*.whl"))
        if not found:
            pytest.skip(f"no Milvus server: pip download milvus=={VERSION}: {done.stderr[-200:]}")
    return found[0]


def _unpack(wheel: Path) -> None:
    partial = _FOLDER.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            kind = Path(name)
            if kind.suffix == ".lzma":
                target = partial / kind.stem
                target.write_bytes(lzma.decompress(archive.read(name)))
                target.chmod(0o755)
            elif name.startswith("milvus/data/"):
                (partial / kind.name).write_bytes(archive.read(name))
    partial.rename(_FOLDER)


def configuration(folder: Path, values: dict[str, object], lease_s: int = 5) -> str:
    """The template of the wheel, filled: `{{ name(type): default }}` by name. `lease_s`: so long a part
    that says nothing is believed to be there, half a minute as shipped. One that was killed holds its
    place as long; on a machine that is busy for longer Milvus finds its own parts no more."""
    template = (_FOLDER / "config.yaml.template").read_text("utf-8")

    def fill(found: re.Match[str]) -> str:
        name = re.split(r"[(:]", found[1].strip())[0].strip()
        default = found[1].partition(":")[2].strip()
        return str(values.get(name, default))

    leased = re.sub(r"(\n  session:\n    ttl:) \d+", rf"\g<1> {lease_s}", template)
    return re.sub(r"\{\{(.*?)\}\}", fill, leased)


class MilvusServer:
    """Standalone Milvus with its own etcd and log, all in one process and one folder."""

    def __init__(self, lease_s: int = 5) -> None:
        self.programs, self._lease_s = milvus_programs(), lease_s
        self.folder = Path(tempfile.mkdtemp(prefix="lensback-milvus-"))
        self.port = free_port()
        self._health = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._configure()

    def _configure(self) -> None:
        for name in ("configs", "logs", "data"):
            (self.folder / name).mkdir()
        ports = {name: free_port() for name in (
            "root_coord_port", "proxy_internal_port", "query_coord_port", "query_node_port",
            "index_coord_port", "index_node_port", "data_coord_port", "data_node_port")}  # fmt: skip
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        values: dict[str, object] = {
            **ports,
            "proxy_port": self.port,
            "etcd_port": client.rpartition(":")[2],
            "etcd_log_path": self.folder / "logs" / "etcd.log",
            "etcd_data_dir": self.folder / "data" / "etcd",
            "local_storage_dir": self.folder / "data",
            "rocksmq_data_dir": self.folder / "data" / "rocksmq",
            "system_log_path": self.folder / "logs",
        }
        text = configuration(self.folder, values, self._lease_s)
        (self.folder / "configs" / "milvus.yaml").write_text(text, "utf-8")
        shutil.copy(self.programs / "glog.conf", self.folder / "configs")
        etcd = {
            "name": "default",
            "data-dir": self.folder / "data" / "etcd",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "log-outputs": f"[{self.folder / 'logs' / 'etcd.log'}]",
        }
        lines = "\n".join(f"{key}: {value}" for key, value in etcd.items())
        (self.folder / "configs" / "etcd.yaml").write_text(lines + "\n", "utf-8")

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("not running")
        return self._process.pid

    def start(self) -> None:
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "MILVUSCONF": str(self.folder / "configs"),
            "ETCD_CONFIG_PATH": str(self.folder / "configs" / "etcd.yaml"),
            "LD_LIBRARY_PATH": str(self.programs),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
        }
        log = self.folder / "logs" / "server.log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [self.programs / "milvus", "run", "standalone"],
                cwd=self.folder,
                env=environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        guard(self._process, self.folder)
        wait_until(self._healthy, self._process, log)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self._health}/healthz", timeout=60
            ) as reply:
                return b"OK" in reply.read()
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._process:
            self._process.send_signal(how)
            self._process.wait(END_S)
            self._process = None

    def url(self, collection: str, **options: object) -> str:
        """For our setting `index`."""
        query = "&".join(f"{key}={value}" for key, value in {"timeout_s": 120, **options}.items())
        return f"milvus://127.0.0.1:{self.port}/{collection}?{query}"

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
