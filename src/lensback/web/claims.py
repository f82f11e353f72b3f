"""Claims for lost purchases: from the shopper's page, and from the host service."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lensback import wire
from lensback.decimals import decimal_of
from lensback.errors import BadQuery, Forbidden, NotFound
from lensback.ledger import claims
from lensback.ledger.claims import Bought
from lensback.ledger.clicks import USER_TOKEN
from lensback.types import Money
from lensback.web import bodies, forms, guard
from lensback.web.bodies import FRESH
from lensback.web.browser import from_own_page
from lensback.web.cashback import user_of_page
from lensback.web.guard import Writer
from lensback.web.service import Opened, Service

router = APIRouter(responses=bodies.FAILURES)

MAX_BYTES = 8192
FIELDS = ("click_id", "order_id", "ordered_on", "amount", "currency", "note")
BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["click_id", "order_id", "ordered_on", "amount", "currency"],
                "properties": {name: {"type": "string"} for name in FIELDS},
            }
        }
    },
}


@router.post(
    "/api/users/{token}/claims",
    tags=["cashback"],
    status_code=201,
    responses={
        200: {"model": wire.Claim, "description": "The same claim was opened before"},
        201: {"model": wire.Claim},
    },
    openapi_extra={"requestBody": BODY},
)
async def open_claim(token: str, request: Request, service: Opened) -> Response:
    """Opens a claim for a click of one user of the host service: `click_id`, and what was bought. The
    same again is the same claim. Needs `Authorization: Bearer` and the host's key."""
    guard.check_host(request)
    if not USER_TOKEN.fullmatch(token):
        raise NotFound("no such user", hint="8 to 128 letters, digits, or . _ ~ -")
    claim, fresh = await _opened(request, service, token)
    answer = bodies.respond(wire.Claim(**claim), fresh=True)
    answer.status_code = 201 if fresh else 200
    return answer


@router.post("/cashback/{token}/claims", include_in_schema=False, dependencies=[Writer])
async def claim_form(token: str, request: Request, service: Opened) -> Response:
    """The form on the shopper's page; the pass says whose it is."""
    if not from_own_page(request):
        raise Forbidden("this was not sent from our page", hint="open the link and claim there")
    user = await run_in_threadpool(user_of_page, token, request, service, int(time.time()))
    await _opened(request, service, user)
    return RedirectResponse(f"/cashback/{token}", status_code=303, headers=FRESH)


async def _opened(request: Request, service: Service, user: str) -> tuple[dict[str, Any], bool]:
    fields = await forms.fields(request, MAX_BYTES)
    said = bought(fields)
    now, db = int(time.time()), service.workspace.db
    click_id = fields.get("click_id", "")[:32]
    await run_in_threadpool(service.workspace.drain)  # the click may still be in the journal
    return await run_in_threadpool(claims.open_claim, db, user, click_id, said, now=now)


def bought(fields: Mapping[str, str]) -> Bought:
    """The fields of a claim. Raises BadQuery naming the one that is wrong."""
    try:
        ordered = date.fromisoformat(fields.get("ordered_on", "").strip())
    except ValueError as error:
        raise BadQuery("ordered_on is no day", hint="such as 2026-11-24") from error
    currency = fields.get("currency", "").strip().upper()
    amount = "".join(fields.get("amount", "").split()).replace(",", ".")
    try:
        paid = Money.of(decimal_of(amount), currency)
    except (ArithmeticError, ValueError) as error:
        raise BadQuery("not an amount", hint="what you paid, such as 3456.00") from error
    return Bought(fields.get("order_id", ""), ordered, paid, fields.get("note", ""))
