"""Sales that are set aside until somebody has looked at them: which, why, and what is decided of them."""

from __future__ import annotations

import itertools
import json
import warnings
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from lensback import deeds, keys, ledger
from lensback.cli import app
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import BadQuery, NotFound
from lensback.exchange import Rates
from lensback.ledger.holds import dear, unusual
from lensback.settings import Settings
from lensback.types import Conversion, Money
from lensback.web import admin, create_app
from lensback.workspace import Workspace, init, open_workspace
from test_ledger import AT, USER, click, told

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

OTHER = "user-token-2"


def at_network(
    click_id: str, network: str, user: str = USER, store: str = "hats", **terms: Any
) -> Any:
    record = click(click_id, user=user, **terms)
    record.body.update(network=network, store=store)
    return record


def sale(network: str, click_id: str, minor: int = 1000, **fields: Any) -> Conversion:
    given = {
        "status": "approved",
        "external_id": f"{network} {click_id}",
        "order_id": "o1",
        **fields,
    }
    return Conversion(network=network, subid=click_id, commission=Money(minor, "EUR"), **given)


def rows(db: Database) -> dict[str, Any]:
    with db.read() as c:
        found = c.execute(select(t.conversions)).mappings()
        return {row["external_id"]: row for row in found}


def due(db: Database) -> dict[str, int]:
    return {one.user: one.payable + one.approved - one.owed for one in ledger.due(db)}


@pytest.fixture
def both(db: Database) -> Database:
    """Two clicks to one store, one through each network."""
    ledger.apply(db, [at_network("c1", "awin"), at_network("c2", "admitad", user=OTHER)])
    return db


# ---- a network confirms only clicks that went through it


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("went", ["awin", "", "admitad"])
def test_a_network_confirms_only_its_own_clicks(db: Database, went: str, late: bool) -> None:
    steps = [
        lambda: ledger.apply(db, [at_network("c1", went)]),
        lambda: told(db, sale("awin", "c1")),
    ]
    for step in reversed(steps) if late else steps:
        step()
    (row,) = rows(db).values()
    if went == "awin":
        assert (row["click_id"], row["review"], due(db)) == ("c1", "", {USER: 600})
    else:
        through = went or "no network"
        assert (row["click_id"], row["review"], due(db)) == (None, "held", {})
        assert row["review_text"] == f"the click went through {through}, not through awin"
        assert ledger.balances(db)["EUR"] == {"aside": -1000, "commission_due": 1000}
        (held,) = ledger.held_sales(db)
        assert (held.code, held.store, held.click_id) == ("other_network", "hats", "c1")
        assert ledger.sales_of(db, USER, now=AT)["sales"] == []
        ledger.decide(db, held.id, "release", note="they share an account", at=AT)
        assert (rows(db)["awin c1"]["click_id"], due(db)) == ("c1", {USER: 600})
    assert ledger.audit(db).proven


def test_what_no_network_may_confirm_can_be_refused(db: Database) -> None:
    ledger.apply(db, [at_network("c1", "admitad")])
    told(db, sale("awin", "c1"))
    (held,) = ledger.held_sales(db)
    ledger.decide(db, held.id, "refuse", note="not ours", at=AT)
    assert ledger.held_sales(db) == []
    told(db, sale("awin", "c1", 2000, changed_at=9))
    assert ledger.balances(db)["EUR"] == {"aside": -2000, "commission_due": 2000}
    assert ledger.audit(db).proven


