"""Whose turn it is: around every request, whatever it asks for and whatever the answer is."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lensback.errors import Busy
from lensback.web import failures
from lensback.web.browser import address_of
from lensback.web.guard import is_host
from lensback.web.hosts import ANY_HOST
from lensback.web.service import Service
from lensback.web.turns import PLACE

READING = {"GET", "HEAD"}
"""Of these the whole request is here when its head is: no place is held by a body on its way."""


class InTurn:
    """ASGI middleware, around everything: each address has its pace (`turns.Turns`). The host service has
    none, and where searches have no limit nobody has."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            service: Service = scope["app"].state.service
            request = Request(scope)
            await service.turns.turn(address_of(request), partial(is_host, request))
        await self.app(scope, receive, send)


class InLine:
    """ASGI middleware: each address has its line for what is read (`turns.AddressLines`), but for the
    host service and where nobody has a pace. Inside of what puts headers on every answer: a refusal
    must be readable by a script of another site."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in READING and scope["path"] not in ANY_HOST:
            service: Service = scope["app"].state.service
            if service.turns.paced:
                await self._in_line(service, Request(scope), receive, send)
                return
        await self.app(scope, receive, send)

    async def _in_line(
        self, service: Service, request: Request, receive: Receive, send: Send
    ) -> None:
        try:
            place = await service.lines.enter(address_of(request), partial(is_host, request))
        except Busy as error:
            await failures.respond(request, error)(request.scope, receive, send)
            return

        request.scope[PLACE] = place

        async def sent(message: Message) -> None:
            # It is made. Even its head may wait until the one before it on this connection was read:
            # how slowly that goes is a matter of the connection.
            place.leave()
            await send(message)

        try:
            await self.app(request.scope, receive, sent)
        finally:
            place.leave()
