"""Pictures decoded in processes of their own: a hostile one ends its process, and nobody else's.

Three lanes. Most pictures take the quick one; what phones make and is no plain JPEG (HEIC of 12
megapixels) the one of large photos; what is dearer the last one. A picture begins in the first lane
that takes what its header tells, and goes on to the next where it takes more than that lane gives:
who is dear keeps only those waiting who are as dear. The last two stand behind all else that wants a processor.
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
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from PIL import Image

from lensback import children
from lensback.errors import BadImage, Busy, InputError, TooLarge
from lensback.images import cost, replies
from lensback.images.codes import Code
from lensback.images.decoding import INSPECT_SIDE_PX, Decoded, Looked, alone, worth, worth_at
from lensback.images.texts import LONGEST_PX, TextLine
from lensback.images.worker import LAYOUT, PIXEL_BYTES, REPLY_BYTES

T = TypeVar("T")
Order = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lane:
    """What a lane takes by the header (`seconds`, `memory`), and what it gives: `most_s` of a
    processor for each picture, so many `workers` at most, at a lower priority by `nice`."""

    seconds: float
    memory: int
    most_s: float
    workers: int
    nice: int

    def takes(self, weight: cost.Cost) -> bool:
        """Whether a picture of this weight may be tried here."""
        return weight.seconds <= self.seconds and weight.memory <= self.memory


QUICK = Lane(0.15, 96 << 20, 0.6, 8, nice=0)
LARGE = Lane(1.2, 240 << 20, 4.0, 2, nice=5)
DEAR = Lane(cost.MAX_SECONDS, cost.MAX_MEMORY, 1.6 * cost.MAX_SECONDS, 1, nice=10)
TEXTS = replace(LARGE, memory=120 << 20, most_s=8.0, workers=1)
"""For words in photos: one after the other, behind all that is decoded, beside the dearest of it. A photo that takes
more to decode has what it takes."""
MOST_WAITING = 6
"""Photos that wait for their words to be read; of more than that none are read."""
AT_ONCE = 2
"""Times the memory of the dearest picture of the quick lane, for all that it decodes at once; most take
a small part of that. For what is read for codes beside, once."""
TOGETHER = cost.MAX_MEMORY + (120 << 20)
"""Memory of what the later lanes decode at once: the dearest of all, and a phone's 12 megapixels."""
SMALL_PX = 64
"""Shorter side at which a JPEG costs as little as it can."""
SILENCE_S = 90.0
"""Without a word a worker is taken for stuck. Far above what the processor's limit allows."""
ROOM = 12 << 20
"""Shared memory of each worker to begin with, and what it goes back to."""
MOST_TOGETHER = 16
"""Pictures handed over at once."""
SPARE_MEMORY = 96 << 20
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""One thread; memory that is kept from one picture to the next: fetching each page anew from the
kernel would double the cost of a decode."""


class TooDear(Exception):
    """A picture for a later lane. Not an error of whoever sent it. `seconds`: what it takes there,
    as far as its header tells."""

    def __init__(self, seconds: float) -> None:
        super().__init__("more than this lane takes")
        self.seconds = seconds


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
        self._channel, self._letter = ours, bytearray(REPLY_BYTES)
        ours.settimeout(SILENCE_S)
        with theirs:
            handles = (theirs.fileno(), self._memory)
            self._process = children.start(
                "lensback.images.worker", *handles, nice, files=handles, environment=_ENVIRONMENT
            )
        self.pid = self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def decode(self, datas: Sequence[bytes], order: Order) -> list[Decoded | InputError]:
        """Raises _Died."""
        said = self._replies_to(datas, {**order, "what": "pixels"})
        used = max((one.get("end", 0) for one in said), default=0)
        self._make_room(used)
        found = [replies.fault(one) if "error" in one else self._picture(one) for one in said]
        self._forget(max(used, sum(map(len, datas))))
        return found

    def _picture(self, said: dict[str, Any]) -> Decoded:
        (width, height), whole, end = said["size"], said["whole"], said["end"]
        pixels: Any = memoryview(self._shared)[end - PIXEL_BYTES * width * height : end]
        image = Image.frombytes("RGB", (width, height), pixels, "raw", LAYOUT, 0, 1)  # a copy
        return image, said["mime"], (whole[0], whole[1])

    def look(self, datas: Sequence[bytes], order: Order) -> list[Looked | InputError]:
        """Raises _Died."""
        said = self._replies_to(datas, {**order, "what": "look"})
        self._forget(sum(map(len, datas)))
        return [
            replies.fault(one) if "error" in one else replies.looked(*one["seen"]) for one in said
        ]

    def codes(self, datas: Sequence[bytes], order: Order) -> list[tuple[Code, ...] | InputError]:
        """Raises _Died."""
        said = self._replies_to(datas, {**order, "what": "codes"})
        self._forget(sum(map(len, datas)))
        return [
            replies.fault(one) if "error" in one else replies.codes(one["codes"]) for one in said
        ]

    def texts(
        self, datas: Sequence[bytes], order: Order
    ) -> list[tuple[TextLine, ...] | InputError]:
        """Raises _Died."""
        said = self._replies_to(datas, {**order, "what": "texts"})
        self._forget(sum(map(len, datas)))
        return [
            replies.fault(one) if "error" in one else replies.texts(one["texts"]) for one in said
        ]

    def _replies_to(self, datas: Sequence[bytes], order: Order) -> list[dict[str, Any]]:
        """What the worker says of each picture."""
        self._make_room(sum(map(len, datas)))
        begin = 0
        for data in datas:
            self._shared[begin : begin + len(data)] = data
            begin += len(data)
        return self._asked({**order, "bytes": [*map(len, datas)], "room": len(self._shared)})

    def _asked(self, order: Order) -> list[dict[str, Any]]:
        try:
            self._channel.send(json.dumps(order).encode())
            size = self._channel.recv_into(self._letter)
        except OSError:  # a time-out as well
            size = 0
        if not size:
            raise _Died(self.end())
        said: list[dict[str, Any]] = json.loads(self._letter[:size])
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


Ask = Callable[[_Worker, Sequence[bytes], Order], list[T | InputError]]
"""A question to a worker about pictures: a method of it."""


class _Memory:
    """So many bytes, for those who wait for some of them."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._change = threading.Condition()

    @contextmanager
    def lent(self, size: int) -> Iterator[None]:
        """Waits until there is so much, and keeps it for the block."""
        with self._change:
            self._change.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._change:
                self._left += size
                self._change.notify_all()


