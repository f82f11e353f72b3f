"""The ledger's rows on a database, one by one: what is written, what is looked up, what is told."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from lensback import ledger
from lensback.db import Database
from lensback.db import tables as t
from lensback.doctor import examine
from lensback.errors import AlreadyDone, BadQuery, Busy, NotFound, StateError
from lensback.journal import Record
from lensback.ledger import activity, inbox, pulls
from lensback.ledger.audit import HEADER, MOST_SHOWN, PART
from lensback.ledger.expected import RULES
from lensback.ledger.pay import due_to
from lensback.ledger.record import Recorded
from lensback.ledger.sale import digest
from lensback.ledger.shown import Shown, ShownHit, shown
from lensback.settings import Settings
from lensback.types import Conversion, Money
from lensback.workspace import Workspace, init
from revisions import database_at
from servers import Postgres
from test_ledger import AT, SEARCH, TERMS, USER, click, news, told

DAY = 86_400


@pytest.fixture(autouse=True)
def _far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Days and times of the ledger are UTC's, wherever the machine stands."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def one(db: Database) -> Database:
    ledger.apply(db, [click("c1")])
    return db


def rows(db: Database, table: Any) -> list[dict[str, Any]]:
    with db.read() as c:
        return [dict(row) for row in c.execute(select(table).order_by(table.c.id)).mappings()]


# ---- what one piece of news becomes


def test_a_sale_in_full(one: Database) -> None:
    whole = Conversion(
        "demo",
        "s1",
        "declined",
        item="i1",
        subid="c1",
        commission=Money(1001, "EUR"),
        order_value=Money(9000, "USD"),
        order_id="o1",
        reason="RETURNED goods",
        ordered_at=AT - 5,
        changed_at=AT - 3,
    )
    done = ledger.record(one, [whole], at=AT + 7, source="a source of more than twenty signs")
    assert done == Recorded(new=1)
    (row,) = rows(one, t.conversions)
    assert row == {
        "id": row["id"],
        "network": "demo",
        "external_id": "s1",
        "item": "i1",
        "subid": "c1",
        "click_id": "c1",
        "status": "declined",
        "currency": "EUR",
        "commission_minor": 1001,
        "cashback_minor": 600,
        "paid_out_minor": 0,
        "order_id": "o1",
        "order_currency": "USD",
        "order_value_minor": 9000,
        "reason": "returned",
        "reason_text": "RETURNED goods",
        "ordered_at": AT - 5,
        "changed_at": AT - 3,
        "expected_at": AT - 5 + 30 * DAY,
        "first_at": AT + 7,
        "updated_at": AT + 7,
        "store": "hats",
        "review": "",
        "review_code": "",
        "review_text": "",
        "rules": RULES,
    }
    (event,) = rows(one, t.conversion_events)
    assert {k: v for k, v in event.items() if k not in {"id", "digest"}} == {
        "conversion_id": row["id"],
        "kind": "news",
        "part": "",
        "status": "declined",
        "subid": "c1",
        "commission_minor": 1001,
        "commission_currency": "EUR",
        "order_value_minor": 9000,
        "order_currency": "USD",
        "order_id": "o1",
        "reason": "RETURNED goods",
        "ordered_at": AT - 5,
        "changed_at": AT - 3,
        "source": "a source of more tha",
        "received_at": AT + 7,
    }
    assert rows(one, t.entries) == []


def test_a_sale_of_which_little_is_told(db: Database) -> None:
    ledger.record(db, [Conversion("demo", "s1", "pending")], at=AT, source="poll")
    (row,) = rows(db, t.conversions)
    told_ = {k: v for k, v in row.items() if k not in {"id", "network", "external_id"}}
    assert told_ == {
        "item": "",
        "subid": "",
        "click_id": None,
        "status": "pending",
        "currency": "",
        "commission_minor": 0,
        "cashback_minor": 0,
        "paid_out_minor": 0,
        "order_id": "",
        "order_currency": "",
        "order_value_minor": None,
        "reason": "",
        "reason_text": "",
        "ordered_at": None,
        "changed_at": None,
        "expected_at": None,
        "first_at": AT,
        "updated_at": AT,
        "store": "",
        "review": "",
        "review_code": "",
        "review_text": "",
        "rules": RULES,
    }
    (event,) = rows(db, t.conversion_events)
    assert (event["commission_minor"], event["commission_currency"]) == (None, "")
    assert (event["order_value_minor"], event["order_currency"]) == (None, "")


def test_the_entries_of_a_transaction(one: Database) -> None:
    """Each change is one transaction of its own that sums to zero; what is right is not posted again."""
    ledger.record(one, [news("pending", 1001)], at=AT + 1, source="x")
    ledger.record(one, [news("approved", 1001)], at=AT + 2, source="x")
    ledger.record(one, [news("approved", 1001, order_id="o")], at=AT + 3, source="x")
    entries = rows(one, t.entries)
    ids = list(dict.fromkeys(entry["transaction_id"] for entry in entries))
    assert len(ids) == 2
    assert all(len(name) == 24 for name in ids)
    posted = [
        (ids.index(e["transaction_id"]), e["account"], e["currency"], e["minor"], e["at"])
        for e in entries
    ]
    assert sorted(posted) == [
        (0, "cashback_pending", "EUR", -600, AT + 1),
        (0, "commission_pending", "EUR", 1001, AT + 1),
        (0, "share_pending", "EUR", -401, AT + 1),
        (1, "cashback_due", "EUR", -600, AT + 2),
        (1, "cashback_pending", "EUR", 600, AT + 2),
        (1, "commission_due", "EUR", 1001, AT + 2),
        (1, "commission_pending", "EUR", -1001, AT + 2),
        (1, "our_share", "EUR", -401, AT + 2),
        (1, "share_pending", "EUR", 401, AT + 2),
    ]
    (sale,) = rows(one, t.conversions)
    assert {entry["conversion_id"] for entry in entries} == {sale["id"]}
    assert (sale["first_at"], sale["updated_at"], sale["order_id"]) == (AT + 1, AT + 3, "o")


def test_a_row_is_written_when_something_of_it_changed(one: Database) -> None:
    ledger.record(one, [news("approved", 100, changed_at=5)], at=AT, source="x")
    ledger.record(one, [news("pending", 100, changed_at=1)], at=AT + 9, source="x")
    (sale,) = rows(one, t.conversions)
    assert (sale["status"], sale["changed_at"], sale["updated_at"]) == ("approved", 5, AT + 9)
    ledger.record(one, [news("approved", 100, changed_at=6)], at=AT + 8, source="x")
    (sale,) = rows(one, t.conversions)
    assert (sale["changed_at"], sale["updated_at"]) == (6, AT + 9), "a clock that went back"
    ledger.record(one, [news("approved", 100, changed_at=7)], at=AT - 5, source="x")
    (sale,) = rows(one, t.conversions)
    assert (sale["changed_at"], sale["first_at"], sale["updated_at"]) == (7, AT - 5, AT + 9)
    assert ledger.audit(one).proven


def test_news_are_counted(one: Database) -> None:
    first, other = news("pending", 100), news("pending", 100, external_id="s2")
    assert told(one, first, first, other) == Recorded(new=2, repeated=1)
    wrong = replace(first, status="stolen")
    done = told(one, first, wrong, news("approved", 100), wrong, replace(first, network=""))
    assert (done.new, done.repeated) == (1, 1)
    assert done.rejected == {
        "no such status: 'stolen'": 2,
        "the news has no network": 1,
    }
    assert told(one) == Recorded()
    assert len(rows(one, t.conversion_events)) == 3
    assert {row["external_id"]: row["status"] for row in rows(one, t.conversions)} == {
        "s1": "approved",
        "s2": "pending",
    }


def test_many_news_are_counted_over_all_their_parts(one: Database) -> None:
    many = [news("pending", 1, external_id=f"s{n}") for n in range(1100)]
    wrong = [replace(many[0], status="x"), replace(many[1], status="x")]
    done = told(one, wrong[0], *many, many[0], wrong[1])
    assert (done.new, done.repeated) == (1100, 1)
    assert done.rejected == {"no such status: 'x'": 2}
    assert len(rows(one, t.conversions)) == 1100
    assert ledger.balances(one) == {"EUR": {"commission_pending": 1100, "share_pending": -1100}}
    again = told(one, *many)
    assert (again.new, again.repeated) == (0, 1100)
    assert ledger.audit(one).conversions == 1100


def test_the_first_and_the_last_moment_of_a_batch(one: Database) -> None:
    """A sale is first seen with the first of its news, and changed with the last of them."""
    with one.write() as c:
        batch = [
            (news("pending", 100), AT + 1, "x"),
            (news("approved", 100), AT + 3, "x"),
            (news("pending", 100, external_id="s2"), AT + 2, "x"),
        ]
        ledger.record_in(one, c, batch)
    moments = {r["external_id"]: (r["first_at"], r["updated_at"]) for r in rows(one, t.conversions)}
    assert moments == {"s1": (AT + 1, AT + 3), "s2": (AT + 2, AT + 2)}
    assert sorted(e["received_at"] for e in rows(one, t.conversion_events)) == [
        AT + 1,
        AT + 2,
        AT + 3,
    ]


def test_sales_are_told_apart_by_network_number_and_item(one: Database) -> None:
    told(
        one,
        news("pending", 1),
        news("pending", 2, network="other"),
        news("pending", 4, external_id="s2"),
        news("pending", 8, item="i"),
    )
    found = {
        (r["network"], r["external_id"], r["item"]): r["commission_minor"]
        for r in rows(one, t.conversions)
    }
    assert found == {
        ("demo", "s1", ""): 1,
        ("other", "s1", ""): 2,
        ("demo", "s2", ""): 4,
        ("demo", "s1", "i"): 8,
    }


def test_cashback_follows_the_terms_of_the_click(db: Database) -> None:
    ledger.apply(db, [click("c1", share="0.25", hold_days=0), click("c2", share="1")])
    told(db, news("approved", 1000), news("approved", 1000, external_id="s2", subid="c2"))
    told(db, news("approved", 1000, external_id="s3", subid="nobody"))
    found = {
        r["external_id"]: (r["click_id"], r["cashback_minor"], r["expected_at"])
        for r in rows(db, t.conversions)
    }
    assert found == {
        "s1": ("c1", 250, None),
        "s2": ("c2", 1000, AT + 30 * DAY),
        "s3": (None, 0, None),
    }


# ---- the journal's batches


def test_a_batch_is_counted_by_kind(db: Database) -> None:
    sale = Record("news", ledger.news_body(news("approved", 1000), at=AT, source="postback"))
    search = Record("search", {**SEARCH, "search_id": "s" * 8, "hits": [], "shown": 0})
    vote = Record("feedback", ledger.feedback_body("s" * 8, "p1", 1, AT))
    odd = Record("strange", {})
    done = ledger.apply(db, [sale, odd, click("c1"), vote, search, click("c2"), odd])
    assert done == {"search": 1, "click": 2, "feedback": 1, "news": 1, "rejected": 2}
    # The click was written first, so the sale found it, and nothing was attached later.
    assert ledger.balances(db)["EUR"] == {
        "commission_due": 1000,
        "cashback_due": -600,
        "our_share": -400,
    }
    (event,) = rows(db, t.conversion_events)
    assert (event["received_at"], event["source"]) == (AT, "postback")
    assert ledger.apply(db, []) == {}


def test_a_sale_that_the_database_refuses_is_kept_and_told(tmp_path: Path) -> None:
    init(tmp_path)
    with Workspace(tmp_path, Settings()) as workspace:
        workspace.journal.append("news", {"news": 5})
        workspace.journal.append("click", {"click_id": "x"})
        assert workspace.drain().records == 2
        kept = workspace.journal.refused
        assert [line.split(b" ", 1)[1] for line in kept.read_bytes().splitlines()] == [
            b'["news",{"news":5}]'
        ]
        assert kept.stat().st_mode & 0o777 == 0o600
        assert workspace.drain().records == 0, "nothing is drained twice"
        told = [check for check in examine(workspace) if check.part == "journal"]
        assert [(check.state, str(kept) in check.message) for check in told] == [("warn", True)]


def test_a_bad_record_alone_is_counted_and_a_locked_database_is_told(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ledger.apply(db, [Record("click", {"click_id": "x"})]) == {"rejected": 1}
    many = [Record("click", {}), click("c1"), Record("news", {"news": 5}), click("c2")]
    assert ledger.apply(db, many) == {"click": 2, "rejected": 2}
    with db.read() as c:
        assert sorted(c.scalars(select(t.clicks.c.click_id))) == ["c1", "c2"]

    def locked(*_: Any) -> None:
        raise Busy("the database is locked", hint="wait")

    monkeypatch.setitem(inbox._WRITERS, "click", locked)
    with pytest.raises(Busy):
        ledger.apply(db, [click("c3")])
    with pytest.raises(Busy):
        ledger.apply(db, [click("c3"), click("c4")])


def test_a_click_is_kept_as_it_was_first_told(db: Database) -> None:
    first, again = click("c1"), click("c1", user="somebody-else")
    ledger.apply(db, [first])
    ledger.apply(db, [again])
    with db.read() as c:
        (row,) = c.execute(select(t.clicks)).mappings()
    assert {k: v for k, v in row.items() if k not in {"rank", "salt"}} == {
        k: v for k, v in click("c1").body.items() if k != "rank"
    }
    assert row["terms"] == TERMS


HITS = [["p" + "b" * 16, ["z" * 16, "y" * 16], 1, 0.9], ["p" + "a" * 16, ["a" * 16], 2, 0.5]]


@pytest.mark.parametrize(
    ("offer", "product", "rank"),
    [
        ("z" * 16, "none", 1),
        ("y" * 16, "none", 1),
        ("a" * 16, "none", 2),
        ("gone", "p" + "a" * 16, 2),
        ("gone", "p" + "b" * 16, 1),
        ("gone", "none", None),
    ],
)
def test_the_rank_of_a_click(offer: str, product: str, rank: int | None) -> None:
    assert inbox.rank_of(HITS, offer, product) == rank
    assert inbox.rank_of([], offer, product) is None


@pytest.mark.parametrize("early", [False, True])
def test_a_click_finds_its_rank_before_and_after_its_search(db: Database, early: bool) -> None:
    search = Record("search", {**SEARCH, "search_id": "s" * 8, "hits": HITS, "shown": 2})
    other = Record("search", {**SEARCH, "search_id": "t" * 8, "hits": HITS[1:], "shown": 1})
    mine, theirs, lost, none = click("c1"), click("c2"), click("c3"), click("c4")
    other_size = click("c5")
    other_size.body.update(search_id="s" * 8, offer_id="gone")
    mine.body["search_id"], theirs.body["search_id"] = "s" * 8, "t" * 8
    lost.body["search_id"], none.body["offer_id"] = "u" * 8, "gone"
    none.body.update(search_id="s" * 8, product_id="gone")
    clicks = [mine, theirs, lost, none, other_size]
    for batch in [clicks, [search, other]] if early else [[search, other], clicks]:
        ledger.apply(db, batch)
    with db.read() as c:
        ranks = {row.click_id: row.rank for row in c.execute(select(t.clicks))}
    hits_of_other = {"c2": 2}  # the rank is the one that was shown, not the place in the list
    assert ranks == {"c1": 2, "c3": None, "c4": None, "c5": 2} | hits_of_other


def test_a_rank_that_is_known_stays(db: Database) -> None:
    """The same search told again, with other hits, moves no click."""
    search = {**SEARCH, "search_id": "s" * 8, "hits": HITS, "shown": 2}
    record = click("c1")
    record.body["search_id"] = "s" * 8
    ledger.apply(db, [Record("search", dict(search)), record])
    again = [["p" + "a" * 16, ["a" * 16], 1, 0.9]]
    ledger.apply(db, [Record("search", {**search, "hits": again, "shown": 1})])
    with db.read() as c:
        assert list(c.scalars(select(t.clicks.c.rank))) == [2]


def test_a_late_click_takes_its_sales(db: Database) -> None:
    told(db, news("approved", 1000), news("approved", 500, external_id="s2", subid="c2"))
    told(db, news("approved", 70, external_id="s3", subid="c9"))
    late, later = click("c1"), click("c2")
    later.body["at"] = AT + 50
    ledger.apply(db, [later, late])
    found = {r["external_id"]: (r["click_id"], r["updated_at"]) for r in rows(db, t.conversions)}
    assert found == {"s1": ("c1", AT), "s2": ("c2", AT), "s3": (None, AT)}
    assert ledger.balances(db)["EUR"]["aside"] == -70


def test_the_latest_vote_of_each_thing(db: Database) -> None:
    def vote(product: str, value: int, at: int, search: str = "s1") -> Record:
        return Record("feedback", ledger.feedback_body(search, product, value, at))

    done = ledger.apply(db, [vote("p1", 1, 1), vote("p1", -1, 2), vote("p2", 1, 3)])
    assert done == {"feedback": 3}
    ledger.apply(db, [vote("p2", -1, 4), vote("p1", 1, 5, "s2")])
    f = t.feedback.c
    with db.read() as c:
        found = [tuple(row) for row in c.execute(select(f.search_id, f.product_id, f.vote, f.at))]
    assert sorted(found) == [("s1", "p1", -1, 2), ("s1", "p2", -1, 4), ("s2", "p1", 1, 5)]


def test_a_search_is_shown_again(db: Database) -> None:
    body = {**SEARCH, "search_id": "s" * 8, "hits": HITS, "shown": 2, "at": AT + 3}
    ledger.apply(db, [Record("search", body)])
    ledger.apply(db, [Record("search", {**body, "at": 1, "verdict": "none"})])  # kept as it was
    products = (ShownHit("p" + "b" * 16, 0.9), ShownHit("p" + "a" * 16, 0.5))
    assert shown(db, "s" * 8) == Shown(AT + 3, "exact", products)
    with pytest.raises(NotFound):
        shown(db, "t" * 8)


# ---- payouts


def test_a_payout_by_its_rows(one: Database) -> None:
    ledger.apply(one, [click("c2"), click("c3", user="somebody-else")])
    told(
        one,
        news("approved", 1000),
        news("approved", 500, external_id="s2", subid="c2", currency="RUB"),
        news("approved", 100, external_id="s3", subid="c3"),
        news("pending", 100, external_id="s4"),
        news("paid", 10, external_id="s5"),
    )
    assert due_to(one, USER) == {"EUR": 606, "RUB": 300}
    done = ledger.pay(one, USER, "t1", at=AT + 9)
    assert done == ledger.Payout((Money(606, "EUR"), Money(300, "RUB")), 3, AT + 9)
    assert due_to(one, USER) == {}
    assert due_to(one, "somebody-else") == {"EUR": 60}
    events = [row for row in rows(one, t.conversion_events) if row["kind"] == "payout"]
    assert [(e["commission_minor"], e["commission_currency"]) for e in events] == [
        (600, "EUR"),
        (300, "RUB"),
        (6, "EUR"),
    ]
    name = Conversion("payout", str(events[0]["conversion_id"]), "paid", order_id="t1")
    assert events[0]["digest"] == digest(name, "payout"), "kept for ever: it must not change"
    first = {k: v for k, v in events[0].items() if k not in {"id", "digest", "conversion_id"}}
    assert first == {
        "kind": "payout",
        "part": "",
        "status": "paid",
        "subid": "",
        "commission_minor": 600,
        "commission_currency": "EUR",
        "order_value_minor": None,
        "order_currency": "",
        "order_id": "t1",
        "reason": "",
        "ordered_at": None,
        "changed_at": AT + 9,
        "source": "pay",
        "received_at": AT + 9,
    }
    sales = {row["external_id"]: row for row in rows(one, t.conversions)}
    assert {k: v["paid_out_minor"] for k, v in sales.items()} == {
        "s1": 600,
        "s2": 300,
        "s3": 0,
        "s4": 0,
        "s5": 6,
    }
    assert sales["s1"]["updated_at"] == AT + 9
    assert ledger.audit(one).proven


def test_a_payout_of_more_sales_than_one_statement_takes(one: Database) -> None:
    told(one, *(news("approved", 100, external_id=f"s{n}") for n in range(600)))
    assert ledger.pay(one, USER, "t1", at=AT).sales == 600
    assert ledger.balances(one)["EUR"]["cashback_paid"] == -36_000
    again = ledger.pay(one, USER, "t1", at=AT + 5)
    assert (again.sales, again.repeated, again.at) == (600, True, AT)
    assert ledger.balances(one)["EUR"]["cashback_paid"] == -36_000
    assert ledger.audit(one).proven


@pytest.mark.parametrize("reference", ["", "  ", "x" * 101])
def test_a_payout_needs_a_reference(one: Database, reference: str) -> None:
    with pytest.raises(BadQuery, match="reference"):
        ledger.pay(one, USER, reference, at=AT)
    told(one, news("approved", 1000))
    assert ledger.pay(one, USER, "x" * 100, at=AT).sales == 1


def test_a_reference_is_of_one_payout(one: Database) -> None:
    ledger.apply(one, [click("c3", user="somebody-else")])
    told(one, news("approved", 1000), news("approved", 100, external_id="s3", subid="c3"))
    assert ledger.pay(one, USER, "t1", at=AT).sales == 1
    with pytest.raises(AlreadyDone, match=r"'t1' was used for another payout: 6\.00 EUR on 2025"):
        ledger.pay(one, "somebody-else", "t1", at=AT)
    told(one, news("approved", 10, external_id="s2"))
    assert ledger.pay(one, USER, "t1", at=AT + 9).amounts == (Money(600, "EUR"),)
    assert due_to(one, USER) == {"EUR": 6}
    # A sale's order number is no payout's reference.
    told(one, news("approved", 10, external_id="s6", order_id="t2"))
    assert ledger.pay(one, USER, "t2", at=AT).sales == 2


def test_what_is_owed_is_set_off_within_its_currency(one: Database) -> None:
    told(one, news("approved", 1000, changed_at=1))
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news("declined", None, changed_at=2))
    told(one, news("approved", 500, external_id="s2"))
    told(one, news("approved", 100, external_id="s3", currency="RUB"))
    assert due_to(one, USER) == {"EUR": -300, "RUB": 60}
    assert ledger.pay(one, USER, "t2", at=AT) == ledger.Payout((Money(60, "RUB"),), 1, AT)
    told(one, news("approved", 500, external_id="s4"))
    assert due_to(one, USER) == {"EUR": 0}
    assert ledger.pay(one, USER, "t3", at=AT) == ledger.Payout((), 0, AT)
    told(one, news("approved", 2, external_id="s5"))
    assert ledger.pay(one, USER, "t4", at=AT) == ledger.Payout((Money(1, "EUR"),), 4, AT)
    assert due_to(one, USER) == {}
    assert ledger.audit(one).proven


@pytest.mark.parametrize("clock", [5, AT + DAY], ids=["our past", "our future"])
@pytest.mark.parametrize("told_at", ["the same", "none"])
def test_a_report_tells_how_things_are_now(one: Database, clock: int, told_at: str) -> None:
    """Whatever the network's clock says: a row that differs stands behind everything known."""
    when = clock if told_at == "the same" else None
    ledger.observe(one, [news("approved", 1000, changed_at=clock)], at=AT)
    for turn, (status, minor, left) in enumerate(
        [("approved", 700, 420), ("declined", None, 0), ("approved", 900, 540)]
    ):
        seen = ledger.observe(one, [news(status, minor, changed_at=when)], at=AT + turn)
        assert seen.new == 1
        assert due_to(one, USER).get("EUR", 0) == left


