"""Whether the service can answer: asked of its parts, once for all who want to know."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from lensback.errors import Error, StateError

FRESH_S = 1.0
"""So long is told what was found last."""
PATIENCE_S = 15.0
"""A part that says nothing for so long is not ready; models take a while to load."""

Checks = dict[str, str]
Found = Checks | StateError


class Readiness:
    """What is ready, part by part. To check takes a write to the disk and hangs where a part does: so there
    is one check at a time, in a thread of its own, and who asks meanwhile gets what it finds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Future[Found] | None = None
        self._told_at = 0.0

    async def latest(self, check: Callable[[], Checks]) -> Checks:
        """What `check` says now, or said less than FRESH_S ago. Raises StateError naming the part that is
        not ready, and where one hangs."""
        asked = asyncio.wrap_future(self._asked(check))
        try:
            found = await asyncio.wait_for(asked, PATIENCE_S)
        except TimeoutError as error:
            hint = "look whether database and disk answer"
            raise StateError("a part of the service does not answer", hint=hint) from error
        if isinstance(found, StateError):
            raise found.with_traceback(None)
        return found

    def _asked(self, check: Callable[[], Checks]) -> Future[Found]:
        """The check that is under way, or was done just now; else a new one."""
        with self._lock:
            last = self._last
            if last is None or (last.done() and time.monotonic() >= self._told_at + FRESH_S):
                last = self._last = Future()
                last.set_running_or_notify_cancel()  # one who asks and goes ends it for nobody
                threading.Thread(target=self._tell, args=(check, last), daemon=True).start()
            return last

    def _tell(self, check: Callable[[], Checks], to: Future[Found]) -> None:
        try:
            found = _checked(check)
        except BaseException as error:  # noqa: BLE001 - for whoever waits
            to.set_exception(error)
            return
        self._told_at = time.monotonic()
        to.set_result(found)


def _checked(check: Callable[[], Checks]) -> Found:
    try:
        return check()
    except StateError as error:
        return error
    except Error as error:  # any other kind would be answered with another status
        return StateError(error.message, hint=error.hint)
