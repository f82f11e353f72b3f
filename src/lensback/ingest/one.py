"""One store: fetch, read, write, and an account of the run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lensback import log
from lensback.catalogue import stores
from lensback.catalogue.stores import FeedState
from lensback.counted import counted
from lensback.db import Database
from lensback.errors import DataError, Error, FeedTruncated, StateError, TooLarge
from lensback.ingest.collect import Collected, Limits, collect, readable
from lensback.ingest.readers import Readers
from lensback.ingest.write import LEFT_OUT, UNSEEN, FeedRun, write
from lensback.net import Fetcher, scrub, secrets_of
from lensback.types import Progress, Tally


def ingest(
    db: Database,
    fetcher: Fetcher,
    store: str,
    *,
    spool: Path,
    limits: Limits,
    progress: Progress | None = None,
) -> Tally:
    """Syncs the offers of one store. A feed that did not change since the last run is not read.

    Returns a Tally: done = offers in the feed, skipped = those of it that were unchanged.
    Raises FeedError or FetchError where the feed as a whole cannot be had or read; what a
    truncated feed did say is kept, and nothing goes off sale.
    """
    begin, started_at = time.perf_counter(), int(time.time())
    state = stores.feed(db, store)
    try:
        found = collect(fetcher, state, spool, limits)
    except Error as error:
        raise note_failure(db, state, error, started_at, time.perf_counter() - begin) from error
    spent_s = time.perf_counter() - begin
    if found is None:
        return note_unchanged(db, state, started_at, spent_s)
    with Readers(fetcher.halt) as readers:
        return read(
            db, state, found, readers, limits, progress, started_at=started_at, spent_s=spent_s
        )


def read(
    db: Database,
    state: FeedState,
    collected: Collected,
    readers: Readers,
    limits: Limits,
    progress: Progress | None,
    *,
    started_at: int,
    spent_s: float,
) -> Tally:
    """Brings the catalogue to what a feed that is here says. `spent_s`: fetching took so long."""
    begin, run = time.perf_counter(), FeedRun()
    secrets = secrets_of(state.feed.url)
    run_id = stores.begin_run(db, state.feed.id, started_at)
    # Until this run is through, what the last one remembered is not true any more.
    stores.remember(db, state.feed)

    def finish(status: str, message: str) -> None:
        values = _account(run, collected, secrets)
        seconds = round(spent_s + time.perf_counter() - begin, 3)
        message = scrub(message, secrets)
        stores.finish_run(db, run_id, status, message=message, seconds=seconds, **values)

    try:
        readable(collected.path).close()
        status, message = write(db, state, collected, readers, run, limits, progress)
    except Error as error:
        finish(_status(error), _two_lines(error))
        if isinstance(error, DataError | TooLarge):
            collected.drop()  # the next run fetches it anew: the store may have mended it
        raise _scrubbed(error, secrets) from error
    finish(status, message)
    if status == "ok":
        kept = {"etag": collected.etag, "last_modified": collected.last_modified}
        stores.remember(db, state.feed, content_hash=collected.content_hash, **kept)
    collected.drop()
    return _tally(state, run, collected, message, spent_s + time.perf_counter() - begin)


def _account(run: FeedRun, collected: Collected, secrets: frozenset[str]) -> dict[str, Any]:
    samples = [
        sample | {key: scrub(str(sample[key]), secrets) for key in ("id", "sample")}
        for sample in run.all_samples()
    ]
    counts = {"offers": run.offers, "changed": run.changed, "removed": run.removed}
    return {**counts, "rejected": dict(run.rejected), "samples": samples, "bytes": collected.size}


def _tally(
    state: FeedState, run: FeedRun, collected: Collected, message: str, seconds: float
) -> Tally:
    tally = Tally(f"ingest {state.feed.store}", run.offers, run.offers - run.changed, run.rejected)
    tally.seconds = seconds
    tally.notes |= {"changed": run.changed, "removed": run.removed, "bytes": collected.size}
    tally.notes |= {f"{LEFT_OUT} {why}": n for why, n in run.images_left_out.items()}
    if message:
        tally.notes["warning"] = message
    if run.offers and not run.pictured:  # no fault of the run, so no warning
        told = f"{counted(run.offers, 'offer')}, no image: {UNSEEN.format(store=state.feed.store)}"
        tally.notes["hint"] = told
    log.event("ingested", store=state.feed.store, **tally.as_json())
    return tally


def note_unchanged(db: Database, state: FeedState, started_at: int, seconds: float) -> Tally:
    """The feed is the one that the last complete run read."""
    stores.note_run(db, state.feed.id, "unchanged", started_at, seconds=round(seconds, 3))
    notes: dict[str, str | int | float] = {"feed": "unchanged"}
    return Tally(f"ingest {state.feed.store}", seconds=seconds, notes=notes)


def note_failure(
    db: Database, state: FeedState, error: Error, started_at: int, seconds: float
) -> Error:
    """Keeps why a feed could not be had; returns the error without the feed's secrets."""
    secrets = secrets_of(state.feed.url)
    message = scrub(_two_lines(error), secrets)
    values = {"message": message, "seconds": round(seconds, 3)}
    stores.note_run(db, state.feed.id, _status(error), started_at, **values)
    return _scrubbed(error, secrets)


def _status(error: Error) -> str:
    if isinstance(
        error, StateError
    ):  # a full disk, a database that is away: no fault of the store's
        return "stopped"
    return "truncated" if isinstance(error, FeedTruncated) else "failed"


def _two_lines(error: Error) -> str:
    """Message and hint on two lines, as `stores.overview` takes them apart."""
    return f"{error.message}\n{error.hint}" if error.hint else error.message


def _scrubbed(error: Error, secrets: frozenset[str]) -> Error:
    error.message = scrub(error.message, secrets)
    error.hint = scrub(error.hint, secrets)
    error.args = (error.message,)
    return error
