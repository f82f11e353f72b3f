"""Addresses as feeds write them -> what a browser would ask for; lists of pictures; links through
networks."""

from __future__ import annotations

import html
import json
import re
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urljoin, urlsplit

from lensback.feeds.texts import MAX_RAW, text, uncovered

MAX_SAMPLE = 120
MAX_URL = 4096
MAX_IMAGES = 20
MAX_LEFT_OUT = 50
"""Image addresses of one row that are counted where they could not be taken."""


class Bad(Exception):
    """One row's refusal on its way to an Offer; never leaves the readers."""

    def __init__(self, reason: str, sample: str = "") -> None:
        super().__init__(reason)
        self.reason, self.sample = reason, sample


_ADDRESS = re.compile(
    r"https?://(?:\[[0-9a-f:.]+\]|[^\W_][^\s/?#@\\<>\"]*)(?:[/?#]\S*)?", re.IGNORECASE
)
# What nearly every address looks like: checked first, for speed.
SIMPLE_ADDRESS = (
    r"https?://[A-Za-z0-9][A-Za-z0-9.\-]*+(?::[0-9]{1,5})?+(?:/[!#-;=?-\[\]_a-z~]{0,2000})?"
)
_SIMPLE_ADDRESS = re.compile(SIMPLE_ADDRESS)
_AROUND = " \t\r\n,;|\"'[]"
_BETWEEN = re.compile(
    r"(?:[\s,;|\"'\[\]^~*#(){}、，；]|\s[-–—]|\\[nrt]|<br ?/?>|%2C|&#44;|::)+(?=https?:|//|\{BASE\})",
    re.IGNORECASE,
)


def address(raw: str, base: str, feed: str = "") -> str:
    """An http or https address without user or white space; else empty. What is relative is so to
    the store's `base`, or to the address of the `feed` that it stands in."""
    if _SIMPLE_ADDRESS.fullmatch(raw) and not escaped(raw):
        return raw
    url = _bare(raw)
    if "{BASE}" in url:
        if not base:
            raise Bad(NEEDS_BASE, url)
        url = url.replace("{BASE}", base.rstrip("/"))
    for _ in range(_ESCAPED):
        if "&" in url:
            url = _NUMBERED.sub(lambda one: html.unescape(one[0]), url.replace("&amp;", "&"))
    if not _ABSOLUTE.match(url):
        url = _whole(url, base, feed)
    if _ODD.search(url):
        url = _ODD.sub(lambda odd: quote(odd[0]), url)
    return url if len(url) <= MAX_URL and _ADDRESS.fullmatch(url) and url.isprintable() else ""


_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.\-]*:", re.IGNORECASE)
NEEDS_BASE = "needs base"
"""Why an address is refused whose placeholder nothing stands for."""
RELATIVE = re.compile(
    r"\.{1,2}/\S*|\?\S+|(?=.*[0-9.]|.{7})[^\s/?#:,;]+/\S+"
    r"|[^\s:?#][^:?#]*\.(?:html?|php[0-9]?|aspx?|jsp|jpe?g|png|gif|webp|avif|bmp|tiff?|heic|jfif)(?:[?#]\S*)?",
    re.IGNORECASE,
)
"""What is an address beside another, and no word that says that there is none (`n/a`)."""
_WWW = re.compile(r"www\.[\w\-]+(?:\.[\w\-]+)*\.[^\W\d_]{2,}(?=[/?#:]|\Z)", re.IGNORECASE)


def _whole(url: str, base: str, feed: str) -> str:
    """A relative address against what it is relative to; one that lacks its scheme with it."""
    if url.startswith("//") or _WWW.match(url):
        return f"https://{url.removeprefix('//')}"
    if url.startswith("/") and base:
        return base.rstrip("/") + url
    against = base.rstrip("/") + "/" if base else feed
    if not against or not (url.startswith("/") or RELATIVE.fullmatch(url)):
        return url
    try:
        where = urlsplit(against)
        if _host(re.split(r"[/?#]", url, maxsplit=1)[0]) == _host(where.netloc):
            return f"{where.scheme}://{url}"
        return urljoin(against, url)
    except ValueError:
        return ""


def _host(netloc: str) -> str:
    return netloc.lower().removeprefix("www.")


def escaped(raw: str) -> bool:
    """Whether something in it is written as HTML writes it."""
    # one character is found a hundred times as fast as two, and neither is frequent in addresses
    return (";" in raw and "&amp;" in raw) or ("#" in raw and "&#" in raw)