# ---- one order, two networks


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("verdict", "paid"), [("release", USER), ("refuse", OTHER)])
def test_one_order_of_two_networks_is_paid_once(
    both: Database, order: tuple[int, ...], together: bool, verdict: Any, paid: str
) -> None:
    sales = [sale("awin", "c1"), sale("admitad", "c2")]
    if together:
        told(both, *(sales[n] for n in order))
    else:
        for n in order:
            told(both, sales[n])
    assert due(both) == {}
    assert ledger.balances(both)["EUR"] == {"commission_due": 2000, "review": -2000}
    assert ledger.audit(both).review == 2
    held = {one.external_id: one for one in ledger.held_sales(both)}
    assert {one.text for one in held.values()} == {
        "order o1 was told by admitad admitad c2 and awin awin c1"
    }
    for user in (USER, OTHER):
        seen = ledger.sales_of(both, user, now=AT)
        assert [one["state"] for one in seen["sales"]] == ["review"]
        assert seen["totals"]["review"] == [{"amount": "6.00", "currency": "EUR"}]
    ledger.decide(both, held["awin c1"].id, verdict, note="their click was last", at=AT)
    assert ledger.held_sales(both) == []
    assert due(both) == {paid: 600}
    loser = OTHER if paid == USER else USER
    (lost,) = ledger.sales_of(both, loser, now=AT)["sales"]
    assert (lost["state"], lost["declined"]["code"]) == ("declined", "duplicate")
    # What comes later changes nothing of the decision.
    told(both, sale("awin", "c1", 1100, changed_at=5), sale("admitad", "c2", 1100, changed_at=5))
    assert due(both) == {paid: 660}
    assert ledger.audit(both).proven


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("kept", [0, 1])
def test_one_sale_in_two_spellings_is_paid_once(
    both: Database, order: tuple[int, ...], kept: int
) -> None:
    """A notification has a number in small letters, the report in large ones."""
    sales = [sale("awin", "c1", external_id="7af"), sale("awin", "c1", external_id="7AF")]
    for n in order:
        told(both, sales[n])
    assert due(both) == {}
    held = {one.external_id: one for one in ledger.held_sales(both)}
    assert {one.text for one in held.values()} == {"order o1 was told by awin 7AF and awin 7af"}
    ledger.decide(both, held[sales[kept].external_id].id, "release", note="the same", at=AT)
    assert (ledger.held_sales(both), due(both)) == ([], {USER: 600})
    told(both, *sales)
    assert (ledger.held_sales(both), due(both)) == ([], {USER: 600})
    # Another action of the order is a sale of its own, and no party to it.
    told(both, sale("awin", "c1", external_id="7b"))
    assert (ledger.held_sales(both), due(both)) == ([], {USER: 1200})
    assert ledger.audit(both).proven


NO_DISPUTE = {
    "one network, two actions": [sale("awin", "c1"), sale("awin", "c1", external_id="second")],
    "another order": [sale("awin", "c1"), sale("admitad", "c2", order_id="o2")],
    "no order number": [sale("awin", "c1", order_id=""), sale("admitad", "c2", order_id="")],
    "another store": [sale("awin", "c1"), sale("admitad", "c3")],
    "one is declined": [sale("awin", "c1"), sale("admitad", "c2", status="declined")],
    "one has no click": [sale("awin", "c1"), sale("admitad", "lost")],
}


@pytest.mark.parametrize("what", NO_DISPUTE)
def test_what_is_no_dispute(both: Database, what: str) -> None:
    ledger.apply(both, [at_network("c3", "admitad", store="coats")])
    for order in itertools.permutations(NO_DISPUTE[what]):
        told(both, *order)
    assert ledger.held_sales(both) == []


def test_a_dispute_ends_when_one_network_declines(both: Database) -> None:
    told(both, sale("awin", "c1"), sale("admitad", "c2"))
    told(both, sale("admitad", "c2", status="declined", changed_at=5))
    assert (ledger.held_sales(both), due(both)) == ([], {USER: 600})
    told(both, sale("admitad", "c2", status="approved", changed_at=9))
    assert (len(ledger.held_sales(both)), due(both)) == (2, {})
    assert ledger.audit(both).proven


def test_a_dispute_over_what_was_paid_out(both: Database) -> None:
    """The shopper owes nothing while it is looked at; refused, it is owed."""
    told(both, sale("awin", "c1"))
    ledger.pay(both, USER, "t1", at=AT)
    told(both, sale("admitad", "c2"))
    assert due(both) == {}
    assert ledger.sales_of(both, USER, now=AT)["sales"][0]["state"] == "paid"
    held = {one.external_id: one for one in ledger.held_sales(both)}
    ledger.decide(both, held["admitad c2"].id, "release", note="x", at=AT)
    assert due(both) == {USER: -600, OTHER: 600}
    assert ledger.audit(both).proven
    # An appeal: the other way round, never both.
    ledger.decide(both, held["awin c1"].id, "release", note="x", at=AT)
    assert due(both) == {}
    assert ledger.audit(both).proven


# ---- bounds

PERCENT = {"currency": "EUR", "rates": [{"percent": "10"}, {"percent": "30"}]}


