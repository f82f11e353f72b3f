"""`/api/search/{search_id}/why/{image_hash}`: which part of the photo matched, as a layer to lay over it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial

import numpy as np
from fastapi import APIRouter
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from lensback import images
from lensback.errors import NotFound
from lensback.ledger.clicks import SEARCH_ID
from lensback.search import Heat, heat
from lensback.types import Box
from lensback.web import bodies
from lensback.web.browser import address_of, browser_of
from lensback.web.guard import Searcher
from lensback.web.leaving import while_waited_for
from lensback.web.service import Opened, Service
from lensback.web.turns import leave_line

router = APIRouter(responses=bodies.FAILURES)

LAYER_PX = 256
"""Longer side of the layer; a browser stretches it over the photo."""
COLD, HOT = np.array([255, 196, 0]), np.array([255, 32, 64])
MOST_COVER = 190
"""Alpha where the heat is highest, of 255."""
_HASH = re.compile(r"[0-9a-f]{64}")


@router.get(
    "/api/search/{search_id}/why/{image_hash}",
    tags=["search"],
    dependencies=[Searcher],
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "A layer of the photo's shape"}},
)
async def why(search_id: str, image_hash: str, request: Request, service: Opened) -> Response:
    """Which part of a searched photo matched an image: a transparent layer, red where it mattered.

    Only while the photo is remembered (`photo_memory_s`), for the browser that sent it.
    """
    if not SEARCH_ID.fullmatch(search_id) or not _HASH.fullmatch(image_hash):
        raise NotFound("no such search or image", hint="take both from an answer")
    address = address_of(request)
    part = partial(_part, service, search_id, browser_of(request))
    async with while_waited_for(request) as still:
        photo, region = await service.placed(part, address)
        # In a place of its own: it encodes as often as 37 searches do.
        leave_line(request.scope)
        work = partial(_layer, service, image_hash, region, photo, still)
        content = await service.explaining.run(work, address)
    return Response(content, media_type="image/png", headers={"Cache-Control": "no-store"})


def _part(
    service: Service, search_id: str, whose: str, decode: images.Decode
) -> tuple[Image.Image, Box]:
    """The photo, as small as the encoder needs it, and what was searched of it."""
    known, tools = service.memory.get(search_id, whose), service.tools()
    side_px, pixels = 2 * tools.encoder.side_px, tools.max_pixels
    photo = images.decode(known.photo, side_px=side_px, max_pixels=pixels, by=decode)
    return photo, known.region


def _layer(
    service: Service, image_hash: str, region: Box, photo: Image.Image, still: Callable[[], object]
) -> bytes:
    tools = service.tools()
    vector = service.workspace.vectors.get(tools.snapshot.fingerprint, [image_hash])[0]
    found = heat(images.crop(photo, region), vector, tools.encoder, still)
    sink = io.BytesIO()
    painted(found, region, photo.size).save(sink, "PNG", optimize=True)
    return sink.getvalue()


def painted(heat: Heat, region: Box, size: tuple[int, int]) -> Image.Image:
    """The heat in its place on a clear layer of the photo's shape."""
    scale = LAYER_PX / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    left, top, right, bottom = (
        round(value * side) for value, side in zip(region, (width, height) * 2, strict=True)
    )
    place = (max(1, right - left), max(1, bottom - top))
    smooth = Image.fromarray(heat).resize(place, Image.Resampling.BICUBIC)
    share = np.clip(np.asarray(smooth, np.float32), 0, 1)[..., None]
    colour = COLD + (HOT - COLD) * share
    layer = np.concatenate([colour, MOST_COVER * share], axis=-1).astype(np.uint8)
    whole = Image.new("RGBA", (width, height))
    whole.paste(Image.fromarray(layer, "RGBA"), (left, top))
    return whole