class _Workers:
    """The workers of a lane, started when they are first needed, replaced when they died."""

    def __init__(self, lane: Lane, memory: _Memory) -> None:
        self._lane, self._memory = lane, memory
        self._places = threading.BoundedSemaphore(lane.workers)
        self._change = threading.Lock()
        self._idle: list[_Worker] = []
        self._closed = False

    def do(
        self,
        ask: Ask[T],
        datas: Sequence[bytes],
        side_px: int | None,
        max_pixels: int,
        memory: int,
    ) -> list[T | InputError]:
        """What a worker says of each picture, or why it says nothing, after a wait; `memory` is what the
        largest of them takes. Raises _Died."""
        with self._places, self._memory.lent(memory), self._worker() as worker:
            return ask(worker, datas, self._order(side_px, max_pixels, memory))

    def begin(self) -> None:
        """Starts a worker where none waits."""
        if not self.pids():
            self._keep(_Worker(self._lane.nice))

    def wait(self, ask: Ask[Any]) -> None:
        """Waits until a worker that was begun answers; a question about no picture loads what it asks of one."""
        if self.pids():
            with suppress(_Died):
                self.do(ask, (), None, 1, 0)

    def _order(self, side_px: int | None, max_pixels: int, memory: int) -> dict[str, Any]:
        return {
            "side_px": side_px,
            "max_pixels": max_pixels,
            "seconds": self._lane.most_s,
            "memory": max(memory, QUICK.memory) + SPARE_MEMORY,
        }

    @contextmanager
    def _worker(self) -> Iterator[_Worker]:
        with self._change:
            if self._closed:
                raise Busy("the decoders are closed", hint="start the service again")
            worker = self._idle.pop() if self._idle else None
        if worker is not None and not worker.alive:  # somebody ended it meanwhile
            worker.end()
            worker = None
        worker = worker or _Worker(self._lane.nice)
        try:
            yield worker
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

    def __init__(self, quick: int) -> None:
        large = max(1, min(LARGE.workers, quick // 2))
        self.lanes = (replace(QUICK, workers=quick), replace(LARGE, workers=large), DEAR)
        own, together = _Memory(AT_ONCE * QUICK.memory), _Memory(TOGETHER)
        self._workers = [_Workers(lane, together) for lane in self.lanes]
        self._workers[0] = _Workers(self.lanes[0], own)
        # Workers of their own: no photo waits to be decoded because another is read for codes.
        reading = replace(QUICK, workers=quick, nice=LARGE.nice)
        self._reading = _Workers(reading, _Memory(QUICK.memory))
        self._texts = _Workers(TEXTS, together)
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)

    def begin(self, *, codes: bool) -> None:
        """Starts what the first photo needs, before it is there; `codes`: and what is read for them."""
        self._workers[0].begin()
        if codes:
            self._reading.begin()

    def wait(self) -> None:
        """Waits for what `begin` started."""
        self._workers[0].wait(_Worker.look)
        self._reading.wait(_Worker.codes)

    def __call__(
        self, data: bytes, side_px: int | None, max_bytes: int, max_pixels: int
    ) -> Decoded:
        """The decoded picture, by whichever lane is right for it. Raises BadImage, TooLarge."""
        return self._anywhere(_Worker.decode, data, side_px, max_bytes, max_pixels)

    def look(self, data: bytes, max_bytes: int, max_pixels: int) -> Looked:
        """What a picture is, by whichever lane is right for it; its pixels stay there. Raises BadImage,
        TooLarge."""
        return self._anywhere(_Worker.look, data, INSPECT_SIDE_PX, max_bytes, max_pixels)

    def within(
        self, lane: int, data: bytes, side_px: int | None, max_bytes: int, max_pixels: int
    ) -> Decoded:
        """The decoded picture from this one of `lanes`, after a wait. Raises TooDear where it belongs
        into a later one, BadImage, TooLarge."""
        return self._within(lane, _Worker.decode, data, side_px, max_bytes, max_pixels)

    def _anywhere(
        self, ask: Ask[T], data: bytes, side_px: int | None, max_bytes: int, max_pixels: int
    ) -> T:
        for lane in range(len(self.lanes) - 1):
            with suppress(TooDear):
                return self._within(lane, ask, data, side_px, max_bytes, max_pixels)
        return self._within(-1, ask, data, side_px, max_bytes, max_pixels)

    def _within(
        self,
        lane: int,
        ask: Ask[T],
        data: bytes,
        side_px: int | None,
        max_bytes: int,
        max_pixels: int,
    ) -> T:
        weight, own = worth(data, side_px, max_bytes, max_pixels), self.lanes[lane]
        last = own is self.lanes[-1]
        if not last and not own.takes(weight):
            raise TooDear(weight.seconds)
        try:
            (found,) = self._workers[lane].do(ask, [data], side_px, max_pixels, weight.memory)
        except _Died as died:
            if not last:  # it did not tell the truth
                raise TooDear(max(weight.seconds, own.most_s)) from died
            if died.dear:
                raise cost.too_costly() from died
            raise BadImage(
                "the decoder broke down at this picture", hint="save it anew as an ordinary JPEG"
            ) from died
        if isinstance(found, InputError):
            raise found
        return found

    def many(
        self, datas: Sequence[bytes], side_px: int | None, max_bytes: int, max_pixels: int
    ) -> list[Decoded | InputError]:
        """The decoded pictures, or why there is none. Small ones are handed over together; where one of
        them kills its worker, each is decoded alone, so that it harms no other."""
        weights = [_weight(data, side_px, max_bytes, max_pixels) for data in datas]
        found: dict[int, Decoded | InputError] = {}
        for together in _together(datas, weights):
            memory = max(weights[n].memory for n in together)
            some = [datas[n] for n in together]
            with suppress(_Died):
                made = self._workers[0].do(_Worker.decode, some, side_px, max_pixels, memory)
                found.update(zip(together, made, strict=True))
        return [
            found.get(n) or alone(self, data, side_px, max_bytes, max_pixels)
            for n, data in enumerate(datas)
        ]

    def codes(self, data: bytes, max_bytes: int, max_pixels: int) -> tuple[Code, ...]:
        """The codes of a photo, read in the lane that decodes it at its smallest, so that no search waits for
        a later one: from all of its pixels, or where these are not for that lane from half of them each way, or a
        quarter. None where a photo cannot be read: whoever searches it hears why from its decoding."""
        with suppress(BadImage, TooLarge):
            weight_at = worth_at(data, max_bytes, max_pixels)
            whole, small = weight_at(None), weight_at(SMALL_PX)
            lane = next((n for n, one in enumerate(self.lanes) if one.takes(small)), -1)
            readers = self._workers[lane] if lane else self._reading
            for side_px in (None, _part(whole, 2), _part(whole, 4)):
                weight = weight_at(side_px)
                if self.lanes[lane].takes(weight):
                    with suppress(_Died):  # dearer than its header says: smaller, or not at all
                        memory = weight.memory
                        (found,) = readers.do(_Worker.codes, [data], side_px, max_pixels, memory)
                        return () if isinstance(found, InputError) else found
        return ()

    def texts(self, data: bytes, max_bytes: int, max_pixels: int) -> tuple[TextLine, ...]:
        """The words of a photo, from as many of its pixels as a reader looks at; none where it cannot be read, or
        where too many wait."""
        if not self._waiting.acquire(blocking=False):
            return ()
        try:
            with suppress(BadImage, TooLarge, _Died):
                weight = worth(data, LONGEST_PX, max_bytes, max_pixels)
                if weight.seconds > LARGE.seconds or weight.memory > LARGE.memory:
                    return ()
                memory = max(weight.memory, TEXTS.memory)
                (found,) = self._texts.do(_Worker.texts, [data], LONGEST_PX, max_pixels, memory)
                return () if isinstance(found, InputError) else found
            return ()
        finally:
            self._waiting.release()

    def pids(self) -> list[int]:
        """Ids of the processes that wait for a picture."""
        return [pid for workers in self._all() for pid in workers.pids()]

    def close(self) -> None:
        """Ends the processes: those that wait now, those at work when they are done."""
        for workers in self._all():
            workers.close()

    def _all(self) -> list[_Workers]:
        return [*self._workers, self._reading, self._texts]


def _weight(data: bytes, side_px: int | None, max_bytes: int, max_pixels: int) -> cost.Cost:
    """What a picture costs; nothing known of one that is refused: alone it hears why."""
    try:
        return worth(data, side_px, max_bytes, max_pixels)
    except InputError:
        return cost.UNKNOWN


def _together(datas: Sequence[bytes], weights: Sequence[cost.Cost]) -> Iterator[list[int]]:
    """Places of pictures that go to the quick lane at once: bytes and pixels have room in what a worker
    shares anyway."""
    some, size = list[int](), 0
    for n, weight in enumerate(weights):
        own = len(datas[n]) + PIXEL_BYTES * weight.width * weight.height
        if not weight.width or own > ROOM or not QUICK.takes(weight):
            continue
        if some and (size + own > ROOM or len(some) == MOST_TOGETHER):
            yield some
            some, size = [], 0
        some, size = [*some, n], size + own
    if some:
        yield some


def _part(weight: cost.Cost, parts: int) -> int:
    """A part of the shorter side."""
    return max(1, min(weight.width, weight.height) // parts)


@functools.cache
def _shared(_pid: int) -> Decoders:
    decoders = Decoders(max(2, min(QUICK.workers, len(os.sched_getaffinity(0)))))
    atexit.register(decoders.close)
    return decoders


def shared() -> Decoders:
    """The decoders of this process, whoever asks: they hold nothing of any workspace. Ended with the process."""
    return _shared(os.getpid())