def test_what_is_due_of_one_sale_in_two_currencies(one: Database) -> None:
    """Paid out in one, then amended to another: what was paid is owed back in the first."""
    told(one, news("approved", 1000, changed_at=1))
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news("approved", 90_000, changed_at=2, currency="RUB"))
    assert due_to(one, USER) == {"EUR": -600, "RUB": 54_000}


def test_nobody_has_nothing(one: Database) -> None:
    ledger.apply(one, [click("c0", user="")])
    told(one, news("approved", 1000, subid="c0"))
    assert due_to(one, "") == {}
    with pytest.raises(NotFound, match="unknown user"):
        ledger.pay(one, "", "t1", at=AT)


# ---- the audit


def test_an_audit_counts(one: Database) -> None:
    told(one, news("pending", 1000), news("approved", 1000))
    told(one, news("approved", 50, external_id="s2", subid="nobody"))
    found = ledger.audit(one)
    assert found.as_json() == {
        "proven": True,
        "conversions": 2,
        "events": 3,
        "entries": 5,
        "transactions": 2,
        "aside": 1,
        "review": 0,
        "wrong": 0,
        "rebookable": 0,
        "differences": [],
        "balances": {
            "EUR": {"aside": -50, "cashback_due": -600, "commission_due": 1050, "our_share": -400}
        },
    }


