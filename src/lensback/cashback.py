"""An offer -> the link that pays, and the cashback estimated for it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensback import log, networks, terms
from lensback.catalogue import stores
from lensback.catalogue.stores import StoredProgram
from lensback.db import Database
from lensback.errors import BadQuery, ConfigError, NotFound
from lensback.terms import Estimate, Terms
from lensback.types import Converter, Money, StoredOffer

EXAMPLE = "EXAMPLE0000000000click"
"""As long as a click id, and never recorded."""
NAMED = 5
"""Hosts that a message names at most."""


@dataclass(frozen=True, slots=True)
class OfferLink:
    """Where one click leads, and the terms it happened under."""

    url: str
    """ASCII, no control characters: a header can carry it."""
    network: str
    """Empty where the link goes through none: then nothing is paid."""
    program_id: int | None
    terms_snapshot: Mapping[str, Any]
    """The program as it stood, kept with the click: a later change is not for old clicks."""
    estimate: Money | None
    """The cashback that was estimated, in the price's currency; None where there was none."""
    reason: str = ""
    """Why the link is not tracked although the store has a program."""
    paused: bool = False
    """Whether the reason is that the store's programs are paused."""


def offer_link(
    db: Database,
    networks_dir: Path,
    offer: StoredOffer,
    subid: str,
    at: int,
    rates: Converter | None = None,
) -> OfferLink:
    """The link of one click on an offer, carrying the click id `subid`; see `program_link`. It is for the
    operator: where the offer leads to a domain that its program does not name, the hint says how to add it."""
    programs = stores.programs(db, [offer.store]).get(offer.store, ())
    try:
        return program_link(networks_dir, programs, offer, subid, at, rates)
    except NotFound as error:
        raise NotFound(error.message, hint=_mend(programs, offer) or error.hint) from error


def _mend(programs: Sequence[StoredProgram], offer: StoredOffer) -> str:
    """What an operator may do for an offer that leads to none of the programs' domains; "" where that is not it."""
    try:
        known = [program.terms for program in programs]
        hosts = strange_hosts([offer.offer.target_url or offer.offer.url], known)
        if not known or not hosts:
            return ""
        line = widened(known, hosts)
    except ConfigError:  # a program that cannot be read
        return ""
    return (
        f"it leads to {hosts[0]}, none of the program's domains; if that is the store's, write into the program: "
        f"{line}; then lensback store set {offer.store} --program FILE"
    )


def program_link(
    networks_dir: Path,
    programs: Sequence[StoredProgram],
    offer: StoredOffer,
    subid: str,
    at: int,
    rates: Converter | None = None,
) -> OfferLink:
    """The link of one click through the first of the store's programs that is not paused and can
    lead there.

    Without a program: the offer's own address, and no cashback. Where no program can lead there
    (paused, deep links denied, another publisher's link, too long) the shopper loses the
    cashback, not the way: the link is the page itself, if it is the first program's. Raises
    NotFound for an address of another domain, and where the feed gave none.
    """
    if not programs:
        return OfferLink(_own_page(offer), "", None, {}, None)
    refused: list[_Refused] = []
    for program in programs:
        domains: tuple[str, ...] = ()
        try:
            parsed = terms.parse(program.terms)
            domains = parsed.domains
            if parsed.paused:
                refused.append(_Refused(program, domains, "the program is paused", paused=True))
                continue
            network = networks.open_network(parsed.network, networks_dir)
            networks.check_settings(network, networks.settings_of(parsed))
            url = networks.offer_deeplink(network, parsed, offer.offer, subid)
        except (BadQuery, ConfigError) as error:
            refused.append(_Refused(program, domains, error.message))
            continue
        sold = offer.offer
        said = terms.estimate(parsed, sold.price, sold.category, at, rates, sold.brand)
        cashback = said.cashback if said.cashback.minor else None
        return OfferLink(url, network.name, program.id, dict(program.terms), cashback)
    return _untracked(offer, refused)


def plain_page(programs: Sequence[StoredProgram], offer: StoredOffer) -> str:
    """The store's own page past every network, for machines: on the first program's domains where
    there is one. Raises NotFound where the feed names a tracked address only."""
    try:
        domains = terms.parse(programs[0].terms).domains if programs else ()
    except ConfigError:
        domains = ()
    own = "" if offer.offer.tracked else offer.offer.url
    if page := networks.page_of((offer.offer.target_url, own), domains):
        return page
    raise NotFound("the offer has no page without a network", hint="choose another offer")


