"""Processes to be killed, forked from one that has loaded the libraries: loading takes longer than
what most of them do. Each runs a few lines of source in which `import lancedb` comes first of all:
it starts a thread, which no fork takes along."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

PARENT = """
import json, os, sys, traceback
import alembic, hypothesis, lance_namespace, lxml.etree, onnxruntime, pandas, pyarrow.dataset, pydantic
import pytest, scipy.stats
import lensback.indexes, lensback.sync, lensback.vectors, lensback.workspace
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        code = 1
        try:
            import lancedb
            source = json.loads(line)
            print("pid", os.getpid(), flush=True)
            exec(compile(source, "<forked>", "exec"), {"__name__": "forked"})
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    print("exit", os.waitstatus_to_exitcode(status), flush=True)
"""


class Forked:
    """One process at a time: `start`, `wait_for`, `kill`, `finished`."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._pid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate()

    def start(self, source: str) -> None:
        """Runs the source; returns when the process has loaded everything and begins."""
        assert self._parent.stdin
        self._parent.stdin.write(json.dumps(source) + "\n")
        self._parent.stdin.flush()
        word, pid = self.line().split()
        assert word == "pid", f"{word} {pid}"
        self._pid = int(pid)

    def line(self) -> str:
        """The next line that the process prints."""
        assert self._parent.stdout
        return self._parent.stdout.readline().rstrip("\n")

    def worked_s(self) -> float:
        """Processor seconds so far, which tell where the work is whatever else the machine does;
        infinite where the process has ended."""
        try:
            stat = Path(f"/proc/{self._pid}/stat").read_text("ascii", "replace")
        except OSError:
            return math.inf
        fields = stat.rpartition(")")[2].split()
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
        lines = []
        while not (line := self.line()).startswith("exit "):
            assert line or self._parent.poll() is None, "the process that forks has ended"
            lines.append(line)
        return int(line.split()[1]), lines
