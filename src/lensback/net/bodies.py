"""What servers answer, read with suspicion: encodings, statuses, waits."""

from __future__ import annotations

import email.utils
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain

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
_MAX_CODINGS = 4
"""One after the other; each is a decompressor that a hostile body could keep busy."""
_WINDOW_LOG = 23
"""Largest window of zstd over HTTP: 8 MB (RFC 9659)."""
_BOMB_BYTES, _BOMB_RATIO = 16 << 20, 300
"""No body that is more than so large grows so many times."""


def coding(encoding: str) -> str:
    """What a Content-Encoding says was done to the body, in order: `gzip`, `gzip, gzip`, or empty.

    What is no coding at all (a charset, `none`, `aws-chunked`), and a coding that no browser reads
    (`compress`), is passed over, as browsers do: the body is taken as it came. What browsers read is
    read also where we did not ask for it. Raises FetchFailed for more codings than anybody has.
    """
    named = [name.partition(";")[0].strip() for name in encoding.lower().split(",")]
    done = [_CODINGS[name] for name in named if name in _CODINGS]
    if len(done) > _MAX_CODINGS:
        raise FetchFailed(f"the server sent too many encodings: {encoding[:40]!r}")
    return ", ".join(done)


def decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Undoes the Content-Encoding in pieces of bounded size, so that a bomb meets the byte cap
    before it fills the memory. A coding that is named and was never done is passed over. Raises
    FetchFailed for a body that is damaged, cut, or grows as none does."""
    for name in reversed(coding(encoding).split(", ")):
        chunks = _undone(name, chunks) if name else chunks
    yield from chunks


def _undone(name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The body without one coding; as it came where it turns out, before the first byte of it, that
    this coding was never done: a proxy says `gzip` of what it unpacked, or says it twice."""
    came, size = _Came(chunks), 0
    if _is_text(came.head()):
        yield from came
        return
    try:
        for piece in _UNPACK[name](came):
            if piece:
                came.kept = None
            size += len(piece)
            if size > _BOMB_BYTES and size > _BOMB_RATIO * came.size:
                raise FetchFailed(
                    f"the body grows more than {_BOMB_RATIO} times: no picture or feed does"
                )
            yield piece
    except _Broken as error:
        if came.kept is None or _begins(name, b"".join(came.kept)):
            raise FetchFailed(f"the server sent a broken {name} stream", retry=True) from error
        kept, came.kept = came.kept, None
        yield from kept
        yield from came
    except EOFError as error:
        # brotli has no mark of its own: what begins as another coding may wait for more as this one
        if came.kept is None or not came.head().startswith(_marks_of_others(name)):
            raise FetchFailed(
                f"the server's {name} stream stops in the middle", retry=True
            ) from error
        yield from came.kept


_HEAD_BYTES = 512
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\f\r"))


_IN_PAIRS = re.compile(rb"(?:[\t\n\r -~]\0){2}|(?:\0[\t\n\r -~]){2}")
"""UTF-16 without a mark. A stream that holds such a text as it is begins otherwise: with its own head."""


def _is_text(head: bytes) -> bool:
    """Whether a body's first bytes are text, and so no stream of any coding: nothing but letters of
    some charset where there are many bytes, of UTF-8 where few; too few (16) say nothing."""
    if len(head) >= 16 and _IN_PAIRS.match(head):
        return 4 * max(head[0::2].count(0), head[1::2].count(0)) > len(head)
    if len(head) < 16 or len(head.translate(None, _CONTROLS)) < len(head):
        return False
    # of random bytes one in ten is a control: of 256 of them none is without
    return len(head) >= 256 or head.decode("utf-8", "ignore").encode() == head


def _begins(name: str, data: bytes) -> bool:
    """Whether a body begins as one of this coding must; False where that cannot be told."""
    if name == "deflate":  # a zlib stream (RFC 1950, 2.2)
        return data[:1] == b"\x78" and int.from_bytes(data[:2]) % 31 == 0
    return data.startswith(_MAGIC.get(name, ()))


_MAGIC = {"gzip": (b"\x1f\x8b",), "zstd": (b"\x28\xb5\x2f\xfd",)}


def _marks_of_others(name: str) -> tuple[bytes, ...]:
    return tuple(mark for coding, marks in _MAGIC.items() if coding != name for mark in marks)


class _Broken(Exception):
    """What cannot be undone; the decompressor of another coding does not take it for its own."""


class _Came:
    """Chunks, how many bytes of them came, and for as long as these are few they themselves."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._head: bytes | None = None
        self.size = 0
        self.kept: list[bytes] | None = []

    def head(self) -> bytes:
        """The first bytes, at most 512, before or after the chunks are asked for."""
        if self._head is None:
            ahead, size = [], 0
            while size < _HEAD_BYTES and (chunk := next(self._chunks, None)) is not None:
                ahead.append(chunk)
                size += len(chunk)
            self._chunks = chain(ahead, self._chunks)
            self._head = b"".join(ahead)[:_HEAD_BYTES]
        return self._head

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if self.kept is not None and self.size < _PIECE_BYTES:
                self.kept.append(chunk)
            else:
                self.kept = None
            self.size += len(chunk)
            yield chunk


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from gunzip(chunks, _PIECE_BYTES)
    except zlib.error as error:
        raise _Broken from error


def _unbrotlied(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A brotli stream (RFC 7932)."""
    import brotli  # type: ignore[import-untyped]

    unpack, some = brotli.Decompressor(), False
    try:
        for chunk in chunks:
            some = some or bool(chunk)
            piece = unpack.process(chunk, output_buffer_limit=_PIECE_BYTES // 2)
            while piece:
                yield piece
                piece = unpack.process(b"", output_buffer_limit=_PIECE_BYTES // 2)
    except brotli.error as error:
        raise _Broken from error
    if some and not unpack.is_finished():
        raise EOFError


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
        raise _Broken from error
    if unpack:
        raise EOFError


def _inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A zlib stream (RFC 9110, 8.4.1.2), or the bare deflate stream that some servers send."""
    unzip = None
    try:
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
    except zlib.error as error:
        raise _Broken from error
    if unzip and not unzip.eof:
        raise EOFError


_UNPACK: dict[str, Callable[[Iterable[bytes]], Iterator[bytes]]] = {
    "gzip": _gunzipped,
    "deflate": _inflated,
    "br": _unbrotlied,
    "zstd": _unzstded,
}
