"""The shopper's page and the API's description, rendered here; scripts only add comfort."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, PrefixLoader
from markupsafe import Markup, escape
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lensback import __version__
from lensback.errors import Error
from lensback.legible import shown
from lensback.programs import facts
from lensback.search import Query, missing, palette_within
from lensback.speech import N_, Speech, currencies_of, languages
from lensback.verdicts import AVAILABILITY, CLOSEST, HEADLINES, LIKELIHOOD, NO_WAY, TIPS
from lensback.web.assets import SqueezedText, content_of, early
from lensback.web.bodies import FRESH
from lensback.web.browser import browser_of, is_secure, keep_browser
from lensback.web.guard import Reader, Searcher
from lensback.web.language import COOKIE, speech_of
from lensback.web.memory import PhotoForgotten
from lensback.web.programs import terms_of_answer
from lensback.web.service import Opened, Service
from lensback.web.uploads import NothingSent, Upload
from lensback.web.views import COLORS, SORTS, answer_view, box_text
from lensback.web.ways import base_of, in_language
from lensback.wire import Answer

router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

YEAR_S = 365 * 86400
CURRENCY_COOKIE = "currency"


@router.get("/", dependencies=[Reader])
def home(request: Request, service: Opened) -> Response:
    """The page with the search form."""
    return search_page(request, service, Upload(None, Query()), None)


@router.post("/", dependencies=[Searcher])
async def find(request: Request, service: Opened) -> Response:
    """The search form with the answer under it: what the page does without a script."""
    upload, answer = await service.answer(request)
    page = await run_in_threadpool(search_page, request, service, upload, answer)
    _keep_currency(request, page, service, upload.query)
    return keep_browser(request, page, service.workspace.settings)


@router.get("/widget", dependencies=[Reader])
def widget(request: Request, service: Opened) -> Response:
    """The line that puts a button on another page, and the button."""
    return render(request, "widget.html", base=base_of(request, service.workspace.settings))


WIDGET = {
    "find": N_("Find by photo"),
    "close": N_("Close"),
    **HEADLINES,
    "tips": TIPS,
    "closest": CLOSEST,
    "busy": N_("Searching…"),
    "failed": N_("That did not work. Try again."),
    "again": N_("Try again"),
    "offline": N_("The service cannot be reached. Check the connection and try again."),
    "slow": N_("This takes too long. Check the connection and try again."),
    "go": N_("To store"),
    "noWay": NO_WAY,
    "upTo": N_("Cashback up to"),
    "back": N_("Cashback"),
    "terms": N_("conditions"),
    "dependsOn": facts.DEPENDS_SENTENCE,
}
HOUR_S = 3600
HERE = "http://address.invalid"
"""Stands in what is kept of `/docs` for the address that it is asked by."""
MOST_KEPT = 16
"""Texts that are kept compressed: the API's description, and `/docs` for a few languages and addresses."""


@router.get("/static/widget.js")
def widget_script() -> Response:
    """The button's script, with its words in every language: it reads the other page's."""
    lasts = {"Cache-Control": f"public, max-age={HOUR_S}"}
    return Response(_widget_text(), media_type="text/javascript", headers=lasts)


@cache
def _widget_text() -> str:
    words = {
        language: {name: Speech(language).say(text) for name, text in WIDGET.items()}
        | {"failures": {name: _whole(said, Speech(language)) for name, said in FAILURES.items()}}
        | {"statuses": _by_status(Speech(language))}
        | {"depends": {code: Speech(language).say(text) for code, text in facts.DEPENDS.items()}}
        | {"stock": {key: Speech(language).say(text) for key, text in AVAILABILITY.items()}}
        | {"direction": Speech(language).direction}
        | {"likelihood": [(least, Speech(language).say(text)) for least, text in LIKELIHOOD]}
        for language in languages()
    }
    send = content_of("send.js").decode()
    return _environment("").get_template("widget.js").render(words=words, send=send)


@router.get("/docs")
def docs(request: Request) -> Response:
    """The API's description, rendered from its own /openapi.json; drawn once for each language, and compressed once
    for each address that its example tells. Of those a few are kept, the first ones: strangers may name any."""
    speech, text = speech_of(request), _docs_text(request)
    service: Service = request.app.state.service
    base = str(escape(base_of(request, service.workspace.settings)))
    key, kept = f"{speech.language} {base}", _kept(request)
    if key not in kept and len(kept) >= MOST_KEPT:
        return _page(request, speech, text.replace(HERE, base))
    if key not in kept:
        kept[key] = SqueezedText.of(text.replace(HERE, base))
    content, headers = kept[key].as_taken(request)
    return _page(request, speech, content, headers=headers)


