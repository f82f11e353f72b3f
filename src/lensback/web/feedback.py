"""`/api/feedback`: votes."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from lensback import ledger
from lensback.errors import BadQuery
from lensback.ledger.clicks import SEARCH_ID
from lensback.web import bodies, forms
from lensback.web.service import Opened

VOTES = {"up": 1, "down": -1}
_VOTE_BYTES = 4096

router = APIRouter(responses=bodies.FAILURES)


@router.post("/api/feedback", tags=["search"], openapi_extra={"requestBody": forms.VOTE_BODY})
async def feedback(request: Request, service: Opened) -> JSONResponse:
    """A shopper's vote on one hit: `up`, this is it; `down`, it is not. The latest counts."""
    fields = await forms.fields(request, _VOTE_BYTES)
    search_id, product_id = fields.get("search_id", ""), fields.get("product_id", "")
    vote = VOTES.get(fields.get("vote", ""))
    if not SEARCH_ID.fullmatch(search_id) or not forms.PRODUCT_ID.fullmatch(product_id):
        raise BadQuery("search_id or product_id is missing", hint="take both from an answer")
    if vote is None:
        raise BadQuery("not a vote", hint="use up or down")
    body = ledger.feedback_body(search_id, product_id, vote, int(time.time()))
    service.workspace.journal.append("feedback", body, durable=False)
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})
