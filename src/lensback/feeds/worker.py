"""A process that reads feeds and nothing else: `python -m lensback.feeds.worker`.

A feed comes from outside. One that takes for ever, or all memory, or brings a parser down, does so
here, where it can be ended: the reader in the service (`ingest.readers`) gives it a path, gets the
rows in batches, and kills it when it has had its time. The kernel holds its memory and, should its
parent be gone, its time.

What goes both ways are `frames`.
"""

from __future__ import annotations

import marshal
import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from lensback import feeds
from lensback.errors import Error, FeedError
from lensback.feeds.frames import LENGTH, MEMORY_BYTES, Job, packed, send
from lensback.types import Offer, Rejected

ROWS = 500
IDLE_S = 60.0
Read = Callable[[BinaryIO, Job], Iterator[tuple[Any, ...]]]
"""What a worker does with an opened feed: gives frames, a word first. Raises FeedError."""


def main(read: Read | None = None) -> None:
    """Serves its parent until that closes the pipe or is gone. `read`: what it does with each feed."""
    for which in (signal.SIGINT, signal.SIGTERM):  # meant for the parent, which ends us
        signal.signal(which, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_orphaned, args=(os.getppid(),), daemon=True).start()
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing but frames goes to the parent
    while _waited(jobs) and (head := jobs.read(LENGTH.size)):
        job = marshal.loads(jobs.read(LENGTH.unpack(head)[0]))  # noqa: S302 - of our own parent
        for frame in _answers(job, read or _rows):
            send(answers, frame)


def _waited(jobs: BinaryIO) -> bool:
    """Whether something came, be it the end, before the patience of an idle worker did."""
    return bool(select.select([jobs], [], [], IDLE_S)[0])


def _answers(job: Job, read: Read) -> Iterator[tuple[Any, ...]]:
    """Frames of what is read, then how it ended."""
    path = job[0]
    _limit_time(job[-1])
    try:
        with Path(path).open("rb") as stream:
            yield from read(stream, job)
    except FeedError as error:
        yield "failed", type(error).__name__, error.message, error.hint
    except Error as error:
        yield "failed", "FeedError", error.message, error.hint
    except MemoryError:
        yield ("memory",)
    except OSError as error:
        yield "failed", "FeedError", f"cannot read {path}: {error.strerror}", "check its rights"
    else:
        yield ("end",)


def _rows(stream: BinaryIO, job: Job) -> Iterator[tuple[Any, ...]]:
    """Frames of rows."""
    _, form, columns, base, name, charset, address, most, _ = job
    named = feeds.ColumnMap.parse(columns) if columns else None
    where = {"base": base, "name": name, "charset": charset, "address": address}
    rows = feeds.read(stream, format=form, columns=named, max_bytes=most, **where)
    while True:
        some: list[Offer | Rejected] = []
        try:
            some.extend(islice(rows, ROWS))
        finally:
            if some:
                yield "rows", *packed(some)
        if not some:
            return


def _limit_time(seconds: float) -> None:
    """The kernel ends a worker that computes for longer, whatever it is caught in."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def _orphaned(parent: int) -> None:
    """Ends the process once its parent is gone, also in the middle of a feed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()
