"""Which names the service answers to: where `public_url` is set, that one and `public_hosts`. Two
names at once are nobody's."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from lensback.errors import BadHost
from lensback.settings import Settings
from lensback.web import failures

ANY_HOST = {"/healthz", "/readyz", "/metrics"}
"""Asked by machines, which use an address."""


_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{0,5}))?")
"""A name or an address, and a port: nothing before, between or behind them."""
MAX_PORT = 65535


def known_hosts(settings: Settings) -> frozenset[str]:
    """The names that a request may be for, in small letters; empty: every name."""
    if not settings.public_url:
        return frozenset()
    own = urlsplit(settings.public_url).hostname or ""
    return frozenset(name.lower().rstrip(".") for name in (own, *settings.public_hosts))


class OwnNames:
    """ASGI middleware: refuses requests for other names, with which pages of ours would carry
    somebody else's address."""

    def __init__(self, app: ASGIApp, known: frozenset[str]) -> None:
        self.app = app
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_ours(scope):
            error = BadHost("this name is not ours", hint="ask under the address of public_url")
            await failures.respond(Request(scope), error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(said) > 1 or (not said and scope.get("http_version") != "1.0"):
            return False  # RFC 9112, 3.2
        if scope["path"] in ANY_HOST:
            return True
        name = _name(said[0]) if said and said[0] else ""
        return name in self._known if self._known else name is not None


def _name(host: str) -> str | None:
    """The name of a Host header without its port, in small letters; None for what is none."""
    found = _HOST.fullmatch(host)
    if found is None or int(found[2] or 0) > MAX_PORT:
        return None
    return found[1].strip("[]").lower().rstrip(".")
