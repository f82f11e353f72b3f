"""Coroutines by a clock of their own: a wait ends at once, and takes as long as it says. So how busy a
machine is tells nothing, and what is counted is exact."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar

T = TypeVar("T")


class ClockLoop(asyncio.SelectorEventLoop):
    """Goes on to the next wait's end where nothing else is to do. For waits alone: who waits for a thread
    or a socket would wait without end."""

    now = 1000.0

    def time(self) -> float:
        """Seconds that have passed by this clock."""
        return self.now

    def _run_once(self) -> None:
        ends = [wait.when() for wait in self._scheduled if not wait.cancelled()]  # type: ignore[attr-defined]
        if ends and not self._ready:  # type: ignore[attr-defined]
            self.now = max(self.now, min(ends))
        super()._run_once()  # type: ignore[misc]


def by_the_clock(pytest_patch: Any, module: Any, main: Coroutine[Any, Any, T]) -> T:
    """What `main` gives; the module's `time.monotonic` is its loop's clock meanwhile."""
    with asyncio.Runner(loop_factory=ClockLoop) as runner:
        pytest_patch.setattr(module, "time", SimpleNamespace(monotonic=runner.get_loop().time))
        return runner.run(main)
