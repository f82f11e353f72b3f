"""HTTP as no browser writes it: what two readers could read differently is refused (RFC 9112), and no
connection is held by who does not read, or by bytes that are no body. uvicorn with our connections."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from ftp_servers import until
from lensback.web import connections, server
from lensback.web.connections import IN_A_ROW
from lensback.web.hosts import OwnNames
from servers import free_port

MIB = 1 << 20
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body and says how long it was; `/large` answers four megabytes."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    said = bytes(4 * MIB) if scope["path"] == "/large" else b"%d" % size
    length = (b"content-length", b"%d" % len(said))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": said})


@contextlib.contextmanager
def serving(most: int = 50, each: int = 50) -> Iterator[tuple[int, connections.Crowd]]:
    """The port, and the connections that are open."""
    port, made = free_port(), connections.protocol(most, each, ())
    config = uvicorn.Config(
        OwnNames(application, frozenset()),
        port=port,
        http=made,
        lifespan="off",
        **{**server._OPTIONS, "log_level": "critical", "timeout_graceful_shutdown": 1},
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve()))
    thread.start()
    try:
        while not running.started:
            time.sleep(0.01)
        yield port, made.keywords["crowd"]
    finally:
        running.should_exit = True
        thread.join(120)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as (opened, _):
        yield opened


def said(port: int, data: bytes, answers: float = 1) -> bytes:
    """All that is answered until the connection ends, or a moment after so many answers are whole."""
    came = b""
    with socket.create_connection(("127.0.0.1", port)) as opened:
        with contextlib.suppress(OSError):
            opened.sendall(data)
        opened.settimeout(120)
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while block := opened.recv(1 << 16):
                came += block
                if whole(came) >= answers:
                    opened.settimeout(0.2)
    return came


def whole(came: bytes) -> int:
    """How many answers have come to their end, by the lengths that they tell."""
    count = 0
    while came:
        head, end, rest = came.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        size = int(length[1]) if length else 0
        if not end or len(rest) < size:
            break
        count, came = count + 1, rest[size:]
    return count


REFUSED = {
    "length and chunks": CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "a length below nothing": POST + b"Content-Length: -2\r\n\r\n{}",
    "a length in hex": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "a length of 23 digits": POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "a coding that is none": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a blank before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a chunk below nothing": CHUNKED + b"\r\n-1\r\n{}\r\n0\r\n\r\n",
    "a chunk beyond all": CHUNKED + b"\r\nFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
    "a chunk with 0x": CHUNKED + b"\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "line feeds alone": b"GET / HTTP/1.1\nHost: x\n\n",
    "a nought in a header": GET + b"X-A: a\0b\r\n\r\n",
    "a return in a header": GET + b"X-A: a\rX-B: b\r\n\r\n",
    "a header without a name": GET + b": a\r\n\r\n",
    "a blank in a name": GET + b"X A: a\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
    "another's address": b"GET http://other/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address with a user": b"GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address with a port": b"GET http://x:80/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address without a host header": b"GET http://x/ HTTP/1.0\r\n\r\n",
    "an address of another kind": b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n",
    "no path": b"GET x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a host with a user": b"GET / HTTP/1.1\r\nHost: u@x\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "a host with a question": b"GET / HTTP/1.1\r\nHost: x?y\r\n\r\n",
    "a host with a fragment": b"GET / HTTP/1.1\r\nHost: x#y\r\n\r\n",
    "a host with a blank": b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n",
    "a host with a quote": b'GET / HTTP/1.1\r\nHost: x"><b\r\n\r\n',
    "a host with a backslash": b"GET / HTTP/1.1\r\nHost: x\\y\r\n\r\n",
    "a host with a comma": b"GET / HTTP/1.1\r\nHost: x, y\r\n\r\n",
    "a host with a port too large": b"GET / HTTP/1.1\r\nHost: x:65536\r\n\r\n",
    "a host with a port that is none": b"GET / HTTP/1.1\r\nHost: x:y\r\n\r\n",
    "a host with two ports": b"GET / HTTP/1.1\r\nHost: x:1:2\r\n\r\n",
    "a host half in brackets": b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "a host of other letters": b"GET / HTTP/1.1\r\nHost: \xd1\x85\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("160301020001000001fc0303") + bytes(500),
    "everything": bytes(range(256)) * 10,
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_two_readers_read_differently_is_refused(what: str, port: int) -> None:
    answer = said(port, REFUSED[what])
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:80]
    assert answer.count(b"HTTP/1.1 ") == 1, "nothing behind it is taken for a request"


def test_what_is_right_is_answered(port: int) -> None:
    for request, size in (
        (CHUNKED + b"\r\n" + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n", b"5000"),
        (CHUNKED + b"\r\n5;name=value\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n", b"5"),
        (POST + b"Content-Length: 5\r\n\r\nhello", b"5"),
        (b"GET / HTTP/1.0\r\n\r\n", b"0"),
        (b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", b"0"),
        (b"GET HTTP://X:8000/?q=http://other/ HTTP/1.1\r\nHost: x:8000\r\n\r\n", b"0"),
        (b"GET //other/ HTTP/1.1\r\nHost: x\r\n\r\n", b"0"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"0"),
        (b"GET / HTTP/1.1\r\nHost: X.example.:8000\r\n\r\n", b"0"),
        (b"GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", b"0"),
        (b"GET / HTTP/1.1\r\nHost: a_b:\r\n\r\n", b"0"),
    ):
        answer = said(port, request)
        assert answer.startswith(b"HTTP/1.1 200 OK"), answer[:80]
        assert answer.endswith(b"\r\n\r\n" + size)


def test_no_connection_becomes_another_kind(port: int) -> None:
    """One of WebSockets would be past all limits of ours."""
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    for upgrade in (b"websocket\r\n" + key, b"h2c\r\nHTTP2-Settings: AAMAAABk\r\n"):
        answer = said(
            port, GET + b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n", answers=1
        )
        assert answer.startswith(b"HTTP/1.1 200 "), "as if nothing had been asked"


@pytest.mark.parametrize(
    "flood",
    [b"2;" + b"a" * MIB, (b"1;" + b"a" * 100 + b"\r\nx\r\n") * 5000],
    ids=["an extension", "many extensions"],
)
def test_bytes_that_are_no_body_have_an_end(flood: bytes, port: int) -> None:
    answer = said(port, CHUNKED + b"\r\n" + flood)
    assert answer[9:12] in {b"400", b""}, answer[:80]  # closed while it was sending


def test_one_large_body_after_another_is_taken(port: int) -> None:
    """A connection is used again: what came before is no framing of what comes now."""
    head = POST + b"Content-Length: 200000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=120) as opened:
        for _ in range(3):
            for part in (head, bytes(100_000), bytes(100_000)):
                opened.sendall(part)
                time.sleep(0.02)  # so that they are received apart
            answer = b""
            while not answer.endswith(b"\r\n\r\n200000"):
                block = opened.recv(1 << 16)
                assert block, answer
                answer += block


def test_a_row_of_requests_has_an_end(port: int) -> None:
    few = said(port, (GET + b"\r\n") * IN_A_ROW, answers=IN_A_ROW)
    many = said(port, (GET + b"\r\n") * 1000, answers=math.inf)
    assert few.count(b"HTTP/1.1 200 ") == IN_A_ROW
    assert many.count(b"HTTP/1.1 200 ") < 100


def test_who_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large answer, of several, and of one after which the connection closes."""
    monkeypatch.setattr(connections, "SEND_S", 3.0)
    large = b"GET /large HTTP/1.1\r\nHost: x\r\n"
    with serving() as (port, crowd), contextlib.ExitStack() as stack:
        for request in (
            large + b"\r\n",
            (large + b"\r\n") * 9,
            large + b"Connection: close\r\n\r\n",
        ):
            opened = stack.enter_context(socket.socket())
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            opened.connect(("127.0.0.1", port))
            opened.sendall(request)
        reader = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        reader.sendall(large + b"Connection: close\r\n\r\n")
        came = 0
        while block := reader.recv(1 << 14):  # slowly, but on and on
            came += len(block)
            time.sleep(0.004)
        assert came > 4 * MIB
        until(lambda: not crowd._all)


def test_bodies_on_their_way_give_way_to_newcomers() -> None:
    with serving(most=5) as (port, _), contextlib.ExitStack() as stack:
        slow = []
        for _ in range(5):
            opened = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            opened.sendall(POST + b"Content-Length: 100\r\n\r\nx")
            slow.append(opened)
        time.sleep(0.2)
        assert said(port, GET + b"\r\n").startswith(b"HTTP/1.1 200 ")
        slow[0].settimeout(120)
        with contextlib.suppress(ConnectionResetError):
            assert slow[0].recv(100) == b"", "the oldest one"
