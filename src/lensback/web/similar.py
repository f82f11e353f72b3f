"""What looks like an offer: for programs, and as a page."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lensback import wire
from lensback.catalogue import offers
from lensback.errors import NotFound
from lensback.search import Query, similar
from lensback.types import StoredOffer
from lensback.web import bodies
from lensback.web.browser import address_of
from lensback.web.forms import OFFER_ID
from lensback.web.guard import Searcher
from lensback.web.language import speech_of
from lensback.web.leaving import while_waited_for
from lensback.web.pages import render
from lensback.web.programs import terms_by_store
from lensback.web.service import Opened, Service
from lensback.web.views import card

router = APIRouter(responses=bodies.FAILURES)


@router.get(
    "/api/offers/{offer_id}/similar",
    tags=["search"],
    dependencies=[Searcher],
    responses={200: {"model": wire.Similar}},
)
async def similar_offers(
    request: Request,
    offer_id: str,
    service: Opened,
    limit: int = 12,
    store: str = "",
    category: str = "",
    in_stock: bool = False,
) -> Response:
    """Other products that look like an offer. None is called exact: the same product at other
    stores is in `/api/products`."""
    query = Query(
        limit=limit,
        stores=tuple(filter(None, store.split(","))),
        category=category,
        in_stock=in_stock,
        language=speech_of(request).language,
    )
    work, address = partial(likes, service, offer_id, query), address_of(request)
    async with while_waited_for(request):
        stored, hits = await service.gate.run(work, address)
    return bodies.respond(wire.Similar(offer_id=stored.offer_id, hits=tuple(hits)))


@router.get(
    "/similar/{offer_id}",
    dependencies=[Searcher],
    include_in_schema=False,
    response_class=HTMLResponse,
)
async def similar_page(request: Request, offer_id: str, service: Opened) -> Response:
    """A page of the products that look like one offer."""
    speech = speech_of(request)
    query = Query(language=speech.language)
    work = partial(likes, service, offer_id, query)
    async with while_waited_for(request):
        stored, hits = await service.gate.run(work, address_of(request))
    title = speech.say("Similar to {title}", title=stored.offer.title)
    cards = [card(hit, speech, calibrated=False) for hit in hits]
    lead = speech.say("What looks most like it in the connected stores.")
    terms = await run_in_threadpool(terms_by_store, request, service, cards, speech)
    return render(request, "answers.html", title=title, lead=lead, cards=cards, terms=terms)


def likes(service: Service, offer_id: str, query: Query) -> tuple[StoredOffer, list[wire.Hit]]:
    """An offer and what looks like it. Raises NotFound, StateError."""
    if not OFFER_ID.fullmatch(offer_id):
        raise NotFound(f"no such offer: {offer_id[:64]!r}", hint="take ids from an answer")
    stored = offers.get(service.workspace.db, offer_id)
    tools = service.tools()
    for image_hash in stored.image_hashes:
        try:
            vectors = service.workspace.vectors.get(tools.snapshot.fingerprint, [image_hash])
        except NotFound:  # not embedded; another image may be
            continue
        return stored, similar(stored, vectors[0], query, tools)
    raise NotFound("this offer has no image to compare", hint="choose another offer")
