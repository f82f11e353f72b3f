"""The pull service: which networks are asked, since when, and what is remembered of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from lensback import doctor, ledger, pulling
from lensback.errors import FetchFailed, NotFound
from lensback.ledger import pulls
from lensback.networks import open_network
from lensback.pulling import NetworkPull, pull_due, pull_network, ready, serve
from lensback.schedule import parse
from lensback.settings import Settings
from lensback.types import Conversion, Money
from lensback.workspace import Workspace, init
from standin import Api, Asked, Reply, running

DAY_S = 86_400
NOW = int(time.time())


@pytest.fixture
def api() -> Iterator[Api]:
    with running() as server:
        yield server


@pytest.fixture
def workspace(tmp_path: Path, api: Api) -> Iterator[Workspace]:
    folder = tmp_path / "w"
    init(folder)
    secrets = folder / "networks.toml"
    secrets.write_text(
        f'[awin]\npublisher = "1"\ntoken = "t"\napi = "{api.url}"\n'
        f'[flexoffers]\napi_key = "k"\napi = "{api.url}"\n'
        '[impact]\naccount_sid = "only half of it"\n[generic]\npostback_secret = "s"\n'
    )
    secrets.chmod(0o600)
    settings = Settings(rate_limit=0, allow_hosts=("127.0.0.1",))
    with Workspace(folder, settings) as opened:
        opened.db.migrate()
        yield opened


def row(number: int, status: str = "approved", **more: Any) -> dict[str, Any]:
    amount = {"amount": 3.37, "currency": "GBP"}
    told = {"id": number, "commissionStatus": status, "commissionAmount": amount}
    return {**told, "transactionDate": "2026-11-01T10:00:00", **more}


def answer(*rows: dict[str, Any]) -> Any:
    """AWIN's rows, and FlexOffers without any."""
    return lambda asked: Reply({"sales": []} if asked.path == "/allsales" else list(rows))


def sale(status: str, days: float, network: str = "awin", number: int = 1) -> Conversion:
    return Conversion(
        network,
        str(number),
        status,
        commission=Money(100, "EUR"),
        ordered_at=NOW - int(days * DAY_S),
        changed_at=1,
    )


def test_which_networks_are_ready(workspace: Workspace) -> None:
    assert [network.name for network in ready(workspace)] == ["awin", "flexoffers"]


@pytest.mark.parametrize(
    ("sales", "good_days", "days"),
    [
        ([], None, 31),  # a window of the network
        ([], 0, 1),
        ([], 3, 4),  # nothing was asked for three days
        ([sale("pending", 77)], 0, 77),
        ([sale("approved", 77)], 0, 77),
        ([sale("approved", 121)], 0, 1),  # nobody takes it back any more
        ([sale("pending", 121)], 0, 121),
        ([sale("declined", 50), sale("paid", 50, number=2)], 0, 1),
        ([sale("pending", 50, "cj")], 0, 1),
        ([sale("pending", 900)], 0, 400),
    ],
)
def test_since_when(
    workspace: Workspace, sales: list[Conversion], good_days: int | None, days: int
) -> None:
    """The oldest sale that may change, the last good pull, the network's window."""
    ledger.record(workspace.db, sales, at=NOW, source="x")
    if good_days is not None:
        pulls.mark_tried(workspace.db, "awin", NOW - good_days * DAY_S)
    since = pulls.ask_from(workspace.db, "awin", NOW, 31)
    assert since == (NOW - days * DAY_S) // DAY_S * DAY_S
    assert pulls.ask_from(workspace.db, "awin", NOW, 31, 10) >= (NOW - 10 * DAY_S) // DAY_S * DAY_S


def test_a_pull_is_remembered_with_what_it_could_not_read(workspace: Workspace, api: Api) -> None:
    awin = open_network("awin")
    api.answer = answer(row(1), row(2, "sideways"), row(3, "upside down"))
    done = pull_network(workspace, awin, now=NOW)
    assert (done.new, done.rejected.total()) == (1, 2)
    (state,) = pulls.states(workspace.db)
    assert (state.network, state.good_at, state.error, state.aside) == ("awin", NOW, "", 1)
    assert state.refused == {
        "AWIN has no status 'sideways'": 1,
        "AWIN has no status 'upside down'": 1,
    }
    kept = pulls.refused_rows(workspace.db, "awin")
    assert {json.loads(str(one["row"]))["id"] for one in kept} == {2, 3}
    assert pulls.refused_rows(workspace.db, "cj") == []
    # Mended at the network, or by a word that was checked: the row is no trouble any more.
    api.answer = answer(row(1), row(2), row(3, "upside down"))
    pull_network(workspace, awin, now=NOW + 60, fresh_s=0)
    (kept_one,) = pulls.refused_rows(workspace.db)
    assert (kept_one["first_at"], kept_one["last_at"]) == (NOW, NOW + 60)


