"""How much one process takes on: searches at once, uploads at once, bytes of a body."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from starlette.requests import Request

from lensback.errors import Busy, InputError, TooLarge

T = TypeVar("T")

UPLOAD_S = 60.0
"""A photo that takes longer to arrive is given up, so that slow senders hold no place."""
DRAIN_S = 3.0
DRAIN_BYTES = 64 << 20


class Gate:
    """A bounded thread pool: `jobs` searches at once, `queue` waiting, `uploads` on their way in.

    Beyond that Busy is raised at once: a shopper who is told to come back in a second is
    better off than one in a line without end, and memory stays bounded.
    """

    def __init__(self, jobs: int, queue: int, uploads: int) -> None:
        self._places = jobs + queue
        self._uploads = uploads
        self._taken = 0
        self._arriving = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="search")

    @contextmanager
    def upload(self) -> Iterator[None]:
        """A place for a body on its way in. Raises Busy before a byte of it is read."""
        with self._lock:
            if self._taken >= self._places or self._arriving >= self._uploads:
                raise _busy()
            self._arriving += 1
        try:
            yield
        finally:
            with self._lock:
                self._arriving -= 1

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, from a thread. The place is held until the thread is done,
        even where the client has gone: a thread cannot be stopped."""
        with self._lock:
            if self._taken >= self._places:
                raise _busy()
            self._taken += 1
        future: Future[T] = self._pool.submit(work)
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Lets running searches end; what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _release(self, _done: object) -> None:
        with self._lock:
            self._taken -= 1


def _busy() -> Busy:
    return Busy("all places are taken", hint="try again in a second")


async def body(request: Request, max_bytes: int, what: str) -> AsyncGenerator[bytes, None]:
    """The body in chunks. Raises TooLarge by Content-Length, and while counting what comes."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:18]) > max_bytes:
        # A client that waits for our word first ("Expect: 100-continue") sends nothing more.
        await _drain(request, more="expect" not in request.headers)
        raise too_large(what)
    received, more = 0, True
    while more:
        chunk, more = await _received(request)
        received += len(chunk)
        if received > max_bytes:
            await _drain(request, more=more)
            raise too_large(what)
        yield chunk


async def _received(request: Request) -> tuple[bytes, bool]:
    """The next chunk, and whether more will come."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise InputError("the upload stopped in the middle", hint="send it again")
    return message.get("body", b""), message.get("more_body", False)


async def _drain(request: Request, *, more: bool) -> None:
    """Reads some of an unwanted body away: closing a socket that still has bytes coming resets
    it, and the client would see a broken connection in place of the answer."""
    left = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_S):
            while more and left > 0:
                chunk, more = await _received(request)
                left -= len(chunk)
    except TimeoutError:
        return


def too_large(what: str) -> TooLarge:
    """The error for an upload of more than `what` ("20 MB")."""
    return TooLarge(f"the upload is larger than {what}", hint=f"send a photo of at most {what}")


def too_slow() -> InputError:
    """The error for an upload that takes too long."""
    message = f"the upload took longer than {UPLOAD_S:.0f} seconds"
    return InputError(message, hint="send a smaller photo")
