"""What the events of a sale tell: what its row and its accounts must hold."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from lensback.db import chunks
from lensback.db import tables as t
from lensback.ledger import holds, reasons
from lensback.ledger.holds import Review
from lensback.ledger.sale import (
    Accounts,
    Sale,
    accounts_of,
    cashback_of,
    digest,
    expected_at,
    share_of,
    state_of,
)
from lensback.types import Conversion, Money


@dataclass(frozen=True, slots=True)
class ExpectedSale:
    """One sale as its events tell it: what its row and its accounts must hold."""

    sale: Sale
    click_id: str | None
    cashback: Money | None
    payouts: Mapping[str, int]
    expected_at: int | None
    review: Review = field(default_factory=Review)
    store: str = ""
    terms: Mapping[str, Any] = field(default_factory=dict)

    @property
    def accounts(self) -> Accounts:
        """What each account must hold for this sale."""
        return accounts_of(self.sale, self.cashback, self.payouts, self.review.state)

    @property
    def row(self) -> dict[str, Any]:
        """The columns of `conversions` that follow from the events."""
        sale, currency = self.sale, self.sale.commission.currency
        value = sale.order_value
        return {
            "subid": sale.subid,
            "click_id": self.click_id,
            "status": sale.status,
            "currency": currency,
            "commission_minor": sale.commission.minor,
            "cashback_minor": self.cashback.minor if self.cashback else 0,
            "paid_out_minor": self.payouts.get(currency, 0),
            "order_id": sale.order_id,
            "order_currency": value.currency if value else "",
            "order_value_minor": value.minor if value else None,
            "reason": reasons.code_of(sale.reason) if sale.status == "declined" else "",
            "reason_text": sale.reason,
            "ordered_at": sale.ordered_at,
            "changed_at": sale.changed_at,
            "expected_at": self.expected_at,
            "store": self.store,
            "review": self.review.state,
            "review_code": self.review.code,
            "review_text": self.review.text,
        }


def expected_sales(c: Connection, ids: Sequence[int]) -> dict[int, ExpectedSale]:
    """What the events of each sale tell, read anew."""
    e, v = t.conversion_events.c, t.conversions.c
    named = c.execute(select(v.id, v.network).where(v.id.in_(ids)))
    networks = {row.id: row.network for row in named}
    query = select(t.conversion_events).where(e.conversion_id.in_(ids)).order_by(e.id)
    news: dict[int, list[Conversion]] = defaultdict(list)
    payouts: dict[int, Counter[str]] = defaultdict(Counter)
    decisions: dict[int, list[RowMapping]] = defaultdict(list)
    for row in c.execute(query).mappings():
        key = row["conversion_id"]
        if row["kind"] == "payout":
            payouts[key][row["commission_currency"]] += row["commission_minor"]
        elif row["kind"] in holds.KINDS:
            decisions[key].append(row)
        else:
            news[key].append(news_in(row))
    sales = {key: state_of(news[key]) for key in ids}
    clicks = _clicks(c, {sale.subid for sale in sales.values() if sale.subid})
    return {
        key: _expected_sale(
            sale,
            clicks.get(sale.subid),
            payouts[key],
            holds.review_of(decisions[key]),
            networks.get(key, ""),
        )
        for key, sale in sales.items()
    }


def booked_for(c: Connection, ids: Sequence[int]) -> dict[int, Accounts]:
    """What the accounts hold for each sale."""
    e = t.entries.c
    total = func.sum(e.minor).label("total")
    where = select(e.conversion_id, e.account, e.currency, total).where(e.conversion_id.in_(ids))
    held: dict[int, Accounts] = defaultdict(Counter)
    for row in c.execute(where.group_by(e.conversion_id, e.account, e.currency)):
        if row.total:
            held[row.conversion_id][row.account, row.currency] = int(row.total)
    return held


def renamed(c: Connection, ids: Sequence[int]) -> set[int]:
    """The sales that are not the ones whose news they hold: the name of each of the news is made of the
    sale's network, number and item, too."""
    e, v = t.conversion_events.c, t.conversions.c
    query = (
        select(t.conversion_events, v.network, v.external_id, v.item)
        .join(t.conversions, v.id == e.conversion_id)
        .where(e.conversion_id.in_(ids), e.kind == "news")
    )
    found = set()
    for row in c.execute(query).mappings():
        whose = {name: row[name] for name in ("network", "external_id", "item")}
        if digest(replace(news_in(row), **whose)) != row["digest"]:
            found.add(row["conversion_id"])
    return found


