"""Commands as processes of their own, forked from one that has loaded them: each takes its arguments, its
clock and its place to be killed, and many may run at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from servers import installed

PARENT = """
import json, os, sys, time
import alembic, sqlalchemy.dialects.sqlite, rich.table
import lensback.cli, lensback.workspace, lensback.ledger, lensback.grants, lensback.deeds, lensback.ledger.claims
import lensback.exchange, lensback.networks, lensback.conversions
for line in sys.stdin:
    job = json.loads(line)
    if "wait" in job:
        print(os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    for number, name in enumerate(("out", "err"), 1):
        os.dup2(os.open(f"{job['place']}.{name}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), number)
    code = 1
    try:
        while job["traced"] and "TracerPid:\\t0" in open("/proc/self/status").read():
            time.sleep(0.001)
        while job["gate"] and not os.path.exists(job["gate"]):
            time.sleep(0.0005)
        if job["clock"]:
            begun, clock = time.time(), time.time
            time.time = lambda: job["clock"] + clock() - begun
        os.environ["LENSBACK_WORKSPACE"] = job["folder"]
        sys.argv = ["lensback", *job["words"]]
        lensback.cli.main()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
"""
WRITES = "pwrite64,write,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate"
"""What changes a disk, or says that it shall hold."""
COUNT = ("", 0)


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: its exit code (-9: killed), what it printed, and the kinds of its writes."""

    code: int
    out: str
    err: str
    writes: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        """What it printed, read."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Started:
    """A command that runs."""

    pid: int
    place: str
    tracer: subprocess.Popen[bytes] | None = None


class Commands:
    """`start` and `ended`; `run` is both."""

    def __init__(self) -> None:
        self._count = 0
        self._parent = subprocess.Popen(
            [sys.executable, "-c", PARENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._scratch = tempfile.TemporaryDirectory()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._parent.communicate()
        self._scratch.cleanup()

    def start(
        self,
        folder: Path,
        *words: object,
        gate: Path | None = None,
        clock: float = 0,
        kill_at: tuple[str, int] | None = None,
    ) -> Started:
        """Runs `lensback WORDS` in a workspace. `gate`: begins when this file is there. `clock`: what time
        it is for it, UTC epoch seconds. `kill_at`: kill -9 as it asks for its so-many-th write
        of a kind; COUNT: only notes them."""
        self._count += 1
        place = f"{self._scratch.name}/{self._count}"
        job = {
            "folder": str(folder),
            "words": [*map(str, words)],
            "place": place,
            "gate": str(gate or ""),
            "clock": clock,
            "traced": bool(kill_at),
        }
        pid = int(self._told(job))
        tracer = None
        if kill_at:
            program = installed(lambda: shutil.which("strace"), "strace")
            command = [program, "-qq", "-o", f"{place}.writes", "-e", f"trace={WRITES}"]
            if kill_at != COUNT:
                call, number = kill_at  # strace counts each kind by itself
                command += ["-e", f"inject={call}:signal=SIGKILL:when={number}"]
            tracer = subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.DEVNULL)
        return Started(pid, place, tracer)

    def ended(self, started: Started) -> Done:
        """The command's end, once it has come."""
        code = int(self._told({"wait": started.pid}))
        writes: tuple[str, ...] = ()
        if started.tracer:
            started.tracer.wait(60)
            lines = Path(f"{started.place}.writes").read_text("ascii", "replace").splitlines()
            writes = tuple(line.partition("(")[0] for line in lines if "(" in line)
        out, err = (Path(f"{started.place}.{name}").read_text("utf-8") for name in ("out", "err"))
        return Done(code, out, err, writes)

    def run(self, folder: Path, *words: object, **how: Any) -> Done:
        """Starts a command and waits for its end."""
        return self.ended(self.start(folder, *words, **how))

    def at_once(self, folder: Path, *commands: Sequence[object]) -> list[Done]:
        """Runs several that begin at the same moment."""
        gate = Path(self._scratch.name) / f"gate{self._count}"
        started = [self.start(folder, *words, gate=gate) for words in commands]
        time.sleep(0.05)
        gate.touch()
        return [self.ended(one) for one in started]

    def _told(self, job: dict[str, Any]) -> str:
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.write(json.dumps(job) + "\n")
        self._parent.stdin.flush()
        line = self._parent.stdout.readline()
        assert line, "the process that forks has ended"
        return line
