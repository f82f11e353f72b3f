"""Many small jobs, fairly: so many at once, so many of them in one lane, none behind a slow lane.

A lane is a host. A slow host fills its own places and queue; the others go on.
"""

from __future__ import annotations

import heapq
import queue
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Generic, TypeVar

from lensback.errors import Stopped

T = TypeVar("T")
R = TypeVar("R")

LOOK_S = 0.5
"""How often an idle loop looks whether it is to stop."""


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How many jobs run at once, in all and in one lane; `delay_s` between two starts of a lane
    (by its name); about `waiting` items (twice that at most) queue before their lanes are free."""

    jobs: int
    per_lane: int
    delay_s: Callable[[str], float] = lambda _lane: 0.0
    waiting: int = 20_000


@dataclass(slots=True)
class _Lane(Generic[T]):
    items: deque[T] = field(default_factory=deque)
    running: int = 0
    free_at: float = 0.0
    listed: bool = False


def run(
    items: Iterable[T],
    work: Callable[[T], R],
    *,
    lane: Callable[[T], str],
    limits: LaneLimits,
    halt: Event,
    left_over: Callable[[T], object] = lambda _item: None,
    idle: Callable[[], object] = lambda: None,
) -> Generator[tuple[T, R], None, None]:
    """(item, result) as they come, in any order. `items` is read only as places get free.

    `work` runs in threads and must not raise but for bugs. Where the queue is full, items of
    lanes with more than their share of it go to `left_over` and are not done. `idle` is called now
    and then while nothing ends. Sets `halt` when it is closed early, raises Stopped once it is set;
    work under way is waited for.
    """
    with ThreadPoolExecutor(limits.jobs, thread_name_prefix="lane") as pool:
        try:
            yield from _Road(iter(items), work, lane, limits, halt, left_over, idle, pool).drive()
        except BaseException:
            halt.set()
            raise


class _Road(Generic[T, R]):
    """The state of one `run`."""

    def __init__(
        self,
        items: Iterator[T],
        work: Callable[[T], R],
        lane: Callable[[T], str],
        limits: LaneLimits,
        halt: Event,
        left_over: Callable[[T], object],
        idle: Callable[[], object],
        pool: ThreadPoolExecutor,
    ) -> None:
        self._items, self._work, self._lane_of = items, work, lane
        self._limits, self._halt, self._left_over, self._pool = limits, halt, left_over, pool
        self._idle = idle
        self._lanes: dict[str, _Lane[T]] = {}
        self._ready: list[tuple[float, int, str]] = []
        """Lanes with something to do and a free place, by the time from which they may."""
        self._done: queue.SimpleQueue[tuple[str, T, Future[R]]] = queue.SimpleQueue()
        self._running = self._waiting = self._turn = 0
        self._more = True

    def drive(self) -> Iterator[tuple[T, R]]:
        while True:
            pause_s = self._fill()
            if not self._running and not self._waiting and not self._more:
                return
            if self._halt.is_set():
                raise Stopped("stopped midway", hint="run it again: it goes on from there")
            try:
                name, item, future = self._done.get(timeout=min(pause_s, LOOK_S))
            except queue.Empty:
                self._idle()
                continue
            self._running -= 1
            self._lanes[name].running -= 1
            self._list(name)
            yield item, future.result()

    def _fill(self) -> float:
        """Starts what may start; returns the seconds until more may."""
        while self._running < self._limits.jobs and not self._halt.is_set():
            now = time.monotonic()
            if self._ready and self._ready[0][0] <= now:
                self._start(heapq.heappop(self._ready)[2], now)
            elif not self._pull():
                return max(0.001, self._ready[0][0] - now) if self._ready else LOOK_S
        return LOOK_S

    def _pull(self) -> bool:
        """Takes one more item into its lane; False where there is none."""
        for item in self._items:
            name = self._lane_of(item)
            lane = self._lanes.setdefault(name, _Lane())
            share = self._limits.waiting / len(self._lanes)
            if self._waiting >= self._limits.waiting and len(lane.items) >= share:
                self._left_over(item)
                return True
            lane.items.append(item)
            self._waiting += 1
            self._list(name)
            return True
        self._more = False
        return False

    def _list(self, name: str) -> None:
        lane = self._lanes[name]
        if lane.items and lane.running < self._limits.per_lane and not lane.listed:
            lane.listed, self._turn = True, self._turn + 1
            heapq.heappush(self._ready, (lane.free_at, self._turn, name))
        elif not lane.items and not lane.running and time.monotonic() >= lane.free_at:
            del self._lanes[name]

    def _start(self, name: str, now: float) -> None:
        lane = self._lanes[name]
        item = lane.items.popleft()
        lane.listed, lane.running = False, lane.running + 1
        lane.free_at = now + self._limits.delay_s(name)
        self._running, self._waiting = self._running + 1, self._waiting - 1
        future = self._pool.submit(self._work, item)
        future.add_done_callback(lambda done: self._done.put((name, item, done)))
        self._list(name)