def _expected_sale(
    sale: Sale,
    click: RowMapping | None,
    payouts: Mapping[str, int],
    review: Review,
    network: str,
) -> ExpectedSale:
    if click is None:
        return ExpectedSale(sale, None, None, payouts, None, review)
    if click["network"] != network and holds.OTHER_NETWORK not in review.released:
        # A network confirms only clicks that went through it.
        if not review.state:
            went = click["network"] or "no network"
            review = replace(
                review,
                state="held",
                code=holds.OTHER_NETWORK,
                text=f"the click went through {went}, not through {network}",
            )
        return ExpectedSale(sale, None, None, payouts, None, review)
    cashback = cashback_of(sale.commission, share_of(click["terms"]))
    expected = expected_at(sale, click["at"], click["terms"])
    return ExpectedSale(
        sale,
        click["click_id"],
        cashback,
        payouts,
        expected,
        review,
        click["store"],
        click["terms"],
    )


def _clicks(c: Connection, wanted: set[str]) -> dict[str, RowMapping]:
    k = t.clicks.c
    columns = (k.click_id, k.at, k.terms, k.network, k.store)
    found: dict[str, RowMapping] = {}
    for part in chunks(sorted(wanted)):
        rows = c.execute(select(*columns).where(k.click_id.in_(part))).mappings()
        found |= {row["click_id"]: row for row in rows}
    return found


def news_in(row: RowMapping) -> Conversion:
    """The news of an event; whose it is, is left out: it does not matter for the state."""
    return Conversion(
        network="",
        external_id="",
        status=row["status"],
        part=row["part"],
        subid=row["subid"],
        commission=_money(row["commission_minor"], row["commission_currency"]),
        order_value=_money(row["order_value_minor"], row["order_currency"]),
        order_id=row["order_id"],
        reason=row["reason"],
        ordered_at=row["ordered_at"],
        changed_at=row["changed_at"],
    )


def _money(minor: int | None, currency: str) -> Money | None:
    return None if minor is None else Money(minor, currency)


def payout_event(conversion_id: int, amount: Money, reference: str, at: int) -> dict[str, Any]:
    """The event of cashback handed to the shopper; the same reference pays a sale once, and sets off once
    what is owed of it in each currency that it had before."""
    owed = amount.currency if amount.minor < 0 else ""
    name = Conversion("payout", str(conversion_id), "paid", item=owed, order_id=reference)
    return {
        **_NO_EVENT,
        "digest": digest(name, "payout"),
        "conversion_id": conversion_id,
        "kind": "payout",
        "status": "paid",
        "commission_minor": amount.minor,
        "commission_currency": amount.currency,
        "order_id": reference,
        "changed_at": at,
        "source": "pay",
        "received_at": at,
    }


def decision_event(
    kind: str,
    conversion_id: int,
    code: str,
    text: str,
    at: int,
    source: str,
    amounts: tuple[Money, Money] = (Money(0, ""), Money(0, "")),
) -> dict[str, Any]:
    """The event of a sale that is set aside (`hold`), let through (`release`) or refused (`refuse`), by a
    rule or an operator; `amounts`: commission and order value that were let through."""
    return {
        **_NO_EVENT,
        "digest": secrets.token_hex(32),
        "conversion_id": conversion_id,
        "kind": kind,
        "commission_minor": amounts[0].minor,
        "commission_currency": amounts[0].currency,
        "order_value_minor": amounts[1].minor,
        "order_currency": amounts[1].currency,
        "order_id": code,
        "reason": text,
        "source": source,
        "received_at": at,
    }


_NO_EVENT = {
    "part": "",
    "status": "",
    "subid": "",
    "commission_minor": None,
    "commission_currency": "",
    "order_value_minor": None,
    "order_currency": "",
    "order_id": "",
    "reason": "",
    "ordered_at": None,
    "changed_at": None,
}
