"""Readers of feeds: processes that are ended when a feed takes more than it may."""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Lock
from typing import IO, Any, Self

import lensback
from lensback.errors import FeedError, FeedTruncated, StateError, Stopped
from lensback.feeds import worker
from lensback.feeds.worker import Job
from lensback.types import Offer, Rejected

LOOK_S = 0.25
"""How often a wait looks whether it is to stop."""
_ERRORS = {"FeedTruncated": FeedTruncated}
_PIPE_BYTES = 1 << 20


class Readers:
    """Owns the processes. Each reads one feed at a time, and feed after feed."""

    def __init__(self, halt: Event) -> None:
        self._halt = halt
        self._idle: list[_Reader] = []
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends those that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()

    def rows(self, job: Job) -> Iterator[list[Offer | Rejected]]:
        """The rows of a feed in batches, as `feeds.read` gives them.

        Raises what that raises; FeedError where the reader took more than the job's seconds
        (writing what it gave included) or its memory, or died; Stopped once it is to halt.
        """
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        reader = reader or _Reader()
        whole = False
        try:
            yield from reader.rows(job, self._halt)
            whole = True
        except FeedError:
            whole = reader.ended
            raise
        finally:
            if whole and not self._halt.is_set():
                with self._lock:
                    self._idle.append(reader)
            else:
                reader.close()


class _Reader:
    """One process and its pipes."""

    def __init__(self) -> None:
        package = str(Path(lensback.__file__).parents[1])
        paths = filter(None, (package, os.environ.get("PYTHONPATH", "")))
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this Python, our own module
                [sys.executable, "-m", worker.__name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what a parser says of a feed is for no terminal
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
        except OSError as error:
            raise StateError(
                f"no process to read feeds: {error.strerror or error}",
                hint="free some memory, then sync again",
            ) from error
        self.ended = True
        """The last feed was read to its end or refused; what comes next is the next one's."""

    def close(self) -> None:
        """Ends the process at once."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        self._process.wait()

    def rows(self, job: Job, halt: Event) -> Iterator[list[Offer | Rejected]]:
        seconds, self.ended = job[-1], False
        end = time.monotonic() + seconds
        stdin = _pipe(self._process.stdin)
        with contextlib.suppress(OSError):  # one that is gone is told of below
            worker.send(stdin, job)  # type: ignore[arg-type]
        while True:
            kind, *said = self._frame(end, seconds, halt)
            if kind == "rows":
                yield worker.unpacked(*said)
                continue
            self.ended = kind != "memory"  # what it still holds is not known
            if kind == "end":
                return
            if kind == "memory":
                raise FeedError(
                    f"reading took more than {worker.MEMORY_BYTES >> 20} MiB of memory",
                    hint="ask the store for a feed with smaller rows",
                )
            raise _ERRORS.get(said[0], FeedError)(said[1], hint=said[2])

    def _frame(self, end: float, seconds: float, halt: Event) -> tuple[Any, ...]:
        """The next frame, or why there is none."""
        head = self._take(worker.LENGTH.size, end, seconds, halt)
        data = self._take(worker.LENGTH.unpack(head)[0], end, seconds, halt)
        frame: tuple[Any, ...] = marshal.loads(data)  # noqa: S302 - of our own process
        return frame

    def _take(self, size: int, end: float, seconds: float, halt: Event) -> bytes:
        handle, came = _pipe(self._process.stdout).fileno(), bytearray()
        while len(came) < size:
            if halt.is_set():
                raise Stopped("stopped while reading", hint="run it again: it goes on from there")
            left_s = end - time.monotonic()
            if left_s <= 0:
                hint = "raise feed_budget_s, or ask the store for a smaller feed"
                raise FeedError(f"reading took more than {seconds:.0f} s", hint=hint)
            if select.select([handle], [], [], min(LOOK_S, left_s))[0]:
                block = os.read(handle, min(size - len(came), _PIPE_BYTES))
                if not block:
                    raise self._death()
                came += block
        return bytes(came)

    def _death(self) -> FeedError:
        code = self._process.wait()
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        hint = "look at the feed with store add … --dry-run; if it is sound, report it"
        return FeedError(f"its reader ended {how}", hint=hint)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise StateError("a reader without pipes", hint="sync again")
    return pipe
