"""The money path over HTTP: `/go`, `/postback`, the shopper's cashback; and what an attacker would try."""

from __future__ import annotations

import json
import re
import sqlite3
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import func, literal_column, select, update

from lensback import conversions, grants, ledger
from lensback.catalogue import offers, stores
from lensback.db import tables as t
from lensback.settings import Settings
from lensback.speech import nearest
from lensback.tokens import digest
from lensback.web import create_app
from lensback.workspace import Workspace
from published import publish

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

SECRET = "s3cret of the network"
FORM = "application/x-www-form-urlencoded"
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


@pytest.fixture(scope="module")
def workspace(made: Path) -> Iterator[Workspace]:
    unlimited = {"rate_limit": 0, "write_limit": 0, "click_limit": 0, "guess_limit": 0}
    with Workspace(made, Settings(host_key_hash=digest(HOST_KEY), **unlimited)) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser(workspace: Workspace) -> Iterator[TestClient]:
    app = create_app(workspace)
    with TestClient(app, follow_redirects=False, headers=BROWSER) as opened:
        yield opened


@pytest.fixture
def client(browser: TestClient) -> TestClient:
    """One that comes for the first time."""
    browser.cookies.clear()
    return browser


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
        return list(c.execute(select(t.clicks).order_by(literal_column("rowid"))).mappings())


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


NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


