"""Around every request: an id, one log line, the security headers, and HEAD as GET without a body."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lensback import log
from lensback.web.assets import early_hash

HEADERS = {
    # blob: and data: are the shopper's own photo and its small copies, shown from memory.
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self' "
        f"{early_hash()}; "
        "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Networks want to know which site a visitor comes from, but not which page of it.
    "Referrer-Policy": "strict-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
}

HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}
"""Where `public_url` is one of https."""

FIRST = "/api/v1/"
"""The API's first version, and so far its only one: the same as /api/."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Envelope:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, *, https: bool = False) -> None:
        self.app = app
        self._headers = {**HEADERS, **(HTTPS_ONLY if https else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, method = time.perf_counter(), scope["method"]
        if scope["path"].startswith(FIRST):
            scope = {**scope, "path": "/api/" + scope["path"].removeprefix(FIRST)}
        headers = {"X-Request-ID": _request_id(scope), **self._headers}
        scope["lensback_headers"] = headers  # for the last resort, which is outside of us
        if method == "HEAD":
            scope = {**scope, "method": "GET", "lensback_head": True}
        status = 0

        async def enveloped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add(message, headers)
            elif message["type"] == "http.response.body" and method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self.app(scope, receive, enveloped)
        finally:
            _count(scope, status or 500)
            log.event(
                "request",
                method=method,
                route=_route(scope),
                status=status or 500,
                ms=round((time.perf_counter() - begin) * 1000, 1),
                request_id=headers["X-Request-ID"],
            )


def _count(scope: Scope, status: int) -> None:
    """For /metrics. The route's template, not the path: that would be a counter for each offer."""
    app = scope.get("app")
    if app is not None:
        app.state.service.meters.requests.labels(_route(scope), str(status)).inc()


def _request_id(scope: Scope) -> str:
    """The caller's id where it is harmless to log, otherwise a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _ID.fullmatch(given) else secrets.token_hex(8)


def _add(message: Message, headers: dict[str, str]) -> None:
    sent = MutableHeaders(scope=message)
    for name, value in headers.items():
        sent.setdefault(name, value)


def _route(scope: Scope) -> str:
    """The route's template, so that ids stay out of the log; `-` where there is none."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", "-"))
