"""Who asks, whether they may, and how often: API keys and rate limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Depends
from starlette.requests import Request

from lensback import keys, tokens
from lensback.errors import Error, Forbidden, TooMany, Unauthorized
from lensback.keys import Key
from lensback.web import users
from lensback.web.browser import address_of
from lensback.web.service import Service

HOST = "lensback_host"
"""Where the scope of a request has why its host key was refused; None for the right one."""


def key_of(request: Request) -> Key | None:
    """The request's key, None where it bears none. Raises Unauthorized for one that is wrong."""
    secret = request.headers.get("x-api-key", "") or tokens.bearer(request.headers)
    if not secret:
        return None
    service: Service = request.app.state.service
    with guessed(request):
        found = keys.find(service.keyring.get(), secret.strip()[:200])
        if found is None:
            hint = "ask whoever runs this service for one"
            raise Unauthorized("this key is not known", hint=hint)
    return found


@contextmanager
def guessed(request: Request, what: str = "") -> Iterator[None]:
    """Around what compares a secret and raises Unauthorized: wrong ones are counted by address and in
    all (`what` keeps kinds apart). Raises TooMany, before the comparison where it was enough."""
    service: Service = request.app.state.service
    address = f"{address_of(request)} {what}"
    service.guesses.check(address)
    try:
        yield
    except Unauthorized:
        service.guesses.wrong(address, getattr(request.scope.get("route"), "path", "-"))
        raise


def check_host(request: Request) -> None:
    """Raises Unauthorized unless the request bears the host service's key, TooMany where enough was
    guessed. Compared once, so that a wrong key is one guess, however many pieces ask for it."""
    if HOST not in request.scope:
        request.scope[HOST] = _refused_host(request)
    if (refused := request.scope[HOST]) is not None:
        raise refused


def _refused_host(request: Request) -> Unauthorized | TooMany | None:
    service: Service = request.app.state.service
    try:
        with guessed(request, "host"):
            users.check_host(request, service.workspace.settings)
    except (Unauthorized, TooMany) as error:
        return error
    return None


def is_host(request: Request) -> bool:
    """Whether the request bears the host service's key; a good one of another kind is no guess at it."""
    service: Service = request.app.state.service
    secret = tokens.bearer(request.headers)
    if not secret or _is_of_keyring(service, secret):
        return False
    try:
        check_host(request)
    except (Unauthorized, TooMany):
        return False
    return True


def _is_of_keyring(service: Service, secret: str) -> bool:
    try:
        return keys.find(service.keyring.get(), secret[:200]) is not None
    except Error:  # whoever needs a key is told
        return False


def writer(request: Request) -> None:
    """Lets something be written down for a stranger, not too often. Raises TooMany."""
    service: Service = request.app.state.service
    service.write_pace.take(f"address {address_of(request)}")


def reader(request: Request) -> None:
    """Lets a page or a detail be read from the database, not too often. Raises TooMany."""
    service: Service = request.app.state.service
    service.read_pace.take(f"address {address_of(request)}")


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


def bearer_of_scope(request: Request, *scopes: str) -> Key:
    """The key of one of these scopes that the request carries. Raises Unauthorized, Forbidden."""
    service: Service = request.app.state.service
    service.pace.take(f"address {address_of(request)}")
    key = key_of(request)
    if key is None:
        raise Unauthorized("a key is needed", hint="send Authorization: Bearer KEY")
    if key.scope not in scopes:
        hint = f"use a key of scope {' or '.join(scopes)}"
        raise Forbidden(f"a key of scope {key.scope} may not do this", hint=hint)
    return key


def _by_a_program(request: Request) -> bool:
    """The shopper's page itself needs no key; programs do."""
    return request.url.path.startswith("/api/")


async def _reader(request: Request) -> None:
    reader(request)


async def _searcher(request: Request) -> None:
    searcher(request)


async def _writer(request: Request) -> None:
    writer(request)


# Not plain functions: for each of those the framework goes through a thread.
Reader, Searcher, Writer = Depends(_reader), Depends(_searcher), Depends(_writer)
