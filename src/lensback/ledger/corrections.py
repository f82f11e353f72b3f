"""Corrections that a network tells as sales of their own: a negative amount beside the sale it is of.

One is folded into that sale, so that an order is told once, with what is left of it: never plus and
minus beside each other, in the books no more than on the page. One whose sale nobody told of takes back
nothing, since nothing was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from lensback.db import chunks
from lensback.db import tables as t
from lensback.ledger.reasons import CORRECTION, TAKEN_BACK
from lensback.ledger.sale import Sale
from lensback.types import Money

Click = tuple[str, str]
"""Network and click id: corrections are of sales of the same."""


@dataclass(frozen=True, slots=True)
class NamedSale:
    """A sale under the names that its network gives it."""

    network: str
    external_id: str
    sale: Sale

    @property
    def click(self) -> Click:
        """The click that it names."""
        return self.network, self.sale.subid


def is_correction(sale: Sale) -> bool:
    """Whether a sale takes back something."""
    return sale.commission.minor < 0 and sale.status != "declined"


def folded(sales: Mapping[int, NamedSale]) -> dict[int, Sale]:
    """All sales of some clicks, by any key: what is left of each, corrections with nothing of their own.

    >>> plus, minus = Sale("approved", "c1", Money(500, "EUR")), Sale("paid", "c1", Money(-200, "EUR"))
    >>> left = folded({1: NamedSale("awin", "a", plus), 2: NamedSale("awin", "b", minus)})
    >>> [(left[key].status, left[key].commission.minor) for key in (1, 2)]
    [('approved', 300), ('declined', 0)]
    """
    left = {key: _no_minus(one.sale) for key, one in sales.items()}
    for key in sorted(key for key, one in sales.items() if is_correction(one.sale)):
        minus = sales[key].sale
        rest, value = -minus.commission.minor, minus.order_value
        for other in _whose(sales, key):
            sale = left[other]
            part = min(rest, sale.commission.minor)
            if sale.commission.currency == minus.commission.currency and part > 0:
                left[other] = _less(sale, part, value, minus.reason)
                rest, value = rest - part, None
        left[key] = replace(
            minus,
            status="declined",
            commission=replace(minus.commission, minor=0),
            order_value=None,
            code=CORRECTION,
        )
    return left


def fits(external_id: str, order_id: str, other_id: str, other_order: str) -> bool:
    """Whether a correction under these names may be of the other sale of its click: the same number, the
    same order, or no order is told."""
    return external_id == other_id or not order_id or other_order in {"", order_id}


def clicks_with(c: Connection, clicks: Iterable[Click]) -> set[Click]:
    """The clicks among them with a correction that is booked already."""
    wanted, v = set(clicks), t.conversions.c
    query = select(v.network, v.subid).where(v.reason == CORRECTION)
    found = {
        (row.network, row.subid)
        for part in chunks(sorted({click_id for _, click_id in wanted}))
        for row in c.execute(query.where(v.subid.in_(part)))
    }
    return found & wanted


def sales_of_clicks(c: Connection, clicks: Iterable[Click]) -> dict[int, tuple[str, str]]:
    """The booked sales of these clicks: network and external id by database id."""
    wanted, v = set(clicks), t.conversions.c
    query = select(v.id, v.network, v.external_id, v.subid)
    return {
        row.id: (row.network, row.external_id)
        for part in chunks(sorted({click_id for _, click_id in wanted if click_id}))
        for row in c.execute(query.where(v.subid.in_(part)))
        if (row.network, row.subid) in wanted
    }


def _whose(sales: Mapping[int, NamedSale], key: int) -> list[int]:
    """The sales that a correction may be of, the likeliest first: the same number, the same order, the
    largest."""
    minus = sales[key]
    order = minus.sale.order_id

    def place(other: int) -> tuple[bool, bool, int, int]:
        one = sales[other]
        return (
            one.external_id != minus.external_id,
            one.sale.order_id != order,
            -one.sale.commission.minor,
            other,
        )

    plus = (
        other
        for other, one in sales.items()
        if one.click == minus.click
        and minus.sale.subid
        and one.sale.commission.minor > 0
        and one.sale.status != "declined"
        and fits(minus.external_id, order, one.external_id, one.sale.order_id)
    )
    return sorted(plus, key=place)


def _no_minus(sale: Sale) -> Sale:
    """A correction that was declined takes back nothing, and says no amount."""
    if sale.status != "declined" or sale.commission.minor >= 0:
        return sale
    return replace(sale, commission=replace(sale.commission, minor=0))


def _less(sale: Sale, part: int, value: Money | None, reason: str) -> Sale:
    """A sale without a part of its commission, and without the order value that went with it."""
    commission = replace(sale.commission, minor=sale.commission.minor - part)
    order = sale.order_value
    if order and value and order.currency == value.currency:
        order = replace(order, minor=max(order.minor - abs(value.minor), 0))
    if commission.minor:
        return replace(sale, commission=commission, order_value=order)
    return replace(
        sale,
        status="declined",
        commission=commission,
        order_value=order,
        reason=reason,
        code=TAKEN_BACK,
    )
