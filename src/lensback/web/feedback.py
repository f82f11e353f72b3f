"""`/api/feedback`: votes."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from lensback import grants, ledger
from lensback.errors import AlreadyDone, BadQuery, NotFound
from lensback.ledger.clicks import SEARCH_ID
from lensback.ledger.shown import vote_on
from lensback.web import bodies, forms, guard, users
from lensback.web.browser import browser_of
from lensback.web.guard import Writer
from lensback.web.notes import recorded
from lensback.web.service import Opened, Service

VOTES = {"up": 1, "down": -1}
_VOTE_BYTES = 4096

router = APIRouter(responses=bodies.FAILURES)


@router.post(
    "/api/feedback",
    tags=["search"],
    dependencies=[Writer],
    openapi_extra={"requestBody": forms.VOTE_BODY},
)
async def feedback(request: Request, service: Opened) -> JSONResponse:
    """A shopper's vote on one hit of an answer: `up`, this is it; `down`, it is not. One for each hit;
    the browser that searched may change its mind while its photo is remembered.
    """
    fields = await forms.fields(request, _VOTE_BYTES)
    search_id, product_id = fields.get("search_id", ""), fields.get("product_id", "")
    vote = VOTES.get(fields.get("vote", ""))
    if not SEARCH_ID.fullmatch(search_id) or not forms.PRODUCT_ID.fullmatch(product_id):
        raise BadQuery("search_id or product_id is missing", hint="take both from an answer")
    if vote is None:
        raise BadQuery("not a vote", hint="use up or down")
    said = await recorded(service.workspace, service.shown, search_id)
    if product_id not in said.product_ids:
        raise NotFound("no answer showed this", hint="take both ids from one answer")
    before = await run_in_threadpool(_vote_before, service, search_id, product_id)
    if before not in {None, vote} and not await run_in_threadpool(
        service.memory.has, search_id, browser_of(request)
    ):
        raise AlreadyDone("there is a vote on this already", hint="search again to vote again")
    if before != vote:
        service.votes.put(f"{search_id} {product_id}", vote)
        voter = await run_in_threadpool(_voter, service, request)
        body = ledger.feedback_body(search_id, product_id, vote, int(time.time()), voter)
        service.workspace.journal.append("feedback", body, durable=False)
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


def _voter(service: Service, request: Request) -> str:
    """Whose vote it is, as a keyed digest: a member's, where votes are learnt from; else nobody's. The cookie
    is `SameSite=Lax`: no page of a stranger votes for a member."""
    workspace = service.workspace
    if not workspace.settings.learn_from_use:
        return ""
    host = guard.is_host(request)
    user = users.user_of(request, workspace, int(time.time()), host=host)
    return grants.owner_of(workspace.path, user) if user else ""


def _vote_before(service: Service, search_id: str, product_id: str) -> int | None:
    recent = service.votes.get(f"{search_id} {product_id}")
    return vote_on(service.workspace.db, search_id, product_id) if recent is None else recent
