"""Bytes of a feed as text: containers, the cap, the encoding. One pass, flat memory.

A container that breaks off does not raise here: the text ends, and `Source.failure` says why,
so that every complete row comes out before the reader raises.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import IO, BinaryIO

from lensback.counted import counted
from lensback.errors import FeedError, FeedTruncated
from lensback.feeds.encodings import as_utf8, decode, encoding_of
from lensback.gunzip import gunzip

CHUNK_BYTES = 1 << 16
HEAD_BYTES = 1 << 16
_MAX_LAYERS = 3
_BOMB_BYTES = 16 << 20
_BOMB_RATIO = 300
_SPOOL_BYTES = 16 << 20
_AGAIN = "fetch the feed again; if it stays so, tell the store"

_FOREIGN = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\xfd7zXZ\x00": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\x1f\x9d": "a file packed by compress (.Z)",
    b"\xd0\xcf\x11\xe0": "an Excel workbook (xls)",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"PAR1": "a Parquet file",
}


# What PHP says before the document it makes. The lines stay, so that numbers of lines are true.
_NOISE = re.compile(
    rb"(?:<br ?/?>|<b>|PHP |\s)*+(?:Warning|Notice|Deprecated|Strict Standards)\b.{1,4000}?(?=<\?xml\s)",
    re.DOTALL,
)


class Source:
    """One feed's bytes, unpacked. `failure` is set once a container has broken off."""

    def __init__(
        self, stream: BinaryIO, max_bytes: int, *, charset: str = "", encoding: str = ""
    ) -> None:
        """`charset`: what the server says of the encoding; `encoding`: what the operator does."""
        self.failure: FeedTruncated | None = None
        self.compression = ""
        self._max_bytes = max_bytes
        self._chunks = self._unpacked(_chunks(stream))
        self.head, self._chunks = _peek(self._chunks, HEAD_BYTES)
        if noise := _NOISE.match(self.head):
            self.head, *_ = beheaded = [b"\n" * noise[0].count(b"\n") + self.head[noise.end() :]]
            next(self._chunks)
            self._chunks = chain(beheaded, self._chunks)
        self._encoding = encoding_of(self.head, charset, encoding)
        self.encoding = self._encoding.name

    def text(self) -> Iterator[str]:
        """The feed's characters in order, undecodable ones as U+FFFD. Only once."""
        return decode(self._chunks, self._encoding)

    def utf8(self) -> Iterator[bytes]:
        """The feed's bytes in order as UTF-8, for XML; see `as_utf8`. Only once."""
        return as_utf8(self._chunks, self._encoding)

    def head_text(self) -> str:
        """The first characters, for sniffing."""
        return "".join(decode(iter([self.head]), self._encoding))

    def _unpacked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        layers = []
        while True:
            head, chunks = _peek(chunks, 8)
            kind = _container(head)
            if kind is None:
                break
            layers.append(kind)
            if len(layers) > _MAX_LAYERS:
                raise FeedError("packed too many times over", hint="pack the feed once, with gzip")
            chunks = self._capped(self._no_bomb(kind, chunks))
        self.compression = "+".join(layers)
        return chunks if layers else self._capped(chunks)

    def _capped(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        seen = 0
        for chunk in chunks:
            seen += len(chunk)
            if seen > self._max_bytes:
                raise FeedError(
                    f"more than {self._max_bytes} bytes after decompression",
                    hint="raise max_feed_bytes if the feed is really that large",
                )
            yield chunk

    def _no_bomb(self, kind: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """What is unpacked, unless it grows as no feed does."""
        packed = unpacked = 0

        def counted() -> Iterator[bytes]:
            nonlocal packed
            for chunk in chunks:
                packed += len(chunk)
                yield chunk

        for chunk in _UNPACK[kind](self, counted()):
            unpacked += len(chunk)
            if unpacked > _BOMB_BYTES and unpacked > _BOMB_RATIO * packed:
                raise FeedError(
                    f"more than {_BOMB_RATIO} times its size after decompression: no feed does that",
                    hint="check the address; if it really is the feed, ask for it unpacked",
                )
            yield chunk

    def _gunzip(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Every member of a gzip file."""
        try:
            yield from gunzip(chunks, CHUNK_BYTES)
        except zlib.error as error:
            self._fail(f"the gzip data is damaged: {error}")
        except EOFError as error:
            self._fail(str(error))

    def _bunzip(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        inflater = bz2.BZ2Decompressor()
        try:
            for chunk in chunks:
                data = chunk
                while data or not (inflater.eof or inflater.needs_input):
                    if inflater.eof:
                        if not data.startswith(b"B"):
                            break
                        inflater = bz2.BZ2Decompressor()
                    yield inflater.decompress(data, CHUNK_BYTES)
                    data = inflater.unused_data if inflater.eof else b""
        except (OSError, ValueError, EOFError) as error:
            self._fail(f"the bzip2 data is damaged: {error}")
            return
        if not inflater.eof:
            self._fail("the bzip2 data stops in the middle")

    def _unzip(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The one member that could be a feed. The archive is spooled: its directory is at the end."""
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
            for chunk in self._capped(chunks):
                spool.write(chunk)
            try:
                with zipfile.ZipFile(spool) as archive, archive.open(_member(archive)) as member:
                    yield from _chunks(member)
            except zipfile.BadZipFile as error:
                self._fail(f"the zip archive is damaged: {error}")
            except _ZIP_ERRORS as error:
                self._fail(f"the zip archive cannot be read: {error}")

    def _fail(self, message: str) -> None:
        self.failure = FeedTruncated(message, hint=_AGAIN)


_UNPACK: dict[str, Callable[[Source, Iterator[bytes]], Iterator[bytes]]] = {
    "gzip": Source._gunzip,  # noqa: SLF001 - this module's own class
    "bzip2": Source._bunzip,  # noqa: SLF001
    "zip": Source._unzip,  # noqa: SLF001
}
# What zipfile lets out on hostile archives, found by mutation.
_ZIP_ERRORS = (
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    IndexError,
    KeyError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)


def _chunks(stream: BinaryIO | IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _peek(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first `size` bytes or more (less at the end), and the whole again."""
    head = bytearray()
    for chunk in chunks:
        head += chunk
        if len(head) >= size:
            break
    return bytes(head), chain([bytes(head)], chunks)


def _container(head: bytes) -> str | None:
    for magic, seems in _FOREIGN.items():
        if head.startswith(magic):
            raise FeedError(
                f"this seems to be {seems}",
                hint="give the feed as XML, CSV or JSON lines, plain or packed with gzip, zip or bzip2",
            )
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"BZh") and head[3:4].isdigit():
        return "bzip2"
    return "zip" if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) else None


def _member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [info for info in archive.infolist() if not info.is_dir()]
    if any(info.filename == "[Content_Types].xml" for info in members):
        raise FeedError("this seems to be an Excel workbook", hint="save it as CSV")
    ranked = [(rank, info) for info in members if (rank := _rank(info.filename)) is not None]
    if not ranked:
        listed = ", ".join(info.filename[:60] for info in members[:5]) or "nothing"
        raise FeedError(
            f"the zip archive holds no file that could be a feed: {listed}",
            hint="pack the feed itself: XML, CSV, TSV or JSON",
        )
    best = min(rank for rank, _ in ranked)
    found = [info for rank, info in ranked if rank == best]
    if len(found) > 1:
        listed = ", ".join(info.filename[:60] for info in found[:5])
        raise FeedError(
            f"the zip archive holds {counted(len(found), 'file')} that could be the feed: {listed}",
            hint="ask for one feed an archive",
        )
    if found[0].flag_bits & 1:
        raise FeedError("the zip archive is encrypted", hint="ask for one without a password")
    return found[0]


# Kinds of files that hold a feed, the likeliest first; a text beside a feed is a read-me.
_KINDS = (("xml", "yml", "csv", "tsv", "json", "jsonl", "ndjson", "rss", "atom"), ("txt", ""))
_PACKINGS = ("gz", "bz2", "zip")


def _rank(path: str) -> int | None:
    """Place in _KINDS, or None: hidden files, pictures and other things that are no feed."""
    name = path.rsplit("/", 1)[-1].lower()
    if name.startswith(".") or path.startswith("__MACOSX/"):
        return None
    parts = name.split(".")
    while len(parts) > 1 and parts[-1] in _PACKINGS:
        parts.pop()
    kind = parts[-1] if len(parts) > 1 else ""
    return next((rank for rank, kinds in enumerate(_KINDS) if kind in kinds), None)
