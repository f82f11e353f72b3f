"""Which sales are set aside until somebody has looked at them, and why.

A hold is an event of its sale, so that the balances follow from events alone. Rules make one when
news come, and take it back where news remove its cause; what an operator decided stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from statistics import median_low
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from lensback.db import chunks
from lensback.db import tables as t
from lensback.decimals import fraction_of
from lensback.types import Converter, Money

OTHER_NETWORK = "other_network"
TWO_NETWORKS = "two_networks"
COMMISSION = "commission"
ORDER_VALUE = "order_value"
KINDS = ("hold", "release", "refuse")
MOST_SHARE = Fraction(1, 2)
"""A commission above this share of the order is looked at, unless the terms promise so much."""
TOLERANCE = 2
"""Or one of more than so many times what the terms promise."""
TIMES = 20
"""An order of more than so many times the store's median is looked at."""
LEAST_HISTORY, MOST_HISTORY = 20, 200
"""Orders of a store that make a history, and the newest that are read for it."""


@dataclass(frozen=True, slots=True)
class Review:
    """How a sale stands: `state` is "" (nothing to look at), `held` or `refused`."""

    state: str = ""
    code: str = ""
    text: str = ""
    released: Mapping[str, tuple[Money, Money]] = field(default_factory=dict)
    """What an operator let through, by code: commission and order value as they were then."""

    def lets(self, code: str, commission: Money, value: Money) -> bool:
        """Whether an operator let this cause through for amounts not below these."""
        if code not in self.released:
            return False
        then = zip(self.released[code], (commission, value), strict=True)
        same = code in {OTHER_NETWORK, TWO_NETWORKS}  # not of amounts
        return same or all(a.currency == b.currency and b.minor <= a.minor for a, b in then)


def review_of(events: Iterable[RowMapping]) -> Review:
    """How a sale stands after its holds and decisions, oldest first."""
    now = Review()
    for event in events:
        code, text = event["order_id"], event["reason"]
        if event["kind"] == "hold":
            now = replace(now, state="held", code=code, text=text)
        elif event["kind"] == "refuse":
            now = replace(now, state="refused", code=code, text=text)
        elif event["source"] == "rule":
            now = replace(now, state="", code="", text="")
        else:
            amounts = (
                Money(event["commission_minor"] or 0, event["commission_currency"]),
                Money(event["order_value_minor"] or 0, event["order_currency"]),
            )
            now = Review(released={**now.released, code: amounts})
    return now


