"""The money path over HTTP: `/go`, `/postback`, the shopper's cashback; and what an attacker would try."""

from __future__ import annotations

import re
import sqlite3
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from lensback import conversions, ledger
from lensback.catalogue import offers, stores
from lensback.db import tables as t
from lensback.ledger.host import hash_of
from lensback.settings import Settings
from lensback.web import create_app
from lensback.workspace import Workspace
from published import publish

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

SECRET = "s3cret of the network"
HOST_KEY = "k" * 40
USER = "user-4711"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = publish(tmp_path_factory.mktemp("cashback"))[0]
    secrets = folder / "networks.toml"
    secrets.write_text(
        f'[generic]\npostback_secret = "{SECRET}"\n[epn]\npostback_hmac = "{SECRET}"\n'
    )
    secrets.chmod(0o600)
    return folder


@pytest.fixture
def workspace(made: Path) -> Iterator[Workspace]:
    with Workspace(made, Settings(host_key_hash=hash_of(HOST_KEY), rate_limit=0)) as opened:
        yield opened


@pytest.fixture
def client(workspace: Workspace) -> Iterator[TestClient]:
    app = create_app(workspace)
    with TestClient(app, follow_redirects=False, headers=BROWSER) as opened:
        yield opened


@pytest.fixture
def offer_id(workspace: Workspace) -> str:
    with workspace.db.read() as c:
        query = select(t.offers.c.offer_id).join(t.stores).where(t.stores.c.name == "harbour")
        return str(c.execute(query.order_by(t.offers.c.id)).scalars().first())


@pytest.fixture
def program(workspace: Workspace, offer_id: str) -> None:
    """The store pays 10 % through a network of its own template; the shopper gets 70 % of it."""
    host = re.match(r"https?://([^/]+)", offers.get(workspace.db, offer_id).offer.url)
    assert host
    terms = {
        "network": "generic",
        "domains": [host[1]],
        "share": "0.7",
        "currency": "RUB",
        "hold_days": 30,
        "claim_days": 20,
        "rates": [{"percent": "10"}],
        "link": {"template": "https://track.example/c?s={subid}&to={url}"},
    }
    feed = next(s for s in stores.overview(workspace.db, only="harbour"))
    stores.add(workspace.db, "harbour", feed.feed_url, program=terms)


def clicks(workspace: Workspace) -> list[Any]:
    workspace.drain()
    with workspace.db.read() as c:
        return list(c.execute(select(t.clicks).order_by(t.clicks.c.at)).mappings())


def tell(client: TestClient, **fields: str) -> Any:
    said = {"external_id": "s1", "status": "pending", "commission": "100.00", "currency": "RUB"}
    return client.post("/postback/generic", data={**said, "secret": SECRET, **fields})


# ---- /go


@pytest.mark.usefixtures("program")
def test_a_click_is_kept_and_leads_through_the_network(
    client: TestClient, workspace: Workspace, offer_id: str
) -> None:
    before = len(clicks(workspace))
    gone = client.get(f"/go/{offer_id}?search=abcdef0123456789")
    assert gone.status_code == 302
    link = gone.headers["location"]
    found = clicks(workspace)
    assert len(found) == before + 1
    last = found[-1]
    assert link.startswith(f"https://track.example/c?s={last['click_id']}&to=http")
    assert re.fullmatch(r"[0-9A-Za-z]{16,32}", last["click_id"])
    assert last["network"] == "generic"
    assert last["terms"]["share"] == "0.7"
    assert last["search_id"] == "abcdef0123456789"
    price = last["price_minor"]
    assert last["estimate_minor"] == int(int(price * 0.1) * 0.7) or (
        abs(last["estimate_minor"] - price * 0.07) <= 1
    )
    assert "no-store" in gone.headers["cache-control"]


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("HEAD", {}, 302),
        ("GET", {"User-Agent": "Googlebot/2.1 (+http://www.google.com/bot.html)"}, 302),
        ("GET", {"User-Agent": "facebookexternalhit/1.1"}, 302),
        ("GET", {"Purpose": "prefetch"}, 503),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}, 503),
    ],
)
@pytest.mark.usefixtures("program")
def test_what_is_no_click(
    client: TestClient,
    workspace: Workspace,
    offer_id: str,
    method: str,
    headers: dict[str, str],
    status: int,
) -> None:
    before = len(clicks(workspace))
    answer = client.request(method, f"/go/{offer_id}", headers=headers)
    assert answer.status_code == status
    assert "track.example" not in answer.headers.get("location", "")
    assert len(clicks(workspace)) == before


@pytest.mark.parametrize(
    "path",
    [
        "/go/https://evil.example/",
        "/go/%2F%2Fevil.example",
        "/go/{offer}?url=https://evil.example",
        "/go/{offer}?search=https://evil.example",
        "/go/{offer}?search=a%0d%0aLocation:%20https://evil.example",
        "/go/{offer}%0d%0aSet-Cookie:%20a=b",
        "/go/' OR 1=1 --",
    ],
)
@pytest.mark.usefixtures("program")
def test_no_open_redirect_and_no_injection(client: TestClient, offer_id: str, path: str) -> None:
    answer = client.get(path.replace("{offer}", offer_id))
    assert "evil" not in str(
        answer.headers.multi_items() if hasattr(answer.headers, "multi_items") else answer.headers
    )
    assert answer.status_code in {302, 404}
    if answer.status_code == 302:
        assert answer.headers["location"].startswith("https://track.example/c?s=")
    assert "set-cookie" not in answer.headers