def entry(**changes: Any) -> dict[str, Any]:
    given = {
        "transaction_id": "x",
        "conversion_id": 1,
        "account": "our_share",
        "currency": "EUR",
        "minor": 1,
        "at": AT,
    }
    return {**given, **changes}


def test_an_audit_names_what_is_wrong(one: Database) -> None:
    told(one, news("approved", 1000), news("approved", 10, external_id="s2", item="i"))
    with one.write() as c:
        c.execute(insert(t.entries), [entry(), entry(account="cash", currency="RUB", minor=-1)])
        v = t.conversions.c
        c.execute(update(t.conversions).where(v.external_id == "s2").values(status="paid"))
    found = ledger.audit(one)
    assert not found.proven
    assert found.wrong == 6
    assert found.differences == [
        "demo s1: cash RUB is -1, its events say 0",
        "demo s1: our_share EUR is -399, its events say -400",
        "demo s2 i: status is 'paid', its events say 'approved'",
        "transaction x: EUR does not sum to zero",
        "transaction x: RUB does not sum to zero",
        "2 rows of entries added past the seals",
    ]


def test_an_audit_sees_what_is_missing(one: Database) -> None:
    with one.write() as c:
        postgresql = c.dialect.name == "postgresql"
        name = "entries_append_only ON entries" if postgresql else "entries_no_DELETE"
        c.execute(text(f"DROP TRIGGER {name}"))
    told(one, news("approved", 1000))
    with one.write() as c:
        c.execute(text("DELETE FROM entries"))
    assert ledger.audit(one).differences == [
        "demo s1: cashback_due EUR is 0, its events say -600",
        "demo s1: commission_due EUR is 0, its events say 1000",
        "demo s1: our_share EUR is 0, its events say -400",
        "seal 2 of 2025-10-09: added: 5 rows, there: 2",
    ]


