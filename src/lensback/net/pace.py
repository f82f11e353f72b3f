"""How long one fetch may take and how slow it may be; known to every step of it."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Event

from lensback.errors import Stopped

SLICE_S = 0.5
"""Longest wait that does not look at `halt`."""


class Late(Exception):
    """The deadline has passed, or too little came in a window."""


@dataclass(slots=True)
class Pace:
    """One fetch's clock. `min_rate`: bytes that every second of a window must bring on average,
    so that a server which drips one byte now and then does not hold a place for an hour."""

    deadline: float = math.inf
    min_rate: float = 0.0
    window_s: float = 30.0
    halt: Event = field(default_factory=Event)
    slow: bool = False
    received: int = 0
    """Bytes of this window."""
    window_end: float = math.inf

    def start(self) -> None:
        """A new try: a new window."""
        self.received, self.window_end = 0, time.monotonic() + self.window_s

    def note(self, size: int) -> None:
        """Counts bytes that arrived. Raises Late where a window brought fewer than `min_rate` a
        second."""
        self.received += size
        now = time.monotonic()
        if now >= self.window_end:
            self.slow = self.received < self.min_rate * self.window_s
            self.start()
            if self.slow:
                raise Late(f"fewer than {self.min_rate:.0f} bytes a second")

    def left(self, timeout_s: float | None) -> float:
        """Seconds that the next step may take. Raises Late, and Stopped where it was asked."""
        if self.halt.is_set():
            raise Stopped("stopped while fetching", hint="run it again: it goes on from there")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Late("the deadline has passed")
        return left if timeout_s is None else min(timeout_s, left)

    def pause(self, seconds: float) -> None:
        """Sleeps, unless it is asked to stop."""
        if self.halt.wait(seconds):
            self.left(None)


current: ContextVar[Pace] = ContextVar("pace")
"""The pace of the fetch that this thread does."""


def now() -> Pace:
    """The pace of this thread's fetch, a boundless one where there is none."""
    return current.get(None) or Pace()
