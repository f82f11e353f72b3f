"""Several photos in one request, for integrators: each is answered or fails by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from lensback.errors import Busy, Error
from lensback.search import answer_json
from lensback.web import shapes
from lensback.web.guard import Searcher, searcher
from lensback.web.service import Opened, Service
from lensback.web.uploads import MAX_PHOTOS, Upload, read_uploads

router = APIRouter(responses=shapes.FAILURES)
PATIENCE_S = 20.0
"""How long one photo of a batch waits for a place; shoppers come first."""
PAUSE_S = 0.1


@router.post(
    "/api/search/batch",
    tags=["search"],
    dependencies=[Searcher],
    responses={200: {"model": shapes.BatchShape}},
    openapi_extra={"requestBody": shapes.BATCH_BODY},
)
async def batch(request: Request, service: Opened) -> JSONResponse:
    """Several photos at once, with one set of filters. Photos that cannot be searched fail alone."""
    limit = service.workspace.settings.max_image_bytes
    with service.gate.upload():
        uploads = await read_uploads(request, limit, MAX_PHOTOS)
    for _ in uploads[1:]:
        searcher(request)  # each photo counts
    results = [await _result(service, request, upload) for upload in uploads]
    return JSONResponse({"results": results}, headers={"Cache-Control": "no-store"})


async def _result(service: Service, request: Request, upload: Upload) -> Mapping[str, object]:
    """The answer of one photo, or its failure."""
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            answer = await service.find(request, upload)
        except Busy as error:
            if asyncio.get_running_loop().time() > end:
                return error.as_json()
            await asyncio.sleep(PAUSE_S)
        except Error as error:
            return error.as_json()
        else:
            return {"answer": answer_json(answer)}
