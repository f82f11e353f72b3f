"""How many wrong keys, passes and secrets are answered, from one address and in all."""

from __future__ import annotations

import threading
import time
from collections import Counter

from lensback.errors import TooMany
from lensback.web.pace import RateLimiter

IN_ALL = 10
"""Times as many from all addresses together as from one."""
TOLD_S = 600.0
"""Between two lines of the audit log that tell of wrong ones: nobody can flood it."""


class Guesses:
    """Wrong secrets: `per_minute` from one address, ten times as many in all; 0: no limit.

    Beyond its own share an address is refused before anything is compared, so that the answer tells
    nothing. Beyond the share of all, every address is that has been wrong lately; one that has not
    is still heard, so that nobody's guessing locks the holder of the right key out.
    """

    def __init__(self, per_minute: int) -> None:
        self._own = RateLimiter(per_minute)
        self._all = RateLimiter(IN_ALL * per_minute)
        self._untold = Counter[str]()
        self._told_at = -TOLD_S
        self._lock = threading.Lock()

    def check(self, address: str) -> None:
        """To be asked before a secret is compared. Raises TooMany."""
        if not self._own.per_minute:
            return
        wait_s = self._own.wait_s(address)
        if not wait_s and not self._own.is_fresh(address):
            wait_s = self._all.wait_s("")
        if wait_s:
            raise TooMany(wait_s)

    def wrong(self, address: str, where: str = "") -> None:
        """Counts a secret that was wrong, at which route. Raises TooMany for the one beyond the share."""
        with self._lock:
            self._untold[where] += 1
        self._own.take(address)
        self._all.take("")

    def untold(self, now: float | None = None) -> str:
        """How many were wrong at which routes since this was last asked, at most every TOLD_S; else
        empty. The first one is told at once."""
        now = time.monotonic() if now is None else now
        with self._lock:
            if not self._untold or now < self._told_at + TOLD_S:
                return ""
            listed, self._untold, self._told_at = self._untold.most_common(), Counter(), now
        return ", ".join(f"{count} at {where}" for where, count in listed)
