"""What the web face writes down of a search, and the thread that brings the journal to the database."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from lensback import ledger, log
from lensback.errors import Error, NotFound
from lensback.fleeting import Fleeting
from lensback.ledger.shown import Shown, shown
from lensback.search import Query
from lensback.types import Vectors
from lensback.wire import Answer
from lensback.workspace import Workspace

DRAIN_S = 1.0
PATIENCE_S = 1.5 * DRAIN_S
"""How long a search of another process may take to reach the database."""
_PAUSE_S = 0.25
_APART = ("box", "offset", "facets")
"""Fields of a query that limit nothing."""


def note_search(
    workspace: Workspace,
    request: Request,
    query: Query,
    answer: Answer,
    variant: str = "",
    kept: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Writes a search down, and gives what was written; `kept` is what `Shown.kept` says. Where that fails
    the answer is given all the same."""
    source = "api" if request.url.path.startswith("/api/") else "page"
    body = ledger.search_body(
        answer,
        at=int(time.time()),
        source=source,
        filters=filters_of(query),
        photo={"box_given": query.box is not None} | ({"kept": list(kept)} if kept else {}),
        variant=variant,
    )
    try:
        workspace.journal.append("search", body, durable=False)
    except Error as error:
        log.event("search not recorded", 30, type=type(error).__name__)
    return body


def note_vectors(workspace: Workspace, answer: Answer, vectors: Vectors) -> None:
    """Writes down what an answer compared, to learn from what becomes of it (setting `learn_from_use`). Where
    that fails the answer is given all the same."""
    body = ledger.vectors_body(answer.search_id, int(time.time()), answer.encoder, vectors)
    try:
        workspace.journal.append("vectors", body, durable=False)
    except Error as error:
        log.event("vectors not kept", 30, type=type(error).__name__)


async def recorded(workspace: Workspace, recent: Fleeting[Shown], search_id: str) -> Shown:
    """What a search showed, told by this process (`recent`) or by the database. Raises NotFound where
    there was none, once one of another process would surely be there."""
    end = time.monotonic() + PATIENCE_S
    while True:
        if (known := recent.get(search_id)) is not None:
            return known
        try:
            return await run_in_threadpool(shown, workspace.db, search_id)
        except NotFound:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(_PAUSE_S)


def filters_of(query: Query) -> Mapping[str, Any]:
    """What the shopper asked for beside the photo, without what was left open."""
    plain = asdict(Query(limit=0))
    return {k: v for k, v in asdict(query).items() if v != plain[k] and k not in _APART}


class Drainer:
    """Brings the journal into the database every second, as long as the application lives, and does
    what `also` does there."""

    def __init__(self, workspace: Workspace, also: Callable[[], None] = lambda: None) -> None:
        self._workspace, self._also = workspace, also
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
                self._also()
            except Error as error:
                log.event("drain waits", 30, type=type(error).__name__, message=error.message)
            except Exception as error:  # noqa: BLE001 - a dead thread would let clicks pile up unseen
                log.event("drain failed", 40, type=type(error).__name__)
            if last:
                return
