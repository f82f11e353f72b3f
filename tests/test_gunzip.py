"""gzip as it comes: cut anywhere, in several members, with heads of every kind, without its checksum."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback.gunzip import gunzip


def packed(
    body: bytes, *, extra: bytes = b"", name: bytes = b"", note: bytes = b"", crc: bool = False
) -> bytes:
    """A member with the optional fields of RFC 1952."""
    flags = 2 * crc + 4 * bool(extra) + 8 * bool(name) + 16 * bool(note)
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(6)
    head += len(extra).to_bytes(2, "little") + extra if extra else b""
    head += b"".join(text + b"\0" for text in (name, note) if text)
    head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little") if crc else b""
    return head + gzip.compress(body, mtime=0)[10:]


def unpacked(data: bytes, step: int = 7, piece: int = 1 << 16) -> bytes:
    chunks = (data[i : i + step] for i in range(0, len(data), step))
    return b"".join(gunzip(chunks, piece))


BODY = bytes(range(256)) * 20


@given(st.binary(max_size=3000), st.integers(1, 50), st.integers(1, 64))
def test_however_it_is_cut(body: bytes, step: int, piece: int) -> None:
    data = gzip.compress(body) + gzip.compress(body) + b"\0\0\0"
    chunks = [data[i : i + step] for i in range(0, len(data), step)]
    pieces = list(gunzip(chunks, piece))
    assert b"".join(pieces) == body * 2
    assert all(len(one) <= piece for one in pieces)


@pytest.mark.parametrize("step", [1, 3, 1 << 20])
@pytest.mark.parametrize("crc", [False, True])
@pytest.mark.parametrize("note", [b"", b"a note"])
@pytest.mark.parametrize("name", [b"", b"feed.xml"])
@pytest.mark.parametrize("extra", [b"", b"\1\2\3\0"])
def test_every_kind_of_head(extra: bytes, name: bytes, note: bytes, crc: bool, step: int) -> None:
    data = packed(b"one ", extra=extra, name=name, note=note, crc=crc)
    assert unpacked(data * 2, step) == b"one one "
    assert gzip.decompress(data) == b"one "


@pytest.mark.parametrize("lacking", range(1, 9))
def test_the_checksum_may_be_missing(lacking: int) -> None:
    data = gzip.compress(BODY)[:-lacking]
    assert unpacked(data) == BODY
    assert unpacked(gzip.compress(b"first ") + data) == b"first " + BODY


@pytest.mark.parametrize("lacking", [9, 10, 40, len(gzip.compress(BODY)) - 3])
def test_what_stops_before_is_told_after_what_came(lacking: int) -> None:
    came: list[bytes] = []
    with pytest.raises(EOFError):
        came.extend(gunzip([gzip.compress(BODY)[:-lacking]], 1 << 16))
    assert BODY.startswith(b"".join(came))


def test_damage_and_what_is_none() -> None:
    data = bytearray(gzip.compress(BODY))
    data[-6] ^= 1
    with pytest.raises(zlib.error):
        unpacked(bytes(data))
    with pytest.raises(zlib.error):
        unpacked(b"plain text")
    assert unpacked(b"") == b""
    assert unpacked(gzip.compress(b"one") + b"<!-- junk -->" + gzip.compress(b"two")) == b"one"


def test_a_bomb_comes_in_small_pieces() -> None:
    pieces = gunzip([gzip.compress(bytes(50 << 20), 1)], 1 << 16)
    assert all(0 < len(next(pieces)) <= 1 << 16 for _ in range(8))


def test_a_name_without_an_end_is_bounded() -> None:
    head = b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * (1 << 18)
    with pytest.raises((EOFError, zlib.error)):
        unpacked(head, 1 << 16)