@pytest.mark.parametrize(
    ("commission", "value", "terms", "held"),
    [
        (500, 1000, {}, False),
        (501, 1000, {}, True),
        (600, 1000, PERCENT, False),
        (601, 1000, PERCENT, True),
        (900, 1000, {"currency": "EUR", "rates": [{"fixed": "5"}]}, False),
        (1001, 1000, {"currency": "EUR", "rates": [{"fixed": "5"}]}, True),
        (1001, 1000, {"currency": "EUR", "rates": [{"percent": "1", "min": "5"}]}, True),
        (1000, 1000, {"currency": "EUR", "rates": [{"percent": "1", "min": "5"}]}, False),
        (500, 1000, {"currency": "USD", "rates": [{"fixed": "5"}]}, False),
        (501, 1000, {"currency": "USD", "rates": [{"fixed": "5"}]}, True),
        (1000, 1000, {"currency": "USD", "rates": [{"fixed": "5", "currency": "EUR"}]}, False),
        (501, 1000, {"currency": ["x"], "rates": [{"fixed": "1e999999"}, {"fixed": "5"}]}, True),
        (9999, 0, {}, False),
        (9999, -5, {}, False),
        (-9999, 1000, {}, False),
        (501, 1000, {"rates": "nonsense"}, True),
        (501, 1000, {"rates": [{"percent": "x"}, 7]}, True),
        (501, 1000, {"rates": [{"percent": "1e999999999"}]}, True),
    ],
)
def test_a_commission_against_its_order(
    commission: int, value: int, terms: Any, held: bool
) -> None:
    cause = dear(Money(commission, "EUR"), Money(value, "EUR"), terms)
    assert (cause is not None) is held
    if cause:
        assert cause.text.startswith(f"a commission of {Money(commission, 'EUR')} for an order of")


RATES = Rates(
    date(2026, 11, 1), "EUR", {"EUR": Fraction(1), "RUB": Fraction(1, 100), "JPY": Fraction(1, 150)}
)
UNKNOWN = "no exchange rate compares them"


@pytest.mark.parametrize(
    ("commission", "value", "terms", "rates", "says"),
    [
        # 5 EUR are 500 RUB.
        ("5 EUR", "1000 RUB", {}, RATES, None),
        ("5.01 EUR", "1000 RUB", {}, RATES, "a commission of 5.01 EUR for an order of 1000.00 RUB"),
        ("500 RUB", "10 EUR", {}, RATES, None),
        ("501 RUB", "10 EUR", {}, RATES, "a commission of 501.00 RUB for an order of 10.00 EUR"),
        ("750 JPY", "10 EUR", {}, RATES, None),
        ("752 JPY", "10 EUR", {}, RATES, "a commission of 752 JPY for an order of 10.00 EUR"),
        ("0.01 EUR", "1000 RUB", {}, None, UNKNOWN),
        ("0.01 USD", "1000 RUB", {}, RATES, UNKNOWN),
        ("0.01 EUR", "1000 USD", {}, RATES, UNKNOWN),
        ("0 USD", "1000 RUB", {}, None, None),
        # The terms promise 300 RUB, twice as much is allowed.
        ("6 EUR", "1000 RUB", {"currency": "EUR", "rates": [{"fixed": "3"}]}, RATES, None),
        ("6.01 EUR", "1000 RUB", {"currency": "EUR", "rates": [{"fixed": "3"}]}, RATES, "a commission"),
        ("6 EUR", "1000 RUB", {"currency": "USD", "rates": [{"fixed": "3"}]}, RATES, f"{UNKNOWN} with the"),
        ("6 EUR", "1000 RUB", {"rates": [{"percent": "30"}]}, RATES, None),
    ],
)  # fmt: skip
def test_amounts_of_two_currencies_are_compared_by_rates(
    commission: str, value: str, terms: Any, rates: Rates | None, says: str | None
) -> None:
    cause = dear(ledger.amount_of(commission), ledger.amount_of(value), terms, rates)
    assert (cause is None) is (says is None)
    assert says is None or (cause and says in cause.text)


def test_no_commission_and_no_order_is_nothing_to_look_at() -> None:
    assert dear(Money(0, ""), Money(0, ""), {}) is None


@pytest.mark.parametrize(
    ("history", "value", "held"),
    [
        ([100] * 20, 2000, False),
        ([100] * 20, 2001, True),
        ([100] * 19, 9999, False),
        ([100] * 11 + [9000] * 9, 2001, True),
        ([100] * 20, 0, False),
        ([], 9999, False),
    ],
)
def test_an_order_against_the_stores_history(history: list[int], value: int, held: bool) -> None:
    values = [Money(minor, "EUR") for minor in history]
    assert (unusual(Money(value, "EUR"), values) is not None) is held


