"""Saved things of users: kept on the server, told of what became of them, to the page and to a webhook."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import select, update

from lensback import grants, search, telling
from lensback.catalogue import named, saved
from lensback.catalogue.saved import SavedThing, ThingNow
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import BadQuery
from lensback.net import Fetcher
from lensback.settings import Settings
from lensback.tokens import digest
from lensback.types import Money
from lensback.web import create_app
from lensback.workspace import Workspace
from published import publish
from standin import serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

USER, OTHER, HOST_KEY = "user-4711", "user-0815", "k" * 40
HOST = {"Authorization": f"Bearer {HOST_KEY}", "X-User-Token": USER}
SECRET = "of the webhook"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder, _ = publish(tmp_path_factory.mktemp("saved"))
    with Workspace(folder, Settings(host_key_hash=digest(HOST_KEY), rate_limit=0)) as opened:
        yield opened


@pytest.fixture(scope="module")
def served(workspace: Workspace) -> Iterator[TestClient]:
    headers = {"User-Agent": "Mozilla/5.0", "Accept-Language": "en"}
    with TestClient(create_app(workspace), follow_redirects=False, headers=headers) as opened:
        yield opened


@pytest.fixture
def client(served: TestClient, workspace: Workspace) -> Iterator[TestClient]:
    """As found: nothing is saved, nobody signed in, all in stock at their prices."""
    with workspace.db.read() as c:
        o = t.offers.c
        before = c.execute(select(o.id, o.price_minor, o.currency, o.availability, o.active)).all()
    one = product(workspace.db)
    change(workspace.db, one, price_minor=5000, currency="EUR", availability="in_stock")
    served.cookies.clear()
    yield served
    with workspace.db.write() as c:
        c.execute(t.saved_things.delete())
        for row in before:
            same = update(t.offers).where(t.offers.c.id == row.id)
            c.execute(same.values({name: row._mapping[name] for name in row._fields[1:]}))


def product(db: Database) -> str:
    return str(next(named.every(db, "harbour")).product_id)


def change(db: Database, product_id: str, **values: Any) -> None:
    with db.write() as c:
        c.execute(update(t.offers).where(t.offers.c.product_id == product_id).values(**values))


def told(db: Database, *, chats: bool = False, each: int = 500) -> list[tuple[str, str, int]]:
    """(owner, kind, price) of the news of now, which are then known."""
    said = []
    for news, known in saved.news(db, list, chats=chats, each=each):
        said += [(one.thing.owner, one.kind, one.price.minor) for one in news]
        saved.remember(db, known)
    return said


def lowest(db: Database, product_id: str) -> int:
    with db.read() as c:
        mine = t.offers.c.product_id == product_id
        return min(c.execute(select(t.offers.c.price_minor).where(mine)).scalars())


def test_news_are_told_once_and_only_what_is_news(client: TestClient, workspace: Workspace) -> None:
    db, one = workspace.db, product(workspace.db)
    assert client.put(f"/api/saved/{one}", headers=HOST).status_code == 200
    price = lowest(db, one)
    steps: list[tuple[dict[str, Any], list[tuple[str, int]]]] = [
        ({}, []),
        ({"price_minor": price + 500}, []),  # dearer is no news
        ({"price_minor": price}, []),  # nor is what was known
        ({"price_minor": price - 100}, [("cheaper", price - 100)]),
        ({"price_minor": price - 100}, []),
        ({"availability": "out_of_stock"}, []),
        ({"price_minor": price - 300}, []),  # cheaper, but not to be had
        ({"availability": "in_stock"}, [("back", price - 300)]),
        ({"active": False}, []),
        ({"active": True}, [("back", price - 300)]),
        ({"currency": "XYZ"}, []),
    ]
    for values, news in steps:
        if values:
            change(db, one, **values)
        assert told(db) == [(USER, *each) for each in news], values


def test_what_nobody_can_be_sent_to_is_no_news(client: TestClient, workspace: Workspace) -> None:
    """A feed that was tampered with makes nothing cheaper, and what is saved is saved at a price to be had."""
    db, one, o = workspace.db, product(workspace.db), t.offers.c
    with db.read() as c:
        rows = c.execute(select(o.id, o.url, o.target_url).where(o.product_id == one)).all()
    mine = update(t.offers).where(o.id == rows[0].id)
    with db.write() as c:
        c.execute(mine.values(url="javascript:alert(1)", target_url="", price_minor=1))
    try:
        assert client.put(f"/api/saved/{one}", headers=HOST).json()["things"][0]["price"] == {
            "amount": "50.00",
            "currency": "EUR",
        }
        (thing,) = client.get("/api/saved", headers=HOST).json()["things"]
        assert (thing["price_now"]["amount"], thing["cheaper"]) == ("50.00", False)
        led = search.reachable(db, workspace.cashback)
        assert [news for news, _ in saved.news(db, led, chats=False)] == [[]]
        change(db, one, url="javascript:alert(1)", target_url="")
        (thing,) = client.get("/api/saved", headers=HOST).json()["things"]
        assert thing["state"] == "sold_out", "nobody can be sent to any of them"
    finally:
        with db.write() as c:
            for row in rows:
                same = update(t.offers).where(o.id == row.id)
                c.execute(same.values(url=row.url, target_url=row.target_url))


def test_all_owners_are_looked_at_whatever_the_batch(
    client: TestClient, workspace: Workspace
) -> None:
    db, one = workspace.db, product(workspace.db)
    price = Money(lowest(db, one) + 100, "EUR")
    owners = [f"user-{n:04}" for n in range(7)] + [saved.owner_of_chat(n) for n in (-5, 70)]
    for owner in owners:
        saved.save(db, SavedThing(owner, one, "Hat", "", price, True, "en", 1, price, True))
    assert [owner for owner, *_ in told(db, each=2)] == owners[:7]
    assert {owner for owner, *_ in told(db, chats=True, each=1)} == set(owners[7:])
    assert [saved.chat_of(owner) for owner in owners[-3:]] == [None, -5, 70]


def test_nobody_saves_without_end(client: TestClient, workspace: Workspace) -> None:
    db, price = workspace.db, Money(1, "EUR")
    for n in range(saved.MOST):
        saved.save(db, SavedThing(USER, f"p{n}", "Hat", "", price, True, "en", n, price, True))
    again = SavedThing(USER, "p0", "Hat", "", price, True, "en", 9, price, True)
    saved.save(db, again)
    with pytest.raises(BadQuery):
        saved.save(db, SavedThing(USER, "px", "Hat", "", price, True, "en", 9, price, True))
    assert len(saved.of_owner(db, USER)) == saved.MOST
    assert saved.now_of(db, saved.of_owner(db, USER), list)["p0"] == ThingNow(None, False, False)


def test_the_api_is_for_the_host_and_for_passes(client: TestClient, workspace: Workspace) -> None:
    one = product(workspace.db)
    path = f"/api/saved/{one}"
    for headers in (
        {},
        {"X-User-Token": USER},
        {"Authorization": "Bearer wrong", "X-User-Token": USER},
    ):
        for method in ("PUT", "DELETE"):
            assert client.request(method, path, headers=headers).status_code == 401
        assert client.get("/api/saved", headers=headers).status_code == 401
    (thing,) = client.put(path, headers=HOST).json()["things"]
    assert (thing["product_id"], thing["state"], thing["cheaper"], thing["back"]) == (
        one, "in_stock", False, False,
    )  # fmt: skip
    assert thing["price"] == thing["price_now"]
    assert client.put(path, headers=HOST).json()["things"] == [thing], "again is nothing"
    assert client.get("/api/saved", headers={**HOST, "X-User-Token": OTHER}).json() == {
        "things": []
    }
    for wrong in ("p" + "a" * 16, "p" + "a" * 15, "x", "%2e%2e"):
        assert client.put(f"/api/saved/{wrong}", headers=HOST).status_code == 404, wrong
    good = grants.give_pass(workspace.db, workspace.path, USER, int(time.time()))
    client.cookies.set("lensback_user", good)
    assert len(client.get("/api/saved").json()["things"]) == 1
    elsewhere = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert client.delete(path, headers=elsewhere).status_code == 403
    assert client.delete(path).json() == {"things": []}
    assert client.delete(path).json() == {"things": []}, "again is nothing"


def test_what_a_browser_kept_is_handed_over_as_it_was(
    client: TestClient, workspace: Workspace
) -> None:
    db, one = workspace.db, product(workspace.db)
    now, path = int(time.time()), f"/api/saved/{one}"
    was = {"amount": "80.00", "currency": "EUR", "here": False, "saved_at": 1_700_000_000}
    for wrong in (
        {"amount": "-1"},
        {"amount": "1e400"},
        {"amount": "much"},
        {"amount": "NaN"},
        {"amount": "9" * 15, "currency": "CLF"},  # beyond what a database counts
        {"amount": "9" * 15},
        {"currency": "???"},
        {"currency": ""},
        {"saved_at": -5},
        {"saved_at": "soon"},
    ):
        sent = client.put(path, headers=HOST, json={**was, **wrong})
        assert sent.status_code == 422, wrong
    typed = {**HOST, "content-type": "application/json"}
    assert client.put(path, headers=typed, content=b"{" * 390).status_code == 422
    assert client.put(path, headers=typed, content=b" " * 5000).status_code == 413
    assert client.get("/api/saved", headers=HOST).json() == {"things": []}

    (thing,) = client.put(path, headers=HOST, json=was).json()["things"]
    assert (thing["price"]["amount"], thing["price_now"]["amount"]) == ("80.00", "50.00")
    assert (thing["cheaper"], thing["back"], thing["state"]) == (True, True, "in_stock")
    (kept,) = saved.of_owner(db, USER)
    assert (kept.saved_at, kept.told_price, kept.told_here) == (
        1_700_000_000, Money(8000, "EUR"), False,
    )  # fmt: skip
    assert told(db) == [(USER, "back", 5000)], "it hears what it has missed"
    again = client.put(path, headers=HOST, json={**was, "amount": "1.00"}).json()["things"]
    assert again == [thing], "what is there already is the older word"

    client.delete(path, headers=HOST)
    for late in (0, now + 86_400 * 900):
        client.put(path, headers=HOST, json={**was, "saved_at": late})
        (kept,) = saved.of_owner(db, USER)
        assert now <= kept.saved_at <= time.time(), "nothing is saved in the future"
        client.delete(path, headers=HOST)


def test_a_member_saves_without_a_script_and_sees_what_became_of_it(
    client: TestClient, workspace: Workspace
) -> None:
    db, one = workspace.db, product(workspace.db)
    assert 'id="save"' in client.get(f"/products/{one}").text, "by the script"
    assert client.post(f"/saved/{one}", data={"do": "save"}).status_code == 401
    good = grants.give_pass(db, workspace.path, USER, int(time.time()))
    client.cookies.set("lensback_user", good)

    def button() -> str:
        page = client.get(f"/products/{one}").text
        assert 'id="save"' not in page
        found = re.search(rf'action="/saved/{one}".*?name="do" value="(\w+)"', page)
        return found[1] if found else ""

    assert button() == "save"
    elsewhere = {"Origin": "https://evil.example"}
    sent = client.post(f"/saved/{one}", data={"do": "save"}, headers=elsewhere)
    assert (sent.status_code, button()) == (403, "save")
    sent = client.post(f"/saved/{one}", data={"do": "save"})
    assert (sent.status_code, sent.headers["location"]) == (303, f"/products/{one}")
    assert button() == "drop"
    page = client.get("/saved").text
    seen = re.sub(r'<div id="here-only" hidden>.*?</div>', "", page, flags=re.DOTALL)
    assert "Kept in this browser only" not in seen
    shown = page.partition('<ul class="saved">')[2]
    assert f'href="/products/{one}"' in shown
    for values, words in (
        ({"price_minor": lowest(db, one) - 100}, "Cheaper than when you saved it"),
        ({"availability": "out_of_stock"}, "Sold out"),
        ({"active": False}, "Not sold any more"),
    ):
        assert words not in shown
        change(db, one, **values)
        shown = client.get("/saved").text.partition('<ul class="saved">')[2]
        assert words in shown
    sent = client.post(f"/saved/{one}", data={"do": "drop", "from": "list"})
    assert sent.headers["location"] == "/saved"
    assert f"/products/{one}" not in client.get("/saved").text


# ---- the webhook


class Listener:
    """An operator's server that keeps what it is sent and answers as it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 200


