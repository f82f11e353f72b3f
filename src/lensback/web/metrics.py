"""`/metrics`, in Prometheus' text format."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from lensback.web import bodies
from lensback.web.gauges import Now
from lensback.web.guard import bearer_of_scope
from lensback.web.service import Opened, Service

router = APIRouter(responses=bodies.FAILURES)

_LOOPBACK = {"127.0.0.1", "::1"}
_NAMES = {*_LOOPBACK, "localhost", "[::1]"}
_PASSED_ON = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")


@router.get(
    "/metrics",
    tags=["operation"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}},
)
def metrics(request: Request, service: Opened) -> Response:
    """Counters and latencies of all workers, and how the workspace stands: with a key of scope
    metrics or admin, or from this machine where nothing speaks of a proxy."""
    if not _from_this_machine(request, service):
        bearer_of_scope(request, "metrics", "admin")
    lines = generate_latest(service.meters.counted()) + generate_latest(Now(service.workspace))
    return Response(lines, media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _from_this_machine(request: Request, service: Service) -> bool:
    """Whether a program of this machine asks for itself. A proxy on it has the same address, and gives
    itself away by its headers, by the name that it was asked for, by the old protocol that nginx
    speaks to what is behind it; where the settings speak of one, nobody is believed."""
    settings = service.workspace.settings
    if request.client is None or request.client.host not in _LOOPBACK:
        return False
    passed = any(name in _PASSED_ON or name.startswith("x-forwarded") for name in request.headers)
    direct = request.scope.get("http_version") != "1.0" and not passed
    alone = not (settings.trusted_proxies or settings.public_url)
    name = request.headers.get("host", "").lower()
    return direct and alone and (name in _NAMES or name.rpartition(":")[0] in _NAMES)
