"""Who asks, whether they may, and how often: API keys and rate limits."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from lensback import keys, tokens
from lensback.errors import Forbidden, Unauthorized
from lensback.keys import Key
from lensback.web.service import Service


def key_of(request: Request) -> Key | None:
    """The request's key, None where it bears none. Raises Unauthorized for one that is wrong."""
    secret = request.headers.get("x-api-key", "") or tokens.bearer(request.headers)
    if not secret:
        return None
    service: Service = request.app.state.service
    found = keys.find(service.keyring.get(), secret.strip()[:200])
    if found is None:
        raise Unauthorized("this key is not known", hint="ask whoever runs this service for one")
    return found


def searcher(request: Request) -> None:
    """Lets a search through: a key where the settings ask for one, and not too often. Raises
    Unauthorized, Forbidden, TooMany.

    Paced by address, and by key too: a key in a page has many addresses.
    """
    service: Service = request.app.state.service
    key = key_of(request)
    if key is None and service.workspace.settings.search_needs_key and _by_a_program(request):
        raise Unauthorized("a key is needed", hint="send Authorization: Bearer KEY")
    service.pace.take(f"address {address_of(request)}")
    if key is not None and key.scope != "admin":
        service.key_pace.take(f"key {key.name}")


def administrator(request: Request) -> Key:
    """The key of scope `admin` that the request carries. Raises Unauthorized, Forbidden."""
    service: Service = request.app.state.service
    service.pace.take(f"address {address_of(request)}")
    key = key_of(request)
    if key is None:
        raise Unauthorized("a key is needed", hint="send Authorization: Bearer KEY")
    if key.scope != "admin":
        raise Forbidden("this key may only search", hint="use a key of scope admin")
    return key


def address_of(request: Request) -> str:
    """The client's address; behind a proxy the one that it tells, if `trusted_proxies` names it.
    Of IPv6 the first 64 bits: one household has all the rest."""
    host = request.client.host if request.client else ""
    return ":".join(host.split(":")[:4]) if ":" in host else host


def _by_a_program(request: Request) -> bool:
    """The shopper's page itself needs no key; programs do."""
    return request.url.path.startswith("/api/")


Searcher = Depends(searcher)
Administrator = Annotated[Key, Depends(administrator)]
