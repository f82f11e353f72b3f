"""The operator's pages, behind a key of scope `admin`. Server-rendered; they need no script."""

from __future__ import annotations

import time
from html import escape

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from lensback import keys, tokens
from lensback.catalogue import health, stores
from lensback.errors import Forbidden, NotFound, Unauthorized
from lensback.keys import Key
from lensback.ledger.activity import days
from lensback.web import forms
from lensback.web.bodies import FRESH
from lensback.web.browser import from_own_page, is_secure
from lensback.web.guard import address_of, guessed
from lensback.web.pages import render
from lensback.web.service import Opened, Service
from lensback.workspace import ago

router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

COOKIE = "lensback_admin"
SESSION_S = 12 * 3600
REPORT = "report.html"


@router.get("/admin")
def overview(request: Request, service: Opened) -> Response:
    """Stores and their health, searches of the last days; or the form that asks for the key."""
    if not _entered(request, service):
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
        report=(service.workspace.path / REPORT).exists(),
    )


@router.get("/admin/stores/{name}")
def store(request: Request, name: str, service: Opened) -> Response:
    """One store: its last runs, and the rows that became no offer, with their reasons."""
    if not _entered(request, service):
        return RedirectResponse("/admin", status_code=303)
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
    if not _entered(request, service):
        return RedirectResponse("/admin", status_code=303)
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
    own, until = tokens.own_key(service.workspace.path), int(time.time()) + SESSION_S
    response = RedirectResponse("/admin", status_code=303)
    response.set_cookie(
        COOKIE,
        tokens.issued(own, key.name, until, _purpose(key)),
        max_age=SESSION_S,
        path="/admin",
        httponly=True,
        samesite="strict",
        secure=is_secure(request, service.workspace.settings),
    )
    return response


@router.post("/admin/leave")
def leave() -> Response:
    """Ends the session in this browser. Nothing else: another site could at most log us out, and
    `SameSite=Strict` keeps it from that."""
    response = RedirectResponse("/admin", status_code=303)
    response.delete_cookie(COOKIE, path="/admin")
    return response


def _key_of_admin(service: Service, secret: str) -> Key:
    key = keys.find(service.keyring.get(), secret.strip()[:200])
    if key is None or key.scope != "admin":
        raise Unauthorized("this is not a key of scope admin", hint="see lensback key add")
    return key


def _entered(request: Request, service: Service) -> bool:
    """Whether the session is good: signed by us, not over, and its key not removed since."""
    purposes = {key.name: _purpose(key) for key in service.keyring.get() if key.scope == "admin"}
    own, session = tokens.own_key(service.workspace.path), request.cookies.get(COOKIE, "")
    return bool(
        tokens.bearer_of(own, session, int(time.time()), lambda name: purposes.get(name, ""))
    )


def _purpose(key: Key) -> str:
    """A session is of one key: it ends with it, and is no user's pass."""
    return f"admin {{}} {key.hash}"
