"""A store's page as a link may carry it: a valid address of one of the program's domains."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

import idna

from lensback.errors import BadQuery
from lensback.storepage import is_credit

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
_SAFE = "/?:@!$&'()*+,;=-._~%"
_PORTS = {"http": 80, "https": 443}
MAX_CHARS = 8000
"""Of an address that a browser is sent to: many take no longer header."""


def refuse_control(text: str) -> None:
    """Raises BadQuery for characters that could end a header or hide in a line."""
    if _CONTROL.search(text):
        raise BadQuery("the address holds control characters", hint="mend the store's feed")


def parts_of(url: str) -> SplitResult:
    """The parts of a web address. Raises BadQuery where it is not one, or names a user."""
    refuse_control(url)
    try:
        parts = urlsplit(url.strip(" "))
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadQuery(f"not a web address: {url[:80]!r}", hint="mend the feed") from error
    if parts.scheme not in _PORTS or not host:
        raise BadQuery(f"not a web address: {url[:80]!r}", hint="give http:// or https://")
    if "@" in parts.netloc:
        raise BadQuery("the address names a user", hint="take the part before @ out of it")
    return parts


def host_of(parts: SplitResult) -> str:
    """The host in ASCII (IDNA 2008, UTS 46), with its port where that is not the usual one."""
    host = parts.hostname or ""
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError as error:
            raise BadQuery(f"not a host name: {host[:80]!r}", hint="mend the feed") from error
    host = f"[{host}]" if ":" in host else host.rstrip(".")
    if not _HOST.fullmatch(host):
        raise BadQuery(f"not a host name: {host[:80]!r}", hint="mend the feed")
    usual = parts.port in {None, _PORTS.get(parts.scheme)}
    return host if usual else f"{host}:{parts.port}"


def within(host: str, domains: tuple[str, ...]) -> bool:
    """True where the host is one of the domains or lies below one."""
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


@lru_cache(maxsize=4096)
def ascii_domains(domains: tuple[str, ...]) -> tuple[str, ...]:
    """Domains as `host_of` writes hosts. Raises BadQuery for one that is none."""
    for domain in domains:
        if re.search(r"[/?#@\\\s]", domain):
            raise BadQuery(f"not a domain: {domain[:80]!r}", hint="write shop.example")
    return tuple(host_of(parts_of(f"https://{domain.lower()}")) for domain in domains)


def canonical(url: str, domains: tuple[str, ...]) -> str:
    """The page as a valid URI (RFC 3986), without what other campaigns put into it.

    Cyrillic becomes UTF-8 percent-encoding (RFC 3987, 3.1), what is encoded already stays as it
    is, so both spellings of one page give one link. Raises BadQuery for every other address and
    for a host outside the program's domains.
    """
    parts = parts_of(url)
    host = host_of(parts)
    if not within(host, ascii_domains(domains)):
        listed = ", ".join(domains) or "none"
        raise BadQuery(
            f"{host} is not a domain of the program", hint=f"the program's domains: {listed}"
        )
    query = "&".join(kept for piece in parts.query.split("&") if (kept := _without_credit(piece)))
    return urlunsplit(
        (parts.scheme, host, _encoded(parts.path), _encoded(query), _encoded(parts.fragment))
    )


def _without_credit(piece: str) -> str:
    """Some servers part parameters at `;` too."""
    return ";".join(part for part in piece.split(";") if not is_credit(part))


def page_of(urls: Iterable[str], domains: tuple[str, ...]) -> str:
    """The first of a store's addresses that a browser may be sent to past every network: on the domains
    of its program where it has one, else any web address; "" where none is, or none is short enough."""
    for url in urls:
        try:
            page = canonical(url, domains) if domains else readable(url)
        except BadQuery:
            continue
        if len(page) <= MAX_CHARS:
            return page
    return ""


def readable(url: str) -> str:
    """Any address in ASCII, otherwise as it is."""
    parts = parts_of(url)
    rest = (_encoded(part) for part in (parts.path, parts.query, parts.fragment))
    return urlunsplit((parts.scheme, host_of(parts), *rest))


def _encoded(text: str) -> str:
    """Percent-encodes what may not stand in a URI; what is encoded already stays."""
    try:
        return quote(_STRAY_PERCENT.sub("%25", text), safe=_SAFE)
    except UnicodeEncodeError as error:
        raise BadQuery("the address is not Unicode text", hint="mend the store's feed") from error
