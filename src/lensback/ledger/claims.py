"""Claims: a shopper tells of a purchase that is missing, or was declined wrongly.

One for each click, which is its proof. The same again is the same claim; another one is refused. A claim
books nothing: only what the network then says of the sale does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, select, update

from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import AlreadyDone, BadQuery, NotFound
from lensback.ledger import reasons
from lensback.ledger.holds import TWO_NETWORKS
from lensback.legible import legible
from lensback.types import Money

DAY_S = 86_400
TRACK_HOURS = 72
"""A purchase may take so long to be seen where its program does not say."""
MOST_OPEN = 20
"""Claims of one user that are not decided."""
MAX_ORDER = 80
MAX_NOTE = 500
MAX_MINOR = 10**12
STATES = ("open", "sent", "accepted", "refused")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Bought:
    """What a shopper says of a purchase."""

    order_id: str
    """The store's number of the order."""
    ordered_on: date
    amount: Money
    """What was paid for the things."""
    note: str = ""


def window(at: int, terms: Mapping[str, Any]) -> tuple[int, int] | None:
    """When a claim for a click at this time is taken, UTC epoch seconds, first and last; None where
    the program takes none. It begins when a purchase should have been seen."""
    days, hours = _number(terms, "claim_days"), _number(terms, "track_hours") or TRACK_HOURS
    if days <= 0:
        return None
    last = at + days * DAY_S
    return min(at + hours * 3600, last), last


def _number(terms: Mapping[str, Any], key: str) -> int:
    try:
        return int(terms.get(key) or 0)
    except (TypeError, ValueError):
        return 0


def checked_bought(bought: Bought) -> Bought:
    """What was said, with clean text. Raises BadQuery where it makes no sense."""
    order = bought.order_id.strip()
    if not order or len(order) > MAX_ORDER or legible(order) != order:
        raise BadQuery("not a number of an order", hint=f"1 to {MAX_ORDER} characters")
    if not 0 < bought.amount.minor < MAX_MINOR or not _CURRENCY.fullmatch(bought.amount.currency):
        raise BadQuery("not an amount", hint="what you paid, such as 3456.00, and its currency")
    note = legible(bought.note).strip()
    if len(note) > MAX_NOTE:
        raise BadQuery("the note is too long", hint=f"at most {MAX_NOTE} characters")
    return Bought(order, bought.ordered_on, bought.amount, note)


def open_claim(
    db: Database, user_token: str, click_id: str, bought: Bought, *, now: int
) -> tuple[dict[str, Any], bool]:
    """The claim of a user's click as JSON, and whether it is new.

    Raises NotFound where the click is not the user's or went through no network, BadQuery where
    nothing can be claimed (too early, too late, a reason that no claim mends, too many), AlreadyDone
    where the purchase is known, or there is a claim that says something else.
    """
    said = checked_bought(bought)
    with db.write() as c:
        click = _click(c, user_token, click_id)
        known = _row(c, click_id)
        if known is not None:
            if _says(known) != _said(said):
                raise AlreadyDone(
                    "there is a claim for this visit already", hint="wait for its end"
                )
            return as_json(known), False
        _check_time(click, said, now, declined=_is_declined(c, click_id))
        _check_count(c, user_token)
        row = {**_said(said), "click_id": click_id, "state": "open", "opened_at": now, "answer": ""}
        db.upsert(c, t.claims, [row], ["click_id"])
        made = _row(c, click_id)
    if made is None or _says(made) != _said(said):  # another request was faster
        raise AlreadyDone("there is a claim for this visit already", hint="wait for its end")
    return as_json(made), True


def _click(c: Connection, user_token: str, click_id: str) -> RowMapping:
    k = t.clicks.c
    mine = select(k.click_id, k.at, k.terms).where(
        k.click_id == click_id, k.user_token == user_token, k.user_token != "", k.network != ""
    )
    found = c.execute(mine).mappings().first()
    if found is None:
        raise NotFound("no such visit", hint="take it from the list of your visits")
    return found


def _check_time(click: RowMapping, said: Bought, now: int, *, declined: bool) -> None:
    span = window(click["at"], click["terms"])
    if span is None:
        raise BadQuery("this store takes no claims", hint="nothing can be done here")
    if now < span[0] and not declined:
        raise BadQuery("it is too early", hint=f"it may still show; claim it from {_day(span[0])}")
    if now > span[1]:
        raise BadQuery("it is too late", hint=f"claims were taken until {_day(span[1])}")
    clicked = datetime.fromtimestamp(click["at"], UTC).date()
    today = datetime.fromtimestamp(now, UTC).date()
    # A day of the shopper's own may be one off ours.
    if not clicked.toordinal() - 1 <= said.ordered_on.toordinal() <= today.toordinal() + 1:
        raise BadQuery(
            "the order was not after this visit", hint="choose the visit before the order"
        )


def _is_declined(c: Connection, click_id: str) -> bool:
    """Whether the click has a sale that was declined. Raises AlreadyDone for one that was not, and
    BadQuery for a reason that no claim mends."""
    v, declined = t.conversions.c, False
    told = select(v.status, v.reason, v.review, v.review_code).where(v.click_id == click_id)
    for row in c.execute(told).mappings():
        if row["status"] != "declined" and row["review"] != "refused":
            raise AlreadyDone("this purchase is known", hint="it is in your list")
        code = reason_of(row)
        if not reasons.claimable(code):
            raise BadQuery("no claim mends this", hint=reasons.text_of(code))
        declined = True
    return declined