def _docs_text(request: Request) -> str:
    """The page of `/docs` in the request's language, with HERE for an address."""
    speech, written = speech_of(request), request.app.state.written
    if speech.language not in written:
        values = {"spec": request.app.openapi(), "operations": _operations(request), "base": HERE}
        values["in_language"] = "?lang={}".format  # kept for everybody: nothing of this request's
        written[speech.language] = text_of(request, speech, "docs.html", **values)
    text: str = written[speech.language]
    return text


@router.get("/openapi.json", include_in_schema=False)
def description(request: Request) -> Response:
    """The API's description for programs, written once."""
    kept = _kept(request)
    if "json" not in kept:
        kept["json"] = SqueezedText.of(json.dumps(request.app.openapi(), ensure_ascii=False))
    content, headers = kept["json"].as_taken(request)
    return Response(content, media_type="application/json", headers=headers)


def _kept(request: Request) -> dict[str, SqueezedText]:
    """What is dear to make and the same for everybody, as long as the application lives."""
    kept: dict[str, SqueezedText] = request.app.state.kept
    return kept


FAILURES = {
    "BadImage": (
        N_("This file is not a picture that we can read."),
        N_("Choose a photo, or take a new one."),
    ),
    "TooLarge": (N_("This photo is too large for us."), N_("Choose a smaller one.")),
    "TooSlow": (
        N_("The photo took too long to arrive."),
        N_("Try again, or choose a smaller one."),
    ),
    "TooMany": (N_("That was a lot in a short time."), N_("Wait a minute and try again.")),
    "Busy": (N_("Many people search just now."), N_("Try again in a moment.")),
    "StateError": (N_("The service is not ready."), N_("Try again later.")),
    "NotFound": (N_("There is nothing at this address."), N_("Search with a photo instead.")),
    "BadQuery": (
        N_("Something in the search cannot be understood."),
        N_("Look at the filters and the price, and try again."),
    ),
    "BadRequest": (
        N_("Something in the search cannot be understood."),
        N_("Open the page anew and try again."),
    ),
    "InputError": (
        N_("No picture can be read from this address."),
        N_("Save the picture and choose it as a file."),
    ),
    "Forbidden": (N_("This is not allowed here."), N_("Open the page anew and try again.")),
    "MethodNotAllowed": (
        N_("There is nothing at this address."),
        N_("Search with a photo instead."),
    ),
}
"""What a shopper reads, and the one thing to do; the message for programs stands folded under it."""
NO_PHOTO = (N_("No photo was chosen."), FAILURES["BadImage"][1])
"""Of all that cannot be understood this is known: a form sent with nothing in it."""
FORGOTTEN = (N_("Your photo is forgotten by now."), N_("Choose it again."))
UNFORESEEN = (N_("Something went wrong on our side."), N_("Try again in a moment."))
BY_STATUS = {
    400: FAILURES["BadRequest"],
    403: FAILURES["Forbidden"],
    404: FAILURES["NotFound"],
    408: FAILURES["TooSlow"],
    413: FAILURES["TooLarge"],
    415: FAILURES["BadImage"],
    422: FAILURES["BadQuery"],
    429: FAILURES["TooMany"],
    500: UNFORESEEN,
    502: FAILURES["StateError"],
    503: FAILURES["StateError"],
    504: FAILURES["StateError"],
}
"""The same where what came tells no type: it is the page of a proxy, or cut off."""


def _by_status(speech: Speech) -> dict[int, str]:
    return {status: _whole(said, speech) for status, said in BY_STATUS.items()}


def _whole(said: tuple[str, str], speech: Speech) -> str:
    return " ".join(speech.say(text) for text in said)


def failure(
    request: Request,
    error: Error,
    shown: Mapping[str, str],
    status: int,
    headers: Mapping[str, str],
) -> Response:
    """A failure as a page for people. `shown`: what a program would be told of it."""
    own = {NothingSent: NO_PHOTO, PhotoForgotten: FORGOTTEN}.get(type(error))
    words, advice = own or FAILURES.get(shown["type"], UNFORESEEN)
    return render(request, "failure.html", status, headers, error=shown, words=words, advice=advice)


def search_page(
    request: Request, service: Service, upload: Upload, answer: Answer | None
) -> Response:
    """The search form with an answer under it, and the photo where it is remembered for this browser."""
    query, speech = upload.query, speech_of(request)
    view = answer_view(answer, speech) if answer else None
    max_bytes, front = service.workspace.settings.max_image_bytes, service.front()
    return render(
        request,
        "home.html",
        headers=FRESH,
        front=front,
        query=query,
        box=box_text(query.box) if query.box else "",
        filtered=query.narrowed,
        answer=view,
        terms=terms_of_answer(request, service, view, speech),
        photo=photo_address(answer.search_id) if answer and _mine(request, service, answer) else "",
        statuses=_by_status(speech),
        max_bytes=max_bytes,
        max_mb=max_bytes / (1 << 20),
        sorts=SORTS,
        preferred=_currency(request, service, query, answer),
        colors={key: words for key, words in COLORS.items() if key in front.palette.colors},
        nothing_in=_nothing_in(service, query, answer) if answer else frozenset(),
        in_language=partial(in_language, request, page=_page_of(request, answer)),
    )


