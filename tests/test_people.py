"""A person's data given out, erased to the last byte, and let go in time; who may, and who did what."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, inspect, select, text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from lensback import db as db_module
from lensback import deeds, grants, keys, ledger, people
from lensback.catalogue import saved
from lensback.catalogue.saved import SavedThing
from lensback.cli import app
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.errors import NotFound
from lensback.journal import Record
from lensback.settings import Settings
from lensback.tokens import digest
from lensback.types import Conversion, Money
from lensback.web import create_app
from lensback.web.guesses import TOLD_S
from lensback.workspace import Workspace, init
from servers import Postgres

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

USER, OTHER = "user-to-forget-4711", "user-who-stays-0815"
HOST_KEY = "k" * 40
NOW = 1_760_000_000
DAY = 86_400


@pytest.fixture(params=["sqlite", "postgresql"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workspace]:
    init(tmp_path / "workspace")
    database = ""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        database = server.url(server.database("migrated"))
    with Workspace(tmp_path / "workspace", Settings(database=database)) as opened:
        yield opened


def click(click_id: str, user: str, search_id: str = "", at: int = NOW) -> Record:
    body = {
        "click_id": click_id, "at": at, "source": "go", "offer_id": "o" * 16, "product_id": "p1",
        "store": "harbour", "search_id": search_id, "network": "generic", "program_id": "",
        "terms": {"share": "0.5", "currency": "EUR"}, "price_minor": 1000, "currency": "EUR", "estimate_minor": 50,
        "user_token": user,
    }  # fmt: skip
    return Record("click", body)


def searched(search_id: str, at: int = NOW) -> Record:
    body = {
        "search_id": search_id, "at": at, "source": "page", "encoder": "e", "snapshot": "s",
        "verdict": "similar", "probability": 0.5, "similarity": 0.5, "latency_ms": 5.0, "shown": 1,
        "hits": [["p1", ["o" * 16], 1, 0.5]], "filters": {}, "photo": {}, "variant": "",
    }  # fmt: skip
    return Record("search", body)


def sold(click_id: str, status: str, number: str, at: int = NOW) -> Record:
    news = Conversion(
        network="generic", external_id=number, status=status, subid=click_id,  # type: ignore[arg-type]
        commission=Money(1000, "EUR"), changed_at=at,
    )  # fmt: skip
    return Record("news", ledger.news_body(news, at=at, source="postback"))


def rows(db: Database, statement: Any) -> list[Any]:
    with db.read() as c:
        return [tuple(row) for row in c.execute(statement)]


def full(workspace: Workspace) -> None:
    """Two people: each searched, clicked, voted and bought."""
    vote = Record("feedback", ledger.feedback_body("a" * 16, "p1", 1, NOW))
    records = [searched("a" * 16), searched("b" * 16), click("c1", USER, "a" * 16), click("c2", OTHER, "b" * 16),
               click("c3", USER), sold("c1", "approved", "s1"), sold("c2", "approved", "s2"), vote]  # fmt: skip
    ledger.apply(workspace.db, records)
    photos = workspace.path / "photos"
    photos.mkdir()
    for search_id in ("a" * 16, "b" * 16):
        (photos / f"{search_id}.jpg").write_bytes(b"\xff\xd8")


def names_of(folder: Path, token: str) -> list[str]:
    wanted = token.encode()
    return [
        path.name for path in folder.rglob("*") if path.is_file() and wanted in path.read_bytes()
    ]


def test_an_erased_person_stands_in_no_file_and_the_money_stays(workspace: Workspace) -> None:
    full(workspace)
    db, folder = workspace.db, workspace.path
    before = ledger.balances(db)
    good, other = (grants.give_pass(db, folder, user, NOW) for user in (USER, OTHER))
    workspace.journal.append("click", click("c9", USER).body)  # not in the database yet
    price = Money(1000, "EUR")
    for user in (USER, OTHER):
        thing = ("p" + "a" * 16, "Hat", "", price, True, "en", NOW, price, True)
        saved.save(db, SavedThing(user, *thing))
    told = people.data_of(db, folder, USER, NOW)
    assert [row["title"] for row in told["saved"]] == ["Hat"]
    assert [row["click_id"] for row in told["clicks"]] == ["c1", "c3"]
    assert [row["search_id"] for row in told["searches"]] == ["a" * 16]
    assert told["votes"][0]["vote"] == 1
    assert told["photos"] == ["a" * 16 + ".jpg"]
    assert told["cashback"]["totals"]["approved"] == [{"amount": "5.00", "currency": "EUR"}]
    assert len(told["passes"]) == 1
    assert OTHER not in json.dumps(told)

    erased = people.erase(db, folder, USER, NOW, workspace.drain)
    assert erased == people.Erased(clicks=3, searches=1, votes=1, photos=1, passes=1, saved=1)
    assert names_of(folder, USER) == []
    assert not db.shared or USER not in str(rows(db, select(t.clicks)))
    assert (folder / "photos" / ("b" * 16 + ".jpg")).exists()
    assert not (folder / "photos" / ("a" * 16 + ".jpg")).exists()
    assert ledger.balances(db) == before
    assert ledger.audit(db).proven
    assert people.data_of(db, folder, USER, NOW)["clicks"] == []
    assert not grants.is_good_pass(db, folder, good, USER, NOW)
    assert grants.is_good_pass(db, folder, other, OTHER, NOW)
    assert len(people.data_of(db, folder, OTHER, NOW)["clicks"]) == 1
    assert people.erase(db, folder, USER, NOW, workspace.drain).clicks == 0, "again is nothing"
    ledger.apply(db, [sold("c1", "paid", "s1", NOW + 9)])
    assert ledger.audit(db).proven, "news of the sale still come"


def test_old_searches_and_clicks_are_let_go_and_open_sales_wait(workspace: Workspace) -> None:
    db, old = workspace.db, NOW - 401 * DAY
    ledger.apply(
        db,
        [searched("a" * 16, NOW - 181 * DAY), searched("b" * 16, NOW - 179 * DAY),
         Record("feedback", ledger.feedback_body("a" * 16, "p1", 1, NOW - 181 * DAY)),
         click("unsold", USER, at=old), click("young", USER, at=NOW - 399 * DAY),
         click("open", USER, at=old), click("declined", USER, at=old), click("paid", USER, at=old),
         sold("open", "approved", "1"), sold("declined", "declined", "2"), sold("paid", "paid", "3")],
    )  # fmt: skip
    assert people.let_go(db, NOW, search_days=0, click_days=400).anonymous == 1  # the declined one
    ledger.pay(db, USER, "t1", at=NOW)  # until then the paid one is not settled for its shopper
    balances = ledger.balances(db)
    gone = people.let_go(db, NOW, search_days=180, click_days=400)
    k = t.clicks.c
    kept = dict(rows(db, select(k.click_id, k.user_token)))
    paid = {s: i for i, s in rows(db, select(t.conversions.c.click_id, t.conversions.c.status))}
    settled = {name for status, name in paid.items() if status in people.SETTLED}
    assert kept == {
        "young": USER, **{name: "" if name in settled else USER for name in ("open", "declined", "paid")}
    }  # fmt: skip
    assert "declined" in settled
    assert "open" not in settled
    assert gone == people.Outdated(clicks=0, anonymous=1, searches=1)
    assert rows(db, select(t.searches.c.search_id)) == [("b" * 16,)]
    assert rows(db, select(t.feedback.c.search_id)) == []
    assert ledger.balances(db) == balances
    assert ledger.audit(db).proven
    assert people.let_go(db, NOW, search_days=0, click_days=0) == people.Outdated(0, 0, 0)


def test_the_audit_log_only_grows(workspace: Workspace) -> None:
    deeds.note(workspace.db, NOW, "key boss", "enter")
    deeds.note(workspace.db, NOW + 1, "key boss", "leave", "x" * 9999)
    assert [(line.at, line.deed, len(line.detail)) for line in deeds.last(workspace.db)] == [
        (NOW + 1, "leave", 500), (NOW, "enter", 0)]  # fmt: skip
    for statement in ("UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log"):
        with pytest.raises(DBAPIError, match="append-only"), workspace.db.engine.begin() as c:
            c.execute(text(statement))
    assert len(deeds.last(workspace.db)) == 2


def test_a_database_of_before_gets_the_new_tables(workspace: Workspace) -> None:
    db = workspace.db
    with db.engine.begin() as c:
        for table in ("grants", "audit_log"):
            c.execute(text(f"DROP TABLE {table}"))
        version = max(
            p.name[:4] for p in (Path(db_module.__file__).parent / "versions").glob("*who_may*")
        )
        c.execute(text(f"UPDATE alembic_version SET version_num = '{int(version) - 1:04d}'"))
        c.execute(insert(t.pulls), [{"network": "n", "since": 1, "until": 2, "news": 3, "at": 4}])
        db_module._upgrade(c, version)
    assert {"grants", "audit_log"} <= set(inspect(db.engine).get_table_names())
    assert len(rows(db, select(t.pulls))) == 1
    deeds.note(db, NOW, "a", "b")


# ---- who may


def test_passes_are_listed_and_ended(workspace: Workspace) -> None:
    db, folder = workspace.db, workspace.path
    good = grants.give_pass(db, folder, USER, NOW)
    assert grants.give_pass(db, folder, USER, NOW + 3600) == good, "one a day is enough"
    later = grants.give_pass(db, folder, USER, NOW + 2 * DAY)
    assert later != good
    assert all(grants.is_good_pass(db, folder, text, USER, NOW) for text in (good, later))
    assert not grants.is_good_pass(db, folder, good, OTHER, NOW)
    assert not grants.is_good_pass(db, folder, good, USER, NOW + 31 * DAY)
    first = next(grant for grant in grants.listed(db, now=NOW) if grant.made_at == NOW)
    assert good not in str(rows(db, select(t.grants)))
    assert USER not in str(rows(db, select(t.grants)))
    grants.end(db, first.id[: grants.SHOWN], NOW)
    assert not grants.is_good_pass(db, folder, good, USER, NOW)
    assert grants.is_good_pass(db, folder, later, USER, NOW)
    for wrong in ("", first.id[:5], "%", "_" * 12, "0" * 12):
        with pytest.raises(NotFound):
            grants.end(db, wrong, NOW)
    assert grants.sweep(db, NOW + 40 * DAY) == 2


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Workspace, TestClient, str]]:
    init(tmp_path)
    secret = keys.add(tmp_path / "keys.json", "boss", "admin")
    chosen = Settings(host_key_hash=digest(HOST_KEY), rate_limit=0)
    with Workspace(tmp_path, chosen) as workspace:
        yield workspace, TestClient(create_app(workspace), follow_redirects=False), secret


def test_a_copied_cookie_is_worth_nothing_after_leaving(
    small: tuple[Workspace, TestClient, str],
) -> None:
    workspace, client, secret = small
    entered = client.post("/admin/enter", data={"key": secret})
    copied = re.search(r"lensback_admin=([^;]+)", entered.headers["set-cookie"])
    assert copied
    assert copied[1] not in str(rows(workspace.db, select(t.grants))), "kept as a digest"
    thief = {"Cookie": f"lensback_admin={copied[1]}"}
    other = TestClient(client.app, follow_redirects=False)
    assert "/admin/enter" not in other.get("/admin", headers=thief).text
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert client.post("/admin/leave", headers=foreign).status_code == 403
    assert "/admin/enter" not in client.get("/admin").text
    assert client.post("/admin/leave").status_code == 303
    assert 'action="/admin/enter"' in other.get("/admin", headers=thief).text
    again = client.post("/admin/enter", data={"key": secret}).headers["set-cookie"]
    assert copied[1] not in again, "each session is a new one"
    assert client.post("/admin/enter", data={"key": secret}, headers=foreign).status_code == 403
    assert [line.deed for line in deeds.last(workspace.db)] == ["enter", "leave", "enter"]


def test_wrong_keys_are_written_down_and_flood_nothing(
    small: tuple[Workspace, TestClient, str],
) -> None:
    workspace, client, secret = small
    service = client.app.state.service  # type: ignore[attr-defined]
    client.post("/admin/enter", data={"key": "sk_guess"})
    service.note_guesses()
    for n in range(40):
        client.post("/admin/enter", data={"key": f"sk_guess{n}"})
        client.get("/metrics", headers={"Authorization": f"Bearer guess{n}"})
        service.note_guesses()
    assert [(d.actor, d.detail) for d in deeds.last(workspace.db)] == [
        ("somebody", "1 at /admin/enter")
    ]
    service.guesses._told_at -= TOLD_S
    service.note_guesses()
    service.note_guesses()
    (second, _) = deeds.last(workspace.db)
    told = dict(part.split(" at ")[::-1] for part in second.detail.split(", "))
    assert set(told) <= {"/admin/enter", "/metrics"}
    assert 9 <= sum(map(int, told.values())) <= 80
    assert "guess" not in second.detail
    assert secret not in str(rows(workspace.db, select(t.audit_log)))


def test_a_session_is_ended_from_another_one(small: tuple[Workspace, TestClient, str]) -> None:
    _, client, secret = small
    other = TestClient(client.app, follow_redirects=False)
    known = {"Authorization": f"Bearer {HOST_KEY}"}
    link = client.get(f"/api/users/{USER}/cashback", headers=known).json()["page"]
    for browser in (client, other):
        browser.post("/admin/enter", data={"key": secret})
    page = client.get("/admin/access")
    assert page.headers["cache-control"] == "no-store"
    ends = re.findall(r'action="(/admin/grants/[0-9a-f]{64}/end)"', page.text)
    assert len(ends) == 3
    stranger = TestClient(client.app, follow_redirects=False)
    assert stranger.post(ends[0]).headers["location"] == "/admin/access"
    assert client.post(ends[0], headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.get(link).status_code == 200
    own = digest(client.cookies["lensback_admin"])
    for path in sorted(ends, key=lambda path: own in path):
        client.post(path)
    assert client.get(link).status_code == 404
    for browser in (client, other):
        assert 'action="/admin/enter"' in browser.get("/admin").text
        for path in ("/admin/access", "/admin/report", "/admin/stores/x"):
            answer = browser.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
            assert answer.headers["cache-control"] == "no-store"


def test_commands_are_written_down_without_the_person(tmp_path: Path) -> None:
    init(tmp_path)
    run = CliRunner()

    def call(*arguments: str) -> Any:
        done = run.invoke(app, [*arguments, "--workspace", str(tmp_path)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done

    pay = ["ledger", "pay", USER, "--reference", "transfer 7", "--workspace", str(tmp_path)]
    assert isinstance(run.invoke(app, pay).exception, NotFound)  # written down before it is tried
    call("ledger", "balances")
    call("ledger", "audit")
    call("ledger", "export", "--out", str(tmp_path / "out.csv"))
    call("ledger", "host-key")
    call("key", "add", "boss", "--scope", "admin")
    call("key", "remove", "boss")
    call("user", "export", USER, "--out", str(tmp_path / "user.json"))
    assert (tmp_path / "user.json").stat().st_mode & 0o077 == 0
    (tmp_path / "user.json").unlink()
    call("user", "erase", USER, "--json")
    told = json.loads(call("audit", "log", "--json").stdout)
    assert [line["deed"] for line in reversed(told)] == [
        "ledger pay", "ledger balances", "ledger audit", "ledger export", "ledger host-key", "key add",
        "key remove", "user export", "user erase",
    ]  # fmt: skip
    assert USER not in json.dumps(told)
    assert names_of(tmp_path, USER) == []
    assert "transfer 7" in json.dumps(told)
    db = Database(sqlite_url(tmp_path / "catalogue.db"))
    secret = grants.give_session(db, "boss", "hash", 0, 2**31)
    db.close()
    shown = json.loads(call("grant", "list", "--json").stdout)
    assert secret not in json.dumps(shown)
    call("grant", "end", shown[0]["id"])
    assert json.loads(call("grant", "list", "--json").stdout) == []
