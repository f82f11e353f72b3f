"""Several photos in one request, for integrators: each is answered or fails by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from lensback import wire
from lensback.errors import Busy, Error
from lensback.web import bodies
from lensback.web.browser import keep_browser
from lensback.web.guard import Searcher, searcher
from lensback.web.leaving import while_waited_for
from lensback.web.service import Opened, Service
from lensback.web.uploads import BATCH_BODY, MAX_PHOTOS, Upload, read_uploads

router = APIRouter(responses=bodies.FAILURES)
PATIENCE_S = 20.0
"""How long one photo of a batch waits for a place; shoppers come first."""
PAUSE_S = 0.1


@router.post(
    "/api/search/batch",
    tags=["search"],
    dependencies=[Searcher],
    responses={200: {"model": wire.Batch}},
    openapi_extra={"requestBody": BATCH_BODY},
)
async def batch(request: Request, service: Opened) -> Response:
    """Several photos at once, with one set of filters. Photos that cannot be searched fail alone."""
    limit = service.workspace.settings.max_image_bytes
    async with service.arrivals.body_of(request):
        uploads = await read_uploads(request, limit, MAX_PHOTOS)
        for _ in uploads[1:]:
            searcher(request)  # each photo counts
        async with while_waited_for(request) as still:
            results = [await _result(service, request, upload, still) for upload in uploads]
    found = bodies.respond(wire.Batch(results=tuple(results)), fresh=True, exclude_unset=True)
    return keep_browser(request, found, service.workspace.settings)


async def _result(
    service: Service, request: Request, upload: Upload, still: Callable[[], object]
) -> wire.BatchResult:
    """The answer of one photo, or its failure."""
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            answer = await service.find(request, upload, still)
        except Busy as error:
            if asyncio.get_running_loop().time() > end:
                return _failed(error)
            await asyncio.sleep(PAUSE_S)
        except Error as error:
            return _failed(error)
        else:
            return wire.BatchResult(answer=answer)


def _failed(error: Error) -> wire.BatchResult:
    return wire.BatchResult(error=wire.Problem(**error.as_json()["error"]))
