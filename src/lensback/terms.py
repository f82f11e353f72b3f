"""Affiliate terms of a store: what a sale may pay, and the cashback estimated before it. Pure sums.

A program lists its rate rules in order; the first one whose every condition holds pays. Before
the purchase some conditions are not known (a new customer? a voucher? which region?), so the
estimate goes through every purchase that may come: a single outcome is said as it is, several as
"up to" the best. Everything is rounded down, so no estimate is above what the rules can pay.
A program that is paused pays nothing and promises nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from lensback.checked import CLOSED, checked, wrong
from lensback.decimals import bounded
from lensback.types import Converter, Money, currency_exponent

HINT = "See docs/programs.md"
Amount = Annotated[Decimal, Field(ge=0, le=10**9, decimal_places=6), AfterValidator(bounded)]
Share = Annotated[Decimal, Field(ge=0, le=1), AfterValidator(bounded)]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rate. Conditions that are left open hold for everybody."""

    __pydantic_config__ = CLOSED

    percent: Annotated[Decimal, Field(ge=0, le=100), AfterValidator(bounded)] | None = None
    """Of the price without `net_of`."""
    fixed: Amount | None = None
    """For each order."""
    currency: Annotated[str, Field(pattern="^([A-Z]{3})?$")] = ""
    """Of this rule's amounts; empty: the program's."""
    category: tuple[str, ...] = ()
    """Parts of the store's category path: `Shoes` also means `Women > Shoes > Boots`."""
    brand: tuple[str, ...] = ()
    """Brands as the store writes them: `Nike` also means `Nike Kids`."""
    customer: str = ""
    """For instance `new`: only the network knows."""
    region: str = ""
    voucher: bool | None = None
    when: str = ""
    """Any other condition, in plain words: only the network knows whether it holds."""
    from_price: Amount | None = None
    """The rule holds for orders of at least this (without `net_of`)."""
    min: Amount | None = None
    """Least and most commission of one order."""
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
        for name, held in (("category", self.category), ("brand", self.brand)):
            if any(not part.strip() for part in held):
                raise wrong(name, "holds an empty name")
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
    program: str = ""
    """Its id at the network, where it was imported."""
    rates: tuple[Rule, ...] = ()
    net_of: Share = Decimal(0)
    """Tax inside the price that the network takes off before the rate, as a share of the net price:
    0.2 where a price of 120 holds 20 of tax."""
    cap: Amount | None = None
    """Most commission of one order, whatever the rule."""
    hold_days: Annotated[int, Field(ge=0, le=1000)] = 0
    """Days until the store usually confirms a sale; 0: not told."""
    track_hours: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Hours until a sale is usually seen; 0: not told."""
    claim_days: Annotated[int, Field(ge=0, le=1000)] = 0
    """Days in which a missing sale may be claimed; 0: not at all."""
    paused: bool = False
    """Whether the network pays nothing at the moment: nothing is promised then."""
    notes: tuple[str, ...] | Mapping[str, tuple[str, ...]] = ()
    """What the shopper must know, in plain words: a list, or a list for each language (`en`, `ru`)."""
    deny_deeplinks: bool = False
    landing: str = ""
    tracking_hosts: tuple[str, ...] = ()
    erid: str = ""
    link: Mapping[str, str] = field(default_factory=dict)
    """What the network's link needs, see docs/networks.md."""


class Uncertainty(StrEnum):
    """Why an estimate is not certain, as a clause."""

    NOTHING_CERTAIN = "no rule pays for certain"
    CATEGORY_UNNAMED = "no rule names the category"
    CATEGORY_UNKNOWN = "the category is not known"
    BRAND_UNKNOWN = "the brand is not known"
    NOT_COMPARABLE = "a rule cannot be compared"
    EXCHANGE = "exchange rates move until the sale is paid"
    WHICH_RULE = "the network decides which rule it is"


