"""Claims for lost purchases: what is taken, when, from whom, once; what the shopper and the operator see."""

from __future__ import annotations

import json
import re
import shutil
import threading
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from lensback import grants, ledger, people
from lensback.cli import app
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.errors import AlreadyDone, BadQuery, Error, NotFound
from lensback.ledger import claims
from lensback.ledger.claims import Bought
from lensback.networks import claim_fields, open_network
from lensback.settings import Settings
from lensback.speech import Speech
from lensback.tokens import digest
from lensback.types import Conversion, Money
from lensback.web import create_app, purchases
from lensback.workspace import Workspace, init

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

DAY = 86_400
AT = int(datetime(2026, 9, 1, 12, tzinfo=UTC).timestamp())
USER, OTHER = "user-4711", "user-0815"
HOST_KEY = "k" * 40
HOST = {"Authorization": f"Bearer {HOST_KEY}"}
TERMS = {"share": "0.5", "hold_days": 30, "claim_days": 60, "track_hours": 48}


def clicked(
    db: Database,
    click_id: str,
    *,
    at: int = AT,
    user: str = USER,
    terms: Any = None,
    network: str = "awin",
) -> None:
    row = {
        "click_id": click_id, "at": at, "source": "go", "offer_id": "o" * 16, "product_id": "", "store": "harbour",
        "search_id": "", "rank": None, "network": network, "program_id": "1", "terms": TERMS if terms is None else terms,
        "price_minor": 100_00, "currency": "EUR", "estimate_minor": 500, "user_token": user,
    }  # fmt: skip
    with db.write() as c:
        db.upsert(c, t.clicks, [row], ["click_id"])


def sold(db: Database, click_id: str, status: str, reason: str = "") -> None:
    news = Conversion(
        "awin",
        f"S-{click_id}",
        status,
        subid=click_id,
        commission=Money(1000, "EUR"),
        reason=reason,
    )
    ledger.record(db, [news], at=AT + DAY, source="test")


def bought(**more: Any) -> Bought:
    made = {
        "order_id": "A-77",
        "ordered_on": date(2026, 9, 1),
        "amount": Money(9990, "EUR"),
        "note": "",
    }
    return Bought(**{**made, **more})


def seen(db: Database, now: int) -> dict[str, Any]:
    return ledger.sales_of(db, USER, now=now)


@pytest.fixture
def db(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(migrated_sqlite, tmp_path / "catalogue.db")
    database = Database(sqlite_url(tmp_path / "catalogue.db"))
    yield database
    database.close()


# ---- when


@pytest.mark.parametrize(
    ("terms", "first", "last"),
    [
        ({"claim_days": 60, "track_hours": 48}, 2 * DAY, 60 * DAY),
        ({"claim_days": 60}, 3 * DAY, 60 * DAY),
        ({"claim_days": 2, "track_hours": 72}, 2 * DAY, 2 * DAY),
        ({"claim_days": "60", "track_hours": "1"}, 3600, 60 * DAY),
        ({"claim_days": 0, "track_hours": 48}, None, None),
        ({}, None, None),
        ({"claim_days": "soon"}, None, None),
    ],
)
def test_the_window_of_a_claim(terms: Any, first: int | None, last: int | None) -> None:
    span = claims.window(AT, terms)
    assert span == (None if first is None else (AT + first, AT + last))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (AT + 2 * DAY - 1, "it is too early"),
        (AT + 2 * DAY, ""),
        (AT + 60 * DAY, ""),
        (AT + 60 * DAY + 1, "it is too late"),
    ],
)
def test_it_is_taken_within_its_window(db: Database, now: int, message: str) -> None:
    clicked(db, "c1")
    (visit,) = seen(db, now)["visits"]
    assert visit["claim"] is not bool(message)
    if message:
        with pytest.raises(BadQuery, match=message):
            claims.open_claim(db, USER, "c1", bought(), now=now)
        return
    assert (visit["claim_from"], visit["claim_until"]) == ("2026-09-03", "2026-10-31")
    claim, fresh = claims.open_claim(db, USER, "c1", bought(), now=now)
    assert (fresh, claim["state"], claim["amount"]) == (
        True,
        "open",
        {"amount": "99.90", "currency": "EUR"},
    )
    (visit,) = seen(db, now)["visits"]
    assert (visit["claim"], visit["claimed"]) == (False, claim)


