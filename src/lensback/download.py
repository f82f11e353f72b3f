"""offers -> images: fetches every image that an offer on sale needs and that is not here yet."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from lensback import log
from lensback.catalogue import pictures
from lensback.catalogue.pictures import Downloaded, ImageUrl
from lensback.db import Database
from lensback.errors import BadImage, Error, FetchError, FetchRefused, TooLarge
from lensback.images import ImageStore
from lensback.net import Fetcher
from lensback.types import Progress, Tally

BATCH = 200
COMMIT_S = 2.0


def download(
    db: Database,
    fetcher: Fetcher,
    images: ImageStore,
    *,
    max_bytes: int,
    jobs: int,
    attempts: int,
    stores: Sequence[str] = (),
    progress: Progress | None = None,
) -> Tally:
    """Fetches, verifies and stores the images; one row each with `ok` or a reason.

    A picture file is on disk before its row says so: killed at any moment, the next run goes on.
    """
    begin = time.perf_counter()
    tally = Tally("download")
    total = pictures.count_to_download(db, attempts, stores)
    for parts in db.rounds("download"):
        todo = (url for part in parts for url in pictures.to_download(db, attempts, stores, part))
        for batch in _batches(_fetched(todo, fetcher, images, max_bytes, jobs)):
            pictures.record_downloads(db, batch)
            _count(batch, tally)
            if progress:
                progress(tally.done + tally.rejects, total)
    tally.seconds = time.perf_counter() - begin
    log.event("downloaded", **tally.as_json())
    return tally


def _count(batch: Sequence[Downloaded], tally: Tally) -> None:
    for result in batch:
        if result.image:
            tally.done += 1
        else:
            tally.rejected[result.reason.split(":")[0]] += 1
            tally.notes.setdefault("hint", f"{result.reason}: {result.hint or 'see doctor'}")


def _fetched(
    todo: Iterator[ImageUrl], fetcher: Fetcher, images: ImageStore, max_bytes: int, jobs: int
) -> Iterator[Downloaded]:
    """Results as they come, with at most 4 × jobs under way, so that memory stays flat."""
    with ThreadPoolExecutor(jobs, thread_name_prefix="download") as pool:
        pending: set[Future[Downloaded]] = set()
        try:
            for url in todo:
                pending.add(pool.submit(_fetch, url, fetcher, images, max_bytes))
                if len(pending) >= 4 * jobs:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in pending:
                future.cancel()


def _fetch(url: ImageUrl, fetcher: Fetcher, images: ImageStore, max_bytes: int) -> Downloaded:
    try:
        fetched = fetcher.fetch(url.url, max_bytes=max_bytes)
        return Downloaded(url, images.put(fetched.body))
    except BadImage as error:
        return Downloaded(url, None, _reason(error), final=True)
    except (FetchRefused, TooLarge) as error:  # a setting may allow it tomorrow
        return Downloaded(url, None, _reason(error), counts=False, hint=error.hint)
    except FetchError as error:
        return Downloaded(url, None, _reason(error), final=not error.retry, hint=error.hint)


def _reason(error: Error) -> str:
    return f"{type(error).__name__}: {error.message}"[:300]


def _batches(results: Iterable[Downloaded]) -> Iterator[list[Downloaded]]:
    """Batches by number and by time: a slow store must not keep the others' rows uncommitted."""
    batch: list[Downloaded] = []
    since = time.monotonic()
    for result in results:
        batch.append(result)
        if len(batch) >= BATCH or time.monotonic() - since > COMMIT_S:
            yield batch
            batch, since = [], time.monotonic()
    if batch:
        yield batch