def test_an_audit_goes_through_all_parts_and_shows_a_hundred(one: Database) -> None:
    told(one, *(news("pending", 10, external_id=f"s{n:04d}") for n in range(1001)))
    with one.write() as c:
        c.execute(update(t.conversions).values(order_id="tampered"))
    found = ledger.audit(one)
    assert (found.conversions, found.wrong, len(found.differences)) == (1001, 1001, 100)
    assert found.differences[0] == "demo s0000: order_id is 'tampered', its events say ''"
    assert (MOST_SHOWN, PART) == (100, 500)


def test_balances_leave_out_what_is_even(one: Database) -> None:
    told(one, news("pending", 1000), news("approved", 1000))
    told(one, news("approved", 500, external_id="s2", currency="RUB"))
    assert ledger.balances(one) == {
        "EUR": {"cashback_due": -600, "commission_due": 1000, "our_share": -400},
        "RUB": {"cashback_due": -300, "commission_due": 500, "our_share": -200},
    }
    told(one, news("approved", 7, external_id="s3", currency="RUB", subid="nobody"))
    assert list(ledger.balances(one)) == ["EUR", "RUB"]


def test_the_export_line_by_line(one: Database, tmp_path: Path) -> None:
    told(one, news("approved", 1000, item="+1", order_id="o"))
    told(one, news("approved", 5, external_id="@s2", subid="-gone", currency="JPY"))
    path = tmp_path / "entries.csv"
    assert ledger.export_csv(one, path) == 5
    assert path.stat().st_mode & 0o077 == 0, "what was bought is for the owner alone"
    lines = list(csv.reader(path.read_text("utf-8").splitlines()))
    assert tuple(lines[0]) == HEADER
    assert [",".join(line) for line in lines[0:1]] == [
        "entry,at,transaction,account,amount,currency,minor,network,external_id,item,status,click_id,store"
    ]
    by_account = {(line[5], line[3]): line for line in lines[1:]}
    due = by_account["EUR", "commission_due"]
    assert [due[1], *due[4:]] == [
        "2025-10-09T08:53:20Z",
        "10.00",
        "EUR",
        "1000",
        "demo",
        "s1",
        "'+1",
        "approved",
        "c1",
        "hats",
    ]
    aside = by_account["JPY", "aside"]
    assert aside[4:] == ["-5", "JPY", "-5", "demo", "'@s2", "", "approved", "", ""]
    ids = [int(line[0]) for line in lines[1:]]
    assert ids == sorted(ids)
    assert {line[2] for line in lines[1:4]} == {due[2]}
    assert sorted(p.name for p in tmp_path.iterdir() if "csv" in p.name) == ["entries.csv"]