def strange_hosts(pages: Iterable[str], programs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Hosts of these pages that lie on the domains of none of the programs, the commonest first:
    nobody is sent there, because a feed that was tampered with could name any."""
    domains = tuple(domain for values in programs for domain in terms.parse(values).domains)
    found: Counter[str] = Counter()
    for url in pages:
        try:
            networks.canonical(url, domains)
        except BadQuery:
            with suppress(BadQuery):  # what is no address at all is no domain to add
                found[networks.host_at(url).removeprefix("www.")] += 1
    return tuple(host for host, _ in found.most_common())


def widened(programs: Sequence[Mapping[str, Any]], hosts: Sequence[str]) -> str:
    """The line `domains = […]` of the first program with these hosts, as its file takes it."""
    listed = [*terms.parse(programs[0]).domains, *hosts]
    return f"domains = {json.dumps(listed, ensure_ascii=False)}"


@dataclass(frozen=True, slots=True)
class _Refused:
    """A program that does not lead to an offer, and why."""

    program: StoredProgram
    domains: tuple[str, ...]
    """Empty where the program cannot be read."""
    reason: str
    paused: bool = False


def _untracked(offer: StoredOffer, refused: Sequence[_Refused]) -> OfferLink:
    """The way without a network; what the first program said of it is the reason."""
    first = refused[0]
    page = _page_within(offer, first.domains) if first.domains else _own_page(offer)
    log.event("untracked", 30, offer=offer.offer_id, store=offer.store, reason=first.reason)
    paused = all(each.paused for each in refused)
    program = first.program
    return OfferLink(page, "", program.id, dict(program.terms), None, first.reason, paused)


def _page_within(offer: StoredOffer, domains: tuple[str, ...]) -> str:
    """The store's page, only on the program's domains. Raises NotFound."""
    if page := networks.page_of((offer.offer.url, offer.offer.target_url), domains):
        return page
    raise NotFound("the offer's address is not the store's", hint="choose another offer")


def _own_page(offer: StoredOffer) -> str:
    """The address of the feed, in ASCII. Raises NotFound where there is none."""
    if page := networks.page_of((offer.offer.url, offer.offer.target_url), ()):
        return page
    raise NotFound("the store gave no address for this offer", hint="choose another offer")


def check_program(values: Mapping[str, Any], networks_dir: Path) -> Terms:
    """A program as `store add --program` takes it. Raises ConfigError or UnknownName naming what
    is wrong."""
    parsed = terms.parse(values)
    network = networks.open_network(parsed.network, networks_dir)
    networks.check_settings(network, networks.settings_of(parsed))
    return parsed


@dataclass(frozen=True, slots=True)
class Explanation:
    """How the estimate for one offer comes about."""

    store: str
    network: str
    terms: Terms
    offer: StoredOffer | None
    estimate: Estimate | None
    link: str
    """An example link; its click id is made up and never recorded."""
    reason: str = ""
    """Why the link is not tracked; then there is no cashback, whatever the rules say."""


def explain(
    db: Database,
    networks_dir: Path,
    store: str,
    offer: StoredOffer | None = None,
    rates: Converter | None = None,
) -> Explanation:
    """A store's program in words, and for an offer its estimate step by step.

    Raises UnknownName, NotFound where the store has no program, ConfigError where it is wrong.
    """
    stores.check_names(db, [store])
    known = stores.programs(db, [store]).get(store)
    if known is None:
        raise NotFound(
            f"{store} has no program",
            hint=f"lensback store add {store} --feed … --program FILE.toml",
        )
    checked = [(program, check_program(program.terms, networks_dir)) for program in known]
    program, parsed = next((each for each in checked if not each[1].paused), checked[0])
    if offer is None:
        return Explanation(store, program.network, parsed, None, None, "")
    now = int(time.time())
    sold = offer.offer
    said = terms.estimate(parsed, sold.price, sold.category, now, rates, sold.brand)
    try:
        link = offer_link(db, networks_dir, offer, EXAMPLE, now, rates)
    except NotFound as error:
        return Explanation(store, program.network, parsed, offer, said, "", error.message)
    return Explanation(store, program.network, parsed, offer, said, link.url, link.reason)
