"""Commands as processes of their own, forked from one that has loaded them: each takes its arguments, its
clock and its place to be killed, and many may run at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forked import Forks
from servers import installed

LOADED = (
    *("alembic", "sqlalchemy.dialects.sqlite", "rich.table", "lensback.cli", "lensback.workspace"),
    *("lensback.ledger", "lensback.grants", "lensback.deeds", "lensback.ledger.claims"),
    *("lensback.exchange", "lensback.networks", "lensback.conversions"),
)
COMMAND = """
import json, os, sys, time
import lensback.cli
job = json.loads({job!r})
for number, name in enumerate(("out", "err"), 1):
    os.dup2(os.open(f"{{job['place']}}.{{name}}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), number)
sys.dont_write_bytecode = job["traced"]  # or the first of two runs writes more than the next
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


class Commands(Forks):
    """`start` and `ended`; `run` is both."""

    def __init__(self) -> None:
        super().__init__(*LOADED)
        self._count = 0

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
        place = f"{self.scratch.name}/{self._count}"
        job = {
            "folder": str(folder),
            "words": [*map(str, words)],
            "place": place,
            "gate": str(gate or ""),
            "clock": clock,
            "traced": bool(kill_at),
        }
        pid = self.fork(COMMAND.format(job=json.dumps(job)))
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
        code = self.code(started.pid)
        writes: tuple[str, ...] = ()
        if started.tracer:
            started.tracer.wait(240)
            lines = Path(f"{started.place}.writes").read_text("ascii", "replace").splitlines()
            writes = tuple(line.partition("(")[0] for line in lines if "(" in line)
        out, err = (Path(f"{started.place}.{name}").read_text("utf-8") for name in ("out", "err"))
        return Done(code, out, err, writes)

    def run(self, folder: Path, *words: object, **how: Any) -> Done:
        """Starts a command and waits for its end."""
        return self.ended(self.start(folder, *words, **how))

    def at_once(self, folder: Path, *commands: Sequence[object]) -> list[Done]:
        """Runs several that begin at the same moment."""
        gate = Path(self.scratch.name) / f"gate{self._count}"
        started = [self.start(folder, *words, gate=gate) for words in commands]
        time.sleep(0.05)
        gate.touch()
        return [self.ended(one) for one in started]
