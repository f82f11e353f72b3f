"""`net`: real servers on 127.0.0.1, honest and hostile."""

from __future__ import annotations

import gzip
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effort import within
from lensback import net
from lensback.errors import Error, FetchFailed, FetchRefused, FetchTimeout, Stopped, TooLarge
from lensback.net import Fetcher, addresses, bodies, is_public, redact

Answer = Callable[[BaseHTTPRequestHandler], None]


class Shop(ThreadingHTTPServer):
    """Answers by path; remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is what many tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def page(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> str:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            for key, value in ({"Content-Length": str(len(body))} | named).items():
                handler.send_header(key, value)
            handler.end_headers()
            handler.wfile.write(body)

        self.pages[path] = answer
        return self.url + path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Shop

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.server.pages[self.path.partition("?")[0]](self)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def shop() -> Iterator[Shop]:
    with serving(Shop()) as server:
        yield server


def opened(**changes: Any) -> Fetcher:
    return Fetcher(
        **{
            "user_agent": "Test/1",
            "allow_hosts": ("127.0.0.1",),
            "timeout_s": 240.0,
            "backoff_s": 0.01,
            **changes,
        }
    )


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with opened() as one:
        yield one


@contextmanager
def raw(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that reads one request and then does what `talk` says, for every connection."""
    with asking(lambda connection, _: talk(connection)) as url:
        yield url