_SAYS = {
    Uncertainty.CATEGORY_UNNAMED: "category",
    Uncertainty.CATEGORY_UNKNOWN: "category",
    Uncertainty.BRAND_UNKNOWN: "brand",
    Uncertainty.NOT_COMPARABLE: "exchange",
    Uncertainty.EXCHANGE: "exchange",
}
DEPENDS = ("category", "brand", "customer", "region", "voucher", "condition", "exchange")
"""What an estimate may depend on; `condition` is a rule's `when`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cashback that a shopper of one offer is told beforehand, and how it came about."""

    cashback: Money
    up_to: bool
    steps: tuple[str, ...]
    """In plain words, in order; `lensback program show` prints them."""
    depends_on: tuple[str, ...] = ()
    """Of DEPENDS, in its order: what decides how much it will be."""


def parse(values: Mapping[str, Any]) -> Terms:
    """Checks a program. Raises ConfigError naming the key that is wrong."""
    return _parsed(json.dumps(values, default=str))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Terms:
    return checked(Terms, text.encode(), "program key ", hint=HINT)


def estimate(
    terms: Terms,
    price: Money,
    category: str,
    at: int,
    rates: Converter | None = None,
    brand: str = "",
) -> Estimate:
    """The cashback of one thing of this price, in the price's currency, at a moment (UTC epoch).

    It is nothing where the program is paused, and where an amount cannot be converted: a guess
    would be a promise that nobody keeps. Where one was converted "up to" is said: rates move
    until the sale is paid.
    """
    nothing = Money(0, price.currency)
    steps = [f"the price is {price}"]
    if terms.paused:
        return Estimate(nothing, False, (*steps, "no cashback: the program is paused"))
    found, doubts = possible(terms, category, at, brand, price, rates)
    outcomes: list[Money] = []
    kind = "rule" if len(found) == 1 and not doubts else "perhaps"
    for rule in found:
        sums = [f"{kind}: {words(terms, rule)}"]
        paid = commission(terms, rule, price, rates, sums)
        if paid is None:
            doubts.append(Uncertainty.NOT_COMPARABLE)
        else:
            outcomes.append(cashback(paid, terms.share, price))
            sums.append(f"the shopper's {_percent(terms.share)} of it: {outcomes[-1]}")
            if currency_of(terms, rule) != price.currency and _amounts(terms, rule):
                doubts.append(Uncertainty.EXCHANGE)
        steps += sums
    if len({money.minor for money in outcomes}) > 1:
        doubts.append(Uncertainty.WHICH_RULE)
    best = max(outcomes, key=lambda money: money.minor, default=nothing)
    steps.append(_in_words(best, doubts))
    return Estimate(best, bool(doubts), tuple(steps), _depends_on(found, doubts))


def _in_words(best: Money, doubts: Sequence[Uncertainty]) -> str:
    why = "; ".join(dict.fromkeys(doubts))
    if not best.minor:
        return f"no cashback{f': {why}' if why else ''}"
    return f"estimate: up to {best}, because {why}" if doubts else f"estimate: {best}"


def _depends_on(rules: Sequence[Rule], doubts: Sequence[Uncertainty]) -> tuple[str, ...]:
    told = {_SAYS[doubt] for doubt in doubts if doubt in _SAYS}
    if {Uncertainty.NOTHING_CERTAIN, Uncertainty.WHICH_RULE} & set(doubts):
        held = {
            "customer": any(rule.customer for rule in rules),
            "region": any(rule.region for rule in rules),
            "voucher": any(rule.voucher is not None for rule in rules),
            "condition": any(rule.when for rule in rules),
        }
        told |= {name for name, is_held in held.items() if is_held}
    return tuple(name for name in DEPENDS if name in told)


@dataclass(frozen=True, slots=True)
class _Purchase:
    """One purchase that may come, as far as rules tell purchases apart; "" stands for all others."""

    category: str
    brand: str
    customer: str
    region: str
    voucher: bool
    when: str


