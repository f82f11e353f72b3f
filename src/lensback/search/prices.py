"""Rows of the catalogue -> offers as they are shown: with the cashback estimated for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lensback import log, networks, terms
from lensback.catalogue import stores
from lensback.catalogue.for_sale import ForSale
from lensback.db import Database
from lensback.errors import ConfigError
from lensback.exchange import Rates
from lensback.networks import Reach, Site
from lensback.rank import price_after_cashback
from lensback.terms import Terms
from lensback.types import Money
from lensback.wire import Hit, Offer
from lensback.wire.numbers import Cashback


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
    depends_on: tuple[str, ...]
    none_because: str
    converted: Money | None


@dataclass(frozen=True, slots=True)
class _Paying:
    """A program of a store, None where it is broken, and where its links lead; None where it is
    paused. `domains`: none where it cannot be read."""

    terms: Terms | None = None
    reach: Reach | None = None
    domains: tuple[str, ...] = ()


class Prices:
    """The programs of some stores, as of now."""

    def __init__(
        self,
        programs: Mapping[str, Sequence[_Paying]],
        rates: Rates | None,
        at: int,
        currency: str = "",
    ) -> None:
        self._programs = programs
        self._rates = rates
        self._currency = currency
        self._at = at
        self._known: dict[tuple[object, ...], Amounts] = {}
        first = ((store, each[0].domains) for store, each in programs.items() if each)
        self._sites = {store: Site(domains) for store, domains in first}
        self._any_site = Site()

    @classmethod
    def of(
        cls, db: Database, rows: Iterable[ForSale], basis: CashbackBasis, currency: str = ""
    ) -> Prices:
        """Prices with cashback of these rows, converted into `currency` where that is another and there
        are rates. A program that is broken pays nothing, and the log says so."""
        known: dict[str, list[_Paying]] = {}
        for name, programs in stores.programs(db, {row.store for row in rows}).items():
            for program in programs:
                domains: tuple[str, ...] = ()
                try:
                    parsed = terms.parse(program.terms)
                    domains = parsed.domains
                    network = networks.open_network(parsed.network, basis.networks)
                    networks.check_settings(network, networks.settings_of(parsed))
                except ConfigError as error:
                    log.event("program ignored", 30, store=name, message=error.message)
                    one = _Paying(domains=domains)
                else:
                    reach = None if parsed.paused else Reach(network, parsed)
                    one = _Paying(parsed, reach, domains)
                known.setdefault(name, []).append(one)
        return cls(known, basis.rates, int(time.time()), currency)

    def offer(self, row: ForSale, search_id: str = "") -> Offer:
        """The offer of a row. Where it has no program, or every one is paused, or no link of it can
        be made, the cashback is nothing, and why is said; links carry the search that they were
        found by. Where the click would lead nowhere (`cashback.program_link`) it is said, too."""
        at = self._paying(row)
        amounts = self._amounts(row, at)
        return Offer(
            offer_id=row.offer_id,
            store=row.store,
            store_title=row.store_title or row.store,
            title=row.title,
            size=row.size,
            color=row.color,
            category=row.category,
            price=amounts.price,
            old_price=amounts.old_price,
            cashback=amounts.cashback,
            price_after_cashback=amounts.after,
            depends_on=amounts.depends_on,
            no_cashback=amounts.none_because,
            converted=amounts.converted,
            availability=row.availability,
            disclosure=row.disclosure,
            link=f"/go/{row.offer_id}?search={search_id}" if search_id else f"/go/{row.offer_id}",
            reachable=self._is_reached(row, at),
        )

    def reaches(self, row: ForSale) -> bool:
        """Whether a click on the offer of this row leads to its store."""
        return self._is_reached(row, self._paying(row))

    def _paying(self, row: ForSale) -> int:
        """Which of the store's programs leads to the offer, -1 where none does."""
        programs = self._programs.get(row.store, ())
        return next(
            (n for n, one in enumerate(programs) if one.reach and one.reach.covers(row)), -1
        )

    def _is_reached(self, row: ForSale, at: int) -> bool:
        return at >= 0 or self._sites.get(row.store, self._any_site).covers(row)

    def _amounts(self, row: ForSale, at: int) -> Amounts:
        """Worked out once for each price, category and brand of a store: sizes of a shirt share
        them. `at`: the program that pays."""
        programs = self._programs.get(row.store, ())
        terms_now = programs[at].terms if at >= 0 else None
        told = (row.category, row.brand) if terms_now else ("", "")
        key = (row.store, row.price_minor, row.old_price_minor, row.currency, *told, at)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._sums(row, terms_now, _why_none(programs))
        return found

    def _sums(self, row: ForSale, program: Terms | None, why_none: str) -> Amounts:
        price, old = Money(row.price_minor, row.currency), row.old_price_minor
        cashback, depends_on = Cashback(0, row.currency, up_to=False), tuple[str, ...]()
        if program is not None:
            said = terms.estimate(
                program, price, row.category, self._at, self._rates, brand=row.brand
            )
            depends_on, why_none = said.depends_on, "no_rate"
            if said.cashback.minor:
                cashback = Cashback(said.cashback.minor, row.currency, said.up_to)
        after = price_after_cashback(price, cashback)
        return Amounts(
            price,
            None if old is None else Money(old, row.currency),
            cashback,
            after,
            depends_on if cashback.minor else (),
            "" if cashback.minor else why_none,
            self._converted(after),
        )

    def _converted(self, after: Money) -> Money | None:
        if self._rates is None or not self._currency or after.currency == self._currency:
            return None
        return self._rates.convert(after, self._currency)


def reachable(db: Database, basis: CashbackBasis) -> Callable[[Sequence[ForSale]], list[ForSale]]:
    """What leaves of some rows those whose click leads to their store."""

    def reaching(rows: Sequence[ForSale]) -> list[ForSale]:
        prices = Prices.of(db, rows, basis)
        return [row for row in rows if prices.reaches(row)]

    return reaching


def rates_day(hits: Iterable[Hit], rates: Rates | None) -> str | None:
    """The day of the exchange rates, ISO 8601, where a price of the hits was converted by them."""
    used = any(offer.converted for hit in hits for offer in hit.offers)
    return str(rates.day) if rates and used else None


def _why_none(programs: Sequence[_Paying]) -> str:
    """Why an offer that no program leads to pays nothing."""
    if not programs:
        return "no_program"
    paused = all(one.terms and one.terms.paused for one in programs)
    return "paused" if paused else "no_link"