@contextmanager
def asking(talk: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    """The same for a `talk` that sees the request."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        listener.settimeout(0.02)
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(240)
                with suppress(OSError):
                    talk(connection, connection.recv(65536))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        stop.set()
        thread.join()
        listener.close()


def resolving(*rounds: list[str]) -> Callable[..., list[tuple[Any, ...]]]:
    """A resolver that gives each round in turn, the last one for ever."""
    left = list(rounds)

    def resolve(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    return resolve


# What comes back


def test_fetch_returns_the_body_and_what_the_server_says_of_it(
    shop: Shop, fetcher: Fetcher
) -> None:
    url = shop.page("/a", b"hello", Content_Type="text/xml", ETag='"1"', Last_Modified="yesterday")
    got = fetcher.fetch(url + "?key=1", max_bytes=100)
    assert (got.body, got.status, got.content_type) == (b"hello", 200, "text/xml")
    assert (got.etag, got.last_modified, got.url) == ('"1"', "yesterday", url + "?key=1")
    assert shop.asked[0][1]["user-agent"] == "Test/1"
    assert shop.asked[0][1]["accept-encoding"] == "gzip"


def test_304_is_an_empty_answer_and_leaves_the_file(
    shop: Shop, fetcher: Fetcher, tmp_path: Path
) -> None:
    url = shop.page("/a", status=304, ETag='"1"')
    asked = {"If-None-Match": '"1"'}
    got = fetcher.fetch(url, max_bytes=100, headers=asked)
    assert (got.body, got.status, got.etag) == (b"", 304, '"1"')
    assert shop.asked[0][1]["if-none-match"] == '"1"'
    path = tmp_path / "feed.xml"
    path.write_bytes(b"old")
    assert fetcher.download(url, path, max_bytes=100, headers=asked).status == 304
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_download_replaces_the_file_whole(shop: Shop, fetcher: Fetcher, tmp_path: Path) -> None:
    body = bytes(range(256)) * 4000
    path = tmp_path / "deep" / "feed.xml"
    got = fetcher.download(shop.page("/a", body), path, max_bytes=len(body))
    assert got.body == b""
    assert path.read_bytes() == body
    with pytest.raises(TooLarge):
        fetcher.download(shop.page("/a", body + b"!"), path, max_bytes=len(body))
    assert path.read_bytes() == body
    assert list(path.parent.iterdir()) == [path]


def test_gzip_is_undone_whatever_its_members(shop: Shop, fetcher: Fetcher) -> None:
    body = gzip.compress(b"one ") + gzip.compress(b"two") + b"\0\0"
    url = shop.page("/a", body, Content_Encoding="gzip")
    assert fetcher.fetch(url, max_bytes=99).body == b"one two"
    assert fetcher.fetch(shop.page("/b", Content_Encoding="gzip"), max_bytes=9).body == b""


def test_userinfo_becomes_basic_auth_and_stays_at_its_origin(shop: Shop, fetcher: Fetcher) -> None:
    shop.page("/end", b"ok")
    with serving(Shop()) as other:
        other.page("/end", b"ok")
        for where in (shop, other):
            shop.page("/go", status=302, Location=where.url + "/end")
            url = shop.url.replace("//", "//me:p%40ss@") + "/go"
            fetcher.fetch(url, max_bytes=9, headers={"X-Key": "k", "Accept": "image/*"})
        seen = [headers for path, headers in shop.asked + other.asked if path == "/end"]
    assert [h.get("authorization") for h in seen] == ["Basic bWU6cEBzcw==", None]
    assert [h.get("x-key") for h in seen] == ["k", None]
    assert [h["accept"] for h in seen] == ["image/*", "image/*"]


def test_cookies_of_one_answer_do_not_go_out_with_the_next(shop: Shop, fetcher: Fetcher) -> None:
    url = shop.page("/a", b"ok", Set_Cookie="who=me")
    fetcher.fetch(url, max_bytes=9)
    fetcher.fetch(url, max_bytes=9)
    assert "cookie" not in shop.asked[1][1]


def test_proxies_of_the_environment_are_not_used(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with opened() as fetcher:
        assert fetcher.fetch(shop.page("/a", b"ok"), max_bytes=9).body == b"ok"


def test_many_threads_share_one_fetcher(shop: Shop, fetcher: Fetcher) -> None:
    for i in range(40):
        shop.page(f"/{i}", str(i).encode() * 1000)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: fetcher.fetch(f"{shop.url}/{i}", max_bytes=9999), range(40)))
    assert [one.body for one in got] == [str(i).encode() * 1000 for i in range(40)]


# Statuses, retries, time


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (401, 1), (206, 1), (503, 3), (429, 3)])
def test_only_passing_failures_are_tried_again(
    shop: Shop, fetcher: Fetcher, status: int, tries: int
) -> None:
    url = shop.page("/a", b"no", status=status)
    with pytest.raises(FetchFailed, match=str(status)) as caught:
        fetcher.fetch(url + "?token=abc", max_bytes=9)
    assert len(shop.asked) == tries
    assert caught.value.retry is (tries > 1)
    assert caught.value.url == url + "?token=***"
    assert "abc" not in str(caught.value)


def test_a_password_that_is_asked_for_and_not_given_is_told_how_to_give(
    shop: Shop, fetcher: Fetcher
) -> None:
    url = shop.page("/secret", status=401, WWW_Authenticate='Basic realm="x"')
    plain = shop.page("/token", status=401, WWW_Authenticate="Bearer")
    mine = url.replace("//", "//me:pw@")
    hints = []
    for asked, headers in ((url, {}), (mine, {}), (url, {"Authorization": "x"}), (plain, {})):
        with pytest.raises(FetchFailed) as refused:
            fetcher.fetch(asked, max_bytes=9, headers=headers)
        hints.append(refused.value.hint)
    assert "https://USER:PASSWORD@" in hints[0]
    assert hints[1:] == ["check the key or the password"] * 3


def test_503_then_ok(shop: Shop, fetcher: Fetcher, tmp_path: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        bad = len(shop.asked) == 1
        handler.send_response(503 if bad else 200)
        handler.send_header("Content-Length", "4")
        handler.end_headers()
        handler.wfile.write(b"busy" if bad else b"good")

    shop.pages["/a"] = answer
    fetcher.download(shop.url + "/a", tmp_path / "f", max_bytes=9)
    assert (tmp_path / "f").read_bytes() == b"good"


def test_retry_after_is_waited_for_within_the_deadline(shop: Shop, fetcher: Fetcher) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(503)
        handler.send_header("Retry-After", "1" if len(shop.asked) == 1 else "100")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    shop.pages["/a"] = answer
    begin = time.monotonic()
    with pytest.raises(FetchFailed):
        fetcher.fetch(shop.url + "/a", max_bytes=9, deadline_s=25)
    assert len(shop.asked) == 2, "the third would come after the deadline"
    assert time.monotonic() - begin > 0.9


def test_retry_after_is_read_in_both_forms_and_capped() -> None:
    assert bodies.retry_after_s("7") == 7
    assert bodies.retry_after_s("9" * 400) == net.MAX_WAIT_S
    assert bodies.retry_after_s("Fri, 31 Dec 2100 23:59:59 GMT") == net.MAX_WAIT_S
    for past in ("Fri, 31 Dec 1999 23:59:59 GMT", "", "soon", "-5"):
        assert bodies.retry_after_s(past) == 0


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_a_dripping_server_is_cut_at_the_deadline(head: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        while time.monotonic() < end:  # ended before by who hangs up
            connection.sendall(b"H")
            time.sleep(0.05)

    end = time.monotonic() + 240
    with raw(drip) as url, opened(timeout_s=0.2) as fetcher:
        with pytest.raises(FetchTimeout) as caught:
            fetcher.fetch(url, max_bytes=99999)
        assert time.monotonic() < end, "it would drip for minutes"
        assert caught.value.retry


def test_a_silent_server_times_out() -> None:
    heard = threading.Event()
    with (
        raw(lambda _: heard.wait(240) and None) as url,
        opened(timeout_s=0.1, retries=0) as fetcher,
    ):
        with pytest.raises(FetchTimeout):
            fetcher.fetch(url, max_bytes=9)
        heard.set()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\nx",
        b"not http at all\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
        + gzip.compress(b"x" * 99, mtime=0)[:-9],
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n" + brotli.compress(b"what")[:-2],
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_broken_answers_fail_and_leave_nothing(answer: bytes, tmp_path: Path) -> None:
    with (
        raw(lambda connection: connection.sendall(answer)) as url,
        opened() as fetcher,
        pytest.raises(FetchFailed),
    ):
        fetcher.download(url, tmp_path / "f", max_bytes=999)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_coding_is_passed_over(tmp_path: Path) -> None:
    body = b"id,title\n" * 9
    bare = zlib.compressobj(wbits=-15)
    sent = {
        "UTF-8": body,
        "none": body,
        "aws-chunked": body,
        "windows-1251, identity": body,
        "aws-chunked, gzip": gzip.compress(body),
        "gzip, gzip": gzip.compress(gzip.compress(body)),
        "gzip;q=1.0": gzip.compress(body),
        "GZIP ; q=0.5, identity;q=0": gzip.compress(body),
        "x-gzip": gzip.compress(body)[:-8],
        "deflate": zlib.compress(body),
        "Deflate": bare.compress(body) + bare.flush(),
    }
    for named, payload in sent.items():
        answer = f"HTTP/1.1 200 OK\r\nContent-Encoding: {named}\r\n\r\n".encode() + payload

        def talk(connection: socket.socket, answer: bytes = answer) -> None:
            connection.sendall(answer)

        with raw(talk) as url, opened() as fetcher:
            assert fetcher.fetch(url, max_bytes=999).body == body, named
            fetcher.spool(url, tmp_path / "s", max_bytes=999)
            kept = (tmp_path / "s").read_bytes()
            # what is in gzip stays so in the spool: the readers unpack it
            assert kept == (payload if "gzip" in named.lower() else body), named


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/кот.jpg".encode(), b"/%D0%BA%D0%BE%D1%82.jpg"),
        ("/кот.jpg".encode("cp1251"), b"/%EA%EE%F2.jpg"),
        ("/kočka 2.jpg".encode("iso-8859-2"), b"/ko%E8ka%202.jpg"),
        (b"\\a\\b.jpg?x=\\y", b"/a/b.jpg?x="),
        (b"/sale-50%.jpg", b"/sale-50%25.jpg"),
    ],
)
def test_a_redirect_in_raw_bytes_is_followed(location: bytes, asked: bytes) -> None:
    lines: list[bytes] = []

    def talk(connection: socket.socket, request: bytes) -> None:
        lines.append(request.split(b" ")[1])
        found = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        sent = (
            b"HTTP/1.1 302 Found\r\nX: \xff\r\nLocation: "
            + location
            + b"\r\nContent-Length: 0\r\n\r\n"
        )
        connection.sendall(found if len(lines) > 1 else sent)

    with asking(talk) as url, opened() as fetcher:
        assert fetcher.fetch(url, max_bytes=9).body == b"ok"
    assert lines[1].startswith(asked)


@pytest.mark.parametrize("name", ["100%%20cotton.jpg", "sale-50%.jpg", "i.php?src=a&q=90%"])
def test_a_stray_percent_sign_is_sent_encoded(name: str) -> None:
    lines: list[bytes] = []

    def talk(connection: socket.socket, request: bytes) -> None:
        lines.append(request.split(b" ")[1])
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with asking(talk) as url, opened() as fetcher:
        fetcher.fetch(url + name, max_bytes=9)
    encoded = name.replace("100%%20", "100%25%20").replace("50%.", "50%25.").replace("90%", "90%25")
    assert lines == [b"/" + encoded.encode()]


def test_a_body_longer_than_its_content_length_is_cut_there(fetcher: Fetcher) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood and more"
    with raw(lambda connection: connection.sendall(answer)) as url:
        assert fetcher.fetch(url, max_bytes=9).body == b"good"


def test_nobody_listens(fetcher: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchFailed) as caught:
        fetcher.fetch(f"http://127.0.0.1:{port}/", max_bytes=9)
    assert caught.value.retry


# Sizes


def test_content_length_beyond_the_limit_is_refused_before_reading(fetcher: Fetcher) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"
    with (
        raw(lambda connection: connection.sendall(answer)) as url,
        pytest.raises(TooLarge, match="more than 10 bytes"),
    ):
        fetcher.fetch(url, max_bytes=10)


def test_an_endless_body_is_cut(fetcher: Fetcher) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with raw(talk) as url, pytest.raises(TooLarge):
        fetcher.fetch(url, max_bytes=1 << 20)


def test_a_gzip_bomb_is_cut_in_small_pieces(shop: Shop, fetcher: Fetcher) -> None:
    bomb = gzip.compress(bytes(200 << 20), 1)
    assert len(bomb) < 1 << 20
    with pytest.raises(TooLarge):
        fetcher.fetch(shop.page("/a", bomb, Content_Encoding="gzip"), max_bytes=1 << 20)


# Where we do not go


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://localhost:1/",
        "http://localhost.:1/",
        "http://10.0.0.1/",
        "http://172.16.5.5/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        "http://192.0.0.8/",
        "http://198.18.0.1/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fc00::1]/",
        "http://[fec0::1]/",
        "http://[ff02::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[64:ff9b::10.0.0.1]/",
        "http://[64:ff9b:1::1]/",
        "http://[2001:0:1::1]/",
        "http://2130706433/",
        "http://134744072/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://1.2.3.4.5/",
        "http://①②⑦.⓪.⓪.①/",
        "http://EX.com\\@127.0.0.1/",
        "http://a b/",
        "http://exa%6Dple/",
        "http://ex.com:99999/",
        "http://[::1/",
        "http:///x",
        "file:///etc/passwd",
        "ftp://x/y",
        "gopher://x",
        "javascript:alert(1)",
        "//x/y",
        "/etc/passwd",
        "",
        "http://x\ny/",
    ],
)
def test_refused(url: str) -> None:
    with opened(allow_hosts=()) as fetcher, pytest.raises(FetchRefused) as caught:
        fetcher.fetch(url, max_bytes=9)
    assert caught.value.hint
    assert not caught.value.retry


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::8.8.8.8", True),
        ("2002:0808:0808::1", True),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("192.88.99.1", False),
        ("100.127.255.255", False),
        ("203.0.113.9", False),
    ],
)
def test_is_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@given(st.ip_addresses(v=4))
def test_no_wrapper_makes_a_private_address_public(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for wrapped in (0xFFFF << 32 | number, 0x2002 << 112 | number << 80, 0x64FF9B << 96 | number):
        assert is_public(ipaddress.IPv6Address(wrapped)) is is_public(address)
    if address.is_private or address.is_multicast or address.is_reserved:
        assert not is_public(address)


def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    both = resolving(["8.8.8.8", "10.0.0.1"])
    with opened(resolver=both) as fetcher, pytest.raises(FetchRefused, match=r"10\.0\.0\.1"):
        fetcher.fetch("http://shop.example/", max_bytes=9)


def test_a_rebinding_name_is_refused_at_its_second_answer(shop: Shop) -> None:
    """The first connection goes to the checked public address (where nobody answers);
    the next one sees 127.0.0.1 and is refused before connecting."""
    asked: list[str] = []
    answers = resolving(["192.0.2.1"], ["127.0.0.1"])

    def resolver(host: str, port: int, **options: object) -> list[tuple[Any, ...]]:
        asked.append(host)
        return answers(host, port, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(addresses, "is_public", lambda ip: str(ip) == "192.0.2.1")
        url = f"http://shop.example:{shop.server_address[1]}/"
        with (
            opened(resolver=resolver, timeout_s=1.0) as fetcher,
            pytest.raises(FetchRefused, match=r"127\.0\.0\.1"),
        ):
            fetcher.fetch(url, max_bytes=9, deadline_s=60)
    assert asked == ["shop.example"] * 2
    assert shop.asked == []


def test_the_connection_goes_to_the_address_that_was_checked(shop: Shop) -> None:
    """The name is unknown outside the resolver, so only pinning can reach the server."""
    shop.page("/", b"ok")
    port = shop.server_address[1]
    with opened(allow_hosts=("shop.example",), resolver=resolving(["127.0.0.1"])) as fetcher:
        assert fetcher.fetch(f"http://SHOP.example.:{port}/", max_bytes=9).body == b"ok"
    assert shop.asked[0][1]["host"] == f"shop.example.:{port}"


def test_the_next_checked_address_is_tried_where_one_is_dead(shop: Shop) -> None:
    shop.page("/", b"ok")
    answers = resolving(["127.0.0.2", "127.0.0.1"])
    with opened(allow_hosts=("shop.example",), resolver=answers) as fetcher:
        got = fetcher.fetch(f"http://shop.example:{shop.server_address[1]}/", max_bytes=9)
    assert got.body == b"ok"


def test_an_unknown_name_is_not_asked_again() -> None:
    tries: list[str] = []

    def resolver(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        tries.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    with opened(resolver=resolver) as fetcher, pytest.raises(FetchFailed, match="not known"):
        fetcher.fetch("http://shop.example/", max_bytes=9)
    assert len(tries) == 1


@pytest.mark.parametrize("url", ["http://shop.example/", "ftp://shop.example/feed.xml"])
def test_a_name_whose_look_up_hangs_ends_with_the_fetch(url: str, tmp_path: Path) -> None:
    """Whoever owns a name owns its name server, which may never answer."""
    never = threading.Event()

    def resolver(*_: object, **__: object) -> list[tuple[Any, ...]]:
        assert never.wait(240)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    def fetched(fetcher: Fetcher) -> None:
        fetcher.spool(url, tmp_path / "feed", max_bytes=9, deadline_s=0.3)

    try:
        with opened(resolver=resolver, retries=0) as fetcher:
            begin = time.monotonic()
            with pytest.raises(FetchTimeout):
                fetched(fetcher)
            assert time.monotonic() - begin < 200
            fetcher.halt.set()
            with pytest.raises(Stopped):
                fetched(fetcher)
    finally:
        never.set()


def test_allow_hosts_may_name_a_port(shop: Shop) -> None:
    shop.page("/", b"ok")
    port = shop.server_address[1]
    with opened(allow_hosts=(f"127.0.0.1:{port}",)) as fetcher:
        assert fetcher.fetch(f"http://127.0.0.1:{port}/", max_bytes=9).body == b"ok"
        with pytest.raises(FetchRefused, match="private"):
            fetcher.fetch(f"http://127.0.0.1:{port + 1}/", max_bytes=9)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(shop: Shop, fetcher: Fetcher, status: int) -> None:
    shop.page("/deep/end", b"ok")
    url = shop.page("/deep/go", status=status, Location="end?x=1")
    got = fetcher.fetch(url, max_bytes=9)
    assert (got.body, got.url) == (b"ok", shop.url + "/deep/end?x=1")


@pytest.mark.parametrize(
    "target",
    [
        "http://localhost:{port}/secret",
        "http://[::1]:{port}/secret",
        "http://127.0.0.2:{port}/secret",
        "http://2130706433:{port}/secret",
        "//169.254.169.254/secret",
        "file:///etc/passwd",
        "http://[broken/",
        "ftp://127.0.0.1/x",
    ],
)
def test_a_redirect_does_not_lead_where_we_do_not_go(
    shop: Shop, fetcher: Fetcher, target: str
) -> None:
    shop.page("/secret", b"secret")
    port = str(shop.server_address[1])
    url = shop.page("/go", status=302, Location=target.replace("{port}", port))
    with pytest.raises(FetchRefused):
        fetcher.fetch(url, max_bytes=99)
    assert [path for path, _ in shop.asked] == ["/go"]


def test_a_redirect_loop_ends(shop: Shop, fetcher: Fetcher) -> None:
    url = shop.page("/go", status=302, Location="/go")
    with pytest.raises(FetchRefused, match="more than 5 redirects"):
        fetcher.fetch(url, max_bytes=9)
    assert len(shop.asked) == 6


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=shop.example"),
            *("-addext", "subjectAltName=DNS:shop.example"),
            *("-keyout", path, "-out", path.with_suffix(".crt")),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def test_tls_checks_the_name_although_the_address_is_pinned(certificate: Path) -> None:
    names: list[str | None] = []
    server = Shop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda sock, name, _: names.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.page("/", b"ok")
    trust = ssl.create_default_context(cafile=str(certificate.with_suffix(".crt")))
    pinned: dict[str, Any] = {
        "allow_hosts": ("shop.example", "other.example"),
        "resolver": resolving(["127.0.0.1"]),
    }
    port = server.server_address[1]
    with serving(server):
        with opened(**pinned, ssl_context=trust) as fetcher:
            assert fetcher.fetch(f"https://shop.example:{port}/", max_bytes=9).body == b"ok"
            with pytest.raises(FetchFailed, match="CERTIFICATE"):
                fetcher.fetch(f"https://other.example:{port}/", max_bytes=9)
        with opened(**pinned) as fetcher, pytest.raises(FetchFailed) as caught:
            fetcher.fetch(f"https://shop.example:{port}/", max_bytes=9)
    assert not caught.value.retry
    assert "certificate" in caught.value.hint
    assert names == ["shop.example", "other.example", "shop.example"]


# Secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@x.com/a", "http://***@x.com/a"),
        ("http://u:p@ss@x.com/a", "http://***@x.com/a"),
        ("http://x.com/a?mail=me@y.com", "http://x.com/a?mail=me@y.com"),
        (
            "https://productdata.awin.com/datafeed/download/apikey/0123abc/language/en/",
            "https://productdata.awin.com/datafeed/download/apikey/***/language/en/",
        ),
        (
            "http://export.admitad.com/x/?user=u&code=s3cret&feed_id=1",
            "http://export.admitad.com/x/?user=u&code=***&feed_id=1",
        ),
        ("http://x/?X-Amz-Signature=1&X-Amz-Date=2", "http://x/?X-Amz-Signature=***&X-Amz-Date=2"),
        ("http://x/?API_KEY=1&b=2", "http://x/?API_KEY=***&b=2"),
        ("http://x/#access_token=1", "http://x/#access_token=***"),
        (
            "http://x/?u=https%3A%2F%2Fa%3Ab%40y%2F%3Fcode%3Dq%26p%3D1",
            "http://x/?u=https%3A%2F%2F***%40y%2F%3Fcode%3D***%26p%3D1",
        ),
        ("http://x/?page=2&sort=price", "http://x/?page=2&sort=price"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown
    assert redact(shown) == shown


@given(
    st.sampled_from(
        ["key", "code", "token", "apikey", "api_key", "secret", "password", "sig", "auth"]
    ),
    st.text(st.characters(codec="ascii", exclude_characters="&;# \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f%")),
    st.text(st.characters(codec="ascii", categories=["L", "N"])),
)
def test_no_secret_is_shown(name: str, secret: str, other: str) -> None:
    marked = f"S3{secret}"
    shown = redact(f"https://x.com/p?a={other}&{name}={marked}&b=1")
    assert marked not in shown
    assert shown.endswith("&b=1")


def test_redacting_a_hostile_address_takes_no_time() -> None:
    with within(150):
        for hostile in ("?" + "key" * 30000, "://" * 30000, "/key/" * 20000, "%26token" * 10000):
            redact(hostile)


def test_every_error_of_a_secret_address_hides_it(shop: Shop) -> None:
    with opened(allow_hosts=()) as fetcher:
        for url in (
            shop.url + "/?key=hidden",
            "ftp://a:hidden@b/",
            "http://[hidden@x/?code=hidden",
        ):
            with pytest.raises(Error) as caught:
                fetcher.fetch(url, max_bytes=9)
            assert "hidden" not in str(caught.value) + caught.value.hint + caught.value.url  # type: ignore[attr-defined]
