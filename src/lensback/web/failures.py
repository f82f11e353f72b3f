"""Every failure as `{"error": {"type", "message", "hint"}}`, or as a page for a person's browser."""

from __future__ import annotations

import logging
import re

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lensback import log
from lensback.errors import BadQuery, Busy, Error, InputError, NotFound, TooMany
from lensback.web import pages
from lensback.web.browser import address_of
from lensback.web.leaving import Left

RETRY_AFTER_S = {True: "1", False: "30"}
"""A place is free in a moment; a missing index takes an operator."""

REFUSALS = {401, 403, 429, 503}
"""Statuses of who asks too often, may not, or finds no place: see `turns`. Paths that are none
count with them."""

_PATH = re.compile(r"(?<![\w/:.<])/(?:[^\s/'\",;:]+/)*[^\s/'\",;:]+")


class InternalError(Error):
    """We are at fault; what happened is in the log."""


class BadRequest(InputError):
    """What is no request that anybody answers; its status is the protocol's."""


class MethodNotAllowed(InputError):
    """A path that is there, asked with the wrong method."""

    http_status = 405


def install(app: FastAPI) -> None:
    """Registers the handlers that turn errors into answers."""
    app.add_exception_handler(Error, _ours)
    app.add_exception_handler(HTTPException, _protocol)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _unexpected)


def respond(request: Request, error: Error, headers: dict[str, str] | None = None) -> Response:
    """The response for one of our errors."""
    status = error.http_status
    headers = {**(headers or {}), "Cache-Control": "no-store"}
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.wait_s)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        headers["Retry-After"] = RETRY_AFTER_S[isinstance(error, Busy)]
    shown = _without_paths(error.as_json()["error"]) if status >= 500 else error.as_json()["error"]
    if _by_a_person(request):
        return pages.failure(request, error, shown, status, headers)
    return JSONResponse({"error": shown}, status_code=status, headers=headers)


def _without_paths(shown: dict[str, str]) -> dict[str, str]:
    """Only failures on our side speak of our files, and those are nobody's business."""
    return {key: _PATH.sub("(a file)", text) for key, text in shown.items()}


def _by_a_person(request: Request) -> bool:
    """True for a link opened in a browser; programs get JSON."""
    api = request.url.path.startswith("/api/")
    return not api and "text/html" in request.headers.get("accept", "")


async def _ours(request: Request, error: Exception) -> Response:
    if not isinstance(error, Error):
        raise error
    if isinstance(error, Left):
        return Response(status_code=error.http_status)
    if error.http_status in REFUSALS:
        await _turn(request, error)
    if error.http_status >= 500:
        fields = {"type": type(error).__name__, "message": error.message}
        log.event("failed", logging.WARNING, **fields)
    return respond(request, error)


async def _turn(request: Request, error: Exception) -> None:
    """Waits until one more refusal may be given to who asks."""
    _let_go(error)
    await request.app.state.service.refusals.turn(address_of(request))


def _let_go(error: BaseException) -> None:
    """Drops what the error's frames hold: a photo must not stay in memory while its refusal waits."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__


async def _protocol(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    await _turn(request, error)
    if error.status_code == 404:
        return respond(request, NotFound("no such page", hint="see /docs for all routes"))
    if error.status_code == 405:
        allowed = headers.get("Allow", "")
        hint = f"use {allowed}" if allowed else "see /docs for all routes"
        return respond(request, MethodNotAllowed(f"not with {request.method}", hint=hint), headers)
    ours = BadRequest(str(error.detail), hint="see /docs for what a request looks like")
    ours.http_status = error.status_code
    return respond(request, ours, headers)


async def _validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:])
    return respond(request, BadQuery(f"{name}: {first['msg']}", hint="see /docs"))


async def _unexpected(request: Request, error: Exception) -> Response:
    """The last resort. Starlette raises the error again afterwards, so that the server logs it."""
    headers = request.scope.get("lensback_headers", {})
    request_id = headers.get("X-Request-ID", "")
    log.event("failed", logging.ERROR, type=type(error).__name__, request_id=request_id)
    ours = InternalError("something went wrong on our side", hint="try again, or tell the operator")
    response = respond(request, ours)
    response.headers.update(headers)
    return response
