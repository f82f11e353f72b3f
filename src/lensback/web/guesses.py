"""How many wrong keys, passes and secrets are answered, from one address and in all."""

from __future__ import annotations

from lensback.errors import TooMany
from lensback.web.pace import RateLimiter

IN_ALL = 10
"""Times as many from all addresses together as from one."""


class Guesses:
    """Wrong secrets: `per_minute` from one address, ten times as many in all; 0: no limit.

    Beyond its own share an address is refused before anything is compared, so that the answer tells
    nothing. Beyond the share of all, every address is that has been wrong lately; one that has not
    is still heard, so that nobody's guessing locks the holder of the right key out.
    """

    def __init__(self, per_minute: int) -> None:
        self._own = RateLimiter(per_minute)
        self._all = RateLimiter(IN_ALL * per_minute)

    def check(self, address: str) -> None:
        """To be asked before a secret is compared. Raises TooMany."""
        if not self._own.per_minute:
            return
        wait_s = self._own.wait_s(address)
        if not wait_s and not self._own.is_fresh(address):
            wait_s = self._all.wait_s("")
        if wait_s:
            raise TooMany(wait_s)

    def wrong(self, address: str) -> None:
        """Counts a secret that was wrong. Raises TooMany for the one beyond the share."""
        self._own.take(address)
        self._all.take("")