NOW = AT + 10 * DAY


# ---- whose, once


def test_the_same_again_is_the_same_claim(db: Database) -> None:
    clicked(db, "c1")
    first, fresh = claims.open_claim(db, USER, "c1", bought(), now=NOW)
    again, known = claims.open_claim(db, USER, "c1", bought(order_id="  A-77 "), now=NOW + 70 * DAY)
    assert (fresh, known, again) == (True, False, first)
    for other in (
        {"order_id": "B"},
        {"amount": Money(1, "EUR")},
        {"note": "x"},
        {"ordered_on": date(2026, 9, 2)},
    ):
        with pytest.raises(AlreadyDone, match="there is a claim for this visit"):
            claims.open_claim(db, USER, "c1", bought(**other), now=NOW)
    assert len(claims.listed(db)) == 1


def test_many_at_once_are_one(db: Database) -> None:
    clicked(db, "c1")
    ends: list[str] = []

    def ask(order: str) -> None:
        try:
            claims.open_claim(db, USER, "c1", bought(order_id=order), now=NOW)
            ends.append(order)
        except AlreadyDone:
            ends.append("")

    threads = [threading.Thread(target=ask, args=(f"A{n % 3}",)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (one,) = claims.listed(db)
    assert set(ends) == {one["order_id"], ""}


@pytest.mark.parametrize(
    ("user", "click"),
    [(OTHER, "c1"), ("", "c1"), (USER, "nobody"), (USER, ""), ("", "anonymous"), (USER, "plain")],
)
def test_only_a_click_of_ones_own_through_a_network(db: Database, user: str, click: str) -> None:
    clicked(db, "c1")
    clicked(db, "anonymous", user="")
    clicked(db, "plain", network="")
    with pytest.raises(NotFound):
        claims.open_claim(db, user, click, bought(), now=NOW)
    assert claims.listed(db) == []


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        ("pending", "", AlreadyDone), ("approved", "", AlreadyDone), ("paid", "", AlreadyDone),
        ("declined", "returned", BadQuery), ("declined", "cancelled", BadQuery),
        ("declined", "fraud", None), ("declined", "cookies blocked", None), ("declined", "", None),
    ],
)  # fmt: skip
def test_a_purchase_that_is_known(
    db: Database, status: str, reason: str, error: type[Error] | None
) -> None:
    """A declined purchase can be claimed at once, for reasons that a claim can mend."""
    clicked(db, "c1")
    sold(db, "c1", status, reason)
    early = AT + 3600
    (sale,) = seen(db, early)["sales"]
    if error is None:
        assert sale["declined"]["claim"] is True
        claims.open_claim(db, USER, "c1", bought(), now=early)
        assert seen(db, early)["sales"][0]["declined"]["claimed"]["state"] == "open"
    else:
        assert not sale.get("declined", {}).get("claim")
        with pytest.raises(error):
            claims.open_claim(db, USER, "c1", bought(), now=NOW)


def test_a_purchase_that_we_refused_can_be_claimed(db: Database) -> None:
    """Known while it is looked at; once it is refused the shopper may say otherwise, and need not wait."""
    clicked(db, "c1")
    dear = Conversion(
        "awin", "S-1", "approved", subid="c1",
        commission=Money(1000, "EUR"), order_value=Money(1200, "EUR"),
    )  # fmt: skip
    ledger.record(db, [dear], at=AT + DAY, source="test")
    (held,) = ledger.held_sales(db)
    early = AT + 3600
    with pytest.raises(AlreadyDone, match="known"):
        claims.open_claim(db, USER, "c1", bought(), now=early)
    ledger.decide(db, held.id, "refuse", note="too dear", at=AT + DAY)
    assert claims.open_claim(db, USER, "c1", bought(), now=early)[1] is True


def test_a_user_has_so_many_open(db: Database) -> None:
    for n in range(claims.MOST_OPEN + 1):
        clicked(db, f"c{n}")
    for n in range(claims.MOST_OPEN):
        claims.open_claim(db, USER, f"c{n}", bought(), now=NOW)
    last = f"c{claims.MOST_OPEN}"
    with pytest.raises(BadQuery, match="too many"):
        claims.open_claim(db, USER, last, bought(), now=NOW)
    clicked(db, "theirs", user=OTHER)
    claims.open_claim(db, OTHER, "theirs", bought(), now=NOW)
    claims.advance(db, claims.listed(db)[0]["claim_id"], "refused", now=NOW)
    claims.open_claim(db, USER, last, bought(), now=NOW)


