"""A stage that begins while the one before it still waits for the network, with what has come so far.

It is a head start and nothing more: whatever it leaves, or fails at, the stage itself does when its turn comes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from lensback import log
from lensback.errors import Stopped
from lensback.types import Progress, Tally

REMEMBERED = 16_384
"""Keys that a later look may find once more: those that are read or worked on and not kept yet."""


class Coming:
    """What is still to come, for who works on it in another thread."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._news = self._over = self._left = False

    def progress(self, show: Progress) -> Progress:
        """The progress of the stage that brings it: each step says that more has come."""

        def step(done: int, total: int) -> None:
            self._say("_news")
            show(done, total)

        return step

    def end(self) -> None:
        """Says that nothing more will come."""
        self._say("_over")

    def leave(self) -> None:
        """Says that what has come is not wanted now: who works on it stops."""
        self._say("_left")

    def _say(self, what: str) -> None:
        with self._change:
            setattr(self, what, True)
            self._change.notify_all()

    def keys(self, look: Callable[[], Iterator[str]]) -> Iterator[str]:
        """What a look finds, again whenever more has come, each key once; a look finds nothing that was kept, so
        the last keys are all that is remembered. Raises Stopped where it is left."""
        given: OrderedDict[str, None] = OrderedDict()
        while True:
            with self._change:
                self._change.wait_for(lambda: self._news or self._over or self._left)
                self._news, over = False, self._over
            for key in look():
                self._check()
                if key not in given:
                    given[key] = None
                    if len(given) > REMEMBERED:
                        given.popitem(last=False)
                    yield key
            self._check()
            if over:
                return

    def _check(self) -> None:
        if self._left:
            raise Stopped("left midway", hint="run it again: it goes on from there")


@contextmanager
def begun(
    work: Callable[[Coming, Tally], object], tally: Tally, keep: Callable[[Tally], object]
) -> Generator[Coming, None, None]:
    """Runs the work in a thread beside the block, which says what comes; waits for it at the end. It counts in the
    tally, which goes to `keep` however the work ends: what it did is done. What it fails at is logged alone: the
    stage itself meets it again, where it can be told."""
    coming = Coming()

    def run() -> None:
        try:
            work(coming, tally)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is met again
            log.event("head start broke off", 30, error=str(error))
        if tally.done or tally.rejected or tally.notes:
            keep(tally)

    thread = threading.Thread(target=run, name="headstart")
    thread.start()
    try:
        yield coming
        coming.end()
    except BaseException:
        coming.leave()
        raise
    finally:
        thread.join()
