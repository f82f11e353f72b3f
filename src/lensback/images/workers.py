"""Pictures decoded in processes of their own: a hostile one ends its process, and nobody else's.

Two lanes. Most pictures take the quick one. What its header calls dear, or what the quick one gave up,
takes the slow one: fewer at a time, behind everything else that wants the processor.
"""

from __future__ import annotations

import atexit
import functools
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image

from lensback.errors import BadImage, Busy, InputError, TooLarge
from lensback.images import cost
from lensback.images.decoding import Decoded, worth
from lensback.images.worker import REPLY_BYTES

QUICK_SECONDS = 0.15
QUICK_MEMORY = 96 << 20
"""What the quick lane takes, by the header."""
GIVEN_UP_S = 0.6
"""Of a processor, after which a picture has to leave the quick lane."""
SLOW_SECONDS = 1.6 * cost.MAX_SECONDS
SLOW_WORKERS = 2
SILENCE_S = 90.0
"""Without a word a worker is taken for stuck. Far above what the processor's limit allows."""
ROOM = 12 << 20
"""Shared memory of each worker to begin with, and what it goes back to."""
SPARE_MEMORY = 96 << 20
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
"""Of the environment: no worker knows a password."""


class TooDear(Exception):
    """A picture for the slow lane came to the quick one. Not an error of whoever sent it."""


