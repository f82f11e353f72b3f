"""`/metrics`, in Prometheus' text format."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from lensback.web import bodies
from lensback.web.guard import administrator
from lensback.web.service import Opened

router = APIRouter(responses=bodies.FAILURES)

_LOOPBACK = {"127.0.0.1", "::1"}


@router.get(
    "/metrics",
    tags=["operation"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}},
)
def metrics(request: Request, service: Opened) -> Response:
    """Counters and latencies of this process. From this machine, or with a key of scope admin."""
    if request.client is None or request.client.host not in _LOOPBACK:
        administrator(request)
    lines = generate_latest(service.meters.registry).decode()
    lines += (
        "# HELP lensback_journal_bytes Clicks, searches and postbacks waiting for the database.\n"
        "# TYPE lensback_journal_bytes gauge\n"
        f"lensback_journal_bytes {service.workspace.journal.waiting_bytes}\n"
    )
    return Response(lines, media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})
