"""What is kept in memory for a short time and nowhere else, such as people's photos."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock, Timer
from typing import Generic, TypeVar

V = TypeVar("V")


class Fleeting(Generic[V]):
    """Values by key, each for `seconds` at most; together they weigh at most `most`, and the oldest
    go first. They go in time even where nobody asks any more. Thread-safe.
    """

    def __init__(
        self,
        seconds: float,
        most: float,
        weight: Callable[[V], float] = lambda _: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._most, self._weight, self._clock = seconds, most, weight, clock
        self._heavy = 0.0
        self._kept: OrderedDict[str, tuple[float, V]] = OrderedDict()
        self._lock = Lock()
        self._sweep: Timer | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> V | None:
        """The value of a key, or None where there is none (any more)."""
        with self._lock:
            self._forget()
            found = self._kept.get(key)
        return found[1] if found else None

    def put(self, key: str, value: V) -> None:
        """Keeps a value in place of an older one; one that is heavier than all room is not kept."""
        weight = self._weight(value)
        if not self._seconds or weight > self._most:
            return
        with self._lock:
            self._forget()
            self._drop(key)
            self._kept[key] = (self._clock(), value)
            self._heavy += weight
            while self._heavy > self._most:
                self._drop(next(iter(self._kept)))
            self._sweep_later()

    def _drop(self, key: str) -> None:
        if key in self._kept:
            self._heavy -= self._weight(self._kept.pop(key)[1])

    def _forget(self) -> None:
        """Drops what is too old. The oldest come first."""
        before = self._clock() - self._seconds
        while self._kept and next(iter(self._kept.values()))[0] <= before:
            self._drop(next(iter(self._kept)))

    def _sweep_later(self) -> None:
        """Wakes when the oldest is due."""
        if self._sweep is None and self._kept:
            due = next(iter(self._kept.values()))[0] + self._seconds - self._clock()
            self._sweep = Timer(max(0.01, due), self._swept)
            self._sweep.daemon = True
            self._sweep.start()

    def _swept(self) -> None:
        with self._lock:
            self._sweep = None
            self._forget()
            self._sweep_later()
