"""Proves the balances: everything is computed anew from the events and held against the entries."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from lensback.counted import counted
from lensback.db import Database
from lensback.db import tables as t
from lensback.durable import make_private, what_mends
from lensback.errors import StateError
from lensback.ledger import seals, sold
from lensback.ledger.expected import (
    ExpectedSale,
    booked_for,
    differences,
    readable_sales,
    renamed,
)
from lensback.ledger.sale import Accounts
from lensback.legible import cell
from lensback.types import Money

MOST_SHOWN = 100
PART = 500
HEADER = (
    "entry",
    "at",
    "transaction",
    "account",
    "amount",
    "currency",
    "minor",
    "network",
    "external_id",
    "item",
    "status",
    "click_id",
    "store",
)


@dataclass(slots=True)
class Audit:
    """What an audit found. `differences` names the first hundred; `wrong` counts them all."""

    conversions: int = 0
    events: int = 0
    entries: int = 0
    transactions: int = 0
    aside: int = 0
    review: int = 0
    wrong: int = 0
    rebookable: int = 0
    """Sales whose row or accounts are not as their events say: `record.rebook` mends them."""
    differences: list[str] = field(default_factory=list)
    balances: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def proven(self) -> bool:
        """Whether every sale and every transaction came out as it is recorded."""
        return self.wrong == 0

    def as_json(self) -> dict[str, Any]:
        """The audit as `ledger audit --json` prints it."""
        return {
            "proven": self.proven,
            "conversions": self.conversions,
            "events": self.events,
            "entries": self.entries,
            "transactions": self.transactions,
            "aside": self.aside,
            "review": self.review,
            "wrong": self.wrong,
            "rebookable": self.rebookable,
            "differences": self.differences,
            "balances": self.balances,
        }

    def differs(self, text: str) -> None:
        """Counts a difference, and keeps its text while there are few."""
        self.wrong += 1
        if len(self.differences) < MOST_SHOWN:
            self.differences.append(text)


def audit(db: Database, workspace: Path | None = None) -> Audit:
    """Computes every sale anew from its events and compares; sums every transaction; holds every row
    against the seals, and the last seal against what the workspace has seen."""
    found = Audit()
    after = seals.BEFORE_ALL
    with db.read() as c:
        v, e = t.conversions.c, t.entries.c
        while rows := (
            c.execute(select(t.conversions).where(v.id > after).order_by(v.id).limit(PART))
            .mappings()
            .all()
        ):
            ids = [row["id"] for row in rows]
            expected, booked = readable_sales(c, ids), booked_for(c, ids)
            others = renamed(c, list(expected))
            for row in rows:
                _compare(row, expected.get(row["id"]), booked[row["id"]], found)
                if row["id"] in others:
                    found.differs(f"{_name(row)}: its news are those of another sale")
            after = ids[-1]
        for table in (t.conversion_events, t.entries):
            if lost := _without_sale(c, table):
                found.differs(f"{counted(lost, 'row')} of {table.name}, of a sale that is lost")
        total = func.sum(e.minor)
        sums = select(e.transaction_id, e.currency).group_by(e.transaction_id, e.currency)
        for name, currency in c.execute(sums.having(total != 0)):
            found.differs(f"transaction {name}: {currency} does not sum to zero")
        found.events = _count(c, t.conversion_events)
        found.entries = _count(c, t.entries)
        distinct = select(func.count(e.transaction_id.distinct()))
        found.transactions = int(c.execute(distinct).scalar_one())
        for text in (*sold.differences(c), *seals.differences(c)):
            found.differs(text)
        if workspace and (text := seals.forgotten(c, workspace)):
            found.differs(text)
    found.balances = balances(db)
    return found


def _name(row: Any) -> str:
    return f"{row['network']} {row['external_id']} {row['item']}".strip()


def _without_sale(c: Any, table: Any) -> int:
    v = t.conversions.c
    joined = table.outerjoin(t.conversions, v.id == table.c.conversion_id)
    return int(c.scalar(select(func.count()).select_from(joined).where(v.id.is_(None))))


def _compare(row: Any, expected: ExpectedSale | None, booked: Accounts, audit: Audit) -> None:
    name = _name(row)
    audit.conversions += 1
    if expected is None:
        audit.differs(f"{name}: its events or its click cannot be read")
        return
    audit.aside += expected.click_id is None
    audit.review += expected.review.state == "held" and expected.sale.status != "declined"
    texts = list(differences(row, expected, booked))
    audit.rebookable += bool(texts)
    for text in texts:
        audit.differs(f"{name}: {text}")


def balances(db: Database) -> dict[str, dict[str, int]]:
    """currency -> account -> minor units; debits positive, so each currency sums to zero."""
    e = t.entries.c
    total = func.sum(e.minor).label("total")
    statement = select(e.currency, e.account, total).group_by(e.currency, e.account)
    found: dict[str, dict[str, int]] = {}
    with db.read() as c:
        for row in c.execute(statement.order_by(e.currency, e.account)):
            if row.total:
                found.setdefault(row.currency, {})[row.account] = int(row.total)
    return found


def export_csv(db: Database, path: Path) -> int:
    """Every entry, oldest first, as CSV (UTF-8); the number of lines. The file appears whole, for its
    owner alone."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    lines = 0
    try:
        make_private(partial)
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            for row in _lines(db):
                writer.writerow(row)
                lines += 1
        partial.replace(path)
    except OSError as error:
        raise StateError(
            f"cannot write {path}: {error.strerror}", hint=what_mends(error)
        ) from error
    return lines


def _lines(db: Database) -> Iterator[list[Any]]:
    e, v, k = t.entries.c, t.conversions.c, t.clicks.c
    columns = (e.id, e.at, e.transaction_id, e.account, e.currency, e.minor)
    more = (v.network, v.external_id, v.item, v.status, v.click_id, k.store)
    statement = (
        select(*columns, *more)
        .join(t.conversions, v.id == e.conversion_id)
        .outerjoin(t.clicks, k.click_id == v.click_id)
        .order_by(e.id)
    )
    with db.read() as c:
        after = 0
        while rows := c.execute(statement.where(e.id > after).limit(5_000)).all():
            for row in rows:
                amount = Money(row.minor, row.currency).as_json()["amount"]
                told = (row.network, row.external_id, row.item, row.status)
                at = datetime.fromtimestamp(row.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                head = [row.id, at, row.transaction_id, row.account, amount, row.currency]
                tail = map(cell, (*told, row.click_id or "", row.store or ""))
                yield [*head, row.minor, *tail]
            after = rows[-1].id


def _count(c: Any, table: Any) -> int:
    return int(c.execute(select(func.count()).select_from(table)).scalar_one())
