"""A generated web of stores on loopback: feeds of many formats and sizes, and fifty ways to be broken.

`Web(count)` serves store n at an address of its own in 127.0.0.0/8 (five stores share one, as they
do at a network). Used by `bench/thousand_stores.py`, and in small by `test_ingest_many.py`.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import json
import random
import socket
import threading
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import brotli

SHARING = 5
"""Stores of one host."""
SLOW_S = 0.5
RATE = 100_000
"""Bytes a second of a slow store."""

Row = tuple[str, str, str]
"""External id, title, price."""


# ---- good feeds


def _xml(row: Row, host: str, element: str) -> str:
    key, title, price = row
    if element == "offer":
        return (
            f'<offer id="{key}" available="true"><url>https://{host}/{key}</url><price>{price}</price>'
            f"<currencyId>RUB</currencyId><categoryId>1</categoryId><picture>https://{host}/{key}.jpg"
            f"</picture><name>{title} &amp; шапка</name></offer>\n"
        )
    return (
        f"<{element}><g:id>{key}</g:id><title>{title}</title><link>https://{host}/{key}</link>"
        f"<g:price>{price} EUR</g:price><g:image_link>https://{host}/{key}.jpg</g:image_link>"
        f"<g:availability>in_stock</g:availability></{element}>\n"
    )


def yml(rows: list[Row], host: str) -> bytes:
    inner = "".join(_xml(row, host, "offer") for row in rows)
    head = '<currencies><currency id="RUB" rate="1"/></currencies><categories><category id="1">A</category></categories>'
    return f'<?xml version="1.0" encoding="windows-1251"?><yml_catalog><shop>{head}<offers>{inner}</offers></shop></yml_catalog>'.encode(
        "cp1251"
    )


def google(rows: list[Row], host: str) -> bytes:
    inner = "".join(_xml(row, host, "item") for row in rows)
    return f'<rss xmlns:g="http://base.google.com/ns/1.0"><channel><title>S</title>{inner}</channel></rss>'.encode()


def atom(rows: list[Row], host: str) -> bytes:
    inner = "".join(_xml(row, host, "entry") for row in rows)
    return f'<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">{inner}</feed>'.encode(
        "utf-16"
    )


def _table(rows: list[Row], host: str, sign: str, head: str, money: Callable[[str], str]) -> bytes:
    lines = [head.replace(",", sign)]
    lines += [
        sign.join((k, t, f"https://{host}/{k}", money(p), f"https://{host}/{k}.jpg"))
        for k, t, p in rows
    ]
    return "\n".join([*lines, ""]).encode()


def tsv(rows: list[Row], host: str) -> bytes:
    return _table(rows, host, "\t", "id,title,link,price,image_link", lambda p: f"{p} EUR")


def semicolons(rows: list[Row], host: str) -> bytes:
    comma = lambda p: f"{p.replace('.', ',')} €"  # noqa: E731
    return _table(rows, host, ";", "id,title,link,price,image_link", comma)


def awin(rows: list[Row], host: str) -> bytes:
    head = "aw_product_id,product_name,merchant_deep_link,search_price,merchant_image_url,currency"
    table = _table(rows, host, ",", head, lambda p: p)
    lines = table.decode().splitlines()
    return "\n".join([lines[0], *(f"{line},GBP" for line in lines[1:]), ""]).encode()


def jsonl(rows: list[Row], host: str) -> bytes:
    return b"".join(
        json.dumps(
            {"id": k, "title": t, "link": f"https://{host}/{k}", "price": f"{p} EUR", "image_link": f"https://{host}/{k}.jpg"}
        ).encode()
        + b"\n"
        for k, t, p in rows
    )  # fmt: skip


def zipped(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("feed.xml", data)
    return packed.getvalue()


FORMATS: list[Callable[[list[Row], str], bytes]] = [
    *(yml, google, tsv, semicolons, awin, jsonl, atom),
    lambda rows, host: gzip.compress(google(rows, host), 1),
    lambda rows, host: zipped(yml(rows, host)),
    lambda rows, host: bz2.compress(tsv(rows, host)),
]

# ---- broken ones: what comes instead of a feed

SITEMAP = b'<?xml version="1.0"?><urlset><url><loc>https://s.example/</loc></url></urlset>'
NEWS = b"<rss><channel>" + b"<item><title>N</title><link>https://s.example/1</link></item>" * 30
BODIES: dict[str, bytes] = {
    "html": b"<!DOCTYPE html><html><body>Log in</body></html>",
    "empty": b"",
    "sitemap": SITEMAP,
    "news": NEWS + b"</channel></rss>",
    "json error": b'{"error": "no such key", "code": 401}',
    "xml error": b"<?xml version='1.0'?><error>No such feed</error>",
    "junk": random.Random(1).randbytes(5000),
    "pdf": b"%PDF-1.7 ...",
    "dtd": b"<!ELEMENT yml_catalog (shop)>",
    "excel xml": b"<?xml version='1.0'?><Workbook><Worksheet/></Workbook>",
    "zip of pictures": b"",
    "gzip cut": b"",
    "gzip bomb": b"",
    "no currency": b"id,title,link,price\n" + b"1,Hat,https://s.example/1,5\n" * 3,
    "no addresses": b"id,title,link,price\n1,Hat,,5 EUR\n2,Cap,,6 EUR\n",
    "header only": b"id,title,link,price\n",
    "unknown columns": b"a,b,c,d\n1,2,3,4\n",
    "doctype without end": b"<!DOCTYPE x [" + b"<!ENTITY a 'b'>" * 100_000,
    "words": b"Access denied",
}
STATUSES = (204, 400, 401, 403, 404, 410, 429, 500, 503)
REDIRECTS = {
    "to 10.0.0.1": "http://10.0.0.1/feed.xml",
    "to link-local": "http://169.254.169.254/latest/meta-data/",
    "to loopback v6": "http://[::1]:{port}/0",
    "to localhost": "http://localhost:{port}/0",
    "to a mapped address": "http://[::ffff:10.0.0.1]/",
    "to a file": "file:///etc/passwd",
    "to itself": "",
    "nowhere": "",
}
BEHAVIOURS = (
    *("drip", "silent", "endless", "cut body", "cut xml", "slow headers", "no http", "cut br"),
    *("bad chunks", "huge header", "unasked part"),
)
ELSEWHERE = {
    "closed port": "http://127.0.0.9:1/feed.xml",
    "unknown name": "http://store.invalid/feed.xml",
    "tls on plain": "https://{host}:{port}/{n}",
}
WAYS = [
    *BODIES,
    *map(str, STATUSES),
    *REDIRECTS,
    *BEHAVIOURS,
    *ELSEWHERE,
]
"""Fifty of them, each another."""


@dataclass(frozen=True, slots=True)
class Shop:
    """One store of the web: `way` is how it is broken, empty for a good one."""

    number: int
    way: str
    offers: int
    slow: bool
    tags: bool
    """Whether its server sends an ETag and knows If-None-Match."""

    @property
    def name(self) -> str:
        return f"store-{self.number:04d}"

    @property
    def host(self) -> str:
        place = self.number // SHARING
        return f"127.{1 + place // 250}.{place % 250 + 1}.1"


class Web:
    """Owns the server. `version` decides which hundredth of the offers has which price."""

    def __init__(self, count: int, broken: int, *, largest: int = 5000, seed: int = 7) -> None:
        dice = random.Random(seed)
        places = set(dice.sample(range(count), broken))
        ways = iter(range(broken))
        self.shops = [
            Shop(
                n,
                WAYS[next(ways) % len(WAYS)] if n in places else "",
                min(largest, 5 + int(dice.lognormvariate(4.2, 1.2))),
                dice.random() < 0.02,
                dice.random() < 0.7,
            )
            for n in range(count)
        ]
        self.version = 0
        self.requests: Counter[str] = Counter()
        self.bytes = 0
        self._bodies: dict[tuple[int, int], bytes] = {}
        self._closing = threading.Event()
        self.server = _Server(("0.0.0.0", 0), _handler(self))
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self.server.shutdown()
        self.server.server_close()

    def url(self, shop: Shop) -> str:
        """Where its feed lies."""
        elsewhere = ELSEWHERE.get(shop.way, "http://{host}:{port}/{n}")
        return elsewhere.format(host=shop.host, port=self.port, n=shop.number)

    def rows(self, shop: Shop, version: int | None = None) -> list[Row]:
        """The offers of a good store; from version 1 on another hundredth has another price."""
        version = self.version if version is None else version
        found = []
        for n in range(shop.offers):
            mark = hashlib.blake2b(f"{shop.number}/{n}".encode(), digest_size=4).digest()
            cents = 100 + int.from_bytes(mark[:2]) + (7 if version > n_of(mark) else 0)
            found.append(
                (f"a{n}", f"Thing {n} of {shop.name}", f"{cents // 100}.{cents % 100:02d}")
            )
        return found

    def changed(self) -> int:
        """Offers of good stores that differ between this version and the one before."""
        return sum(
            a != b
            for shop in self.shops
            if not shop.way
            for a, b in zip(self.rows(shop), self.rows(shop, self.version - 1), strict=True)
        )

    def body(self, shop: Shop) -> bytes:
        key = (shop.number, self.version)
        if key not in self._bodies:
            make = FORMATS[shop.number % len(FORMATS)]
            self._bodies[key] = make(self.rows(shop), "s.example")
        return self._bodies[key]

    def wait(self, seconds: float) -> bool:
        """Sleeps; True where the web closes."""
        return self._closing.wait(seconds)


def n_of(mark: bytes) -> int:
    """The version (minus one) in which an offer's price changes: each of a hundred equally often."""
    return int.from_bytes(mark[2:]) % 100


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: object) -> None:
        """Who hangs up in the middle is no news here."""


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            shop = web.shops[int(self.path.strip("/").partition("?")[0])]
            web.requests[shop.name] += 1
            with contextlib.suppress(OSError):
                _answer(self, web, shop)

        def log_message(self, *_: Any) -> None:
            pass

        def send(self, data: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            for name, value in ({"Content-Length": str(len(data))} | named).items():
                self.send_header(name, value)
            self.end_headers()
            self.put(data)

        def put(self, data: bytes) -> None:
            self.wfile.write(data)
            self.wfile.flush()
            web.bytes += len(data)

    return Handler


def _answer(to: Any, web: Web, shop: Shop) -> None:
    way = shop.way
    if way in BODIES:
        to.send(_odd(way) or BODIES[way])
    elif way.isdecimal():
        to.send(b"no", int(way), Retry_After="1")
    elif way in REDIRECTS:
        target = REDIRECTS[way].format(port=web.port)
        to.send(b"", 302, **({"Location": target or to.path} if way != "nowhere" else {}))
    elif way:
        to.close_connection = True
        _behave(to, web, way)
    else:
        _good(to, web, shop)


def _good(to: Any, web: Web, shop: Shop) -> None:
    tag = f'"{shop.number}-{web.version}"'
    if shop.tags and to.headers.get("If-None-Match") == tag:
        to.send(b"", 304)
        return
    data, headers = web.body(shop), {"ETag": tag} if shop.tags else {}
    if not shop.slow:
        to.send(data, 200, **headers)
        return
    web.wait(SLOW_S)
    to.send(b"", 200, Content_Length=str(len(data)), **headers)
    for at in range(0, len(data), RATE // 10):
        to.put(data[at : at + RATE // 10])
        web.wait(0.1)


def _odd(way: str) -> bytes:
    """Bodies that are made when they are asked for."""
    feed = google([(str(n), "Hat", "5.00") for n in range(500)], "s.example")
    if way == "gzip cut":
        return gzip.compress(feed)[:-200]
    if way == "gzip bomb":
        return gzip.compress(b"<rss>" + b" " * (50 << 20), 1)
    if way == "zip of pictures":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("1.jpg", b"x")
        return packed.getvalue()
    return b""


def _behave(to: Any, web: Web, way: str) -> None:
    """Servers that are broken themselves."""
    feed = google([(str(n), "Hat", "5.00") for n in range(500)], "s.example")
    half, whole = feed[: len(feed) // 2], str(len(feed))
    packed = brotli.compress(feed)
    table = b"id,title,link,price\n"
    row = b"1,Hat,https://s.example/1,5 EUR\n"
    endless = {
        "silent": (b"", b"", 600.0),
        "endless": (b"HTTP/1.1 200 OK\r\n\r\n" + table, row * 2000, 0.0),
        "drip": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x", 1.0),
        "slow headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 1.0),
    }
    raw = {
        "no http": b"\x15\x03\x01\x00\x02\x02\x16",
        "huge header": b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 500_000 + b"\r\n\r\n",
        "bad chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n<rss>\r\n",
    }
    answers: dict[str, Callable[[], None]] = {
        "cut xml": lambda: to.send(half),
        "cut body": lambda: to.send(half, Content_Length=whole),
        "cut br": lambda: to.send(packed[: len(packed) // 2], Content_Encoding="br"),
        "unasked part": lambda: to.send(feed[9:], 206, Content_Range=f"bytes 9-{whole}/{whole}"),
    }
    if way in endless:
        first, piece, pause_s = endless[way]
        to.put(first)
        while not web.wait(pause_s):
            to.put(piece)
    elif way in raw:
        to.put(raw[way])
    else:
        answers[way]()


def free_port_is_loopback() -> bool:
    """Whether all of 127.0.0.0/8 answers here, as it does on Linux."""
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.bind(("127.77.1.1", 0))
        return True
    return False
