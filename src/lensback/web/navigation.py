"""What a request for `/go` is: a person on the way to a store, or something that only looks.

Browsers say it (Fetch Metadata: `Sec-Fetch-Mode`, `-Dest`, `-Site`; `Sec-Purpose`). Those that are too
old for that say at least which kinds of content they want. Programs mostly say their name.
"""

from __future__ import annotations

import re

from starlette.requests import Request

_LOOKS_AHEAD = ("purpose", "sec-purpose", "x-purpose", "x-moz")
_PROGRAM = re.compile(
    r"(?<!\bcu)bot\b|bot/|crawl|spider|slurp|facebookexternalhit|facebookcatalog|meta-external|whatsapp"
    r"|skypeuripreview|vkshare|embedly|iframely|pinterest/|snapchat|viber|kakaotalk-scrap|line-poker"
    r"|mattermost|rocket\.chat|synapse|zulip|cardyb|nuzzel|tumblr/|flipboardproxy|redditpreview"
    r"|googleimageproxy|yahoomailproxy|google-pagerenderer|google-inspectiontool|google-read-aloud"
    r"|googleother|mediapartners|adsbot|apis-google|feedfetcher|bingpreview|microsoftpreview"
    r"|yandex(?!search|browser)\w+/|mail\.ru_|bytespider|petalbot|safebrowsing|proofpoint|barracuda"
    r"|lighthouse|headlesschrome|phantomjs|electron/.*snippet|pingdom|uptime|site24x7|statuscake"
    r"|python-requests|python-httpx|python-urllib|aiohttp|curl/|wget/|go-http-client|java/|okhttp"
    r"|libwww|scrapy|node-fetch|axios/|undici|got \(|postmanruntime|insomnia|guzzle|httpclient"
    r"|apache-http|ruby|php/|dart/|reqwest|(?:claude|perplexity|chatgpt|mistralai|google)-(?:user|safety)"
    r"|google-cloudvertex|ms-?office|microsoft office",
    re.IGNORECASE,
)
"""Cubot is a maker of phones."""
_CONTENT = re.compile(
    r"\b(?:image|video|audio|font)/\*|^\s*(?:text/css|application/json|font/|image/(?:webp|avif|apng|svg))",
    re.IGNORECASE,
)
"""In what a browser accepts: a picture, a film, a style sheet, a script's data. A page comes first as
text/html; the oldest browsers ask for pages with */* or with some kinds of pictures by name."""


def looks_ahead(request: Request) -> bool:
    """Whether a browser asks before anybody clicked: a prefetch, a prerendered page, a preview."""
    said = (request.headers.get(name, "").lower() for name in _LOOKS_AHEAD)
    return any("prefetch" in text or "preview" in text or "prerender" in text for text in said)


def is_program(request: Request) -> bool:
    """Whether it is a program that says what it is, or says nothing at all: every browser has a name."""
    name = request.headers.get("user-agent", "").strip()
    return not name or bool(_PROGRAM.search(name[:500]))


def is_navigation(request: Request) -> bool:
    """Whether a whole page of a browser goes there: no picture, frame, script or style of another."""
    mode = request.headers.get("sec-fetch-mode", "").lower()
    target = request.headers.get("sec-fetch-dest", "").lower()
    if mode or target:
        return mode in {"", "navigate"} and target in {"", "document"}
    if request.headers.get("x-requested-with", "").lower() == "xmlhttprequest":
        return False  # other values are names of apps: their pages are pages
    if "origin" in request.headers:
        return False  # a script asks across origins; whoever goes to a page says none
    accepted = request.headers.get("accept", "")
    return "text/html" in accepted.lower() or not _CONTENT.search(accepted)


def is_from_here(request: Request) -> bool:
    """Whether a page of ours leads there: the browser says so, or names the page it comes from."""
    if site := request.headers.get("sec-fetch-site", ""):
        return site.lower() == "same-origin"
    origin = re.match(r"https?://([^/?#]+)", request.headers.get("referer", ""), re.IGNORECASE)
    return origin is not None and origin[1].lower() == request.headers.get("host", "").lower()
