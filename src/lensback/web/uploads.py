"""A multipart request -> the photo's bytes and a Query, and its description for /openapi.json.

Nothing of it touches the disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from lensback import colors
from lensback.errors import BadQuery
from lensback.rank import ORDERS
from lensback.search import Query, parse_box
from lensback.web import limits
from lensback.web.parts import form_of, in_parts

MAX_TEXT = {"photo_url": 2000}
"""Characters of a field; 200 where nothing is said."""
MAX_PHOTOS = 16
"""Photos of one batch."""
BATCH_SHARE = 4
"""A batch may have as many times the bytes of one photo."""
OVERHEAD_BYTES = 64 << 10
"""What the other fields and the part headers may add to the photo."""

_TEXT = {"type": "string"}
SEARCH_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "photo": {
                        "type": "string",
                        "format": "binary",
                        "description": "JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF, at most 20 MB unless the "
                        "operator says otherwise.",
                    },
                    "box": {
                        **_TEXT,
                        "description": "Search only this part: x0,y0,x1,y1 as fractions of width "
                        "and height.",
                        "example": "0.1,0.2,0.8,0.9",
                    },
                    "limit": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 100,
                        "default": 12,
                        "description": "Most hits, 1 to 100; 12 unless said.",
                    },
                    "q": {
                        **_TEXT,
                        "description": "Words, in Russian or English: of what looks like the photo, that which "
                        "they name; without a photo, what they find alone.",
                        "example": "red Nike",
                    },
                    "store": {**_TEXT, "description": "Repeatable, or a list with commas."},
                    "category": {**_TEXT, "description": "A category as a store names it."},
                    "price_max": {
                        **_TEXT,
                        "description": "Highest price before cashback.",
                        "example": "49.90",
                    },
                    "currency": {
                        **_TEXT,
                        "description": "Currency of price_max; needed where the stores sell in several.",
                        "example": "EUR",
                    },
                    "price_min": {**_TEXT, "description": "Lowest price before cashback."},
                    "color": {
                        **_TEXT,
                        "enum": list(colors.BASIC),
                        "description": "The same, but in this colour.",
                    },
                    "photo_url": {
                        **_TEXT,
                        "description": "The address of a picture, in place of photo.",
                    },
                    "search_id": {
                        **_TEXT,
                        "description": "In place of photo: search the photo of this earlier search "
                        "again, with another box or other filters. Photos are remembered for ten "
                        "minutes unless the operator says otherwise; then 404.",
                    },
                    "brand": {**_TEXT, "description": "Repeatable, or a list with commas."},
                    "size": {**_TEXT, "description": "As stores write it; repeatable."},
                    "discount": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 99,
                        "description": "Least percent that a store says it took off.",
                    },
                    "order": {
                        **_TEXT,
                        "enum": list(ORDERS),
                        "default": "best",
                        "description": "Over all that was found, exact hits first in every order.",
                    },
                    "offset": {
                        "type": "integer",
                        "minimum": 0,
                        "default": 0,
                        "description": "Hits to pass over: the next page.",
                    },
                    "facets": {
                        "type": "boolean",
                        "default": False,
                        "description": "Count what all hits have: filters worth offering.",
                    },
                    "in_stock": {
                        "type": "boolean",
                        "default": False,
                        "description": "Only offers that can be bought now.",
                    },
                },
            }
        }
    },
}
_ONE: dict[str, Any] = SEARCH_BODY["content"]["multipart/form-data"]["schema"]["properties"]
BATCH_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["photo"],
                "properties": {
                    **{
                        name: field
                        for name, field in _ONE.items()
                        if name not in {"photo_url", "search_id"}
                    },
                    "photo": {"type": "array", "items": _ONE["photo"], "maxItems": MAX_PHOTOS},
                },
            }
        }
    },
}
FIELDS = tuple(name for name in _ONE if name != "photo")
"""Text fields that are read."""

_SEVERAL = ("store", "brand", "size")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_YES = {"1", "true", "yes", "on"}
_NO = {"", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Upload:
    """One search as it came in."""

    photo: bytes | None
    """None where an address, an earlier search or words were given in its place."""
    query: Query
    photo_url: str = ""
    again: str = ""
    """Id of an earlier search whose photo is searched again."""
    first: str = ""
    """Id of the search with which that photo came."""


class NothingSent(BadQuery):
    """There is nothing to search by. A program is told of a BadQuery like any other; a person's page
    has words of its own for it."""

    def as_json(self) -> dict[str, dict[str, str]]:
        """The error body, under the name of its parent."""
        return {"error": {**super().as_json()["error"], "type": BadQuery.__name__}}


_WHAT_TO_SEND = (
    "send one file as the field photo, or the address of a picture as photo_url, or words as q"
)


async def read_upload(request: Request, max_bytes: int) -> Upload:
    """The photo and the query. Raises TooLarge, BadQuery, InputError (a broken upload)."""
    photos, texts = await _form(request, max_bytes, max_bytes, 4)
    photo_url, again = _one("photo_url", texts["photo_url"]), _one("search_id", texts["search_id"])
    query = query_of(texts)
    if len(photos) > 1:
        raise BadQuery("more than one photo", hint=_WHAT_TO_SEND)
    if not (photos or photo_url or again or query.words):
        raise NothingSent("the photo is missing", hint=_WHAT_TO_SEND)
    if photos and len(photos[0]) > max_bytes:
        raise limits.too_large(_size(max_bytes))
    if photos:
        return Upload(photos[0], query)
    if photo_url:
        again = ""
    return Upload(None, query, photo_url, again)


async def read_uploads(request: Request, max_bytes: int, most: int) -> list[Upload]:
    """Several photos with one query. A photo that is too large by itself comes back empty, so that
    it fails alone; together they may be `BATCH_SHARE` times as large as one."""
    photos, texts = await _form(request, BATCH_SHARE * max_bytes, max_bytes, most)
    if not photos:
        raise BadQuery("the photos are missing", hint="send files as the field photo, repeated")
    query = query_of(texts)
    return [Upload(p if len(p) <= max_bytes else b"", query) for p in photos]


def _size(max_bytes: int) -> str:
    return f"{max_bytes / (1 << 20):g} MB" if max_bytes >= 1 << 20 else f"{max_bytes} bytes"


async def _form(
    request: Request, max_total: int, max_bytes: int, max_files: int
) -> tuple[list[bytes], dict[str, list[str]]]:
    """The form's photos and its texts, all of it in memory."""
    if not in_parts(request):
        raise BadQuery(
            "the request is not multipart/form-data", hint="send the file as the field photo"
        )
    hint = "send multipart/form-data with the field photo"
    most = max_total + OVERHEAD_BYTES
    async with form_of(request, most, _size(max_bytes), hint, max_files=max_files) as form:
        texts = _texts(request, form)
        return await _photos(form), texts


