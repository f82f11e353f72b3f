"""Text as feeds write it -> one clean line: white space, invisible characters, tags, entities."""

from __future__ import annotations

import html
import re

from lensback.legible import legible

MAX_RAW = 50_000

_REFERENCE = re.compile(r"&[#\w]")
# Each alternative matches to its end or to the end of the text, so this is linear on any input.
_TAGS = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)|</?[a-zA-Z!?][^<>]*+>",
    re.DOTALL | re.IGNORECASE,
)
_SPACES = re.compile("  +")
_CDATA = re.compile(r"<!\[CDATA\[(.*?)(?:\]\]>|\Z)", re.DOTALL)


def uncovered(raw: str) -> str:
    """Without the marks of a CDATA section, which tools of XML leave in tables.

    >>> uncovered("<![CDATA[5 EUR]]>")
    '5 EUR'
    """
    return _CDATA.sub(r"\1", raw) if "<![CDATA[" in raw else raw


def text(raw: str, limit: int) -> str:
    """One line: white space collapsed, control and invisible characters gone, at most `limit`."""
    value = raw[:MAX_RAW].strip()
    if value.isprintable():  # so the only white space in it is spaces
        if "  " in value:
            value = _SPACES.sub(" ", value)
    else:
        value = " ".join(value.split())
        if not value.isprintable():
            value = " ".join(legible(value).split())
    return value if len(value) <= limit else value[:limit].rstrip()


def plain(raw: str, limit: int) -> str:
    """`text` without HTML: tags out, entities resolved (twice escaped ones too)."""
    if "<" in raw:
        raw = _TAGS.sub(" ", uncovered(raw[:MAX_RAW]))
    if "&" in raw and _REFERENCE.search(raw):
        raw = html.unescape(_TAGS.sub(" ", uncovered(html.unescape(raw[:MAX_RAW]))))
    return text(raw, limit)
