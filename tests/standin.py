"""A local server that stands in for somebody's API: it answers by a function."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the server saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    body: Any
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Api(ThreadingHTTPServer):
    """Answers by a function; remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Reply] = lambda _asked: Reply({}, 404)
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of some tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def _any(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        headers = {key.lower(): value for key, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        asked = Asked(self.command, parts.path, query, headers, body)
        self.server.asked.append(asked)
        reply = self.server.answer(asked)
        self.send_response(reply.status)
        for key, value in (*reply.headers, ("Content-Length", str(len(reply.data)))):
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(reply.data)

    do_GET = do_POST = _any  # noqa: N815 - names of http.server

    def log_message(self, *_: object) -> None:
        pass


Served = TypeVar("Served", bound=ThreadingHTTPServer)


@contextmanager
def running() -> Iterator[Api]:
    """The server, on a port of its own, until the block ends."""
    with serving(Api()) as server:
        yield server


@contextmanager
def serving(server: Served) -> Iterator[Served]:
    """A server of a test's own, in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    with server:
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
