"""One after the other: who asks again as soon as it was answered waits for its turn, and of what one
address asks for at once little is worked at."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from starlette.types import Scope

from lensback.web.gate import busy

REFUSALS_PER_S, REFUSALS_IN_ALL_S = 20.0, 100.0
"""Refusals a second of one address and of all together."""
REFUSALS_BURST_S = 0.5
"""So many seconds' worth are given at once."""
REQUESTS_BURST_S = 2.0
"""The same for requests of any kind: a page asks for its pictures at once."""
MOST_S = 2.0
"""Longest wait for a turn."""
ROOM, ROOM_EACH = 512, 128
"""Requests that may wait at once, in all and of one address: what is beyond goes on at once. A few
addresses that wait must not take the connections of all."""
ADDRESSES = 10_000
"""Addresses whose pace is remembered; those silent the longest are forgotten first."""
AT_ONCE = 2
"""Pages and files of one address that are made at once."""
IN_LINE = 128
"""Of one address that may wait in line; more are refused. A page and its pictures need six."""
MOST_PAUSE_S = 0.25
PLACE = "lensback_place"
"""Where the scope of a request has its place."""
_ALL = "*"


class Turns:
    """Shares turns out: so many a second for each address, and for all addresses together; 0 is no limit. A client that
    asks again without a pause would keep the serving process busy; one that asks now and then
    notices nothing.

    Whoever waits here holds a connection and nothing else: neither a place nor a body.
    """

    def __init__(self, per_s: float, in_all_s: float, burst_s: float) -> None:
        self._per_s, self._in_all_s, self._burst_s = per_s, in_all_s, burst_s
        self._next: OrderedDict[str, float] = OrderedDict()
        """When the next turn is due, by address."""
        self._waiting = Counter[str]()
        """Requests that wait now, by address."""

    @property
    def waiting(self) -> int:
        """Requests that wait now."""
        return self._waiting.total()

    @property
    def paced(self) -> bool:
        """Whether there is any pace."""
        return bool(self._per_s or self._in_all_s)

    async def turn(self, address: str, is_known: Callable[[], bool] = lambda: False) -> None:
        """Returns when it is an address's turn, after MOST_S at the latest; at once for who `is_known`,
        which is only asked where there is something to wait for."""
        now = time.monotonic()
        wait_s = max(self._due(address, self._per_s, now), self._due(_ALL, self._in_all_s, now))
        full = self._waiting[address] >= ROOM_EACH or self.waiting >= ROOM
        if wait_s <= 0 or full or is_known():
            return
        self._waiting[address] += 1
        try:
            await asyncio.sleep(wait_s)
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]

    def _due(self, name: str, per_s: float, now: float) -> float:
        """Seconds until the next turn, which is taken by this."""
        if not per_s:
            return 0.0
        at = max(self._next.pop(name, 0.0), now - self._burst_s)
        self._next[name] = min(at + 1 / per_s, now + MOST_S)
        while len(self._next) > ADDRESSES:
            self._next.popitem(last=False)
        return at - now


@dataclass(slots=True)
class _Line:
    working: int = 0
    waiting: deque[Future[float]] = field(default_factory=deque)


class AddressLines:
    """A line for each address: AT_ONCE of what it asks for are worked at, and where more wait, the next
    one begins after a pause as long as the one before took. So an address that asks for everything at
    once takes the time of one, and the others theirs; the busier we are, the longer the pauses.

    Of threads and loops there may be several: tests have them.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()

    async def enter(self, address: str, is_known: Callable[[], bool] = lambda: False) -> AtWork:
        """A place in the line of an address, when its turn has come; at once for who `is_known`, which is
        only asked where there is a line. Raises Busy."""
        if self._begins(address):
            return AtWork(partial(self._leave, address), time.monotonic())
        if is_known():
            return AtWork(lambda _: None)
        turn, place = self._waits(address), AtWork(partial(self._leave, address))
        try:
            await asyncio.sleep(await asyncio.wrap_future(turn))
        except BaseException:
            if turn.done() and not turn.cancelled():  # the place was given, and nobody takes it
                place.leave()
            raise
        place.begin = time.monotonic()
        return place

    def _begins(self, address: str) -> bool:
        with self._lock:
            line = self._lines.setdefault(address, _Line())
            free = line.working < AT_ONCE
            line.working += free
        return free

    def _waits(self, address: str) -> Future[float]:
        """What tells that a place is free, and for how long to pause."""
        turn = Future[float]()
        with self._lock:
            line = self._lines.setdefault(address, _Line())
            if len(line.waiting) >= IN_LINE:
                raise busy()
            if line.working < AT_ONCE:  # one has left meanwhile
                line.working += 1
                turn.set_result(0.0)
            else:
                line.waiting.append(turn)
        return turn

    def _leave(self, address: str, took_s: float) -> None:
        with self._lock:
            line = self._lines[address]
            while line.waiting:
                turn = line.waiting.popleft()
                if turn.set_running_or_notify_cancel():  # else it has gone
                    turn.set_result(min(took_s, MOST_PAUSE_S))
                    return
            line.working -= 1
            if not line.working:
                del self._lines[address]


@dataclass(slots=True)
class AtWork:
    """One place at work."""

    _leave: Callable[[float], None]
    begin: float = 0.0
    _left: bool = False

    def leave(self) -> None:
        """Gives it to the next one, once."""
        if not self._left:
            self._left = True
            self._leave(time.monotonic() - self.begin if self.begin else 0.0)


def leave_line(scope: Scope) -> None:
    """Gives the place of a request in its line to the next one, before it waits elsewhere: pages and files
    of its address do not stand behind it."""
    place: AtWork | None = scope.get(PLACE)
    if place is not None:
        place.leave()


def of_refusals() -> Turns:
    """The turns of those who are refused."""
    return Turns(REFUSALS_PER_S, REFUSALS_IN_ALL_S, REFUSALS_BURST_S)
