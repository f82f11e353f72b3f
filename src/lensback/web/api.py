"""The JSON routes and `/images`; `/go` is in `go.py`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from lensback import logos, wire
from lensback.catalogue import for_sale, offers, products, stores
from lensback.errors import NotFound
from lensback.search import Prices, product_of
from lensback.web import bodies, uploads
from lensback.web.browser import keep_browser
from lensback.web.forms import OFFER_ID, PRODUCT_ID
from lensback.web.guard import Reader, Searcher
from lensback.web.language import speech_of
from lensback.web.service import Opened

router = APIRouter(responses=bodies.FAILURES)

THUMBNAIL_PX = 320
_HASH = re.compile(r"[0-9a-f]{64}")


@router.post(
    "/api/search",
    tags=["search"],
    dependencies=[Searcher],
    responses={200: {"model": wire.Answer}},
    openapi_extra={"requestBody": uploads.SEARCH_BODY},
)
async def search(request: Request, service: Opened) -> Response:
    """Finds the thing in a photo among the offers of all stores. The photo is not kept."""
    _, answer = await service.answer(request)
    found = bodies.respond(answer, fresh=True)
    return keep_browser(request, found, service.workspace.settings)


@router.get(
    "/api/products/{product_id}",
    tags=["catalogue"],
    dependencies=[Reader],
    responses={200: {"model": wire.Product}},
)
def product(product_id: str, request: Request, service: Opened) -> Response:
    """A product: its offers on sale, and why they are one product."""
    workspace = service.workspace
    key, rows = products.find(workspace.db, _known(PRODUCT_ID, product_id, "product"))
    links = products.links_of(workspace.db, key)
    basis, currency = workspace.cashback, workspace.settings.currency
    reads = speech_of(request).language
    found = product_of(workspace.db, key, rows, links, basis, currency, reads)
    return bodies.respond(found, by_language=True)


@router.get(
    "/api/offers/{offer_id}",
    tags=["catalogue"],
    dependencies=[Reader],
    responses={200: {"model": wire.OfferDetail}},
)
def offer(offer_id: str, service: Opened) -> Response:
    """An offer with its price history, also after it went off sale."""
    db = service.workspace.db
    stored = offers.get(db, _known(OFFER_ID, offer_id, "offer"))
    row = for_sale.row(db, stored.offer_id)
    history = offers.price_history(db, stored.offer_id)
    detail = wire.OfferDetail(
        **dict(Prices.of(db, [row], service.workspace.cashback).offer(row)),
        product_id=stored.product_id,
        brand=stored.offer.brand,
        description=stored.offer.description,
        on_sale=stored.active,
        images=tuple(f"/images/{image_hash}" for image_hash in stored.image_hashes),
        price_history=tuple(wire.PricePoint(at=_iso(at), price=price) for at, price in history),
    )
    return bodies.respond(detail)


@router.get(
    "/api/stores",
    tags=["catalogue"],
    dependencies=[Reader],
    responses={200: {"model": wire.Stores}},
)
def all_stores(service: Opened) -> Response:
    """The connected stores. Addresses of feeds are secrets of the operator and not told."""
    lines = (
        wire.Store(
            name=state.name,
            title=state.title or state.name,
            offers=state.offers,
            in_stock=state.in_stock,
            images=state.images,
            last_sync=_iso(state.last_sync) if state.last_sync else None,
            status=state.status,
        )
        for state in service.overview()
    )
    return bodies.respond(wire.Stores(stores=tuple(lines)))


@router.get(
    "/images/{image_hash}",
    tags=["catalogue"],
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}, "description": "A thumbnail"},
        304: {"description": "The one you have is right"},
    },
)
def image(image_hash: str, request: Request, service: Opened) -> Response:
    """A thumbnail of a store's image. It never changes, so it may be kept for good."""
    known = _known(_HASH, image_hash, "image")
    etag = f'"{known}-{THUMBNAIL_PX}"'
    headers = {"ETag": etag, "Cache-Control": "public, max-age=31536000, immutable"}
    asked = request.headers.get("if-none-match", "")
    if etag in [tag.strip().removeprefix("W/") for tag in asked.split(",")]:
        return Response(status_code=304, headers=headers)
    content = service.workspace.images.thumbnail(known, THUMBNAIL_PX)
    return Response(content, media_type="image/jpeg", headers=headers)


@router.get("/logos/{store}", include_in_schema=False)
def logo(store: str, service: Opened) -> Response:
    """The logo of a store, drawn by us; its address changes with it."""
    path = logos.path_of(service.workspace.path, _known(stores.NAME, store, "store"))
    try:
        content = path.read_bytes()
    except OSError:
        raise NotFound("this store has no logo", hint="lensback store logo NAME") from None
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(content, media_type="image/png", headers=headers)


@router.get("/healthz", tags=["operation"], responses={200: {"model": wire.Health}})
async def health() -> Response:
    """Always `ok`: the process answers."""
    return bodies.respond(wire.Health(status="ok"), fresh=True)


@router.get("/readyz", tags=["operation"], responses={200: {"model": wire.Ready}})
async def ready(service: Opened) -> Response:
    """Database, index and encoder are there; 503 with the reason where one is not."""
    checks = await service.readiness.latest(service.check)
    return bodies.respond(wire.Ready(status="ok", checks=checks), fresh=True)


def _known(pattern: re.Pattern[str], text: str, kind: str) -> str:
    """The id, if it looks like one: nothing else gets near the database or the disk."""
    if not pattern.fullmatch(text):
        raise NotFound(f"no such {kind}: {text[:64]!r}", hint="take ids from an answer")
    return text


def _iso(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
