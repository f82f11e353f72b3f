"""How much one process takes in: bytes of all bodies together and of each, and how slowly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from lensback.errors import Error, InputError, TooLarge, TooSlow
from lensback.web.gate import busy

UPLOAD_S = 60.0
"""A body that takes longer to arrive is given up."""
GRACE_S = 10.0
MIN_RATE = 2000.0
"""Bytes a second that a body has to bring after `GRACE_S`: half of the slowest phone's."""
MOST_ARRIVING = 512
"""Bodies on their way in at once."""
DRAIN_S = 3.0
DRAIN_BYTES = 64 << 20


@dataclass(eq=False, slots=True)
class Arrival:
    """One request's body: on its way in, then in memory until its answer is there."""

    begin: float
    timeout: asyncio.Timeout
    size: int = 0
    arriving: bool = True
    gave_way: bool = False

    def dearness(self, now: float) -> float:
        """How much it holds, and how long already: what gives way first when there is no room."""
        return (self.size + MIN_RATE) * (now - self.begin)

    def give_way(self) -> None:
        """Ends the reading of it."""
        self.gave_way, self.arriving = True, False
        self.timeout.reschedule(0.0)


@dataclass(slots=True)
class Arrivals:
    """All bodies of this process together: a slow one holds memory, and no place of a search.

    Where their bytes reach `max_bytes`, or their number `MOST_ARRIVING`, the one on its way in that
    holds most for the longest gives way: a shopper's photo is here in a moment.
    """

    max_bytes: int
    _here: set[Arrival] = field(default_factory=set)

    @asynccontextmanager
    async def body_of(self, request: Request) -> AsyncIterator[None]:
        """Around the reading and answering of one body. Raises Busy where it had to give way, and
        InputError where it came too slowly."""
        loop = asyncio.get_running_loop()
        if len(self._here) >= MOST_ARRIVING:
            self._make_way(loop.time())
        arrival = None
        try:
            async with asyncio.timeout(min(GRACE_S, UPLOAD_S)) as timeout:
                arrival = Arrival(loop.time(), timeout)
                self._here.add(arrival)
                request.scope["lensback_arrival"] = (self, arrival)
                yield
        except TimeoutError as error:
            if arrival is None or not timeout.expired():
                raise
            raise (busy() if arrival.gave_way else too_slow()) from error
        finally:
            if arrival is not None:
                self._here.discard(arrival)

    def took(self, arrival: Arrival, size: int) -> None:
        """Counts bytes that arrived, and gives the body the time that they earn it."""
        arrival.size += size
        now = asyncio.get_running_loop().time()
        while sum(one.size for one in self._here) > self.max_bytes:
            if self._make_way(now) is arrival:
                raise busy()
        earned = min(UPLOAD_S, GRACE_S + arrival.size / MIN_RATE)
        if arrival.arriving:
            arrival.timeout.reschedule(arrival.begin + earned)

    def came(self, arrival: Arrival) -> None:
        """The body is whole: its time is up no more."""
        arrival.arriving = False
        if not arrival.gave_way:
            arrival.timeout.reschedule(None)

    def _make_way(self, now: float) -> Arrival:
        arriving = [one for one in self._here if one.arriving]
        if not arriving:
            raise busy()
        dearest = max(arriving, key=lambda one: one.dearness(now))
        dearest.give_way()
        self._here.discard(dearest)
        return dearest


async def body(request: Request, max_bytes: int, what: str) -> AsyncGenerator[bytes, None]:
    """The body in chunks. Raises TooLarge by Content-Length, and while counting what comes; Busy."""
    arrivals, arrival = request.scope.get("lensback_arrival", (None, None))
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
        if arrivals:
            arrivals.took(arrival, len(chunk))
            if not more:
                arrivals.came(arrival)
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


async def drained(chunks: AsyncIterator[bytes]) -> None:
    """Reads away the rest of a body that nobody wants, for the reason that `_drain` has."""
    try:
        async with asyncio.timeout(DRAIN_S):
            async for _ in chunks:
                pass
    except (TimeoutError, Error):
        return


def too_large(what: str) -> TooLarge:
    """The error for an upload of more than `what` ("20 MB")."""
    return TooLarge(f"the upload is larger than {what}", hint=f"send a photo of at most {what}")


def too_slow() -> TooSlow:
    """The error for an upload that takes too long."""
    message = f"the upload took longer than {UPLOAD_S:.0f} seconds, or came too slowly"
    return TooSlow(message, hint="send a smaller photo")
