"""Real servers for tests: PostgreSQL and Milvus on free ports of 127.0.0.1, gone when the test ends.

What a test needs it installs and starts itself: where a server's programs are missing, root
installs them (PostgreSQL from Debian, Milvus as a wheel into a cache folder); who cannot gets a
skip that says why.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lensback-tests"
START_S = 240
"""Within which a server starts, and END_S ends: a busy machine's."""
END_S = 120
T = TypeVar("T")


def free_port() -> int:
    """A port that nobody listens on, and that nobody is given by the system before a server of ours takes
    it: below those that outgoing connections and port 0 get, and given once in this process. Of several
    workers each has its own."""
    first, size = _ports()
    while True:
        port = first + next(_PORTS) % size
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def _ports() -> tuple[int, int]:
    """The first of the ports for servers, and how many there are."""
    try:
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    except OSError:  # no Linux: IANA's own
        low = 49_152
    first = 11_000 if low > 13_000 else 30_000  # no browser opens 10080
    return first, max(low - first, 20_000) // WORKERS * WORKERS


WORKER, WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), 16
_PORTS = itertools.count(random.SystemRandom().randrange(50_000) * WORKERS + WORKER, WORKERS)


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when `ready`; fails with the server's last words when it ends or takes too long."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        if ready():
            return
        time.sleep(0.1)
    words = log.read_text("utf-8", "replace")[-3000:] if log.exists() else ""
    raise RuntimeError(f"{process.args} did not start (code {process.poll()}):\n{words}")


def guard(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Ends the server, and removes its folder, when this process was killed and could not."""
    watch = (
        f"while kill -0 {os.getpid()} 2>/dev/null; do "
        f"kill -0 {server.pid} 2>/dev/null || exit 0; sleep 2; done; "
        f"kill -9 {server.pid}; rm -rf '{folder}'"
    )
    subprocess.run(["setsid", "sh", "-c", f"({watch}) >/dev/null 2>&1 &"], check=True)


def listens(port: int) -> bool:
    """Whether somebody accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Several test workers install a thing once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def installed(find: Callable[[], T | None], package: str) -> T:
    """What `find` finds; where it is missing root installs the Debian package, others skip."""
    with one_at_a_time(package):
        found = find()
        if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
            env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            keep = ["-o", "Dpkg::Options::=--force-confold", "--no-install-recommends"]
            for command in (["update", "-qq"], ["install", "-y", "-qq", *keep, package]):
                subprocess.run(["apt-get", *command], env=env, check=False, capture_output=True)
            found = find()
    return pytest.skip(f"missing here: apt-get install {package}") if found is None else found


# --- PostgreSQL ---


def postgres_programs() -> Path:
    """The folder of `initdb` and `postgres`."""
    if not _newest_postgres() and os.geteuid() == 0:
        # Only the programs are wanted: no cluster of the system, no service.
        settings = Path("/etc/postgresql-common")
        settings.mkdir(exist_ok=True)
        (settings / "createcluster.conf").write_text("create_main_cluster = false\n", "utf-8")
    return installed(_newest_postgres, "postgresql")


def _newest_postgres() -> Path | None:
    folders = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not folders and (program := shutil.which("initdb")):
        folders = [Path(program).resolve().parent]
    return max(folders, key=lambda p: p.parent.name, default=None)


class Postgres:
    """A private cluster of databases. `stop`, `kill` and `start` as a test likes."""

    def __init__(self) -> None:
        self.programs = postgres_programs()
        # The server refuses to run as root; its folder must be reachable for its own user.
        # By `setpriv`, not by Popen's `user`: with that the child is forked, and a library's
        # handlers at fork (gRPC's, once a test used Milvus) may abort it before the program runs.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._as_user = (
            ["setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--init-groups"]
            if self._user
            else []
        )
        self.folder = Path(tempfile.mkdtemp(prefix="lensback-pg-"))
        if self._user:
            shutil.chown(self.folder, self._user)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._run("initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", "lensback",
                  "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")  # fmt: skip

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as_user, self.programs / program, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}")

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("not running")
        return self._process.pid

    def start(self) -> None:
        log = self.folder / "log"
        # Nobody tidies hundreds of databases that live for a test each.
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "fsync": "off",
                   "unix_socket_directories": str(self.folder), "max_connections": 200,
                   "autovacuum": "off", "checkpoint_timeout": "1h"}  # fmt: skip
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*self._as_user, self.programs / "postgres", "-D", self.folder / "data", *flags],
                cwd=self.folder,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        guard(self._process, self.folder)
        wait_until(self._answers, self._process, log)

    @functools.cached_property
    def _copied(self) -> str:
        """Whole files, as before version 15: two thirds of the time of pages by way of the log."""
        import psycopg

        with psycopg.connect(self.dsn("postgres")) as connection:
            return "STRATEGY file_copy" if connection.info.server_version >= 150_000 else ""

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=20).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: at once, connections are cut. SIGQUIT: as in a crash."""
        if self._process:
            self._process.send_signal(how)
            self._process.wait(END_S)
            self._process = None

    def dsn(self, database: str) -> str:
        return f"postgresql://lensback@127.0.0.1:{self.port}/{database}"

    def url(self, database: str) -> str:
        """For our setting `database`."""
        return self.dsn(database).replace("postgresql:", "postgresql+psycopg:")

    def execute(self, statement: str, database: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def database(self, template: str = "template0", options: str = "") -> str:
        """Makes a database; its name."""
        self._databases += 1
        name = f"lb{self._databases}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {self._copied} {options}")
        return name

    def close(self) -> None:
        """Ends it for good. Hundreds of databases are a hundred thousand files: nobody waits for them."""
        self.stop(signal.SIGQUIT)
        remove = f"rm -rf '{self.folder}' >/dev/null 2>&1 &"
        subprocess.run(["setsid", "sh", "-c", remove], check=True)
