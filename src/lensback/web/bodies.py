"""Bodies of the API: written from the models of `wire`, and what /openapi.json says of failures."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from starlette.responses import Response

from lensback.wire import Failure
from lensback.wire.numbers import Body

FRESH = MappingProxyType({"Cache-Control": "no-store"})
"""Headers of what must not be kept."""

FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Failure, "description": "The request is wrong"},
    "5XX": {"model": Failure, "description": "The service cannot answer"},
    422: {"model": Failure, "description": "A parameter makes no sense"},
}
"""What every route may answer with beside its own."""


def respond(
    body: Body, *, fresh: bool = False, exclude_unset: bool = False, by_language: bool = False
) -> Response:
    """The body as JSON; `fresh`: nobody may keep it; `by_language`: another reader gets another."""
    text = body.model_dump_json(by_alias=True, exclude_unset=exclude_unset)
    headers = dict(FRESH) if fresh else {}
    if by_language:
        headers["Vary"] = "Accept-Language, Cookie"
    return Response(text, media_type="application/json", headers=headers)