def test_an_export_that_cannot_be_written(one: Database, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot write"):
        ledger.export_csv(one, tmp_path / "no folder" / "x.csv")
    path = tmp_path / "x.csv"
    path.mkdir()
    with pytest.raises(StateError, match="cannot write"):
        ledger.export_csv(one, path)


def test_an_export_of_many_pages(one: Database, tmp_path: Path) -> None:
    told(one, news("pending", 100))
    with one.write() as c:
        pairs = [entry(transaction_id=f"x{n // 2}", minor=1 - 2 * (n % 2)) for n in range(10_000)]
        c.execute(insert(t.entries), pairs)
    assert ledger.export_csv(one, tmp_path / "x.csv") == 10_003
    ids = [int(line.split(",")[0]) for line in (tmp_path / "x.csv").read_text().splitlines()[1:]]
    assert ids == sorted(set(ids))


# ---- what the shopper sees


def seen(db: Database, now: int = AT, **more: Any) -> dict[str, Any]:
    return ledger.sales_of(db, USER, now=now, **more)


def test_a_sale_as_its_shopper_sees_it(one: Database) -> None:
    told(one, news("pending", 1000, ordered_at=AT + DAY))
    found = seen(one)
    (row,) = rows(one, t.conversions)
    assert found == {
        "sales": [
            {
                "sale_id": str(row["id"]),
                "store": "hats",
                "store_title": "hats",
                "title": "",
                "state": "pending",
                "cashback": {"amount": "6.00", "currency": "EUR"},
                "owed": None,
                "ordered_at": "2025-10-10",
                "expected": "2025-11-09",
                "click": {"id": "c1", "at": "2025-10-09T08:53:20Z", "offer_id": "a" * 16},
            }
        ],
        "more": False,
        "visits": [],
        "totals": {
            "pending": [{"amount": "6.00", "currency": "EUR"}],
            "approved": [],
            "payable": [],
            "paid": [],
            "review": [],
            "owed": [],
        },
    }
    told(one, news("approved", 1000))
    (sale,) = seen(one)["sales"]
    assert (sale["state"], sale["expected"]) == ("approved", None)


def test_a_sale_without_a_day_is_of_the_day_it_was_told(one: Database) -> None:
    ledger.record(one, [news("pending", 1000)], at=AT + 3 * DAY, source="x")
    assert seen(one)["sales"][0]["ordered_at"] == "2025-10-12"
    ledger.record(one, [news("pending", 1000, ordered_at=0)], at=AT + 4 * DAY, source="x")
    assert seen(one)["sales"][0]["ordered_at"] == "1970-01-01"


@pytest.mark.parametrize(
    ("claim_days", "later", "until"),
    [
        (60, 0, "2025-12-08"),
        (60, 60 * DAY, "2025-12-08"),
        (60, 60 * DAY + 1, None),
        ("2", 0, "2025-10-11"),
        (0, 0, None),
        (-1, 0, None),
        (None, 0, None),
        ("soon", 0, None),
        ([], 0, None),
    ],
)
def test_how_long_a_claim_is_open(
    db: Database, claim_days: Any, later: int, until: str | None
) -> None:
    ledger.apply(db, [click("c1", claim_days=claim_days), click("c2", claim_days=claim_days)])
    told(db, news("declined", 100, reason="cookies off"))
    found = seen(db, AT + later)
    declined = found["sales"][0]["declined"]
    assert (declined["claim"], declined["claim_until"]) == (until is not None, until)
    assert (until or "There is nothing to do.") in declined["advice"]
    (visit,) = found["visits"]
    first = min(until, "2025-10-12") if until else None
    assert visit == {
        "store": "hats",
        "store_title": "hats",
        "title": "",
        "click": {"id": "c2", "at": "2025-10-09T08:53:20Z", "offer_id": "a" * 16},
        "claim": until is not None and later > 3 * DAY,
        "claim_from": first,
        "claim_until": until,
        "claimed": None,
    }


def test_a_declined_sale_in_the_shoppers_words(one: Database) -> None:
    told(one, news("declined", 100, reason="returned"))
    (sale,) = seen(one, say=lambda text, **values: f"<{text.format(**values)}>")["sales"]
    assert sale["declined"] == {
        "code": "returned",
        "text": "<The purchase was returned.>",
        "advice": "<There is nothing to do.>",
        "claim": False,
        "claim_from": "2025-10-09",
        "claim_until": "2025-12-08",
        "claimed": None,
    }
    told(one, news("declined", 100, external_id="s2"))
    other = next(s for s in seen(one)["sales"] if s["sale_id"] != sale["sale_id"])
    assert (other["declined"]["code"], other["declined"]["claim"]) == ("other", True)


@pytest.mark.parametrize(
    ("status", "amended", "state", "owed"),
    [
        ("approved", 1000, "paid", None),
        ("paid", 1000, "paid", None),
        ("paid", 1002, "payable", None),
        ("approved", 1001, "paid", None),
        ("approved", 1002, "approved", None),
        ("approved", 998, "paid", "0.02"),
        ("approved", 0, "paid", "6.00"),
        ("pending", 1000, "paid", None),
        ("declined", 1000, "declined", "6.00"),
    ],
)
def test_after_a_payout(
    one: Database, status: str, amended: int, state: str, owed: str | None
) -> None:
    told(one, news("approved", 1000, changed_at=1))
    assert seen(one)["sales"][0]["state"] == "approved"
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news(status, amended, changed_at=2))
    (sale,) = seen(one)["sales"]
    assert sale["state"] == state
    assert sale["owed"] == (owed and {"amount": owed, "currency": "EUR"})


