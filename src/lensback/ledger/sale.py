"""Pure sums: the set of news of one sale -> its state -> what every account must hold.

The state is a function of the *set* of news, not of the order in which they came: news are put into
one order first (`order_key`), then read from the first to the last. So any order and any repetition
of the same news ends in the same balances.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from lensback.errors import PostbackError
from lensback.types import STATUSES, Conversion, Money

RANK = {"pending": 0, "approved": 1, "declined": 2, "paid": 3}
MAX_MINOR = 10**14
MAX_ID = 200
MAX_REASON = 500
DAY_S = 86_400

Accounts = Counter[tuple[str, str]]
"""(account, currency) -> minor units; debits positive, so that each transaction sums to zero."""

NOTHING = Money(0, "")

_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Sale:
    """What is known of one sale. A commission that nobody told is 0 of no currency."""

    status: str = "pending"
    subid: str = ""
    commission: Money = NOTHING
    order_value: Money | None = None
    order_id: str = ""
    reason: str = ""
    ordered_at: int | None = None
    changed_at: int | None = None


def checked(news: Conversion) -> Conversion:
    """The news with clean text. Raises PostbackError where it makes no sense."""
    for name in ("network", "external_id"):
        if not getattr(news, name):
            raise PostbackError(f"the news has no {name}", hint="check the network's template")
    if news.status not in STATUSES:
        raise PostbackError(f"no such status: {news.status[:20]!r}", hint="check the network's map")
    for money in (news.commission, news.order_value):
        if money and not (_CURRENCY.fullmatch(money.currency) and abs(money.minor) < MAX_MINOR):
            raise PostbackError(f"not an amount: {money.minor} {money.currency[:10]!r}")
    texts = {name: getattr(news, name).replace("\0", "") for name in ("external_id", "item")}
    if any(len(text) > MAX_ID for text in texts.values()):
        raise PostbackError("the sale's id is too long", hint=f"at most {MAX_ID} characters")
    for name in ("subid", "order_id"):
        texts[name] = getattr(news, name).replace("\0", "")[:MAX_ID]
    return replace(news, reason=news.reason.replace("\0", "")[:MAX_REASON], **texts)


def digest(news: Conversion, kind: str = "news") -> str:
    """Names the news by all that it says: the same news twice has one digest."""
    money = [(m.minor, m.currency) if m else None for m in (news.commission, news.order_value)]
    parts: list[Any] = [kind, news.network, news.external_id, news.item, news.status, news.subid]
    parts += [*money, news.order_id, news.reason, news.ordered_at, news.changed_at]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=32).hexdigest()


def order_key(news: Conversion) -> tuple[object, ...]:
    """Where the news stands among all of its sale, whenever it came.

    "Pending" never takes back a decision. Then the network's own time counts; news without a time
    (some postbacks) stand before those with one. Where that leaves a tie, the later state stands
    last, then the smaller commission: never say more than is paid.
    """
    amount = -news.commission.minor if news.commission else 0
    return (
        news.status != "pending",
        -1 if news.changed_at is None else news.changed_at,
        RANK[news.status],
        news.commission is not None,
        amount,
        digest(news),
    )


def state_of(news: Iterable[Conversion]) -> Sale:
    """The sale that this set of news tells of."""
    sale = Sale()
    for one in sorted(set(news), key=order_key):
        sale = Sale(
            status=_next(sale.status, one.status),
            subid=sale.subid or one.subid,
            commission=one.commission or sale.commission,
            order_value=one.order_value or sale.order_value,
            order_id=one.order_id or sale.order_id,
            reason=one.reason or sale.reason,
            ordered_at=one.ordered_at if one.ordered_at is not None else sale.ordered_at,
            changed_at=one.changed_at if one.changed_at is not None else sale.changed_at,
        )
    return sale if sale.status == "declined" else replace(sale, reason="")


def _next(now: str, status: str) -> str:
    """A sale that was paid for stays so where its amount is approved once more."""
    return now if (now, status) == ("paid", "approved") else status


def share_of(terms: Mapping[str, Any]) -> Fraction:
    """The shopper's share of the commission, from the click's snapshot; 0 where there is none."""
    try:
        share = Fraction(str(terms.get("share")))
    except (ValueError, ZeroDivisionError):
        return Fraction(0)
    return min(max(share, Fraction(0)), Fraction(1))


def cashback_of(commission: Money, share: Fraction) -> Money:
    """commission x share, cut towards zero: a correction takes back what was given, no more."""
    return Money(math.trunc(commission.minor * share), commission.currency)


def expected_at(sale: Sale, clicked_at: int | None, terms: Mapping[str, Any]) -> int | None:
    """When the hold ends, UTC epoch seconds; None where the terms name no hold."""
    begin = sale.ordered_at if sale.ordered_at is not None else clicked_at
    try:
        hold = int(terms["hold_days"])
    except (KeyError, TypeError, ValueError):
        hold = 0
    return begin + hold * DAY_S if begin is not None and hold > 0 else None


def accounts_of(
    sale: Sale, cashback: Money | None, payouts: Mapping[str, int] | None = None
) -> Accounts:
    """What each account must hold for this sale. `cashback` is None where no click is known:
    then the commission is kept aside. `payouts`: currency -> minor units paid to the shopper."""
    held: Accounts = Counter()
    due, currency = sale.commission.minor, sale.commission.currency
    if sale.status != "declined":
        asset = {"pending": "commission_pending", "paid": "commission_received"}
        held[asset.get(sale.status, "commission_due"), currency] = due
        if cashback is None:
            held["aside", currency] = -due
        else:
            pending = sale.status == "pending"
            theirs, ours = (
                ("cashback_pending", "share_pending") if pending else ("cashback_due", "our_share")
            )
            held[theirs, currency] = -cashback.minor
            held[ours, currency] = cashback.minor - due
    for paid_currency, minor in (payouts or {}).items():
        held["cashback_due", paid_currency] += minor
        held["cashback_paid", paid_currency] -= minor
    return Counter({key: minor for key, minor in held.items() if minor})
