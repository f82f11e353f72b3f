"""A product as a page of its own: its pictures, every store, what it cost over time, what looks like it."""

from __future__ import annotations

import time
from functools import partial

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lensback import wire
from lensback.catalogue import offers, products, saved
from lensback.errors import Error, NotFound
from lensback.ledger.shown import shown
from lensback.search import Query, product_of
from lensback.speech import Speech
from lensback.verdicts import likelihood
from lensback.web import users
from lensback.web.bodies import FRESH
from lensback.web.browser import address_of
from lensback.web.forms import PRODUCT_ID
from lensback.web.guard import Reader, searcher
from lensback.web.language import speech_of
from lensback.web.pages import render
from lensback.web.prices import Chart, chart
from lensback.web.programs import terms_by_store
from lensback.web.service import Opened, Service
from lensback.web.similar import likes
from lensback.web.views import Card, card

router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

MOST_LIKE = 6
"""Look-alikes on the page."""
MOST_OFFERS = 60
"""Offers whose prices over time are drawn."""


@router.get("/products/{product_id}", dependencies=[Reader])
async def product_page(
    request: Request, product_id: str, service: Opened, search: str = ""
) -> Response:
    """A product with its pictures, stores, sizes, prices over time, description and look-alikes; with
    `search`, the id of an answer that showed it, also how likely it is the thing in that photo."""
    if not PRODUCT_ID.fullmatch(product_id):
        raise NotFound("no such product", hint="search again: offers come and go")
    speech = speech_of(request)
    thing = await run_in_threadpool(_product, service, product_id, speech)
    like = await _like(request, service, thing, speech)
    return await run_in_threadpool(_page, request, service, thing, like, search)


def _product(service: Service, product_id: str, speech: Speech) -> wire.Product:
    workspace = service.workspace
    key, rows = products.find(workspace.db, product_id)
    basis, currency = workspace.cashback, workspace.settings.currency
    links = products.links_of(workspace.db, key)
    return product_of(workspace.db, key, rows, links, basis, currency, speech.language)


async def _like(
    request: Request, service: Service, thing: wire.Product, speech: Speech
) -> list[Card]:
    """What looks like it; nothing where that cannot be told just now: the page stands without it."""
    query = Query(limit=MOST_LIKE, language=speech.language)
    work = partial(likes, service, thing.offers[0].offer_id, query)
    try:
        searcher(request)  # it is one, for who asks too many there is only the rest
        _, hits = await service.gate.run(work, address_of(request))
    except Error:
        return []
    return [card(hit, speech, calibrated=False) for hit in hits]


def _page(
    request: Request, service: Service, thing: wire.Product, like: list[Card], search: str
) -> Response:
    speech = speech_of(request)
    hit = wire.Hit(
        product_id=thing.product_id,
        title=thing.title,
        brand=thing.brand,
        category=thing.category,
        similarity=0.0,
        probability=0.0,
        exact=False,
        image=thing.images[0] if thing.images else "",
        offers=thing.offers,
    )
    own = card(hit, speech, calibrated=False)
    owner = users.visitor(request, service.workspace, int(time.time()))
    return render(
        request,
        "product.html",
        headers=FRESH,
        product=thing,
        card=own,
        terms=terms_by_store(request, service, [own, *like], speech),
        description=_description(service, thing),
        chart=_chart(service, thing, speech),
        like=like,
        matched=_matched(service, thing, search, speech),
        search=search,
        stores=sorted({offer.store for offer in thing.offers}),
        saved_price=thing.offers[0].price,
        in_stock=any(offer.here for offer in thing.offers),
        member=bool(owner),
        is_saved=bool(owner) and saved.is_saved(service.workspace.db, owner, thing.product_id),
    )


def _description(service: Service, thing: wire.Product) -> str:
    """What the best offer's store says of it."""
    return offers.get(service.workspace.db, thing.offers[0].offer_id).offer.description


def _chart(service: Service, thing: wire.Product, speech: Speech) -> Chart | None:
    """The lowest price over time in the currency of the best offer, of what a shopper can be sent to."""
    db, currency = service.workspace.db, thing.offers[0].price.currency
    within_reach = [one for one in thing.offers if one.reachable] or thing.offers
    same = [one for one in within_reach if one.price.currency == currency][:MOST_OFFERS]
    return chart([offers.price_history(db, one.offer_id) for one in same], speech)


def _matched(service: Service, thing: wire.Product, search: str, speech: Speech) -> str:
    """How likely it is the thing of a search, in words; "" where that search did not show it."""
    try:
        said = service.shown.get(search) or shown(service.workspace.db, search)
    except NotFound:
        return ""
    hit = next((one for one in said.hits if one.product_id == thing.product_id), None)
    return speech.say(likelihood(hit.probability)) if hit and said.calibrated else ""