def test_a_sale_of_no_money(one: Database) -> None:
    told(one, news("approved", None))
    (sale,) = seen(one)["sales"]
    assert (sale["state"], sale["cashback"], sale["owed"]) == ("approved", None, None)
    assert set(map(str, seen(one)["totals"].values())) == {"[]"}


def test_totals_are_of_one_user_by_state_and_currency(one: Database) -> None:
    ledger.apply(one, [click("c3", user="somebody-else")])
    told(
        one,
        news("pending", 100),
        news("approved", 200, external_id="s2", currency="RUB"),
        news("approved", 300, external_id="s3", subid="c3"),
        news("approved", 400, external_id="s4", subid="nobody"),
        news("approved", 500, external_id="s5", changed_at=1),
    )
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news("declined", None, external_id="s5", changed_at=2))
    told(one, news("pending", 50, external_id="s6"))
    assert seen(one)["totals"] == {
        "pending": [{"amount": "0.90", "currency": "EUR"}],
        "approved": [],
        "payable": [],
        "review": [],
        "paid": [{"amount": "3.00", "currency": "EUR"}, {"amount": "1.20", "currency": "RUB"}],
        "owed": [{"amount": "3.00", "currency": "EUR"}],
    }
    assert ledger.sales_of(one, "", now=AT)["totals"]["approved"] == []


