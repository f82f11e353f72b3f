"""Many stores: fetched side by side, read by a few threads, written one transaction at a time.

A store that hangs holds one of its host's places until its budget or its pace ends it, and the
others go on to the later stages meanwhile; a host that does not answer is left alone for the rest
of the run, and by its breaker after that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Lock

from lensback import lanes
from lensback.catalogue import stores
from lensback.catalogue.health import Hosts
from lensback.catalogue.stores import FeedState
from lensback.db import Claims, Database
from lensback.errors import (
    Error,
    FetchError,
    FetchFailed,
    StateError,
    Stopped,
)
from lensback.ingest import one
from lensback.ingest.collect import Collected, Limits, collect, host_of
from lensback.ingest.readers import Readers
from lensback.memory import keep_little
from lensback.net import Fetcher
from lensback.retry import retried
from lensback.types import Progress, Tally

READERS = 2
"""Feeds read at once: one that is huge leaves the other place to the small ones."""
BACKLOG = 16
"""Feeds that lie in the spool and wait to be read, at most."""
HOST_FAILS = 3
"""Feeds of one host in a row without an answer after which the host is not asked any more."""
PATIENCE_S = 60.0
"""After so long without a store that ended, those that did are not kept waiting for the rest."""


@dataclass(frozen=True, slots=True)
class Roads:
    """How much is done at once: feeds in all, feeds of one host, and the pause between two."""

    jobs: int = 16
    per_host: int = 6
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Skipped:
    """A store that was not asked, and why."""

    reason: str


Outcome = Tally | Error | Skipped


@dataclass(frozen=True, slots=True)
class _Fetch:
    """What fetching one feed came to."""

    collected: Collected | None
    error: Error | None
    skipped: str
    started_at: int
    seconds: float


def ingest_all(
    db: Database,
    fetcher: Fetcher,
    names: Sequence[str],
    *,
    spool: Path,
    limits: Limits,
    roads: Roads,
    trust: bool = False,
    watch: Callable[[str], Progress] | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[tuple[str, Outcome]]:
    """(store, what came of it) for every named store, as they end.

    An Error is one of that store alone. `trust`: ask hosts whose breaker is open too. `meanwhile`
    is called, between two steps, when stores have ended and the others take long. Raises
    UnknownName; StateError where the workspace's database or disk fails; Stopped once the
    fetcher's `halt` is set. What was read until then is kept.
    """
    keep_little()
    hosts = Hosts(db, trust=trust)
    states = stores.feeds(db, names)
    lane_limits = lanes.LaneLimits(
        roads.jobs, roads.per_host, _delay(fetcher, roads), len(states) + 1
    )
    with (
        db.claims() as mine,
        Readers(fetcher.halt) as readers,
        ThreadPoolExecutor(READERS, thread_name_prefix="read") as pool,
    ):
        fetch = partial(_fetch, fetcher, _Taking(mine), hosts, spool, limits)
        under_way: dict[Future[Outcome], str] = {}
        patience = _Patience(meanwhile, under_way)
        try:
            work = lanes.run(
                states,
                fetch,
                lane=host_of,
                limits=lane_limits,
                halt=fetcher.halt,
                idle=patience.look,
            )
            with closing(work) as jobs:  # one that is closed late would halt the next try
                for state, got in jobs:
                    name = state.feed.store
                    if got.collected is None:
                        yield name, _unread(db, state, got)
                        patience.ended()
                    else:
                        progress = _until(fetcher.halt, watch(name) if watch else None)
                        future = pool.submit(_read, db, state, got, readers, limits, progress)
                        under_way[future] = name
                    yield from _ended(under_way, BACKLOG, patience)
            yield from _ended(under_way, 0, patience)
        except BaseException:
            fetcher.halt.set()  # readers and fetches see it at their next step
            raise
        finally:
            for future in under_way:
                future.cancel()
            hosts.save()


def _delay(fetcher: Fetcher, roads: Roads) -> Callable[[str], float]:
    def delay_s(lane: str) -> float:
        host, _, port = (
            lane.rpartition(":") if lane.rpartition(":")[2].isdigit() else (lane, "", "0")
        )
        return 0.0 if not lane or fetcher.guard.allowed(host, int(port)) else roads.delay_s

    return delay_s


def _until(halt: Event, progress: Progress | None) -> Progress:
    """Between two batches: shows progress, and stops where that is asked."""

    def show(done: int, total: int) -> None:
        if halt.is_set():
            raise Stopped("stopped while reading", hint="run it again: it goes on from there")
        if progress:
            progress(done, total)

    return show


class _Taking:
    """Claims used by many threads."""

    def __init__(self, claims: Claims) -> None:
        self._claims, self._lock = claims, Lock()

    def take(self, name: str) -> bool:
        with self._lock:
            return self._claims.take(name)


def _fetch(
    fetcher: Fetcher, claims: _Taking, hosts: Hosts, spool: Path, limits: Limits, state: FeedState
) -> _Fetch:
    """In a thread of a lane; never raises but for bugs."""
    begin, started_at, host = time.perf_counter(), int(time.time()), host_of(state)
    collected: Collected | None = None
    failure: Error | None = None
    skipped = hosts.closed_for(host)
    if not skipped:
        try:
            if claims.take(f"ingest {state.feed.store}"):
                collected = collect(fetcher, state, spool, limits)
                hosts.succeeded(host)
            else:
                skipped = "another sync is reading it"
        except Error as error:
            failure = error
            _judge(hosts, host, error)
    return _Fetch(collected, failure, skipped, started_at, time.perf_counter() - begin)


def _judge(hosts: Hosts, host: str, error: Error) -> None:
    """No answer at all is the host's failure; a status is one of this feed only. Nor is it the
    host's where it answered for another feed: a network's three worst stores close no network."""
    if not host:
        return
    if isinstance(error, FetchError) and error.retry and not error.status:
        if not hosts.answered(host):
            hosts.failed(host, error.message, after=HOST_FAILS)
    elif isinstance(error, FetchFailed):
        hosts.succeeded(host)


def _unread(db: Database, state: FeedState, got: _Fetch) -> Outcome:
    """Unchanged, failed or skipped: nothing to read."""
    if got.skipped:
        return Skipped(got.skipped)
    if got.error is None:
        return one.note_unchanged(db, state, got.started_at, got.seconds)
    if isinstance(got.error, StateError):  # our own database or disk, or asked to stop: no fault
        raise got.error  # of the store's
    return one.note_failure(db, state, got.error, got.started_at, got.seconds)


def _read(
    db: Database,
    state: FeedState,
    got: _Fetch,
    readers: Readers,
    limits: Limits,
    progress: Progress | None,
) -> Outcome:
    if got.collected is None:
        return Skipped("nothing to read")
    read = partial(one.read, db, state, got.collected, readers, limits, progress)
    try:
        return retried(partial(read, started_at=got.started_at, spent_s=got.seconds))
    except StateError:
        raise
    except Error as error:
        return error


def _ended(
    under_way: dict[Future[Outcome], str], most: int, patience: _Patience
) -> Iterator[tuple[str, Outcome]]:
    """Those that were read; waits until at most `most` are left."""
    while True:
        for future in [future for future in under_way if future.done()]:
            yield under_way.pop(future), future.result()
            patience.ended()
        if len(under_way) <= most:
            return
        if not wait(under_way, lanes.LOOK_S, FIRST_COMPLETED).done:
            patience.look()


class _Patience:
    """Tells when those that ended have waited long enough for the others."""

    def __init__(
        self, meanwhile: Callable[[], object], under_way: Mapping[Future[Outcome], str]
    ) -> None:
        self._meanwhile, self._under_way = meanwhile, under_way
        self._ended = self._seen = self._told = 0
        self._since = time.monotonic()

    def ended(self) -> None:
        """Counts one more store whose feed was read, or failed."""
        self._ended += 1

    def look(self) -> None:
        """Asked again and again while nothing ends: runs `meanwhile` once for the stores that have
        ended, when none more did for PATIENCE_S."""
        done = self._ended + sum(future.done() for future in self._under_way)
        if done != self._seen:
            self._seen, self._since = done, time.monotonic()
        elif done > self._told and time.monotonic() - self._since > PATIENCE_S:
            self._told = done
            self._meanwhile()
