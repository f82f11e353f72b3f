"""What the web face writes down of a search, and the thread that brings the journal to the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request

from lensback import ledger, log
from lensback.errors import Error
from lensback.search import Query
from lensback.wire import Answer
from lensback.workspace import Workspace

DRAIN_S = 1.0


def note_search(
    workspace: Workspace, request: Request, query: Query, answer: Answer, variant: str = ""
) -> None:
    """Writes a search down. Where that fails the answer is given all the same."""
    source = "api" if request.url.path.startswith("/api/") else "page"
    body = ledger.search_body(
        answer,
        at=int(time.time()),
        source=source,
        filters=filters_of(query),
        photo={"box_given": query.box is not None, "calibrated": answer.calibrated},
        variant=variant,
    )
    try:
        workspace.journal.append("search", body, durable=False)
    except Error as error:
        log.event("search not recorded", 30, type=type(error).__name__)


def filters_of(query: Query) -> Mapping[str, Any]:
    """What the shopper asked for beside the photo, without what was left open."""
    return {k: v for k, v in asdict(query).items() if v and k != "box"}


class Drainer:
    """Brings the journal into the database every second, as long as the application lives."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drain", daemon=True)

    def start(self) -> None:
        """Starts the thread that brings the journal into the database."""
        self._thread.start()

    def stop(self) -> None:
        """One last drain; where the database is locked, the next process does it."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            last = self._stopping.wait(DRAIN_S)
            try:
                self._workspace.drain()
            except Error as error:
                log.event("drain waits", 30, type=type(error).__name__, message=error.message)
            except Exception as error:  # noqa: BLE001 - a dead thread would let clicks pile up unseen
                log.event("drain failed", 40, type=type(error).__name__)
            if last:
                return
