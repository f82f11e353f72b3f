"""Small bodies of calls: query, form or JSON -> text fields, under a bound."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from lensback.errors import BadQuery
from lensback.web import limits
from lensback.web.parts import form_of, in_parts

MAX_DEPTH = 6
MAX_NAMED = 2000
"""Values of a JSON body: more than any network's list of goods has."""
MAX_FIELDS = 200
MAX_NAME = 200
"""Characters of a name, with those of what it lies in: each value bears it."""
OLD_PAGE = "cp1251"
"""What a field is that is no UTF-8: each of its bytes is another letter."""
PRODUCT_ID = re.compile(r"p[a-z2-7]{16}")
OFFER_ID = re.compile(r"[a-z2-7]{16}")

PASS_BODY = {
    "required": True,
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {"type": "object", "properties": {"user": {"type": "string"}}}
        }
    },
}
VOTE_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["search_id", "product_id", "vote"],
                "properties": {
                    "search_id": {"type": "string"},
                    "product_id": {"type": "string"},
                    "vote": {"type": "string", "enum": ["up", "down"]},
                },
            }
        }
    },
}

SAVED_BODY = {
    "required": False,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "amount": {"type": "string", "example": "49.90"},
                    "currency": {"type": "string", "example": "EUR"},
                    "here": {"type": "boolean"},
                    "saved_at": {"type": "integer"},
                },
            }
        }
    },
}


async def fields(request: Request, max_bytes: int) -> dict[str, str]:
    """Query and body as one flat mapping. Raises TooLarge, BadQuery (not readable, named twice)."""
    if len(request.url.query) > max_bytes:
        raise limits.too_large(f"{max_bytes} bytes")
    pairs = _pairs(request.url.query)
    if request.method in {"POST", "PUT"}:
        async with request.app.state.service.arrivals.body_of(request):
            pairs += await _sent(request, max_bytes)
    found: dict[str, str] = {}
    for name, value in pairs:
        if found.setdefault(name, value) != value:
            raise BadQuery(f"{name[:40]!r} is given twice", hint="send each field once")
    return found


async def _sent(request: Request, max_bytes: int) -> list[tuple[str, str]]:
    """The fields of a body; of a form in parts, as PHP's curl sends one, the texts and no files."""
    most = f"{max_bytes} bytes"
    if in_parts(request):
        form = form_of(
            request,
            max_bytes,
            most,
            "send one flat form",
            max_files=MAX_FIELDS,
            max_fields=MAX_FIELDS,
            max_field_bytes=max_bytes,
        )
        async with form as parts:
            return [(name, said) for name, said in parts.multi_items() if isinstance(said, str)]
    body = limits.body(request, max_bytes, most)
    content = b"".join([part async for part in body])
    return _read(content, request.headers.get("content-type", ""))


def _read(content: bytes, kind: str) -> list[tuple[str, str]]:
    """The fields of a body. What begins like a JSON object is one, whatever the sender calls it: the name of
    no field of a form begins so."""
    try:
        text = content.decode("utf-8").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        raise BadQuery("the body is not UTF-8", hint="send UTF-8") from error
    if not text.strip():
        return []
    named = kind.partition(";")[0].strip().lower() == "application/json"
    if not named and not text.lstrip().startswith("{"):
        return _pairs(text)
    if text.count(",") > 2 * MAX_NAMED:  # told before it costs the reading
        raise BadQuery("too many fields", hint="send fewer")
    try:
        values = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadQuery("the body is not JSON", hint="send one flat object") from error
    if not isinstance(values, dict):
        raise BadQuery("the body is not an object", hint="send one flat object")
    found = list(islice(_flat(values, ""), MAX_NAMED + 1))
    if len(found) > MAX_NAMED:
        raise BadQuery("too many fields", hint="send fewer")
    return found


def _flat(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Nested values by dotted names: `items.0.amount`; what lies deeper than any network writes, or
    bears a longer name, is left out."""
    if len(name) > MAX_NAME:
        return
    if _plain(value):
        yield name, _text(value)
    elif isinstance(value, dict | list) and depth < MAX_DEPTH:
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in parts:
            yield from _flat(inner, f"{name}.{key}" if name else str(key), depth + 1)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are single. Raises BadQuery: of two, each reader believes another."""
    values = dict(pairs)
    if len(values) < len(pairs):
        (double, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise BadQuery(f"{double[:40]!r} is given twice", hint="send each field once")
    return values


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="surrogateescape"
        )
    except ValueError as error:
        raise BadQuery("too many fields", hint="send fewer") from error
    return [(_decoded(name), _decoded(value)) for name, value in pairs]


def _decoded(text: str) -> str:
    """Percent-encoded bytes that are no UTF-8 as the page of the networks that send such. Never what
    stands for any byte: two ids would become one. Raises BadQuery."""
    if text.isascii():
        return text
    data = text.encode("utf-8", "surrogateescape")
    for page in ("utf-8", OLD_PAGE):
        with suppress(UnicodeDecodeError):
            return data.decode(page)
    raise BadQuery(f"a field is neither UTF-8 nor {OLD_PAGE}", hint="send UTF-8")


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | float) else str(value)
