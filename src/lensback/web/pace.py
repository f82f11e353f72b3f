"""How often each client may ask."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from lensback.errors import TooMany

BUCKETS = 50_000
"""Clients whose pace is remembered; those silent the longest are forgotten first."""


class RateLimiter:
    """Token buckets: `per_minute` requests a minute for each client, a sixth of it at once.

    One process's own: with several workers each of them allows as much.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.burst = max(10.0, per_minute / 6)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, client: str) -> int:
        """Seconds until `take` would count a request; 0 for at once. Counts nothing."""
        left = self._left(client)
        return int((1 - left) * 60 / self.per_minute) + 1 if left < 1 else 0

    def is_fresh(self, client: str) -> bool:
        """Whether nothing was counted of a client lately."""
        return self._left(client) >= self.burst

    def _left(self, client: str) -> float:
        now = time.monotonic()
        with self._lock:
            left, at = self._buckets.get(client, (self.burst, now))
        return min(self.burst, left + max(0.0, now - at) * self.per_minute / 60)

    def take(self, client: str, now: float | None = None) -> None:
        """Counts one request. Raises TooMany with the seconds to wait."""
        if not self.per_minute:
            return
        now = time.monotonic() if now is None else now
        with self._lock:
            left, at = self._buckets.pop(client, (self.burst, now))
            left = min(self.burst, left + max(0.0, now - at) * self.per_minute / 60)
            allowed = left >= 1
            self._buckets[client] = (left - 1 if allowed else left, now)
            while len(self._buckets) > BUCKETS:
                self._buckets.popitem(last=False)
        if not allowed:
            raise TooMany(wait_s=int((1 - left) * 60 / self.per_minute) + 1)