def fetched(mode: str, dest: str, site: str = "cross-site", **more: str) -> dict[str, str]:
    return {"Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest, "Sec-Fetch-Site": site, **more}


# What browsers really send: W3C Fetch Metadata; MDN, List of default Accept values; Sec-Purpose.
NO_CLICK: list[tuple[str, dict[str, str], int]] = [
    ("HEAD", {}, 302),
    ("HEAD", NAVIGATE, 302),
    *(("GET", {"User-Agent": agent}, 302) for agent in (
        "", "Googlebot/2.1 (+http://www.google.com/bot.html)", "facebookexternalhit/1.1",
        "TelegramBot (like TwitterBot)", "WhatsApp/2.23.20.0 A", "Slackbot-LinkExpanding 1.0",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "Twitterbot/1.0",
        "LinkedInBot/1.0 (compatible; Mozilla/5.0)", "SkypeUriPreview Preview/0.5",
        "Mozilla/5.0 (compatible; vkShare; +http://vk.com/dev/Share)", "Viber/21.5.0.3",
        "Mozilla/5.0 (Windows NT 5.1) Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "YahooMailProxy; https://help.yahoo.com/kb/", "Mozilla/5.0 (compatible; Google-PageRenderer)",
        "Mozilla/5.0 AppleWebKit/537.36 HeadlessChrome/120.0 Safari/537.36", "curl/8.5", "Wget/1.21",
        "python-requests/2.32", "axios/1.6.0", "node-fetch/1.0", "Go-http-client/2.0", "okhttp/4.12",
        "Iframely/1.3.1 (+https://iframely.com/docs/about)", "Mattermost-Bot/1.1", "Synapse/1.98",
        "Mozilla/5.0 (compatible; YandexBot/3.0)", "Mozilla/5.0 (compatible; Mail.RU_Bot/2.0)",
        "Mozilla/5.0 (compatible; Perplexity-User/1.0; +https://perplexity.ai/perplexity-user)",
        "Mozilla/5.0 (compatible; Claude-User/1.0)", "Google-Safety", "Microsoft Office/16.0 (MSOutlook 16.0)",
    )),
    *(("GET", {name: value}, 503) for name, value in (
        ("Purpose", "prefetch"), ("Sec-Purpose", "prefetch"), ("Sec-Purpose", "prefetch;prerender"),
        ("Sec-Purpose", "prefetch;anonymous-client-ip"), ("X-Moz", "prefetch"), ("X-Purpose", "preview"),
    )),
    ("GET", fetched("navigate", "document", "none", **{"Sec-Purpose": "prefetch"}), 503),
    *(("GET", fetched(mode, dest, site), 200)
      for site in ("cross-site", "same-site", "same-origin")
      for mode, dest in (
        ("no-cors", "image"), ("cors", "image"), ("no-cors", "script"), ("no-cors", "style"),
        ("cors", "empty"), ("no-cors", "empty"), ("cors", "font"), ("no-cors", "video"),
        ("navigate", "iframe"), ("navigate", "frame"), ("navigate", "embed"), ("navigate", "object"),
        ("nested-navigate", ""), ("websocket", "empty"), ("navigate", "fencedframe"),
    )),
    ("GET", {"Sec-Fetch-Mode": "no-cors"}, 200),
    ("GET", {"Sec-Fetch-Dest": "image"}, 200),
    *(("GET", {"Accept": accept}, 200) for accept in (
        "image/webp,image/apng,image/*,*/*;q=0.8", "image/png,image/*;q=0.8,*/*;q=0.5",
        "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
        "text/css,*/*;q=0.1", "application/json", "video/webm,video/*;q=0.9,*/*;q=0.5",
        "image/png, image/svg+xml, image/*;q=0.8, */*;q=0.5",
        "image/webp,*/*", "image/avif,image/webp,*/*",  # Firefox 65 to 91
    )),
    ("GET", {"Accept": "*/*", "Origin": "https://elsewhere.example"}, 200),  # fetch of before 2019
    ("GET", {"Accept": "*/*", "X-Requested-With": "XMLHttpRequest"}, 200),
]  # fmt: skip


@pytest.mark.parametrize(("method", "headers", "status"), NO_CLICK)
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
    answer = client.request(method, f"/go/{offer_id}?search=abcdef0123456789", headers=headers)
    assert answer.status_code == status
    assert "track.example" not in answer.headers.get("location", "") + answer.text
    assert len(clicks(workspace)) == before
    assert "no-store" in answer.headers["cache-control"]
    if status in {200, 503}:
        assert f'href="/go/{offer_id}?search=abcdef0123456789"' in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Accept": HTML},
        {"Accept": "*/*"},  # Internet Explorer, Opera Mini
        {"Accept": "image/gif, image/jpeg, image/pjpeg, application/x-ms-application, */*"},
        {"Accept": HTML, "X-Requested-With": "org.telegram.messenger"},  # an app's own browser
        NAVIGATE,
        *(fetched("navigate", "document", site) for site in ("none", "same-origin", "cross-site")),
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none", "Accept": HTML},  # Chrome 76 to 79
        {
            "User-Agent": "Mozilla/5.0 (Linux; Android 13; CUBOT X30) Chrome/120.0 Mobile Safari/537.36"
        },
        {"User-Agent": "Mozilla/5.0 (Windows NT 10.0) YaBrowser/24.1 Safari/537.36"},
        {"User-Agent": "Opera/9.80 (J2ME/MIDP; Opera Mini/9.80) Presto/2.12 Version/12.16"},
    ],
)
@pytest.mark.usefixtures("program")
def test_what_is_a_click(
    client: TestClient, workspace: Workspace, offer_id: str, headers: dict[str, str]
) -> None:
    before = len(clicks(workspace))
    answer = client.get(f"/go/{offer_id}", headers=headers)
    assert answer.status_code == 302
    assert "track.example" in answer.headers["location"]
    assert len(clicks(workspace)) == before + 1


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
    assert "evil.example" not in str(
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
            assert client.get(f"/go/{offer_id}").status_code == 302, "a write would be told: Busy"
        other.execute("ROLLBACK")
    other.close()
    assert len(clicks(workspace)) == before + 20


def test_a_link_outside_the_program_is_refused(
    client: TestClient, workspace: Workspace, offer_id: str, program: None
) -> None:
    (found,) = stores.programs(workspace.db, ["harbour"])["harbour"]
    feed = stores.overview(workspace.db, only="harbour")[0]
    other = {**found.terms, "domains": ["shop.example"]}
    stores.add(workspace.db, "harbour", feed.feed_url, program=other)
    answer = client.get(f"/go/{offer_id}")
    assert answer.status_code == 404
    assert "location" not in answer.headers


@pytest.mark.usefixtures("program")
def test_the_host_service_may_click_from_a_program(
    client: TestClient, workspace: Workspace, offer_id: str
) -> None:
    before = len(clicks(workspace))
    program = {"User-Agent": "python-requests/2.32", "X-User-Token": USER}
    known = {**program, "Authorization": f"Bearer {HOST_KEY}"}
    assert "track.example" in client.get(f"/go/{offer_id}", headers=known).headers["location"]
    wrong = {**program, "Authorization": "Bearer guess"}
    for bad in (wrong, program, {**known, "Authorization": f"Bearer {HOST_KEY[:-1]}"}):
        refused = client.get(f"/go/{offer_id}", headers=bad)
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "Unauthorized")
    found = clicks(workspace)
    assert len(found) == before + 1
    assert found[-1]["user_token"] == USER


