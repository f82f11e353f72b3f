"""How fast refusals are given: who asks again as soon as it was refused waits for the next one."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

PER_S, IN_ALL_S = 20.0, 100.0
"""Refusals a second of one address and of all together."""
BURST_S = 0.5
"""So many seconds' worth are given at once."""
MOST_S = 2.0
"""Longest wait of a refusal."""
ROOM = 512
"""Refusals that may wait at once: what is beyond is given at once."""
ADDRESSES = 10_000
"""Addresses whose pace is remembered; those silent the longest are forgotten first."""
_ALL = "*"


class Refusals:
    """Turns of those who are refused. A client that asks again without a pause would keep the serving
    process busy with saying no; one that is refused now and then notices nothing.

    Whoever waits here holds a connection and nothing else: neither a place nor a body.
    """

    def __init__(self) -> None:
        self._next: OrderedDict[str, float] = OrderedDict()
        """When the next refusal is due, by address."""
        self.waiting = 0

    async def turn(self, address: str) -> None:
        """Returns when the next refusal may be given to an address, after MOST_S at the latest."""
        now = time.monotonic()
        wait_s = max(self._due(address, PER_S, now), self._due(_ALL, IN_ALL_S, now))
        if wait_s <= 0 or self.waiting >= ROOM:
            return
        self.waiting += 1
        try:
            await asyncio.sleep(wait_s)
        finally:
            self.waiting -= 1

    def _due(self, name: str, per_s: float, now: float) -> float:
        """Seconds until the next refusal, which is taken by this."""
        at = max(self._next.pop(name, 0.0), now - BURST_S)
        self._next[name] = min(at + 1 / per_s, now + MOST_S)
        while len(self._next) > ADDRESSES:
            self._next.popitem(last=False)
        return at - now