class _Died(Exception):
    """The worker ended, or had to be ended, at its picture."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ended with {code}")
        self.dear = code in (-signal.SIGPROF, -signal.SIGKILL)


class _Worker:
    """One process, its socket and the memory it shares with us."""

    def __init__(self, nice: int) -> None:
        self._memory = os.memfd_create("picture")
        os.ftruncate(self._memory, ROOM)
        self._shared = mmap.mmap(self._memory, ROOM)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = ours
        ours.settimeout(SILENCE_S)
        with theirs:
            handles = (theirs.fileno(), self._memory)
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-m", "lensback.images.worker", *map(str, (*handles, nice))],
                pass_fds=handles,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def decode(self, data: bytes, order: dict[str, Any]) -> Decoded:
        """Raises _Died, and what the worker raised."""
        self._make_room(len(data))
        self._shared[: len(data)] = data
        said = self._asked({**order, "bytes": len(data), "room": len(self._shared)})
        if "error" in said:
            kind = TooLarge if said["error"] == "TooLarge" else BadImage
            raise kind(said["message"], hint=said["hint"])
        (width, height), whole = said["size"], said["whole"]
        pixels = 3 * width * height
        self._make_room(pixels)
        view: Any = memoryview(self._shared)[:pixels]
        image = Image.frombuffer("RGB", (width, height), view, "raw", "RGB", 0, 1)  # a copy
        self._forget(max(pixels, len(data)))
        return image, said["mime"], (whole[0], whole[1])

    def _asked(self, order: dict[str, Any]) -> dict[str, Any]:
        try:
            self._channel.send(json.dumps(order).encode())
            reply = self._channel.recv(REPLY_BYTES)
        except OSError:  # a time-out as well
            reply = b""
        if not reply:
            raise _Died(self.end())
        said: dict[str, Any] = json.loads(reply)
        return said

    def _make_room(self, size: int) -> None:
        """The shared memory, as large as asked at least, by whomever it was made larger."""
        if size > len(self._shared):
            if size > os.fstat(self._memory).st_size:
                os.ftruncate(self._memory, size)
            self._shared = mmap.mmap(self._memory, size)

    def _forget(self, used: int) -> None:
        """Gives back what a large picture took; the address stays."""
        if used > ROOM:
            with suppress(OSError):
                self._shared.madvise(mmap.MADV_REMOVE, 0, len(self._shared))

    def end(self) -> int:
        """Ends the process, if it has not ended; its exit code."""
        self._channel.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        self._process.kill()
        code = self._process.wait()
        with suppress(OSError):
            os.close(self._memory)
        return code


class _Lane:
    """Workers of one kind, started when they are first needed, replaced when they died.

    So many pictures at once, `memory` for all of them together, `seconds` of a processor for each.
    """

    def __init__(self, workers: int, nice: int, seconds: float, memory: int) -> None:
        self._nice, self._seconds = nice, seconds
        self._workers, self._memory = workers, memory
        self._change = threading.Condition()
        self._idle: list[_Worker] = []
        self._closed = False

    def decode(self, data: bytes, side_px: int | None, max_pixels: int, memory: int) -> Decoded:
        """Waits for a worker and for `memory`. Raises _Died, BadImage, TooLarge."""
        order = {
            "side_px": side_px,
            "max_pixels": max_pixels,
            "seconds": self._seconds,
            "memory": memory + SPARE_MEMORY,
        }
        with self._place(memory), self._worker() as worker:
            return worker.decode(data, order)

    @contextmanager
    def _place(self, memory: int) -> Iterator[None]:
        with self._change:
            self._change.wait_for(lambda: self._workers > 0 and self._memory >= memory)
            self._workers, self._memory = self._workers - 1, self._memory - memory
        try:
            yield
        finally:
            with self._change:
                self._workers, self._memory = self._workers + 1, self._memory + memory
                self._change.notify_all()

    @contextmanager
    def _worker(self) -> Iterator[_Worker]:
        with self._change:
            if self._closed:
                raise Busy("the decoders are closed", hint="start the service again")
            worker = self._idle.pop() if self._idle else None
        if worker is not None and not worker.alive:  # somebody ended it meanwhile
            worker.end()
            worker = None
        worker = worker or _Worker(self._nice)
        try:
            yield worker
        except InputError:
            self._keep(worker)
            raise
        except BaseException:
            worker.end()
            raise
        self._keep(worker)

    def _keep(self, worker: _Worker) -> None:
        with self._change:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.end()

    def pids(self) -> list[int]:
        with self._change:
            return [worker.pid for worker in self._idle]

    def close(self) -> None:
        with self._change:
            self._closed, idle, self._idle = True, self._idle, []
        for worker in idle:
            worker.end()


class Decoders:
    """Decodes like `images.decoded`, elsewhere. Called from any number of threads."""

    def __init__(self, quick: int, slow: int = SLOW_WORKERS) -> None:
        self._quick = _Lane(quick, 0, GIVEN_UP_S, quick * QUICK_MEMORY)
        self._slow = _Lane(slow, 10, SLOW_SECONDS, cost.MAX_MEMORY)

    def __call__(
        self, data: bytes, side_px: int | None, max_bytes: int, max_pixels: int
    ) -> Decoded:
        """The decoded picture, by whichever lane is right for it. Raises BadImage, TooLarge."""
        try:
            return self.quickly(data, side_px, max_bytes, max_pixels)
        except TooDear:
            return self.slowly(data, side_px, max_bytes, max_pixels)

    def quickly(self, data: bytes, side_px: int | None, max_bytes: int, max_pixels: int) -> Decoded:
        """The decoded picture from the quick lane. Raises TooDear where it belongs into the slow one, BadImage, TooLarge."""
        if _dear(worth(data, side_px, max_bytes, max_pixels)):
            raise TooDear("more than the quick lane takes")
        try:
            return self._quick.decode(data, side_px, max_pixels, QUICK_MEMORY)
        except _Died as died:
            raise TooDear("more than the quick lane takes") from died

    def slowly(self, data: bytes, side_px: int | None, max_bytes: int, max_pixels: int) -> Decoded:
        """The decoded picture from the slow lane, after a wait. Raises BadImage, TooLarge."""
        weight = worth(data, side_px, max_bytes, max_pixels)
        # What looked cheap and came here all the same did not tell the truth.
        memory = weight.memory if _dear(weight) else cost.MAX_MEMORY
        try:
            return self._slow.decode(data, side_px, max_pixels, memory)
        except _Died as died:
            if died.dear:
                raise cost.too_costly() from died
            raise BadImage(
                "the decoder broke down at this picture", hint="save it anew as an ordinary JPEG"
            ) from died

    def pids(self) -> list[int]:
        """Ids of the processes that wait for a picture."""
        return self._quick.pids() + self._slow.pids()

    def close(self) -> None:
        """Ends the processes: those that wait now, those at work when they are done."""
        self._quick.close()
        self._slow.close()


def _dear(weight: cost.Cost) -> bool:
    """Whether a picture of this weight is for the slow lane."""
    return weight.seconds > QUICK_SECONDS or weight.memory > QUICK_MEMORY


def _environment() -> dict[str, str]:
    """Of ours what a Python needs; one thread; memory that is kept from one picture to the next:
    fetching each page anew from the kernel would double the cost of a decode."""
    here = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    return {
        **here,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    }


@functools.cache
def _shared(_pid: int) -> Decoders:
    decoders = Decoders(max(2, min(8, len(os.sched_getaffinity(0)))))
    atexit.register(decoders.close)
    return decoders


def shared() -> Decoders:
    """The decoders of this process, whoever asks: they hold nothing of any workspace. Started at
    the first picture, ended with the process."""
    return _shared(os.getpid())
