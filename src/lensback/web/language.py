"""Which language a visitor reads."""

from __future__ import annotations

from starlette.requests import Request

from lensback.speech import LANGUAGES, Speech

COOKIE = "language"


def speech_of(request: Request) -> Speech:
    """What the visitor chose (`?lang=`, then the cookie), else what the browser asks for."""
    for said in (request.query_params.get("lang", ""), request.cookies.get(COOKIE, "")):
        if said in LANGUAGES:
            return Speech(said)
    return Speech(_negotiated(request.headers.get("accept-language", "")))


def _negotiated(header: str) -> str:
    """The best known language of an Accept-Language header, English otherwise.

    >>> _negotiated("fr;q=0.9, ru-RU, en;q=0.5"), _negotiated("*"), _negotiated("x;q=;;")
    ('ru', 'en', 'en')
    """
    wanted = []
    for at, part in enumerate(header[:500].split(",")):
        name, _, weight = part.partition(";q=")
        try:
            wanted.append((-float(weight or 1), at, name.strip().lower().split("-")[0]))
        except ValueError:
            continue
    return next((name for weight, _, name in sorted(wanted) if weight and name in LANGUAGES), "en")
