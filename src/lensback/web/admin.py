"""The operator's pages, behind a key of scope `admin`. Server-rendered; they need no script."""

from __future__ import annotations

import time
from html import escape
from typing import Literal

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from lensback import deeds, grants, keys, ledger, tokens
from lensback.catalogue import health, stores
from lensback.counted import ago, coming
from lensback.errors import BadQuery, Forbidden, NotFound, Unauthorized
from lensback.keys import Key
from lensback.ledger import pulls
from lensback.ledger.activity import days
from lensback.web import forms
from lensback.web.bodies import FRESH
from lensback.web.browser import address_of, from_own_page, is_secure
from lensback.web.guard import Reader, guessed
from lensback.web.pages import render
from lensback.web.service import Opened, Service

router = APIRouter(
    dependencies=[Reader], default_response_class=HTMLResponse, include_in_schema=False
)

COOKIE = "lensback_admin"
SESSION_S = 12 * 3600
REPORT = "report.html"
MOST_SHOWN = 500
"""Sales under review on one page."""


@router.get("/admin")
def overview(request: Request, service: Opened) -> Response:
    """Stores and their health, searches of the last days; or the form that asks for the key."""
    if _entered(request, service) is None:
        return render(request, "admin_enter.html", headers=FRESH, wrong=False)
    return render(
        request,
        "admin.html",
        headers=FRESH,
        stores=service.overview(),
        days=days(service.workspace.db, int(time.time())),
        ago=ago,
        waiting=service.workspace.journal.waiting_bytes,
        snapshot=service.workspace.index.snapshot,
        networks=pulls.states(service.workspace.db),
        held=ledger.held_count(service.workspace.db),
        report=(service.workspace.path / REPORT).exists(),
    )


@router.get("/admin/stores/{name}")
def store(request: Request, name: str, service: Opened) -> Response:
    """One store: its last runs, and the rows that became no offer, with their reasons."""
    if _entered(request, service) is None:
        return RedirectResponse("/admin", status_code=303, headers=FRESH)
    shown = stores.overview(service.workspace.db, only=name)
    if not shown:
        raise NotFound("no such store", hint="see /admin")
    return render(
        request,
        "admin_store.html",
        headers=FRESH,
        store=shown[0],
        runs=health.runs(service.workspace.db, name),
        ago=ago,
    )


@router.get("/admin/report")
def report(request: Request, service: Opened) -> Response:
    """The last report that `lensback report --out WORKSPACE/report.html` wrote."""
    if _entered(request, service) is None:
        return RedirectResponse("/admin", status_code=303, headers=FRESH)
    path = service.workspace.path / REPORT
    if not path.exists():
        raise NotFound(
            "there is no report yet", hint=f"lensback report --out {escape(str(REPORT))}"
        )
    # The report's own styles stand in the page; scripts it has none, and none may run.
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return FileResponse(path, headers={**FRESH, "Content-Security-Policy": policy})


@router.post("/admin/enter")
async def enter(request: Request, service: Opened) -> Response:
    """Takes the key and gives a session that no other site can use."""
    service.pace.take(f"address {address_of(request)}")
    if not from_own_page(request):
        raise Forbidden("this was not sent from our page", hint="enter at /admin")
    given = (await forms.fields(request, 4096)).get("key", "")
    try:
        with guessed(request):
            key = _key_of_admin(service, given)
    except Unauthorized:
        return render(request, "admin_enter.html", 401, FRESH, wrong=True)
    now, db = int(time.time()), service.workspace.db
    secret = grants.give_session(db, key.name, key.hash, now, SESSION_S)
    deeds.note(db, now, f"key {key.name}", "enter")
    response = RedirectResponse("/admin", status_code=303, headers=FRESH)
    response.set_cookie(
        COOKIE,
        secret,
        max_age=SESSION_S,
        path="/admin",
        httponly=True,
        samesite="strict",
        secure=is_secure(request, service.workspace.settings),
    )
    return response


