"""An answer again, for whoever got its link: the products as they are now, and no photo."""

from __future__ import annotations

import re

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lensback.catalogue import for_sale
from lensback.errors import NotFound
from lensback.ledger.shown import Shown, shown
from lensback.search import Prices, hit_of, in_order
from lensback.types import Filter
from lensback.verdicts import HEADLINES
from lensback.web.bodies import FRESH
from lensback.web.language import speech_of
from lensback.web.pages import render
from lensback.web.service import Opened, Service
from lensback.web.views import card
from lensback.wire import Hit

router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

_SEARCH_ID = re.compile(r"[0-9a-f]{16}")


@router.get("/answers/{search_id}")
def answer_page(request: Request, search_id: str, service: Opened) -> Response:
    """What a search showed, with the prices and the stock of now."""
    if not _SEARCH_ID.fullmatch(search_id):
        raise NotFound("no such answer", hint="search again")
    said = shown(service.workspace.db, search_id)
    speech = speech_of(request)
    cards = [card(hit, speech, calibrated=False) for hit in _hits(service, said, search_id)]
    title = speech.say(HEADLINES[said.verdict])
    lead = speech.say("An answer that was shared ({day}).", day=speech.date(said.at))
    if cards:
        lead += " " + speech.say("Prices and stock are those of now.")
    elif said.products:
        lead += " " + speech.say("These things are not sold any more.")
    return render(request, "answers.html", headers=FRESH, title=title, lead=lead, cards=cards)


def _hits(service: Service, said: Shown, search_id: str) -> list[Hit]:
    """The products that are still sold, in their old order. Exactness was said of a photo that
    is not here any more, so it is not said again."""
    db, currency = service.workspace.db, service.workspace.settings.currency
    found = for_sale.rows(db, [product_id for product_id, _ in said.products], Filter())
    sold = [row for rows in found.values() for row in rows]
    prices = Prices.of(db, sold, service.workspace.cashback)
    images = for_sale.images(db, [row.offer_id for row in sold])
    hits = []
    for product_id, probability in said.products:
        rows = found.get(product_id, [])
        if not rows:
            continue
        ordered = in_order(rows, prices, currency=currency, search_id=search_id)
        shown = (images.get(offer.offer_id, ()) for offer in ordered)
        image_hash = next((image for own in shown for image in own), "")
        hits.append(
            hit_of(product_id, rows, ordered, image_hash=image_hash, probability=probability)
        )
    return hits
