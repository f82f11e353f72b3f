"""Who asks may leave before the answer is there: what has not begun by then is not begun."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.requests import Request

from lensback.errors import Error


class Left(Error):
    """The client has gone. Nobody reads it; in the log and in /metrics it has the status that nginx gives it."""

    http_status = 499


@asynccontextmanager
async def while_waited_for(request: Request) -> AsyncIterator[Callable[[], None]]:
    """Around the work for a request whose body was read: raises Left as soon as its client has gone, so
    that it waits for no place any more. What is yielded raises Left, too, in any thread: a thread
    cannot be stopped, but asks between two stages."""
    gone = threading.Event()

    def still() -> None:
        if gone.is_set():
            raise Left("the client has left")

    try:
        async with asyncio.timeout(None) as stay:
            watch = asyncio.create_task(_until_gone(request, gone, stay))
            try:
                yield still
            finally:
                watch.cancel()
    except TimeoutError as error:
        if not stay.expired():
            raise
        raise Left("the client has left") from error


async def _until_gone(request: Request, gone: threading.Event, stay: asyncio.Timeout) -> None:
    """Ends the stay when the connection is closed: after the body nothing else comes."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()
    stay.reschedule(asyncio.get_running_loop().time())