async def _photos(form: FormData) -> list[bytes]:
    """The photos; a file field left empty in a browser counts as none."""
    sent = [part for part in form.getlist("photo") if isinstance(part, UploadFile)]
    return [await part.read() for part in sent if part.filename or part.size]


def _texts(request: Request, form: FormData) -> dict[str, list[str]]:
    """Text fields by name; what the form does not say may stand in the address."""
    texts = {}
    for name in FIELDS:
        said = [part for part in form.getlist(name) if isinstance(part, str)]
        texts[name] = [part.strip() for part in said or request.query_params.getlist(name)]
        for text in texts[name]:
            most = MAX_TEXT.get(name, 200)
            if len(text) > most or _CONTROL.search(text):
                hint = f"use plain text of at most {most} characters"
                raise BadQuery(f"{name} cannot be read", hint=hint)
    return texts


def query_of(texts: dict[str, list[str]]) -> Query:
    """Text fields -> Query. Raises BadQuery for what makes no sense."""
    one = {name: _one(name, values) for name, values in texts.items() if name not in _SEVERAL}
    return Query(
        box=parse_box(one.get("box", "")),
        limit=_whole("limit", one.get("limit", ""), Query().limit),
        stores=_listed(texts.get("store", [])),
        brands=_listed(texts.get("brand", [])),
        sizes=tuple(dict.fromkeys(filter(None, texts.get("size", [])))),
        discount=_whole("discount", one.get("discount", ""), 0),
        offset=_whole("offset", one.get("offset", ""), 0),
        order=one.get("order", "") or "best",
        facets=_flag("facets", one.get("facets", "")),
        category=one.get("category", ""),
        price_max=one.get("price_max", ""),
        currency=_currency(one.get("currency", "")),
        in_stock=_flag("in_stock", one.get("in_stock", "")),
        price_min=one.get("price_min", ""),
        color=one.get("color", "").lower(),
        words=one.get("q", ""),
    )


def _one(name: str, values: list[str]) -> str:
    said = list(dict.fromkeys(filter(None, values)))
    if len(said) > 1:
        raise BadQuery(f"{name} is given twice", hint=f"give {name} once")
    return said[0] if said else ""


def _listed(texts: list[str]) -> tuple[str, ...]:
    """The names in several fields, and in lists with commas, each once."""
    return tuple(dict.fromkeys(filter(None, (n.strip() for t in texts for n in t.split(",")))))


def _whole(name: str, text: str, plain: int) -> int:
    if not text:
        return plain
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise BadQuery(f"{name} is not a number: {text[:30]!r}", hint=f"use a number as {name}")
    return int(text)


def _currency(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z]{3}", text):
        raise BadQuery(f"not a currency: {text[:30]!r}", hint="use three letters, e.g. EUR")
    return text.upper()


def _flag(name: str, text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise BadQuery(f"{name} is neither true nor false: {text[:30]!r}", hint="use true or false")
    return text.lower() in _YES
