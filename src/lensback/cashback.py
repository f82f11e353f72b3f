"""An offer -> the link that pays, and the cashback estimated for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensback import log, networks, terms
from lensback.catalogue import stores
from lensback.catalogue.stores import StoredProgram
from lensback.db import Database
from lensback.errors import BadQuery, ConfigError, NotFound
from lensback.terms import Converter, Estimate, Terms
from lensback.types import Money, StoredOffer

EXAMPLE = "EXAMPLE0000000000click"
"""As long as a click id, and never recorded."""


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


def offer_link(
    db: Database,
    networks_dir: Path,
    offer: StoredOffer,
    subid: str,
    at: int,
    rates: Converter | None = None,
) -> OfferLink:
    """The link of one click on an offer, carrying the click id `subid`; see `program_link`."""
    program = stores.programs(db, [offer.store]).get(offer.store)
    return program_link(networks_dir, program, offer, subid, at, rates)


def program_link(
    networks_dir: Path,
    program: StoredProgram | None,
    offer: StoredOffer,
    subid: str,
    at: int,
    rates: Converter | None = None,
) -> OfferLink:
    """The link of one click through the store's program.

    Without a program: the offer's own address, and no cashback. Where the program cannot
    lead there (deep links denied, another publisher's link, too long) the shopper loses the
    cashback, not the way: the link is the page itself, if it is the program's. Raises NotFound
    for an address of another domain, and where the feed gave none.
    """
    if program is None:
        return OfferLink(_own_page(offer), "", None, {}, None)
    snapshot = dict(program.terms)
    try:
        parsed = terms.parse(program.terms)
    except ConfigError as error:
        return _untracked(_own_page(offer), offer, program.id, snapshot, error)
    try:
        network = networks.open_network(parsed.network, networks_dir)
        networks.check_settings(network, networks.settings_of(parsed))
        url = networks.offer_deeplink(network, parsed, offer.offer, subid)
    except (BadQuery, ConfigError) as error:
        page = _page_within(offer, parsed.domains)
        return _untracked(page, offer, program.id, snapshot, error)
    said = terms.estimate(parsed, offer.offer.price, offer.offer.category, at, rates)
    cashback = said.cashback if said.cashback.minor else None
    return OfferLink(url, network.name, program.id, snapshot, cashback)


def plain_page(program: StoredProgram | None, offer: StoredOffer) -> str:
    """The store's own page past every network, for machines: on the program's domains where there
    is one. Raises NotFound where the feed names a tracked address only."""
    try:
        domains = terms.parse(program.terms).domains if program else ()
    except ConfigError:
        domains = ()
    for url in (offer.offer.target_url, "" if offer.offer.tracked else offer.offer.url):
        try:
            return networks.canonical(url, domains) if domains else networks.readable(url)
        except BadQuery:
            continue
    raise NotFound("the offer has no page without a network", hint="choose another offer")


def _untracked(
    page: str,
    offer: StoredOffer,
    program_id: int,
    snapshot: Mapping[str, Any],
    error: BadQuery | ConfigError,
) -> OfferLink:
    log.event("untracked", 30, offer=offer.offer_id, store=offer.store, reason=error.message)
    return OfferLink(page, "", program_id, snapshot, None, error.message)


def _page_within(offer: StoredOffer, domains: tuple[str, ...]) -> str:
    """The store's page, only on the program's domains. Raises NotFound."""
    for url in (offer.offer.url, offer.offer.target_url):
        try:
            return networks.canonical(url, domains)
        except BadQuery:
            continue
    raise NotFound("the offer's address is not the store's", hint="choose another offer")


def _own_page(offer: StoredOffer) -> str:
    """The address of the feed, in ASCII. Raises NotFound where there is none."""
    for url in (offer.offer.url, offer.offer.target_url):
        try:
            return networks.readable(url)
        except BadQuery:
            continue
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
    program = stores.programs(db, [store]).get(store)
    if program is None:
        raise NotFound(
            f"{store} has no program",
            hint=f"lensback store add {store} --feed … --program FILE.toml",
        )
    parsed = check_program(program.terms, networks_dir)
    if offer is None:
        return Explanation(store, program.network, parsed, None, None, "")
    now = int(time.time())
    said = terms.estimate(parsed, offer.offer.price, offer.offer.category, now, rates)
    try:
        link = offer_link(db, networks_dir, offer, EXAMPLE, now, rates)
    except NotFound as error:
        return Explanation(store, program.network, parsed, offer, said, "", error.message)
    return Explanation(store, program.network, parsed, offer, said, link.url, link.reason)
