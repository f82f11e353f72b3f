"""offers -> images: fetches every image that an offer on sale needs and that is not here yet, and
asks for those that are here again: stores replace pictures under their addresses."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from threading import Lock
from urllib.parse import urlsplit

from lensback import lanes, log, robots
from lensback.catalogue import pictures
from lensback.catalogue.health import Hosts
from lensback.catalogue.offers import SeenIds
from lensback.catalogue.pictures import Cadence, Downloaded, ImageUrl
from lensback.db import Database, Part
from lensback.errors import (
    BadImage,
    Error,
    FetchError,
    FetchFailed,
    FetchRefused,
    Stopped,
    TooLarge,
)
from lensback.images import ImageStore
from lensback.net import Fetcher
from lensback.robots import Robots
from lensback.types import Progress, Tally

BATCH = 200
COMMIT_S = 2.0
HOST_FAILS = 5
"""Failures of a host in a row after which it is left alone."""
EVERYBODY = "*"
WINDOW = 20_000
"""Pictures whose files one sync looks for: a fifth of a second."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How hosts are treated. `exempt`: hosts (`*`: all) whose robots directives do not count,
    because the store gave leave. `trust`: ask hosts whose breaker is open too."""

    per_host: int = 6
    delay_s: float = 0.0
    exempt: tuple[str, ...] = ()
    trust: bool = False


def download(
    db: Database,
    fetcher: Fetcher,
    images: ImageStore,
    *,
    max_bytes: int,
    jobs: int,
    cadence: Cadence | None = None,
    stores: Sequence[str] = (),
    manners: Manners | None = None,
    progress: Progress | None = None,
) -> Tally:
    """Fetches, verifies and stores the images; one row each with `ok` or a reason.

    A picture file is on disk before its row says so: killed at any moment, the next run goes on.
    Hosts take turns, and one that fails is left alone (skipped in the tally) until later. Good
    pictures are asked for again at `cadence`; `done` counts those that are new or were replaced.
    """
    begin, cadence = time.perf_counter(), cadence or Cadence()
    tally = Tally("download")
    total = pictures.count_to_download(db, stores, anyway=cadence.anyway)
    dues: dict[Part, list[ImageUrl]] = {}

    def todo(part: Part) -> Iterator[ImageUrl]:
        if part not in dues:  # once, or a second pass would ask for the next ones
            dues[part] = list(pictures.to_recheck(db, cadence, stores, part))
        new = pictures.to_download(db, stores, part, anyway=cadence.anyway)
        return chain(new, dues[part])

    hosts = Hosts(db, trust=manners.trust if manners else False)
    visit = _Visit(fetcher, images, hosts, max_bytes, manners or Manners())
    try:
        for parts in db.rounds("download"):
            for batch in _batches(_passes(parts, todo, visit, jobs)):
                came = [row for row in batch if isinstance(row, Downloaded)]
                pictures.record_downloads(db, came, cadence)
                _count(batch, tally)
                if progress:
                    done = tally.done + tally.rejects + tally.skipped
                    progress(done, max(total, done))
    finally:
        hosts.save()
    tally.seconds = time.perf_counter() - begin
    log.event("downloaded", **tally.as_json())
    return tally


def refetch_missing(db: Database, images: ImageStore) -> int:
    """Has pictures that are not on the disk any more, or not whole, fetched anew; returns how many.

    Looks for WINDOW of them, each time others, and for all where one of these is lost.
    """
    start = f"{random.randrange(1 << 16):04x}"  # noqa: S311 - no secret
    window = pictures.on_disk(db, start, WINDOW)
    window += pictures.on_disk(db, "", WINDOW - len(window), start)
    lost = [name for name, size in window if not images.whole(name, size)]
    if lost and len(window) == WINDOW:
        lost, start = [], ""
        while part := pictures.on_disk(db, start, WINDOW):
            lost += [name for name, size in part if not images.whole(name, size)]
            start = f"{part[-1][0]}0"
    pictures.fetch_again(db, lost)
    return len(set(lost))


def _count(batch: Sequence[Downloaded | str], tally: Tally) -> None:
    for downloaded in batch:
        if isinstance(downloaded, str):
            tally.skipped += 1
            tally.notes.setdefault("left alone", downloaded)
        elif downloaded.same:
            tally.notes["unchanged"] = int(tally.notes.get("unchanged", 0)) + 1
        elif downloaded.image:
            tally.done += 1
            if downloaded.url.image_hash not in {"", downloaded.image.hash}:
                tally.notes["replaced"] = int(tally.notes.get("replaced", 0)) + 1
        else:
            tally.rejected[downloaded.reason.split(":")[0]] += 1
            tally.notes.setdefault(
                "hint", f"{downloaded.reason}: {downloaded.hint or 'see doctor'}"
            )


def _passes(
    parts: Iterator[Part], todo: Callable[[Part], Iterator[ImageUrl]], visit: _Visit, jobs: int
) -> Iterator[Downloaded | str]:
    """Results as they come; passes over the to-do until nothing was left over, each address once."""
    tried, taken = SeenIds(), list[Part]()
    left = [0]

    def pending(parts: Iterable[Part]) -> Iterator[ImageUrl]:
        for part in parts:
            taken.append(part)
            yield from (url for url in todo(part) if url.id not in tried)

    def put_off(_url: ImageUrl) -> None:
        left[0] += 1

    limits = lanes.LaneLimits(jobs, visit.manners.per_host, visit.delay_s)
    again: Iterable[Part] = parts
    while True:
        left[0] = 0
        work = lanes.run(
            pending(again),
            visit.fetch,
            lane=_host,
            limits=limits,
            halt=visit.fetcher.halt,
            left_over=put_off,
        )
        for url, downloaded in work:
            tried.add(url.id)
            yield downloaded
        if not left[0]:
            return
        again, taken = taken, []


def _host(url: ImageUrl) -> str:
    return urlsplit(url.url).netloc.rpartition("@")[2].lower()


class _Visit:
    """Fetches images in many threads, politely."""

    def __init__(
        self, fetcher: Fetcher, images: ImageStore, hosts: Hosts, max_bytes: int, manners: Manners
    ) -> None:
        self.fetcher = fetcher
        self.manners = manners
        self._images, self._hosts, self._max_bytes = images, hosts, max_bytes
        self._robots: dict[str, Robots] = {}
        self._locks: dict[str, Lock] = {}
        self._lock = Lock()

    def delay_s(self, host: str) -> float:
        """Between two requests: none at the operator's own hosts."""
        name, _, port = host.rpartition(":") if host.rpartition(":")[2].isdigit() else (host, "", 0)
        own = self.fetcher.guard.allowed(name, int(port))
        asked = max(
            (r.delay_s for key, r in self._robots.items() if key.endswith(f"//{host}")), default=0
        )
        return max(asked, 0.0 if own else self.manners.delay_s)

    def fetch(self, url: ImageUrl) -> Downloaded | str:
        """One image; a reason in words where its host is left alone."""
        host = _host(url)
        if closed := self._hosts.closed_for(host):
            return closed
        downloaded = self._fetch(url)
        if isinstance(downloaded, Downloaded) and not downloaded.unwell:
            self._hosts.succeeded(host)
        elif isinstance(downloaded, Downloaded):
            self._hosts.failed(host, downloaded.reason, after=HOST_FAILS, wait_s=downloaded.wait_s)
        return downloaded

    def _fetch(self, url: ImageUrl) -> Downloaded | str:
        try:
            self._ask_leave(url.url)
            return self._received(url)
        except Stopped as error:
            return error.message
        except BadImage as error:
            return Downloaded(url, None, _reason(error))
        except (FetchRefused, TooLarge) as error:  # a setting may allow it tomorrow
            return Downloaded(url, None, _reason(error), counts=False, hint=error.hint)
        except FetchError as error:
            return Downloaded(
                url, None, _reason(error), unwell=error.retry, hint=error.hint, wait_s=error.wait_s
            )

    def _received(self, url: ImageUrl) -> Downloaded:
        """What the address shows. A picture that is here already is not decoded again, whether the
        server says that it is the same one (304) or sends the same bytes."""
        here = bool(url.image_hash) and self._images.has(url.image_hash)
        said = {"If-None-Match": url.etag, "If-Modified-Since": url.last_modified}
        asked = {name: value for name, value in said.items() if value and here}
        came = self.fetcher.fetch(url.url, max_bytes=self._max_bytes, headers=asked)
        if not self._exempt(url.url) and robots.forbids(came.headers, self.fetcher.user_agent):
            raise _unwelcome("the answer's X-Robots-Tag", url.url)
        if came.status == 304 and not asked:
            raise FetchFailed("304 to a request without conditions", status=304)
        same = came.status == 304
        if here and not same and hashlib.sha256(came.body).hexdigest() == url.image_hash:
            same = self._images.whole(url.image_hash, len(came.body))  # else it is written anew
        image = None if same else self._images.put(came.body)
        return Downloaded(url, image, same=same, etag=came.etag, last_modified=came.last_modified)

    def _ask_leave(self, url: str) -> None:
        """Raises FetchRefused where robots.txt forbids, FetchError where it cannot be had."""
        if not self._exempt(url) and not self._robots_of(url).allows(url):
            raise _unwelcome("robots.txt", url)

    def _exempt(self, url: str) -> bool:
        host = (urlsplit(url).hostname or "").lower()
        return EVERYBODY in self.manners.exempt or host in self.manners.exempt

    def _robots_of(self, url: str) -> Robots:
        """Fetched once in a run, by one thread; the others of its host wait for it."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"
        with self._lock:
            lock = self._locks.setdefault(origin, Lock())
        with lock:
            if origin not in self._robots:
                self._robots[origin] = self._read_robots(origin)
            return self._robots[origin]

    def _read_robots(self, origin: str) -> Robots:
        """RFC 9309, 2.3.1: what is not there forbids nothing; what fails forbids for now."""
        try:
            got = self.fetcher.fetch(f"{origin}/robots.txt", max_bytes=robots.MAX_BYTES)
        except TooLarge:
            return robots.ALL
        except FetchError as error:
            if 400 <= error.status < 500 and error.status != 429:
                return robots.ALL
            raise
        return robots.parse(got.body.decode("utf-8", "replace"), self.fetcher.user_agent)


def _unwelcome(who: str, url: str) -> FetchRefused:
    host = urlsplit(url).hostname or ""
    hint = f"ask the store for leave, then add {host!r} to the setting robots_exempt"
    return FetchRefused(f"{who} of {host} forbids it", hint=hint)


def _reason(error: Error) -> str:
    return f"{type(error).__name__}: {error.message}"[:300]


def _batches(downloads: Iterable[Downloaded | str]) -> Iterator[list[Downloaded | str]]:
    """Batches by number and by time: a slow store must not keep the others' rows uncommitted."""
    batch: list[Downloaded | str] = []
    since = time.monotonic()
    try:
        for downloaded in downloads:
            batch.append(downloaded)
            if len(batch) >= BATCH or time.monotonic() - since > COMMIT_S:
                yield batch
                batch, since = [], time.monotonic()
    except Stopped:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
