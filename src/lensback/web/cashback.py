"""What a shopper's clicks became: for the host service as JSON, for the shopper as a page."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from lensback import grants, ledger, wire
from lensback.errors import Forbidden, NotFound, Unauthorized
from lensback.ledger.clicks import USER_TOKEN
from lensback.speech import nearest
from lensback.web import bodies, guard, purchases, users
from lensback.web.bodies import FRESH
from lensback.web.browser import from_own_page, is_secure
from lensback.web.guard import Reader, Writer
from lensback.web.language import speech_of
from lensback.web.pages import render
from lensback.web.service import Opened, Service

router = APIRouter(responses=bodies.FAILURES)


@router.get(
    "/api/users/{token}/cashback",
    tags=["cashback"],
    responses={200: {"model": wire.ShopperCashback}},
)
def cashback(token: str, request: Request, service: Opened, lang: str = "en") -> Response:
    """All sales of one user of the host service: state, amount, expected date, reason, claim.

    Needs `Authorization: Bearer` and the host's key. `pass` lets the user's browser be this user
    for 30 days (`/cashback/{pass}`, `?user=`); hand it to nobody else.
    """
    workspace = service.workspace
    guard.check_host(request)
    known, now = _known(token), int(time.time())
    found = ledger.sales_of(workspace.db, known, now=now, say=nearest(lang).say)
    good = grants.give_pass(workspace.db, workspace.path, known, now)
    found |= {"pass": good, "page": f"/cashback/{good}"}
    return bodies.respond(wire.ShopperCashback(**found), fresh=True, exclude_unset=True)


@router.get(
    "/cashback/{token}",
    include_in_schema=False,
    dependencies=[Reader],
    response_class=HTMLResponse,
)
def cashback_page(token: str, request: Request, service: Opened) -> Response:
    """A page of the shopper's purchases, for who has a pass from the host service. It asks whether
    this browser's later clicks shall count for the same user."""
    workspace, now = service.workspace, int(time.time())
    user = user_of_page(token, request, service, now)
    kept = users.user_of_pass(workspace, request.cookies.get(users.COOKIE, ""), now)
    speech = speech_of(request)
    found = ledger.sales_of(workspace.db, user, now=now, say=speech.say)
    return render(
        request,
        "cashback.html",
        headers=FRESH,
        page=f"/cashback/{token}",
        states=purchases.STATES,
        totals=[(name, found["totals"][name]) for name in purchases.TOTALS],
        sales=[purchases.sale_line(sale, speech) for sale in found["sales"]],
        visits=[purchases.visit_line(visit, speech) for visit in found["visits"]],
        more=found["more"],
        currency=_currency(found, workspace.settings.currency),
        mine=kept == user,
        other=bool(kept),
    )


def _currency(statement: Mapping[str, Any], usual: str) -> str:
    """The currency that a claim's form begins with: the shopper's own, else the service's."""
    own = [amount["currency"] for amounts in statement["totals"].values() for amount in amounts]
    return str(max(own, key=own.count)) if own else usual


@router.post("/cashback/{token}", include_in_schema=False, dependencies=[Writer])
def keep_pass(token: str, request: Request, service: Opened) -> Response:
    """The browser keeps the pass, because its owner said so on our own page: a link that somebody
    else sent makes nobody click for a stranger."""
    if not from_own_page(request):
        raise Forbidden("this was not sent from our page", hint="open the link and choose there")
    user_of_page(token, request, service, int(time.time()))
    page = RedirectResponse(f"/cashback/{token}", status_code=303, headers=FRESH)
    page.set_cookie(
        users.COOKIE,
        token,
        max_age=grants.PASS_S,
        httponly=True,
        samesite="lax",
        secure=is_secure(request, service.workspace.settings),
    )
    return page


def user_of_page(token: str, request: Request, service: Service, now: int) -> str:
    """The user of a pass. Raises NotFound, and TooMany for who tries passes out."""
    try:
        with guard.guessed(request, "pass"):
            return users.checked_pass(service.workspace, token, now)
    except Unauthorized as error:
        hint = "ask for it again where you got it"
        raise NotFound("this link is not good any more", hint=hint) from error


def _known(token: str) -> str:
    if not USER_TOKEN.fullmatch(token):
        raise NotFound("no such user", hint="8 to 128 letters, digits, or . _ ~ -")
    return token
