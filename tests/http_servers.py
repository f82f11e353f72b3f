"""HTTP servers that mean harm, on loopback: what each sends, and when. Bodies of feeds too."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping

from ftp_servers import ESCAPES, Talk

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"


def asked(client: socket.socket) -> str:
    """The path of a request, read to the end of its headers."""
    head = b""
    while b"\r\n\r\n" not in head:
        block = client.recv(4096)
        if not block:
            return ""
        head += block
    return head.split()[1].decode()


def by_path(talks: Mapping[str, Talk]) -> Talk:
    """A server that does what `talks` says for the path; 404 for any other."""

    def talk(client: socket.socket, over: threading.Event) -> None:
        path = asked(client)
        if path in talks:
            talks[path](client, over)
        elif path:
            client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    return talk


def body(data: bytes) -> Talk:
    """A whole answer."""
    return _said(OK + b"Content-Length: %d\r\n\r\n" % len(data) + data)


def _said(answer: bytes) -> Talk:
    def talk(client: socket.socket, over: threading.Event) -> None:
        with contextlib.suppress(OSError):
            client.settimeout(60)  # a reader may be busy
            client.sendall(answer)

    return talk


def _again(first: bytes, block: bytes, pause_s: float = 0.0) -> Talk:
    def talk(client: socket.socket, over: threading.Event) -> None:
        client.sendall(first)
        while not over.wait(pause_s) if pause_s else not over.is_set():
            client.sendall(block)

    return talk


SAID = ESCAPES.encode("utf-8").replace(b"\n", b"")
HOSTILE: dict[str, Talk] = {
    "silence": _again(b"", b"", 0.2),
    "a status line without end": _again(b"HTTP/1.1 200 ", b"A" * 50_000),
    "a status line that drips": _again(b"HTTP/1.1 200 ", b"A", 0.2),
    "headers without end": _again(OK, b"X-A: b\r\n" * 5000),
    "a header without end": _again(OK + b"X-A: ", b"b" * 50_000),
    "headers that drip": _again(OK, b"X-A: b\r\n", 0.2),
    "early hints without end": _again(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 500),
    "a body that drips": _again(OK + b"Content-Length: 100000\r\n\r\n", b"<", 0.2),
    "a body without end": _again(OK + b"\r\n<rss><channel>", b"<item>" * 20_000),
    "chunks without end": _again(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n<\r\n" * 2000),
    "a chunk's extension without end": _again(
        OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 50_000
    ),
    "a length of 9,000 digits": _said(OK + b"Content-Length: " + b"9" * 9000 + b"\r\n\r\n"),
    "a status of escapes": _said(b"HTTP/1.1 403 " + SAID + b"\r\nContent-Length: 0\r\n\r\n"),
    "no HTTP but escapes": _said(SAID + b"\r\n\r\n"),
    "a redirect to escapes": _said(
        b"HTTP/1.1 302 Found\r\nLocation: http://" + SAID + b"/\r\n\r\n"
    ),
    "a redirect to a file": _said(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"),
    "a redirect to a private host": _said(
        b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.7:22/\r\n\r\n"
    ),
    "a coding of escapes": _said(OK + b"Content-Encoding: br" + SAID[:4] + b"\r\n\r\nx"),
    "a wait of a year": _said(
        b"HTTP/1.1 503 Busy\r\nRetry-After: 31536000\r\nContent-Length: 0\r\n\r\n"
    ),
}
"""What the server does -> how."""
