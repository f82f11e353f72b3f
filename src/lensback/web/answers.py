"""An answer at an address of its own: the search page for the browser that sent the photo, a page of
its products for whoever got the link."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lensback.errors import NotFound
from lensback.ledger.shown import Shown
from lensback.rank import ORDERS, hits_in_order
from lensback.search import Query, query_of, recalled
from lensback.web.bodies import FRESH
from lensback.web.browser import address_of, browser_of, keep_browser
from lensback.web.guard import Reader, Searcher
from lensback.web.kept import jpeg_of
from lensback.web.language import speech_of
from lensback.web.leaving import while_waited_for
from lensback.web.notes import recorded
from lensback.web.pages import render, search_page
from lensback.web.programs import terms_of_answer
from lensback.web.service import Opened, Service
from lensback.web.uploads import Upload
from lensback.web.views import AnswerView, answer_view, filter_words
from lensback.web.ways import base_of
from lensback.wire import Answer

router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

_SEARCH_ID = re.compile(r"[0-9a-f]{16}")


@router.get("/answers/{search_id}", dependencies=[Reader])
async def answer_page(
    request: Request, search_id: str, service: Opened, order: str = ""
) -> Response:
    """What a search showed, with the prices and the stock of now, its filters and its order.

    The browser that sent the photo gets the search page with the photo, as long as that is remembered;
    everybody else, and it too after that, the products without it.
    """
    said = await recorded(service.workspace, service.shown, _known(search_id))
    return await run_in_threadpool(_page, request, service, said, search_id, order)


def _page(request: Request, service: Service, said: Shown, search_id: str, order: str) -> Response:
    workspace, reads = service.workspace, speech_of(request).language
    basis, currency = workspace.cashback, workspace.settings.currency
    answer = recalled(workspace.db, said, search_id, basis, currency, reads)
    query = query_of(said)
    if order in ORDERS:
        query = replace(query, order=order)
        answer = answer.model_copy(update={"hits": tuple(hits_in_order(answer.hits, order))})
    if service.memory.has(search_id, browser_of(request)):
        page = search_page(request, service, Upload(None, query), answer)
        return keep_browser(request, page, workspace.settings)
    return _shared(request, service, said, answer, query)


def _shared(
    request: Request, service: Service, said: Shown, answer: Answer, query: Query
) -> Response:
    """The answer for somebody who does not have its photo."""
    speech = speech_of(request)
    view = answer_view(answer, speech)
    titles = tuple(service.marks[name].title for name in query.stores)
    lead = speech.say("An answer of {day}.", day=speech.date(said.at))
    if answer.hits:
        lead += " " + speech.say("Prices and stock are those of now.")
    elif said.hits:
        lead += " " + speech.say("These things are not sold any more.")
    return render(
        request,
        "shared.html",
        headers=FRESH,
        answer=view,
        terms=terms_of_answer(request, service, view, speech),
        lead=lead,
        filters=filter_words(replace(query, stores=titles), speech),
        about=_about(view),
        base=base_of(request, service.workspace.settings),
    )


def _about(view: AnswerView) -> str:
    """What the first thing is and costs: what a chat shows of the link."""
    first = next(iter((*view.exact, *view.similar)), None)
    if first is None:
        return ""
    price = first.lines[0].after or first.lines[0].price if first.lines else ""
    return " · ".join(filter(None, (first.title, first.brand, price)))


@router.get("/answers/{search_id}/photo", dependencies=[Searcher])
async def answer_photo(request: Request, search_id: str, service: Opened) -> Response:
    """The photo of one's own search, drawn anew as JPEG, as long as it is remembered; for every other
    browser there is nothing here."""
    whose = browser_of(request)
    known = await run_in_threadpool(service.memory.get, _known(search_id), whose)
    content = await run_in_threadpool(service.memory.drawn, known.first, whose)
    if not content:
        pixels = service.workspace.settings.max_image_pixels
        work = partial(jpeg_of, known.photo, pixels)
        async with while_waited_for(request):
            content = await service.placed(work, address_of(request))
    return Response(content, media_type="image/jpeg", headers=FRESH)


def _known(search_id: str) -> str:
    if not _SEARCH_ID.fullmatch(search_id):
        raise NotFound("no such answer", hint="search again")
    return search_id