@dataclass(frozen=True, slots=True)
class SaleFacts:
    """What the rules look at: a sale of a known click."""

    id: int
    network: str
    external_id: str
    status: str
    store: str
    order_id: str
    commission: Money
    order_value: Money
    terms: Mapping[str, Any]
    review: Review


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a sale is set aside. `others`: further sales that it concerns, by database id."""

    code: str
    text: str
    others: tuple[int, ...] = ()


def causes(
    c: Connection, sales: Sequence[SaleFacts], rates: Converter | None = None
) -> dict[int, Cause]:
    """The first cause of each sale that has one which no operator let through. Amounts of two currencies
    are compared by `rates`."""
    twins = _twins(c, sales)
    usual: dict[tuple[str, str], list[tuple[int, Money]]] = {}
    found: dict[int, Cause] = {}
    for sale in sales:
        key = sale.store, sale.order_value.currency
        if sale.order_value.minor > 0 and sale.store and key not in usual:
            usual[key] = _history(c, *key)
        told = (
            twins.get(sale.id),
            dear(sale.commission, sale.order_value, sale.terms, rates),
            unusual(
                sale.order_value,
                [value for id_, value in usual.get(key, []) if id_ != sale.id],
                rates,
            ),
        )
        for cause in told:
            if cause and not sale.review.lets(cause.code, sale.commission, sale.order_value):
                found[sale.id] = cause
                break
    return found


def dear(
    commission: Money, value: Money, terms: Mapping[str, Any], rates: Converter | None = None
) -> Cause | None:
    """A commission that is large against the order value, unless the terms promise it; one of another
    currency that no rate is known of."""
    if value.minor <= 0 or commission.minor <= 0:
        return None
    told = f"a commission of {commission} for an order of {value}"
    same = _in(value.currency, commission, rates)
    if same is None:
        return Cause(COMMISSION, f"{told}: no exchange rate compares them")
    if same.minor <= value.minor * MOST_SHARE:
        return None
    promised = _promised(value, terms, rates)
    if promised is None:
        return Cause(COMMISSION, f"{told}: no exchange rate compares them with the terms")
    return Cause(COMMISSION, told) if same.minor > promised * TOLERANCE else None


def _in(currency: str, money: Money, rates: Converter | None) -> Money | None:
    if money.currency == currency:
        return money
    return rates.convert(money, currency) if rates else None


def _promised(value: Money, terms: Mapping[str, Any], rates: Converter | None) -> Fraction | None:
    """The most that the terms give for an order of this value, in minor units; None where a fixed
    amount is of another currency that no rate is known of."""
    most = Fraction(0)
    for rule in terms.get("rates") or ():
        try:
            whole = max(fraction_of(rule.get(name) or 0) for name in ("fixed", "min"))
            if whole:
                named = rule.get("currency") or terms.get("currency", "EUR")
                fixed = Money.of(Decimal(whole.numerator) / whole.denominator, named)
                if (same := _in(value.currency, fixed, rates)) is None:
                    return None
                most = max(most, Fraction(same.minor))
            percent = fraction_of(rule.get("percent") or 0)
            most = max(most, value.minor * percent / 100)
        except (ArithmeticError, AttributeError, TypeError, ValueError):
            continue  # terms of a click are kept as they stood
    return most


def unusual(value: Money, history: Sequence[Money], rates: Converter | None = None) -> Cause | None:
    """An order value far above those of the store's history; one of a currency that no rate compares
    with it. Orders of the same currency count alone where they are enough."""
    if value.minor <= 0 or len(history) < LEAST_HISTORY:
        return None
    own = [one for one in history if one.currency == value.currency]
    if len(own) < LEAST_HISTORY:
        own = [same for one in history if (same := _in(value.currency, one, rates))]
    if len(own) < LEAST_HISTORY:
        strange = [one.currency for one in history if not _in(value.currency, one, rates)]
        if len(strange) < LEAST_HISTORY:
            return None
        names = " and ".join(sorted(set(strange)))
        text = f"an order of {value}, where {names} is usual: no exchange rate compares them"
        return Cause(ORDER_VALUE, text)
    usual = Money(median_low(one.minor for one in own), value.currency)
    if value.minor <= usual.minor * TIMES:
        return None
    text = f"an order of {value}, where {usual} is usual (median of {len(own)})"
    return Cause(ORDER_VALUE, text)


def _twins(c: Connection, sales: Sequence[SaleFacts]) -> dict[int, Cause]:
    """The sales whose order was told of at the same store once more: by another network, or by the same
    under a number that differs in nothing but large and small letters."""
    v = t.conversions.c
    orders = sorted({sale.order_id for sale in sales if sale.order_id and sale.store})
    same: dict[tuple[str, str], list[Any]] = {}
    for part in chunks(orders):
        query = select(v.id, v.network, v.external_id, v.store, v.order_id).where(
            v.order_id.in_(part),
            v.store != "",
            v.click_id.is_not(None),
            v.status != "declined",
            v.review != "refused",
        )
        for row in c.execute(query.order_by(v.id)):
            same.setdefault((row.store, row.order_id), []).append(row)
    found = {}
    for sale in sales:
        rows = same.get((sale.store, sale.order_id), []) if sale.order_id else []
        name = sale.network, sale.external_id
        others = [row for row in rows if is_twin(name, (row.network, row.external_id))]
        if others:
            told = sorted(
                {f"{row.network} {row.external_id}" for row in others}
                | {f"{sale.network} {sale.external_id}"}
            )
            text = f"order {sale.order_id} was told by {' and '.join(told)}"
            found[sale.id] = Cause(TWO_NETWORKS, text, tuple(row.id for row in others))
    return found


def is_twin(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two sales of one order, each by network and number, may be the same sale. Several actions of
    one order are none.

    >>> is_twin(("awin", "7"), ("cj", "7")), is_twin(("cj", "7a"), ("cj", "7A")), is_twin(("cj", "7"), ("cj", "8"))
    (True, True, False)
    """
    if one[0] != other[0]:
        return True
    return one[1] != other[1] and one[1].casefold() == other[1].casefold()


def partners(c: Connection, sale: SaleFacts) -> set[int]:
    """The other sales that are held because of the same order."""
    v = t.conversions.c
    query = select(v.id).where(
        v.order_id == sale.order_id,
        v.store == sale.store,
        v.review_code == TWO_NETWORKS,
        v.id != sale.id,
    )
    return set(c.scalars(query)) if sale.order_id and sale.store else set()


def _history(c: Connection, store: str, currency: str) -> list[tuple[int, Money]]:
    """The newest order values of a store in a currency, with their sales; in all currencies where those
    are too few to make a history."""
    v = t.conversions.c
    query = (
        select(v.id, v.order_value_minor, v.order_currency)
        .where(
            v.store == store,
            v.order_value_minor > 0,
            v.status != "declined",
            v.review == "",
        )
        .order_by(v.id.desc())
        .limit(MOST_HISTORY)
    )
    rows = c.execute(query.where(v.order_currency == currency)).all()
    if len(rows) <= LEAST_HISTORY:  # the sale itself may be among them
        rows = c.execute(query).all()
    return [(row.id, Money(row.order_value_minor, row.order_currency)) for row in rows]
