"""Mutated feeds: small ones of every kind that the readers know, and what must not come of any bytes.

Used by `test_feeds_fuzz.py`, and for longer by `bench/fuzz_feeds.py`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import random
import zipfile

from lensback import feeds
from lensback.errors import FeedError
from lensback.feeds import ColumnMap
from lensback.types import Offer, Rejected

MAX_BYTES = 4 << 20
MAP = ColumnMap.parse(
    'item = "products/product"\ncurrency = "EUR"\n[fields]\nid = "@id"\ntitle = "info/name"\n'
    'url = "info/link/@href"\nprice = "price"\ncurrency = "price/@currency"\nimages = "picture"\n'
)
TOKENS = [
    b"<offer", b"</offer>", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<!DOCTYPE", b"<!ENTITY x 'y'>", b"<?",
    b"&", b"&amp;", b"&#0;", b"&#x110000;", b"&nbsp;", b"&lt", b"<item>", b"</item>", b"<g:id>", b"{BASE}",
    b'"', b"'", b'""', b",", b";", b"|", b"\t", b"\r", b"\n", b"\r\n", b"\0", b"\xff\xfe", b"\xef\xbb\xbf",
    b"[", b"]", b"{", b"}", b'{"id":1}', b"[{", b"1e999", b"-1", b"9" * 40, b"1,299.00", b"HDR|", b"TRL|3",
    b"\x1f\x8b\x08\x00", b"BZh9", b"PK\x03\x04", b"deleted=\"true\"", b"xmlns:", b"/>", b"</", b"<" * 50,
    b"<a>" * 300, b"<script", b"http://", b"https://s.example/1", b"//", b"\xd0", b"\xed\xa0\x80", b" " * 100,
]  # fmt: skip


def corpus() -> list[bytes]:
    """Small feeds of every kind the readers know."""
    link, picture = "https://s.example/1?a=1&amp;b=2", "https://s.example/1.jpg"
    offer = (
        f"<url>{link}</url><price>50.00</price><oldprice>60</oldprice><currencyId>RUR</currencyId>"
        f"<categoryId>2</categoryId><picture>{picture}</picture><picture>{picture}</picture>"
        "<vendor>V</vendor><model>M</model><typePrefix>Шапка</typePrefix><barcode>4006381333931</barcode>"
        '<description><![CDATA[<p>a & b</p>]]></description><param name="Цвет">синий</param>'
    )
    yml = (
        '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE yml_catalog SYSTEM "shops.dtd"><yml_catalog><shop>'
        '<currencies><currency id="RUR" rate="1"/></currencies><categories><category id="1">A</category>'
        '<category id="2" parentId="1">B</category></categories><offers>'
        + "".join(f'<offer id="{n}" available="true">{offer}</offer>\n' for n in range(3))
        + '<offer id="9" deleted="true"/></offers></shop></yml_catalog>'
    )
    item = (
        f"<g:id>1</g:id><title>Caf&eacute; &amp; co</title><link>{link}</link><g:price>5 EUR</g:price>"
        f"<g:image_link>{picture}</g:image_link><description>&lt;b&gt;x&lt;/b&gt;</description>"
    )
    rss = (
        '<rss xmlns:g="http://base.google.com/ns/1.0"><channel>'
        + f"<item>{item}</item>\n" * 3
        + "</channel></rss>"
    )
    atom = f'<feed xmlns="http://www.w3.org/2005/Atom"><entry>{item}</entry></feed>'
    table = (
        "id,title,link,image_link,price\n"
        + f'1,"Hat, ""red""\nnew",https://s.example/1,{picture},5 EUR\n' * 3
    )
    awin = (
        "aw_product_id,product_name,aw_deep_link,merchant_deep_link,search_price,currency\n"
        "1,Hat,https://www.awin1.com/p?p=1,https://s.example/1,5.00,GBP\n"
    )
    admitad = "id;name;url;price;currencyId;categoryId;param\n1;Hat;https://a.example/?ulp=https%3A%2F%2Fs.example;5;RUB;A/B;Цвет:Белый|Размер:S\n"
    row = "1|Hat|S|A|B|https://c.example/1|https://s.example/1.jpg||a|b|||8|10|||B||k|M|M||yes|4006381333931|60|USD||\n"
    one = {
        "id": "1",
        "title": "Hat",
        "link": "https://s.example/1",
        "price": {"value": 5.5, "currency": "EUR"},
    }
    nested = {"meta": {"x": 1}, "product_basic": one, "fields": [{"name": "color", "value": "red"}]}
    xml = (
        '<shop><products><product id="1"><info><name>Hat</name><link href="https://s.example/1"/></info>'
        '<price currency="PLN">9,50</price><picture>https://s.example/1.jpg</picture></product></products></shop>'
    )
    plain = [
        *(
            text.encode()
            for text in (yml, rss, atom, table, table.replace(",", "\t"), awin, admitad, xml)
        ),
        ("HDR|1|S|x\n" + row * 2 + "TRL|2\n").encode(),
        (json.dumps(one) + "\n" + json.dumps(nested) + "\n").encode(),
        json.dumps([one, nested], indent=1).encode(),
        json.dumps({"products": [one, one]}).encode(),
        b"<urlset><url><loc>x</loc></url></urlset>",
        b"<html></html>",
    ]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("feed.xml", yml)
    return [
        *plain,
        yml.encode("cp1251"),
        rss.encode("utf-16"),
        gzip.compress(yml.encode()),
        bz2.compress(table.encode()),
        packed.getvalue(),
    ]


def target(data: bytes) -> str:
    """Reads any bytes and says what came of it; raises what must not be."""
    options = data[0] if data else 0
    columns = MAP if options % 7 == 0 else None
    form = feeds.FORMATS[options // 7 % len(feeds.FORMATS)] if options % 5 == 0 else "auto"
    try:
        for row in feeds.read(
            io.BytesIO(data[1:]), format=form, columns=columns, base="http://h", max_bytes=MAX_BYTES
        ):
            if not isinstance(row, Offer | Rejected):
                raise TypeError(row)
            if isinstance(row, Offer):
                row.title.encode()
    except FeedError as error:
        return type(error).__name__ if error.hint else "an error without a hint"
    return "read"


def mutate(seeds: list[bytes], rng: random.Random) -> bytes:
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(7)
        if kind == 0:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 1:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 2:
            del data[at : at + rng.choice((1, 4, 50, 500))]
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            data[at:at] = data[at : at + rng.choice((10, 100, 1000))] * rng.choice((1, 3, 50))
        elif kind == 5:
            other = rng.choice(seeds)
            start = rng.randrange(len(other))
            data[at:at] = other[start : start + 300]
        else:
            data[at : at + 8] = rng.randbytes(8)
    return bytes([rng.randrange(256)]) + bytes(data[: 1 << 18])
