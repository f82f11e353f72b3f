"""`/go`: one click, written down before the shopper leaves, and the way to the store."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from lensback import ledger
from lensback.cashback import plain_page, program_link
from lensback.catalogue import offers
from lensback.catalogue.stores import StoredProgram
from lensback.errors import NotFound
from lensback.types import StoredOffer
from lensback.web import bodies, forms, guard, users
from lensback.web.service import Opened, Service

router = APIRouter(responses=bodies.FAILURES)

HEADERS = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"}
MAX_LINK_CHARS = 8000

_PREFETCH = ("purpose", "sec-purpose", "x-purpose", "x-moz")
_CRAWLER = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|facebookexternalhit|whatsapp|skypeuripreview|vkshare|embedly"
    r"|mediapartners|adsbot|apis-google|feedfetcher|bingpreview|yandex(?!search|browser)\w+/"
    r"|lighthouse|headlesschrome|pingdom|uptime|python-requests|python-httpx|aiohttp|curl/|wget/"
    r"|go-http-client|java/|okhttp|libwww|scrapy",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


@router.get(
    "/go/{offer_id}",
    tags=["search"],
    response_class=RedirectResponse,
    status_code=302,
    responses={
        302: {"description": "To the offer's page at its store, through its network"},
        204: {"description": "For crawlers, where the only address is a network's"},
        503: {"description": "For a prefetch: nobody clicked yet"},
    },
)
def go(offer_id: str, request: Request, service: Opened, search: str = "") -> Response:
    """Writes the click down and sends the shopper through the program's link to the offer's page,
    nowhere else. `search` is the search it was found by.

    `HEAD` and crawlers get the store's own page, a prefetch is refused: none of them is a click.
    The host service, which proves itself by its key, may click for its users from a program.
    """
    if not forms.OFFER_ID.fullmatch(offer_id):
        raise NotFound(f"no such offer: {offer_id[:64]!r}", hint="take ids from an answer")
    head = request.scope.get("lensback_head", False)
    if is_prefetch(request):
        # The browser asks again when the shopper really clicks.
        return Response(status_code=503, headers=HEADERS)
    stored, programs = offers.to_click(service.workspace.db, offer_id)
    host = guard.is_host(request)
    if head or (is_machine(request) and not host):
        return _past_networks(stored, programs)
    if not host:
        guard.writer(request)
    return _redirect(click(service, request, stored, programs, search, host=host))


def click(
    service: Service,
    request: Request,
    stored: StoredOffer,
    programs: Sequence[StoredProgram],
    search_id: str,
    *,
    host: bool = False,
) -> str:
    """The link of one click, which is in the journal when this returns. Raises Busy where that
    is full: a click that nobody can find again would be cashback lost."""
    workspace, now = service.workspace, int(time.time())
    click_id = ledger.new_click_id()
    link = program_link(workspace.networks, programs, stored, click_id, now, workspace.rates)
    body = ledger.click_body(
        click_id,
        stored,
        at=now,
        source="go",
        search_id=search_id,
        user_token=users.user_of(request, workspace, now, host=host),
        network=link.network,
        program_id=str(link.program_id or ""),
        terms=link.terms_snapshot,
        estimate=link.estimate,
    )
    address = checked_address(link.url)
    workspace.journal.append("click", body)
    return address


def is_prefetch(request: Request) -> bool:
    """A browser that looks ahead."""
    said = (request.headers.get(name, "").lower() for name in _PREFETCH)
    return any("prefetch" in text or "preview" in text or "prerender" in text for text in said)


def is_machine(request: Request) -> bool:
    """A program that says what it is."""
    return bool(_CRAWLER.search(request.headers.get("user-agent", "")[:500]))


def _past_networks(stored: StoredOffer, programs: Sequence[StoredProgram]) -> Response:
    try:
        return _redirect(checked_address(plain_page(programs, stored)))
    except NotFound:
        return Response(status_code=204, headers=HEADERS)


def checked_address(url: str) -> str:
    """The address, if a browser may be sent to it. Raises NotFound."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or _CONTROL.search(url) or len(url) > MAX_LINK_CHARS:
        raise NotFound("the store gave no address for this offer", hint="choose another offer")
    return url


def _redirect(url: str) -> Response:
    return RedirectResponse(url, status_code=302, headers=HEADERS)