@pytest.mark.parametrize(
    ("history", "value", "rates", "says"),
    [
        ([(100, "EUR")] * 20, "2001 RUB", RATES, "where 100.00 RUB is usual (median of 20)"),
        ([(100, "EUR")] * 20, "2000 RUB", RATES, None),
        ([(100, "EUR")] * 20, "1 RUB", None, f"where EUR is usual: {UNKNOWN}"),
        ([(100, "EUR")] * 20, "1 USD", RATES, f"where EUR is usual: {UNKNOWN}"),
        ([(100, "EUR")] * 19 + [(1, "JPY")], "1 USD", RATES, f"where EUR and JPY is usual: {UNKNOWN}"),
        ([(100, "EUR")] * 19, "9999 RUB", None, None),
        # Orders of the same currency count alone where they are enough.
        ([(100, "EUR")] * 20 + [(9999900, "RUB")] * 90, "20.01 EUR", RATES, "median of 20"),
        ([(100, "EUR")] * 19 + [(10000, "RUB")], "20.01 EUR", RATES, "median of 20"),
        ([(100, "EUR")] * 19 + [(10000, "USD")], "20.01 EUR", RATES, None),
    ],
)  # fmt: skip
def test_an_order_against_a_history_of_other_currencies(
    history: list[tuple[int, str]], value: str, rates: Rates | None, says: str | None
) -> None:
    cause = unusual(ledger.amount_of(value), [Money(*one) for one in history], rates)
    assert (cause is None) is (says is None)
    assert says is None or (cause and says in cause.text)


def ordered(n: int, value: int, minor: int = 50, **more: Any) -> Conversion:
    fields = {
        "external_id": f"s{n}",
        "order_id": f"o{n}",
        "order_value": Money(value, "EUR"),
        **more,
    }
    return sale("awin", "c1", minor, **fields)


def test_a_bound_sets_a_sale_aside_until_it_is_decided(both: Database) -> None:
    told(both, *(ordered(n, 1000) for n in range(20)))
    assert due(both) == {USER: 600}
    told(both, ordered(99, 20_001))
    (held,) = ledger.held_sales(both)
    assert held.text == "an order of 200.01 EUR, where 10.00 EUR is usual (median of 20)"
    assert due(both) == {USER: 600}
    ledger.decide(both, held.id, "release", note="a wholesale order", at=AT)
    assert due(both) == {USER: 630}
    told(both, ordered(99, 20_001, status="paid", changed_at=3))
    assert ledger.held_sales(both) == []
    # More than was let through is looked at again; and the other bound by itself.
    told(both, ordered(99, 90_000, status="paid", changed_at=5))
    assert [one.code for one in ledger.held_sales(both)] == ["order_value"]
    told(both, ordered(99, 20_000, 15_000, status="paid", changed_at=7))
    assert [one.code for one in ledger.held_sales(both)] == ["commission"]
    (held,) = ledger.held_sales(both)
    ledger.decide(both, held.id, "refuse", note="forged", at=AT)
    assert due(both) == {USER: 600}
    with_reason = [
        s for s in ledger.sales_of(both, USER, now=AT)["sales"] if s["state"] == "declined"
    ]
    assert [one["declined"]["code"] for one in with_reason] == ["refused"]
    assert ledger.audit(both).proven


def test_a_hold_ends_with_its_cause(both: Database) -> None:
    told(both, ordered(1, 1000, 900, changed_at=1))
    assert [one.code for one in ledger.held_sales(both)] == ["commission"]
    told(both, ordered(1, 1000, 90, changed_at=2))
    assert (ledger.held_sales(both), due(both)) == ([], {USER: 54})
    assert ledger.audit(both).proven


@pytest.mark.parametrize("status", ["pending", "approved", "paid", "declined"])
def test_a_hold_in_every_state(both: Database, status: str) -> None:
    told(both, ordered(1, 1000, 900, status=status))
    held = [] if status == "declined" else ["held"]
    assert [row["review"] for row in rows(both).values() if row["review"]] == held
    state = "declined" if status == "declined" else "review"
    (seen,) = ledger.sales_of(both, USER, now=AT)["sales"]
    assert (seen["state"], due(both)) == (state, {})
    assert ledger.audit(both).proven


def test_only_what_is_under_review_is_decided(both: Database) -> None:
    told(both, ordered(1, 1000))
    (row,) = rows(both).values()
    for verdict in ("release", "refuse"):
        with pytest.raises(BadQuery, match="is not under review"):
            ledger.decide(both, row["id"], verdict, note="x", at=AT)  # type: ignore[arg-type]
        for nobody in (999, 10**30):
            with pytest.raises(NotFound, match=f"no such sale: {nobody}"):
                ledger.decide(both, nobody, verdict, note="x", at=AT)  # type: ignore[arg-type]


