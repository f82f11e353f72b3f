"""Bytes of a feed as text: containers, the cap, the encoding. One pass, flat memory.

A container that breaks off does not raise here: the text ends, and `Source.failure` says why,
so that every complete row comes out before the reader raises.
"""

from __future__ import annotations

import bz2
import codecs
import lzma
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import IO, BinaryIO

from lensback.errors import FeedError, FeedTruncated
from lensback.gunzip import gunzip

CHUNK_BYTES = 1 << 16
HEAD_BYTES = 1 << 16
_MAX_LAYERS = 3
_BOMB_BYTES = 16 << 20
_BOMB_RATIO = 300
_SPOOL_BYTES = 16 << 20
_AGAIN = "fetch the feed again; if it stays so, tell the store"

# Control characters that no text format allows; they only break parsers.
_CONTROLS = bytes(set(range(32)) - {9, 10, 13})
CONTROL_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

_FOREIGN = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\xfd7zXZ\x00": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
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

    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self.failure: FeedTruncated | None = None
        self.compression = ""
        self._max_bytes = max_bytes
        self._chunks = self._unpacked(_chunks(stream))
        self.head, self._chunks = _peek(self._chunks, HEAD_BYTES)
        if noise := _NOISE.match(self.head):
            self.head, *_ = beheaded = [b"\n" * noise[0].count(b"\n") + self.head[noise.end() :]]
            next(self._chunks)
            self._chunks = chain(beheaded, self._chunks)
        self.encoding = encoding_of(self.head)

    def text(self) -> Iterator[str]:
        """The feed's characters in order, undecodable ones as U+FFFD. Only once."""
        return decode(self._chunks, self.encoding)

    def utf8(self) -> Iterator[bytes]:
        """The feed's bytes in order as UTF-8, for XML; see `as_utf8`. Only once."""
        return as_utf8(self._chunks, self.encoding)

    def head_text(self) -> str:
        """The first characters, for sniffing."""
        return "".join(decode(iter([self.head]), self.encoding))

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
            f"the zip archive holds {len(found)} files that could be the feed: {listed}",
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


# --- encoding ---------------------------------------------------------------------------------

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
_KNOWN = re.compile(r"win|cp\d|iso[-_]?8859|koi8|gb|big5|shift|x-|sjis|ks_c|euc|mac|latin|tis")
# What browsers take these names for (Encoding Standard of the WHATWG, 4.2): the Windows page that
# has more characters than the name says, and names that Python lacks.
_ALIASES = {
    **dict.fromkeys(("iso-8859-1", "iso_8859-1", "latin1", "latin-1", "x-cp1252"), "cp1252"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j"), "cp932"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "windows-949"), "cp949"),
    **dict.fromkeys(("gb2312", "gbk", "x-gbk", "windows-936"), "gb18030"),
    **dict.fromkeys(("x-cp1251", "win-1251", "win1251"), "cp1251"),
    "x-cp1250": "cp1250",
    "x-euc-jp": "euc_jp",
    "x-mac-cyrillic": "mac_cyrillic",
    "windows-874": "cp874",
}
_ENOUGH_BYTES = 512
_WAIT_BYTES = 1 << 20


def encoding_of(head: bytes) -> str:
    """Codec of a feed by its first bytes, as far as they tell.

    Order: byte order mark, UTF-16 pattern, then the bytes: what is valid UTF-8 is UTF-8,
    whatever the declaration says; else the declared codec; else a guess of 1251 or 1252.
    """
    for bom, codec in _BOMS:
        if head.startswith(bom):
            return codec
    sample = head[:2000]
    if sample[1::2].count(0) * 4 > len(sample) or head.startswith(b"<\0"):
        return "utf-16-le"
    if sample[0::2].count(0) * 4 > len(sample) or head.startswith(b"\0<"):
        return "utf-16-be"
    return _by_bytes(head, _declared(head))


def decode(chunks: Iterator[bytes], encoding: str) -> Iterator[str]:
    """Text of the chunks, undecodable bytes as U+FFFD, without control characters."""
    decoder = None
    for codec, data in _settled(chunks, encoding):
        if decoder is None and codec == "ascii":
            yield data.translate(None, _CONTROLS).decode("ascii")
            continue
        decoder = decoder or codecs.getincrementaldecoder(codec)("replace")
        yield CONTROL_TEXT.sub("", decoder.decode(data))
    if decoder:
        yield decoder.decode(b"", True)


def as_utf8(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Chunks of any encoding as UTF-8. What claims to be UTF-8 already passes as it is, for speed:
    the reader finds bytes that are none, and control characters, when its parser does."""
    decoder = None
    for codec, data in _settled(chunks, encoding):
        if decoder is None and codec in ("ascii", "utf-8"):
            yield data
            continue
        decoder = decoder or codecs.getincrementaldecoder(codec)("replace")
        yield CONTROL_TEXT.sub("", decoder.decode(data)).encode("utf-8", "replace")
    if decoder:
        yield decoder.decode(b"", True).encode("utf-8", "replace")


def _settled(chunks: Iterator[bytes], encoding: str) -> Iterator[tuple[str, bytes]]:
    """Chunks with their codec.

    Where the head was plain ASCII the decision waits for the first 512 bytes beyond it
    (or one MiB after the first of them, or the end), so that memory stays flat.
    """
    if encoding == "utf-8-sig" or (encoding.startswith("utf-") and encoding != "utf-8"):
        yield from ((encoding, chunk) for chunk in chunks)
        return
    pending = b""
    for chunk in chunks:
        if not pending and chunk.isascii():
            yield "ascii", chunk
            continue
        pending += chunk
        if len(pending) > _WAIT_BYTES or _high(pending) >= _ENOUGH_BYTES:
            break
    if pending:
        codec = _by_bytes(pending, encoding)
        yield codec, pending
        yield from ((codec, chunk) for chunk in chunks)


def _declared(head: bytes) -> str:
    """The codec an XML declaration names, where it is one we would use; else empty."""
    found = _DECLARED.match(head)
    name = found[1].decode("ascii").lower() if found else ""
    if not _KNOWN.match(name):
        return ""
    try:
        codec = codecs.lookup(_ALIASES.get(name, name)).name
    except LookupError:
        return ""
    return "cp1252" if codec == "iso8859-1" else codec


def _by_bytes(data: bytes, declared: str) -> str:
    """UTF-8 where (nearly) every character beyond ASCII is valid; a cut word now and then is not
    a reason to misread the rest. Else `declared`, else the likelier of two Windows pages."""
    if data.isascii():
        return declared or "utf-8"
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    bad = text.count("\ufffd")
    high = _high(data)
    good = len(text) - bad - (len(data) - high)
    if good > 9 * bad:
        return "utf-8"
    if declared and not declared.startswith("utf"):
        return declared
    latin = cyrillic = 0
    for word in _WORDS.findall(data):
        letters = _high(word)
        latin += letters if letters < len(word) else 0
        cyrillic += letters if 1 < letters == len(word) else 0
    return "cp1251" if cyrillic > latin else "cp1252"


# Letters of Windows-1251 or 1252. A word with some of ASCII among them is Latin.
_WORDS = re.compile(rb"[A-Za-z\xa8\xb8\xc0-\xff]+")


def _high(data: bytes) -> int:
    """Bytes beyond ASCII."""
    return len(data.translate(None, _ASCII))


_ASCII = bytes(range(128))
