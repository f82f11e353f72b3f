"""Prices after cashback: the programs of the stores at hand, applied to their offers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lensback import log, networks, terms
from lensback.catalogue import stores
from lensback.db import Database
from lensback.errors import BadQuery, ConfigError
from lensback.exchange import Rates
from lensback.networks import Network
from lensback.terms import Estimate, Terms
from lensback.types import Money, StoredOffer

TRIAL_SUBID = "0" * 22
"""As long as a click id: only what a link can be made for is promised."""


@dataclass(frozen=True, slots=True)
class Promises:
    """Where and by what cashback is promised. `networks`: folder of the workspace's networks."""

    networks: Path | None = None
    rates: Rates | None = None
    """For programs that pay in another currency; None where there are no fresh ones."""


NO_PROMISES = Promises()


class Prices:
    """The terms of some stores, as of now."""

    def __init__(
        self, programs: Mapping[str, tuple[Terms, Network]], rates: Rates | None, at: int
    ) -> None:
        self._programs = programs
        self._rates = rates
        self._at = at
        self._said: dict[tuple[str, Money, str], Estimate] = {}

    @classmethod
    def of(cls, db: Database, names: Iterable[str], promises: Promises) -> Prices:
        """The programs of these stores. One that is broken pays nothing, and the log says so."""
        known = {}
        for name, program in stores.programs(db, names).items():
            try:
                parsed = terms.parse(program.terms)
                network = networks.open_network(parsed.network, promises.networks)
                networks.check_settings(network, networks.settings_of(parsed))
            except ConfigError as error:
                log.event("program ignored", 30, store=name, message=error.message)
            else:
                known[name] = (parsed, network)
        return cls(known, promises.rates, int(time.time()))

    def offers(self, offers: Iterable[StoredOffer]) -> tuple[StoredOffer, ...]:
        """The offers with the cashback that may be promised for each."""
        return tuple(self._priced(stored) for stored in offers)

    def _priced(self, stored: StoredOffer) -> StoredOffer:
        program = self._programs.get(stored.store)
        if program is None:
            return stored
        said = self._estimate(stored, program[0])
        if not said.cashback.minor or not _linked(stored, *program):
            return stored
        return replace(stored, cashback=said.cashback, up_to=said.up_to)

    def _estimate(self, stored: StoredOffer, parsed: Terms) -> Estimate:
        """Once for each price and category of a store: the sizes of a shirt differ in neither."""
        key = (stored.store, stored.offer.price, stored.offer.category)
        if key not in self._said:
            self._said[key] = terms.estimate(parsed, key[1], key[2], self._at, self._rates)
        return self._said[key]


def _linked(stored: StoredOffer, program: Terms, network: Network) -> bool:
    try:
        networks.offer_deeplink(network, program, stored.offer, TRIAL_SUBID)
    except BadQuery:
        return False
    return True


def with_cashback(
    db: Database, offers: Iterable[StoredOffer], promises: Promises
) -> tuple[StoredOffer, ...]:
    """Any offers with the cashback that may be promised for each."""
    found = tuple(offers)
    return Prices.of(db, {stored.store for stored in found}, promises).offers(found)