# What browsers encode in an address, and white space that is no plain space.
_ODD = re.compile(r"[\s<>`^{}|]")
_HIDDEN = re.compile(
    "[\t\n\r\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
_NUMBERED = re.compile(r"&#(?:x[0-9a-f]{2,6}|[0-9]{2,7});", re.IGNORECASE)
_ESCAPED = 2
"""How often a shop may have escaped its addresses."""


def _bare(raw: str) -> str:
    """Without what surrounds an address or hides in it; backslashes before the query are slashes."""
    url = _HIDDEN.sub("", uncovered(raw).strip()).strip()
    if url[:1] in _WRAPPERS and url[-1:] == _WRAPPERS[url[:1]]:
        url = url[1:-1].strip()
    if _ENCODED.match(url):
        url = unquote(url)
    if "\\" in url:
        path, mark, query = url.partition("?")
        url = path.replace("\\/", "/").replace("\\", "/") + mark + query
    return _FEW_SLASHES.sub(r"\1://", url, count=1) if _FEW_SLASHES.match(url) else url


_WRAPPERS = {"<": ">", '"': '"', "'": "'", "“": "”", "«": "»"}
_ENCODED = re.compile(r"https?%3A%2F%2F", re.IGNORECASE)
_FEW_SLASHES = re.compile(r"(https?):/?(?=[\w\-]+(?:\.[\w\-]+)+(?:[/?#:]|\Z))", re.IGNORECASE)
"""What browsers take for `https://`, before a host."""


class Pictures(NamedTuple):
    """Addresses of pictures, the main one first, each once; and what could not be taken, each with
    its reason."""

    urls: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()


NO_ADDRESS, TOO_MANY = "no address", "too many"


def pictures(raw: str, base: str, feed: str = "") -> Pictures:
    """The addresses in one text, or in several, a line each; see `address`."""
    found: dict[str, None] = {}
    none: dict[str, None] = {}
    for part in raw[:MAX_RAW].split("\n"):
        listed = _BETWEEN.split(part) if part.count("//") > 1 or "," in part else (part,)
        bare = part.strip()
        if bare.startswith(("[", "{")) and (inner := _json_addresses(part)):
            listed = inner
        elif bare[:1] + bare[-1:] in ("{}", "()") and "://" in bare:
            listed = _BETWEEN.split(bare[1:-1])  # a list of PostgreSQL, of Python
        elif (base or feed) and "//" not in part:
            listed = _relatives(part)
        for value in listed:
            if value := _unlisted(value):
                url = address(value, base, feed)
                (found if url else none)[url or value[:MAX_SAMPLE]] = None
    return at_most(tuple(found), tuple((NO_ADDRESS, text(value, MAX_SAMPLE)) for value in none))


def at_most(urls: tuple[str, ...], left_out: tuple[tuple[str, str], ...] = ()) -> Pictures:
    """The first MAX_IMAGES of them; the others are left out."""
    if len(urls) <= MAX_IMAGES and not left_out:
        return Pictures(urls)
    more = [(TOO_MANY, url[:MAX_SAMPLE]) for url in urls[MAX_IMAGES:]]
    return Pictures(urls[:MAX_IMAGES], (*left_out, *more)[:MAX_LEFT_OUT])


def _relatives(part: str) -> list[str]:
    """The relative addresses in a list of them; the text itself where it is none."""
    listed = [value.strip() for value in re.split(r"[,;|]", part) if value.strip()]
    whole = all(value.startswith("/") or RELATIVE.fullmatch(value) for value in listed)
    return listed if whole else [part]


def _unlisted(value: str) -> str:
    """Without the marks of a list around it; a bracket that belongs to the address stays."""
    bare = value.strip(_AROUND)
    whole = bare.count("[") > bare.count("]") and value[value.find(bare) + len(bare) :][:1] == "]"
    return f"{bare}]" if whole else bare


def _json_addresses(part: str) -> list[str]:
    """Addresses in a JSON list of texts, or of objects with a `url` or `src`; none where it is no
    JSON."""
    try:
        values = json.loads(part)
    except (ValueError, RecursionError):
        return []
    listed = values if isinstance(values, list) else [values]
    inner = [v.get("url") or v.get("src") if isinstance(v, dict) else v for v in listed]
    return [value for value in inner if isinstance(value, str)]


def through_network(
    url: str, target_raw: str, via: bool, base: str, feed: str = ""
) -> tuple[bool, str]:
    """Whether the address is tracked already (`via`, or an Admitad link), and the store's own page."""
    if not via and not any(mark in url for mark in THROUGH):
        return False, ""
    target = address(target_raw, base, feed) or _inner(url)
    return via or bool(target), target


THROUGH = {
    "ulp=": "ulp",
    "awin1.com/": "ued",
    **dict.fromkeys(
        ("anrdoezrs.net/", "dpbolvw.net/", "jdoqocy.com/", "kqzyfj.com/", "tkqlhce.com/"), "url"
    ),
    "linksynergy.com/": "murl",
    "tradedoubler.com/click": "url",
    "webgains.com/click": "wgtarget",
    "tradetracker.net/": "u",
}
"""What gives a network's link away -> the parameter that holds the store's page."""


def _inner(url: str) -> str:
    """The store's page inside a network's link, or empty."""
    names = [name for mark, name in THROUGH.items() if mark in url]
    try:
        query = parse_qs(urlsplit(url).query)
    except ValueError:
        return ""
    target = next((query[name][0] for name in names if name in query), "")
    return address(target, "") if "{BASE}" not in target else ""
