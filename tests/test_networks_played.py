"""Every network's documented shapes, played to the shopper's view and to the balances.

`tests/networks/NAME/poll.json` holds rows as the network shows them on four days (new; approved, amended,
declined; raised, taken back, paid; declined late), `calls.json` its notifications. What they must come to was
summed up by hand: the shopper gets 60 % of a commission, cut to the cent.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from lensback import conversions, ledger
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.errors import FetchFailed
from lensback.journal import Record
from lensback.net import Fetcher
from lensback.networks import Network, open_network, poll
from lensback.settings import Settings
from lensback.types import Conversion, Money, Offer, StoredOffer
from lensback.web import create_app
from lensback.workspace import Workspace, init
from network_servers import FIXTURES, SERVERS, Wrong
from standin import Api, Asked, Reply, running

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

DAY_S = 86_400
START = int(datetime(2026, 9, 1, tzinfo=UTC).timestamp())
SECRET = "s3cret"
POLLED = sorted(path.parent.name for path in FIXTURES.glob("*/poll.json"))
CALLED = sorted(path.parent.name for path in FIXTURES.glob("*/calls.json"))


def told(name: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / name / f"{kind}.json").read_text("utf-8"))
    return found


def click_of(name: str, letter: str) -> str:
    """The click ids in the fixtures: as long as ours, one for each order."""
    return (name + "x" * 22)[:21] + letter


def clicked(name: str) -> list[Record]:
    stored = StoredOffer(
        "a" * 16, f"harbour-{name}", "", Offer("1", "Hat", "https://h.example", Money(1, "EUR"))
    )
    return [
        Record(
            "click",
            ledger.click_body(
                click_of(name, letter),
                stored,
                at=START,
                source="go",
                user_token=f"shopper-{name}",
                network=name,
                program_id="7",
                terms={"share": "0.6", "hold_days": 30, "claim_days": 20},
            ),
        )
        for letter in "ABCD"
    ]


def seen(db: Database, name: str, now: int) -> list[list[Any]]:
    """The shopper's view: click, state, cashback, currency, reason."""
    view = ledger.sales_of(db, f"shopper-{name}", now=now)
    return sorted(
        (
            [
                sale["click"]["id"][-1],
                sale["state"],
                sale["cashback"]["amount"],
                sale["cashback"]["currency"],
                (sale.get("declined") or {}).get("code"),
            ]
            for sale in view["sales"]
        ),
        key=str,
    )


def held(db: Database, name: str) -> dict[str, dict[str, int]]:
    """What the accounts hold for this network's sales, by currency."""
    e, v = t.entries.c, t.conversions.c
    total = func.sum(e.minor).label("total")
    query = select(e.currency, e.account, total).join(t.conversions, v.id == e.conversion_id)
    found: dict[str, dict[str, int]] = {}
    with db.read() as c:
        for row in c.execute(query.where(v.network == name).group_by(e.currency, e.account)):
            if row.total:
                found.setdefault(row.currency, {})[row.account] = int(row.total)
    return found


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def fetcher() -> Iterator[Fetcher]:
    with Fetcher(user_agent="test", allow_hosts=["127.0.0.1"], timeout_s=240, retries=0) as made:
        yield made


