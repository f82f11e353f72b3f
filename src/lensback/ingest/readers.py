"""Readers of feeds: processes that are ended when a feed takes more than it may."""

from __future__ import annotations

import atexit
import contextlib
import marshal
import os
import select
import time
from collections.abc import Iterator
from threading import Event, Lock
from typing import IO, Any, Self

from lensback import children
from lensback.errors import FeedError, FeedTruncated, StateError, Stopped
from lensback.feeds import frames
from lensback.feeds.frames import Job
from lensback.types import Offer, Rejected

WORKER = "lensback.feeds.worker"
"""What a process that reads feeds runs; nothing of it is loaded here."""
_spare: list[_Reader] = []
"""Readers that the last sync of this process left, for the next one: to start one takes longer than
to read a small feed."""
_turn = Lock()
_SPARES, _SPARE_S = 2, 10.0
LOOK_S = 0.25
"""How often a wait looks whether it is to stop."""
_ENDS = {"end", "failed", "memory"}
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
        """Leaves those that are idle to the next, for a while; ends what is too many or too old."""
        with _turn:
            left = [*_spare, *self._idle]
            _spare[:] = [reader for reader in left if reader.fresh][-_SPARES:]
            over = [reader for reader in left if reader not in _spare]
        self._idle.clear()
        for reader in over:
            reader.close()

    def rows(self, job: Job) -> Iterator[list[Offer | Rejected]]:
        """The rows of a feed in batches, as `feeds.read` gives them.

        Raises what that raises; FeedError where the reader took more than the job's seconds
        (writing what it gave included) or its memory, or died; Stopped once it is to halt.
        """
        reader = self._taken() or _Reader()
        whole = False
        try:
            yield from reader.rows(job, self._halt)
            whole = True
        except FeedError:
            whole = reader.ended
            raise
        finally:
            if whole and not self._halt.is_set():
                self._idle.append(reader)
            else:
                reader.close()

    def _taken(self) -> _Reader | None:
        with self._lock, _turn:
            while self._idle or _spare:
                reader = (self._idle or _spare).pop()
                if reader.fresh:
                    return reader
                reader.close()
        return None


def once(module: str, job: Job, halt: Event) -> tuple[Any, ...]:
    """The one frame that a process of its own gives of a feed (`module` calls `worker.main`), within
    the job's limits. Raises as `Readers.rows`."""
    reader = _Reader(module)
    try:
        (frame,) = reader.frames(job, halt)
    finally:
        reader.close()
    return frame


class _Reader:
    """One process and its pipes."""

    def __init__(self, module: str = WORKER) -> None:
        self._owner, self._since = os.getpid(), time.monotonic()
        self._process = children.start(module, piped=True)
        self.ended = True
        """The last feed was read to its end or refused; what comes next is the next one's."""

    @property
    def fresh(self) -> bool:
        """Whether it still waits for a feed of this process (and not of one that forked it)."""
        mine = self._owner == os.getpid() and self._process.poll() is None
        return mine and time.monotonic() - self._since < _SPARE_S

    def close(self) -> None:
        """Ends the process at once."""
        if self._owner == os.getpid():
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        self._process.wait()

    def rows(self, job: Job, halt: Event) -> Iterator[list[Offer | Rejected]]:
        for _, columns, refused in self.frames(job, halt):
            yield frames.unpacked(columns, refused)

    def frames(self, job: Job, halt: Event) -> Iterator[tuple[Any, ...]]:
        """What the process gives of a feed. Raises as `Readers.rows`."""
        seconds, self.ended = job[-1], False
        end = time.monotonic() + seconds
        stdin = _pipe(self._process.stdin)
        with contextlib.suppress(OSError):  # one that is gone is told of below
            frames.send(stdin, job)  # type: ignore[arg-type]
        while True:
            kind, *said = self._frame(end, seconds, halt)
            if kind not in _ENDS:
                yield kind, *said
                continue
            self.ended = kind != "memory"  # what it still holds is not known
            self._since = time.monotonic()
            if kind == "end":
                return
            if kind == "memory":
                raise FeedError(
                    f"reading took more than {frames.MEMORY_BYTES >> 20} MiB of memory",
                    hint="ask the store for a feed with smaller rows",
                )
            raise _ERRORS.get(said[0], FeedError)(said[1], hint=said[2])

    def _frame(self, end: float, seconds: float, halt: Event) -> tuple[Any, ...]:
        """The next frame, or why there is none."""
        head = self._take(frames.LENGTH.size, end, seconds, halt)
        data = self._take(frames.LENGTH.unpack(head)[0], end, seconds, halt)
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


@atexit.register
def _end_spares() -> None:
    while _spare:
        _spare.pop().close()