# ---- any order of the same news


@pytest.mark.parametrize("seed", range(6))
def test_any_order_ends_in_the_same_holds(both: Database, seed: int) -> None:
    news = [
        sale("awin", "c1", changed_at=1),
        sale("admitad", "c2", changed_at=1),
        sale("admitad", "c2", status="declined", changed_at=2),
        ordered(1, 1000, 900, changed_at=1),
        ordered(1, 1000, 90, changed_at=2),
    ]
    order = list(itertools.permutations(news))[seed * 19]
    for one in order:
        told(both, one)
    assert (ledger.held_sales(both), due(both)) == ([], {USER: 654})
    assert ledger.audit(both).differences == []


# ---- the commands


def test_the_commands(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    init(folder)
    with open_workspace(folder) as opened:
        ledger.apply(opened.db, [at_network("c1", "awin"), at_network("c2", "admitad", user=OTHER)])
        told(opened.db, sale("awin", "c1"), sale("admitad", "c2"))

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["ledger", *words, "--workspace", str(folder)])

    listed = json.loads(run("review", "--json").output)
    assert {one["code"] for one in listed} == {"two_networks"}
    text = run("review").output
    assert "hats: admitad admitad c2, 10.00 EUR: order o1 was told by" in text
    done = run("release", listed[0]["sale_id"], "--note", "the later click")
    assert (done.exit_code, done.output[:6]) == (0, "sale " + listed[0]["sale_id"])
    assert run("review").output == "nothing is under review\n"
    again = run("refuse", listed[0]["sale_id"], "--note", "x")
    assert isinstance(again.exception, BadQuery)
    with open_workspace(folder) as opened:
        noted = [(deed.deed, deed.detail) for deed in deeds.last(opened.db)]
    assert ("ledger release", f"sale {listed[0]['sale_id']}: the later click") in noted


def test_no_sale_under_review_is_out_of_sight(db: Database) -> None:
    """The list ended at 500: who could not decide on those never saw the others."""
    ledger.apply(db, [at_network("c1", "admitad")])
    told(db, *(sale("awin", "c1", external_id=f"n{n}") for n in range(501)))
    assert (ledger.held_count(db), len(ledger.held_sales(db))) == (501, 501)
    ledger.decide(db, ledger.held_sales(db, 1)[0].id, "refuse", note="not ours", at=AT)
    assert (ledger.held_count(db), len(ledger.held_sales(db))) == (500, 500)


# ---- the operator's page


def test_the_operators_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "w"
    init(folder)
    secret = keys.add(folder / "keys.json", "boss", "admin")
    with Workspace(folder, Settings(rate_limit=0)) as opened:
        db = opened.db
        ledger.apply(db, [at_network("c1", "awin"), at_network("c2", "admitad", user=OTHER)])
        told(db, sale("awin", "c1", order_id="<o>"), sale("admitad", "c2", order_id="<o>"))
        with TestClient(create_app(opened), follow_redirects=False) as client:
            first = str(ledger.held_sales(db)[0].id)
            path = f"/admin/sales/{first}/release"
            assert client.get("/admin/review").headers["location"] == "/admin"
            client.post(path, data={"note": "x"})
            assert len(ledger.held_sales(db)) == 2, "not without the key"
            client.post("/admin/enter", data={"key": secret})
            assert "2 sales under review" in client.get("/admin").text
            monkeypatch.setattr(admin, "MOST_SHOWN", 1)
            page = client.get("/admin/review").text
            assert "These are 1 of 2;" in page
            assert page.count("was told by") == 1
            monkeypatch.undo()
            page = client.get("/admin/review").text
            assert "These are" not in page
            assert "order &lt;o&gt; was told by" in page
            assert f'action="{path}"' in page
            elsewhere = {"Sec-Fetch-Site": "cross-site"}
            assert client.post(path, data={"note": "x"}, headers=elsewhere).status_code == 403
            assert client.post(path, data={"note": " "}).status_code == 422
            assert len(ledger.held_sales(db)) == 2
            assert client.post(path, data={"note": "the later click"}).status_code == 303
            assert ledger.held_sales(db) == []
            assert client.post(path, data={"note": "again"}).status_code == 422
            assert "Nothing is under review" in client.get("/admin/review").text
        deed = next(deed for deed in deeds.last(db) if deed.deed == "ledger release")
        assert (deed.actor, deed.detail) == ("key boss", f"sale {first}: the later click") or (
            deed.detail.endswith("again")
        )
        assert ledger.audit(db, folder).proven
