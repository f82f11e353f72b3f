"""Addresses of our own pages: as others see them, and the same page in another language."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request

from lensback.settings import Settings


def base_of(request: Request, settings: Settings) -> str:
    """Where the service is reached from outside, without a slash at the end: the operator's word
    (`public_url`), else the address that the request was sent to."""
    return (settings.public_url or str(request.base_url)).rstrip("/")


def in_language(request: Request, language: str, page: str = "") -> str:
    """The link from a page to itself in another language, with all else that its address says but a pass:
    whoever copies the link is nobody else. `page` where the address that it was asked by brings nothing
    back: what a form sent stands in no address."""
    kept = request.query_params.multi_items() if request.method == "GET" and not page else []
    pairs = [(name, value) for name, value in kept if name not in {"lang", "user"}]
    return f"{page}?{urlencode([*pairs, ('lang', language)])}"