def possible(
    terms: Terms,
    category: str,
    at: int,
    brand: str = "",
    price: Money | None = None,
    rates: Converter | None = None,
) -> tuple[list[Rule], list[Uncertainty]]:
    """The rules that may turn out to pay, in order, and what is doubtful about it.

    Every purchase that the rules tell apart is gone through: new customer or not, each region,
    with and without a voucher, every other condition, and each category and brand where the store
    gave none. In each the first rule that holds pays, so a rule that others always come before is
    never among them. A category that no rule names falls to the rules for all, but not for
    certain: the network may file the thing elsewhere. A brand that is told and that no rule names
    is another brand. Rules for dearer orders are left out where a `price` is given.
    """
    held, doubts = valid(terms, at), list[Uncertainty]()
    if price is not None:
        reached = [(rule, _reached(terms, rule, price, rates)) for rule in held]
        doubts += [Uncertainty.NOT_COMPARABLE for _, holds in reached if holds is None][:1]
        held = [rule for rule, holds in reached if holds]
    named = [path for rule in held for path in rule.category]
    brands = [name for rule in held for name in rule.brand]
    purchases = product(
        [category] if _parts(category) else [*named, ""],
        [brand] if brand.strip() else [*brands, ""],
        _customers(held),
        {rule.region for rule in held} | {""},
        (True, False),
        {rule.when for rule in held} | {""},
    )
    first = [_first(held, _Purchase(*each)) for each in purchases]
    if None in first:
        doubts.append(Uncertainty.NOTHING_CERTAIN)
    if named and not any(_fits(path, _parts(category)) for path in named):
        doubts.append(Uncertainty.CATEGORY_UNNAMED if category else Uncertainty.CATEGORY_UNKNOWN)
    if brands and not brand.strip():
        doubts.append(Uncertainty.BRAND_UNKNOWN)
    return [rule for rule in held if any(rule is one for one in first)], doubts


def _first(rules: Sequence[Rule], bought: _Purchase) -> Rule | None:
    parts = _parts(bought.category)
    for rule in rules:
        if (
            (not rule.category or any(_fits(path, parts) for path in rule.category))
            and (not rule.brand or any(_is_brand(name, bought.brand) for name in rule.brand))
            and rule.customer in {"", bought.customer}
            and rule.region in {"", bought.region}
            and rule.voucher in {None, bought.voucher}
            and rule.when in {"", bought.when}
        ):
            return rule
    return None


def _customers(rules: Sequence[Rule]) -> set[str]:
    """Kinds of customers that the rules tell apart; "" stands for all others."""
    kinds = {rule.customer for rule in rules}
    return kinds - {""} if {"new", "returning"} <= kinds else kinds | {""}


def _amounts(terms: Terms, rule: Rule) -> bool:
    """Whether amounts of a currency decide what the rule pays."""
    amounts = (rule.fixed, rule.min, rule.max, terms.cap)
    return any(amount is not None for amount in amounts)


def currency_of(terms: Terms, rule: Rule) -> str:
    """The currency of a rule's amounts."""
    return rule.currency or terms.currency


def _reached(terms: Terms, rule: Rule, price: Money, rates: Converter | None) -> bool | None:
    """Whether an order of this price is dear enough; None where that cannot be compared."""
    if not rule.from_price:
        return True
    least = _converted(rule.from_price, currency_of(terms, rule), price.currency, rates, [])
    return None if least is None else price.minor / (1 + Fraction(terms.net_of)) >= least.minor


def _fits(path: str, parts: tuple[str, ...]) -> bool:
    """Whether a category lies in a rule's: the path, or one part of it, is within."""
    wanted = _parts(path)
    n = len(wanted)
    return any(parts[at : at + n] == wanted for at in range(len(parts)))


@lru_cache(maxsize=4096)
def _is_brand(name: str, brand: str) -> bool:
    """Whether a brand is the named one, or a line of it: its words begin with the name's."""
    wanted, told = (re.findall(r"\w+", text.casefold()) for text in (name, brand))
    return bool(wanted) and told[: len(wanted)] == wanted


