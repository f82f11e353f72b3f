"""Whether a link can lead to an offer, told without making one for each of them."""

from __future__ import annotations

import re

from lensback.errors import BadQuery
from lensback.networks.links import deeplink, is_tracked, settings_of
from lensback.networks.shape import Linked, Network, Program
from lensback.networks.targets import MAX_CHARS, page_of

SUBID = "0" * 22
"""As long as a click id."""
_PLAIN_PAGE = re.compile(
    r"(https?://[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?)(?:[/?#][A-Za-z0-9/?:@!$&'()*+,;=._~%#-]*)?"
)
_GROWTH = 9
"""Most characters of a link for one of a plain page: a stray `%` is encoded twice."""
_ENCODED = 3
"""Most characters of a plain page for one of it: a stray `%` is encoded once."""
_TOKEN_ROOM = 300
"""More than an advertising token of the offer's own adds."""


class Reach:
    """Where the links of one program lead.

    Pages of one host differ in nothing that could refuse a link but their length. So the shortest
    page of each host is tried once, and its answer holds for every plain address there that is
    not long; all others, and links that are tracked already, are tried one by one.
    """

    def __init__(self, network: Network, program: Program) -> None:
        self._network = network
        self._program = program
        self._rooms: dict[str, int] = {}

    def covers(self, offer: Linked) -> bool:
        """True where `offer_deeplink` gives a link."""
        url, other = offer.url, offer.target_url
        return self._reaches(url, offer) or (
            bool(other) and other != url and self._reaches(other, offer)
        )

    def _reaches(self, url: str, offer: Linked) -> bool:
        plain = _PLAIN_PAGE.fullmatch(url)
        if plain:
            room = self._rooms.get(plain[1])
            if room is None:
                room = self._rooms[plain[1]] = self._room(plain[1])
            if room < 0 or _GROWTH * len(url) <= room:
                return room >= 0
        return self._made(url, offer.disclosure) is not None

    def _room(self, origin: str) -> int:
        """Characters that a page there may add to a link; -1 where none can be made, 0 where each
        page has to be tried."""
        try:
            if is_tracked(self._network, settings_of(self._program), origin):
                return 0
        except BadQuery:
            return -1
        link = self._made(origin, "")
        return (
            -1 if link is None else max(0, self._network.link.max_chars - len(link) - _TOKEN_ROOM)
        )

    def _made(self, url: str, disclosure: str) -> str | None:
        settings = settings_of(self._program, disclosure)
        try:
            return deeplink(self._network, settings, url, SUBID)
        except BadQuery:
            return None


class Site:
    """Where a store's own pages lie: the way to an offer that no program's link leads to.

    `domains` are those of its first program, none where it has no program. Plain pages of one host
    differ in nothing that could refuse them but their length, so each host is asked once, for those
    that are not long.
    """

    def __init__(self, domains: tuple[str, ...] = ()) -> None:
        self._domains = domains
        self._known: dict[str, bool] = {}

    def covers(self, offer: Linked) -> bool:
        """True where `page_of` gives an address of the offer."""
        return self._holds(offer.url) or self._holds(offer.target_url)

    def _holds(self, url: str) -> bool:
        plain = _PLAIN_PAGE.fullmatch(url)
        if plain is None or _ENCODED * len(url) > MAX_CHARS:
            return bool(page_of([url], self._domains))
        known = self._known.get(plain[1])
        if known is None:
            known = self._known[plain[1]] = bool(page_of([plain[1]], self._domains))
        return known
