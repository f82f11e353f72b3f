"""Saved things: on the server for who has a pass (they follow the user), else in the browser by a script."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from lensback.catalogue import saved
from lensback.catalogue.saved import SavedThing, ThingNow
from lensback.decimals import decimal_of
from lensback.errors import BadQuery, Forbidden, NotFound, Unauthorized
from lensback.search import reachable, saved_thing
from lensback.speech import Speech
from lensback.types import MAX_PRICE_MINOR, Money, minor_units
from lensback.web import bodies, forms, guard, users
from lensback.web.bodies import FRESH
from lensback.web.browser import from_own_page
from lensback.web.guard import Reader, Writer
from lensback.web.language import speech_of
from lensback.web.pages import render
from lensback.web.service import Opened, Service
from lensback.wire.numbers import Amount, Body

router = APIRouter(responses=bodies.FAILURES)

MAX_FORM = 400


class Saved(Body):
    """A thing that a user saved, and what became of it."""

    product_id: str = Field(examples=["paaaaaaaaaaaaaaaa"])
    title: str
    image: str = Field(examples=["/images/" + "0" * 64])
    price: Amount = Field(description="The lowest price when it was saved.")
    price_now: Amount | None = Field(
        description="The lowest of those in stock in its currency, else of all."
    )
    state: Annotated[str, Field(pattern="in_stock|sold_out|gone")] = Field(
        description="`gone`: no store sells it any more."
    )
    back: bool = Field(description="It was sold out when it was saved, and is there now.")
    cheaper: bool


class SavedThings(Body):
    """What a user saved, the latest first."""

    things: tuple[Saved, ...]


@dataclass(frozen=True, slots=True)
class _Then:
    """A thing as it was when a browser saved it."""

    price: Money
    here: bool
    at: int
    """0: it did not write down when."""


@dataclass(frozen=True, slots=True)
class SavedLine:
    """A saved thing as its page shows it."""

    thing: SavedThing
    price: str
    before: str
    """What it cost when it was saved; empty where it is not cheaper."""
    state: str


@router.get(
    "/api/saved", tags=["saved"], dependencies=[Reader], responses={200: {"model": SavedThings}}
)
def saved_things(request: Request, service: Opened) -> Response:
    """What the user saved (host key and `X-User-Token`, or a pass), with what it costs now."""
    return bodies.respond(_listed(service, _user(request, service)), fresh=True)


@router.put(
    "/api/saved/{product_id}",
    tags=["saved"],
    dependencies=[Writer],
    responses={200: {"model": SavedThings}},
    openapi_extra={"requestBody": forms.SAVED_BODY},
)
async def save(product_id: str, request: Request, service: Opened) -> Response:
    """Saves a product for the user, at the price of now; again is no mistake. What a browser kept before it
    had a pass comes as it was when it was saved: `amount` and `currency` of the price, whether it was in
    stock (`here`), and when (`saved_at`, UTC epoch seconds)."""
    given = await forms.fields(request, MAX_FORM)
    return await run_in_threadpool(_put, service, request, product_id, given)


def _put(service: Service, request: Request, product_id: str, given: Mapping[str, str]) -> Response:
    user = _user(request, service)
    _save(service, user, product_id, speech_of(request), _then(given))
    return bodies.respond(_listed(service, user), fresh=True)


@router.delete(
    "/api/saved/{product_id}",
    tags=["saved"],
    dependencies=[Writer],
    responses={200: {"model": SavedThings}},
)
def unsave(product_id: str, request: Request, service: Opened) -> Response:
    """Takes a product from the user's saved things; one that is not there is fine."""
    user = _user(request, service)
    saved.drop(service.workspace.db, user, _known(product_id))
    return bodies.respond(_listed(service, user), fresh=True)


@router.get("/saved", include_in_schema=False, dependencies=[Reader], response_class=HTMLResponse)
def saved_page(request: Request, service: Opened) -> Response:
    """The things that the visitor saved: of the user whose pass the browser keeps, else those that a
    script of the page finds in the browser."""
    workspace, speech = service.workspace, speech_of(request)
    user = users.visitor(request, workspace, int(time.time()))
    things = saved.of_owner(workspace.db, user) if user else []
    now = saved.now_of(workspace.db, things, reachable(workspace.db, workspace.cashback))
    lines = [_line(thing, now[thing.product_id], speech) for thing in things]
    return render(request, "saved.html", headers=FRESH, member=bool(user), lines=lines)


