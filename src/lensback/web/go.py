"""`/go`: one click, written down before the shopper leaves, and the way to the store."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lensback import ledger
from lensback.cashback import plain_page, program_link
from lensback.catalogue import offers
from lensback.catalogue.stores import StoredProgram
from lensback.errors import NotFound, Unauthorized
from lensback.ledger.clicks import SEARCH_ID
from lensback.networks import MAX_CHARS
from lensback.programs.facts import STEPS
from lensback.types import Money, StoredOffer
from lensback.web import bodies, forms, guard, navigation, users
from lensback.web.pages import render
from lensback.web.service import Opened, Service

router = APIRouter(responses=bodies.FAILURES)

HEADERS = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"}

_PAGE: dict[str, Any] = {"text/html": {}}
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


@router.get(
    "/go/{offer_id}",
    tags=["search"],
    response_class=RedirectResponse,
    status_code=302,
    responses={
        200: {
            "description": "A page with the way on, for what is no click; with the setting `activated_s` also "
            "the page that says that the cashback is activated, which goes on by itself",
            "content": _PAGE,
        },
        302: {"description": "To the offer's page at its store, through its network"},
        204: {"description": "For programs, where the only address is a network's"},
        503: {"description": "The same page for a prefetch: nobody clicked yet", "content": _PAGE},
    },
)
def go(offer_id: str, request: Request, service: Opened, search: str = "") -> Response:
    """Writes the click down and sends the shopper through the program's link to the offer's page,
    nowhere else. `search` is the search it was found by.

    Only a page of a browser that goes there is a click. `HEAD` and programs get the store's own page; a
    prefetch, a frame, a picture or a script of another page get a page with the way on, and so does a
    pass in the address that did not come from a page of ours. The host service, which proves itself
    by its key, may click for its users from a program.
    """
    if not forms.OFFER_ID.fullmatch(offer_id):
        raise NotFound(f"no such offer: {offer_id[:64]!r}", hint="take ids from an answer")
    host, looks = _is_host(request), navigation.looks_ahead(request)
    passes = request.scope.get("lensback_head", False) or (
        navigation.is_program(request) and not host
    )
    if looks or passes:
        guard.reader(request)
    elif not host:
        guard.writer(request)
    stored, programs = offers.to_click(service.workspace.db, offer_id)
    if looks:
        # Not 2xx: the browser asks again when the shopper really clicks.
        return _way_on(request, stored, search, status=503)
    if passes:
        return _past_networks(stored, programs)
    now = int(time.time())
    user = users.user_of(request, service.workspace, now, host=host)
    if not host:
        if not navigation.is_navigation(request):
            return _way_on(request, stored, search)
        if users.is_named_by_stranger(request, service.workspace, now, user):
            return _way_on(request, stored, search, foreign=True)
    if user:
        service.click_pace.take(f"user {user}")
    way = click(service, stored, programs, search, user, now)
    return _redirect(way.address) if host else _onward(request, service, stored, way)


def _is_host(request: Request) -> bool:
    """Whether the host service asks. Raises Unauthorized where it names a user without its key: sent on
    untracked, the commission of every click would be lost without a word."""
    host = guard.is_host(request)
    if not host and request.headers.get("x-user-token"):
        raise Unauthorized(
            "a click for a user needs the host service's key", hint="send Authorization: Bearer KEY"
        )
    return host


@router.post(
    "/go/{offer_id}",
    tags=["search"],
    response_class=RedirectResponse,
    status_code=303,
    responses={303: {"description": "To the offer's page at its store, through its network"}},
    openapi_extra={"requestBody": forms.PASS_BODY},
)
async def go_as_member(
    offer_id: str, request: Request, service: Opened, search: str = ""
) -> Response:
    """Writes a member's click down and sends him to the offer's page, asked by a form of the host service's
    own page: `user` is the pass. Only pages of `cors_origins` may send it, and no link can; from
    elsewhere it leads to a page with the way on."""
    if not forms.OFFER_ID.fullmatch(offer_id):
        raise NotFound(f"no such offer: {offer_id[:64]!r}", hint="take ids from an answer")
    guard.writer(request)
    known = request.headers.get("origin", "") in service.workspace.settings.cors_origins
    if not known or not navigation.is_navigation(request):
        stored, _ = await run_in_threadpool(offers.to_click, service.workspace.db, offer_id)
        return _way_on(request, stored, search)
    fields = await forms.fields(request, MAX_CHARS)
    given = fields.get("user", "")
    return await run_in_threadpool(_as_member, request, service, offer_id, search, given)


def _as_member(
    request: Request, service: Service, offer_id: str, search: str, text: str
) -> Response:
    now = int(time.time())
    stored, programs = offers.to_click(service.workspace.db, offer_id)
    user = users.user_of_pass(service.workspace, text, now)
    if user:
        service.click_pace.take(f"user {user}")
    way = click(service, stored, programs, search, user, now)
    return _onward(request, service, stored, way, 303)


@dataclass(frozen=True, slots=True)
class Way:
    """Where one click leads, and what it may bring."""

    address: str
    cashback: Money | None
    """Estimated for whose click it is; None where nothing is paid, or to nobody."""


def click(
    service: Service,
    stored: StoredOffer,
    programs: Sequence[StoredProgram],
    search_id: str,
    user: str,
    now: int,
) -> Way:
    """The way of one click, which is in the journal when this returns. Raises Busy where that
    is full: a click that nobody can find again would be cashback lost."""
    workspace = service.workspace
    click_id = ledger.new_click_id()
    link = program_link(workspace.networks, programs, stored, click_id, now, workspace.rates)
    body = ledger.click_body(
        click_id,
        stored,
        at=now,
        source="go",
        search_id=search_id,
        user_token=user,
        network=link.network,
        program_id=str(link.program_id or ""),
        terms=link.terms_snapshot,
        estimate=link.estimate,
    )
    address = checked_address(link.url)
    workspace.journal.append("click", body)
    return Way(address, link.estimate if user and link.network else None)


def _onward(
    request: Request, service: Service, stored: StoredOffer, way: Way, status: int = 302
) -> Response:
    """To the store: at once, or by a page that says for a moment that the cashback is activated, where the
    operator wants that and it is."""
    seconds = service.workspace.settings.activated_s
    if not seconds or way.cashback is None:
        return _redirect(way.address, status)
    headers = {**HEADERS, "Refresh": f"{seconds:g};url={way.address}"}
    return render(request, "activated.html", 200, headers, store=stored.store, way=way, steps=STEPS)


def _way_on(
    request: Request, stored: StoredOffer, search: str, *, status: int = 200, foreign: bool = False
) -> Response:
    """A page from which a person may click; the link in it names nobody."""
    known = SEARCH_ID.fullmatch(search)
    address = f"/go/{stored.offer_id}{f'?search={search}' if known else ''}"
    return render(
        request, "go.html", status, HEADERS, store=stored.store, address=address, foreign=foreign
    )


def _past_networks(stored: StoredOffer, programs: Sequence[StoredProgram]) -> Response:
    try:
        return _redirect(checked_address(plain_page(programs, stored)))
    except NotFound:
        return Response(status_code=204, headers=HEADERS)


def checked_address(url: str) -> str:
    """The address, if a browser may be sent to it. Raises NotFound."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or _CONTROL.search(url) or len(url) > MAX_CHARS:
        raise NotFound("the store gave no address for this offer", hint="choose another offer")
    return url


def _redirect(url: str, status: int = 302) -> Response:
    return RedirectResponse(url, status_code=status, headers=HEADERS)
