"""Which language a visitor reads."""

from __future__ import annotations

from starlette.requests import Request

from lensback.speech import Speech, languages, nearest

COOKIE = "language"


def speech_of(request: Request) -> Speech:
    """What the visitor chose (`?lang=`, then the cookie), else what the browser asks for."""
    for said in (request.query_params.get("lang", ""), request.cookies.get(COOKIE, "")):
        if said in languages():
            return Speech(said)
    return nearest(request.headers.get("accept-language", ""))
