"""Money that was handed over and what comes after: payouts, late declines, odd currencies, records
that no database can hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from lensback import ledger, terms
from lensback.db import Database, sqlite_url
from lensback.errors import AlreadyDone
from lensback.journal import Journal, Record
from lensback.ledger.pay import due_to
from lensback.ledger.sale import cashback_of, share_of
from lensback.networks import open_network, read_postback
from lensback.types import Conversion, Money
from test_ledger import AT, USER, click, news, told

OTHER = "somebody-else"


@pytest.fixture
def one(db: Database) -> Database:
    ledger.apply(db, [click("c1")])
    return db


def seen(db: Database, user: str = USER, now: int = AT) -> dict[str, Any]:
    return ledger.sales_of(db, user, now=now)


def amounts(total: list[dict[str, str]]) -> dict[str, str]:
    return {one["currency"]: one["amount"] for one in total}


# ---- after the payment


def test_declined_after_the_payout_is_told_and_set_off(one: Database) -> None:
    told(one, news("approved", 1000, changed_at=1))
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news("declined", None, changed_at=2, reason="returned"))
    (sale,) = seen(one)["sales"]
    assert sale["state"] == "declined"
    assert sale["owed"] == {"amount": "6.00", "currency": "EUR"}
    totals = seen(one)["totals"]
    assert amounts(totals["owed"]) == {"EUR": "6.00"}
    assert totals["approved"] == []
    assert amounts(totals["paid"]) == {"EUR": "6.00"}
    told(one, news("approved", 1500, external_id="s2"))
    assert amounts(seen(one)["totals"]["approved"]) == {"EUR": "3.00"}
    assert ledger.pay(one, USER, "t2", at=AT).amounts == (Money(300, "EUR"),)


@pytest.mark.parametrize(("amended", "owed"), [(800, 120), (1000, 0), (1200, 0), (-1000, 600)])
def test_amended_after_the_payout(one: Database, amended: int, owed: int) -> None:
    told(one, news("approved", 1000, changed_at=1))
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news("approved", amended, changed_at=2))
    (sale,) = seen(one)["sales"]
    if amended < 0:  # it takes back what was given, and no more
        assert (sale["state"], sale["declined"]["code"]) == ("declined", "correction")
        assert sale["owed"] == Money(owed, "EUR").as_json()
        assert ledger.pay(one, USER, "t2", at=AT).amounts == ()
        assert ledger.audit(one).proven
        return
    assert sale["owed"] == (Money(owed, "EUR").as_json() if owed else None)
    assert sale["state"] == ("approved" if amended > 1000 else "paid")
    more = ledger.pay(one, USER, "t2", at=AT).amounts
    assert more == ((Money(120, "EUR"),) if amended > 1000 else ())
    assert ledger.audit(one).proven


def test_a_currency_amended_after_the_payout_leaves_a_debt_in_the_old_one(one: Database) -> None:
    told(one, news("approved", 1000, changed_at=1))
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news("approved", 90_000, changed_at=2, currency="RUB"))
    totals = seen(one)["totals"]
    assert amounts(totals["owed"]) == {"EUR": "6.00"}
    assert amounts(totals["approved"]) == {"RUB": "540.00"}
    assert ledger.pay(one, USER, "t2", at=AT).amounts == (Money(54_000, "RUB"),)
    assert due_to(one, USER) == {"EUR": -600, "RUB": 0} or due_to(one, USER) == {"EUR": -600}
    assert ledger.audit(one).proven


def test_the_sums_count_sales_that_are_not_listed(one: Database) -> None:
    told(one, *(news("approved", 100, external_id=f"s{n}") for n in range(205)))
    found = seen(one)
    assert (len(found["sales"]), found["more"]) == (200, True)
    assert amounts(found["totals"]["approved"]) == {"EUR": "123.00"}


def test_what_the_network_has_paid_us_is_payable(one: Database) -> None:
    told(one, news("paid", 1000), news("approved", 500, external_id="s2"))
    assert [sale["state"] for sale in seen(one)["sales"]] in (
        ["payable", "approved"],
        ["approved", "payable"],
    )
    totals = seen(one)["totals"]
    assert (amounts(totals["payable"]), amounts(totals["approved"])) == (
        {"EUR": "6.00"},
        {"EUR": "3.00"},
    )


@pytest.mark.parametrize(
    ("declined", "payable", "approved", "owed"),
    [(100, "5.40", "3.00", {}), (1200, "", "1.80", {}), (2000, "", "", {"EUR": "3.00"})],
)
def test_what_is_owed_is_set_off_against_what_is_payable_first(
    one: Database, declined: int, payable: str, approved: str, owed: dict[str, str]
) -> None:
    told(one, news("approved", declined, changed_at=1))
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news("declined", None, changed_at=2))
    told(one, news("paid", 1000, external_id="s2"), news("approved", 500, external_id="s3"))
    totals = seen(one)["totals"]
    assert amounts(totals["payable"]).get("EUR", "") == payable
    assert amounts(totals["approved"]).get("EUR", "") == approved
    assert amounts(totals["owed"]) == owed


# ---- claims


def test_no_claim_where_the_program_takes_none(db: Database) -> None:
    ledger.apply(db, [click("c1", claim_days=0), click("c2", claim_days=0)])
    told(db, news("declined", 100, reason="cookies were blocked"))
    (sale,) = seen(db)["sales"]
    assert (sale["declined"]["claim"], sale["declined"]["claim_until"]) == (False, None)
    assert sale["declined"]["advice"] == "There is nothing to do."
    assert [visit["claim"] for visit in seen(db)["visits"]] == [False]


def test_a_visit_past_every_network_is_no_claim(db: Database) -> None:
    record = click("c1")
    record.body["network"] = ""
    ledger.apply(db, [record])
    assert seen(db)["visits"] == []


def test_an_old_visit_cannot_be_claimed(db: Database) -> None:
    ledger.apply(db, [click("c1")])
    day = 86_400
    assert seen(db, now=AT + 59 * day)["visits"][0]["claim_until"] == "2025-12-08"
    assert seen(db, now=AT + 61 * day)["visits"][0]["claim"] is False


# ---- any story with payouts between

CENTS = st.one_of(st.none(), st.integers(-3000, 3000))
CLICK_OF = {"s1": "c1", "s2": "c2", "s3": "c1"}
"""A sale stays with its click: what a network moves to another after a payout is for people to settle
(docs/cashback.md)."""


def news_of(state: str, minor: int | None, sale: str, **told: Any) -> Conversion:
    return news(state, minor, external_id=sale, subid=CLICK_OF[sale], **told)


NEWS = st.builds(
    news_of,
    st.sampled_from(["pending", "approved", "declined", "paid"]),
    CENTS,
    st.sampled_from(sorted(CLICK_OF)),
    changed_at=st.one_of(st.none(), st.integers(1, 5)),
    currency=st.sampled_from(["EUR", "JPY"]),
)
PAY = st.sampled_from([(USER, "t1"), (USER, "t2"), (OTHER, "t1"), (USER, "t3")])


GROWS = ("entries", "conversion_events", "payouts", "sold_clicks", "conversions", "clicks")


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    db = Database(sqlite_url(tmp_path_factory.mktemp("money") / "x.db"))
    db.migrate()
    with db.write() as c:
        for table in ("entries", "conversion_events", "payouts", "sold_clicks", "seals"):
            for verb in ("UPDATE", "DELETE"):
                c.execute(text(f"DROP TRIGGER {table}_no_{verb}"))
    yield db
    db.close()


def emptied(db: Database) -> None:
    with db.write() as c:
        for table in GROWS:
            c.execute(text(f"DELETE FROM {table}"))
        c.execute(text("DELETE FROM seals WHERE number > 1"))


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.one_of(NEWS, PAY), min_size=1, max_size=9))
def test_nobody_is_paid_more_than_was_due_at_that_moment(
    fast: Database, steps: list[Conversion | tuple[str, str]]
) -> None:
    emptied(fast)
    ledger.apply(fast, [click("c1"), click("c2", user=OTHER, share="0.333")])
    used: dict[str, str] = {}
    handed: Counter[tuple[str, str]] = Counter()
    for step in steps:
        if isinstance(step, Conversion):
            told(fast, step)
            continue
        user, reference = step
        before = due_to(fast, user)
        if reference in used and used[reference] != user:
            with pytest.raises(AlreadyDone):
                ledger.pay(fast, *step, at=AT)
            continue
        paid = ledger.pay(fast, *step, at=AT)
        assert paid.repeated is (reference in used)
        if paid.repeated:
            continue
        due = {currency: minor for currency, minor in before.items() if minor > 0}
        assert {m.currency: m.minor for m in paid.amounts} == due
        used |= {reference: user} if paid.sales else {}
        handed.update({(user, m.currency): m.minor for m in paid.amounts})
    found = ledger.audit(fast)
    assert found.proven, found.differences
    for user in (USER, OTHER):
        totals = seen(fast, user)["totals"]
        due = due_to(fast, user)
        shown = {c: minor for c, minor in due.items() if minor}
        ready = {name: amounts(totals[name]) for name in ("approved", "payable", "owed")}
        both = {
            c: sum(Decimal(ready[name].get(c, 0)) for name in ("approved", "payable"))
            - Decimal(ready["owed"].get(c, 0))
            for c in {*ready["approved"], *ready["payable"], *ready["owed"]}
        }
        assert both == {
            c: Decimal(Money(minor, c).as_json()["amount"]) for c, minor in shown.items()
        }
        for c, owed in ready["owed"].items():
            assert c not in ready["approved"] | ready["payable"], owed
        paid_out = {c: m for (who, c), m in handed.items() if who == user and m}
        assert amounts(totals["paid"]) == {
            c: Money(minor, c).as_json()["amount"] for c, minor in paid_out.items()
        }


# ---- currencies without cents, or with three digits


@pytest.mark.parametrize(
    ("currency", "text_", "minor", "back"),
    [
        ("JPY", "1999", 1999, 1199),
        ("JPY", "1999.99", 1999, 1199),
        ("KWD", "1.999", 1999, 1199),
        ("KWD", "1.9999", 1999, 1199),
        ("RUB", "19.99", 1999, 1199),
        ("XOF", "7", 7, 4),
    ],
)
def test_digits_of_a_currency(
    one: Database, currency: str, text_: str, minor: int, back: int
) -> None:
    fields = {"external_id": "s1", "status": "approved", "subid": "c1"}
    call = read_postback(
        open_network("generic"), {**fields, "commission": text_, "currency": currency}
    )
    told(one, replace(call, network="demo"))
    held = ledger.balances(one).get(currency, {})
    assert held["commission_due"] == minor
    assert -held.get("cashback_due", 0) == back
    assert sum(held.values()) == 0


@given(
    price=st.integers(1, 10**8),
    percent=st.decimals(0, 100, places=2),
    share=st.decimals(0, 1, places=3),
    currency=st.sampled_from(["JPY", "KWD", "RUB", "EUR"]),
)
def test_what_is_promised_is_what_the_ledger_books(
    price: int, percent: Any, share: Any, currency: str
) -> None:
    """The network pays its percent rounded down: the estimate and the booked cashback are one sum."""
    program = terms.parse(
        {
            "network": "generic",
            "domains": ["a.example"],
            "share": share,
            "currency": currency,
            "rates": [{"percent": percent}],
        }
    )
    said = terms.estimate(program, Money(price, currency), "", AT)
    network_pays = Money(int(price * Fraction(percent) / 100), currency)
    booked = cashback_of(network_pays, share_of({"share": str(share)}))
    assert said.cashback == booked
    assert not said.up_to


# ---- records that cannot be written


@pytest.mark.parametrize(
    "change",
    [
        {"price_minor": 10**30},
        {"at": "yesterday, or so"},
        {"store": None},
        {"terms": object},
    ],
)
def test_a_poisoned_click_is_left_out_and_the_others_are_kept(
    db: Database, change: dict[str, Any]
) -> None:
    bad = click("bad")
    bad.body.update({key: {1, 2} if value is object else value for key, value in change.items()})
    done = ledger.apply(db, [click("c1"), bad, click("c2")])
    assert done["rejected"] == 1 or db.engine.dialect.name == "sqlite"
    with db.read() as c:
        kept = set(c.scalars(text("SELECT click_id FROM clicks")))
    assert {"c1", "c2"} <= kept


def test_a_poisoned_record_does_not_hold_up_the_queue(db: Database, tmp_path: Any) -> None:
    journal = Journal(tmp_path / "journal")
    for body in ({**click("bad").body, "price_minor": 10**30}, click("c1").body):
        journal.append("click", body)
    journal.append("news", ledger.news_body(news("approved", 1000), at=AT, source="postback"))
    journal.append("news", {"at": AT, "source": "x", "news": None})
    journal.drain(lambda records: ledger.apply(db, records))
    assert journal.waiting_bytes == 0
    assert ledger.balances(db)["EUR"]["commission_due"] == 1000
    assert ledger.audit(db).proven


def test_records_are_plain_and_hold_no_person() -> None:
    record = Record("click", click("c1").body)
    assert set(record.body) == {
        "click_id",
        "at",
        "source",
        "offer_id",
        "product_id",
        "store",
        "search_id",
        "network",
        "program_id",
        "terms",
        "price_minor",
        "currency",
        "estimate_minor",
        "user_token",
    }
