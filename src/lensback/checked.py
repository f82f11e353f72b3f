"""What files say (TOML, kept JSON) as our own nouns: checked by pydantic, told in our words."""

from __future__ import annotations

import json
import threading
import tomllib
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from lensback.durable import what_mends
from lensback.errors import ConfigError, Error

T = TypeVar("T")

CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
"""`__pydantic_config__` of a noun that people write: a key nobody knows is a mistake."""
STRICT = CLOSED | ConfigDict(strict=True)
"""The same where "1" is no number."""
_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}


def read_toml(path: Path, page: str = "") -> dict[str, Any]:
    """A TOML file. Raises ConfigError; `page` of docs/ tells of its keys."""
    try:
        data = path.read_bytes()
    except OSError as error:
        hint = f"check the path; see docs/{page} for its keys" if page else "check the path"
        hint = what_mends(error, hint)
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    return parse_toml(data, str(path))


def parse_toml(data: bytes, where: str) -> dict[str, Any]:
    """The table that TOML bytes describe; `where` names the file in messages."""
    try:
        return tomllib.loads(data.decode())
    except (
        ValueError,
        RecursionError,
    ) as error:  # no TOML, no UTF-8, a number or a nesting too long
        raise ConfigError(f"{where} is not valid TOML: {error}", hint="mend that line") from error


def checked(
    shape: type[T],
    values: object,
    where: str,
    *,
    hint: str,
    error: type[Error] = ConfigError,
) -> T:
    """The values as `shape`. Raises `error`: `where`, the first wrong key, and what is right.

    `values` are those of a TOML file, or the bytes of a JSON one. What the noun's own words say of
    the key stands before the hint.
    """
    adapter = _adapter(cast("Hashable", shape))
    text = values if isinstance(values, bytes) else json.dumps(values, default=str)
    try:
        found: T = adapter.validate_json(text)
    except ValidationError as wrongs:
        # A key nobody knows goes first: it is often the one that is missing, misspelt.
        first = min(wrongs.errors(), key=lambda each: each["type"] not in _UNKNOWN)
        message, about = first_fault(first), _described(adapter, first)
        raise error(f"{where}{message}", hint=f"{about} {hint}".strip()) from wrongs
    return found


def wrong(key: str, why: str) -> PydanticCustomError:
    """To be raised by a check of several keys: the one to mend, and what is right."""
    return PydanticCustomError("wrong", "{why}", {"key": key, "why": why})


def first_fault(error: ErrorDetails) -> str:
    """The first thing that pydantic found wrong: `'link.template': is missing`."""
    context = error.get("ctx", {})
    key = ".".join(str(part) for part in (*error["loc"], context.get("key", "")) if part != "")
    return f"{key!r}: {_why(error, context)}" if key else _why(error, context)


def _why(error: ErrorDetails, context: dict[str, Any]) -> str:
    kind = error["type"]
    if kind in {"missing", "missing_argument"}:
        return "is missing"
    if kind in _UNKNOWN:
        return "is not known"
    if kind == "value_error":
        return str(context["error"])
    return error["msg"].replace("Input should be", "must be")


def _described(adapter: TypeAdapter[Any], error: ErrorDetails) -> str:
    """What the noun says of a key, or which keys it knows."""
    loc = [*error["loc"], *filter(None, [error.get("ctx", {}).get("key")])]
    while loc and isinstance(loc[-1], int):  # an element of a list: the list's key tells
        loc.pop()
    schema = adapter.json_schema()
    owner = schema
    for part in loc[:-1]:
        owner = _resolved(schema, _within(_resolved(schema, owner), part))
    known = _resolved(schema, owner).get("properties", {})
    if loc and known and loc[-1] not in known:
        return f"known: {', '.join(sorted(known))}."
    about = known.get(loc[-1], {}).get("description", "") if loc else ""
    return " ".join(str(about).split())


def _within(schema: dict[str, Any], part: str | int) -> dict[str, Any]:
    inner = schema.get("properties", {}).get(part) or schema.get("items")
    inner = inner or schema.get("additionalProperties")
    return inner if isinstance(inner, dict) else {}


def _resolved(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    options = [*schema.get("anyOf", ()), schema]
    ref = next((each["$ref"] for each in options if "$ref" in each), "")
    found: dict[str, Any] = root.get("$defs", {}).get(ref.rpartition("/")[2], schema)
    return found


_IN_TURN = threading.Lock()


def _adapter(shape: Hashable) -> TypeAdapter[Any]:
    """pydantic reads what a noun says of its keys from the source, and two threads that parse sources at
    once break each other (CPython before 3.13: SystemError, "AST constructor recursion depth mismatch")."""
    with _IN_TURN:
        return _made(shape)


@cache
def _made(shape: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(shape)
