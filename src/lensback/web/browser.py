"""Who asks: the address, and which browser of it, by a random cookie, for as long as a photo is remembered and no longer.

Whoever has the id of a search may see its answer; what is done with the photo itself is for the
browser (or program) that sent it. Who keeps no cookies, as a script of another site's page, may name itself
by a header with a secret of its own; else it is a new one each time.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from lensback import tokens
from lensback.settings import Settings

COOKIE = "lensback_browser"
HEADER = "lensback-browser"
MAX_ADDRESS = 45
"""Characters of the longest address; a proxy may pass on what a stranger wrote."""
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def browser_of(request: Request) -> str:
    """The digest that names the request's browser, the same at every call for one request."""
    if not hasattr(request.state, "browser"):
        given = (request.headers.get(HEADER, ""), request.cookies.get(COOKIE, ""))
        known = next(filter(_SECRET.fullmatch, given), "")
        request.state.browser = known or tokens.new_secret()
    return tokens.digest(request.state.browser)


def address_of(request: Request) -> str:
    """The client's address; behind a proxy the one that it tells, if `trusted_proxies` names it.
    Of IPv6 the first 64 bits: one household has all the rest."""
    host = request.client.host[:MAX_ADDRESS] if request.client else ""
    return household(host)


@lru_cache(4096)
def household(host: str) -> str:
    """The first 64 bits of an IPv6 address: one is written in many ways, and zeros are left out of it."""
    if ":" not in host:
        return host
    try:
        number = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:  # what a proxy passes on may be anything
        return host
    if number.ipv4_mapped:
        return str(number.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(number) >> 64 << 64, 64)).network_address)


def keep_browser(request: Request, response: Response, settings: Settings) -> Response:
    """The response with the cookie, so that the next request is known to be of the same browser; without it
    where the request named itself."""
    browser_of(request)
    if request.headers.get(HEADER, "") == request.state.browser:
        return response
    if lasts_s := max(settings.photo_memory_s, settings.keep_photos_days * 86_400):
        response.set_cookie(
            COOKIE,
            request.state.browser,
            max_age=int(lasts_s),
            httponly=True,
            samesite="strict",
            secure=is_secure(request, settings),
        )
    return response


def is_secure(request: Request, settings: Settings) -> bool:
    """Whether cookies may be kept to encrypted connections: this one is, or `public_url` says so."""
    return request.url.scheme == "https" or settings.public_url.startswith("https://")


def from_own_page(request: Request) -> bool:
    """Whether a form was sent from a page of ours, not from another site's; programs send neither
    header, and have no cookies to be misused."""
    site = request.headers.get("sec-fetch-site", "")
    if site:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin", "")
    return not origin or origin.partition("://")[2] == request.headers.get("host", "")
