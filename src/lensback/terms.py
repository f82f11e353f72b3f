"""Affiliate terms of a store: what a sale may pay, and the cashback estimated before it. Pure sums.

A program lists its rate rules in order; the first one whose every condition holds pays. Before
the purchase some conditions are not known (a new customer? a voucher? which region?), so the
estimate goes through every purchase that may come: a single outcome is said as it is, several as
"up to" the best. Everything is rounded down, so no estimate is above what the rules can pay.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Annotated, Any, Protocol, Self

from pydantic import Field, model_validator

from lensback.checked import CLOSED, checked, wrong
from lensback.types import Money, currency_exponent

HINT = "See docs/programs.md"
Amount = Annotated[Decimal, Field(ge=0, le=10**9, decimal_places=6)]
Share = Annotated[Decimal, Field(ge=0, le=1)]


class Converter(Protocol):
    """Exchange rates of a day, see `lensback.exchange`."""

    def convert(self, money: Money, currency: str) -> Money | None:
        """The amount in another currency, rounded down; None without a rate."""
        ...


@dataclass(frozen=True, slots=True)
class Rule:
    """One rate. Conditions that are left open hold for everybody."""

    __pydantic_config__ = CLOSED

    percent: Annotated[Decimal, Field(ge=0, le=100)] | None = None
    """Of the price without `net_of`."""
    fixed: Amount | None = None
    """For each order, in the program's currency."""
    category: tuple[str, ...] = ()
    """Parts of the store's category path: `Shoes` also means `Women > Shoes > Boots`."""
    customer: str = ""
    """For instance `new`: only the network knows."""
    region: str = ""
    voucher: bool | None = None
    min: Amount | None = None
    """Least and most commission of one order, in the program's currency."""
    max: Amount | None = None
    since: date | None = None
    until: date | None = None
    """Last day, included (UTC)."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.percent is None) == (self.fixed is None):
            raise ValueError("give percent or fixed, one of them")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise wrong("min", "is above max")
        if self.since and self.until and self.since > self.until:
            raise wrong("since", "is after until")
        if any(not part.strip() for part in self.category):
            raise wrong("category", "holds an empty name")
        return self


@dataclass(frozen=True, slots=True)
class Terms:
    """A program as its TOML says it."""

    __pydantic_config__ = CLOSED

    network: str
    domains: Annotated[tuple[str, ...], Field(min_length=1)]
    """Where the store's pages lie."""
    share: Share
    """The shopper's share of the commission."""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"
    """Of fixed amounts, least and most."""
    rates: tuple[Rule, ...] = ()
    net_of: Share = Decimal(0)
    """Tax inside the price that the network takes off before the rate, as a share of the net price:
    0.2 where a price of 120 holds 20 of tax."""
    cap: Amount | None = None
    """Most commission of one order, whatever the rule."""
    hold_days: Annotated[int, Field(ge=0, le=1000)] = 0
    claim_days: Annotated[int, Field(ge=0, le=1000)] = 0
    """Days in which a missing sale may be claimed; 0: not at all."""
    deny_deeplinks: bool = False
    landing: str = ""
    tracking_hosts: tuple[str, ...] = ()
    erid: str = ""
    link: Mapping[str, str] = field(default_factory=dict)
    """What the network's link needs, see docs/networks.md."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cashback that a shopper of one offer is told beforehand, and how it came about."""

    cashback: Money
    up_to: bool
    steps: tuple[str, ...]
    """In plain words, in order; `lensback program show` prints them."""


def parse(values: Mapping[str, Any]) -> Terms:
    """Checks a program. Raises ConfigError naming the key that is wrong."""
    return _parsed(json.dumps(values, default=str))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Terms:
    return checked(Terms, text.encode(), "program key ", hint=HINT)


def estimate(
    terms: Terms, price: Money, category: str, at: int, rates: Converter | None = None
) -> Estimate:
    """The cashback of one thing of this price, in the price's currency, at a moment (UTC epoch).

    It is nothing where an amount cannot be converted: a guess would be a promise that nobody
    keeps. Where one was converted "up to" is said: rates move until the sale is paid.
    """
    found, doubts = possible(terms, category, at)
    steps = [f"the price is {price}"]
    outcomes: list[Money] = []
    kind = "rule" if len(found) == 1 and not doubts else "perhaps"
    for rule in found:
        sums = [f"{kind}: {words(terms, rule)}"]
        paid = commission(terms, rule, price, rates, sums)
        if paid is None:
            doubts.append("a rule cannot be compared")
        else:
            outcomes.append(cashback(paid, terms.share, price))
            sums.append(f"the shopper's {_percent(terms.share)} of it: {outcomes[-1]}")
            if terms.currency != price.currency and _amounts(terms, rule):
                doubts.append("exchange rates move until the sale is paid")
        steps += sums
    if len({money.minor for money in outcomes}) > 1:
        doubts.append("the network decides which rule it is")
    nothing = Money(0, price.currency)
    best = max(outcomes, key=lambda money: money.minor, default=nothing)
    steps.append(_in_words(best, doubts))
    return Estimate(best, bool(doubts), tuple(steps))


def _in_words(best: Money, doubts: Sequence[str]) -> str:
    why = "; ".join(dict.fromkeys(doubts))
    if not best.minor:
        return f"no cashback{f': {why}' if why else ''}"
    return f"estimate: up to {best}, because {why}" if doubts else f"estimate: {best}"


