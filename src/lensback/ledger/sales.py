"""What the shopper sees: each sale with its state, amount, date, reason and what can be done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, select

from lensback.db import Database
from lensback.db import tables as t
from lensback.ledger import reasons
from lensback.ledger.sale import DAY_S
from lensback.types import Money

MOST = 200
VISITS = 20


def sales_of(db: Database, user_token: str, *, now: int, language: str = "en") -> dict[str, Any]:
    """All of one user as JSON: `sales` (newest first), `visits` without a sale yet, `totals`.

    `state` is the shopper's: `paid` where the cashback was handed over, whatever the network did.
    """
    v, k, o = t.conversions.c, t.clicks.c, t.offers.c
    told = [v[n] for n in _TOLD]
    clicked = [k.click_id, k.at, k.offer_id, k.store, k.terms, o.title]
    base = select(*told, *clicked).where(k.user_token == user_token, k.user_token != "")
    joined = base.join_from(t.clicks, t.conversions, v.click_id == k.click_id, isouter=True)
    statement = joined.outerjoin(t.offers, o.offer_id == k.offer_id).order_by(k.at.desc())
    with db.read() as c:
        sold = c.execute(statement.where(v.id.is_not(None)).limit(MOST)).mappings().all()
        rest = c.execute(statement.where(v.id.is_(None)).limit(VISITS)).mappings().all()
    sales = [_sale(row, now, language) for row in sold]
    return {
        "sales": sales,
        "visits": [_visit(row, now) for row in rest],
        "totals": _totals(sold),
    }


_TOLD = (
    "id",
    "status",
    "currency",
    "cashback_minor",
    "paid_out_minor",
    "order_id",
    "reason",
    "ordered_at",
    "expected_at",
    "first_at",
)


def state(row: RowMapping) -> str:
    """The shopper's state of a sale: `pending`, `approved`, `paid` or `declined`."""
    if row["status"] == "declined":
        return "declined"
    if row["status"] == "pending":
        return "pending"
    paid = row["paid_out_minor"] and row["paid_out_minor"] >= row["cashback_minor"]
    return "paid" if paid else "approved"


def _sale(row: RowMapping, now: int, language: str) -> dict[str, Any]:
    shown = state(row)
    until = _claim_until(row)
    over = until is not None and now > until
    sale: dict[str, Any] = {
        "sale_id": str(row["id"]),
        "store": row["store"],
        "title": row["title"] or "",
        "state": shown,
        "cashback": _money(row["cashback_minor"], row["currency"]),
        "ordered_at": _day(row["ordered_at"] if row["ordered_at"] is not None else row["first_at"]),
        "expected": _day(row["expected_at"]) if shown == "pending" else None,
        "click": _click(row),
    }
    if shown == "declined":
        code = row["reason"] or "other"
        sale["declined"] = {
            "code": code,
            "text": reasons.words(code, language),
            "advice": reasons.advice(code, language, _day(until) or "", over=over),
            "claim": reasons.claimable(code) and not over,
            "claim_until": _day(until),
        }
    return sale


def _visit(row: RowMapping, now: int) -> dict[str, Any]:
    until = _claim_until(row)
    return {
        "store": row["store"],
        "title": row["title"] or "",
        "click": _click(row),
        "claim": until is None or now <= until,
        "claim_until": _day(until),
    }


def _click(row: RowMapping) -> dict[str, Any]:
    """The proof of a claim."""
    at = datetime.fromtimestamp(row["at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"id": row["click_id"], "at": at, "offer_id": row["offer_id"]}


def _claim_until(row: RowMapping) -> int | None:
    try:
        days = int(row["terms"].get("claim_days") or 0)
    except (TypeError, ValueError):
        days = 0
    return row["at"] + days * DAY_S if days > 0 else None


def _totals(rows: Any) -> dict[str, list[dict[str, str]]]:
    sums: dict[str, dict[str, int]] = {name: {} for name in ("pending", "approved", "paid")}
    for row in rows:
        currency, shown = row["currency"], state(row)
        if not currency:
            continue
        if shown == "pending":
            _add(sums["pending"], currency, row["cashback_minor"])
        elif shown != "declined":
            _add(sums["approved"], currency, row["cashback_minor"] - row["paid_out_minor"])
        _add(sums["paid"], currency, row["paid_out_minor"])
    return {
        name: [Money(minor, cur).as_json() for cur, minor in sorted(by.items()) if minor]
        for name, by in sums.items()
    }


def _add(sums: dict[str, int], currency: str, minor: int) -> None:
    sums[currency] = sums.get(currency, 0) + minor


def _money(minor: int, currency: str) -> dict[str, str] | None:
    return Money(minor, currency).as_json() if currency else None


def _day(epoch: int | None) -> str | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d")
