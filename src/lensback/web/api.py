"""The JSON routes and `/images`; `/go` is in `go.py`."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lensback.catalogue import offers, products
from lensback.errors import Error, NotFound, StateError
from lensback.search import answer_json, offer_json, product_json, with_cashback
from lensback.types import StoredOffer
from lensback.web import shapes
from lensback.web.guard import Searcher
from lensback.web.service import Opened, Service

router = APIRouter(responses=shapes.FAILURES)

THUMBNAIL_PX = 320
_OFFER_ID = re.compile(r"[a-z2-7]{16}")
_PRODUCT_ID = re.compile(r"p[a-z2-7]{16}")
_HASH = re.compile(r"[0-9a-f]{64}")


@router.post(
    "/api/search",
    tags=["search"],
    dependencies=[Searcher],
    responses={200: {"model": shapes.AnswerShape}},
    openapi_extra={"requestBody": shapes.SEARCH_BODY},
)
async def search(request: Request, service: Opened) -> JSONResponse:
    """Finds the thing in a photo among the offers of all stores. The photo is not kept."""
    _, answer = await service.answer(request)
    return JSONResponse(answer_json(answer), headers={"Cache-Control": "no-store"})


@router.get(
    "/api/products/{product_id}",
    tags=["catalogue"],
    responses={200: {"model": shapes.ProductShape}},
)
def product(product_id: str, service: Opened) -> JSONResponse:
    """A product: its offers on sale, and why they are one product."""
    db = service.workspace.db
    found = products.find(db, _known(_PRODUCT_ID, product_id, "product"))
    links = products.links_of(db, found.product_id)
    priced = replace(found, offers=with_cashback(db, found.offers, service.workspace.cashback))
    return JSONResponse(product_json(priced, links, service.workspace.settings.currency))


@router.get(
    "/api/offers/{offer_id}", tags=["catalogue"], responses={200: {"model": shapes.OfferDetail}}
)
def offer(offer_id: str, service: Opened) -> JSONResponse:
    """An offer with its price history, also after it went off sale."""
    db = service.workspace.db
    stored = offers.get(db, _known(_OFFER_ID, offer_id, "offer"))
    (stored,) = with_cashback(db, [stored], service.workspace.cashback)
    history = offers.price_history(db, stored.offer_id)
    points = [{"at": _iso(at), "price": price.as_json()} for at, price in history]
    return JSONResponse({**_detail(stored), "price_history": points})


def _detail(stored: StoredOffer) -> dict[str, object]:
    return {
        **offer_json(stored),
        "product_id": stored.product_id,
        "brand": stored.offer.brand,
        "description": stored.offer.description,
        "on_sale": stored.active,
        "images": [f"/images/{image_hash}" for image_hash in stored.image_hashes],
    }


@router.get("/api/stores", tags=["catalogue"], responses={200: {"model": shapes.StoresShape}})
def all_stores(service: Opened) -> JSONResponse:
    """The connected stores. Addresses of feeds are secrets of the operator and not told."""
    lines = [
        {
            "name": state.name,
            "offers": state.offers,
            "in_stock": state.in_stock,
            "images": state.images,
            "last_sync": _iso(state.last_sync) if state.last_sync else None,
            "status": state.status,
        }
        for state in service.overview()
    ]
    return JSONResponse({"stores": lines})


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


@router.get("/healthz", tags=["operation"], responses={200: {"model": shapes.Health}})
async def health() -> JSONResponse:
    """Always `ok`: the process answers."""
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


@router.get("/readyz", tags=["operation"], responses={200: {"model": shapes.Ready}})
def ready(service: Opened) -> JSONResponse:
    """Database, index and encoder are there; 503 with the reason where one is not."""
    return JSONResponse(
        {"status": "ok", "checks": _checked(service)}, headers={"Cache-Control": "no-store"}
    )


def _checked(service: Service) -> dict[str, str]:
    try:
        return service.check()
    except StateError:
        raise
    except Error as error:  # any other kind would be answered with another status
        raise StateError(error.message, hint=error.hint) from error


def _known(pattern: re.Pattern[str], text: str, kind: str) -> str:
    """The id, if it looks like one: nothing else gets near the database or the disk."""
    if not pattern.fullmatch(text):
        raise NotFound(f"no such {kind}: {text[:64]!r}", hint="take ids from an answer")
    return text


def _iso(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
