"""Payouts: cashback that was handed to a shopper, and whom something is due to."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select

from lensback.counted import counted
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import AlreadyDone, BadQuery, NotFound, StateError
from lensback.ledger import sold
from lensback.ledger.expected import check_as_told, payout_event
from lensback.ledger.record import settle
from lensback.ledger.seals import writing
from lensback.types import Converter, Money, currency_exponent, minor_units

MAX_REFERENCE = 100
_DECIDES = ("click_id", "status", "currency")
"""Columns of a sale that say whom it is due to, and whether it is payable."""


_WRITTEN = re.compile(r"(?:([A-Za-z]{3})\s*)?([0-9]{1,15}(?:\.[0-9]{1,4})?)(?:\s*([A-Za-z]{3}))?")


def amount_of(text: str) -> Money:
    """An amount as people write it: `10.50 EUR`, `EUR 10.50`. Raises BadQuery for everything else,
    more digits than the currency has among it."""
    found = _WRITTEN.fullmatch(text.strip())
    codes = {code.upper() for code in (found[1], found[3]) if code} if found else set()
    code = codes.pop() if len(codes) == 1 else ""
    if found is None or code not in minor_units():
        raise BadQuery(f"not an amount: {text[:40]!r}", hint="write it as 10.50 EUR")
    minor = Decimal(found[2]).scaleb(currency_exponent(code))
    if minor != int(minor):
        raise BadQuery(f"too many digits for {code}: {text[:40]!r}", hint="write it as 10.50 EUR")
    return Money(int(minor), code)


@dataclass(frozen=True, slots=True)
class Payout:
    """What one call marked as paid, by currency, and of how many sales."""

    amounts: tuple[Money, ...]
    sales: int
    at: int
    repeated: bool = False
    """The same request came before: this is what it did then, and nothing was done now."""
    left: tuple[Money, ...] = ()
    """Due too, but below the minimum of its currency."""


@dataclass(frozen=True, slots=True)
class Due:
    """What a user is due in one currency, in minor units: `payable` and `approved` less `owed`."""

    user: str
    currency: str
    payable: int
    """Of sales that the network has paid us."""
    approved: int
    """Of sales that it has not."""
    owed: int
    """Paid out and taken back by the store later."""

    def sum(self, *, received_only: bool) -> Money:
        """What a payout would be; negative where more is owed."""
        ready = self.payable + (0 if received_only else self.approved)
        return Money(ready - self.owed, self.currency)


def pay(
    db: Database,
    user_token: str,
    reference: str,
    *,
    at: int,
    received_only: bool = False,
    expect: Collection[Money] | None = None,
    minimum: Mapping[str, int] | None = None,
    usual_minimum: Mapping[str, int] | None = None,
    rates: Converter | None = None,
) -> Payout:
    """Marks what is due to a user as paid, under the operator's reference.

    The same request with the same reference again does nothing and returns what it did. Corrections
    after an earlier payout are set off; a currency in which the user owes more than is due, or in
    which less is due than `minimum` (currency -> minor units; `usual_minimum` where the request says
    none), is left for later. `received_only`: of sales that the network has paid us. `expect`: pays only
    where exactly this is due.

    Raises NotFound for a user nobody knows, AlreadyDone for a reference that was used for another
    request, BadQuery where another amount than expected is due, or everything is below the minimum,
    StateError where a click was given to the user after its sale was told, or one of the sales is not what
    its events say: what somebody wrote into the database is no reason to pay.
    """
    if not reference.strip() or len(reference) > MAX_REFERENCE:
        raise BadQuery("a payout needs a reference", hint="e.g. the number of the bank transfer")
    said = (reference, user_token, expect)
    request = _request(*said, minimum, received_only=received_only)
    names = [request, _request_of_before(*said, received_only=received_only)]
    with writing(db, at) as c:
        if before := _before(c, reference, names):
            return before
        _check_known(c, user_token)
        _check_own(c, user_token)
        sales = list(_sales_due(c, user_token, received_only=received_only))
        check_as_told(c, {sale for sale, _, _ in sales}, _DECIDES)
        ready, left = _ready(sales, (usual_minimum if minimum is None else minimum) or {})
        _check_expected(ready, left, expect)
        events = [
            payout_event(sale, Money(minor, currency), reference, at)
            for sale, minor, currency in sales
            if currency in ready
        ]
        amounts = tuple(Money(minor, name) for name, minor in sorted(ready.items()))
        done = Payout(amounts, len(events), at, left=left)
        if events:
            c.execute(insert(t.conversion_events), events)
            settle(c, sorted({event["conversion_id"] for event in events}), at, rates)
            c.execute(insert(t.payouts), [_kept(done, reference, request)])
    return done


def due(db: Database, user_token: str = "") -> list[Due]:
    """What each user (or one) is due, by user and currency; nothing where nothing is."""
    sums: dict[tuple[str, str], Counter[str]] = {}
    with db.read() as c:
        for row in c.execute(_by_sale(user_token)):
            found = sums.setdefault((row.user_token, row.currency), Counter())
            name = "owed" if row.minor > 0 else "payable" if row.status == "paid" else "approved"
            found[name] += abs(int(row.minor))
    return [
        Due(user, currency, found["payable"], found["approved"], found["owed"])
        for (user, currency), found in sorted(sums.items())
        if found.total()
    ]


def due_to(db: Database, user_token: str) -> dict[str, int]:
    """Cashback of a user that is approved and not paid out: currency -> minor units."""
    return {
        one.currency: one.sum(received_only=False).minor
        for one in (due(db, user_token) if user_token else ())
    }


def _by_sale(user_token: str = "") -> Select[Any]:
    """What each sale holds for its user: a liability, so what is due is negative."""
    e, v, k = t.entries.c, t.conversions.c, t.clicks.c
    query = (
        select(k.user_token, v.id, v.status, e.currency, func.sum(e.minor).label("minor"))
        .join(t.conversions, v.id == e.conversion_id)
        .join(t.clicks, k.click_id == v.click_id)
        .where(e.account == "cashback_due", k.user_token != "")
        .group_by(k.user_token, v.id, v.status, e.currency)
        .having(func.sum(e.minor) != 0)
        .order_by(v.id, e.currency)
    )
    return query.where(k.user_token == user_token) if user_token else query


def _sales_due(
    c: Connection, user_token: str, *, received_only: bool
) -> Iterator[tuple[int, int, str]]:
    """Sale, minor units due (negative: owed), currency."""
    for row in c.execute(_by_sale(user_token)) if user_token else ():
        if row.minor > 0 or row.status == "paid" or not received_only:
            yield row.id, -int(row.minor), row.currency


def _ready(
    sales: list[tuple[int, int, str]], minimum: Mapping[str, int]
) -> tuple[dict[str, int], tuple[Money, ...]]:
    """What can be paid by currency, and what is below the minimum of its own."""
    sums: Counter[str] = Counter()
    for _, minor, currency in sales:
        sums[currency] += minor
    plus = {currency: minor for currency, minor in sums.items() if minor > 0}
    ready = {name: minor for name, minor in plus.items() if minor >= minimum.get(name, 0)}
    return ready, tuple(Money(plus[name], name) for name in sorted({*plus} - {*ready}))


def _check_known(c: Connection, user_token: str) -> None:
    k = t.clicks.c
    known = select(k.click_id).where(k.user_token == user_token, k.user_token != "").limit(1)
    if c.execute(known).first() is None:
        raise NotFound(
            "unknown user: no click is known of this token",
            hint="lensback ledger due lists whom something is due to",
        )


def _check_own(c: Connection, user_token: str) -> None:
    if others := sold.given_away(c, user_token):
        raise StateError(
            f"{counted(len(others), 'click')} of this user, another's when the sale was told "
            f"({others[0]}); nothing was marked",
            hint="lensback ledger audit names them all",
        )


def _check_expected(
    ready: Mapping[str, int], left: tuple[Money, ...], expect: Collection[Money] | None
) -> None:
    found = {Money(minor, currency) for currency, minor in ready.items()}
    if expect is not None and found != set(expect):
        says, wants = _listed(found), _listed(expect)
        below = f" ({_listed(left)} is below the minimum)" if left else ""
        raise BadQuery(
            f"{says} is due, not the expected {wants}{below}; nothing was marked",
            hint="look at lensback ledger due, and say the amount that you will pay",
        )
    if left and not found:
        raise BadQuery(
            f"below the minimum: {_listed(left)} is due; nothing was marked",
            hint="wait, or give a smaller --minimum",
        )


def _listed(amounts: Collection[Money]) -> str:
    ordered = sorted(amounts, key=lambda money: (money.currency, money.minor))
    return " and ".join(map(str, ordered)) or "nothing"


def _request(
    reference: str,
    user_token: str,
    expect: Collection[Money] | None,
    minimum: Mapping[str, int] | None,
    *,
    received_only: bool,
) -> str:
    """Names all that a call asks for, without telling whom for. Kept in the database."""
    least = None if minimum is None else sorted(minimum.items())
    return _named([reference, user_token, received_only, _wanted(expect), least])


def _request_of_before(
    reference: str, user_token: str, expect: Collection[Money] | None, *, received_only: bool
) -> str:
    """As requests were named before their minimum counted, and as migration 0010 names payouts."""
    return _named([reference, user_token, received_only, _wanted(expect)])


def _wanted(expect: Collection[Money] | None) -> list[list[Any]] | None:
    return None if expect is None else sorted([m.minor, m.currency] for m in expect)


def _named(said: list[Any]) -> str:
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=32).hexdigest()


def _before(c: Connection, reference: str, names: Collection[str]) -> Payout | None:
    """What was done under this reference. Raises AlreadyDone where something else was asked for."""
    row = c.execute(select(t.payouts).where(t.payouts.c.reference == reference)).mappings().first()
    if row is None:
        return None
    amounts = tuple(Money(minor, currency) for minor, currency in json.loads(row["amounts"]))
    if row["request"] not in names:
        day = f"{datetime.fromtimestamp(row['at'], UTC):%Y-%m-%d}"
        raise AlreadyDone(
            f"the reference {reference!r} was used for another payout: {_listed(amounts)} on {day}; "
            "nothing was marked",
            hint="use a new reference, or say exactly the same again to see what it did",
        )
    return Payout(amounts, row["sales"], row["at"], repeated=True)


def _kept(done: Payout, reference: str, request: str) -> dict[str, Any]:
    return {
        "reference": reference,
        "request": request,
        "amounts": json.dumps([[money.minor, money.currency] for money in done.amounts]),
        "sales": done.sales,
        "at": done.at,
    }
