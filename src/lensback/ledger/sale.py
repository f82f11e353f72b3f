"""Pure sums: the set of news of one sale -> its state -> what every account must hold.

The state is a function of the *set* of news, not of the order in which they came: news are put into
one order first (`in_order`), then read from the first to the last. So any order and any repetition
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

from lensback.decimals import fraction_of
from lensback.errors import PostbackError
from lensback.ledger import reasons
from lensback.types import STATUSES, Conversion, Money

RANK = {"pending": 0, "approved": 1, "declined": 2, "paid": 3}
MAX_MINOR = 10**14
MAX_ID = 200
MAX_REASON = 500
DAY_S = 86_400
MOST_AHEAD_S = DAY_S
"""A time may be so far ahead of ours: no zone is further from another, and clocks differ."""

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
    code: str = ""
    """Why it is declined, where no network says it: a code of `reasons`."""

    @property
    def reason_code(self) -> str:
        """Why it is declined; "" where it is not."""
        if self.status != "declined":
            return ""
        if self.code == reasons.CORRECTION or not self.reason:
            return self.code or reasons.OTHER.code
        return reasons.code_of(self.reason)


def checked(news: Conversion, *, at: int | None = None) -> Conversion:
    """The news with clean text. Raises PostbackError where it makes no sense, or is dated so far ahead of
    `at`, when it was told (UTC epoch seconds), that it would stand behind everything told later."""
    for name in ("network", "external_id"):
        if not getattr(news, name):
            raise PostbackError(f"the news has no {name}", hint="check the network's template")
    if news.status not in STATUSES:
        raise PostbackError(f"no such status: {news.status[:20]!r}", hint="check the network's map")
    for money in (news.commission, news.order_value):
        if money and not (_CURRENCY.fullmatch(money.currency) and abs(money.minor) < MAX_MINOR):
            raise PostbackError(f"not an amount: {money.minor} {money.currency[:10]!r}")
    for name in ("changed_at", "ordered_at"):
        if at is not None and is_ahead(getattr(news, name), at):
            raise PostbackError(
                f"{name} lies in the future", hint="check time_zone in the network's file"
            )
    texts = {n: getattr(news, n).replace("\0", "") for n in ("external_id", "item", "part")}
    if any(len(text) > MAX_ID for text in texts.values()):
        raise PostbackError("the sale's id is too long", hint=f"at most {MAX_ID} characters")
    for name in ("subid", "order_id"):
        texts[name] = getattr(news, name).replace("\0", "")[:MAX_ID]
    return replace(news, reason=news.reason.replace("\0", "")[:MAX_REASON], **texts)


def is_ahead(time: int | None, at: int) -> bool:
    """Whether nobody can have known this time at `at`."""
    return time is not None and time > at + MOST_AHEAD_S


def digest(news: Conversion, kind: str = "news") -> str:
    """Names the news by all that it says: the same news twice has one digest."""
    money = [(m.minor, m.currency) if m else None for m in (news.commission, news.order_value)]
    parts: list[Any] = [kind, news.network, news.external_id, news.item, news.status, news.subid]
    parts += [*money, news.order_id, news.reason, news.ordered_at, news.changed_at]
    parts += [news.part] if news.part else []
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=32).hexdigest()


def in_order(news: Iterable[Conversion]) -> list[Conversion]:
    """The news of one part from the first to the last, whenever they came.

    The network's own time counts; news without a time (some postbacks) stand before decisions that
    have one. Where that leaves a tie, the later state stands last, then the smaller commission:
    never say more than is paid. "Pending" takes a decision back only where the network dates both
    and it is the later one: a declined sale was opened again. Else it stands first. An operator's word
    stands right behind the approval that it is of: a decline that came to be after that, and is told
    only after the word, is the network's own.
    """
    told = list(news)
    approved = [n.changed_at for n in told if n.changed_at is not None and n.status == "approved"]
    dated = [n.changed_at for n in told if n.changed_at is not None and n.status != "pending"]
    decided = min(dated, default=None)

    def key(one: Conversion) -> tuple[object, ...]:
        at, rank = one.changed_at, float(RANK[one.status])
        if one.by_operator and at is not None:
            at = max((time for time in approved if time <= at), default=None)
            rank = RANK["approved"] + 0.5
        late = at is not None and decided is not None and at > decided
        behind = late if one.status == "pending" else True
        amount = -one.commission.minor if one.commission else 0
        return (
            behind,
            -1 if at is None else at,
            rank,
            one.commission is not None,
            amount,
            digest(one),
        )

    return sorted(told, key=key)


def state_of(news: Iterable[Conversion]) -> Sale:
    """The sale that this set of news tells of: what each of its parts says, added up."""
    parts: dict[str, list[Conversion]] = {}
    for one in set(news):
        parts.setdefault(one.part, []).append(one)
    sales = [_read(parts[name]) for name in sorted(parts)]
    sale = sales[0] if len(sales) == 1 else _added(sales) if sales else Sale()
    return (
        sale if sale.status == "declined" or sale.commission.minor < 0 else replace(sale, reason="")
    )


def _read(news: Iterable[Conversion]) -> Sale:
    """The news of one part, from the first to the last."""
    sale = Sale()
    for one in in_order(news):
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
    return sale


def _added(parts: Iterable[Sale]) -> Sale:
    """Rows of one sale, corrections among them, as one: what is left of it.

    Its state is the least settled of what adds to it. Where nothing is left it is declined.
    """
    told = sorted(parts, key=lambda part: (part.ordered_at is None, part.ordered_at or 0))
    counted = [part for part in told if part.status != "declined"]
    gains = [part for part in counted if part.commission.minor > 0]
    currency = next((part.commission.currency for part in gains or told), "")
    left = sum(p.commission.minor for p in counted if p.commission.currency == currency)
    values = [part.order_value for part in counted if part.order_value]
    value = sum(v.minor for v in values if v.currency == values[0].currency)
    times = [part.changed_at for part in told if part.changed_at is not None]
    declined = left <= 0
    return Sale(
        status="declined" if declined else min((p.status for p in gains), key=RANK.__getitem__),
        subid=next((part.subid for part in told if part.subid), ""),
        commission=Money(max(left, 0), currency),
        order_value=Money(max(value, 0), values[0].currency) if values else None,
        order_id=next((part.order_id for part in told if part.order_id), ""),
        reason=next((part.reason for part in reversed(told) if part.reason), ""),
        ordered_at=told[0].ordered_at,
        changed_at=max(times, default=None),
        code=reasons.TAKEN_BACK if declined and gains else "",
    )


def _next(now: str, status: str) -> str:
    """A sale that was paid for stays so where its amount is approved once more, or looked at again:
    only "declined" says that the money is gone."""
    return now if now == "paid" and status in {"approved", "pending"} else status


def tells(state: Sale, news: Conversion) -> bool:
    """True where a report that shows this row now tells something that the state does not hold."""
    reason = news.reason if news.status == "declined" else ""
    status = _next(state.status, news.status)
    return (
        status != state.status
        or (news.commission or state.commission) != state.commission
        or (news.order_value or state.order_value) != state.order_value
        or (reason or state.reason) != state.reason
        or (not state.subid and bool(news.subid))
        or (news.order_id or state.order_id) != state.order_id
    )


def share_of(terms: Mapping[str, Any]) -> Fraction:
    """The shopper's share of the commission, from the click's snapshot; 0 where there is none."""
    try:
        share = fraction_of(terms.get("share"))
    except ValueError:
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
    sale: Sale,
    cashback: Money | None,
    payouts: Mapping[str, int] | None = None,
    review: str = "",
) -> Accounts:
    """What each account must hold for this sale. `cashback` is None where no click is known: then the
    commission is kept aside, as it is where the sale was refused (`review`); one that is held waits
    whole in an account of its own. `payouts`: currency -> minor units paid to the shopper; they are
    set against the cashback of this sale, what is over is owed by the shopper."""
    held: Accounts = Counter()
    due, currency = sale.commission.minor, sale.commission.currency
    left = dict(payouts or {})
    if sale.status != "declined":
        asset = {"pending": "commission_pending", "paid": "commission_received"}
        held[asset.get(sale.status, "commission_due"), currency] = due
        theirs = "review" if review == "held" else _CREDIT.get(sale.status, "cashback_due")
        if cashback is None or review == "refused":
            held["aside", currency] = -due
        else:
            ours = {"cashback_pending": "share_pending", "review": "review"}.get(
                theirs, "our_share"
            )
            held[theirs, currency] -= cashback.minor
            held[ours, currency] += cashback.minor - due
            covered = max(0, min(left.get(currency, 0), cashback.minor))
            held[theirs, currency] += covered
            held["cashback_paid", currency] -= covered
            left[currency] = left.get(currency, 0) - covered
    for paid_currency, minor in left.items():
        held["cashback_due", paid_currency] += minor
        held["cashback_paid", paid_currency] -= minor
    return Counter({key: minor for key, minor in held.items() if minor})


_CREDIT = {"pending": "cashback_pending"}