HERE = {"Sec-Fetch-Site": "same-origin", **NAVIGATE}


@pytest.mark.usefixtures("program")
def test_a_click_is_whose_pass_it_bears(
    client: TestClient, workspace: Workspace, offer_id: str
) -> None:
    good = grants.give_pass(workspace.db, workspace.path, USER, int(time.time()))
    old = grants.give_pass(workspace.db, workspace.path, USER, 1_700_000_000)
    forged = f"{USER}.{int(time.time()) + 99}.{'0' * 64}"
    for text in (good, old, forged, f"{USER}", "x" * 5000, "é.1.2"):
        answer = client.get(f"/go/{offer_id}", params={"user": text}, headers=HERE)
        assert answer.status_code == 302
    assert [click["user_token"] for click in clicks(workspace)[-6:]] == [USER, "", "", "", "", ""]


FROM_HERE = [
    HERE,
    {"Referer": "http://testserver/"},
    {"Referer": "http://testserver/answers/1?x=2"},
    {"Referer": "https://TESTSERVER/"},
]
FROM_ELSEWHERE = [
    {},
    *(fetched("navigate", "document", site) for site in ("none", "same-site", "cross-site")),
    {**fetched("navigate", "document", "cross-site"), "Referer": "http://testserver/"},
    {"Referer": "https://forum.example/"},
    {"Referer": "https://testserver.evil.example/"},
    {"Referer": "https://evil.example/?http://testserver/"},
    {"Referer": "http://testserver@evil.example/"},
    {"Referer": "android-app://org.telegram.messenger/"},
]


@pytest.mark.parametrize("cookie", ["", "own", "other"])
@pytest.mark.parametrize(
    ("headers", "counts"), [(h, True) for h in FROM_HERE] + [(h, False) for h in FROM_ELSEWHERE]
)
@pytest.mark.usefixtures("program")
def test_a_pass_in_the_address_counts_from_our_own_pages(
    client: TestClient,
    workspace: Workspace,
    offer_id: str,
    headers: dict[str, str],
    counts: bool,
    cookie: str,
) -> None:
    """A link that somebody else put anywhere makes nobody's purchase theirs."""
    now, whose = int(time.time()), {"own": USER, "other": "user-other"}
    named = grants.give_pass(workspace.db, workspace.path, USER, now)
    if cookie:
        kept = grants.give_pass(workspace.db, workspace.path, whose[cookie], now)
        client.cookies.set("lensback_user", kept)
    before = len(clicks(workspace))
    answer = client.get(f"/go/{offer_id}", params={"user": named}, headers=headers)
    found = clicks(workspace)[before:]
    if counts or cookie == "own":
        assert answer.status_code == 302
        assert [click["user_token"] for click in found] == [USER]
    else:
        assert (answer.status_code, found) == (200, [])
        assert named not in answer.text, "the way on names nobody"
        assert "names an account" in answer.text


