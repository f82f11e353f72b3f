"""Rows of the catalogue -> offers as they are shown: with the cashback estimated for each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lensback import log, networks, terms
from lensback.catalogue import stores
from lensback.catalogue.for_sale import ForSale
from lensback.db import Database
from lensback.errors import ConfigError
from lensback.exchange import Rates
from lensback.networks import Reach
from lensback.rank import price_after_cashback
from lensback.terms import Terms
from lensback.types import Money
from lensback.wire import Cashback, Offer


@dataclass(frozen=True, slots=True)
class CashbackBasis:
    """What cashback is computed from. `networks`: folder of the workspace's networks."""

    networks: Path | None = None
    rates: Rates | None = None
    """For programs that pay in another currency; None where there are no fresh ones."""


class Amounts(NamedTuple):
    """The sums of one offer."""

    price: Money
    old_price: Money | None
    cashback: Cashback
    after: Money


class Prices:
    """The programs of some stores, as of now."""

    def __init__(
        self, programs: Mapping[str, tuple[Terms, Reach]], rates: Rates | None, at: int
    ) -> None:
        self._programs = programs
        self._rates = rates
        self._at = at
        self._known: dict[tuple[object, ...], Amounts] = {}

    @classmethod
    def of(cls, db: Database, rows: Iterable[ForSale], basis: CashbackBasis) -> Prices:
        """Prices with cashback of these rows. A program that is broken pays nothing, and the log
        says so."""
        known = {}
        for name, program in stores.programs(db, {row.store for row in rows}).items():
            try:
                parsed = terms.parse(program.terms)
                network = networks.open_network(parsed.network, basis.networks)
                networks.check_settings(network, networks.settings_of(parsed))
            except ConfigError as error:
                log.event("program ignored", 30, store=name, message=error.message)
            else:
                known[name] = (parsed, Reach(network, parsed))
        return cls(known, basis.rates, int(time.time()))

    def offer(self, row: ForSale, search_id: str = "") -> Offer:
        """The offer of a row. Where it has no program, or no link of it can be made, the cashback
        is nothing; links carry the search that they were found by."""
        amounts = self._amounts(row, self._programs.get(row.store))
        return Offer(
            offer_id=row.offer_id,
            store=row.store,
            title=row.title,
            size=row.size,
            color=row.color,
            category=row.category,
            price=amounts.price,
            old_price=amounts.old_price,
            cashback=amounts.cashback,
            price_after_cashback=amounts.after,
            availability=row.availability,
            disclosure=row.disclosure,
            link=f"/go/{row.offer_id}?search={search_id}" if search_id else f"/go/{row.offer_id}",
        )

    def _amounts(self, row: ForSale, program: tuple[Terms, Reach] | None) -> Amounts:
        """Worked out once for each price and category of a store: sizes of a shirt share them."""
        paying = program is not None and program[1].covers(row)
        key = (row.store, row.price_minor, row.old_price_minor, row.currency, row.category, paying)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._sums(row, program[0] if program and paying else None)
        return found

    def _sums(self, row: ForSale, program: Terms | None) -> Amounts:
        price, old = Money(row.price_minor, row.currency), row.old_price_minor
        cashback = Cashback(0, row.currency)
        if program is not None:
            said = terms.estimate(program, price, row.category, self._at, self._rates)
            if said.cashback.minor:
                cashback = Cashback(said.cashback.minor, row.currency, said.up_to)
        return Amounts(
            price,
            None if old is None else Money(old, row.currency),
            cashback,
            price_after_cashback(price, cashback),
        )
