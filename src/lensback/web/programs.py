"""What a store pays and what a shopper must know before the click, as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from lensback.catalogue import stores
from lensback.errors import BadQuery, NotFound
from lensback.programs import facts, shape
from lensback.speech import Speech, languages
from lensback.web import bodies, guard, users
from lensback.web.guard import Reader
from lensback.web.language import speech_of
from lensback.web.service import Opened, Service
from lensback.web.views import AnswerView, Card, OfferLine
from lensback.wire import DEPENDS_ON

router = APIRouter(responses=bodies.FAILURES)

MOST = 50
"""Stores of one question."""


@router.get(
    "/api/programs",
    tags=["cashback"],
    dependencies=[Reader],
    responses={200: {"model": shape.Programs}},
)
def programs(
    request: Request,
    service: Opened,
    store: Annotated[list[str], Query(description="A store; repeatable, at most 50.")] = [],  # noqa: B006
    lang: Annotated[str, Query(description="`en`, `ru`; else as the browser asks.")] = "",
) -> Response:
    """What these stores pay: rates, conditions, dates, what to do for a purchase to count, and
    whether this request's clicks count for somebody (host key, pass). Words are in `lang`."""
    if not 1 <= len(store) <= MOST:
        raise BadQuery("name the stores", hint=f"store=NAME, 1 to {MOST} times")
    found = facts_of(request, service, store, lang)
    return bodies.respond(shape.Programs(programs=found), fresh=True)


@router.get(
    "/api/programs/{name}",
    tags=["cashback"],
    dependencies=[Reader],
    responses={200: {"model": shape.ProgramFacts}},
)
def program(name: str, request: Request, service: Opened, lang: str = "") -> Response:
    """What one store pays, as in `/api/programs`."""
    (found,) = facts_of(request, service, [name], lang)
    return bodies.respond(found, fresh=True)


def facts_of(
    request: Request, service: Service, names: list[str], lang: str = ""
) -> tuple[shape.ProgramFacts, ...]:
    """The facts of these stores for who asks, in `lang` or the visitor's language. Raises
    UnknownName."""
    if any(not stores.NAME.fullmatch(name) for name in names):
        raise NotFound("no such store", hint="take names from GET /api/stores")
    speech = Speech(lang) if lang in languages() else speech_of(request)
    return _facts(request, service, names, speech)


def _facts(
    request: Request, service: Service, names: list[str], speech: Speech
) -> tuple[shape.ProgramFacts, ...]:
    workspace, now = service.workspace, int(time.time())
    # A bearer without a user is an API key, and no guess at the host's.
    host = users.HEADER in request.headers and guard.is_host(request)
    known = bool(users.user_of(request, workspace, now, host=host))
    return facts.of_stores(workspace.db, workspace.networks, names, now, speech, signed_in=known)


@dataclass(frozen=True, slots=True)
class StoreTerms:
    """What a page says of one store's cashback before the click."""

    facts: shape.ProgramFacts
    depends: str
    """What decides how much it will be, as a sentence; empty where nothing does."""


def terms_by_store(
    request: Request, service: Service, cards: Iterable[Card], speech: Speech
) -> Mapping[str, StoreTerms]:
    """The terms of each store of these cards that pays cashback on one of them, in their order: its facts for
    who asks. A store that is not connected any more is left out."""
    lines: dict[str, list[OfferLine]] = {}
    for card in cards:
        for line in card.lines:
            if line.after and line.store_name in service.marks:
                lines.setdefault(line.store_name, []).append(line)
    if not lines:
        return {}
    return {
        found.store: StoreTerms(found, _depends(lines[found.store], speech))
        for found in _facts(request, service, list(lines), speech)
        if found.pays
    }


def terms_of_answer(
    request: Request, service: Service, view: AnswerView | None, speech: Speech
) -> Mapping[str, StoreTerms]:
    """What the stores of an answer's cards pay, see `terms_by_store`; nothing without an answer."""
    return terms_by_store(request, service, (*view.exact, *view.similar), speech) if view else {}


def _depends(lines: Iterable[OfferLine], speech: Speech) -> str:
    """What the cashback of any of these lines depends on."""
    codes = {code for line in lines for code in line.depends_on}
    return facts.depends_in_words([code for code in DEPENDS_ON if code in codes], speech)