@contextmanager
def listening() -> Iterator[tuple[str, Listener]]:
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            listener.got.append((dict(self.headers.items()), body))
            self.send_response(listener.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}/news", listener


def test_the_webhook_gets_signed_news_again_until_it_takes_them(
    client: TestClient, workspace: Workspace
) -> None:
    db, one = workspace.db, product(workspace.db)
    client.put(f"/api/saved/{one}", headers=HOST)
    price = lowest(db, one)
    change(db, one, price_minor=price - 100)
    with (
        listening() as (url, listener),
        Fetcher(user_agent="test", allow_hosts=["127.0.0.1"], retries=1, backoff_s=0.01) as fetcher,
    ):
        listener.status = 503
        tally = telling.tell(db, list, fetcher, url, SECRET, "https://find.example/")
        assert (tally.done, sum(tally.rejected.values())) == (0, 1)
        assert len(listener.got) == 2, "tried again at once, and then left for the next sync"
        listener.status = 204
        assert telling.tell(db, list, fetcher, url, "", "").done == 0, "nothing goes out unsigned"
        assert telling.tell(db, list, fetcher, url, SECRET, "https://find.example/").done == 1
        assert telling.tell(db, list, fetcher, url, SECRET).done == 0
        assert len(listener.got) == 3, "told once"
    heads = {name.lower(): value for name, value in listener.got[-1][0].items()}
    body = listener.got[-1][1]
    when, _, mark = heads["lensback-signature"].partition(",v1=")
    wanted = hmac.new(SECRET.encode(), f"{when[2:]}.".encode() + body, hashlib.sha256).hexdigest()
    assert mark == wanted
    assert abs(int(when[2:]) - time.time()) < 60
    (news,) = json.loads(body)["news"]
    assert news["user"] == USER
    assert news["kind"] == "cheaper"
    assert news["price"]["amount"] == f"{(price - 100) / 100:.2f}"
    assert news["price_before"]["amount"] == f"{price / 100:.2f}"
    assert news["page"] == f"https://find.example/products/{one}"
    first = json.loads(listener.got[0][1])["news"][0]
    assert first["id"] == news["id"], "the same news by the same name, however often it is told"


def test_a_webhook_that_hangs_holds_nothing_up(
    client: TestClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    db, one = workspace.db, product(workspace.db)
    client.put(f"/api/saved/{one}", headers=HOST)
    change(db, one, price_minor=lowest(db, one) - 100)
    monkeypatch.setattr(telling, "SEND_S", 0.5)
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        Fetcher(user_agent="test", allow_hosts=["127.0.0.1"], retries=0, timeout_s=0.3) as fetcher,
    ):
        tally = telling.tell(
            db, list, fetcher, f"http://127.0.0.1:{deaf.getsockname()[1]}/", SECRET
        )
    assert sum(tally.rejected.values()) == 1
    assert told(db) != [], "it waits for the next sync"
