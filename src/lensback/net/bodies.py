"""What servers answer, read with suspicion: encodings, statuses, waits."""

from __future__ import annotations

import email.utils
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from lensback.errors import FetchFailed
from lensback.gunzip import gunzip

MAX_WAIT_S = 30.0
"""Longest pause that a server's Retry-After may ask of us."""
MAX_API_WAIT_S = 120.0
"""The same for an API that we are a customer of."""
_PIECE_BYTES = 256 << 10


def retry_after_s(value: str, most: float = MAX_WAIT_S) -> float:
    """Seconds or an HTTP date (RFC 9110, 10.2.3) -> seconds from now, at most `most`."""
    if value.isdecimal():
        return min(float(value), most)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max(0.0, (when - datetime.now(UTC)).total_seconds()), most)


_CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "x-deflate": "deflate"}
_FOREIGN = frozenset(("br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip"))
_MAX_CODINGS = 2


def coding(encoding: str) -> str:
    """What a Content-Encoding says was done to the body, in order: `gzip`, `gzip, gzip`, or empty.

    What is no coding at all (a charset, `none`, `aws-chunked`) is passed over, as browsers do.
    Raises FetchFailed for a coding that exists and that we did not ask for.
    """
    named = [name.partition(";")[0].strip() for name in encoding.lower().split(",")]
    done = [_CODINGS[name] for name in named if name in _CODINGS]
    if _FOREIGN.intersection(named) or len(done) > _MAX_CODINGS:
        raise FetchFailed(f"the server sent an encoding we did not ask for: {encoding[:40]!r}")
    return ", ".join(done)


def decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Undoes the Content-Encoding in pieces of bounded size, so that a bomb meets the byte cap
    before it fills the memory."""
    for name in reversed(coding(encoding).split(", ")):
        if name:
            chunks = gunzip(chunks, _PIECE_BYTES) if name == "gzip" else _inflated(chunks)
    try:
        yield from chunks
    except zlib.error as error:
        raise FetchFailed("the server sent a broken gzip stream", retry=True) from error
    except EOFError as error:
        raise FetchFailed("the server's gzip stream stops in the middle", retry=True) from error


def _inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A zlib stream (RFC 9110, 8.4.1.2), or the bare deflate stream that some servers send."""
    unzip = None
    for chunk in chunks:
        rest = chunk
        while rest and not (unzip and unzip.eof):
            if unzip is None:
                is_zlib = rest[0] & 15 == 8
                unzip = zlib.decompressobj(15 if is_zlib else -15)
            yield unzip.decompress(rest, _PIECE_BYTES)
            rest = unzip.unconsumed_tail
    if unzip and not unzip.eof:
        yield unzip.flush()
        if not unzip.eof:
            raise FetchFailed("the server's deflate stream stops in the middle", retry=True)
