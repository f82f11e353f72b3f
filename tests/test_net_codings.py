"""What servers do to a body and say in Content-Encoding: read as browsers do, asked for or not."""

from __future__ import annotations

import gzip
import random
import socket
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
from backports import zstd

from lensback.errors import FetchFailed
from lensback.net.bodies import decoded
from test_net import opened, raw

BODY = b"id,title\n" * 9
PACK: dict[str, Callable[[bytes], bytes]] = {
    "br": brotli.compress,
    "zstd": zstd.compress,
    "deflate": zlib.compress,
    "gzip": gzip.compress,
}
SENT = {
    "br": brotli.compress(BODY),
    "BR": brotli.compress(BODY),
    "gzip, br": brotli.compress(gzip.compress(BODY)),
    "br, gzip": gzip.compress(brotli.compress(BODY)),
    "zstd": zstd.compress(BODY),
    "utf-8, zstd": zstd.compress(BODY[:30]) + zstd.compress(BODY[30:]),
    "deflate, identity": zlib.compress(BODY),
}


@pytest.mark.parametrize("named", SENT)
def test_codings_that_were_not_asked_for_are_read(named: str, tmp_path: Path) -> None:
    answer = f"HTTP/1.1 200 OK\r\nContent-Encoding: {named}\r\n\r\n".encode() + SENT[named]

    def talk(connection: socket.socket) -> None:
        connection.sendall(answer)

    with raw(talk) as url, opened() as fetcher:
        assert fetcher.fetch(url, max_bytes=999).body == BODY
        fetcher.spool(url, tmp_path / "s", max_bytes=999)
        assert (tmp_path / "s").read_bytes() == BODY


@pytest.mark.parametrize("name", PACK)
def test_codings_in_pieces_cut_and_broken(name: str) -> None:
    body = random.Random(1).randbytes(3000) + b"x" * 700_000
    packed = PACK[name](body)

    def read(data: bytes, step: int) -> bytes:
        pieces = list(decoded((data[at : at + step] for at in range(0, len(data), step)), name))
        assert max(map(len, pieces)) <= 256 << 10, "a bomb meets the cap in small pieces"
        return b"".join(pieces)

    for step in (1, 777, 1 << 20):
        assert read(packed, step) == body
        with pytest.raises(FetchFailed):
            read(packed[:-20], step)
    with pytest.raises(FetchFailed):
        read(b"\xff\xfe plain text", 1 << 20)


@pytest.mark.parametrize("name", PACK)
def test_a_body_that_grows_as_none_does_is_no_body(name: str) -> None:
    packed = PACK[name](bytes(20 << 20))
    sizes: list[int] = []
    with pytest.raises(FetchFailed, match="grows"):
        sizes.extend(map(len, decoded([packed], name)))
    assert sum(sizes) <= 16 << 20


@pytest.mark.parametrize("named", ["compress", "x-compress", "dcb", "gzip, gzip, gzip", "exi"])
def test_codings_that_no_browser_reads_are_refused(named: str) -> None:
    with pytest.raises(FetchFailed, match="encoding"):
        list(decoded([b"x"], named))