@pytest.mark.usefixtures("program")
def test_a_user_clicks_no_faster_than_a_person(made: Path, offer_id: str) -> None:
    limited = Settings(rate_limit=0, write_limit=0, click_limit=1, host_key_hash=digest(HOST_KEY))
    with Workspace(made, limited) as opened:
        known = {"Authorization": f"Bearer {HOST_KEY}", "User-Agent": "python-requests/2.32"}
        with TestClient(create_app(opened), follow_redirects=False, headers=known) as client:
            for user in ("user-quick", "user-other"):
                headers = {"X-User-Token": user}
                answers = [client.get(f"/go/{offer_id}", headers=headers) for _ in range(14)]
                assert [answer.status_code for answer in answers[:10]] == [302] * 10
                assert answers[-1].status_code == 429, user
                assert int(answers[-1].headers["retry-after"]) >= 1
            assert client.get(f"/go/{offer_id}").status_code == 302, "nobody has no such limit"


@pytest.mark.usefixtures("program")
def test_a_full_queue_refuses_the_click_and_keeps_the_others(
    made: Path, workspace: Workspace, offer_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over its bound on disk the queue says so; a shopper is never sent off without a trace."""
    monkeypatch.setattr("lensback.db.BUSY_TIMEOUT_S", 0.5)  # the end of `serve` waits for the lock
    small = Settings(rate_limit=0, journal_max_bytes=2000)
    with Workspace(made, small) as full, sqlite3.connect(made / "catalogue.db") as other:
        other.execute("BEGIN IMMEDIATE")  # so that nothing leaves the queue
        app = create_app(full)
        with TestClient(app, follow_redirects=False, headers=BROWSER) as client:
            answers = [client.get(f"/go/{offer_id}") for _ in range(12)]
        other.rollback()
    gone = [re.search("s=([0-9A-Za-z]+)", a.headers.get("location", "")) for a in answers]
    assert {a.status_code for a in answers} == {302, 503}
    sent = {found[1] for found in gone if found}
    end = time.monotonic() + 240  # the drain of the one before may still be at it
    while time.monotonic() < end and not sent <= {c["click_id"] for c in clicks(workspace)}:
        time.sleep(0.1)
    assert sent <= {click["click_id"] for click in clicks(workspace)}


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/hat",
        "//evil.example",
        "javascript:alert(1)",
        "https://harbour.example@evil.example/",
        "https://evil.example\\.harbour.example/",
    ],
)
@pytest.mark.parametrize("agent", ["Mozilla/5.0", "Googlebot/2.1"])
@pytest.mark.usefixtures("program")
def test_a_feed_that_was_tampered_with_sends_nobody_away(
    client: TestClient, workspace: Workspace, offer_id: str, url: str, agent: str
) -> None:
    o = t.offers.c
    with workspace.db.read() as c:
        before = c.execute(select(o.url, o.target_url).where(o.offer_id == offer_id)).one()
    changes = update(t.offers).where(o.offer_id == offer_id)
    with workspace.db.write() as c:
        c.execute(changes.values(url=url, target_url=url))
    product = offers.get(workspace.db, offer_id).product_id
    try:
        answer = client.get(f"/go/{offer_id}", headers={"User-Agent": agent})
        told = client.get(f"/api/offers/{offer_id}").json()
        page = client.get(f"/products/{product}", headers={"Accept-Language": "en"}).text
    finally:
        with workspace.db.write() as c:
            c.execute(changes.values(url=before.url, target_url=before.target_url))
    assert answer.status_code in {204, 404}
    assert "location" not in answer.headers
    assert told["reachable"] is False
    assert f"/go/{offer_id}" not in page, "no button leads nowhere"
    assert "/go/" in page, "the other offers' buttons stand"
    assert client.get(f"/api/offers/{offer_id}").json()["reachable"] is True
    assert f"/go/{offer_id}" in client.get(f"/products/{product}").text


@pytest.mark.usefixtures("program")
def test_a_header_in_a_feed_ends_no_header(
    client: TestClient, workspace: Workspace, offer_id: str
) -> None:
    o = t.offers.c
    with workspace.db.read() as c:
        before = c.execute(select(o.url).where(o.offer_id == offer_id)).scalar_one()
    changes = update(t.offers).where(o.offer_id == offer_id)
    with workspace.db.write() as c:
        c.execute(changes.values(url=f"{before}\r\nSet-Cookie: a=b", target_url=""))
    try:
        answers = [
            client.get(f"/go/{offer_id}", headers={"User-Agent": agent})
            for agent in ("Mozilla/5.0", "curl/8")
        ]
    finally:
        with workspace.db.write() as c:
            c.execute(changes.values(url=before))
    assert [answer.status_code for answer in answers] == [404, 204]
    assert all("set-cookie" not in answer.headers for answer in answers)


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
    good = page.json()["page"]
    altered = good[:-1] + ("0" if good[-1] != "0" else "1")
    assert client.get(altered).status_code == 404


def test_the_page_says_what_is_owed_and_what_was_visited(
    client: TestClient, workspace: Workspace, offer_id: str, program: None
) -> None:
    user = "user-4712"
    known = {"X-User-Token": user, "Authorization": f"Bearer {HOST_KEY}"}
    links = [client.get(f"/go/{offer_id}", headers=known).headers["location"] for _ in range(2)]
    sold, visited = (re.search(r"s=([0-9A-Za-z]+)", link)[1] for link in links)  # type: ignore[index]
    assert tell(client, external_id="o1", status="approved", subid=sold).status_code == 200
    workspace.drain()
    ledger.pay(workspace.db, user, "transfer 7", at=int(time.time()))
    told = {"status": "declined", "subid": sold, "changed_at": "1760000000", "reason": "возврат"}
    assert tell(client, external_id="o1", **told).status_code == 200
    workspace.drain()
    found = client.get(f"/api/users/{user}/cashback", headers=known, params={"lang": "ru"}).json()
    (sale,) = found["sales"]
    assert (sale["state"], sale["owed"]["amount"]) == ("declined", "70.00")
    assert sale["declined"]["text"] == "Покупка возвращена."
    assert found["totals"]["owed"] == [{"amount": "70.00", "currency": "RUB"}]
    said = ledger.sales_of(workspace.db, user, now=int(time.time()), say=nearest("ru").say)
    assert {**said, "pass": found["pass"], "page": f"/cashback/{found['pass']}"} == found
    (visit,) = found["visits"]
    assert (visit["click"]["id"], visit["claim"]) == (visited, False), "it may still show"
    page = client.get(found["page"], headers={"Accept-Language": "ru"}).text
    for words in ("будет вычтено из следующего кешбэка", "Покупка возвращена.", visited):
        assert words in page


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://testserver"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "https://forum.example"}, False),
        ({"Origin": "http://testserver.evil.example"}, False),
        ({"Origin": "null"}, False),
    ],
)
def test_a_browser_clicks_for_a_user_only_when_it_was_asked_on_our_page(
    made: Path, workspace: Workspace, client: TestClient, headers: dict[str, str], kept: bool
) -> None:
    path = f"/cashback/{grants.give_pass(workspace.db, made, USER, int(time.time()))}"
    shown = client.get(path)
    assert shown.status_code == 200
    assert "lensback_user" not in shown.cookies, "a link alone makes no browser somebody's"
    assert '<form method="post"' in shown.text
    said = client.post(path, headers=headers)
    assert said.status_code == (303 if kept else 403)
    assert ("lensback_user" in said.cookies) is kept
    if kept:
        cookie = said.headers["set-cookie"].lower()
        assert "samesite=lax" in cookie
        assert "httponly" in cookie
        assert '<form method="post"' not in client.get(path).text, "it is asked once"
        other = client.get(
            f"/cashback/{grants.give_pass(workspace.db, made, 'user-other', int(time.time()))}"
        ).text
        assert "count for somebody else" in other


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
    counted = conversions.RefusedCalls(workspace.path / "refused_postbacks.log").counts()
    assert sum(counted.values()) >= 5
    assert SECRET not in str(counted)


def test_half_a_letter_is_refused_before_it_is_answered_for(client: TestClient) -> None:
    """JSON can write it, and no database takes it: what was answered with 200 would be lost."""
    fields = {"external_id": "half", "status": "pending", "secret": SECRET}
    for name in ("external_id", "subid", "order_id"):
        body = json.dumps(fields | {name: "half \ud800"})
        headers = {"Content-Type": "application/json"}
        said = client.post("/postback/generic", content=body, headers=headers)
        assert said.status_code == 400, name
        assert said.json()["error"]["type"] == "PostbackError"


@pytest.mark.parametrize("field", ["external_id", "secret", "signature", "\ud800", "transactionId"])
@pytest.mark.parametrize("network", ["generic", "epn"])
def test_half_a_letter_of_a_stranger_is_refused(
    network: str, field: str, client: TestClient
) -> None:
    """Wherever it lies, and before anything is signed or compared."""
    body = json.dumps({"transactionId": "e1", "signature": "x", field: "o\ud800"})
    headers = {"Content-Type": "application/json"}
    said = client.post(f"/postback/{network}", content=body, headers=headers)
    assert (said.status_code, said.json()["error"]["message"]) == (400, "half a letter")


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


def test_ids_in_the_old_cyrillic_page_stay_apart(client: TestClient, workspace: Workspace) -> None:
    """Written as U+FFFD, all bytes that are no UTF-8 are the same: two sales would be one."""
    said = f"status=pending&commission=1&currency=RUB&secret={quote(SECRET)}&external_id="
    for sent in ("%C7%E0%EA%E0%E7-1", "%D2%E0%EA%E0%E7-1", "%D0%97%D0%B0%D0%BA%D0%B0%D0%B7-1"):
        assert client.get(f"/postback/generic?{said}{sent}").status_code == 200
        body = {"content": said + sent, "headers": {"Content-Type": FORM}}
        assert client.post("/postback/generic", **body).status_code == 200  # type: ignore[arg-type]
    workspace.drain()
    with workspace.db.read() as c:
        found = c.execute(select(t.conversions.c.external_id)).scalars()
        assert sorted(one for one in found if one.endswith("-1")) == ["Заказ-1", "Таказ-1"]
    refused = client.get(f"/postback/generic?{said}%98")
    assert (refused.status_code, refused.json()["error"]["type"]) == (422, "BadQuery")


def test_a_call_that_says_two_things_says_nothing(client: TestClient, workspace: Workspace) -> None:
    """The same field twice: what a filter in between saw may not be what we read."""
    said = f"external_id=p1&status=pending&commission=1&currency=RUB&secret={SECRET}"
    doubled = client.get(f"/postback/generic?{said}&status=approved")
    assert doubled.status_code == 422
    both = client.post(f"/postback/generic?{said}", data={"commission": "900000"})
    assert both.status_code == 422
    workspace.drain()
    with workspace.db.read() as c:
        query = select(func.count()).select_from(t.conversions)
        assert c.execute(query.where(t.conversions.c.external_id == "p1")).scalar_one() == 0


def test_a_signature_covers_every_field(client: TestClient) -> None:
    fields = {"transactionId": "e9", "order_status": "pending"}
    signed = {**fields, "signature": conversions.signature_of(fields, SECRET)}
    assert client.post("/postback/epn", data=signed).status_code == 200, "no time is no must"
    for more in ({"commission_user": "9"}, {"sub1": "a" * 22}, {"timestamp": "1"}):
        assert client.post("/postback/epn", data={**signed, **more}).status_code == 401
    assert client.post("/postback/epn", data=fields).status_code == 401
    assert client.post("/postback/epn", data={**fields, "signature": ""}).status_code == 401


INJECTIONS = ["' OR 1=1 --", "x'); DROP TABLE clicks; --", '"; SELECT 1', "\u0000", "%", "a" * 190]


@pytest.mark.parametrize("evil", INJECTIONS)
def test_sql_in_every_field_is_text(client: TestClient, workspace: Workspace, evil: str) -> None:
    fields = {"order_id": evil, "reason": evil, "subid": evil, "item": evil, "status": "declined"}
    answer = tell(client, external_id=f"sql {INJECTIONS.index(evil)}", **fields)
    assert answer.status_code in {200, 400}
    client.get("/go/aaaaaaaaaaaaaaaa", params={"search": evil, "user": evil})
    client.get(f"/api/users/{USER}/cashback", params={"lang": evil})
    workspace.drain()
    assert ledger.audit(workspace.db).proven
    assert clicks(workspace)


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
