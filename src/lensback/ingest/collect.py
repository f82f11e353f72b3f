"""feed -> local file: over HTTP or FTP into the spool, resumably, or straight from the disk."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from lensback.catalogue.stores import FeedState
from lensback.errors import FetchFailed, FetchRefused
from lensback.feeds.encodings import charset_of
from lensback.net import FTP_SCHEMES, Fetcher, redact
from lensback.net.spool import disk_error

REMOTE = ("http", "https", *FTP_SCHEMES)
OWN_FOLDER_S = 86_400
"""Longer than any budget of a feed: what is older was left by somebody who was killed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may do. `budget_s`: longest time for one feed, fetching and reading each."""

    max_bytes: int
    max_drop: float
    force: bool = False
    budget_s: float = 3600.0
    unknown_stock: str = "unknown"
    """What an offer is whose words of stock nobody knows."""


@dataclass(frozen=True, slots=True)
class Collected:
    """A feed that is here. `content_hash`: of its bytes and of how they are read."""

    path: Path
    etag: str
    last_modified: str
    content_hash: str
    size: int
    """Bytes that came over the wire, or of the file."""
    spooled: bool
    charset: str = ""
    """What the server says of the encoding, as it writes it."""

    def drop(self) -> None:
        """It was read: a spooled copy is not needed any more."""
        if self.spooled:
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(".json").unlink(missing_ok=True)


def collect(fetcher: Fetcher, state: FeedState, spool: Path, limits: Limits) -> Collected | None:
    """The feed as a local file; None where it is the one that the last complete run read.

    What came of a large file stays in `spool` over errors and kills; the next call goes on from
    there. Raises FetchError, TooLarge, Stopped, and StateError for a full disk.
    """
    url = state.feed.url
    scheme, mark, _ = url.partition("://")
    if not mark or scheme.lower() == "file":
        return _local(state, limits)
    if scheme.lower() not in REMOTE:
        hint = "use http, https, ftp, ftps, or a path; mirror sftp to a path with sftp or rclone"
        raise FetchRefused(f"cannot fetch {scheme}:// feeds", url=redact(url), hint=hint)
    path = spool / f"{state.feed.id}.feed"
    got = fetcher.spool(
        url,
        path,
        max_bytes=limits.max_bytes,
        etag="" if limits.force else state.etag,
        last_modified="" if limits.force else state.last_modified,
        deadline_s=limits.budget_s,
    )
    if got.status == 304:
        return None
    charset = charset_of(got.content_type)
    digest = _sha256(path, _recipe(state, limits, charset))
    found = Collected(path, got.etag, got.last_modified, digest, got.size, True, charset)
    if digest == state.content_hash:
        found.drop()
        return None
    return found


def host_of(state: FeedState) -> str:
    """host:port that the feed comes from, empty for a local file."""
    parts = urlsplit(state.feed.url)
    return parts.netloc.rpartition("@")[2].lower() if parts.scheme.lower() in REMOTE else ""


def beside(url: str) -> str:
    """The feed's address as one that others in it may be relative to: without user and query. Empty
    for a feed that is not on the web, and where a secret stands in its path."""
    parts = urlsplit(url.strip())
    if parts.scheme.lower() not in ("http", "https"):
        return ""
    bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return bare if redact(bare) == bare else ""


def local_path(url: str) -> Path:
    """The path behind `file://` or a plain path."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file://") else Path(url)


def _local(state: FeedState, limits: Limits) -> Collected | None:
    path = local_path(state.feed.url)
    if not path.is_file():
        hint = "check the path of the feed"
        raise FetchFailed(f"no such file: {path}", url=state.feed.url, hint=hint)
    digest = _sha256(path, _recipe(state, limits))
    if digest == state.content_hash:
        return None
    return Collected(path, "", "", digest, path.stat().st_size, False)


def _recipe(state: FeedState, limits: Limits, charset: str = "") -> str:
    """What the rows become also depends on how they are read."""
    feed = state.feed
    parts = (feed.format, feed.columns, state.base, limits.unknown_stock, charset)
    return "\0".join((*parts, ""))


def readable(path: Path) -> BinaryIO:
    """The file, opened. Raises FetchFailed."""
    try:
        return path.open("rb")
    except OSError as error:
        hint = "check the path and the rights of the feed; an address begins with https://"
        message = f"cannot read {path}: {error.strerror}"
        raise FetchFailed(message, url=str(path), hint=hint) from error


def _sha256(path: Path, recipe: str) -> str:
    digest = hashlib.sha256(recipe.encode())
    with readable(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def own_folder(spool: Path) -> Iterator[Path]:
    """A new folder in the spool that nobody else knows of, gone afterwards. Raises StateError."""
    try:
        spool.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=spool))
    except OSError as error:
        raise disk_error(error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tidy_spool(spool: Path, feed_ids: Iterable[int]) -> None:
    """Removes what belongs to no feed. Parts of feeds stay: their download goes on from there. So does
    a folder of `own_folder`, for a day: somebody may be at work in it."""
    if not spool.is_dir():
        return
    kept = {f"{feed_id}.{kind}" for feed_id in feed_ids for kind in ("feed", "json")}
    old = time.time() - OWN_FOLDER_S
    for path in spool.iterdir():
        if path.name in kept:
            continue
        if path.is_file():
            path.unlink(missing_ok=True)
        else:
            with suppress(FileNotFoundError):  # its owner has taken it away
                if path.stat().st_mtime < old:
                    shutil.rmtree(path, ignore_errors=True)
