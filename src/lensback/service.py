"""`sync --every`: sleeps until a store is due, syncs what is due, and ends cleanly when asked.

There is no queue and no state of its own: when a store is due follows from its schedule and its
last run, both in the catalogue. Killed and started again, the service goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event

from lensback import log
from lensback.catalogue import health, stores
from lensback.errors import Error, Stopped
from lensback.retry import retried
from lensback.schedule import Schedule
from lensback.sync import SyncReport, Watch, sync
from lensback.workspace import Workspace

ROUND_S = 60.0
"""Between two looks at what is due: a store that is added meanwhile waits that long."""
AGAIN_S = 900.0
"""A store that was due and could not be asked (its host is left alone) is looked at again then."""

Tell = Callable[[SyncReport | Error], None]


def serve(
    workspace: Workspace,
    usual: Schedule,
    stop: Event,
    tell: Tell,
    *,
    names: Sequence[str] = (),
    watch: Watch = lambda _stage: lambda _done, _total: None,
    round_s: float = ROUND_S,
) -> None:
    """Syncs every store (or those named) when it is due, until `stop` is set.

    `usual` is the schedule of stores that have none of their own. The first round also finishes
    what an earlier run left undone. `tell` hears what every round came to; an Error ends the round
    only. Setting `stop` and `workspace.fetcher.halt` ends the round under way at its next step.
    Raises UnknownName for a store nobody connected.
    """
    retried(partial(stores.check_names, workspace.db, list(names)))
    put_off: dict[str, float] = {}
    undone = True
    while not stop.is_set():
        try:
            due = retried(partial(_due, workspace, usual, names, put_off))
            if due or undone:
                undone = True
                known = retried(partial(_known, workspace, names))
                report = sync(workspace, known, due=due, stop=stop, watch=watch)
                undone = False
                put_off |= dict.fromkeys(report.skipped, time.monotonic() + AGAIN_S)
                tell(report)
        except Stopped:
            break
        except Error as error:
            tell(error)
        stop.wait(round_s)
    log.event("service stopped")


def _due(
    workspace: Workspace, usual: Schedule, names: Sequence[str], put_off: dict[str, float]
) -> list[str]:
    """The stores whose time has come. A clock that went back makes a store due once, not never."""
    now = int(time.time())
    return [
        feed.store
        for feed in health.feeds(workspace.db)
        if (not names or feed.store in names)
        and (at := feed.due_at(usual, now)) is not None
        and at <= now
        and put_off.get(feed.store, 0.0) <= time.monotonic()
    ]


def _known(workspace: Workspace, names: Sequence[str]) -> list[str]:
    """The named stores that are still connected."""
    known = set(stores.names(workspace.db)) if names else set()
    return [name for name in names if name in known]
