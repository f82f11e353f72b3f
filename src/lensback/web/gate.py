"""Places to work: so many at once, so many waiting, and no client keeps the others out."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from lensback.errors import Busy

T = TypeVar("T")

PATIENCE_S = 20.0
"""Longest wait for a place; then the client is told to come again."""
RECENT_S = 10.0
"""Who came so lately may come again at any moment."""


@dataclass(eq=False, slots=True)
class _Turn:
    """One piece of work, from the time that it asks for a place until it is done."""

    client: str
    seconds: float
    number: int
    work: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)

    def refuse(self) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(busy())

    def done(self) -> Callable[[], None]:
        """Does the work; what is returned tells its end. A client that has gone costs nothing."""
        if not self.future.set_running_or_notify_cancel():
            return lambda: None
        try:
            return partial(self.future.set_result, self.work())
        except BaseException as error:  # noqa: BLE001 - for whoever waits
            return partial(self.future.set_exception, error)


class Gate:
    """A bounded thread pool: `jobs` at work, of one client at most `each`, and at most `beside` while another
    one comes and goes: what works at once takes time from each other. `queue` may wait.

    The next is of the client with the fewest at work, of those the cheapest, of those the first.
    Beyond the queue one of the client that has most here is told at once to come again, the
    dearest, then the last: it is better off than in a line without end, and memory stays bounded.
    """

    def __init__(
        self,
        jobs: int,
        queue: int,
        each: int = 0,
        patience_s: float = PATIENCE_S,
        beside: int = 0,
    ) -> None:
        self._jobs, self._queue, self._each = jobs, queue, each or jobs
        self._beside, self._patience_s = beside or self._each, patience_s
        self._came: OrderedDict[str, float] = OrderedDict()
        """When each client came last, for RECENT_S; the last one to come at the end."""
        self._waiting: list[_Turn] = []
        self._working: list[_Turn] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="search")

    @property
    def taken(self) -> int:
        """How many work or wait."""
        return len(self._working) + len(self._waiting)

    async def run(self, work: Callable[[], T], client: str = "", seconds: float = 0.0) -> T:
        """What `work`, which takes about so long, returns, from a thread. Raises Busy. The place is
        held until the thread is done, even where the client has gone: it cannot be stopped."""
        turn = _Turn(client, seconds, next(self._numbers), work)
        with self._lock:
            self._waiting = [one for one in self._waiting if not one.future.cancelled()]
            self._waiting.append(turn)
            self._note(client, time.monotonic())
            self._start()
            over = self._one_too_many() if len(self._waiting) > self._queue else None
        if over:
            over.refuse()
        late = asyncio.get_running_loop().call_later(self._patience_s, self._give_up, turn)
        try:
            found: T = await asyncio.wrap_future(turn.future)
        finally:
            late.cancel()
        return found

    def close(self) -> None:
        """Lets running work end; what waits is dropped."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._jobs = self._queue = 0
        for turn in waiting:
            turn.refuse()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        """Gives free places to those whose turn it is."""
        most = self._beside if len(self._came) > 1 else self._each
        while len(self._working) < self._jobs:
            here = Counter(turn.client for turn in self._working)
            may = [turn for turn in self._waiting if here[turn.client] < most]
            if not may:
                return
            turn = min(may, key=lambda one: (here[one.client], one.seconds, one.number))
            self._waiting.remove(turn)
            self._working.append(turn)
            self._pool.submit(self._do, turn)

    def _note(self, client: str, now: float) -> None:
        """Somebody came; who has not come for long is forgotten."""
        self._came[client] = now
        self._came.move_to_end(client)
        while next(iter(self._came.values())) < now - RECENT_S:
            self._came.popitem(last=False)

    def _one_too_many(self) -> _Turn:
        """Takes the one that is to come again out of the queue."""
        has = Counter(turn.client for turn in (*self._working, *self._waiting))
        over = max(self._waiting, key=lambda one: (has[one.client], one.seconds, one.number))
        self._waiting.remove(over)
        return over

    def _do(self, turn: _Turn) -> None:
        tell = turn.done()
        with self._lock:
            self._working.remove(turn)
            self._start()
        tell()  # by now the place is free

    def _give_up(self, turn: _Turn) -> None:
        with self._lock:
            late = turn in self._waiting
            if late:
                self._waiting.remove(turn)
        if late:
            turn.refuse()


def busy() -> Busy:
    """The error for whoever finds no place."""
    return Busy("all places are taken", hint="try again in a second")
