"""gzip in pieces (RFC 1952), as browsers read it: of feeds, and of what servers send.

What follows the last member is passed over, and so is the lack of its checksum: the data is whole
without. A checksum that is there and wrong is damage.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

_MAGIC = b"\x1f\x8b"
_HEAD, _FOOT = 10, 8
_MAX_HEAD = 1 << 17
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 2, 4, 8, 16


def gunzip(chunks: Iterable[bytes], piece_bytes: int) -> Iterator[bytes]:
    """What was packed, in pieces of at most `piece_bytes`. Raises zlib.error for what is damaged or no
    gzip, EOFError for what stops in the middle; both after all that came before."""
    source = _Bytes(chunks)
    while source.more():
        _pass_head(source)
        unzip, digest, size = zlib.decompressobj(-zlib.MAX_WBITS), 0, 0
        while not unzip.eof:
            if not unzip.unconsumed_tail and not source.more():
                raise EOFError("the gzip data stops in the middle")
            piece = unzip.decompress(unzip.unconsumed_tail or source.take(), piece_bytes)
            digest, size = zlib.crc32(piece, digest), size + len(piece)
            yield piece
        source.give_back(unzip.unused_data)
        foot = source.take(_FOOT)
        wanted = digest.to_bytes(4, "little") + (size % (1 << 32)).to_bytes(4, "little")
        if len(foot) == _FOOT and foot != wanted:
            raise zlib.error("its checksum is another one")
        if not source.padding_then(_MAGIC):
            return


def _pass_head(source: _Bytes) -> None:
    head = source.take(_HEAD)
    if len(head) < _HEAD and _MAGIC.startswith(head[:2]):
        raise EOFError("the gzip data stops in the middle")
    if not head.startswith(_MAGIC + b"\x08"):
        raise zlib.error("it is no gzip data")
    flags = head[3]
    if flags & _FEXTRA:
        source.take(int.from_bytes(source.take(2), "little"))
    for flag in (_FNAME, _FCOMMENT):
        left = _MAX_HEAD
        while flags & flag and source.take(1) not in (b"\0", b"") and left:
            left -= 1
    if flags & _FHCRC:
        source.take(2)


class _Bytes:
    """Chunks, of which so many bytes can be taken as are needed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = b""

    def more(self) -> bool:
        """Whether anything is left."""
        while not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._held = chunk
        return True

    def take(self, count: int = 0) -> bytes:
        """So many bytes, or what is left where that is less; 0: as many as are at hand."""
        while len(self._held) < count:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._held += chunk
        taken = self._held[: count or None]
        self._held = self._held[len(taken) :]
        return taken

    def give_back(self, data: bytes) -> None:
        """What was taken too much comes first again."""
        self._held = data + self._held

    def padding_then(self, begin: bytes) -> bool:
        """Passes zeros over; whether what follows begins so."""
        while self.more():
            self._held = self._held.lstrip(b"\0")
            if self._held:
                head = self.take(len(begin))
                self.give_back(head)
                return head == begin
        return False
