"""feed -> offers: reads a store's feed and brings the catalogue to what it says.

Each batch is one transaction, and only rows that changed are written. Offers that the feed
no longer mentions go off sale, but only after a run that reached the feed's end.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from lensback import feeds, log
from lensback.catalogue import offers, stores
from lensback.db import Database
from lensback.errors import Error, FeedError, FeedTruncated, FetchFailed
from lensback.feeds import ColumnMap
from lensback.net import Fetcher, redact
from lensback.types import Offer, Progress, Rejected, Tally

BATCH = 1000
SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may do."""

    max_bytes: int
    max_drop: float
    force: bool = False


@dataclass(slots=True)
class _Run:
    offers: int = 0
    changed: int = 0
    removed: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, object]] = field(default_factory=list)
    delta: bool = False
    """The feed says itself which offers are gone: what it does not mention stays."""

    def reject(self, row: Rejected) -> None:
        self.rejected[row.reason] += 1
        if self.rejected[row.reason] <= SAMPLES:
            sample = {"reason": row.reason, "line": row.line, "id": row.external_id}
            self.samples.append({**sample, "sample": row.sample[:200]})


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
    begin = time.perf_counter()
    state = stores.feed(db, store)
    tally = Tally(f"ingest {store}")
    run_id = stores.begin_run(db, state.feed.id)
    run = _Run()
    try:
        with _opened(fetcher, state, spool, limits) as feed:
            if feed is None:
                stores.finish_run(db, run_id, "unchanged")
                tally.notes["feed"] = "unchanged"
            else:
                # Until this run is through, what the last one remembered is not true any more.
                stores.remember(db, state.feed)
                status = _read(db, state, feed.stream, run, limits, progress)
                counts = {"offers": run.offers, "changed": run.changed, "removed": run.removed}
                lists = {"rejected": dict(run.rejected), "samples": run.samples}
                message = _message(status, limits)
                stores.finish_run(db, run_id, status, **counts, **lists, message=message)
                if status == "ok":
                    stores.remember(
                        db,
                        state.feed,
                        etag=feed.etag,
                        last_modified=feed.last_modified,
                        content_hash=feed.content_hash,
                    )
                if message:
                    tally.notes["warning"] = message
    except Error as error:
        lists = {"rejected": dict(run.rejected), "samples": run.samples}
        status = "truncated" if isinstance(error, FeedTruncated) else "failed"
        stores.finish_run(db, run_id, status, offers=run.offers, message=error.message, **lists)
        raise
    tally.done, tally.skipped = run.offers, run.offers - run.changed
    tally.rejected, tally.seconds = run.rejected, time.perf_counter() - begin
    tally.notes |= {"changed": run.changed, "removed": run.removed}
    log.event("ingested", store=store, **tally.as_json())
    return tally


def _message(status: str, limits: Limits) -> str:
    if status != "shrank":
        return ""
    return (
        f"the feed dropped more than {limits.max_drop:.0%} of the store's offers: none went off "
        "sale; look at the feed, then sync with --force"
    )


def _read(
    db: Database,
    state: stores.FeedState,
    stream: BinaryIO,
    run: _Run,
    limits: Limits,
    progress: Progress | None,
) -> str:
    """Reads the stream to its end and returns the run's status."""
    rows = feeds.read(
        stream,
        format=state.feed.format,
        columns=ColumnMap.parse(state.feed.columns) if state.feed.columns else None,
        base=state.base,
        name=redact(state.feed.url),
        max_bytes=limits.max_bytes,
    )
    store_id = stores.store_id(db, state.feed.store)
    with db.read() as c:
        active = offers.count_active(c, store_id)
    seen = offers.Seen()
    for batch in _batches(_accepted(rows, run)):
        with db.write() as c:
            written = offers.write_batch(db, c, store_id, state.feed.store, batch, seen)
        run.offers += written.seen
        run.changed += written.changed
        run.removed += written.removed
        for external_id in written.duplicates:
            run.reject(Rejected("duplicate id", external_id=external_id))
        if progress:
            progress(run.offers, 0)
    if run.offers == 0 and not run.rejected:
        raise FeedError("the feed has no offers", hint="check the address; nothing was changed")
    if run.delta:
        return "ok"
    return _retire(db, store_id, seen, run, limits, active)


def _accepted(rows: Iterable[Offer | Rejected], run: _Run) -> Iterator[Offer]:
    for row in rows:
        if isinstance(row, Rejected):
            run.reject(row)
        else:
            run.delta |= row.deleted
            yield row


def _batches(rows: Iterator[Offer]) -> Iterator[list[Offer]]:
    """Batches of BATCH; the last, short one also when the reader raises: what came is kept."""
    while True:
        batch: list[Offer] = []
        try:
            for row in islice(rows, BATCH):
                batch.append(row)  # noqa: PERF402 - kept when the reader raises midway
        except FeedError:
            if batch:
                yield batch
            raise
        if not batch:
            return
        yield batch


def _retire(
    db: Database, store_id: int, seen: offers.Seen, run: _Run, limits: Limits, active: int
) -> str:
    """Takes off sale what the feed did not mention, unless that is suspiciously much of the
    `active` offers there were before the run."""
    with db.write() as c:
        missing = [key for key in offers.active_ids(c, store_id) if key not in seen]
        if len(missing) > limits.max_drop * active and not limits.force:
            return "shrank"
        run.removed += offers.deactivate(c, missing)
    return "ok"


@dataclass(frozen=True, slots=True)
class _OpenFeed:
    stream: BinaryIO
    etag: str
    last_modified: str
    content_hash: str


@contextmanager
def _opened(
    fetcher: Fetcher, state: stores.FeedState, spool: Path, limits: Limits
) -> Iterator[_OpenFeed | None]:
    """The feed as a local file; None where it is the one that the last run read."""
    url = state.feed.url
    etag = last_modified = ""
    if urlsplit(url).scheme in {"http", "https"}:
        spool.mkdir(parents=True, exist_ok=True)
        path = spool / f"{state.feed.id}.feed"
        headers = {"If-None-Match": state.etag, "If-Modified-Since": state.last_modified}
        sent = {key: value for key, value in headers.items() if value}
        fetched = fetcher.download(url, path, max_bytes=limits.max_bytes, headers=sent)
        if fetched.status == 304:
            yield None
            return
        etag, last_modified = fetched.etag, fetched.last_modified
    else:
        path = local_path(url)
        if not path.is_file():
            raise FetchFailed(f"no such file: {path}", url=url, hint="check the path of the feed")
    # What the rows become also depends on how they are read.
    recipe = f"{state.feed.format}\0{state.feed.columns}\0{state.base}\0"
    content_hash = _sha256(path, recipe)
    if content_hash == state.content_hash:
        yield None
        return
    with _readable(path) as stream:
        yield _OpenFeed(stream, etag, last_modified, content_hash)
    if path.is_relative_to(spool):
        path.unlink(missing_ok=True)


def local_path(url: str) -> Path:
    """The path behind `file://` or a plain path."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file://") else Path(url)


def _readable(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        hint = "check the path and the rights of the feed"
        raise FetchFailed(
            f"cannot read {path}: {error.strerror}", url=str(path), hint=hint
        ) from error


def _sha256(path: Path, recipe: str) -> str:
    digest = hashlib.sha256(recipe.encode())
    with _readable(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def clear_spool(spool: Path) -> None:
    """Removes what a killed run left behind."""
    shutil.rmtree(spool, ignore_errors=True)