def possible(terms: Terms, category: str, at: int) -> tuple[list[Rule], list[str]]:
    """The rules that may turn out to pay, in order, and what is doubtful about it.

    Every purchase that the rules tell apart is gone through: new customer or not, each region,
    with and without a voucher, and each category where the store gave none. In each the first
    rule that holds pays, so a rule that others always come before is never among them. A category
    that no rule names falls to the rules for all, but not for certain: the network may file the
    thing elsewhere.
    """
    valid = [rule for rule in terms.rates if _valid(rule, at)]
    named = [path for rule in valid for path in rule.category]
    filed = [category] if _parts(category) else [*named, ""]
    purchases = product(filed, _customers(valid), _regions(valid), (True, False))
    first = [_first(valid, *purchase) for purchase in purchases]
    doubts = []
    if None in first:
        doubts.append("no rule pays for certain")
    if named and not any(_fits(path, _parts(category)) for path in named):
        doubts.append("no rule names the category" if category else "the category is not known")
    return [rule for rule in valid if any(rule is one for one in first)], doubts


def _first(
    rules: Sequence[Rule], category: str, customer: str, region: str, voucher: bool
) -> Rule | None:
    parts = _parts(category)
    for rule in rules:
        if (
            (not rule.category or any(_fits(path, parts) for path in rule.category))
            and rule.customer in {"", customer}
            and rule.region in {"", region}
            and rule.voucher in {None, voucher}
        ):
            return rule
    return None


def _customers(rules: Sequence[Rule]) -> set[str]:
    """Kinds of customers that the rules tell apart; "" stands for all others."""
    kinds = {rule.customer for rule in rules}
    return kinds - {""} if {"new", "returning"} <= kinds else kinds | {""}


def _regions(rules: Sequence[Rule]) -> set[str]:
    """Regions that the rules tell apart; "" stands for all others."""
    return {rule.region for rule in rules} | {""}


def _amounts(terms: Terms, rule: Rule) -> bool:
    """Whether amounts of the program's currency decide what the rule pays."""
    amounts = (rule.fixed, rule.min, rule.max, terms.cap)
    return any(amount is not None for amount in amounts)


def _fits(path: str, parts: tuple[str, ...]) -> bool:
    """Whether a category lies in a rule's: the path, or one part of it, is within."""
    wanted = _parts(path)
    n = len(wanted)
    return any(parts[at : at + n] == wanted for at in range(len(parts)))


@lru_cache(maxsize=4096)
def _parts(category: str) -> tuple[str, ...]:
    return tuple(part.strip().casefold() for part in category.split(">") if part.strip())


def _valid(rule: Rule, at: int) -> bool:
    today = datetime.fromtimestamp(at, UTC).date()
    return (rule.since or today) <= today <= (rule.until or today)


def commission(
    terms: Terms, rule: Rule, price: Money, rates: Converter | None, steps: list[str] | None = None
) -> Money | None:
    """What the network pays for an order of this price by this rule, rounded down; None where an
    amount of the program has no rate into the price's currency. `steps` gets the sum in words."""
    steps = steps if steps is not None else []
    if rule.percent is not None:
        part = 1 / (1 + Fraction(terms.net_of))
        if terms.net_of:
            net = Money(math.floor(price.minor * part), price.currency)
            steps.append(f"without {_percent(terms.net_of)} tax the price is {net}")
        paid = Money(math.floor(price.minor * part * Fraction(rule.percent) / 100), price.currency)
    else:
        converted = _converted(terms, rule.fixed, price.currency, rates, steps)
        if converted is None:
            return None
        paid = converted
    for bound, pick in ((rule.min, max), (rule.max, min), (terms.cap, min)):
        if bound is None:
            continue
        limit = _converted(terms, bound, price.currency, rates, steps)
        if limit is None:
            return None
        paid = Money(pick(paid.minor, limit.minor), price.currency)
    steps.append(f"that is a commission of {paid}")
    return paid


def cashback(paid: Money, share: Decimal, price: Money) -> Money:
    """The shopper's part, rounded down; never more than the price."""
    whole = math.floor(paid.minor * Fraction(share))
    return Money(max(0, min(whole, price.minor)), paid.currency)


def _converted(
    terms: Terms, amount: Decimal | None, currency: str, rates: Converter | None, steps: list[str]
) -> Money | None:
    exact = (amount or Decimal(0)).scaleb(currency_exponent(terms.currency))
    money = Money(int(exact.to_integral_value(ROUND_FLOOR)), terms.currency)
    if terms.currency == currency:
        return money
    there = rates.convert(money, currency) if rates is not None else None
    rate = f"{money} is {there} today" if there else f"no fresh rate for {money} in {currency}"
    steps.append(rate)
    return there


def _percent(share: Decimal) -> str:
    return f"{(share * 100).normalize():f} %"


def words(terms: Terms, rule: Rule) -> str:
    """A rule as a person says it."""
    rate = (
        f"{rule.percent.normalize():f} %"
        if rule.percent is not None
        else f"{rule.fixed} {terms.currency}"
    )
    told = [
        f"in {' or '.join(rule.category)}" if rule.category else "",
        f"for {rule.customer} customers" if rule.customer else "",
        f"in {rule.region}" if rule.region else "",
        {True: "with a voucher", False: "without a voucher", None: ""}[rule.voucher],
        f"at least {rule.min} {terms.currency}" if rule.min is not None else "",
        f"at most {rule.max} {terms.currency}" if rule.max is not None else "",
        f"at most {terms.cap} {terms.currency} an order" if terms.cap is not None else "",
        f"from {rule.since}" if rule.since else "",
        f"until {rule.until}" if rule.until else "",
    ]
    return " ".join([rate, *filter(None, told)])
