"""Feeds that mean harm: what each holds, as bytes. Sizes are of the short form; see `of`."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable

from ftp_servers import ESCAPES

_RSS = b'<?xml version="1.0"?><rss><channel>'
_ITEM = (
    b"<item><id>A1</id><title>Hat</title><link>https://s.example/1</link><price>5.00 EUR</price>"
    b"<image_link>https://s.example/1.jpg</image_link></item>"
)
_CSV = b"id,title,link,price,image_link\n"


def _zipped(data: bytes, name: str = "feed.xml") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def _laughs(levels: int) -> bytes:
    entities = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha" * 50}">' for n in range(levels)
    )
    return (
        f'<?xml version="1.0"?><!DOCTYPE rss [{entities}]><rss><channel><item>'
        f"<id>A1</id><title>&l{levels - 1};</title></item></channel></rss>"
    ).encode()


MEANT: dict[str, Callable[[int], bytes]] = {
    "rows that never end": lambda n: _RSS + b"<item>" * (n // 6),
    "empty rows": lambda n: _RSS + b"<item/>" * (n // 7) + b"</channel></rss>",
    "one row without end": lambda n: _RSS + b"<item>" + b"<a>x</a>" * (n // 8),
    "deep elements": lambda n: _RSS + b"<item>" + b"<a>" * (n // 3),
    "deep elements, closed": lambda n: (
        _RSS + b"<item>" + b"<a>" * (n // 7) + b"</a>" * (n // 7) + b"</item></channel></rss>"
    ),
    "an attribute without end": lambda n: _RSS + b'<item a="' + b"x" * n,
    "a million attributes": lambda n: (
        _RSS
        + b"<item "
        + b"".join(b'a%d="" ' % k for k in range(n // 12))
        + b"></item></channel></rss>"
    ),
    "entities in entities": lambda _: _laughs(20),
    "an entity of a file": lambda _: (
        b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        + _RSS[21:]
        + _ITEM.replace(b"Hat", b"&x;")
        + b"</channel></rss>"
    ),
    "a document type without end": lambda n: (
        b"<?xml version='1.0'?><!DOCTYPE r [" + b"<!x>" * (n // 4)
    ),
    "a comment without end": lambda n: _RSS + b"<item><!--" + b"> <" * (n // 3),
    "text without end": lambda n: _RSS + b"<item><![CDATA[" + b"]]<item>" * (n // 8),
    "ampersands": lambda n: _RSS + b"<item>" + b"&" * n,
    "nothing but brackets": lambda n: _RSS + b"<" * n,
    "ends of tags": lambda n: _RSS + b"<item>" + b">" * n,
    "a head without rows": lambda n: _RSS + b"<title>x</title>" * (n // 16),
    "names of tags without end": lambda n: _RSS + b"<item><" + b"a" * n,
    "prefixes": lambda n: (
        _RSS + b"<item>" + b"".join(b"<p%d:a/>" % k for k in range(n // 12)) + b"</item>"
    ),
    "a gzip bomb": lambda n: gzip.compress(_RSS + b"<item>" + bytes(20 * n), 9),
    "gzip in gzip in gzip": lambda n: gzip.compress(gzip.compress(gzip.compress(bytes(100 * n)))),
    "many gzip members": lambda n: gzip.compress(b"\n") * (n // 21),
    "a zip bomb": lambda n: _zipped(bytes(20 * n)),
    "a zip of a gzip bomb": lambda n: _zipped(gzip.compress(bytes(50 * n)), "feed.xml.gz"),
    "deep lists": lambda n: b"[" * n,
    "deep objects": lambda n: b'{"a":' * (n // 5),
    "an object of many names": lambda n: (
        b"[{" + b",".join(b'"k%d":1' % k for k in range(n // 10)) + b"}]"
    ),
    "a number of many digits": lambda n: b'[{"id": ' + b"9" * n + b"}]",
    "a text without end": lambda n: b'[{"id": "' + b"\\u0041" * (n // 6),
    "a line without end": lambda n: _CSV + b"A" * n,
    "a header without end": lambda n: b"id," * (n // 3),
    "a row of many fields": lambda n: _CSV + b"," * n + b"\n",
    "a header of many columns": lambda n: (
        b",".join(b"c%d" % k for k in range(n // 10)) + b"\n" + b"," * (n // 10) + b"\n"
    ),
    "a quote that stays open": lambda n: _CSV + b'A1,"' + b"x\n" * (n // 2),
    "quotes": lambda n: _CSV + b'"' * n,
    "zeros": bytes,
    "ends of lines": lambda n: _CSV + b"\r" * n,
    "escapes in every field": lambda _: (
        b"id,title,link,price,image_link,availability\n"
        + "".join(
            f'"A{k}{ESCAPES}","Hat {ESCAPES}",https://s.example/{k},{price},,"{ESCAPES}"\n'
            for k, price in enumerate(["5.00 EUR", f"x{ESCAPES}", "", "6.00 EUR"])
        ).encode("utf-8", "surrogatepass")
    ),
    "escapes in JSON": lambda _: json.dumps(
        [{"id": ESCAPES, "title": ESCAPES, "link": ESCAPES, "price": ESCAPES, ESCAPES: ESCAPES}]
    ).encode(),
}
"""What it is -> a feed of about so many bytes, unpacked or packed."""


def of(what: str, size: int = 8_000_000) -> bytes:
    """The feed, of about `size` bytes where it has one."""
    return MEANT[what](size)
