"""Which page of a store an address means, whoever sent it there: two addresses of one page have one key."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import SplitResult, parse_qsl, unquote, unquote_plus, urlsplit

FOREIGN = re.compile(
    r"""utm_\w+ | _?openstat | _ga | _gl | gclid | gclsrc | gbraid | wbraid | dclid | fbclid | yclid | ysclid
    | ymclid | msclkid | ttclid | twclid | li_fat_id | igshid | mc_[ce]id | vero_id | rb_clickid
    | admitad_uid | tagtag_uid | actionpay | gdeslon_ref | gsaid | awc | awinmid | awinaffid | cjevent
    | cjdata | irclickid | irgwc | afsrc | ranmid | raneaid | ransiteid | siteid_ls | tduid | wgu | wgexpiry
    | wgcampaignid | clickref\d? | pubref | camref | xcust | aff_short_key | aff_fcid | aff_fsk | aff_platform
    | aff_trace_key | aff_id | affid | affiliate_id | aff_sub\d? | epn_click_id | subid\d? | sub\d
    | ttaid | vglnk | mkevt | mkcid | mkrid | campid | toolid | customid | mkpid
    | fobs\d? | mdasc""",
    re.VERBOSE | re.IGNORECASE,
)
"""Query parameters that credit a visit to somebody: campaigns, other networks, other affiliates."""


_DEPTH = 4
"""Links within links that are opened."""
_SHORT = re.compile(r"(?:www|m|mobile|amp)\.(?=.*\.)")


def key(url: str) -> str:
    """16 hex digits of the page that an address means, "" where it is no web address.

    A tracked link is the page that it names (the innermost address in its parameters or its path);
    scheme, `www.`, `m.`, the fragment, a slash at the end, what credits a visit to somebody and the
    order of parameters make no difference, nor does the way in which letters are encoded.

    >>> key("https://www.shop.example/a?x=1&utm_source=qr#top") == key("http://shop.example/a/?x=1")
    True
    >>> key("https://ad.example/g/1/?ulp=https%3A%2F%2Fshop.example%2Fa%3Fx%3D1") == key("shop.example/a?x=1")
    False
    >>> key("https://ad.example/g/1/?ulp=https%3A%2F%2Fshop.example%2Fa") == key("https://shop.example/a")
    True
    """
    parts = _parts(url)
    if parts is None:
        return ""
    for _ in range(_DEPTH):
        inner = _inner(parts)
        if inner is None:
            break
        parts = inner
    path = unquote(parts.path).rstrip("/")
    query = sorted(
        (plain_name(name), value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if not is_credit(name)
    )
    said = repr((host(parts), _odd_port(parts), path, query)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(said, digest_size=8).hexdigest()


def host(parts: SplitResult) -> str:
    """The host of an address without what stands before the same pages."""
    return _SHORT.sub("", (parts.hostname or "").rstrip("."), count=1)


def _odd_port(parts: SplitResult) -> int | None:
    return None if parts.port in {80, 443} else parts.port


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url.strip())
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        return None
    return parts if sound else None


def _inner(parts: SplitResult) -> SplitResult | None:
    """The address that a tracked link names, if one does: as a parameter, or behind a name in its path."""
    try:
        named = [value for _, value in parse_qsl(parts.query, max_num_fields=100)]
    except ValueError:
        return None
    named += re.findall(r"(?:^|[/=:])(https?(?::|%3A).+)", parts.path, re.IGNORECASE)
    found = [inner for value in named if (inner := _parts(_decoded(value)))]
    others = [inner for inner in found if host(inner) != host(parts)]
    return others[0] if len({inner.geturl() for inner in others}) == 1 else None


def _decoded(text: str) -> str:
    """Decoded until it begins as an address does; links within links are encoded twice."""
    for _ in range(_DEPTH):
        if "://" in text[:8] or "%" not in text:
            break
        text = unquote(text)
    return text


def is_credit(piece: str) -> bool:
    """True for a parameter that credits a visit to somebody, however its name is spelled."""
    return bool(FOREIGN.fullmatch(plain_name(piece.partition("=")[0])))


def plain_name(raw: str) -> str:
    """The plainest name that a server could take a parameter's for: small letters, decoded twice,
    without what PHP and others cut off or change.

    >>> [plain_name(text) for text in ("%61winaffid", "A", "id[]", "a.b")]
    ['awinaffid', 'a', 'id', 'a_b']
    """
    text = unquote_plus(unquote_plus(raw)).strip().lower()
    return text.partition("[")[0].replace(".", "_").replace(" ", "_").strip("\0 ")
