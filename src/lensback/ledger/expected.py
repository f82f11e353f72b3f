"""What the events of a sale tell: what its row and its accounts must hold."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from lensback.db import chunks
from lensback.db import tables as t
from lensback.errors import StateError
from lensback.ledger import corrections, holds, sold
from lensback.ledger.corrections import NamedSale
from lensback.ledger.holds import Review
from lensback.ledger.sale import (
    MOST_AHEAD_S,
    Accounts,
    Sale,
    accounts_of,
    cashback_of,
    digest,
    expected_at,
    is_ahead,
    share_of,
    state_of,
)
from lensback.ledger.sold import SoldClick
from lensback.types import Conversion, Money

RULES = 2
"""Goes up where other balances follow from the same events: sales of before are booked anew then."""
OPERATOR = "operator"
"""The source of what our operator says and decides."""


@dataclass(frozen=True, slots=True)
class ExpectedSale:
    """One sale as its events tell it: what its row and its accounts must hold."""

    sale: Sale
    click_id: str | None
    cashback: Money | None
    payouts: Mapping[str, int]
    expected_at: int | None
    told_at: tuple[int, int] = (0, 0)
    """When the first of its news came, and the last of its events; UTC epoch seconds."""
    review: Review = field(default_factory=Review)
    store: str = ""
    terms: Mapping[str, Any] = field(default_factory=dict)
    click: SoldClick | None = None
    """The click that its news name, whether it counts or not."""
    corrected: bool = False
    """Whether its click has a correction, of whichever sale."""

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
            "reason": sale.reason_code,
            "reason_text": sale.reason,
            "ordered_at": sale.ordered_at,
            "changed_at": sale.changed_at,
            "expected_at": self.expected_at,
            "first_at": self.told_at[0],
            "updated_at": self.told_at[1],
            "store": self.store,
            "review": self.review.state,
            "review_code": self.review.code,
            "review_text": self.review.text,
            "rules": RULES,
        }


def expected_sales(c: Connection, ids: Sequence[int]) -> dict[int, ExpectedSale]:
    """What the events of each sale tell, read anew."""
    v = t.conversions.c
    query = select(v.id, v.network, v.external_id).where(v.id.in_(ids))
    names = {row.id: (row.network, row.external_id) for row in c.execute(query)}
    payouts: dict[int, Counter[str]] = defaultdict(Counter)
    decisions: dict[int, list[RowMapping]] = defaultdict(list)
    news: dict[int, list[Conversion]] = defaultdict(list)
    came: dict[int, list[int]] = defaultdict(list)
    last: Counter[int] = Counter()
    for row in _events(c, ids):
        key = row["conversion_id"]
        last[key] = max(last[key], row["received_at"])
        if row["kind"] == "payout":
            payouts[key][row["commission_currency"]] += row["commission_minor"]
        elif row["kind"] in holds.KINDS:
            decisions[key].append(row)
        else:
            news[key].append(believed(row))
            came[key].append(row["received_at"])
    told = {key: NamedSale(*names[key], state_of(news[key])) for key in ids}
    sales, corrected = _folded(c, told)
    clicks = sold.clicks_of(c, (sale.subid for sale in sales.values() if sale.subid))
    return {
        key: replace(
            _expected_sale(
                sale,
                clicks.get(sale.subid),
                payouts[key],
                holds.review_of(decisions[key]),
                names[key][0],
            ),
            told_at=(min(came[key], default=0), last[key]),
            corrected=told[key].click in corrected,
        )
        for key, sale in sales.items()
    }


def readable_sales(c: Connection, ids: Sequence[int]) -> dict[int, ExpectedSale]:
    """What the events of these sales tell; without those that hold what nothing of ours writes."""
    try:
        return expected_sales(c, ids)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        if len(ids) == 1:
            return {}
        half = len(ids) // 2
        return readable_sales(c, ids[:half]) | readable_sales(c, ids[half:])


def _events(c: Connection, ids: Sequence[int]) -> Iterator[RowMapping]:
    e = t.conversion_events.c
    query = select(t.conversion_events).where(e.conversion_id.in_(ids)).order_by(e.id)
    yield from c.execute(query).mappings()


def _folded(
    c: Connection, named: Mapping[int, NamedSale]
) -> tuple[dict[int, Sale], set[corrections.Click]]:
    """What is left of these sales after the corrections of their clicks, whichever of both is asked
    for; the clicks with corrections."""
    clicks = {one.click for one in named.values() if one.sale.subid}
    corrected = corrections.clicks_with(c, clicks)
    corrected |= {one.click for one in named.values() if corrections.is_correction(one.sale)}
    if not corrected:
        return corrections.folded(named), corrected
    others = {
        key: names
        for key, names in corrections.sales_of_clicks(c, corrected).items()
        if key not in named
    }
    news: dict[int, list[Conversion]] = defaultdict(list)
    for part in chunks(sorted(others)):
        for row in _events(c, part):
            if row["kind"] == "news":
                news[row["conversion_id"]].append(believed(row))
    more = {key: NamedSale(*names, state_of(news[key])) for key, names in others.items()}
    left = corrections.folded({**named, **more})
    return {key: left[key] for key in named}, corrected


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


def differences(
    row: RowMapping,
    expected: ExpectedSale,
    booked: Accounts,
    columns: Collection[str] | None = None,
) -> Iterator[str]:
    """What of a sale's row (of these columns, else of all) and of its accounts is not as its events say,
    in words; nothing where it is."""
    for column, value in expected.row.items():
        if row[column] != value and (columns is None or column in columns):
            yield f"{column} is {row[column]!r}, its events say {value!r}"
    wanted = expected.accounts
    for account, currency in sorted({*wanted, *booked}):
        has, needs = booked[account, currency], wanted[account, currency]
        if has != needs:
            yield f"{account} {currency} is {has}, its events say {needs}"


def check_as_told(c: Connection, ids: Collection[int], columns: Collection[str]) -> None:
    """Raises StateError where these columns or the accounts of one of these sales are not as its events say:
    booking would bring them back to that, and what somebody wrote into the database would have counted."""
    for part in chunks(sorted(ids)):
        rows = c.execute(select(t.conversions).where(t.conversions.c.id.in_(part))).mappings()
        expected, booked = expected_sales(c, part), booked_for(c, part)
        for row in rows:
            said = expected[row["id"]], booked[row["id"]]
            for what in differences(row, *said, columns=columns):
                raise StateError(
                    f"{row['network']} {row['external_id']}: {what}; nothing was marked",
                    hint='lensback ledger audit names all that differs; lensback ledger audit --rebook "why" books anew',
                )


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
    click: SoldClick | None,
    payouts: Mapping[str, int],
    review: Review,
    network: str,
) -> ExpectedSale:
    if click is None:
        return ExpectedSale(sale, None, None, payouts, None, review=review)
    if click.network != network and holds.OTHER_NETWORK not in review.released:
        # A network confirms only clicks that went through it.
        if not review.state:
            went = click.network or "no network"
            review = replace(
                review,
                state="held",
                code=holds.OTHER_NETWORK,
                text=f"the click went through {went}, not through {network}",
            )
        return ExpectedSale(sale, None, None, payouts, None, review=review, click=click)
    cashback = cashback_of(sale.commission, share_of(click.terms))
    expected = expected_at(sale, click.at, click.terms)
    return ExpectedSale(
        sale,
        click.click_id,
        cashback,
        payouts,
        expected,
        review=review,
        store=click.store,
        terms=click.terms,
        click=click,
    )


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
        by_operator=row["source"] == OPERATOR,
    )


def believed(row: RowMapping) -> Conversion:
    """The news of an event, at the time it came where it is dated far ahead of that: such news are
    refused now, and those of before must not stand behind everything told later."""
    one, came = news_in(row), row["received_at"]
    if one.by_operator:
        return one  # dated behind what it is of, whatever our clock said
    ahead = is_ahead(one.changed_at, came + MOST_AHEAD_S)  # ours may be a little behind theirs
    return replace(one, changed_at=came) if ahead else one


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