def test_a_pull_that_fails_is_remembered_too(workspace: Workspace, api: Api) -> None:
    awin = open_network("awin")
    api.answer = answer(row(1))
    pull_network(workspace, awin, now=NOW)
    api.answer = lambda _asked: Reply({"error": "no"}, 403)
    with pytest.raises(FetchFailed):
        pull_network(workspace, awin, now=NOW + 60, fresh_s=0)
    (state,) = pulls.states(workspace.db)
    assert (state.tried_at, state.good_at) == (NOW + 60, NOW)
    assert state.error.startswith("403")
    with pytest.raises(NotFound):
        pull_network(workspace, open_network("generic"), now=NOW)


def test_the_newest_refused_rows_are_kept(workspace: Workspace, monkeypatch: Any) -> None:
    monkeypatch.setattr(pulls, "MOST_ROWS", 3)
    pulls.keep_refused(workspace.db, "awin", [("old", str(n)) for n in range(3)], NOW)
    pulls.keep_refused(workspace.db, "awin", [("new", "x" * 9000), ("new", "1")], NOW + 1)
    kept = pulls.refused_rows(workspace.db)
    assert [one["reason"] for one in kept].count("new") == 2
    assert len(kept) == 3
    assert max(len(str(one["row"])) for one in kept) == pulls.MAX_ROW


def test_one_network_that_fails_holds_up_no_other(workspace: Workspace, api: Api) -> None:
    def half(asked: Asked) -> Reply:
        return Reply({}, 403) if "transactions" in asked.path else Reply({"sales": []})

    api.answer = half
    came: list[NetworkPull] = []
    pull_due(workspace, None, Event(), came.append)
    assert [(one.network, one.error is None) for one in came] == [
        ("awin", False),
        ("flexoffers", True),
    ]
    # Asked again when the hour is over, not before.
    pull_due(workspace, parse("1h"), Event(), came.append)
    assert len(came) == 2
    pulls.mark_tried(workspace.db, "awin", NOW - 3700)
    pull_due(workspace, parse("1h"), Event(), came.append)
    assert [one.network for one in came[2:]] == ["awin"]


def test_the_service_goes_on_and_ends_when_asked(workspace: Workspace, api: Api) -> None:
    api.answer = answer(row(1))
    came: list[NetworkPull] = []
    stop = Event()

    def tell(one: NetworkPull) -> None:
        came.append(one)
        pulls.mark_tried(workspace.db, one.network, NOW - 7200)  # an hour goes by
        if len(came) == 4:
            stop.set()

    serve(workspace, parse("1h"), stop, tell, round_s=0.01)
    assert [one.network for one in came] == ["awin", "flexoffers"] * 2
    assert all(one.done is not None for one in came)


def test_doctor_tells_of_each_network(workspace: Workspace, api: Api) -> None:
    def lines() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for check in doctor._networks(workspace):
            if check.part.startswith("network "):
                found.setdefault(check.part, []).append(f"{check.state}: {check.message}")
        return found

    assert lines() == {}
    api.answer = answer(row(1), row(2, "sideways"))
    pull_network(workspace, open_network("awin"), now=NOW)
    (good, refused, aside) = lines()["network awin"]
    assert good.startswith("ok: asked 20")
    assert refused == "warn: 1 row refused: AWIN has no status 'sideways'"
    assert aside == "warn: 1 sale without a click: that commission waits aside"
    pulls.mark_tried(workspace.db, "awin", NOW - 5 * DAY_S)
    assert lines()["network awin"][0] == "warn: asked 5 days ago"
    pulls.mark_tried(workspace.db, "awin", NOW, "403 Forbidden")
    assert lines()["network awin"][0] == "fail: the last pull ended with: 403 Forbidden"


def test_tokens_have_a_place_in_the_workspace(
    workspace: Workspace, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    epn = open_network("epn")
    assert epn.poll
    for key, value in (
        ("CLIENT_ID", "me"),
        ("CLIENT_SECRET", "x"),
        ("API", api.url),
        ("OAUTH", api.url),
    ):
        monkeypatch.setenv(f"LENSBACK_NETWORK_EPN_{key}", value)

    def speak(asked: Asked) -> Reply:
        if asked.path == "/ssid":
            return Reply({"data": {"attributes": {"ssid_token": "S"}}})
        if asked.path == "/token":
            return Reply({"data": {"attributes": {"access_token": "T", "refresh_token": "R"}}})
        return Reply({"data": [], "meta": {"hasNext": False}})

    api.answer = speak
    pull_network(workspace, replace(epn, poll=replace(epn.poll, window_days=90)), now=NOW)
    (file,) = (workspace.path / pulling.TOKENS).iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
