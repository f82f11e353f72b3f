"""What the shopper sees: each sale with its state, amount, date, reason and what can be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, select

from lensback.db import Database
from lensback.db import tables as t
from lensback.ledger import claims, reasons
from lensback.ledger.corrections import fits
from lensback.ledger.reasons import Say
from lensback.types import Money

MOST = 200
VISITS = 20


def sales_of(db: Database, user_token: str, *, now: int, say: Say = str.format) -> dict[str, Any]:
    """All of one user as JSON, its sentences put by `say`: `sales` (newest first, `more` says that there are older ones),
    `visits` through a network without a sale yet, `totals`: what the ledger holds for the user."""
    v, k, o = t.conversions.c, t.clicks.c, t.offers.c
    told = [v[n] for n in _TOLD]
    s = t.stores.c
    clicked = [
        k.click_id,
        k.at,
        k.offer_id,
        k.store,
        k.terms,
        o.title,
        s.title.label("store_title"),
    ]
    base = select(*told, *clicked).where(k.user_token == user_token, k.user_token != "")
    joined = base.join_from(t.clicks, t.conversions, v.click_id == k.click_id, isouter=True)
    known = joined.outerjoin(t.offers, o.offer_id == k.offer_id)
    statement = known.outerjoin(t.stores, s.name == k.store).order_by(k.at.desc())
    without = statement.where(v.id.is_(None), k.network != "").limit(VISITS)
    with db.read() as c:
        sold = c.execute(statement.where(v.id.is_not(None)).limit(MOST + 1)).mappings().all()
        rest = c.execute(without).mappings().all()
        claimed = claims.of_clicks(c, [row["click_id"] for row in (*sold, *rest)])
        totals = _totals(c, user_token)
    return {
        "sales": [_sale(row, now, say, claimed) for row in _told_once(sold[:MOST])],
        "more": len(sold) > MOST,
        "visits": [_visit(row, now, claimed) for row in rest],
        "totals": totals,
    }


def _told_once(rows: Sequence[RowMapping]) -> list[RowMapping]:
    """Without the corrections that are folded into a sale that is shown."""
    shown: dict[str, list[RowMapping]] = {}
    for row in rows:
        if row["reason"] != reasons.CORRECTION:
            shown.setdefault(row["click_id"], []).append(row)

    def folded(row: RowMapping) -> bool:
        names = (row["external_id"], row["order_id"])
        others = shown.get(row["click_id"], ())
        return any(fits(*names, one["external_id"], one["order_id"]) for one in others)

    return [row for row in rows if row["reason"] != reasons.CORRECTION or not folded(row)]


_TOLD = (
    "id",
    "external_id",
    "status",
    "currency",
    "cashback_minor",
    "paid_out_minor",
    "order_id",
    "reason",
    "ordered_at",
    "expected_at",
    "first_at",
    "review",
    "review_code",
)


def state(row: RowMapping) -> str:
    """The shopper's state of a sale: `pending`, `approved` (the store agreed), `payable` (the network
    has paid us), `paid` (handed over), `review` (set aside for now), `declined`."""
    status = str(row["status"])
    if status == "declined" or row["review"] == "refused":
        return "declined"
    if row["paid_out_minor"] and row["paid_out_minor"] >= row["cashback_minor"]:
        return "paid"
    if row["review"]:
        return "review"
    return "payable" if status == "paid" else status


Claimed = Mapping[str, dict[str, Any]]
"""Click -> its claim as JSON."""


def _sale(row: RowMapping, now: int, say: Say, claimed: Claimed) -> dict[str, Any]:
    shown = state(row)
    ordered = row["ordered_at"] if row["ordered_at"] is not None else row["first_at"]
    sale: dict[str, Any] = {
        "sale_id": str(row["id"]),
        "store": row["store"],
        "store_title": row["store_title"] or row["store"],
        "title": row["title"] or "",
        "state": shown,
        "cashback": _money(row["cashback_minor"], row["currency"]),
        "owed": _owed(row, shown),
        "ordered_at": _day(ordered),
        "expected": _day(row["expected_at"]) if shown == "pending" else None,
        "click": _click(row),
    }
    if shown == "declined":
        code = claims.reason_of(row)
        may = _may_claim(row, now, claimed, declined=True)
        may["claim"] = may["claim"] and reasons.claimable(code)
        sale["declined"] = {
            "code": code,
            "text": say(reasons.text_of(code)),
            "advice": reasons.advice(code, may["claim_until"] or "", say),
            **may,
        }
    return sale


def _owed(row: RowMapping, shown: str) -> dict[str, str] | None:
    """What was handed over and then taken back by the store: the next payouts are less by it."""
    due = 0 if shown == "declined" else row["cashback_minor"]
    over = row["paid_out_minor"] - due
    return _money(over, row["currency"]) if row["paid_out_minor"] > 0 and over > 0 else None


def _visit(row: RowMapping, now: int, claimed: Claimed) -> dict[str, Any]:
    return {
        "store": row["store"],
        "store_title": row["store_title"] or row["store"],
        "title": row["title"] or "",
        "click": _click(row),
        **_may_claim(row, now, claimed),
    }


def _click(row: RowMapping) -> dict[str, Any]:
    """The proof of a claim."""
    at = datetime.fromtimestamp(row["at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"id": row["click_id"], "at": at, "offer_id": row["offer_id"]}


NO_CLAIM = {"claim": False, "claim_from": None, "claim_until": None, "claimed": None}


def _may_claim(
    row: RowMapping, now: int, claimed: Claimed, *, declined: bool = False
) -> dict[str, Any]:
    """Whether a claim is taken now, its first and last day (None where the program takes none, or it
    is over), and the one that there is. For a purchase that was declined nobody has to wait."""
    known, span = claimed.get(row["click_id"]), claims.window(row["at"], row["terms"])
    if span is None or now > span[1]:
        return {**NO_CLAIM, "claimed": known}
    first = row["at"] if declined else span[0]
    taken = known is None and now >= first
    days = {"claim_from": _day(first), "claim_until": _day(span[1])}
    return {"claim": taken, **days, "claimed": known}


TOTALS = ("pending", "approved", "payable", "paid", "review", "owed")


def _totals(c: Connection, user_token: str) -> dict[str, list[dict[str, str]]]:
    """By state, from the accounts themselves. `owed` is what is due to us after a late decline: it
    is set off against what can be paid out, then against what is approved."""
    sums: dict[str, Counter[str]] = {name: Counter() for name in TOTALS}
    for row in c.execute(_balances(user_token)):
        minor = -int(row.total)  # what we owe is a credit
        if row.account == "cashback_due":
            name = "owed" if minor < 0 else "payable" if row.received else "approved"
        else:
            name = "pending" if row.account == "cashback_pending" else "paid"
        sums[name][row.currency] += abs(minor) if name == "owed" else minor
    for row in c.execute(_held_back(user_token)):
        sums["review"][row.currency] += int(row.total)
    for name in ("payable", "approved"):
        for currency, minor in sums["owed"].items():
            part = min(minor, sums[name][currency])
            sums[name][currency] -= part
            sums["owed"][currency] -= part
    return {
        name: [
            Money(minor, currency).as_json() for currency, minor in sorted(found.items()) if minor
        ]
        for name, found in sums.items()
    }


def _balances(user_token: str) -> Select[Any]:
    """What a user's sales hold, by account and currency, apart where the network has paid us and
    where a sale holds a debt."""
    e, v, k = t.entries.c, t.conversions.c, t.clicks.c
    mine = (
        select(e.account, e.currency, v.status, func.sum(e.minor).label("minor"))
        .join(t.conversions, v.id == e.conversion_id)
        .join(t.clicks, k.click_id == v.click_id)
        .where(k.user_token == user_token, k.user_token != "", e.account.in_(_SHOWN))
        .group_by(e.conversion_id, e.account, e.currency, v.status)
        .subquery()
        .c
    )
    received, debt = mine.status == "paid", mine.minor > 0
    total = func.sum(mine.minor).label("total")
    query = select(mine.account, mine.currency, received.label("received"), total)
    return query.group_by(mine.account, mine.currency, received, debt).order_by(mine.currency)


def _held_back(user_token: str) -> Select[Any]:
    """The cashback of a user's sales that are set aside, less what was paid out."""
    v, k = t.conversions.c, t.clicks.c
    rest = func.sum(v.cashback_minor - v.paid_out_minor).label("total")
    query = select(v.currency, rest).join(t.clicks, k.click_id == v.click_id)
    mine = query.where(k.user_token == user_token, k.user_token != "", v.review == "held")
    more = mine.where(v.status != "declined", v.cashback_minor > v.paid_out_minor)
    return more.group_by(v.currency)


_SHOWN = ("cashback_pending", "cashback_due", "cashback_paid")


def _money(minor: int, currency: str) -> dict[str, str] | None:
    return Money(minor, currency).as_json() if currency else None


def _day(epoch: int | None) -> str | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d")
