"""Processes forked from one that has loaded the libraries: loading takes longer than what most of them
do. Each runs a few lines of source; many may run at once, and each may be killed."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

PARENT = """
import gc, importlib, json, os, sys
gc.disable()
for name in sys.argv[1:]:
    importlib.import_module(name)
gc.freeze()  # no child looks for garbage among what it was given, which would copy it
gc.set_threshold(20_000)
gc.enable()
for line in sys.stdin:
    job = json.loads(line)
    if isinstance(job, int):
        print(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]), flush=True)
        continue
    source = compile(job, "<forked>", "exec")
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    exec(source, {"__name__": "forked"})
    sys.exit()
"""
SYNC = (
    *("alembic", "hypothesis", "lance_namespace", "lxml.etree", "onnxruntime", "pandas", "pytest"),
    *("pyarrow.dataset", "pydantic", "scipy.stats"),
    *("lensback.indexes", "lensback.sync", "lensback.vectors", "lensback.workspace"),
)
"""What a sync loads, but for lancedb: that starts a thread, which no fork takes along."""


class Forks:
    """The process that has loaded these modules and forks: `fork`, and `code` of what has ended."""

    def __init__(self, *modules: str) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.scratch = tempfile.TemporaryDirectory()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate()
        self.scratch.cleanup()

    def fork(self, source: str) -> int:
        """Begins to run the source in a process of its own; its pid."""
        return self._told(source)

    def code(self, pid: int) -> int:
        """The exit code of a process, once it has ended; -9: killed."""
        return self._told(pid)

    def _told(self, job: str | int) -> int:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.write(json.dumps(job) + "\n")
        self._parent.stdin.flush()
        line = self._parent.stdout.readline()
        assert line, "the process that forks has ended"
        return int(line)


BEGIN = """
import os
os.dup2(os.open({place!r}, os.O_WRONLY), 1)
import lancedb
print("begins", flush=True)
"""


class Forked(Forks):
    """One process at a time that syncs, or does a part of it: `start`, `line`, `wait_for`, `kill`,
    `finished`."""

    def __init__(self, modules: Sequence[str] = SYNC) -> None:
        super().__init__(*modules)
        self._pid = 0
        self._place = f"{self.scratch.name}/said"
        self._said: IO[str] | None = None
        os.mkfifo(self._place)

    def start(self, source: str) -> None:
        """Runs the source; returns when the process has loaded everything and begins."""
        self._pid = self.fork(BEGIN.format(place=self._place) + source)
        self._said = Path(self._place).open(encoding="utf-8")  # noqa: SIM115 - closed in `finished`
        assert self.line() == "begins"

    def line(self) -> str:
        """The next line that the process prints; nothing where it has ended."""
        assert self._said
        return self._said.readline().rstrip("\n")

    def worked_s(self) -> float:
        """Processor seconds so far, which tell where the work is whatever else the machine does;
        infinite where the process has ended."""
        try:
            stat = Path(f"/proc/{self._pid}/stat").read_text("ascii", "replace")
        except OSError:
            return math.inf
        fields = stat.rpartition(")")[2].split()
        if fields[0] in "ZX":
            return math.inf
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_for(self, seconds: float) -> None:
        """Returns when the process has worked for so many processor seconds more, or has ended."""
        until = self.worked_s() + seconds
        while self.worked_s() < until:
            time.sleep(0.005)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """kill -9, or another signal, where it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, how)

    def finished(self) -> tuple[int, list[str]]:
        """The exit code (-9: killed), and the lines that were still to be read."""
        assert self._said
        with self._said:
            lines = self._said.read().splitlines()
        return self.code(self._pid), lines
