"""Payouts: approved cashback that was handed to a shopper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import BadQuery
from lensback.ledger.record import payout_event, settle
from lensback.types import Money


@dataclass(frozen=True, slots=True)
class Payout:
    """What one call marked as paid, by currency, and of how many sales."""

    amounts: tuple[Money, ...]
    sales: int


def pay(db: Database, user_token: str, reference: str, *, at: int) -> Payout:
    """Marks everything that is due to a user as paid, under the operator's reference.

    The same reference again pays nothing twice. Corrections after an earlier payout are set off;
    a currency in which the user owes more than is due is left for later.
    """
    if not reference.strip() or len(reference) > 100:
        raise BadQuery("a payout needs a reference", hint="e.g. the number of the bank transfer")
    with db.write() as c:
        ids = _sales(c, user_token)
        if _used(c, ids, reference):
            return Payout((), 0)
        due = list(_due(c, ids))
        sums: Counter[str] = Counter()
        for _, minor, currency in due:
            sums[currency] += minor
        events = [
            payout_event(key, Money(minor, currency), reference, at)
            for key, minor, currency in due
            if sums[currency] > 0
        ]
        if events:
            c.execute(insert(t.conversion_events), events)
            settle(c, sorted({event["conversion_id"] for event in events}), at)
    amounts = tuple(Money(minor, name) for name, minor in sorted(sums.items()) if minor > 0)
    return Payout(amounts, len(events))


def due_to(db: Database, user_token: str) -> dict[str, int]:
    """Approved cashback of a user that is not paid out: currency -> minor units."""
    with db.read() as c:
        due: Counter[str] = Counter()
        for _, minor, currency in _due(c, _sales(c, user_token, lock=False)):
            due[currency] += minor
    return dict(due)


def _sales(c: Connection, user_token: str, *, lock: bool = True) -> list[int]:
    v, k = t.conversions.c, t.clicks.c
    mine = select(v.id).join(t.clicks, k.click_id == v.click_id)
    mine = mine.where(k.user_token == user_token, k.user_token != "").order_by(v.id)
    return list(c.scalars(mine.with_for_update(of=t.conversions) if lock else mine))


def _used(c: Connection, ids: Sequence[int], reference: str) -> bool:
    e = t.conversion_events.c
    return any(
        c.execute(
            select(e.id)
            .where(e.kind == "payout", e.order_id == reference, e.conversion_id.in_(part))
            .limit(1)
        ).first()
        for part in chunks(ids)
    )


def _due(c: Connection, ids: Sequence[int]) -> Iterator[tuple[int, int, str]]:
    """Sale, minor units due (a liability, so its balance is negative), currency."""
    e = t.entries.c
    total = func.sum(e.minor).label("total")
    for part in chunks(ids):
        wanted = select(e.conversion_id, e.currency, total)
        wanted = wanted.where(e.account == "cashback_due", e.conversion_id.in_(part))
        for row in c.execute(wanted.group_by(e.conversion_id, e.currency)):
            if row.total:
                yield row.conversion_id, -int(row.total), row.currency
