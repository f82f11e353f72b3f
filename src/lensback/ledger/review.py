"""What an operator sees of the sales that were set aside, and decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, and_, func, insert, select

from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import BadQuery, NotFound
from lensback.ledger import holds
from lensback.ledger.expected import OPERATOR, decision_event
from lensback.ledger.record import settle
from lensback.ledger.seals import writing
from lensback.types import Converter, Money

Verdict = Literal["release", "refuse"]


MAX_ID = 1 << 63
"""A database counts no further."""


@dataclass(frozen=True, slots=True)
class HeldSale:
    """A sale that waits for a decision. Nothing of a person is in it but the click."""

    id: int
    network: str
    external_id: str
    """As the network names it, with the part of the order where it reports those."""
    store: str
    order_id: str
    status: str
    commission: Money
    cashback: Money
    order_value: Money | None
    code: str
    text: str
    click_id: str
    since: int
    """UTC epoch seconds of its last news."""

    def as_json(self) -> dict[str, Any]:
        """The sale as `ledger review --json` prints it."""
        value = self.order_value
        return {
            "sale_id": str(self.id),
            "network": self.network,
            "external_id": self.external_id,
            "store": self.store,
            "order_id": self.order_id,
            "status": self.status,
            "commission": self.commission.as_json(),
            "cashback": self.cashback.as_json(),
            "order_value": value.as_json() if value else None,
            "code": self.code,
            "reason": self.text,
            "click_id": self.click_id,
            "since": self.since,
        }


_WAITS = and_(t.conversions.c.review == "held", t.conversions.c.status != "declined")


def held_count(db: Database) -> int:
    """How many sales are set aside."""
    with db.read() as c:
        return int(c.scalar(select(func.count()).where(_WAITS)) or 0)


def held_sales(db: Database, most: int | None = None) -> list[HeldSale]:
    """The sales that are set aside, those of one order together, the oldest order first; all, or so many at
    most. One that its network declined needs no decision."""
    v, k = t.conversions.c, t.clicks.c
    query = (
        select(t.conversions, k.store.label("went_to"))
        .outerjoin(t.clicks, k.click_id == v.subid)
        .where(_WAITS)
        .order_by(v.review_code, v.order_id, v.id)
        .limit(most)
    )
    with db.read() as c:
        return [_held_sale(row) for row in c.execute(query).mappings()]


def decide(
    db: Database,
    sale_id: int,
    verdict: Verdict,
    *,
    note: str,
    at: int,
    rates: Converter | None = None,
) -> HeldSale:
    """Lets a sale through (`release`) or not (`refuse`), for good; the sale as it was before.

    Of one order that was told twice, the others are refused when one is let through. Raises
    NotFound for no such sale, BadQuery for one that is not under review.
    """
    with writing(db, at) as c:
        row = _row(c, sale_id)
        if row["review"] not in {"held", "refused"} or (row["review"], verdict) == (
            "refused",
            "refuse",
        ):
            raise BadQuery(
                f"sale {sale_id} is not under review", hint="lensback ledger review lists them"
            )
        code = row["review_code"]
        amounts = (
            Money(row["commission_minor"], row["currency"]),
            Money(row["order_value_minor"] or 0, row["order_currency"]),
        )
        events = [decision_event(verdict, sale_id, code, note, at, OPERATOR, amounts)]
        if (verdict, code) == ("release", holds.TWO_NETWORKS):
            events += [
                decision_event(
                    "refuse", other, code, f"sale {sale_id} was let through", at, OPERATOR
                )
                for other in _others(c, row)
            ]
        c.execute(insert(t.conversion_events), events)
        ids = {event["conversion_id"] for event in events}
        settle(c, sorted(ids | set(_others(c, row))), at, rates)
        return _held_sale({**row, "went_to": row["store"]})


def _row(c: Connection, sale_id: int) -> RowMapping:
    asked = select(t.conversions).where(t.conversions.c.id == sale_id)
    row = c.execute(asked).mappings().first() if sale_id < MAX_ID else None
    if row is None:
        raise NotFound(f"no such sale: {sale_id}", hint="lensback ledger review lists them")
    return row


def _others(c: Connection, row: RowMapping) -> list[int]:
    """The sales that may be this one, of the same order at the same store, and may still pay."""
    v = t.conversions.c
    if not (row["order_id"] and row["store"]):
        return []
    query = select(v.id, v.network, v.external_id).where(
        v.order_id == row["order_id"],
        v.store == row["store"],
        v.click_id.is_not(None),
        v.review != "refused",
    )
    name = row["network"], row["external_id"]
    found = c.execute(query.order_by(v.id))
    return [one.id for one in found if holds.is_twin(name, (one.network, one.external_id))]


def _held_sale(row: Any) -> HeldSale:
    value = row["order_value_minor"]
    return HeldSale(
        row["id"],
        row["network"],
        f"{row['external_id']} {row['item']}".strip(),
        row["store"] or row["went_to"] or "",
        row["order_id"],
        row["status"],
        Money(row["commission_minor"], row["currency"]),
        Money(row["cashback_minor"], row["currency"]),
        None if value is None else Money(value, row["order_currency"]),
        row["review_code"],
        row["review_text"],
        row["subid"],
        row["updated_at"],
    )
