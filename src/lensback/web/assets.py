"""`/static`: addresses that change with the content (`pages.asset`) may be kept for good."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

from starlette.datastructures import QueryParams
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

LEAST_BYTES = 1024
LEVEL = 5


class Static(StaticFiles):
    """The package's static files."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        versioned = "v" in QueryParams(scope["query_string"])
        lasts = "public, max-age=31536000, immutable" if versioned else "no-cache"
        if response.status_code in {200, 304}:
            response.headers["Cache-Control"] = lasts
        return response


class Squeezed:
    """ASGI middleware: text is compressed for those who take it, pictures are let alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._squeezing = GZipMiddleware(app, LEAST_BYTES, LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        picture = scope["type"] != "http" or scope["path"].startswith(("/images/", "/logos/"))
        await (self._plain if picture else self._squeezing)(scope, receive, send)


@dataclass(frozen=True, slots=True)
class SqueezedText:
    """A long text that is the same for everybody: compressed once, and not for each who asks."""

    plain: bytes
    squeezed: bytes

    @classmethod
    def of(cls, text: str) -> SqueezedText:
        """The text in both forms."""
        plain = text.encode()
        return cls(plain, gzip.compress(plain, LEVEL, mtime=0))

    def as_taken(self, request: Request) -> tuple[bytes, dict[str, str]]:
        """The content in the form that a request takes, and the headers that say so."""
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return self.plain, {}
        return self.squeezed, {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