@pytest.mark.parametrize(
    "more",
    [
        {"order_id": ""}, {"order_id": "  "}, {"order_id": "x" * 81}, {"order_id": "a\nb"}, {"order_id": "a\x00"},
        {"order_id": "a\ud800"}, {"order_id": "a\u202eb"}, {"order_id": "\x9b31ma"},
        {"amount": Money(0, "EUR")}, {"amount": Money(-5, "EUR")}, {"amount": Money(10**12, "EUR")},
        {"amount": Money(5, "eu")}, {"note": "x" * 501}, {"ordered_on": date(2026, 8, 30)},
        {"ordered_on": date(2026, 9, 13)}, {"ordered_on": date(1, 1, 1)}, {"ordered_on": date(9999, 12, 31)},
    ],
)  # fmt: skip
def test_what_makes_no_sense_leaves_nothing(db: Database, more: Any) -> None:
    clicked(db, "c1")
    with pytest.raises(BadQuery):
        claims.open_claim(db, USER, "c1", bought(**more), now=NOW)
    assert claims.listed(db) == []


def test_a_note_is_kept_as_far_as_it_can_be_read(db: Database) -> None:
    clicked(db, "c1")
    claims.open_claim(db, USER, "c1", bought(note="late\n\ud800\x1b[31mred\u202e"), now=NOW)
    (one,) = claims.listed(db)
    assert one["note"] == "late red"


# ---- what becomes of it