@router.post("/saved/{product_id}", include_in_schema=False, dependencies=[Writer])
async def change(product_id: str, request: Request, service: Opened) -> Response:
    """The member's form on our pages: saves the thing, or takes it away (`do=drop`), and comes back."""
    if not from_own_page(request):
        raise Forbidden("this was not sent from our page", hint="open the thing and choose there")
    given = await forms.fields(request, MAX_FORM)
    return await run_in_threadpool(_changed, service, request, _known(product_id), given)


def _changed(
    service: Service, request: Request, product_id: str, given: dict[str, str]
) -> Response:
    db = service.workspace.db
    user = users.visitor(request, service.workspace, int(time.time()))
    if not user:
        raise Unauthorized("nobody is signed in here", hint="open your cashback page first")
    if given.get("do") == "drop":
        saved.drop(db, user, product_id)
    else:
        _save(service, user, product_id, speech_of(request))
    back = "/saved" if given.get("from") == "list" else f"/products/{product_id}"
    return RedirectResponse(back, status_code=303, headers=FRESH)


def _user(request: Request, service: Service) -> str:
    """Raises Unauthorized where the request is nobody's, Forbidden where another site's page sent it."""
    now = int(time.time())
    host = users.HEADER in request.headers and guard.is_host(request)
    user = users.user_of(request, service.workspace, now, host=host)
    if not user:
        hint = "send the host key and X-User-Token, or the pass that it gave"
        raise Unauthorized("whose things?", hint=hint)
    if not host and not from_own_page(request):
        raise Forbidden("this was not sent from our page", hint="send it from there")
    return user


def _save(
    service: Service, owner: str, product_id: str, speech: Speech, then: _Then | None = None
) -> None:
    """As it is now, or as it was `then`. Raises NotFound."""
    db, basis, now = service.workspace.db, service.workspace.cashback, int(time.time())
    thing = saved_thing(db, owner, _known(product_id), basis, speech.language, now)
    if then is not None:
        thing = replace(
            thing,
            price=then.price,
            told_price=then.price,
            here=then.here,
            told_here=then.here,
            saved_at=min(then.at or now, now),
        )
    saved.save(db, thing)


def _then(given: Mapping[str, str]) -> _Then | None:
    """What a browser wrote down of a thing; None where it says no price. Raises BadQuery."""
    if not given.get("amount"):
        return None
    wrong = BadQuery(
        "not a price and a time", hint="send amount, currency and saved_at as they were"
    )
    currency = given.get("currency", "")
    try:
        amount, at = decimal_of(given["amount"]), int(decimal_of(given.get("saved_at", "0")))
    except ValueError as error:
        raise wrong from error
    if currency not in minor_units() or amount < 0 or at < 0:
        raise wrong
    price = Money.of(amount, currency)
    if price.minor >= MAX_PRICE_MINOR:
        raise wrong
    return _Then(price, given.get("here", "").lower() in {"true", "1"}, at)


def _listed(service: Service, owner: str) -> SavedThings:
    db = service.workspace.db
    things = saved.of_owner(db, owner)
    now = saved.now_of(db, things, reachable(db, service.workspace.cashback))
    return SavedThings(things=tuple(_said(thing, now[thing.product_id]) for thing in things))


def _said(thing: SavedThing, now: ThingNow) -> Saved:
    return Saved(
        product_id=thing.product_id,
        title=thing.title,
        image=f"/images/{thing.image}" if thing.image else "",
        price=thing.price,
        price_now=now.price,
        state=_state(now),
        back=now.here and not thing.here,
        cheaper=_cheaper(thing, now),
    )


def _state(now: ThingNow) -> str:
    return "in_stock" if now.here else "sold_out" if now.on_sale else "gone"


def _cheaper(thing: SavedThing, now: ThingNow) -> bool:
    return now.here and now.price is not None and now.price.minor < thing.price.minor


def _line(thing: SavedThing, now: ThingNow, speech: Speech) -> SavedLine:
    state = _state(now)
    if state == "in_stock" and not thing.here:
        state = "back"
    price = speech.money(now.price or thing.price)
    return SavedLine(thing, price, speech.money(thing.price) if _cheaper(thing, now) else "", state)


def _known(product_id: str) -> str:
    if not forms.PRODUCT_ID.fullmatch(product_id):
        raise NotFound("no such product", hint="take ids from an answer")
    return product_id
