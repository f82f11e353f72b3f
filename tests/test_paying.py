"""Paying: what is payable, whom it is due to, one reference for one payout, what a network has paid us."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text
from typer.testing import CliRunner

from lensback import ledger
from lensback.catalogue import stores
from lensback.cli import app
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import AlreadyDone, BadQuery, NotFound, StateError
from lensback.ledger.pay import _request_of_before
from lensback.types import Money
from lensback.workspace import init, open_workspace
from test_ledger import AT, USER, click, news, told

OTHER = "user-token-2"
EUR = (Money(600, "EUR"),)


@pytest.fixture
def one(db: Database) -> Database:
    ledger.apply(db, [click("c1"), click("c2", user=OTHER)])
    return db


def rows(db: Database) -> int:
    with db.read() as c:
        return sum(
            c.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (t.conversion_events, t.entries, t.payouts, t.seals)
        )


# ---- every state of a sale, with and without --received-only

STATES: dict[str, tuple[list[tuple[str, int]], int, int]] = {
    # news (status, commission by time) -> payable, approved of the shopper's 60 %
    "pending": ([("pending", 1000)], 0, 0),
    "approved": ([("approved", 1000)], 0, 600),
    "paid": ([("paid", 1000)], 600, 0),
    "declined": ([("approved", 1000), ("declined", 1000)], 0, 0),
    "paid, then approved again": ([("paid", 1000), ("approved", 1000)], 600, 0),
    "paid, then declined": ([("paid", 1000), ("declined", 1000)], 0, 0),
    "declined, then opened": ([("declined", 1000), ("pending", 1000)], 0, 0),
    "declined, opened, paid": ([("declined", 1000), ("pending", 1000), ("paid", 1000)], 600, 0),
    "amended down": ([("approved", 1000), ("paid", 500)], 300, 0),
    "amended up": ([("paid", 500), ("paid", 1000)], 600, 0),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("received_only", [False, True])
def test_what_is_due_in_every_state(one: Database, state: str, received_only: bool) -> None:
    story, payable, approved = STATES[state]
    for at, (status, minor) in enumerate(story, 1):
        told(one, news(status, minor, changed_at=at))
    found = ledger.due(one)
    wanted = payable + (0 if received_only else approved)
    assert [(d.user, d.payable, d.approved, d.owed) for d in found] == (
        [(USER, payable, approved, 0)] if payable + approved else []
    )
    done = ledger.pay(one, USER, "t1", at=AT, received_only=received_only)
    assert done.amounts == ((Money(wanted, "EUR"),) if wanted else ())
    assert ledger.audit(one).proven
    left = approved if received_only and wanted else payable + approved - wanted
    assert sum(d.payable + d.approved for d in ledger.due(one)) == left
    if payable:
        assert ledger.sales_of(one, USER, now=AT)["sales"][0]["state"] == "paid"


def test_a_sale_amended_to_another_currency_is_settled_in_both(one: Database) -> None:
    """Paid out in euro, then amended to roubles: one payout hands over the one and sets off the other."""
    told(one, news("approved", 1000, changed_at=1))
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news("approved", 90_000, changed_at=2, currency="RUB"))
    told(one, news("approved", 5000, external_id="s2"))
    done = ledger.pay(one, USER, "t2", at=AT)
    assert done.amounts == (Money(2400, "EUR"), Money(54_000, "RUB"))
    assert ledger.due(one) == []
    assert ledger.audit(one).proven


def test_due_is_by_user_and_currency(one: Database) -> None:
    told(
        one,
        news("paid", 1000),
        news("approved", 500, external_id="s2"),
        news("paid", 100, external_id="s3", currency="RUB"),
        news("approved", 300, external_id="s4", subid="c2"),
        news("approved", 900, external_id="s5", subid="nobody"),
    )
    found = {(d.user, d.currency): (d.payable, d.approved, d.owed) for d in ledger.due(one)}
    assert found == {
        (USER, "EUR"): (600, 300, 0),
        (USER, "RUB"): (60, 0, 0),
        (OTHER, "EUR"): (0, 180, 0),
    }
    assert ledger.pay(one, USER, "t1", at=AT, received_only=True).amounts == (
        *EUR,
        Money(60, "RUB"),
    )
    found = {(d.user, d.currency): (d.payable, d.approved, d.owed) for d in ledger.due(one)}
    assert found == {(USER, "EUR"): (0, 300, 0), (OTHER, "EUR"): (0, 180, 0)}


def test_what_is_owed_is_set_off_against_what_was_received(one: Database) -> None:
    told(one, news("approved", 1000, changed_at=1))
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news("declined", 1000, changed_at=2), news("paid", 1500, external_id="s2"))
    told(one, news("approved", 5000, external_id="s3"))
    assert ledger.pay(one, USER, "t2", at=AT, received_only=True).amounts == (Money(300, "EUR"),)
    assert [(d.payable, d.approved, d.owed) for d in ledger.due(one)] == [(0, 3000, 0)]
    assert ledger.audit(one).proven


# ---- a reference


@pytest.mark.parametrize(
    ("again", "same"),
    [
        ({}, True),
        ({"expect": EUR}, False),
        ({"received_only": True}, False),
        ({"user_token": OTHER}, False),
        ({"user_token": "nobody-knows-me"}, False),
    ],
)
def test_one_reference_is_one_request(one: Database, again: dict[str, Any], same: bool) -> None:
    told(one, news("approved", 1000))
    first = ledger.pay(one, USER, "t1", at=AT)
    told(
        one,
        news("approved", 1000, external_id="s2"),
        news("paid", 10, external_id="s3", subid="c2"),
    )
    before = rows(one)
    said = {"user_token": USER, **again}
    if same:
        repeated = ledger.pay(one, reference="t1", at=AT + 9, **said)
        assert (repeated.amounts, repeated.sales, repeated.at) == (EUR, 1, AT)
        assert (first.repeated, repeated.repeated) == (False, True)
    else:
        with pytest.raises(AlreadyDone, match=r"another payout: 6\.00 EUR"):
            ledger.pay(one, reference="t1", at=AT + 9, **said)
    assert rows(one) == before


MINIMA: list[dict[str, int] | None] = [None, {}, {"EUR": 500}, {"EUR": 600}, {"EUR": 500, "JPY": 1}]


@pytest.mark.parametrize("first", MINIMA)
@pytest.mark.parametrize("again", MINIMA)
def test_a_minimum_is_part_of_a_request(
    one: Database, first: dict[str, int] | None, again: dict[str, int] | None
) -> None:
    told(one, news("approved", 1000))
    ledger.pay(one, USER, "t1", at=AT, minimum=first)
    before = rows(one)
    if first == again:
        for usual in ({}, {"EUR": 10**6}):  # the setting may have changed meanwhile
            assert ledger.pay(one, USER, "t1", at=AT, minimum=again, usual_minimum=usual).repeated
    else:
        with pytest.raises(AlreadyDone, match="another payout"):
            ledger.pay(one, USER, "t1", at=AT, minimum=again)
    assert rows(one) == before


def test_the_usual_minimum_holds_where_none_is_said(one: Database) -> None:
    told(one, news("approved", 1000))
    with pytest.raises(BadQuery, match="below the minimum"):
        ledger.pay(one, USER, "t1", at=AT, usual_minimum={"EUR": 601})
    assert ledger.pay(one, USER, "t1", at=AT, minimum={}, usual_minimum={"EUR": 601}).sales == 1


def test_a_payout_of_before_minima_counted_is_known(one: Database) -> None:
    told(one, news("approved", 1000))
    request = _request_of_before("t1", USER, EUR, received_only=True)
    with one.write() as c:
        kept = {
            "reference": "t1",
            "request": request,
            "amounts": '[[600, "EUR"]]',
            "sales": 1,
            "at": 7,
        }
        c.execute(insert(t.payouts).values(**kept))
    again = partial(ledger.pay, one, USER, "t1", at=AT, expect=EUR, received_only=True)
    assert [again(minimum=least).at for least in (None, {"EUR": 5})] == [7, 7]
    with pytest.raises(AlreadyDone):
        ledger.pay(one, USER, "t1", at=AT, expect=EUR)


def test_what_paid_nothing_uses_no_reference(one: Database) -> None:
    told(one, news("pending", 1000))
    before = rows(one)
    assert ledger.pay(one, USER, "t1", at=AT).sales == 0
    told(one, news("approved", 1000))
    with pytest.raises(BadQuery):
        ledger.pay(one, USER, "t1", at=AT, expect=[Money(1, "EUR")])
    assert ledger.pay(one, USER, "t1", at=AT, expect=EUR).amounts == EUR
    assert rows(one) > before


@pytest.mark.parametrize("reference", ["", " ", "\t", "x" * 101])
def test_a_payout_has_a_reference(one: Database, reference: str) -> None:
    with pytest.raises(BadQuery, match="a payout needs a reference"):
        ledger.pay(one, USER, reference, at=AT)


@pytest.mark.parametrize(
    ("expect", "minimum", "message"),
    [
        ([Money(599, "EUR")], {}, "6.00 EUR and 60 JPY is due, not the expected 5.99 EUR"),
        ([Money(600, "EUR")], {}, "not the expected 6.00 EUR;"),
        ([Money(600, "USD"), Money(60, "JPY")], {}, "not the expected 60 JPY and 6.00 USD"),
        ([], {}, "not the expected nothing"),
        ([Money(600, "EUR"), Money(60, "JPY")], {"JPY": 61}, r"\(60 JPY is below the minimum\)"),
        (None, {"EUR": 601, "JPY": 61}, "below the minimum: 6.00 EUR and 60 JPY is due"),
    ],
)
def test_nothing_is_marked_where_something_else_is_due(
    one: Database, expect: list[Money] | None, minimum: dict[str, int], message: str
) -> None:
    told(one, news("approved", 1000), news("approved", 100, external_id="s2", currency="JPY"))
    before = rows(one)
    with pytest.raises(BadQuery, match=message):
        ledger.pay(one, USER, "t1", at=AT, expect=expect, minimum=minimum)
    assert rows(one) == before


def test_a_currency_below_its_minimum_is_left(one: Database) -> None:
    told(one, news("approved", 1000), news("approved", 100, external_id="s2", currency="JPY"))
    least = {"EUR": 600, "JPY": 61}
    done = ledger.pay(one, USER, "t1", at=AT, minimum=least, expect=EUR)
    assert (done.amounts, done.left) == (EUR, (Money(60, "JPY"),))
    assert [(d.currency, d.approved) for d in ledger.due(one)] == [("JPY", 60)]


@pytest.mark.parametrize("user", ["", "nobody-knows-me", USER[:-1]])
def test_an_unknown_user(one: Database, user: str) -> None:
    with pytest.raises(NotFound, match="unknown user"):
        ledger.pay(one, user, "t1", at=AT)


@pytest.mark.parametrize(
    ("text", "money"),
    [
        ("10 EUR", Money(1000, "EUR")),
        ("10.5EUR", Money(1050, "EUR")),
        (" eur 10.50 ", Money(1050, "EUR")),
        ("EUR10.50EUR", Money(1050, "EUR")),
        ("100 JPY", Money(100, "JPY")),
        ("1.234 KWD", Money(1234, "KWD")),
    ],
)
def test_an_amount_as_people_write_it(text: str, money: Money) -> None:
    assert ledger.amount_of(text) == money


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "EUR",
        "10.505 EUR",
        "1.5 JPY",
        "-1 EUR",
        "1e3 EUR",
        "10,50 EUR",
        "10 XYZ",
        "EUR 1 USD",
    ],
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(BadQuery):
        ledger.amount_of(text)


# ---- what a network has paid us


def test_received_by_the_operators_word(one: Database) -> None:
    day = 86_400
    told(
        one,
        news("approved", 1000, ordered_at=AT - 9 * day),
        news("approved", 500, external_id="s2", ordered_at=AT),
        news("pending", 500, external_id="s3", ordered_at=AT - 9 * day),
        news("declined", 500, external_id="s4", ordered_at=AT - 9 * day),
        news("approved", 700, external_id="s5", ordered_at=AT - 9 * day, network="other", subid=""),
    )
    before = rows(one)
    with pytest.raises(
        BadQuery, match=r"the approved sales come to 10\.00 EUR; nothing was marked"
    ):
        ledger.received(one, "demo", until=AT - day, at=AT, expect=[Money(1, "EUR")])
    assert rows(one) == before
    done = ledger.received(one, "demo", until=AT - day, at=AT, expect=[Money(1000, "EUR")])
    assert (done.amounts, done.sales) == ((Money(1000, "EUR"),), 1)
    assert [(d.payable, d.approved) for d in ledger.due(one)] == [(600, 300)]
    assert ledger.balances(one)["EUR"]["commission_received"] == 1000
    # The report that says "approved" once more, or amends it, does not take the money away.
    ledger.observe(one, [news("approved", 1100, ordered_at=AT - 9 * day)], at=AT + 5)
    assert [(d.payable, d.approved) for d in ledger.due(one)] == [(660, 300)]
    assert ledger.received(one, "demo", until=AT - day, at=AT + 9).sales == 0
    # One that declines it does.
    ledger.observe(one, [news("declined", 1100)], at=AT + 20)
    assert [(d.payable, d.approved) for d in ledger.due(one)] == [(0, 300)]
    assert ledger.audit(one).proven
    with pytest.raises(NotFound, match="no sale of 'awin' is known"):
        ledger.received(one, "awin", until=AT, at=AT)


def test_received_with_all_its_parts(one: Database) -> None:
    """A sale and its corrections, each told as a row of its own."""
    told(
        one,
        news("approved", 1000, part="a"),
        news("approved", -200, part="b"),
        news("declined", 50, part="c"),
    )
    ledger.received(one, "demo", until=AT + 9, at=AT)
    assert ledger.balances(one)["EUR"] == {
        "commission_received": 800,
        "cashback_due": -480,
        "our_share": -320,
    }
    assert [d.payable for d in ledger.due(one)] == [480]


LATE = {
    # the network's news after the word: status, dated (None: not at all; AT is the word), by a report or a
    # call -> the state
    "declined before the word, reported": ("declined", AT - 5, "poll", "declined"),
    "declined before the word, called": ("declined", AT - 5, "call", "declined"),
    "declined after the word": ("declined", AT + 5, "call", "declined"),
    "declined with the day of the approval": ("declined", AT - 9, "call", "declined"),
    "declined before the approval": ("declined", AT - 20, "call", "paid"),
    "declined in a report without dates": ("declined", None, "poll", "declined"),
    "approved anew before the word": ("approved", AT - 5, "poll", "paid"),
    "approved anew after the word": ("approved", AT + 5, "poll", "paid"),
    "pending after the word": ("pending", AT + 5, "poll", "paid"),
    "paid by its own word": ("paid", AT + 5, "poll", "paid"),
}


@pytest.mark.parametrize("what", LATE)
def test_what_the_network_tells_after_the_operators_word(one: Database, what: str) -> None:
    """The word is of an approval. What was declined between the two, and is told late, was never paid."""
    status, when, how, ends = LATE[what]
    told(one, news("approved", 1000, changed_at=AT - 9))
    ledger.received(one, "demo", until=AT + 9, at=AT)
    assert [d.payable for d in ledger.due(one)] == [600]
    late = [news(status, 1000, changed_at=when)]
    if how == "poll":
        ledger.observe(one, late, at=AT + 20)
    else:
        told(one, *late)
    with one.read() as c:
        assert c.execute(select(t.conversions.c.status)).scalar_one() == ends
    assert [d.payable for d in ledger.due(one)] == ([600] if ends == "paid" else [])
    assert ledger.audit(one).proven


def test_a_sale_that_came_back_after_the_word_is_received_anew(one: Database) -> None:
    told(one, news("approved", 1000, changed_at=AT - 9))
    ledger.received(one, "demo", until=AT + 9, at=AT)
    told(one, news("declined", 1000, changed_at=AT - 5), news("approved", 900, changed_at=AT + 5))
    assert [(d.payable, d.approved) for d in ledger.due(one)] == [(0, 540)]
    done = ledger.received(one, "demo", until=AT + 9, at=AT + 30)
    assert done.amounts == (Money(900, "EUR"),)
    assert [(d.payable, d.approved) for d in ledger.due(one)] == [(540, 0)]
    assert ledger.audit(one).proven


@pytest.mark.parametrize("minor", [900, 1000])
def test_an_approval_without_a_day_is_received(one: Database, minor: int) -> None:
    """A call may not say when. A report tells of the decline later."""
    told(one, news("approved", 1000))
    ledger.received(one, "demo", until=AT + 9, at=AT)
    assert [d.payable for d in ledger.due(one)] == [600]
    ledger.observe(one, [news("declined", minor)], at=AT + 9)
    assert ledger.due(one) == []


FORGED_STATEMENT = {
    "another state": "UPDATE conversions SET status = 'approved' WHERE id = 2",
    "another amount": "UPDATE conversions SET commission_minor = 999999 WHERE id = 1",
    "another currency": "UPDATE conversions SET currency = 'KWD' WHERE id = 1",
    "told earlier": "UPDATE conversions SET first_at = 0 WHERE id = 3",
    "ordered earlier": "UPDATE conversions SET ordered_at = 0 WHERE id = 3",
}


@pytest.mark.parametrize("what", FORGED_STATEMENT)
def test_what_no_news_tell_is_not_received(one: Database, what: str) -> None:
    day = 86_400
    told(
        one,
        news("approved", 1000, ordered_at=AT - 9 * day),
        news("pending", 500, external_id="s2", ordered_at=AT - 9 * day),
        news("approved", 700, external_id="s3"),
    )
    with one.write() as c:
        c.execute(text(FORGED_STATEMENT[what]))
    before = rows(one)
    with pytest.raises(StateError, match=r"its events say .*; nothing was marked"):
        ledger.received(one, "demo", until=AT - day, at=AT)
    assert rows(one) == before
    assert ledger.rebook(one, at=AT) == 1
    assert ledger.received(one, "demo", until=AT - day, at=AT).amounts == (Money(1000, "EUR"),)
    assert ledger.audit(one).proven


# ---- the commands, with their exact words and exit codes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("paying") / "w"
    init(made)
    with open_workspace(made) as opened:
        ledger.apply(
            opened.db, [click("c1"), click("c2", user=OTHER), click("c3", user="user-token-3")]
        )
        told(opened.db, news("paid", 1000), news("approved", 500, external_id="s2"))
        told(opened.db, news("pending", 200, external_id="s3", subid="c2"))
    return made


def run(folder: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        app, ["ledger", *words, "--workspace", str(folder)], catch_exceptions=True
    )
    if done.exception and not isinstance(done.exception, SystemExit):
        error: Any = done.exception
        return error.exit_code, error.message
    return done.exit_code, done.output


def test_the_commands_one_after_the_other(folder: Path) -> None:
    code, text = run(folder, "due", "--json")
    assert (code, [row["pays"] for row in json.loads(text)]) == (0, [True])
    assert json.loads(text)[0]["payable"] == {"amount": "6.00", "currency": "EUR"}
    assert "below the minimum" in run(folder, "due", "--minimum", "9.01 EUR")[1]
    pay = ("pay", USER, "--reference", "r1", "--received-only", "--expect", "6 EUR")
    assert run(folder, "pay", "nobody-at-all", "--reference", "r1") == (
        2,
        "unknown user: no click is known of this token",
    )
    assert run(folder, "pay", "user-token-3", "--reference", "r1") == (
        0,
        "nothing is due to this user\n",
    )
    assert run(folder, "pay", OTHER, "--reference", "r1") == (
        0,
        "nothing is due to this user: 1.20 EUR pending\n",
    )
    assert run(folder, "pay", USER, "--reference", "r1", "--expect", "7 EUR") == (
        2,
        "9.00 EUR is due, not the expected 7.00 EUR; nothing was marked",
    )
    assert run(folder, "pay", USER, "--reference", "r1", "--minimum", "10 EUR") == (
        2,
        "below the minimum: 9.00 EUR is due; nothing was marked",
    )
    assert run(folder, *pay) == (0, "6.00 EUR of 1 sale marked as paid\n")
    code, text = run(folder, *pay)
    assert (code, text[:36]) == (0, "already paid under 'r1' on 20" + text[29:36])
    assert text.endswith(": 6.00 EUR of 1 sale; nothing was marked now\n")
    code, text = run(folder, *pay, "--json")
    assert json.loads(text) == {
        "amounts": [{"amount": "6.00", "currency": "EUR"}],
        "sales": 1,
        "repeated": True,
        "left": [],
    }
    code, text = run(folder, "pay", USER, "--reference", "r1")
    assert (code, text[:43]) == (2, "the reference 'r1' was used for another pay")
    assert run(folder, "pay", USER, "--reference", "r2", "--received-only") == (
        0,
        "nothing is due to this user: 3.00 EUR not yet paid by the network, 6.00 EUR paid out already\n",
    )
    assert run(folder, "received", "demo", "--expect", "5 EUR")[0] == 0
    assert run(folder, "pay", USER, "--reference", "r2", "--received-only")[1].startswith(
        "3.00 EUR"
    )
    assert run(folder, "audit")[0] == 0


def test_the_audit_says_how_to_go_on(tmp_path: Path) -> None:
    made = tmp_path / "w"
    init(made)
    with open_workspace(made) as opened:
        ledger.apply(opened.db, [click("c1")])
        told(opened.db, news("approved", 1000), news("approved", 500, external_id="s2"))
        with opened.db.write() as c:
            c.execute(
                text("UPDATE conversions SET store = 'renamed', status = 'paid' WHERE id = 1")
            )
    code, said = run(made, "audit")
    assert code == 1
    assert "NOT proven: 2 differences\nnext: lensback ledger audit" in said
    assert said.endswith(' --rebook "why"\n')
    code, said = run(made, "audit", "--rebook", "")
    assert code == 1, "without a reason nothing is booked"
    code, said = run(made, "audit", "--rebook", "a store of before the rename", "--json")
    found = json.loads(said)
    assert (code, found["proven"], found["rebooked"], found["rebookable"]) == (0, True, 1, 0)
    assert found["before"] == [
        "demo s1: status is 'paid', its events say 'approved'",
        "demo s1: store is 'renamed', its events say 'hats'",
    ]
    code, said = run(made, "audit", "--rebook", "once more")
    assert (code, "0 sales booked anew\nproven: " in said) == (0, True)
    with open_workspace(made) as opened, opened.db.read() as c:
        details = c.scalars(
            select(t.audit_log.c.detail).where(t.audit_log.c.deed == "ledger audit")
        ).all()
    assert [one for one in details if one] == ["a store of before the rename", "once more"]


def test_booking_anew_takes_back_what_was_forged(one: Database) -> None:
    told(one, *(news("approved", 1000, external_id=f"s{n}") for n in range(4)))
    with one.write() as c:
        c.execute(text(FORGED["a balance"]))
        c.execute(text("UPDATE conversions SET network = 'other' WHERE id = 4"))
    assert ledger.rebook(one, at=AT) == 2
    found = ledger.audit(one)
    assert found.differences == ["other s3: its news are those of another sale"]
    assert found.rebookable == 0, "whose news they are no booking changes"
    assert [(d.user, d.approved) for d in ledger.due(one)] == [(USER, 1800)]


@pytest.mark.parametrize("command", [("pay", USER, "--reference", "r9"), ("due",)])
def test_two_amounts_of_one_currency_are_refused(folder: Path, command: tuple[str, ...]) -> None:
    """Which of them is meant nobody knows: the last one, or one of two that are the same, would pay."""
    for option in ("--expect", "--minimum") if command[0] == "pay" else ("--minimum",):
        for first in ("6 EUR", "7 EUR"):
            said = run(folder, *command, option, first, option, "6 EUR")
            assert said == (2, "two amounts of EUR")


def test_the_setting_is_a_minimum(folder: Path) -> None:
    with open_workspace(folder) as opened:
        told(opened.db, news("paid", 1000, external_id="s9", subid="c2"))
    kept = (folder / "lensback.toml").read_text()
    (folder / "lensback.toml").write_text('payout_minimum = ["100 EUR", "5 USD"]\n')
    try:
        code, text = run(folder, "pay", OTHER, "--reference", "m1")
        assert (code, text) == (2, "below the minimum: 6.00 EUR is due; nothing was marked")
        assert run(folder, "pay", OTHER, "--reference", "m1", "--minimum", "1 EUR")[0] == 0
    finally:
        (folder / "lensback.toml").write_text(kept)


# ---- what somebody wrote into the database

FORGED = {
    "a sale moved to another's click": "UPDATE conversions SET click_id = 'c2' WHERE id = 1",
    "a sale moved to a click of nobody's sale": "UPDATE conversions SET click_id = 'c3' WHERE id = 1",
    "a sale that the network has paid us": "UPDATE conversions SET status = 'paid' WHERE id = 2",
    "a balance": "INSERT INTO entries (transaction_id, conversion_id, account, currency, minor, at) VALUES"
    " ('x', 2, 'cashback_due', 'EUR', -90000, 0), ('x', 2, 'our_share', 'EUR', 90000, 0)",
    "another currency": "INSERT INTO entries (transaction_id, conversion_id, account, currency, minor, at)"
    " VALUES ('x', 2, 'cashback_due', 'KWD', -90000, 0), ('x', 2, 'our_share', 'KWD', 90000, 0)",
}


@pytest.mark.parametrize("received_only", [False, True])
@pytest.mark.parametrize("what", FORGED)
def test_what_no_news_tell_is_not_paid(one: Database, what: str, received_only: bool) -> None:
    """Booking a payout brings rows and accounts back to what the events say: the audit would find
    nothing any more, and the money would be gone."""
    ledger.apply(one, [click("c3", user=OTHER)])
    second = "approved" if "the network" in what else "paid"
    told(one, news("paid", 1000), news(second, 500, external_id="s2", subid="c2"))
    with one.write() as c:
        c.execute(text(FORGED[what]))
    before = rows(one)
    with pytest.raises(StateError, match=r"its events say .*; nothing was marked"):
        ledger.pay(one, OTHER, "t1", at=AT, received_only=received_only)
    assert rows(one) == before
    assert not ledger.audit(one).proven


def test_a_store_that_is_renamed_keeps_its_sales(one: Database) -> None:
    """A sale bears the name of its click's store: else the audit differs, nothing could be paid, and the
    same order at another network is not seen."""
    with one.write() as c:
        c.execute(insert(t.stores).values(name="hats", created_at=AT))
    told(one, news("approved", 1000, order_id="o1"))
    stores.rename(one, "hats", "caps")
    assert ledger.audit(one).differences == []
    other = click("c3")
    other.body.update(network="elsewhere", store="caps")
    ledger.apply(one, [other])
    told(one, news("approved", 900, network="elsewhere", subid="c3", order_id="o1"))
    assert {sale.code for sale in ledger.held_sales(one)} == {"two_networks"}
    assert ledger.due(one) == []
    assert ledger.audit(one).differences == []