def test_sales_and_visits_are_the_newest_of_the_user(one: Database) -> None:
    visits = []
    for n in range(25):
        record = click(f"v{n:02d}")
        record.body["at"] = AT + n
        visits.append(record)
    past = click("past the network")
    past.body["network"] = ""
    ledger.apply(one, [*visits, past, click("other", user="somebody-else")])
    told(one, news("pending", 1, subid="v03"), news("pending", 2, external_id="s2", subid="v07"))
    found = seen(one)
    assert [sale["click"]["id"] for sale in found["sales"]] == ["v07", "v03"]
    names = [f"v{n:02d}" for n in range(24, -1, -1) if n not in {3, 7}]
    assert [visit["click"]["id"] for visit in found["visits"]] == names[:20]
    assert not found["more"]


@pytest.mark.parametrize(
    ("n", "listed", "more"), [(199, 199, False), (200, 200, False), (201, 200, True)]
)
def test_the_longest_list(one: Database, n: int, listed: int, more: bool) -> None:
    told(one, *(news("pending", 1, external_id=f"s{at}") for at in range(n)))
    found = seen(one)
    assert (len(found["sales"]), found["more"]) == (listed, more)


# ---- stretches that were read


def test_a_stretch_is_remembered_by_network_and_time(db: Database) -> None:
    pulls.mark_read(db, "awin", (1, 5), 3, AT)
    pulls.mark_read(db, "awin", (5, 9), 0, AT + 10)
    pulls.mark_read(db, "cj", (1, 5), 1, AT)
    assert pulls.read_since(db, "awin", AT) == {(1, 5), (5, 9)}
    assert pulls.read_since(db, "awin", AT + 1) == {(5, 9)}
    assert pulls.read_since(db, "awin", AT + 11) == set()
    assert pulls.read_since(db, "cj", AT) == {(1, 5)}
    pulls.mark_read(db, "awin", (1, 5), 7, AT + 20)
    assert pulls.read_since(db, "awin", AT + 20) == {(1, 5)}
    p = t.pulls.c
    with db.read() as c:
        found = [tuple(row) for row in c.execute(select(p.network, p.since, p.until, p.news, p.at))]
    assert sorted(found) == [
        ("awin", 1, 5, 7, AT + 20),
        ("awin", 5, 9, 0, AT + 10),
        ("cj", 1, 5, 1, AT),
    ]


