"""The page as an installed app: its manifest, and a worker that knows one page, "no connection"."""

from __future__ import annotations

import json

from fastapi import APIRouter
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lensback.speech import N_
from lensback.web.assets import content_of
from lensback.web.language import speech_of
from lensback.web.pages import asset, text_of

router = APIRouter(include_in_schema=False)

HOUR_S = 3600
AROUND = {"Cache-Control": f"public, max-age={HOUR_S}", "Vary": "Accept-Language, Cookie"}
ABOUT = N_("Find the thing in your photo among the offers of many stores.")


@router.get("/manifest.webmanifest")
def manifest(request: Request) -> Response:
    """What an installed page is called, and that photos can be shared to it: they come to `POST /`
    like those of the form."""
    speech = speech_of(request)
    shared = {"url": "photo_url", "files": [{"name": "photo", "accept": ["image/*"]}]}
    values = {
        "id": "/",
        "name": "Lensback",
        "short_name": "Lensback",
        "description": speech.say(ABOUT),
        "lang": speech.language,
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#f6f5f1",
        "theme_color": "#f6f5f1",
        "icons": [{"src": asset("icon.svg"), "sizes": "any", "type": "image/svg+xml"}],
        "share_target": {
            "action": "/",
            "method": "POST",
            "enctype": "multipart/form-data",
            "params": shared,
        },
    }
    return JSONResponse(values, media_type="application/manifest+json", headers=AROUND)


@router.get("/worker.js")
def worker(request: Request) -> Response:
    """Answers an opened page with "no connection" when the network does not. It keeps nothing, so
    nothing that it shows can be out of date."""
    tokens = Markup(content_of("tokens.css").decode())  # noqa: S704 - ours
    page = text_of(request, speech_of(request), "offline.html", tokens=tokens)
    text = (
        f"const page = {json.dumps(page)};\n"
        "self.addEventListener('fetch', (event) => {\n"
        "  if (event.request.mode !== 'navigate' || event.request.method !== 'GET') return;\n"
        "  event.respondWith(fetch(event.request).catch(() => new Response(page, {\n"
        "    status: 503, headers: { 'Content-Type': 'text/html; charset=utf-8' } })));\n"
        "});\n"
    )
    return Response(
        text, media_type="text/javascript", headers={**AROUND, "Cache-Control": "no-cache"}
    )