@router.post("/admin/leave")
def leave(request: Request, service: Opened) -> Response:
    """Ends the session, here and wherever its cookie was copied to."""
    key = _sent(request, service)
    now, db = int(time.time()), service.workspace.db
    if key is not None:
        grants.end_session(db, request.cookies[COOKIE], now)
        deeds.note(db, now, f"key {key.name}", "leave")
    response = RedirectResponse("/admin", status_code=303, headers=FRESH)
    response.delete_cookie(COOKIE, path="/admin")
    return response


@router.get("/admin/access")
def access(request: Request, service: Opened) -> Response:
    """Who may come in: sessions and passes that are good now, and the last lines of the audit log."""
    if _entered(request, service) is None:
        return RedirectResponse("/admin", status_code=303, headers=FRESH)
    db, now = service.workspace.db, int(time.time())
    return render(
        request,
        "admin_access.html",
        headers=FRESH,
        grants=grants.listed(db, now=now),
        deeds=deeds.last(db),
        ago=ago,
        coming=coming,
    )


@router.post("/admin/grants/{grant_id}/end")
def end_grant(request: Request, grant_id: str, service: Opened) -> Response:
    """Ends one session or pass."""
    key = _sent(request, service)
    if key is not None:
        now, db = int(time.time()), service.workspace.db
        ended = grants.end(db, grant_id, now)
        deeds.note(
            db, now, f"key {key.name}", "grant end", f"{ended.kind} {ended.id[: grants.SHOWN]}"
        )
    return RedirectResponse("/admin/access", status_code=303, headers=FRESH)


@router.get("/admin/review")
def review(request: Request, service: Opened) -> Response:
    """The sales that were set aside until somebody has looked at them."""
    if _entered(request, service) is None:
        return RedirectResponse("/admin", status_code=303, headers=FRESH)
    sales = ledger.held_sales(service.workspace.db, MOST_SHOWN)
    held = ledger.held_count(service.workspace.db)
    return render(request, "admin_review.html", headers=FRESH, sales=sales, held=held, ago=ago)


@router.post("/admin/sales/{sale_id}/{verdict}")
async def decide(
    request: Request, sale_id: int, verdict: Literal["release", "refuse"], service: Opened
) -> Response:
    """Lets a sale through that was set aside, or refuses it; the note is kept."""
    key = _sent(request, service)
    note = (await forms.fields(request, 4096)).get("note", "").strip()[:500]
    if key is not None and not note:
        raise BadQuery("say why", hint="the note is kept with the sale")
    if key is not None:
        await run_in_threadpool(_decide, service, key, sale_id, verdict, note)
    return RedirectResponse("/admin/review", status_code=303, headers=FRESH)


def _decide(
    service: Service, key: Key, sale_id: int, verdict: Literal["release", "refuse"], note: str
) -> None:
    """The line of the audit log comes first: without it nothing is decided."""
    now, workspace = int(time.time()), service.workspace
    deeds.note(workspace.db, now, f"key {key.name}", f"ledger {verdict}", f"sale {sale_id}: {note}")
    rates = workspace.known_rates
    ledger.decide(workspace.db, sale_id, verdict, note=note, at=now, rates=rates)
    ledger.remember(workspace.db, workspace.path)


def _sent(request: Request, service: Service) -> Key | None:
    """The key whose session sent a form of ours. Raises Forbidden for another site's form."""
    if not from_own_page(request):
        raise Forbidden("this was not sent from our page", hint="use the pages under /admin")
    return _entered(request, service)


def _entered(request: Request, service: Service) -> Key | None:
    """The key whose session it is: given by us, not over, not ended, and the key not removed since."""
    secret = request.cookies.get(COOKIE, "")[: tokens.MAX_CHARS]
    owner = grants.owner_of_session(service.workspace.db, secret, int(time.time()))
    own = (key for key in service.keyring.get() if key.scope == "admin")
    return next((key for key in own if owner and tokens.same(key.hash, owner)), None)


def _key_of_admin(service: Service, secret: str) -> Key:
    key = keys.find(service.keyring.get(), secret.strip()[:200])
    if key is None or key.scope != "admin":
        raise Unauthorized("this is not a key of scope admin", hint="see lensback key add")
    return key
