"""`/metrics`, in Prometheus' text format."""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from lensback.conversions import RefusedCalls
from lensback.ledger import pulls
from lensback.web import bodies
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
    """Counters and latencies of this process: with a key of scope metrics or admin, or from this
    machine where nothing speaks of a proxy."""
    if not _from_this_machine(request, service):
        bearer_of_scope(request, "metrics", "admin")
    lines = generate_latest(service.meters.registry).decode()
    lines += (
        "# HELP lensback_journal_bytes Clicks, searches and postbacks waiting for the database.\n"
        "# TYPE lensback_journal_bytes gauge\n"
        f"lensback_journal_bytes {service.workspace.journal.waiting_bytes}\n"
    )
    lines += _money(service)
    return Response(lines, media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _money(service: Service) -> str:
    """Per network: when it was asked last, rows and calls that were refused, sales that wait aside."""
    workspace = service.workspace
    found = pulls.states(workspace.db)
    refused = Counter[str]()
    for reason, count in RefusedCalls(workspace.path / "refused_postbacks.log").counts().items():
        refused[reason.partition(":")[0] or "unknown"] += count
    gauges = (
        (
            "pull_good_timestamp_seconds",
            "End of the last pull that read everything.",
            {state.network: state.good_at for state in found if state.good_at is not None},
        ),
        (
            "pull_refused_rows",
            "Rows of reports that could not be read.",
            {state.network: state.refused.total() for state in found},
        ),
        (
            "sales_aside",
            "Sales whose click nobody knows.",
            {state.network: state.aside for state in found},
        ),
        (
            "sales_review",
            "Sales that wait for an operator's decision.",
            {state.network: state.review for state in found},
        ),
        ("postbacks_refused", "Calls that were refused lately.", dict(refused)),
    )
    text = ""
    for name, about, values in gauges:
        text += f"# HELP lensback_{name} {about}\n# TYPE lensback_{name} gauge\n"
        for network, value in sorted(values.items()):
            text += f'lensback_{name}{{network="{network}"}} {value}\n'
    return text


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
