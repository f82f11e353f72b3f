"""Whether the service can answer: asked of its parts, and not as often as anybody likes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from starlette.concurrency import run_in_threadpool

from lensback.errors import Error, StateError, TooMany
from lensback.web.pace import RateLimiter

A_MINUTE = 120
"""Checks of the parts, whoever asks; a sixth of it at once."""

Checks = dict[str, str]


class Readiness:
    """What is ready, part by part. To check takes a write to the disk, so that who asks more often
    than A_MINUTE is told what was found last."""

    def __init__(self) -> None:
        self._pace = RateLimiter(A_MINUTE)
        self._last: Checks | StateError | None = None

    async def latest(self, check: Callable[[], Checks]) -> Checks:
        """What `check` says now, or said last. Raises StateError naming the part that is not ready."""
        if self._last is None or not self._pace.wait_s(""):
            with suppress(TooMany):  # another was quicker
                self._pace.take("")
            self._last = await run_in_threadpool(_checked, check)
        if isinstance(self._last, StateError):
            raise self._last.with_traceback(None)
        return self._last


def _checked(check: Callable[[], Checks]) -> Checks | StateError:
    try:
        return check()
    except StateError as error:
        return error
    except Error as error:  # any other kind would be answered with another status
        return StateError(error.message, hint=error.hint)