@pytest.mark.usefixtures("program")
def test_clicks_go_on_while_the_database_is_locked(
    client: TestClient, workspace: Workspace, made: Path, offer_id: str
) -> None:
    before = len(clicks(workspace))
    with sqlite3.connect(made / "catalogue.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(20):
            begin = time.monotonic()
            assert client.get(f"/go/{offer_id}").status_code == 302
            assert time.monotonic() - begin < 5
        other.execute("ROLLBACK")
    other.close()
    assert len(clicks(workspace)) == before + 20


def test_a_link_outside_the_program_is_refused(
    client: TestClient, workspace: Workspace, offer_id: str, program: None
) -> None:
    found = stores.programs(workspace.db, ["harbour"])["harbour"]
    feed = stores.overview(workspace.db, only="harbour")[0]
    other = {**found.terms, "domains": ["shop.example"]}
    stores.add(workspace.db, "harbour", feed.feed_url, program=other)
    answer = client.get(f"/go/{offer_id}")
    assert answer.status_code == 404
    assert "location" not in answer.headers


# ---- postbacks


@pytest.mark.usefixtures("program")
def test_from_click_to_money(client: TestClient, workspace: Workspace, offer_id: str) -> None:
    headers = {"X-User-Token": USER, "Authorization": f"Bearer {HOST_KEY}"}
    link = client.get(f"/go/{offer_id}", headers=headers).headers["location"]
    subid = re.search(r"s=([0-9A-Za-z]+)", link)
    assert subid
    assert USER not in link
    for status in ("pending", "approved", "approved"):
        assert (
            tell(client, status=status, subid=subid[1], changed_at="1760000000").status_code == 200
        )
    workspace.drain()
    page = client.get(f"/api/users/{USER}/cashback", headers=headers)
    assert page.status_code == 200
    (sale,) = page.json()["sales"]
    assert sale["state"] == "approved"
    assert sale["cashback"] == {"amount": "70.00", "currency": "RUB"}
    held = ledger.balances(workspace.db)["RUB"]
    assert sum(held.values()) == 0
    assert held["commission_due"] == 10_000
    assert held["cashback_due"] == -7000
    assert ledger.audit(workspace.db).proven

    for language, word in (("ru", "кешбэк"), ("en", "cashback")):
        shown = client.get(page.json()["page"], headers={"Accept-Language": language})
        assert shown.status_code == 200
        assert word in shown.text.lower()
    assert client.get(f"/cashback/{USER}").status_code == 404, "a token alone is no pass"
    assert client.get(page.json()["page"][:-2] + "aa").status_code == 404


def test_whose_cashback_is_nobody_elses_business(client: TestClient) -> None:
    path = f"/api/users/{USER}/cashback"
    assert client.get(path).status_code == 401
    assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    good = {"Authorization": f"Bearer {HOST_KEY}"}
    assert client.get("/api/users/' OR 1=1/cashback", headers=good).status_code == 404


def test_forged_postbacks_change_nothing(client: TestClient, workspace: Workspace) -> None:
    workspace.drain()
    before = ledger.balances(workspace.db)
    with workspace.db.read() as c:
        events = c.execute(select(func.count()).select_from(t.conversion_events)).scalar_one()
    assert tell(client, external_id="f1", secret="guess").status_code == 401
    assert client.post("/postback/generic", data={"external_id": "f1"}).status_code == 401
    assert client.get("/postback/awin", params={"id": "f1"}).status_code == 401, "no secret is set"
    assert client.get("/postback/nobody").status_code == 404
    assert client.post("/postback/generic", content=b"x" * 100_000).status_code in {401, 413, 422}
    assert tell(client, external_id="f1", status="'; DROP TABLE clicks; --").status_code == 400
    assert tell(client, external_id="f1", commission="1e99").status_code == 400
    assert tell(client, external_id="f1", commission="NaN").status_code == 400
    workspace.drain()
    with workspace.db.read() as c:
        now = c.execute(select(func.count()).select_from(t.conversion_events)).scalar_one()
    assert (ledger.balances(workspace.db), now) == (before, events)
    counted = conversions.Refused(workspace.path / "refused_postbacks.log").counts()
    assert sum(counted.values()) >= 5
    assert SECRET not in str(counted)


def test_signed_postbacks_altered_and_replayed(client: TestClient, workspace: Workspace) -> None:
    fields = {
        "transactionId": "e1",
        "order_status": "pending",
        "timestamp": str(int(time.time())),
    }
    signed = {**fields, "signature": conversions.signature_of(fields, SECRET)}
    altered = {**signed, "order_status": "approved"}
    assert client.post("/postback/epn", data=altered).status_code == 401
    old = {**fields, "timestamp": "1700000000"}
    replayed = {**old, "signature": conversions.signature_of(old, SECRET)}
    assert client.post("/postback/epn", data=replayed).status_code == 401
    for _ in range(2):
        assert client.post("/postback/epn", data=signed).status_code == 200
        workspace.drain()
    with workspace.db.read() as c:
        query = select(func.count()).select_from(t.conversions)
        assert c.execute(query.where(t.conversions.c.external_id == "e1")).scalar_one() == 1


def test_a_guessed_click_id_finds_nobody(client: TestClient, workspace: Workspace) -> None:
    """A sale for a click that never was is kept aside, and no user gets it."""
    assert tell(client, external_id="g1", subid="a" * 22, status="approved").status_code == 200
    workspace.drain()
    with workspace.db.read() as c:
        query = select(t.conversions).where(t.conversions.c.external_id == "g1")
        row = c.execute(query).mappings().one()
    assert row["click_id"] is None
    assert row["cashback_minor"] == 0
    assert "aside" in ledger.balances(workspace.db)["RUB"]
