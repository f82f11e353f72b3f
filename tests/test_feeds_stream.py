"""Containers, caps and encodings."""

from __future__ import annotations

import bz2
import gzip
import io
import tracemalloc
import zipfile

import pytest

from lensback import feeds
from lensback.errors import FeedError, FeedTruncated
from lensback.feeds.stream import Source
from lensback.types import Offer

HEADER = "id,title,link,price\n"
ROW = "{0},Шапка {0},https://s.example/{0},5 EUR\n"


def table(rows: int) -> bytes:
    return (HEADER + "".join(ROW.format(n) for n in range(rows))).encode()


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


class Pipe(io.RawIOBase):
    """A stream that cannot seek and gives little at a time, like a socket."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = io.BytesIO(data), step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(self._step if size < 0 else min(size, self._step))


def count(data: bytes, **options) -> int:
    return sum(isinstance(row, Offer) for row in feeds.read(io.BytesIO(data), **options))


PACKED = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip members": lambda data: (
        gzip.compress(data[:1000]) + gzip.compress(data[1000:]) + b"\0" * 512
    ),
    "bzip2": bz2.compress,
    "bzip2 members": lambda data: bz2.compress(data[:1000]) + bz2.compress(data[1000:]),
    "zip": lambda data: zipped(("d/", b""), ("__MACOSX/._f.csv", b"x"), ("d/f.csv", data)),
    "gzip in zip": lambda data: zipped(("f.csv.gz", gzip.compress(data))),
}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("step", [7, 1 << 20])
def test_every_container(kind: str, step: int):
    data = PACKED[kind](table(300))
    assert sum(isinstance(row, Offer) for row in feeds.read(Pipe(data, step))) == 300


@pytest.mark.parametrize("kind", ["gzip", "bzip2"])
def test_a_container_that_breaks_off(kind: str):
    whole = PACKED[kind](table(60_000))
    rows: list[object] = []
    with pytest.raises(FeedTruncated, match="stops"):
        rows.extend(feeds.read(io.BytesIO(whole[: len(whole) * 2 // 3])))
    assert len(rows) > 10_000
    assert all(isinstance(row, Offer) for row in rows)


def test_a_damaged_container():
    whole = bytearray(gzip.compress(table(60_000)))
    whole[len(whole) // 2] ^= 0xFF
    with pytest.raises(FeedTruncated, match="damaged"):
        count(bytes(whole))
    with pytest.raises(FeedTruncated):
        count(zipped(("f.csv", table(10)))[:-30])


def test_a_bomb_stops_at_the_cap():
    flat = HEADER.encode() + b"a" * (64 << 20)
    bomb = gzip.compress(flat)
    for data in (bomb, zipped(("f", flat)), gzip.compress(bomb)):
        with pytest.raises(FeedError, match="more than 1000000 bytes"):
            count(data, max_bytes=1_000_000)


def test_what_a_zip_may_not_be():
    with pytest.raises(FeedError, match="Excel"):
        count(zipped(("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"")))
    with pytest.raises(FeedError, match="no file"):
        count(zipped())


@pytest.mark.parametrize(
    "codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1251"]
)
def test_encodings_of_a_table(codec: str):
    data = table(40).decode().encode(codec)
    rows = list(feeds.read(io.BytesIO(data)))
    assert rows[7].title == "Шапка 7"


@pytest.mark.parametrize(
    ("declared", "real"),
    [
        ("", "utf-8"),
        ("utf-8", "utf-8"),
        ("windows-1251", "cp1251"),
        ("utf-8", "cp1251"),
        ("windows-1251", "utf-8"),
        ("iso-8859-1", "utf-8"),
        ("koi8-r", "koi8-r"),
        ("utf-16", "utf-16"),
        ("no-such", "utf-8"),
        ("zlib", "utf-8"),
    ],
)
@pytest.mark.parametrize("filler", [0, 300_000])
def test_the_bytes_stand_above_the_declaration(declared: str, real: str, filler: int):
    attribute = f' encoding="{declared}"' if declared else ""
    text = (
        f'<?xml version="1.0"{attribute}?>\n<yml_catalog><!--{"x" * filler}--><shop><offers>'
        '<offer id="1"><url>https://s.example/1</url><price>10</price><currencyId>RUB</currencyId>'
        "<name>Шапка зимняя</name></offer></offers></shop></yml_catalog>"
    )
    (offer,) = feeds.read(io.BytesIO(text.encode(real)))
    assert offer.title == "Шапка зимняя"


def test_latin_1_and_its_windows_sister():
    text = "id,title,link,price\n1,Café – rød,https://s.example/1,5 EUR\n"
    (offer,) = feeds.read(io.BytesIO(text.encode("cp1252")))
    assert offer.title == "Café – rød"


def test_one_bad_byte_does_not_change_the_encoding():
    data = table(50).replace("Шапка 9,".encode(), "Шапка".encode()[:-1] + b",")
    rows = list(feeds.read(io.BytesIO(data)))
    assert rows[9].title == "Шапк\ufffd"
    assert rows[10].title == "Шапка 10"


def test_memory_stays_flat():
    def peak(rows: int) -> int:
        data = gzip.compress(
            b"<yml_catalog><shop><offers>"
            + b'<offer id="1"><url>https://s.example/1</url><price>10</price><name>x</name></offer>\n'
            * rows
            + b"</offers></shop></yml_catalog>"
        )
        tracemalloc.start()
        for _ in feeds.read(io.BytesIO(data)):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(20_000) < 1.5 * peak(5_000) + (1 << 20)


def test_the_source_tells_what_it_unpacked():
    source = Source(io.BytesIO(PACKED["gzip in zip"](table(3))), 1 << 20)
    assert (source.compression, source.encoding) == ("zip+gzip", "utf-8")


@pytest.mark.parametrize(
    ("declared", "codec", "title"),
    [
        # names of the Encoding Standard (WHATWG), and what browsers take them for
        ("windows-31j", "cp932", "①赤い帽子"),
        ("Shift_JIS", "cp932", "①赤い帽子"),
        ("x-sjis", "cp932", "赤い帽子"),
        ("ks_c_5601-1987", "cp949", "빨간 모자 똠"),
        ("gb2312", "gb18030", "红色帽子€"),
        ("x-cp1250", "cp1250", "Žlutý kůň"),
        ("win-1251", "cp1251", "Красная шапка"),
        # what is declared as UTF-8 and is none
        ("utf-8", "cp1252", "Chapeau d’été créé à l’œuvre"),
        ("utf-8", "cp1252", "Hut für Größe ß"),
        ("utf-8", "cp1251", "Шапка Nike красная, с ёлкой"),
        ("utf-8", "cp1251", "Капелюх зимовий «Київ»"),
    ],
)
def test_pages_of_characters_by_their_names_and_by_their_bytes(
    declared: str, codec: str, title: str
):
    text = (
        f'<?xml version="1.0" encoding="{declared}"?><rss><channel><item><id>1</id><title>{title}</title>'
        "<link>https://s.example/1</link><price>5 EUR</price></item></channel></rss>"
    )
    (offer,) = feeds.read(io.BytesIO(text.encode(codec)))
    assert isinstance(offer, Offer)
    assert offer.title == title
