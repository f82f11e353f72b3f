"""The shopper's page and the API's description, rendered here; scripts only add comfort."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter
from jinja2 import Environment, PackageLoader
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lensback import __version__
from lensback.search import Query, answer_json
from lensback.types import Answer
from lensback.web.service import Opened, Service
from lensback.web.views import view

router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

FRESH = {"Cache-Control": "no-store"}


@router.get("/")
def home(service: Opened) -> Response:
    """The search form."""
    return _home(service, Query(), None)


@router.post("/")
async def find(request: Request, service: Opened) -> Response:
    """The search form with the answer under it: what the page does without a script."""
    query, answer = await service.answer(request)
    return await run_in_threadpool(_home, service, query, answer)


@router.get("/docs")
def docs(request: Request) -> Response:
    """The API's description, rendered from its own /openapi.json."""
    return _render(
        "docs.html", 200, {}, spec=request.app.openapi(), operations=_operations(request)
    )


def failure(error: Mapping[str, str], status: int, headers: Mapping[str, str]) -> Response:
    """A failure as a page for people."""
    return _render("failure.html", status, headers, error=error)


def _home(service: Service, query: Query, answer: Answer | None) -> Response:
    shown = view(answer_json(answer)) if answer else None
    max_mb = service.workspace.settings.max_image_bytes / (1 << 20)
    front = service.front()
    return _render("home.html", 200, FRESH, front=front, query=query, answer=shown, max_mb=max_mb)


def _render(template: str, status: int, headers: Mapping[str, str], **values: Any) -> Response:
    text = _environment().get_template(template).render(**values)
    return HTMLResponse(text, status_code=status, headers=dict(headers))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lensback.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(asset=asset, product_version=__version__)
    return environment


@cache
def asset(name: str) -> str:
    """Address of a static file; it changes with the content, so that caches never lie."""
    content = files("lensback.web").joinpath("static", name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def _operations(request: Request) -> list[dict[str, Any]]:
    """One entry for each method of each path."""
    return [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in request.app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]
