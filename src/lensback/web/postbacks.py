"""`/postback/{network}`: a network's call, checked and written to the journal before it is answered."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from lensback import conversions, ledger
from lensback.errors import BadQuery, Error, NotFound, PostbackError, TooLarge, UnknownName
from lensback.networks import open_network
from lensback.types import Conversion
from lensback.web import bodies, forms, guard
from lensback.web.service import Opened, Service

MAX_BYTES = 64 << 10
_OK: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {}}, "description": "Written down"}
}

router = APIRouter(responses=bodies.FAILURES)


@router.get("/postback/{network}", tags=["networks"], response_class=Response, responses=_OK)
@router.post("/postback/{network}", tags=["networks"], response_class=Response, responses=_OK)
async def postback(network: str, request: Request, service: Opened) -> Response:
    """News of a sale, with the network's secret or signature. The same news may come many times
    and in any order. Answered with 200 when it is on the disk, or tells of no sale."""
    now = int(time.time())
    try:
        fields = await forms.fields(request, MAX_BYTES)
        if secret := request.headers.get("x-postback-secret"):
            fields.setdefault("secret", secret)
        with guard.guessed(request, network):
            news = await run_in_threadpool(_read, service, network, fields, now)
    except (BadQuery, TooLarge, PostbackError, NotFound, UnknownName) as error:
        _refused(service, request, network, error, now)
        raise
    except Error as error:
        if error.http_status == 401:
            _refused(service, request, network, error, now)
        raise
    if news:
        body = ledger.news_body(news, at=now, source="postback")
        await run_in_threadpool(service.workspace.journal.append, "news", body)
    return PlainTextResponse("OK", headers={"Cache-Control": "no-store"})


def _read(service: Service, name: str, fields: dict[str, str], now: int) -> Conversion | None:
    path = service.workspace.path
    try:
        network = open_network(name, path / "networks")
    except UnknownName as error:
        raise NotFound("no such network", hint="see docs/networks.md") from error
    account = conversions.account_of(path, network.name)
    return conversions.receive(network, fields, account, at=now)


def _refused(service: Service, request: Request, network: str, error: Error, now: int) -> None:
    guard.writer(request)  # a stranger's call that is written down
    log = conversions.RefusedCalls(service.workspace.path / "refused_postbacks.log")
    # A name that is no network is somebody's text: it is not kept.
    known = "" if isinstance(error, NotFound) else network
    log.add(known, f"{type(error).__name__}: {error.message}", now)
