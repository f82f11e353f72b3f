"""`/static`: addresses that change with the content (`pages.asset`) may be kept for good."""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from starlette.datastructures import Headers, QueryParams
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

LEAST_BYTES = 1024
LEVEL = 5
EVERY_PAGE = ("tokens.css", "app.css", "cards.css", "compare.css")
JOINED = {
    "page.css": EVERY_PAGE,
    "search-page.css": (*EVERY_PAGE, "search.css"),
    "search-page.js": (
        "crop.js",
        "photo.js",
        "take.js",
        "send.js",
        "recent.js",
        "mine.js",
        "cards.js",
        "app.js",
    ),
}
"""Files that pages load as one: each request of its own keeps a phone waiting."""


@cache
def content_of(name: str) -> bytes:
    """A static file of the package, or several of them as one. Raises FileNotFoundError."""
    folder = files("lensback.web").joinpath("static")
    parts = JOINED.get(name, (name,))
    return b"\n".join(folder.joinpath(part).read_bytes() for part in parts)


def early() -> str:
    """The one script that stands in pages, before their first paint: a request for it would hold that up."""
    return content_of("early.js").decode().strip()


def early_hash() -> str:
    """The word by which a Content-Security-Policy allows that script and no other."""
    digest = hashlib.sha256(early().encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


class Static(StaticFiles):
    """The package's static files."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = self._joined(path, scope)
        if response is None:
            response = await super().get_response(path, scope)
        versioned = "v" in QueryParams(scope["query_string"])
        lasts = "public, max-age=31536000, immutable" if versioned else "no-cache"
        if response.status_code in {200, 304}:
            response.headers["Cache-Control"] = lasts
        return response

    def _joined(self, path: str, scope: Scope) -> Response | None:
        if path not in JOINED:
            return None
        content = content_of(path)
        kind = "text/css" if path.endswith(".css") else "text/javascript"
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}
        response = Response(content, media_type=kind, headers=headers)
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
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
