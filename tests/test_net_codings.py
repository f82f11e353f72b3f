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
from lensback.feeds.stream import Source
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
    broken = packed[:3010] + b"\xff" * 30 + packed[3040:]
    with pytest.raises(FetchFailed, match=r"broken|middle"):
        read(broken, 1 << 20)


@pytest.mark.parametrize("name", PACK)
def test_a_body_that_grows_as_none_does_is_no_body(name: str) -> None:
    packed = PACK[name](bytes(20 << 20))
    sizes: list[int] = []
    with pytest.raises(FetchFailed, match="grows"):
        sizes.extend(map(len, decoded([packed], name)))
    assert sum(sizes) <= 16 << 20


PLAIN = b"id,title,price\n" + b"7,Hat,5 EUR\n" * 40
BARE = zlib.compressobj(wbits=-15)
BARE_DEFLATE = BARE.compress(PLAIN) + BARE.flush()
CUT = gzip.compress(PLAIN, mtime=0)[:-20]
AS_THEY_ARE: list[tuple[str, bytes, bytes]] = [
    *((named, PLAIN, PLAIN) for named in
      ("", "identity", "none", "UTF-8", "compress", "x-compress", "dcb", "exi", "binary", "8bit",
       "windows-1251", "aws-chunked", "text/csv", "?", ",,", ";q=1", "no-gzip", "gzip2", "pack200-gzip")),
    *((named, PLAIN, PLAIN) for named in
      ("gzip", "GZIP", "x-gzip", "gzip, gzip", "br", "zstd", "deflate", "gzip, br", "zstd, deflate, gzip")),
    *((named, gzip.compress(PLAIN, mtime=0), PLAIN) for named in
      ("gzip", "X-Gzip", " gzip ", "gzip,", "gzip, gzip", "gzip,gzip,gzip", "identity, gzip", "gzip, identity",
       "utf-8, gzip", "gzip, chunked", "br, gzip", "deflate, gzip", "gzip;q=0")),
    *((named, zlib.compress(PLAIN), PLAIN) for named in ("deflate", "DEFLATE", "x-deflate", "deflate, deflate")),
    *((named, BARE_DEFLATE, PLAIN) for named in ("deflate", "Deflate", "gzip, deflate")),
    *((named, brotli.compress(PLAIN), PLAIN) for named in ("br", "Br", "br, br", "none, br")),
    *((named, zstd.compress(PLAIN), PLAIN) for named in ("zstd", "ZStd", "zstd, zstd")),
    *((named, b"", b"") for named in ("", "gzip", "br", "zstd", "deflate", "gzip, br", "compress")),
    # said of another one: nothing is guessed, as in browsers; a feed's readers know a container by itself
    ("identity", gzip.compress(PLAIN, mtime=0), gzip.compress(PLAIN, mtime=0)),
    ("", gzip.compress(PLAIN, mtime=0), gzip.compress(PLAIN, mtime=0)),
    ("deflate", gzip.compress(PLAIN, mtime=0), gzip.compress(PLAIN, mtime=0)),
    ("br", gzip.compress(PLAIN, mtime=0), gzip.compress(PLAIN, mtime=0)),
    ("gzip", zlib.compress(PLAIN), zlib.compress(PLAIN)),
    ("gzip", gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0), gzip.compress(PLAIN, mtime=0)),
]  # fmt: skip
"""Content-Encoding, what was sent, what is read of it."""


@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_body_is_what_was_sent_whatever_is_said_of_it(step: int) -> None:
    for named, sent, read in AS_THEY_ARE:
        pieces = [sent[at : at + step] for at in range(0, len(sent), step)]
        assert b"".join(decoded(pieces, named)) == read, (named, sent)


def test_a_text_is_a_text_under_any_name_of_a_coding() -> None:
    """Of texts one in sixty begins as brotli that waits for more, some as a bare deflate of a few bytes."""
    chance = random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_- ,<\t;шляпа"
    for beginning in ("", "<?xml version='1.0'?><", '{"', "\ufeff", "id,", "\r\n"):
        for _ in range(60):
            text = beginning + "".join(
                chance.choices(letters, k=chance.choice((20, 90, 300, 3000)))
            )
            for charset in (
                "utf-8",
                *(("utf-16-le", "utf-16-be") if len(text) < 100 and "\ufeff" not in text else ()),
                *(("cp1251",) if len(text) > 300 and "\ufeff" not in text else ()),
            ):
                sent = text.encode(charset)
                for named in PACK:
                    assert b"".join(decoded([sent], named)) == sent, (named, sent)


@pytest.mark.parametrize("mtime", [0x6B0CA427, *range(0x6B000000, 0x6BFFFFFF, 0x40001)])
def test_gzip_said_to_be_brotli_is_gzip_at_any_time_of_day(mtime: int) -> None:
    """The time in gzip's head can make it brotli that waits for more: so it was at one second of 1,300."""
    sent = gzip.compress(PLAIN, mtime=mtime)
    assert b"".join(decoded([sent], "br")) == sent


def test_brotli_cut_before_its_first_byte_is_no_body() -> None:
    for cut in range(1, 12):
        with pytest.raises(FetchFailed, match="middle"):
            list(decoded([brotli.compress(PLAIN)[:cut]], "br"))


@pytest.mark.parametrize("named", ["gzip", "gzip, gzip", "br, gzip", "gzip, none"])
def test_what_is_damaged_or_cut_within_is_no_plain_body(named: str) -> None:
    damaged = bytearray(gzip.compress(PLAIN, mtime=0))
    damaged[12:20] = bytes(8)
    for sent in (CUT, bytes(damaged)):
        with pytest.raises(FetchFailed) as failed:
            list(decoded([sent], named))
        assert failed.value.retry


def test_more_codings_than_anybody_has_are_refused() -> None:
    with pytest.raises(FetchFailed, match="too many"):
        list(decoded([b"x"], ", ".join(["gzip"] * 5)))


def test_a_bomb_within_a_bomb_is_seen_at_the_layer_that_grows() -> None:
    """What the second layer reads of it is next to nothing, so that only the first shows it."""
    empty = gzip.compress(b"") * (40 << 10)
    inner = empty * 40
    with pytest.raises(FetchFailed, match="grows"):
        list(decoded([zlib.compress(inner, 9)], "gzip, deflate"))


@pytest.mark.parametrize(("named", "sent"), [("gzip", PLAIN), ("compress", PLAIN), ("br, none", brotli.compress(PLAIN)),
                                              ("identity", gzip.compress(PLAIN, mtime=0)), ("gzip, gzip", gzip.compress(PLAIN, mtime=0))])  # fmt: skip
def test_a_feed_under_any_of_them_is_read(named: str, sent: bytes, tmp_path: Path) -> None:
    answer = f"HTTP/1.1 200 OK\r\nContent-Encoding: {named}\r\n\r\n".encode() + sent

    with raw(lambda connection: connection.sendall(answer)) as url, opened() as fetcher:
        fetcher.spool(url, tmp_path / "s", max_bytes=9999)
    with (tmp_path / "s").open("rb") as stream:
        assert "".join(Source(stream, 9999).text()).encode() == PLAIN