@lru_cache(maxsize=4096)
def _parts(category: str) -> tuple[str, ...]:
    return tuple(part.strip().casefold() for part in category.split(">") if part.strip())


def valid(terms: Terms, at: int) -> list[Rule]:
    """The rules that hold on the day of a moment (UTC epoch), in order."""
    return [rule for rule in terms.rates if _valid(rule, at)]


def _valid(rule: Rule, at: int) -> bool:
    today = datetime.fromtimestamp(at, UTC).date()
    return (rule.since or today) <= today <= (rule.until or today)


def commission(
    terms: Terms, rule: Rule, price: Money, rates: Converter | None, steps: list[str] | None = None
) -> Money | None:
    """What the network pays for an order of this price by this rule, rounded down; None where an
    amount of the program has no rate into the price's currency. `steps` gets the sum in words."""
    steps = steps if steps is not None else []
    currency = currency_of(terms, rule)
    if rule.percent is not None:
        part = 1 / (1 + Fraction(terms.net_of))
        if terms.net_of:
            net = Money(math.floor(price.minor * part), price.currency)
            steps.append(f"without {_percent(terms.net_of)} tax the price is {net}")
        paid = Money(math.floor(price.minor * part * Fraction(rule.percent) / 100), price.currency)
    else:
        converted = _converted(rule.fixed, currency, price.currency, rates, steps)
        if converted is None:
            return None
        paid = converted
    bounds = (
        (rule.min, max, currency),
        (rule.max, min, currency),
        (terms.cap, min, terms.currency),
    )
    for bound, pick, theirs in bounds:
        if bound is None:
            continue
        limit = _converted(bound, theirs, price.currency, rates, steps)
        if limit is None:
            return None
        paid = Money(pick(paid.minor, limit.minor), price.currency)
    steps.append(f"that is a commission of {paid}")
    return paid


def cashback(paid: Money, share: Decimal, price: Money) -> Money:
    """The shopper's part, rounded down; never more than the price."""
    whole = math.floor(paid.minor * Fraction(share))
    return Money(max(0, min(whole, price.minor)), paid.currency)


def money_of(amount: Decimal, currency: str) -> Money:
    """An amount of a program, rounded down to the smallest unit."""
    exact = amount.scaleb(currency_exponent(currency))
    return Money(int(exact.to_integral_value(ROUND_FLOOR)), currency)


def _converted(
    amount: Decimal | None, theirs: str, currency: str, rates: Converter | None, steps: list[str]
) -> Money | None:
    money = money_of(amount or Decimal(0), theirs)
    if theirs == currency:
        return money
    there = rates.convert(money, currency) if rates is not None else None
    rate = f"{money} is {there} today" if there else f"no fresh rate for {money} in {currency}"
    steps.append(rate)
    return there


def _percent(share: Decimal) -> str:
    return f"{(share * 100).normalize():f} %"


def words(terms: Terms, rule: Rule) -> str:
    """A rule as a person says it."""
    currency = currency_of(terms, rule)
    rate = (
        f"{rule.percent.normalize():f} %"
        if rule.percent is not None
        else f"{rule.fixed} {currency}"
    )
    told = [
        f"in {' or '.join(rule.category)}" if rule.category else "",
        f"of {' or '.join(rule.brand)}" if rule.brand else "",
        f"for {rule.customer} customers" if rule.customer else "",
        f"in {rule.region}" if rule.region else "",
        {True: "with a voucher", False: "without a voucher", None: ""}[rule.voucher],
        f"where the network says {rule.when!r}" if rule.when else "",
        f"for orders from {rule.from_price} {currency}" if rule.from_price else "",
        f"at least {rule.min} {currency}" if rule.min is not None else "",
        f"at most {rule.max} {currency}" if rule.max is not None else "",
        f"at most {terms.cap} {terms.currency} an order" if terms.cap is not None else "",
        f"from {rule.since}" if rule.since else "",
        f"until {rule.until}" if rule.until else "",
    ]
    return " ".join([rate, *filter(None, told)])
