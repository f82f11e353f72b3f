"""Corrections that come as sales of their own: one order is told once, with what is left of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from lensback import ledger
from lensback.db import Database
from lensback.db import tables as t
from lensback.ledger.corrections import NamedSale, folded
from lensback.ledger.sale import Sale
from lensback.types import Conversion, Money
from test_ledger import AT, USER, click, eur, news, told

OTHER = "user-token-2"


@pytest.fixture
def one(db: Database) -> Database:
    ledger.apply(db, [click("c1"), click("c2", user=OTHER)])
    return db


def plus(cents: int = 1000, status: str = "approved", **more: Any) -> Conversion:
    return news(status, cents, **{"external_id": "a", "order_id": "7", **more})


def minus(cents: int = 400, status: str = "approved", **more: Any) -> Conversion:
    return news(status, -cents, **{"external_id": "b", "order_id": "7", **more})


def seen(db: Database, user: str = USER) -> list[tuple[str, str | None, str]]:
    """Of each sale that the shopper sees the state, the amount, and why it is declined."""
    return [
        (
            sale["state"],
            sale["cashback"] and sale["cashback"]["amount"],
            sale.get("declined", {}).get("code", ""),
        )
        for sale in ledger.sales_of(db, user, now=AT)["sales"]
    ]


def shown(db: Database, user: str = USER) -> dict[str, str]:
    totals = ledger.sales_of(db, user, now=AT)["totals"]
    return {name: found[0]["amount"] for name, found in totals.items() if found}


LONE = ("declined", "0.00", "correction")
STORIES: dict[str, tuple[list[Conversion], list[tuple[str, str, str]], dict[str, int]]] = {
    # what is told, in any order -> what the shopper sees, what is booked
    "alone": ([minus()], [LONE], {}),
    "alone, paid": ([minus(status="paid")], [LONE], {}),
    "alone, then declined": (
        [minus(changed_at=1), minus(status="declined", changed_at=2, reason="fraud")],
        [("declined", "0.00", "fraud")],
        {},
    ),
    "of an order": ([plus(), minus()], [("approved", "3.60", "")], {"commission_due": 600}),
    "of one that waits": (
        [plus(status="pending"), minus()],
        [("pending", "3.60", "")],
        {"commission_pending": 600},
    ),
    "of one that is paid": (
        [plus(status="paid"), minus(status="pending")],
        [("payable", "3.60", "")],
        {"commission_received": 600},
    ),
    "of all of it": ([plus(), minus(1000)], [("declined", "0.00", "taken_back")], {}),
    "of more than it": ([plus(), minus(1500)], [("declined", "0.00", "taken_back")], {}),
    "of all, with a reason": (
        [plus(), minus(1000, reason="RETURNED")],
        [("declined", "0.00", "returned")],
        {},
    ),
    "of a declined one": (
        [plus(status="declined", reason="fraud"), minus()],
        [("declined", "6.00", "fraud")],
        {},
    ),
    "of another order": (
        [plus(order_id="8"), minus()],
        [("approved", "6.00", ""), LONE],
        {"commission_due": 1000},
    ),
    "of no order": (
        [plus(), minus(order_id="")],
        [("approved", "3.60", "")],
        {"commission_due": 600},
    ),
    "of an order that had no name": (
        [plus(order_id=""), minus()],
        [("approved", "3.60", "")],
        {"commission_due": 600},
    ),
    "of a sale by its number": (
        [plus(order_id="8", item="i"), minus(external_id="a", item="j")],
        [("approved", "3.60", "")],
        {"commission_due": 600},
    ),
    "of two actions": (
        [plus(1000), plus(500, external_id="c"), minus(1200)],
        [("approved", "1.80", ""), ("declined", "0.00", "taken_back")],
        {"commission_due": 300},
    ),
    "of the same number first": (
        [plus(1000), plus(500, external_id="b", item="i"), minus(100)],
        [("approved", "2.40", ""), ("approved", "6.00", "")],
        {"commission_due": 1400},
    ),
    "of the same order first": (
        [plus(1000, order_id=""), plus(500, external_id="c"), minus(100)],
        [("approved", "2.40", ""), ("approved", "6.00", "")],
        {"commission_due": 1400},
    ),
    "twice": (
        [plus(), minus(400), minus(500, external_id="c")],
        [("approved", "0.60", "")],
        {"commission_due": 100},
    ),
    "of another currency": (
        [plus(), minus(currency="USD")],
        [("approved", "6.00", "")],
        {"commission_due": 1000},
    ),
    "of somebody else's click": (
        [plus(subid="c2"), minus()],
        [LONE],
        {"commission_due": 1000},
    ),
    "without a click": ([plus(), minus(subid="")], [("approved", "6.00", "")], {"commission_due": 1000}),
    "of an unknown click": (
        [plus(), minus(subid="nobody")],
        [("approved", "6.00", "")],
        {"commission_due": 1000},
    ),
    "in parts": (
        [plus(part="1"), plus(-400, part="2")],
        [("approved", "3.60", "")],
        {"commission_due": 600},
    ),
    "in parts, all of it": (
        [plus(part="1"), plus(-1000, part="2")],
        [("declined", "0.00", "taken_back")],
        {},
    ),
    "a part alone": ([plus(-400, part="2")], [LONE], {}),
}  # fmt: skip


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", STORIES)
def test_an_order_is_told_once_in_any_order(one: Database, what: str) -> None:
    story, sees, commission = STORIES[what]
    orders = list(itertools.permutations(story))
    told(one, *orders[0])
    check(one, sees, commission)
    for number, order in enumerate(orders):
        # The same story of further clicks, one news after the other.
        own = f"k{number}"
        other = {"c1": own, "c2": f"x{number}"}
        ledger.apply(
            one,
            [click(own, user=f"user-of-{own}"), click(other["c2"], user=f"other-of-{own}")],
        )
        for each in order:
            told(one, again(each, own, other))
        assert sorted(seen(one, f"user-of-{own}")) == sorted(sees)
    assert ledger.audit(one).differences == []


def again(each: Conversion, own: str, other: dict[str, str]) -> Conversion:
    subid = other.get(each.subid, each.subid)
    return replace(each, subid=subid, external_id=f"{each.external_id} {own}")


def check(db: Database, sees: list[tuple[str, str, str]], commission: dict[str, int]) -> None:
    assert sorted(seen(db)) == sorted(sees)
    books = eur(db)
    assert {name: minor for name, minor in books.items() if name.startswith("commission")} == (
        commission
    )
    assert not books.get("aside")
    assert ledger.audit(db).differences == []


def test_many_at_once_are_folded_too(one: Database) -> None:
    """More than one transaction has at once: the correction is far from its sale."""
    fillers = [news("approved", 100, external_id=f"f{n:04d}", subid="c2") for n in range(1100)]
    told(one, *[plus(), *fillers, minus()])
    assert seen(one) == [("approved", "3.60", "")]
    told(one, *[minus(100, external_id="d"), *(f for f in fillers)])
    assert seen(one) == [("approved", "3.00", "")]
    assert ledger.audit(one).differences == []


def test_what_was_paid_out_and_is_taken_back_is_owed(one: Database) -> None:
    told(one, plus(status="paid"))
    assert str(ledger.pay(one, USER, "t1", at=AT).amounts[0]) == "6.00 EUR"
    told(one, minus())
    (sale,) = ledger.sales_of(one, USER, now=AT)["sales"]
    assert (sale["state"], sale["cashback"]["amount"]) == ("paid", "3.60")
    assert sale["owed"] == {"amount": "2.40", "currency": "EUR"}
    assert shown(one) == {"paid": "6.00", "owed": "2.40"}
    told(one, plus(500, "paid", external_id="z", order_id="9"))
    assert str(ledger.pay(one, USER, "t2", at=AT).amounts[0]) == "0.60 EUR"
    assert ledger.audit(one).differences == []


def test_a_correction_alone_owes_nothing(one: Database) -> None:
    told(one, minus())
    assert shown(one) == {}
    assert ledger.due(one) == []
    sale = ledger.sales_of(one, USER, now=AT)["sales"][0]
    assert sale["declined"]["text"] == "The store took back a purchase that it had not told us of."
    assert sale["declined"]["claim"]


def test_a_correction_that_is_taken_back_or_moved_gives_back(one: Database) -> None:
    told(one, plus(), minus(changed_at=5))
    told(one, minus(status="declined", changed_at=6))
    assert sorted(seen(one)) == [("approved", "6.00", ""), ("declined", "0.00", "other")]
    assert ledger.audit(one).differences == []
    told(one, minus(status="approved", changed_at=7))
    assert seen(one) == [("approved", "3.60", "")]
    # Its first news turn out to be of another click.
    told(one, minus(changed_at=1, subid="c2"))
    assert seen(one) == [("approved", "6.00", "")]
    assert seen(one, OTHER) == [LONE]
    assert ledger.audit(one).differences == []


def test_the_order_value_goes_down_with_it(one: Database) -> None:
    told(one, plus(order_value=Money(10_000, "EUR")), minus(order_value=Money(-4000, "EUR")))
    with one.read() as c:
        v = t.conversions.c
        query = select(v.commission_minor, v.order_value_minor, v.reason).order_by(v.external_id)
        rows = [tuple(row) for row in c.execute(query)]
    assert rows == [(600, 6000, ""), (0, None, "correction")]


def test_a_network_that_pays_says_what_is_left(one: Database) -> None:
    told(one, plus(), minus())
    done = ledger.received(one, "demo", until=AT + 1, at=AT, expect=[Money(600, "EUR")])
    assert done.sales == 1
    assert eur(one) == {"commission_received": 600, "cashback_due": -360, "our_share": -240}
    assert ledger.audit(one).differences == []


def left_of(plus: Sale, minus: Sale) -> list[Sale]:
    """What is left of a sale and of its correction."""
    named = {1: NamedSale("demo", "a", plus), 2: NamedSale("demo", "b", minus)}
    return [folded(named)[key] for key in (1, 2)]


def test_a_correction_of_no_click_takes_from_nobody() -> None:
    """Two sales whose click was lost are not of the same click."""
    plus, minus = (Sale("approved", "", Money(minor, "EUR")) for minor in (500, -200))
    assert [one.commission.minor for one in left_of(plus, minus)] == [500, 0]
    plus, minus = (replace(one, subid="c1") for one in (plus, minus))
    assert [one.commission.minor for one in left_of(plus, minus)] == [300, 0]


def test_a_declined_correction_says_nothing() -> None:
    plus, minus = (
        Sale("approved", "c1", Money(500, "EUR")),
        Sale("declined", "c1", Money(-200, "EUR")),
    )
    assert [one.commission.minor for one in left_of(plus, minus)] == [500, 0]


@pytest.mark.parametrize(
    ("order", "value", "left"),
    [
        (None, None, None),
        (None, Money(-900, "EUR"), None),
        (Money(5000, "EUR"), None, Money(5000, "EUR")),
        (Money(5000, "EUR"), Money(-900, "EUR"), Money(4100, "EUR")),
        (Money(5000, "EUR"), Money(900, "EUR"), Money(4100, "EUR")),
        (Money(5000, "EUR"), Money(-9000, "EUR"), Money(0, "EUR")),
        (Money(5000, "EUR"), Money(-900, "USD"), Money(5000, "EUR")),
    ],
)
def test_an_order_value_with_and_without(
    order: Money | None, value: Money | None, left: Money | None
) -> None:
    plus = Sale("approved", "c1", Money(500, "EUR"), order)
    minus = Sale("approved", "c1", Money(-200, "EUR"), value)
    assert left_of(plus, minus)[0].order_value == left
