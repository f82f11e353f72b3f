"""An offer -> the link that pays, and what may be promised for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensback import terms as terms_module
from lensback.catalogue import stores
from lensback.db import Database
from lensback.errors import BadQuery, ConfigError, NotFound
from lensback.exchange import Rates
from lensback.networks import (
    LinkSettings,
    check_settings,
    deeplink,
    erid_of,
    open_network,
)
from lensback.terms import Estimate, Terms, estimate
from lensback.types import Money, StoredOffer


@dataclass(frozen=True, slots=True)
class OfferLink:
    """Where one click leads, and the terms it happened under."""

    url: str
    network: str
    """Empty where the store has no program: then nothing is paid."""
    program_id: int | None
    terms_snapshot: Mapping[str, Any]
    """The program as it stood, kept with the click: a later change is not for old clicks."""
    estimate: Money | None


def offer_link(
    db: Database,
    networks: Path,
    stored: StoredOffer,
    subid: str,
    at: int,
    rates: Rates | None = None,
) -> OfferLink:
    """The link of one click on an offer.

    Without a program: the offer's own address, and nothing is promised. Raises NotFound where
    the program cannot lead to this offer: an address outside its domains, or another publisher's.
    """
    program = stores.programs(db, [stored.store]).get(stored.store)
    if program is None:
        return OfferLink(stored.offer.url, "", None, {}, None)
    try:
        terms = terms_module.parse(program.terms)
        network = open_network(terms.network, networks)
        url = deeplink(
            network, link_settings(terms, stored.offer.disclosure), stored.offer.url, subid
        )
    except (BadQuery, ConfigError) as error:
        raise NotFound(
            f"no link to this offer: {error.message}", hint="choose another offer"
        ) from error
    said = estimate(terms, stored.offer.price, stored.offer.category, at, rates)
    return OfferLink(url, network.name, program.id, dict(program.terms), said.cashback)


def link_settings(terms: Terms, disclosure: str = "") -> LinkSettings:
    """What the network's link needs of a program; an offer's own advertising token goes first."""
    return LinkSettings(
        domains=terms.domains,
        ids=terms.link,
        deny_deeplinks=terms.deny_deeplinks,
        landing=terms.landing,
        tracking_hosts=terms.tracking_hosts,
        erid=erid_of(disclosure) or terms.erid,
    )


def check_program(values: Mapping[str, Any], networks: Path) -> Terms:
    """A program as `store add --program` takes it. Raises ConfigError or UnknownName naming what
    is wrong."""
    terms = terms_module.parse(values)
    check_settings(open_network(terms.network, networks), link_settings(terms))
    return terms


@dataclass(frozen=True, slots=True)
class Explanation:
    """How the promise for one offer comes about."""

    store: str
    network: str
    terms: Terms
    offer: StoredOffer | None
    estimate: Estimate | None
    link: str
    """An example link; its click id is made up and never recorded. Or why there is none."""


def explain(
    db: Database,
    networks: Path,
    store: str,
    offer: StoredOffer | None = None,
    rates: Rates | None = None,
) -> Explanation:
    """A store's program in words, and for an offer its estimate step by step. Raises NotFound."""
    program = stores.programs(db, [store]).get(store)
    if program is None:
        raise NotFound(
            f"{store} has no program",
            hint=f"lensback store add {store} --feed … --program FILE.toml",
        )
    terms = check_program(program.terms, networks)
    if offer is None:
        return Explanation(store, program.network, terms, None, None, "")
    now = int(time.time())
    said = estimate(terms, offer.offer.price, offer.offer.category, now, rates)
    try:
        link = offer_link(db, networks, offer, "EXAMPLE0000000000click", now, rates).url
    except NotFound as error:
        link = error.message
    return Explanation(store, program.network, terms, offer, said, link)
