"""Text as feeds write it -> one clean line: white space, invisible characters, tags, entities."""

from __future__ import annotations

import html
import re

MAX_RAW = 50_000

_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)
_REFERENCE = re.compile(r"&[#\w]")
# Each alternative matches to its end or to the end of the text, so this is linear on any input.
_TAGS = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)|</?[a-zA-Z!?][^<>]*+>",
    re.DOTALL | re.IGNORECASE,
)


def text(raw: str, limit: int) -> str:
    """One line: white space collapsed, control and invisible characters gone, at most `limit`."""
    value = raw[:MAX_RAW].strip()
    if value.isprintable():  # so the only white space in it is spaces
        while "  " in value:
            value = value.replace("  ", " ")
    else:
        value = _INVISIBLE.sub("", " ".join(value.split()))
        value = " ".join(value.split())
    return value if len(value) <= limit else value[:limit].rstrip()


def plain(raw: str, limit: int) -> str:
    """`text` without HTML: tags out, entities resolved (twice escaped ones too)."""
    if "<" in raw:
        raw = _TAGS.sub(" ", raw[:MAX_RAW])
    if "&" in raw and _REFERENCE.search(raw):
        raw = html.unescape(_TAGS.sub(" ", html.unescape(raw[:MAX_RAW])))
    return text(raw, limit)
