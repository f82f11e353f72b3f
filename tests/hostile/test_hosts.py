"""A real `serve`, asked under other names than its own and with a proxy's headers that no proxy wrote: with
`public_url`, and without it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lensback.workspace import init
from servers import free_port

FORWARDED = (
    b"X-Forwarded-For: 203.0.113.%d\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n"
    b"X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\nForwarded: for=203.0.113.9;host=evil.example;proto=https\r\n"
    b"X-Real-IP: 203.0.113.9\r\nX-Original-URL: /metrics\r\nX-Rewrite-URL: /metrics\r\nX-Host: evil.example\r\n"
)
"""Everything by which some framework lets itself be told who asks, and for what."""


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[int]:
    """The port of a `serve` that answers."""
    port = free_port()
    given = {f"LENSBACK_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "lensback", "serve", "--port", str(port), "--workspace", str(folder)]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, **given}, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 240
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError):
                if said(port, b"/healthz").startswith(b"HTTP/1.1 200"):
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(240)


def said(port: int, target: bytes, host: bytes = b"127.0.0.1", more: bytes = b"") -> bytes:
    """The whole answer to one request."""
    came = b""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as opened:
        opened.sendall(
            b"GET %s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n" % (target, host, more)
        )
        with contextlib.suppress(ConnectionResetError):
            while block := opened.recv(1 << 16):
                came += block
    return came


@pytest.fixture(scope="module")
def open_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("names") / "workspace"
    init(folder)
    with serving(folder, rate_limit="60") as port:
        yield port


@pytest.fixture(scope="module")
def named_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("names") / "workspace"
    init(folder)
    with serving(folder, rate_limit="0", public_url="https://find.example") as port:
        yield port


def test_a_name_is_written_once_and_plainly(open_port: int, named_port: int) -> None:
    ours = {open_port: b"127.0.0.1", named_port: b"find.example"}
    for port, name in ours.items():
        assert said(port, b"/widget", name).startswith(b"HTTP/1.1 200")
        assert said(port, b"http://%s/widget" % name, name).startswith(b"HTTP/1.1 200")
        for target, host in (
            (b"http://evil.example/widget", name),
            (b"http://%s/widget" % name, b"evil.example"),
            (b"http://%s@evil.example/widget" % name, name),
            (b"/widget", b"evil.example@" + name),
            (b"/widget", name + b"@evil.example"),
            (b"/widget", name + b"/evil"),
            (b"/widget", name + b":0x50"),
            (b"/widget", name + b":99999"),
            (b"/widget", b'"><script>'),
        ):
            answer = said(port, target, host)
            assert answer.startswith(b"HTTP/1.1 400"), (target, host, answer[:60])
            assert b"evil" not in answer.partition(b"\r\n\r\n")[2]


def test_only_where_no_name_was_set_is_any_answered(open_port: int, named_port: int) -> None:
    assert b"http://whatever.example:81/static" in said(
        open_port, b"/widget", b"whatever.example:81"
    )
    assert said(named_port, b"/widget", b"whatever.example").startswith(b"HTTP/1.1 400")
    assert said(named_port, b"/healthz", b"10.0.0.7:8000").startswith(b"HTTP/1.1 200")
    page = said(named_port, b"/widget", b"find.example:81")
    assert b"https://find.example/static/widget.js" in page
    assert b":81" not in page


def test_a_strangers_word_of_a_proxy_changes_nothing(open_port: int, named_port: int) -> None:
    for port, name, own in (
        (open_port, b"127.0.0.1", b"http://127.0.0.1/static/widget.js"),
        (named_port, b"find.example", b"https://find.example/static/widget.js"),
    ):
        page = said(port, b"/widget?lang=ru", name, FORWARDED % 1)
        assert own in page
        assert b"evil.example" not in page  # four letters a random cookie has, now and then
        assert b"/evil" not in page
        assert (b"secure" in page.partition(b"\r\n\r\n")[0].lower()) is own.startswith(b"https")
        assert said(port, b"/metrics", name, FORWARDED % 1).startswith(b"HTTP/1.1 401")
    asked = (said(open_port, b"/api/offers/" + b"a" * 16, more=FORWARDED % n) for n in range(250))
    assert any(came[9:12] == b"429" for came in asked), (
        "another address in each header is no other address"
    )


def test_a_proxy_that_is_named_is_believed_and_nobody_behind_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What the proxy itself adds stands last in the list; what stood there before is a stranger's."""
    folder = tmp_path_factory.mktemp("names") / "workspace"
    init(folder)
    with serving(folder, rate_limit="12", trusted_proxies='["127.0.0.1"]') as port:
        target = b"/api/offers/" + b"a" * 16
        lie = b"X-Forwarded-For: 198.51.100.%d, 203.0.113.1\r\n"
        asked = (said(port, target, more=lie % n) for n in range(250))
        assert any(came[9:12] == b"429" for came in asked)
        others = b"X-Forwarded-For: 203.0.113.%d\r\n"
        assert all(said(port, target, more=others % n)[9:12] == b"404" for n in range(2, 9))
        cookie = said(port, b"/widget?lang=ru", more=b"X-Forwarded-Proto: https\r\n" + others % 99)
        assert b"secure" in cookie.partition(b"\r\n\r\n")[0].lower()
        assert b"evil.example" not in said(port, b"/widget", more=others % 99 + b"X-Forwarded-Host: evil.example\r\n")  # fmt: skip
        assert said(port, target, more=b"X-Forwarded-For: %s\r\n" % (b"x" * 20_000))[9:12] == b"404"
