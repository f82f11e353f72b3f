"""An answer again, for whoever got its link: the products as they are now, and no photo."""

from __future__ import annotations

import re

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lensback import rank
from lensback.catalogue import products
from lensback.errors import NotFound
from lensback.ledger.shown import Shown, shown
from lensback.search import hit_json, with_cashback
from lensback.types import Filter, Hit
from lensback.web.language import speech_of
from lensback.web.pages import FRESH, render
from lensback.web.service import Opened, Service
from lensback.web.views import HEADLINES, card

router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

_SEARCH_ID = re.compile(r"[0-9a-f]{16}")


@router.get("/answers/{search_id}")
def answer_page(request: Request, search_id: str, service: Opened) -> Response:
    """What a search showed, with the prices and the stock of now."""
    if not _SEARCH_ID.fullmatch(search_id):
        raise NotFound("no such answer", hint="search again")
    said = shown(service.workspace.db, search_id)
    speech = speech_of(request)
    cards = [
        card(hit_json(hit, search_id), speech, calibrated=False) for hit in _hits(service, said)
    ]
    headline, _ = HEADLINES[said.verdict]
    title = speech.say(headline)
    lead = speech.say("An answer that was shared ({day}).", day=speech.date(said.at))
    if cards:
        lead += " " + speech.say("Prices and stock are those of now.")
    elif said.products:
        lead += " " + speech.say("These things are not sold any more.")
    return render(request, "answers.html", headers=FRESH, title=title, lead=lead, cards=cards)


def _hits(service: Service, said: Shown) -> list[Hit]:
    """The products that are still sold, in their old order. Exactness was said of a photo that
    is not here any more, so it is not said again."""
    found = products.get(service.workspace.db, [p for p, _ in said.products], Filter())
    currency = service.workspace.settings.currency
    sold = [stored for product in found.values() for stored in product.offers]
    priced = with_cashback(service.workspace.db, sold, service.workspace.cashback)
    by_id = {stored.offer_id: stored for stored in priced}
    hits = []
    for product_id, probability in said.products:
        product = found.get(product_id)
        if product is None:
            continue
        ordered = products.product_of(
            product_id, rank.in_order((by_id[s.offer_id] for s in product.offers), currency)
        )
        image_hash = next((h for stored in ordered.offers for h in stored.image_hashes), "")
        hits.append(Hit(ordered, 0.0, probability, exact=False, image_hash=image_hash))
    return hits