def _nothing_in(service: Service, query: Query, answer: Answer) -> frozenset[str]:
    """The colours that cannot be chosen for an answer. Where what narrows it means nothing any more (an answer
    of long ago), that is passed over."""
    try:
        within = palette_within(query, answer, service.tools())
    except Error:
        within = None
    return missing(service.front().palette, query, answer, within)


def _currency(request: Request, service: Service, query: Query, answer: Answer | None) -> str:
    """The currency that the limits of the price begin with: the asked one, the one that this browser's shopper
    chose the last time, or the service's, else what is paid with where the shopper's languages are spoken, else
    that of what was found first, else the commonest."""
    hits = answer.hits if answer else ()
    found = [offer.price.currency for hit in hits[:1] for offer in hit.offers[:1]]
    here = currencies_of(request.headers.get("accept-language", ""))
    sold = service.front().currencies
    chosen = request.cookies.get(CURRENCY_COOKIE, "")
    guesses = (query.currency, chosen, service.workspace.settings.currency, *here, *found, *sold)
    return next((one for one in guesses if one in sold), "")


def _keep_currency(request: Request, page: Response, service: Service, query: Query) -> None:
    """A currency that the page would not have begun with was chosen: the browser keeps it."""
    if query.currency and query.currency != _currency(request, service, Query(), None):
        _keep(page, CURRENCY_COOKIE, query.currency, request, service)


def _keep(page: Response, name: str, value: str, request: Request, service: Service) -> None:
    """For a year, in this browser, for our pages alone."""
    secure = is_secure(request, service.workspace.settings)
    page.set_cookie(name, value, max_age=YEAR_S, samesite="lax", httponly=True, secure=secure)


def _page_of(request: Request, answer: Answer | None) -> str:
    """Where an answer is found again that a form brought; "" where the page's own address does that."""
    return f"/answers/{answer.search_id}" if answer and request.method == "POST" else ""


def photo_address(search_id: str) -> str:
    """Where a browser gets the photo of its own search, as long as that is remembered."""
    return f"/answers/{search_id}/photo"


def _mine(request: Request, service: Service, answer: Answer) -> bool:
    return service.memory.has(answer.search_id, browser_of(request))


def render(
    request: Request,
    template: str,
    status: int = 200,
    headers: Mapping[str, str] = MappingProxyType({}),
    **values: Any,
) -> Response:
    """A template in the visitor's language."""
    speech = speech_of(request)
    return _page(request, speech, text_of(request, speech, template, **values), status, headers)


def text_of(request: Request, speech: Speech, template: str, **values: Any) -> str:
    """A template with the words of a language."""
    values |= {"speech": speech, "_": speech.say, "_n": speech.plural, "number": speech.number}
    service: Service = request.app.state.service
    values["keep_days"] = service.workspace.settings.keep_photos_days
    values["marks"] = service.marks
    values.setdefault("in_language", partial(in_language, request))
    values["sign_in_url"] = service.workspace.settings.sign_in_url
    environment = _environment(service.workspace.settings.templates)
    return environment.get_template(template).render(**values)


def _page(
    request: Request,
    speech: Speech,
    text: str | bytes,
    status: int = 200,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """The text as an answer. A language chosen by `?lang=` is remembered."""
    response = HTMLResponse(text, status_code=status, headers=dict(headers))
    response.headers.add_vary_header("Accept-Language, Cookie")
    response.headers["Content-Language"] = speech.language
    if request.query_params.get("lang") == speech.language:
        _keep(response, COOKIE, speech.language, request, request.app.state.service)
    return response


@cache
def _environment(own: str) -> Environment:
    """Our templates; those in the folder `own` stand before them, and may extend `lensback/NAME`."""
    ours = PackageLoader("lensback.web")
    first = [FileSystemLoader(own)] if own else []
    environment = Environment(
        loader=ChoiceLoader([*first, ours, PrefixLoader({"lensback": ours})]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
        # Ours do not change while they are served: nobody need look, for each of a page's hundred parts.
        auto_reload=bool(own),
    )
    environment.globals.update(early=Markup(early()))  # noqa: S704 - ours
    environment.globals.update(asset=asset, product_version=__version__, languages=languages())
    return environment


@cache
def asset(name: str) -> str:
    """Address of a static file; it changes with the content, so that caches never lie."""
    return f"/static/{name}?v={hashlib.sha256(content_of(name)).hexdigest()[:12]}"


def _operations(request: Request) -> list[dict[str, Any]]:
    """One entry for each method of each path."""
    return [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in request.app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]
