"""Workspace -> the application: routes, failures, the envelope around each request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from lensback import __version__
from lensback.web import (
    admin,
    answers,
    api,
    batch,
    cashback,
    claims,
    failures,
    feedback,
    go,
    install,
    metrics,
    notes,
    pages,
    postbacks,
    products,
    programs,
    saved,
    similar,
    why,
)
from lensback.web.assets import Squeezed, Static
from lensback.web.envelope import Envelope
from lensback.web.hosts import OwnNames, known_hosts
from lensback.web.inturn import InLine, InTurn
from lensback.web.service import Service
from lensback.web.warming import Warming
from lensback.workspace import Workspace

SWEEP_S = 3600.0

DESCRIPTION = """Finds the thing in a photo among the offers of many stores.

A failure is {"error": {"type": …, "message": …, "hint": …}} with a fitting status; the hint is the one\nthing to do next. Every response carries X-Request-ID."""


def create_app(workspace: Workspace, warming: Warming | None = None) -> FastAPI:
    """The application. The workspace stays the caller's to close. `warming` where that has begun; else it begins
    with the application."""
    service = Service.over(workspace)
    app = FastAPI(
        title="Lensback",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,  # made once, in pages.description: dear to write for every caller
        docs_url=None,  # the framework's own pages load scripts from elsewhere; see pages.docs
        redoc_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.service, app.state.warming = service, warming
    app.state.kept, app.state.written = {}, {}
    for part in (
        api,
        batch,
        why,
        go,
        feedback,
        postbacks,
        programs,
        cashback,
        claims,
        saved,
        metrics,
    ):
        app.include_router(part.router)
    app.include_router(similar.router)
    app.include_router(answers.router)
    app.include_router(products.router)
    app.include_router(admin.router)
    app.include_router(pages.router)
    app.include_router(install.router)
    app.mount("/static", Static(packages=[("lensback.web", "static")]), name="static")
    app.add_middleware(Squeezed)
    app.add_middleware(InLine)
    if workspace.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=workspace.settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=[
                *("Authorization", "Content-Type", "Lensback-Browser", "X-API-Key", "X-Request-ID")
            ],
            expose_headers=["Retry-After", "X-Request-ID"],
            max_age=86_400,
        )
    app.add_middleware(OwnNames, known=known_hosts(workspace.settings))
    app.add_middleware(InTurn)
    app.add_middleware(Envelope, https=workspace.settings.public_url.startswith("https://"))
    failures.install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Warms up beside the first requests; they wait for what they need, no longer."""
    service: Service = app.state.service
    warming: Warming = app.state.warming or Warming(service.workspace)
    warming.tell()
    drainer = notes.Drainer(service.workspace, service.note_guesses)
    drainer.start()
    cleaning = asyncio.create_task(_every(SWEEP_S, service.sweep))
    yield
    cleaning.cancel()
    for gate in (service.gate, *service.later, service.fetching, service.explaining):
        gate.close()
    service.workspace.photo_fetcher.halt.set()
    drainer.stop()


async def _every(seconds: float, work: Callable[[], object]) -> None:
    while True:
        await asyncio.to_thread(work)
        await asyncio.sleep(seconds)