@pytest.fixture
def db(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(migrated_sqlite, tmp_path / "catalogue.db")
    database = Database(sqlite_url(tmp_path / "catalogue.db"))
    yield database
    database.close()


def unhurried(network: Network) -> Network:
    """Without the pauses between questions, and without the bound that depends on today; words that nobody
    checked count as the file has them: that they are refused otherwise is tested by itself."""
    assert network.poll
    return replace(network, unchecked={}, poll=replace(network.poll, per_minute=0, reach_days=0))


class Played:
    """One network's report on the days of its fixture."""

    def __init__(self, name: str, api: Api, fetcher: Fetcher, keep: Path) -> None:
        self.name, self.told = name, told(name, "poll")
        self.network = unhurried(open_network(name))
        self.rows: list[dict[str, Any]] = []
        self.account = {**self.told["account"], "api": api.url, "oauth": api.url}
        self._fetcher, self._keep = fetcher, keep
        api.answer = self._answer

    def _answer(self, asked: Asked) -> Reply:
        try:
            return SERVERS[self.name](asked, self.rows)
        except (Wrong, KeyError, ValueError) as error:
            return Reply({"error": f"{type(error).__name__}: {error}", "asked": asked.path}, 400)

    def ask(self, begin: int, end: int) -> list[Conversion]:
        return list(poll(self.network, self.account, self._fetcher, begin, end, keep=self._keep))

    def pull(self, db: Database, round_: dict[str, Any], since: int) -> conversions.Pulled:
        assert self.network.poll
        self.rows = round_["rows"]
        now = START + round_["day"] * DAY_S
        return conversions.pull(
            db, self.name, self.ask, since=since, now=now, window_days=self.network.poll.window_days
        )


@pytest.mark.parametrize("name", POLLED)
def test_polled(name: str, api: Api, fetcher: Fetcher, db: Database, tmp_path: Path) -> None:
    """Where a network lets us ask by change, only what is new since the last day is asked for: late changes
    of old sales must come all the same."""
    played = Played(name, api, fetcher, tmp_path)
    ledger.apply(db, clicked(name))
    since = START
    for round_ in played.told["rounds"]:
        done = played.pull(db, round_, since)
        assert not done.rejected
        now = START + round_["day"] * DAY_S
        assert seen(db, name, now) == round_["sales"], f"day {round_['day']}"
        assert held(db, name) == round_["balances"], f"day {round_['day']}"
        # The same report once more is no news.
        again = played.pull(db, round_, since - 1)
        assert (again.new, again.read > 0) == (0, True)
        since = now - DAY_S if played.told["since"] == "round" else START
    assert ledger.audit(db).proven


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("called") / "w"
    init(folder)
    secrets = folder / "networks.toml"
    secrets.write_text("".join(f'[{name}]\npostback_secret = "{SECRET}"\n' for name in CALLED))
    secrets.chmod(0o600)
    with Workspace(folder, Settings(rate_limit=0)) as opened:
        opened.db.migrate()
        yield opened


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(create_app(workspace), follow_redirects=False) as opened:
        yield opened


def called(client: TestClient, name: str, call: dict[str, Any]) -> None:
    secret = {"secret": SECRET}
    if call["method"] == "GET":
        answer = client.get(f"/postback/{name}", params={**call["query"], **secret})
    elif "json" in call:
        answer = client.post(f"/postback/{name}", params=secret, json=call["json"])
    else:
        answer = client.post(f"/postback/{name}", params=secret, data=call["form"])
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("name", CALLED)
def test_called(
    name: str, client: TestClient, workspace: Workspace, api: Api, fetcher: Fetcher, tmp_path: Path
) -> None:
    """The notifications, each twice, and then the report: one sale each, the report's word in the end."""
    calls = told(name, "calls")
    ledger.apply(workspace.db, clicked(name))
    for call in [*calls["calls"], *calls["calls"]]:
        called(client, name, call)
    workspace.drain()
    now = START + 2 * DAY_S
    assert seen(workspace.db, name, now) == calls["sales"]
    assert held(workspace.db, name) == calls["balances"]
    played = Played(name, api, fetcher, tmp_path)
    for round_ in played.told["rounds"][1:]:
        played.pull(workspace.db, round_, START)
        now = START + round_["day"] * DAY_S
        assert seen(workspace.db, name, now) == round_["sales"], f"day {round_['day']}"
        assert held(workspace.db, name) == round_["balances"]
    assert ledger.audit(workspace.db).proven


JSON_CALL = {
    "action_id": "1001.60{n}.1",
    "status": "APPROVED",
    "currency": "EUR",
    "sub_id1": click_of("impact", "A"),
    "order_id": "ORD-60{n}",
    "items": [{"amount": "10.00", "payout": "1.00"}, {"amount": "5", "payout": 0.5}],
}
PARTS = b"".join(
    b'--b0\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % pair
    for pair in (
        (b"ActionId", b"1001.60{n}.1"),
        (b"Status", b"APPROVED"),
        (b"Currency", b"EUR"),
        (b"SubId1", click_of("impact", "A").encode()),
        (b"Payout", b"1.50"),
        (b"Amount", b"15.00"),
        (b"Oid", "\u0417\u0430\u043a\u0430\u0437 60{n}".encode()),
    )
)
BODIES = {
    "json": ("application/json", json.dumps(JSON_CALL).encode()),
    "json, another name": ("application/json; charset=utf-8", json.dumps(JSON_CALL).encode()),
    "json as text": ("text/plain", b"\n " + json.dumps(JSON_CALL, indent=1).encode()),
    "json as a form": ("application/x-www-form-urlencoded", json.dumps(JSON_CALL).encode()),
    "json of no kind": ("", json.dumps(JSON_CALL).encode()),
    "json behind a mark": (
        "application/vnd.net+json",
        b"\xef\xbb\xbf" + json.dumps(JSON_CALL).encode(),
    ),
    "parts": ('multipart/form-data; boundary="b0"', PARTS + b"--b0--\r\n"),
    "parts beside a file": (
        "Multipart/Form-Data; boundary=b0",
        PARTS
        + b'--b0\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n\x00\xff\r\n--b0--',
    ),
}


def posted(client: TestClient, kind: str, body: bytes) -> Any:
    headers = {"Content-Type": kind} if kind else {}
    return client.post("/postback/impact", params={"secret": SECRET}, content=body, headers=headers)


def test_a_body_is_read_whatever_its_sender_calls_it(
    client: TestClient, workspace: Workspace
) -> None:
    ledger.apply(workspace.db, clicked("impact"))
    before = held(workspace.db, "impact").get("EUR", {}).get("commission_due", 0)
    for n, (kind, body) in enumerate(BODIES.values()):
        answer = posted(client, kind, body.replace(b"{n}", str(n).encode()))
        assert answer.status_code == 200, (kind, answer.text)
    workspace.drain()
    now = held(workspace.db, "impact")["EUR"]["commission_due"]
    assert now - before == 150 * len(BODIES)


def part_of(more: bytes) -> bytes:
    return b"--b0\r\nContent-Disposition: form-data; " + more + b"\r\n\r\n1\r\n--b0--\r\n"


NESTED = b"".join(
    b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(900)
)
"""Depths, brackets and semicolons on which Python's reader of mail fails, or thinks for seconds."""


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b0", b""),
        ("multipart/form-data; boundary=b0", b"--b0\r\n\r\nx\r\n--b0--"),
        ("multipart/form-data; boundary=b0", PARTS.replace(b"1.50", b"\xff") + b"--b0--"),
        ("multipart/form-data; boundary=b0", PARTS + PARTS.replace(b"1.50", b"9.50") + b"--b0--"),
        ("multipart/form-data; boundary=b0", PARTS * 40 + b"--b0--"),
        (f"multipart/form-data; boundary={'(' * 8000}", b"--x"),
        ("multipart/form-data; boundary=b0", part_of(b"name=" + b"(" * 20_000)),
        ("multipart/form-data; boundary=b0", part_of(b";" * 30_000)),
        ("multipart/form-data; boundary=b0", b"--b0\r\n" + NESTED),
        ("text/plain", b'{"action_id": "1", '),
        ("text/plain", b'{"action_id": "1", "action_id": "2"}'),
        ("", b"\xff\xfe{}"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_and_counted(
    client: TestClient, workspace: Workspace, kind: str, body: bytes
) -> None:
    log = conversions.RefusedCalls(workspace.path / "refused_postbacks.log")
    before = log.counts().total()
    assert posted(client, kind, body).status_code in {400, 422}
    assert log.counts().total() == before + 1


def test_every_report_has_its_fixture() -> None:
    with_report = {path.stem for path in Path(str(FIXTURES)).glob("*")}
    assert set(POLLED) == set(SERVERS)
    assert with_report >= set(SERVERS)


# ---- the tokens of ePN


def test_tokens_outlive_the_process(api: Api, tmp_path: Path) -> None:
    """One session for many processes: kept on disk, renewed by the refresh token, begun anew only when
    both are gone."""
    asked: list[str] = []
    good = {"access": "T1", "refresh": "R1"}

    def answer(one: Asked) -> Reply:
        asked.append(one.path)
        pair = {"access_token": good["access"], "refresh_token": good["refresh"]}
        if one.path == "/ssid":
            return Reply({"data": {"attributes": {"ssid_token": "S1"}}})
        if one.path == "/token/refresh":
            said = json.loads(one.body)
            fine = (said["grant_type"], said["refresh_token"], said["client_id"])
            if fine != ("refresh_token", good["refresh"], "me"):
                return Reply({"error": "invalid_grant"}, 400)
            good.update(access="T2", refresh="R2")
            return Reply({"data": {"attributes": {"access_token": "T2", "refresh_token": "R2"}}})
        if one.path == "/token":
            return Reply({"data": {"attributes": pair}})
        if one.headers.get("x-access-token") != good["access"]:
            return Reply({"error": "expired"}, 401)
        return Reply({"data": [], "meta": {"hasNext": False}})

    api.answer = answer
    account = {"client_id": "me", "client_secret": "x", "api": api.url, "oauth": api.url}

    def process() -> list[str]:
        asked.clear()
        with Fetcher(user_agent="t", allow_hosts=["127.0.0.1"], retries=0) as fetcher:
            network = unhurried(open_network("epn"))
            list(poll(network, account, fetcher, START, START + 1, keep=tmp_path / "tokens"))
        return [path for path in asked if path != "/transactions/user"]

    assert process() == ["/ssid", "/token"]
    assert process() == []
    (file,) = (tmp_path / "tokens").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o700
    good["access"] = "gone"
    assert process() == ["/token/refresh"]
    assert process() == []
    good.update(access="T9", refresh="R9")
    assert process() == ["/token/refresh", "/ssid", "/token"]
    file.write_text('{"access": "T')  # half a file
    assert process() == ["/ssid", "/token"]


def test_a_network_that_gives_no_token_leaves_nothing_behind(api: Api, tmp_path: Path) -> None:
    api.answer = lambda one: Reply({"error": "captcha"}, 403)
    account = {"client_id": "me", "client_secret": "x", "api": api.url, "oauth": api.url}
    with (
        Fetcher(user_agent="t", allow_hosts=["127.0.0.1"], retries=0) as fetcher,
        pytest.raises(FetchFailed, match="403"),
    ):
        list(poll(open_network("epn"), account, fetcher, START, START + 1, keep=tmp_path))
    assert list(tmp_path.iterdir()) == []