# ---- the last days


def test_percentiles() -> None:
    values = [40.0, 10.0, 30.0, 20.0]
    found = [activity.percentile(values, share) for share in (0, 0.25, 0.26, 0.5, 0.75, 0.76, 1)]
    assert found == [10, 10, 20, 20, 30, 40, 40]
    assert activity.percentile([], 0.5) is None
    assert activity.Day("2025-10-09").latency_ms(0.5) is None
    assert activity.Day("2025-10-09", latencies_ms=[3.0, 1.0]).latency_ms(0.9) == 3.0


@pytest.fixture
def busy(db: Database) -> Iterator[Database]:
    midnight = AT - AT % DAY
    moments = {
        "today": midnight,
        "now": AT,
        "eve": midnight - 1,
        "first": midnight - 2 * DAY,
        "too old": midnight - 2 * DAY - 1,
    }
    for n, (name, at) in enumerate(moments.items()):
        body = {**SEARCH, "search_id": f"search {name}", "hits": [], "shown": 0, "at": at}
        body |= {"verdict": "none" if name == "eve" else "exact", "latency_ms": float(n + 1)}
        record = click(f"click {name}")
        record.body["at"] = at
        ledger.apply(db, [Record("search", body), record])
    return db


def test_the_last_days(busy: Database) -> None:
    found = activity.days(busy, AT, 3)
    assert [(d.day, d.searches, dict(d.verdicts), d.clicks) for d in found] == [
        ("2025-10-09", 2, {"exact": 2}, 2),
        ("2025-10-08", 1, {"none": 1}, 1),
        ("2025-10-07", 1, {"exact": 1}, 1),
    ]
    assert sorted(found[0].latencies_ms) == [1.0, 2.0]
    assert found[0].latency_ms(0.5) == 1.0
    assert len(activity.days(busy, AT)) == 14
    assert [d.searches for d in activity.days(busy, AT - AT % DAY - 1, 1)] == [1]


def test_the_newest_searches_count(busy: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "MOST_SEARCHES", 2)
    found = activity.days(busy, AT, 3)
    assert [d.searches for d in found] == [2, 0, 0]
    assert sum(d.clicks for d in found) == 2


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_sales_of_before_have_one_part(kind: str, tmp_path: Path, postgres: Postgres) -> None:
    """A ledger of the version before 0006 keeps its events, its triggers and its balances."""

    url = f"sqlite:///{tmp_path}/old.db" if kind == "sqlite" else postgres.url(postgres.database())
    database = database_at("0005", url)
    try:
        with database.write() as c:
            c.execute(
                text(
                    "INSERT INTO conversions (id, network, external_id, item, subid, status, currency,"
                    " commission_minor, cashback_minor, paid_out_minor, order_id, order_currency, reason,"
                    " reason_text, first_at, updated_at)"
                    " VALUES (1,'n','s1','','','approved','EUR',100,0,0,'','','','',5,5)"
                )
            )
            c.execute(
                text(
                    "INSERT INTO conversion_events (digest, conversion_id, kind, status, subid,"
                    " commission_minor, commission_currency, order_currency, order_id, reason, source,"
                    " received_at) VALUES ('d',1,'news','approved','',100,'EUR','','','','poll',5)"
                )
            )
        database.migrate()
        with database.read() as c:
            assert list(c.scalars(select(t.conversion_events.c.part))) == [""]
        with pytest.raises(Exception, match="append-only"), database.write() as c:
            c.execute(text("UPDATE conversion_events SET status = 'paid'"))
        news = Conversion("n", "s1", "approved", commission=Money(100, "EUR"))
        assert ledger.observe(database, [news], at=9).new == 0
        raised = Conversion("n", "s1", "approved", commission=Money(150, "EUR"))
        assert ledger.observe(database, [raised], at=9).new == 1
        assert ledger.balances(database) == {"EUR": {"commission_due": 150, "aside": -150}}
    finally:
        database.close()