def reason_of(row: RowMapping) -> str:
    """Why a sale pays nothing: the store's reason, or ours where we refused it, as a code."""
    if row["status"] == "declined" or row["review"] != "refused":
        return row["reason"] or "other"
    return "duplicate" if row["review_code"] == TWO_NETWORKS else "refused"


def _check_count(c: Connection, user_token: str) -> None:
    k, m = t.clicks.c, t.claims.c
    mine = select(func.count()).select_from(t.claims).join(t.clicks, k.click_id == m.click_id)
    waiting = mine.where(k.user_token == user_token, m.state.in_(("open", "sent")))
    if int(c.scalar(waiting) or 0) >= MOST_OPEN:
        raise BadQuery("too many claims wait already", hint="wait until one is decided")


def _row(c: Connection, click_id: str) -> RowMapping | None:
    return c.execute(select(t.claims).where(t.claims.c.click_id == click_id)).mappings().first()


def _said(bought: Bought) -> dict[str, Any]:
    return {
        "order_id": bought.order_id,
        "ordered_on": bought.ordered_on.isoformat(),
        "amount_minor": bought.amount.minor,
        "currency": bought.amount.currency,
        "note": bought.note,
    }


def _says(row: RowMapping) -> dict[str, Any]:
    return {n: row[n] for n in ("order_id", "ordered_on", "amount_minor", "currency", "note")}


def as_json(row: RowMapping) -> dict[str, Any]:
    """A claim as its shopper sees it, see `wire.Claim`."""
    return {
        "claim_id": str(row["id"]),
        "state": row["state"],
        "order_id": row["order_id"],
        "ordered_on": row["ordered_on"],
        "amount": Money(row["amount_minor"], row["currency"]).as_json(),
        "opened_at": _time(row["opened_at"]),
        "sent_at": _time(row["sent_at"]),
        "decided_at": _time(row["decided_at"]),
        "answer": row["answer"],
    }


def of_clicks(c: Connection, click_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The claims of these clicks as JSON, by click."""
    found: dict[str, dict[str, Any]] = {}
    for part in chunks(sorted(set(click_ids))):
        rows = c.execute(select(t.claims).where(t.claims.c.click_id.in_(part))).mappings()
        found |= {row["click_id"]: as_json(row) for row in rows}
    return found


def forget(c: Connection, click_ids: Iterable[str]) -> int:
    """Removes the claims of these clicks: a person's, or of clicks that are let go."""
    return sum(
        c.execute(delete(t.claims).where(t.claims.c.click_id.in_(part))).rowcount
        for part in chunks(sorted(set(click_ids)))
    )


# ---- for the operator


def listed(db: Database, state: str = "") -> list[dict[str, Any]]:
    """The claims, the oldest first, each with its click and whether its sale is known by now."""
    k, m, v = t.clicks.c, t.claims.c, t.conversions.c
    sale = select(func.count()).where(v.click_id == m.click_id, v.status != "declined")
    query = select(
        t.claims,
        k.at,
        k.network,
        k.store,
        k.terms,
        k.offer_id,
        sale.scalar_subquery().label("sales"),
    ).outerjoin(t.clicks, k.click_id == m.click_id)
    if state:
        query = query.where(m.state == state)
    with db.read() as c:
        return [_for_operator(row) for row in c.execute(query.order_by(m.id)).mappings()]


def _for_operator(row: RowMapping) -> dict[str, Any]:
    return {
        **as_json(row),
        "note": row["note"],
        "click_id": row["click_id"],
        "clicked_at": _time(row["at"]),
        "network": row["network"] or "",
        "store": row["store"] or "",
        "offer_id": row["offer_id"] or "",
        "program": str((row["terms"] or {}).get("program") or ""),
        "link": (row["terms"] or {}).get("link") or {},
        "sale_known": bool(row["sales"]),
    }


def get(db: Database, claim_id: str) -> dict[str, Any]:
    """One claim as `listed` has it. Raises NotFound."""
    for one in listed(db):
        if one["claim_id"] == claim_id:
            return one
    raise NotFound(f"no such claim: {claim_id[:20]!r}", hint="see lensback claim list")


def advance(db: Database, claim_id: str, state: str, *, now: int, answer: str = "") -> None:
    """Marks a claim as sent, accepted or refused; the same again changes nothing. Raises NotFound,
    AlreadyDone where it is decided otherwise."""
    m = t.claims.c
    known = get(db, claim_id)
    if known["state"] == state:
        return
    if known["state"] in {"accepted", "refused"} or state == "open":
        raise AlreadyDone(f"this claim is {known['state']}", hint="see lensback claim show")
    values: dict[str, Any] = {"state": state}
    if state == "sent":
        values["sent_at"] = now
    else:
        values |= {"decided_at": now, "answer": legible(answer)[:MAX_NOTE]}
    with db.write() as c:
        mine = update(t.claims).where(m.id == int(claim_id), m.state == known["state"])
        if not c.execute(mine.values(**values)).rowcount:
            hint = "see lensback claim show"
            raise AlreadyDone("somebody else changed this claim just now", hint=hint)


def _time(epoch: int | None) -> str | None:
    if epoch is None:
        return None
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d")
