"""What a shopper's clicks became: for the host service as JSON, for the shopper as a page."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from lensback import ledger
from lensback.errors import NotFound
from lensback.ledger.clicks import USER_TOKEN
from lensback.speech import N_, nearest
from lensback.web import bodies, users
from lensback.web.bodies import FRESH
from lensback.web.language import speech_of
from lensback.web.pages import render
from lensback.web.service import Opened

router = APIRouter(responses=bodies.FAILURES)

STATES = {
    "pending": N_("waiting for the store"),
    "approved": N_("approved"),
    "paid": N_("paid out"),
    "declined": N_("declined"),
    "owed": N_("to be set off against your next cashback"),
}


@router.get("/api/users/{token}/cashback", tags=["cashback"])
def cashback(token: str, request: Request, service: Opened, lang: str = "en") -> JSONResponse:
    """All sales of one user of the host service: state, amount, expected date, reason, claim.

    Needs `Authorization: Bearer` and the host's key. `pass` lets the user's browser be this user
    for 30 days (`/cashback/{pass}`, `?user=`); hand it to nobody else.
    """
    workspace = service.workspace
    users.check_host(request, workspace.settings)
    known, now = _known(token), int(time.time())
    found = ledger.sales_of(workspace.db, known, now=now, say=nearest(lang).say)
    good = users.pass_for(workspace.path, known, now)
    return JSONResponse({**found, "pass": good, "page": f"/cashback/{good}"}, headers=FRESH)


@router.get("/cashback/{token}", include_in_schema=False, response_class=HTMLResponse)
def cashback_page(token: str, request: Request, service: Opened) -> Response:
    """A page of the shopper's purchases, for who has a pass from the host service. The browser
    keeps it, so that later clicks count for the same user; not where a page of somebody else sent
    it here."""
    workspace, now = service.workspace, int(time.time())
    user = users.user_of_pass(workspace.path, token, now)
    if not user:
        raise NotFound("this link is not good any more", hint="ask for it again where you got it")
    found = ledger.sales_of(workspace.db, user, now=now, say=speech_of(request).say)
    page = render(request, "cashback.html", headers=FRESH, states=STATES, found=found)
    if users.may_remember(request, workspace.settings):
        page.set_cookie(
            users.COOKIE,
            token,
            max_age=users.PASS_S,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
    return page


def _known(token: str) -> str:
    if not USER_TOKEN.fullmatch(token):
        raise NotFound("no such user", hint="8 to 128 letters, digits, or . _ ~ -")
    return token
