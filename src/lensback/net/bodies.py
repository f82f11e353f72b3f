"""What servers answer, read with suspicion: encodings, statuses, waits."""

from __future__ import annotations

import email.utils
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
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


_CODINGS = {
    **dict.fromkeys(("gzip", "x-gzip"), "gzip"),
    **dict.fromkeys(("deflate", "x-deflate"), "deflate"),
    "br": "br",
    "zstd": "zstd",
}
_FOREIGN = frozenset(("compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip"))
_MAX_CODINGS = 2
_WINDOW_LOG = 23
"""Largest window of zstd over HTTP: 8 MB (RFC 9659)."""
_BOMB_BYTES, _BOMB_RATIO = 16 << 20, 300
"""No body that is more than so large grows so many times."""


def coding(encoding: str) -> str:
    """What a Content-Encoding says was done to the body, in order: `gzip`, `gzip, gzip`, or empty.

    What is no coding at all (a charset, `none`, `aws-chunked`) is passed over, as browsers do.
    What browsers read is read also where we did not ask for it. Raises FetchFailed for any other
    coding that exists.
    """
    named = [name.partition(";")[0].strip() for name in encoding.lower().split(",")]
    done = [_CODINGS[name] for name in named if name in _CODINGS]
    if _FOREIGN.intersection(named) or len(done) > _MAX_CODINGS:
        raise FetchFailed(f"the server sent an encoding we did not ask for: {encoding[:40]!r}")
    return ", ".join(done)


def decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Undoes the Content-Encoding in pieces of bounded size, so that a bomb meets the byte cap
    before it fills the memory."""
    codings = [name for name in reversed(coding(encoding).split(", ")) if name]
    if not codings:
        yield from chunks
        return
    came = _Counted(chunks)
    unpacked: Iterable[bytes] = came
    for name in codings:
        unpacked = _UNPACK[name](unpacked)
    size = 0
    try:
        for piece in unpacked:
            size += len(piece)
            if size > _BOMB_BYTES and size > _BOMB_RATIO * came.size:
                raise FetchFailed(
                    f"the body grows more than {_BOMB_RATIO} times: no picture or feed does"
                )
            yield piece
    except zlib.error as error:
        raise FetchFailed("the server sent a broken gzip stream", retry=True) from error
    except EOFError as error:
        raise FetchFailed("the server's gzip stream stops in the middle", retry=True) from error


class _Counted:
    """Chunks, and how many bytes of them came."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            yield chunk


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    return gunzip(chunks, _PIECE_BYTES)


def _unbrotlied(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A brotli stream (RFC 7932)."""
    import brotli  # type: ignore[import-untyped]

    unpack = brotli.Decompressor()
    try:
        for chunk in chunks:
            piece = unpack.process(chunk, output_buffer_limit=_PIECE_BYTES // 2)
            while piece:
                yield piece
                piece = unpack.process(b"", output_buffer_limit=_PIECE_BYTES // 2)
    except brotli.error as error:
        raise FetchFailed("the server sent a broken brotli stream") from error
    if not unpack.is_finished():
        raise FetchFailed("the server's brotli stream stops in the middle", retry=True)


def _unzstded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The frames of a zstd stream (RFC 8878)."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    limits = {int(zstd.DecompressionParameter.window_log_max): _WINDOW_LOG}
    unpack = None
    try:
        for chunk in chunks:
            rest = chunk
            while rest or (unpack and not unpack.needs_input):
                unpack = unpack or zstd.ZstdDecompressor(options=limits)
                yield unpack.decompress(rest, _PIECE_BYTES)
                rest = unpack.unused_data if unpack.eof else b""
                unpack = None if unpack.eof else unpack
    except zstd.ZstdError as error:
        raise FetchFailed("the server sent a broken zstd stream") from error
    if unpack:
        raise FetchFailed("the server's zstd stream stops in the middle", retry=True)


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


_UNPACK: dict[str, Callable[[Iterable[bytes]], Iterator[bytes]]] = {
    "gzip": _gunzipped,
    "deflate": _inflated,
    "br": _unbrotlied,
    "zstd": _unzstded,
}