def test_two_who_decide_at_once(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clicked(db, "c1")
    claim, _ = claims.open_claim(db, USER, "c1", bought(), now=NOW)
    key, before = claim["claim_id"], claims.get(db, claim["claim_id"])
    claims.advance(db, key, "accepted", now=NOW, answer="the first")
    monkeypatch.setattr(claims, "get", lambda *_: before)  # as the second had seen it
    with pytest.raises(AlreadyDone, match="somebody else"):
        claims.advance(db, key, "refused", now=NOW, answer="the second")
    monkeypatch.undo()
    assert claims.get(db, key)["answer"] == "the first"


def test_its_way_to_the_end(db: Database) -> None:
    clicked(db, "c1")
    claim, _ = claims.open_claim(db, USER, "c1", bought(), now=NOW)
    key = claim["claim_id"]
    claims.advance(db, key, "sent", now=NOW + DAY)
    claims.advance(db, key, "sent", now=NOW + 2 * DAY)
    sent = seen(db, NOW)["visits"][0]["claimed"]
    assert (sent["state"], sent["sent_at"]) == ("sent", "2026-09-12T12:00:00Z"), (
        "the first time stays"
    )
    claims.advance(db, key, "accepted", now=NOW + 5 * DAY, answer="Booked\nnext week")
    ended = seen(db, NOW)["visits"][0]["claimed"]
    assert (ended["state"], ended["answer"], ended["decided_at"]) == (
        "accepted", "Booked next week", "2026-09-16T12:00:00Z",
    )  # fmt: skip
    for state in ("open", "sent", "refused"):
        with pytest.raises(AlreadyDone):
            claims.advance(db, key, state, now=NOW)
    with pytest.raises(NotFound):
        claims.advance(db, "99", "sent", now=NOW)
    assert ledger.balances(db) == {}, "a claim books nothing"
    sold(db, "c1", "pending")
    assert claims.listed(db)[0]["sale_known"] is True


def test_a_person_takes_the_claims_along(db: Database, tmp_path: Path) -> None:
    clicked(db, "c1")
    clicked(db, "theirs", user=OTHER)
    claims.open_claim(db, USER, "c1", bought(), now=NOW)
    claims.open_claim(db, OTHER, "theirs", bought(), now=NOW)
    (given,) = people.data_of(db, tmp_path, USER, NOW)["claims"]
    assert (given["click_id"], given["order_id"]) == ("c1", "A-77")
    people.erase(db, tmp_path, USER, NOW, lambda: None)
    assert [one["click_id"] for one in claims.listed(db)] == ["theirs"]
    people.let_go(db, NOW + 400 * DAY, search_days=0, click_days=365)
    assert claims.listed(db) == []


@pytest.mark.parametrize("name", ["admitad", "awin", "epn", "nobody"])
def test_the_networks_own_form(db: Database, name: str) -> None:
    terms = {**TERMS, "program": "153", "link": {"advertiser": "1001", "publisher": "45628"}}
    clicked(db, "c1", terms=terms)
    claims.open_claim(db, USER, "c1", bought(note="paid by card"), now=NOW)
    one = claims.get(db, claims.listed(db)[0]["claim_id"])
    network = open_network(name) if name != "nobody" else None
    account = {"website": "22", "client_secret": "never", "token": "never"}
    where, fields = claim_fields(network, one, account)
    assert where
    assert "never" not in str(fields)
    assert not re.search(r"{\w+}", str(fields))
    text = " ".join(fields.values())
    for part in ("c1", "A-77", "2026-09-01", "99.90", "paid by card"):
        assert part in text
    if name == "admitad":
        assert (fields["advcampaign"], fields["website"]) == ("153", "22")
    if name == "awin":
        assert fields["Advertiser"] == "1001"


# ---- over HTTP


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("claims") / "w"
    init(folder)
    settings = Settings(
        encoder="pixels", index="exact", detector="whole", host_key_hash=digest(HOST_KEY)
    )
    with Workspace(folder, settings) as opened:
        opened.db.migrate()
        yield opened


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(create_app(workspace), follow_redirects=False) as opened:
        yield opened


def recent(workspace: Workspace, click_id: str, days: int = 10, **more: Any) -> dict[str, str]:
    """A click of some days ago, and a claim's fields for it."""
    at = int(datetime.now(UTC).timestamp()) - days * DAY
    clicked(workspace.db, click_id, at=at, **more)
    day = datetime.fromtimestamp(at, UTC).date().isoformat()
    return {
        "click_id": click_id,
        "order_id": "№ 77/б",
        "ordered_on": day,
        "amount": "3 456,00",
        "currency": "rub",
    }


JSON = {"Content-Type": "application/json"}


def test_the_host_service_opens_a_claim(client: TestClient, workspace: Workspace) -> None:
    said = recent(workspace, "h1")
    path = f"/api/users/{USER}/claims"
    assert client.post(path, json=said).status_code == 401
    assert (
        client.post(path, json=said, headers={"Authorization": "Bearer guess"}).status_code == 401
    )
    made = client.post(path, json=said, headers=HOST)
    assert made.status_code == 201, made.text
    assert made.json()["amount"] == {"amount": "3456.00", "currency": "RUB"}
    assert made.headers["cache-control"] == "no-store"
    again = client.post(path, data=said, headers=HOST)
    assert (again.status_code, again.json()) == (200, made.json())
    assert client.post(path, json={**said, "order_id": "78"}, headers=HOST).status_code == 409
    assert client.post(f"/api/users/{OTHER}/claims", json=said, headers=HOST).status_code == 404
    for wrong in (
        {"ordered_on": "yesterday"},
        {"amount": "much"},
        {"currency": "R"},
        {"order_id": ""},
        {"amount": "1,2.3"},
        {"amount": "1e999999999"},
        {"order_id": "half \ud800"},
    ):
        answer = client.post(path, content=json.dumps({**said, **wrong}), headers=HOST | JSON)
        assert answer.status_code == 422, wrong
        assert answer.json()["error"]["hint"]
    (visit,) = client.get(f"/api/users/{USER}/cashback", headers=HOST).json()["visits"]
    assert visit["claimed"] == made.json()


def test_the_shopper_opens_a_claim_without_a_script(
    client: TestClient, workspace: Workspace
) -> None:
    user = "user-page-1"
    said = recent(workspace, "p1", user=user)
    good = grants.give_pass(workspace.db, workspace.path, user, int(datetime.now(UTC).timestamp()))
    page = client.get(f"/cashback/{good}", headers={"Accept-Language": "en"})
    form = re.search(
        r'<form method="post" action="(/cashback/[^"]+/claims)">(.*?)</form>', page.text, re.DOTALL
    )
    assert form
    assert set(re.findall(r'name="(\w+)"', form[2])) == set(said) | {"note"}
    assert "<script" not in page.text
    foreign = client.post(form[1], data=said, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert client.post("/cashback/nobody/claims", data=said).status_code == 404
    sent = client.post(form[1], data=said, headers={"Sec-Fetch-Site": "same-origin"})
    assert (sent.status_code, sent.headers["location"]) == (303, f"/cashback/{good}")
    shown = client.get(f"/cashback/{good}", headers={"Accept-Language": "ru"}).text
    assert "Ваше обращение у нас" in shown
    assert "/claims" not in shown
    late = client.post(form[1], data={**recent(workspace, "p2", 100, user=user)})
    assert late.status_code == 422


def test_strangers_write_only_so_often(workspace: Workspace) -> None:
    limits = Settings(write_limit=6, encoder="pixels", index="exact", detector="whole")
    with Workspace(workspace.path, limits) as slow, TestClient(create_app(slow)) as client:
        found = [client.post("/cashback/nobody/claims", data={}).status_code for _ in range(12)]
    assert 429 in found
    assert set(found) <= {404, 429}


def test_the_operators_commands(client: TestClient, workspace: Workspace) -> None:
    said = recent(
        workspace, "o1", user="user-op-1", network="admitad", terms={**TERMS, "program": "153"}
    )
    made = client.post("/api/users/user-op-1/claims", json=said, headers=HOST).json()
    where = ["--workspace", str(workspace.path)]
    run = lambda *args: CliRunner().invoke(app, ["claim", *args, *where])  # noqa: E731
    key = made["claim_id"]
    listed = json.loads(run("list", "--state", "open", "--json").output)
    assert key in {one["claim_id"] for one in listed}
    shown = run("show", key).output
    assert "advcampaign: 153" in shown
    assert "order_id: № 77/б" in shown
    assert json.loads(run("show", key, "--json").output)["fields"]["order_price"] == "3456.00"
    assert run("sent", key).exit_code == 0
    assert run("decide", key, "refused", "--because", "no such order").exit_code == 0
    assert isinstance(run("decide", key, "accepted").exception, AlreadyDone)
    assert isinstance(run("decide", key, "maybe").exception, BadQuery)
    assert isinstance(run("list", "--state", "x").exception, BadQuery)
    mine = client.get("/api/users/user-op-1/cashback", headers=HOST).json()["visits"][0]["claimed"]
    assert (mine["state"], mine["answer"]) == ("refused", "no such order")
    with workspace.db.read() as c:
        deeds = list(c.scalars(select(t.audit_log.c.deed)))
    assert {"claim sent", "claim refused"} <= set(deeds)


# ---- the page's words


def line(language: str, state: str, **more: Any) -> purchases.PurchaseLine:
    sale: Mapping[str, Any] = {
        "state": state, "store_title": "Harbour", "title": "Shirt", "ordered_at": "2026-09-01", "expected": None,
        "cashback": {"amount": "5.00", "currency": "EUR"}, "owed": None, "click": {"id": "c1"}, **more,
    }  # fmt: skip
    return purchases.sale_line(sale, Speech(language))


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("state", ["pending", "approved", "payable", "paid", "review", "declined"])
def test_every_state_says_where_it_is_and_what_to_do(language: str, state: str) -> None:
    declined = {
        "code": "x",
        "text": "T.",
        "advice": "A.",
        "claim": False,
        "claim_until": None,
        "claimed": None,
    }
    shown = line(language, state, **({"declined": declined} if state == "declined" else {}))
    assert shown.words
    assert shown.to_do
    assert (len(shown.steps) == 4) == (state not in {"review", "declined"})
    if shown.steps:
        assert [step.state for step in shown.steps].count("now") == 1
    if language == "ru":
        text = f"{shown.words} {shown.to_do} {' '.join(step.text for step in shown.steps)}"
        assert not re.search("[A-Za-z]{3,}", text)


def test_a_day_is_written_in_the_readers_way() -> None:
    assert "Sep 3, 2026" in line("en", "pending", expected="2026-09-03").to_do
    assert "3 сент. 2026" in line("ru", "pending", expected="2026-09-03").to_do
    assert line("en", "pending", ordered_at=None).day == ""
