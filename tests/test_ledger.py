"""The ledger on a real database: any order, any repetition, the same balances, to the last unit."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event, insert, select, text, update
from sqlalchemy.exc import DatabaseError

from lensback import ledger
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.errors import BadQuery, PostbackError
from lensback.journal import Record
from lensback.ledger import reasons
from lensback.ledger.sale import accounts_of, cashback_of, checked, share_of, state_of
from lensback.types import Conversion, Money, Offer, StoredOffer

AT = 1_760_000_000
USER = "user-token-1"
TERMS = {"share": "0.6", "hold_days": 30, "claim_days": 60}


def click(click_id: str, user: str = USER, **terms: Any) -> Record:
    stored = StoredOffer(
        "a" * 16, "hats", "p" + "a" * 16, Offer("1", "Hat", "https://h.example", Money(1000, "EUR"))
    )
    body = ledger.click_body(
        click_id,
        stored,
        at=AT,
        source="go",
        user_token=user,
        network="demo",
        program_id="7",
        terms={**TERMS, **terms},
    )
    return Record("click", body)


def news(status: str, cents: int | None = 1000, **fields: Any) -> Conversion:
    currency = fields.pop("currency", "EUR")
    money = None if cents is None else Money(cents, currency)
    told = {"network": "demo", "external_id": "s1", "subid": "c1", **fields}
    return Conversion(status=status, commission=money, **told)


def told(db: Database, *events: Conversion) -> Any:
    return ledger.record(db, events, at=AT, source="test")


def eur(db: Database) -> dict[str, int]:
    return ledger.balances(db).get("EUR", {})


@pytest.fixture
def one(db: Database) -> Database:
    ledger.apply(db, [click("c1")])
    return db


# ---- states and balances


def test_pending_approved_paid(one: Database) -> None:
    told(one, news("pending", 1001))
    pending = {"commission_pending": 1001, "cashback_pending": -600, "share_pending": -401}
    assert eur(one) == pending
    told(one, news("approved", 1001))
    approved = {"commission_due": 1001, "cashback_due": -600, "our_share": -401}
    assert eur(one) == approved
    told(one, news("paid", 1001))
    received = {"commission_received": 1001, "cashback_due": -600, "our_share": -401}
    assert eur(one) == received
    done = ledger.pay(one, USER, "transfer 1", at=AT)
    assert done.amounts == (Money(600, "EUR"),)
    assert eur(one) == {"commission_received": 1001, "cashback_paid": -600, "our_share": -401}
    assert ledger.audit(one).proven


def test_declined_takes_everything_back(one: Database) -> None:
    told(one, news("pending"), news("declined", None, reason="RETURNED_MERCHANDISE"))
    assert eur(one) == {}
    with one.read() as c:
        row = c.execute(select(t.conversions)).mappings().one()
    assert (row["status"], row["reason"], row["commission_minor"]) == ("declined", "returned", 1000)


def test_an_amount_that_is_not_told_is_not_zero(one: Database) -> None:
    told(one, news("pending", 500), news("approved", None))
    assert eur(one)["commission_due"] == 500


def test_late_news_do_not_undo_later_ones(one: Database) -> None:
    told(one, news("approved", 900, changed_at=200))
    told(one, news("approved", 700, changed_at=100))
    told(one, news("pending", 300, changed_at=200), news("pending", 300))
    assert eur(one)["commission_due"] == 900


def test_a_declined_sale_that_was_opened_again_waits_again(one: Database) -> None:
    told(one, news("declined", 900, changed_at=200))
    told(one, news("pending", 900, changed_at=300))
    assert eur(one) == {"commission_pending": 900, "cashback_pending": -540, "share_pending": -360}
    told(one, news("approved", 900, changed_at=400))
    assert eur(one)["commission_due"] == 900
    assert ledger.audit(one).proven


REPORTS = {
    # what was known -> what the report shows -> the state, and how many news the report makes
    "dated later": ([("declined", 5)], ("pending", 9), "pending", 1),
    "dated as the decision": ([("declined", 5)], ("pending", 5), "declined", 0),
    "dated before it": ([("declined", 5)], ("pending", 3), "declined", 0),
    "of a report without dates": ([("declined", AT - 9)], ("pending", None), "pending", 1),
    "behind a call without a date": ([("approved", None)], ("pending", None), "approved", 0),
    "behind a call without a date, dated": ([("declined", None)], ("pending", 9), "declined", 0),
    "after the money": ([("paid", 5)], ("pending", 9), "paid", 0),
}


@pytest.mark.parametrize("what", REPORTS)
def test_a_report_that_shows_pending_again(one: Database, what: str) -> None:
    known, (status, at), ends, new = REPORTS[what]
    told(one, *(news(state, changed_at=when) for state, when in known))
    done = ledger.observe(one, [news(status, changed_at=at)], at=AT)
    assert done.new == new
    with one.read() as c:
        assert c.execute(select(t.conversions.c.status)).scalar_one() == ends
    assert ledger.observe(one, [news(status, changed_at=at)], at=AT + 60).new == 0, "once is enough"
    assert ledger.audit(one).proven


def test_what_was_paid_out_stays_so_while_a_sale_is_looked_at_again(one: Database) -> None:
    told(one, news("approved", 1000, changed_at=1))
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news("pending", 1200, changed_at=2))
    assert eur(one) == {
        "commission_pending": 1200,
        "cashback_pending": -120,
        "cashback_paid": -600,
        "share_pending": -480,
    }
    told(one, news("approved", 1200, changed_at=3))
    assert ledger.pay(one, USER, "t2", at=AT).amounts == (Money(120, "EUR"),)
    assert ledger.audit(one).proven


def test_an_approved_amendment_leaves_a_paid_sale_paid(one: Database) -> None:
    told(one, news("paid", 900, changed_at=100), news("approved", 800, changed_at=200))
    assert eur(one)["commission_received"] == 800


def test_a_declined_sale_that_was_paid_out_is_owed_and_set_off(one: Database) -> None:
    told(one, news("approved", 1000, changed_at=1))
    ledger.pay(one, USER, "t1", at=AT)
    told(one, news("declined", None, changed_at=2))
    assert eur(one) == {"cashback_due": 600, "cashback_paid": -600}
    assert ledger.pay(one, USER, "t2", at=AT).amounts == ()
    told(one, news("approved", 3000, external_id="s2"))
    assert ledger.pay(one, USER, "t3", at=AT).amounts == (Money(1200, "EUR"),)
    assert eur(one) == {"commission_due": 3000, "cashback_paid": -1800, "our_share": -1200}
    assert ledger.audit(one).proven


def test_a_payout_reference_pays_once(one: Database) -> None:
    told(one, news("approved", 1000))
    assert ledger.pay(one, USER, "t1", at=AT).sales == 1
    told(one, news("approved", 1000, external_id="s2"))
    again = ledger.pay(one, USER, "t1", at=AT)
    assert (again.repeated, again.sales) == (True, 1)
    assert eur(one)["cashback_paid"] == -600
    with pytest.raises(BadQuery):
        ledger.pay(one, USER, " ", at=AT)


def test_a_negative_correction_takes_back_what_was_given(one: Database) -> None:
    told(one, news("approved", 101), news("approved", -101, external_id="s1", item="correction"))
    assert eur(one) == {}


def test_an_amended_currency_moves_the_money(one: Database) -> None:
    told(one, news("approved", 1000, changed_at=1))
    told(one, news("approved", 90_000, changed_at=2, currency="RUB"))
    assert ledger.balances(one) == {
        "RUB": {"commission_due": 90_000, "cashback_due": -54_000, "our_share": -36_000}
    }


def test_an_unknown_click_is_kept_aside_and_attached_later(db: Database) -> None:
    told(db, news("approved", 1000))
    assert eur(db) == {"commission_due": 1000, "aside": -1000}
    assert ledger.audit(db).aside == 1
    ledger.apply(db, [click("c1")])
    assert eur(db) == {"commission_due": 1000, "cashback_due": -600, "our_share": -400}
    assert ledger.audit(db).proven


def test_items_of_one_sale_are_sales(one: Database) -> None:
    told(one, news("approved", 100, item="a"), news("declined", 100, item="b"))
    assert eur(one)["commission_due"] == 100


# ---- any order, any repetition

STATUS = st.sampled_from(["pending", "approved", "declined", "paid"])
CENTS = st.one_of(st.none(), st.integers(-5000, 5000))
NEWS = st.builds(
    news,
    STATUS,
    CENTS,
    external_id=st.sampled_from(["s1", "s2"]),
    subid=st.sampled_from(["c1", "c2", "lost", ""]),
    changed_at=st.one_of(st.none(), st.integers(1, 4)),
    currency=st.sampled_from(["EUR", "RUB"]),
)
PLAN = st.lists(NEWS, min_size=1, max_size=6)


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One file for all examples: migrating takes longer than the rest. Nothing of it is flushed, for
    no example is about a power cut."""
    db = Database(sqlite_url(tmp_path_factory.mktemp("ledger") / "x.db"))
    event.listen(db.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF").close())
    db.migrate()
    with db.write() as c:
        for table, verb in itertools.product(
            ("entries", "conversion_events", "payouts", "sold_clicks", "seals"),
            ("UPDATE", "DELETE"),
        ):
            c.execute(text(f"DROP TRIGGER {table}_no_{verb}"))
    yield db
    db.close()


def ended(db: Database, steps: list[Conversion | Record]) -> tuple[Any, Any]:
    """Balances and states after these steps; everything proven on the way."""
    with db.write() as c:
        for table in (
            t.entries,
            t.conversion_events,
            t.payouts,
            t.sold_clicks,
            t.conversions,
            t.clicks,
        ):
            c.execute(delete(table))
        c.execute(delete(t.seals).where(t.seals.c.number > 1))
    for step in steps:
        if isinstance(step, Record):
            ledger.apply(db, [Record(step.kind, dict(step.body))])
        else:
            told(db, step)
    found = ledger.audit(db)
    assert found.proven, found.differences
    for currency in found.balances.values():
        assert sum(currency.values()) == 0
    v = t.conversions.c
    columns = (v.external_id, v.status, v.commission_minor, v.cashback_minor, v.click_id)
    with db.read() as c:
        rows = sorted(map(tuple, c.execute(select(*columns))), key=repr)
    assert not [row for row in rows if row[2] < 0 or row[3] < 0], "nothing is told with a minus"
    return found.balances, rows


@settings(max_examples=80, deadline=None)
@given(plan=PLAN, data=st.data())
def test_any_order_and_any_repetition_end_the_same(
    fast: Database, plan: list[Conversion], data: st.DataObject
) -> None:
    clicks = [click("c1"), click("c2", share="0.333")]
    steps: list[Conversion | Record] = [*clicks, *plan]
    first = ended(fast, steps)
    mixed = data.draw(st.permutations(steps + data.draw(st.lists(st.sampled_from(steps)))))
    assert ended(fast, mixed) == first


def test_every_order_of_one_story(fast: Database) -> None:
    """All 120 orders of a story with a payment, a return and an unknown click."""
    steps = [
        click("c1"),
        news("pending", 1000, changed_at=1),
        news("approved", 900, changed_at=2),
        news("paid", None, changed_at=3),
        news("declined", None, changed_at=4, reason="cancelled"),
    ]
    ends = [ended(fast, list(order)) for order in itertools.permutations(steps)]
    assert all(end == ends[0] for end in ends)
    assert ends[0][0] == {}


@given(st.integers(-(10**12), 10**12), st.fractions(0, 1))
def test_cashback_never_promises_more(minor: int, share: Fraction) -> None:
    got = cashback_of(Money(minor, "EUR"), share).minor
    assert abs(got) <= abs(minor * share) < abs(got) + 1
    assert got == -cashback_of(Money(-minor, "EUR"), share).minor


@given(PLAN)
def test_accounts_sum_to_zero(plan: list[Conversion]) -> None:
    sale = state_of(plan)
    cashback = cashback_of(sale.commission, Fraction(1, 3))
    for given_back in (None, cashback):
        sums: Counter[str] = Counter()
        for (_, currency), minor in accounts_of(sale, given_back, {"EUR": 5}).items():
            sums[currency] += minor
        assert not any(sums.values())


@pytest.mark.parametrize(
    ("share", "is_"),
    [("0.5", Fraction(1, 2)), (1, 1), ("2", 1), (-1, 0), ("x", 0), (None, 0), ("1/0", 0)],
)
def test_share(share: Any, is_: Any) -> None:
    assert share_of({"share": share}) == is_


# ---- what must not get in, what must not be changed


@pytest.mark.parametrize(
    "bad",
    [
        {"external_id": ""},
        {"network": ""},
        {"external_id": "x" * 201},
        {"currency": "eur"},
        {"currency": "'; DROP TABLE entries; --"},
        {"cents": 10**15},
        {"status": "stolen"},
    ],
)
def test_nonsense_is_counted_and_changes_nothing(one: Database, bad: dict[str, Any]) -> None:
    values = {"status": "approved", "cents": 100, **bad}
    wrong = news(**values)
    with pytest.raises(PostbackError):
        checked(wrong)
    done = told(one, wrong, news("approved", 100, external_id="good"))
    assert (done.new, sum(done.rejected.values())) == (1, 1)


def test_text_of_others_is_only_text(one: Database) -> None:
    evil = "'); DELETE FROM entries; --\0"
    told(one, news("declined", 100, external_id=evil, reason=evil, order_id=evil))
    with one.read() as c:
        row = c.execute(select(t.conversions)).mappings().one()
    assert row["external_id"] == evil[:-1]


@pytest.mark.parametrize("table", [t.entries, t.conversion_events])
def test_the_database_refuses_to_change_the_ledger(one: Database, table: Any) -> None:
    told(one, news("approved", 100))
    with pytest.raises(DatabaseError), one.write() as c:
        c.execute(update(table).values(id=99))
    with pytest.raises(DatabaseError), one.write() as c:
        c.execute(delete(table))


def test_audit_finds_what_was_tampered_with(one: Database) -> None:
    told(one, news("approved", 1000))
    assert ledger.audit(one).proven
    values = {"account": "cashback_due", "currency": "EUR", "conversion_id": 1, "at": AT}
    with one.write() as c:
        c.execute(insert(t.entries).values(transaction_id="x", minor=-5, **values))
        c.execute(update(t.conversions).values(commission_minor=7))
    found = ledger.audit(one)
    assert not found.proven
    assert found.wrong == 4
    assert "cashback_due EUR is -605, its events say -600" in "\n".join(found.differences)


# ---- the journal's records


def test_records_are_idempotent_and_ranked(db: Database) -> None:
    hits = [["p" + "b" * 16, ["z" * 16], 1, 0.9], ["p" + "a" * 16, ["a" * 16], 2, 0.5]]
    search = Record("search", {**SEARCH, "search_id": "s" * 16, "hits": hits, "shown": 2})
    first = click("c1")
    first.body["search_id"] = "s" * 16
    early = click("c0")
    early.body["search_id"] = "s" * 16
    for records in ([early], [search, first], [first, search, early]):
        ledger.apply(db, [Record(r.kind, dict(r.body)) for r in records])
    with db.read() as c:
        assert sorted(c.execute(select(t.clicks.c.click_id, t.clicks.c.rank)).all()) == [
            ("c0", 2),
            ("c1", 2),
        ]


SEARCH: dict[str, Any] = {
    "at": AT,
    "source": "api",
    "encoder": "eye",
    "snapshot": "1",
    "verdict": "exact",
    "probability": 0.9,
    "similarity": 0.8,
    "latency_ms": 12.0,
    "filters": {},
    "photo": {},
    "variant": "",
}


def test_a_bad_record_does_not_hold_up_the_others(db: Database) -> None:
    bad = Record("click", {"click_id": "x"})
    done = ledger.apply(db, [bad, click("c1"), Record("strange", {})])
    assert done == {"click": 1, "rejected": 2}


def test_the_latest_vote_counts(db: Database) -> None:
    for vote in (1, -1):
        ledger.apply(db, [Record("feedback", ledger.feedback_body("s1", "p1", vote, AT))])
    with db.read() as c:
        assert c.scalars(select(t.feedback.c.vote)).all() == [-1]


def test_click_ids_are_not_guessed() -> None:
    ids = {ledger.new_click_id() for _ in range(5000)}
    assert len(ids) == 5000
    assert all(len(i) == 22 and i.isascii() and i.isalnum() for i in ids)
    letters = Counter("".join(ids))
    assert len(letters) == 62
    # 1.2 would fail once in seven thousand runs, 1.4 never in 10**18
    assert max(letters.values()) < 1.4 * min(letters.values())


# ---- the funnel


def test_the_funnel(db: Database) -> None:
    for n, verdict in enumerate(["exact", "exact", "none"]):
        shown = 0 if verdict == "none" else 2
        hits = [["p" + "a" * 16, ["a" * 16], 1, 0.9]] if shown else []
        body = {**SEARCH, "search_id": f"search{n}", "verdict": verdict, "hits": hits}
        ledger.apply(db, [Record("search", {**body, "shown": shown})])
    for name in ("c1", "c2", "c3"):
        record = click(name)
        record.body["search_id"] = "search0"
        ledger.apply(db, [record])
    told(db, news("approved", 1000), news("declined", 500, external_id="s2", subid="c2"))
    told(db, news("pending", 300, external_id="s3", subid="c3"))
    with db.read() as c:

        def view(name: str) -> list[dict[str, Any]]:
            return [dict(row) for row in c.execute(text(f"SELECT * FROM {name}")).mappings()]

        (store,) = view("funnel_by_store")
        verdicts = {row["verdict"]: row for row in view("funnel_by_verdict")}
        ranks = view("funnel_by_rank")
        assert len(view("funnel")) == 5
    assert (store["clicks"], store["conversions"], store["approved"]) == (3, 3, 1)
    assert store["epc_minor"] == pytest.approx(1300 / 3)
    assert store["approval_rate"] == pytest.approx(0.5)
    assert store["conversion_rate"] == pytest.approx(1.0)
    assert verdicts["exact"]["searches"] == 2
    assert verdicts["exact"]["searches_clicked"] == 1
    assert verdicts["exact"]["clicks"] == 3
    assert verdicts["none"]["clicks"] == 0
    assert [(r["verdict"], r["rank"], r["shown"], r["clicks"]) for r in ranks] == [
        ("exact", 1, 2, 3)
    ]


# ---- what the shopper sees, and the operator's files


def test_what_the_shopper_sees(one: Database) -> None:
    told(one, news("pending", 1000, ordered_at=AT))
    (sale,) = ledger.sales_of(one, USER, now=AT)["sales"]
    assert sale["state"] == "pending"
    assert sale["cashback"] == {"amount": "6.00", "currency": "EUR"}
    assert sale["expected"] == "2025-11-08"
    told(one, news("declined", None, reason="last click of another site: overwritten"))
    seen = ledger.sales_of(one, USER, now=AT)
    declined = seen["sales"][0]["declined"]
    assert declined["code"] == "other_site"
    assert "2025-12-08" in declined["advice"]
    assert declined["claim"] is True
    late = ledger.sales_of(one, USER, now=AT + 61 * 86_400)["sales"][0]["declined"]
    assert late["claim"] is False
    assert late["advice"] == "There is nothing to do."
    assert ledger.sales_of(one, "somebody-else", now=AT)["sales"] == []
    assert ledger.sales_of(one, "", now=AT)["visits"] == []


def test_totals_and_visits(one: Database) -> None:
    ledger.apply(one, [click("c2")])
    told(one, news("approved", 1000))
    seen = ledger.sales_of(one, USER, now=AT)
    assert seen["totals"]["approved"] == [{"amount": "6.00", "currency": "EUR"}]
    assert [visit["click"]["id"] for visit in seen["visits"]] == ["c2"]
    ledger.pay(one, USER, "t1", at=AT)
    seen = ledger.sales_of(one, USER, now=AT)
    assert seen["sales"][0]["state"] == "paid"
    assert seen["totals"]["approved"] == []
    assert seen["totals"]["paid"] == [{"amount": "6.00", "currency": "EUR"}]


@pytest.mark.parametrize(
    ("theirs", "code"),
    [
        ("RETURNED_MERCHANDISE", "returned"),
        ("DUPLICATED_ORDER", "duplicate"),
        ("CANT_SHIP_OR_SOLD_OUT", "unavailable"),
        ("INVALID_CREDIT_CARD", "unpaid"),
        ("BOOKING_CANCELED", "cancelled"),
        ("Заказ отменён покупателем", "cancelled"),
        ("возврат товара", "returned"),
        ("использован чужой промокод", "promo_code"),
        ("order via mobile app", "app_order"),
        ("", "other"),
    ],
)
def test_reasons(theirs: str, code: str) -> None:
    assert reasons.code_of(theirs) == code
    assert reasons.text_of(code).endswith(".")
    until = reasons.advice(code, "2025-12-08", str.format)
    assert ("until 2025-12-08" in until) == reasons.claimable(code)
    assert reasons.advice(code, "", str.format) == "There is nothing to do."


def test_export(one: Database, tmp_path: Path) -> None:
    told(one, news("approved", 1000, external_id="=cmd|' /C calc'!A0"))
    file = tmp_path / "entries.csv"
    assert ledger.export_csv(one, file) == 3
    rows = list(csv.DictReader(io.StringIO(file.read_text("utf-8"))))
    assert {row["account"]: row["amount"] for row in rows} == {
        "commission_due": "10.00",
        "cashback_due": "-6.00",
        "our_share": "-4.00",
    }
    assert rows[0]["external_id"].startswith("'=")
