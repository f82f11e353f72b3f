"""Trying again what failed because a server was away for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from lensback import log
from lensback.errors import Away

AWAY_S = 60
"""How long work that may run twice waits for a server that went away: a failover's time."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
LONGEST_KNOCK_S = 5.0
"""What a try can take although nobody answers. One that took longer was at work, and that time is
no waiting: a stage of an hour that loses its connection at the end is tried again, too."""

T = TypeVar("T")


def retried(work: Callable[[], T], *, for_s: float = AWAY_S) -> T:
    """What `work` returns, run again while a server is away, for `for_s` seconds of waiting at most.
    Then raises the Away that came last.

    Only for work that may run twice: a search, a stage of the sync.
    """
    waited_s, pause_s = 0.0, FIRST_PAUSE_S
    while True:
        begin = time.monotonic()
        try:
            return work()
        except Away as error:
            waited_s += min(LONGEST_KNOCK_S, time.monotonic() - begin) + pause_s
            if waited_s > for_s:
                raise
            log.event("away", message=error.message, again_in_s=round(pause_s, 1))
        time.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
