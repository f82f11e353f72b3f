"""`program import`: the networks' documented answers over HTTP -> files, stores, and what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import tiny
from lensback import networks, terms
from lensback.cashback import check_program
from lensback.catalogue import stores
from lensback.checked import read_toml
from lensback.cli import app
from lensback.errors import ConfigError, FetchFailed, StateError
from lensback.ledger.sale import share_of
from lensback.net import Fetcher
from lensback.networks import OfferedProgram, open_network, read_programs
from lensback.programs import changes, written
from lensback.programs.importing import ProgramNews, file_name, import_programs
from lensback.settings import Settings
from lensback.types import Money
from lensback.workspace import Workspace, init
from network_servers import FIXTURES, Wrong
from program_servers import SERVERS
from standin import Api, Asked, Reply, running
from tiny import Row

NAMES = sorted(path.parent.name for path in FIXTURES.glob("*/programs.json"))
CHECK = partial(check_program, networks_dir=Path("/none"))
ONE = {"admitad": "153", "awin": "1001", "epn": "999"}
"""Of each network the program that its fixture changes."""


def told(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / name / "programs.json").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def fetcher() -> Iterator[Fetcher]:
    with Fetcher(user_agent="test", allow_hosts=["127.0.0.1"], timeout_s=240, retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A workspace for each asker, with one store `harbour`."""
    opened: list[Workspace] = []

    def make() -> Workspace:
        folder = tmp_path_factory.mktemp("import") / "w"
        init(folder)
        workspace = Workspace(folder, Settings(encoder="pixels", index="exact", detector="whole"))
        opened.append(workspace)
        row = Row("harbour", "s1", "shirt", ("red",), Money(100_000, "RUB"), {"title": "Shirt"})
        tiny.write(workspace.db, [row], "f")
        return workspace

    yield make
    for each in opened:
        each.close()


class Asking:
    """One network's list of programs, round by round."""

    def __init__(self, name: str, api: Api, fetcher: Fetcher) -> None:
        self.name, self.fixture = name, told(name)
        self.network = open_network(name)
        assert self.network.poll
        self.network = replace(self.network, poll=replace(self.network.poll, per_minute=0))
        self.account = {**self.fixture["account"], "api": api.url, "oauth": api.url}
        self.held: dict[str, Any] = {}
        self.asked: list[str] = []
        self._fetcher = fetcher
        api.answer = self._answer

    def _answer(self, asked: Asked) -> Reply:
        self.asked.append(asked.path)
        try:
            return SERVERS[self.name](asked, self.held)
        except (Wrong, KeyError, ValueError) as error:
            return Reply({"error": f"{type(error).__name__}: {error}", "asked": asked.path}, 400)

    def read(self, number: int) -> list[OfferedProgram]:
        self.held = self.fixture["rounds"][number]
        return list(read_programs(self.network, self.account, self._fetcher))


@pytest.mark.parametrize("name", NAMES)
def test_every_list_is_read_as_documented(name: str, api: Api, fetcher: Fetcher) -> None:
    asking = Asking(name, api, fetcher)
    offered = {one.id: one for one in asking.read(0)}
    first = asking.fixture["rounds"][0]
    assert {key: written.canonical(one.terms) for key, one in offered.items()} == first["terms"]
    problems = {key: one.problems for key, one in offered.items() if one.problems}
    assert problems == first["problems"]
    for one in offered.values():  # what is written can be used as it stands
        made = terms.parse({**one.terms, "share": "0.5"})
        link = networks.deeplink(
            asking.network, networks.settings_of(made), f"https://{made.domains[0]}/a", "c" * 22
        ) if not made.deny_deeplinks else "c" * 22  # fmt: skip
        assert "c" * 22 in link


@pytest.mark.parametrize("name", NAMES)
def test_what_changed_reaches_file_and_store(
    name: str, api: Api, fetcher: Fetcher, workspaces: Any
) -> None:
    """New, connected to a store, changed, paused, back and another one gone; each round once more
    changes nothing."""
    asking, workspace = Asking(name, api, fetcher), workspaces()
    key, rounds = ONE[name], asking.fixture["rounds"]

    def bring(number: int, **more: Any) -> dict[str, ProgramNews]:
        found = import_programs(
            workspace.db, workspace.path, asking.network, asking.read(number), CHECK, **more
        )
        return {one.id: one for one in found}

    with pytest.raises(ConfigError, match="which part of the commission"):
        bring(0)
    dry = bring(0, share="0.6", write=False)
    assert {one.state for one in dry.values()} == {"new"}
    assert not (workspace.path / "programs").exists()
    new = bring(0, share="0.6")
    assert {one.state for one in new.values()} == {"new"}
    path = workspace.path / new[key].file
    assert terms.parse(read_toml(path)) == terms.parse({**rounds[0]["terms"][key], "share": "0.6"})
    feed = stores.overview(workspace.db, only="harbour")[0].feed_url
    own = {**read_toml(path), "claim_days": 40}
    stores.add(workspace.db, "harbour", feed, program=own)

    for number in (1, 2, 3):
        before = [each.terms for each in stores.programs(workspace.db, ["harbour"])["harbour"]]
        news = bring(number)
        for each in news.values():
            wanted = rounds[number]["changes"].get(each.id, [])
            shown = sorted([c.key, c.before, c.after] for c in each.changes)
            assert shown == sorted(wanted), (number, each.id)
            gone = each.id not in {one.id for one in asking.read(number)}
            assert each.state == ("gone" if gone else "changed" if wanted else "same")
        (follow,) = news[key].stores
        assert follow.store == "harbour"
        assert sorted([c.key, c.before, c.after] for c in follow.changes) == sorted(
            rounds[number]["changes"].get(key, [])
        )
        (now,) = stores.programs(workspace.db, ["harbour"])["harbour"]
        file = written.canonical(read_toml(path))
        assert written.canonical(now.terms) == {**file, "claim_days": 40}, "the operator's stays"
        # A click of before keeps what it was promised.
        assert share_of(before[0]) == share_of(now.terms)
        again = bring(number)
        assert all(not one.changes and one.state == "same" for one in again.values())
    gone_id = next(k for k in rounds[3]["changes"] if k != key)
    left = read_toml(workspace.path / "programs" / file_name(name, gone_id))
    assert left["paused"] is True


def test_awin_is_asked_for_groups_of_joined_programs_only(api: Api, fetcher: Fetcher) -> None:
    asking = Asking("awin", api, fetcher)
    asking.read(2)
    assert len([path for path in asking.asked if path.endswith("commissiongroups")]) == 2
    assert asking.network.poll
    assert open_network("awin").poll.per_minute == 20  # type: ignore[union-attr]


def test_what_one_program_refuses_is_a_problem_of_it_alone(api: Api, fetcher: Fetcher) -> None:
    asking = Asking("awin", api, fetcher)
    answer = api.answer
    api.answer = lambda one: (
        Reply({}, 403) if one.query.get("advertiserId") == "1001" else answer(one)
    )
    offered = {one.id: one for one in asking.read(0)}
    assert "rates" not in offered["1001"].terms
    assert "the network does not tell its groups (403)" in offered["1001"].problems
    assert offered["1002"].terms["rates"]
    api.answer = lambda one: Reply({}, 500) if one.query.get("advertiserId") else answer(one)
    with pytest.raises(FetchFailed):
        asking.read(0)


def test_keys_and_networks_that_are_missing(fetcher: Fetcher) -> None:
    with pytest.raises(ConfigError, match="no 'website'"):
        list(
            read_programs(
                open_network("admitad"), {"client_id": "a", "client_secret": "b"}, fetcher
            )
        )
    with pytest.raises(ConfigError, match="gives no list of programs"):
        list(read_programs(open_network("gdeslon"), {}, fetcher))


def offered(**more: Any) -> OfferedProgram:
    made = {
        "network": "generic", "program": "7", "paused": False, "domains": ["harbour.example"],
        "link": {"template": "https://track.example/c?s={subid}&to={url}"}, "rates": [{"percent": "10"}],
    }  # fmt: skip
    return OfferedProgram("7", "Harbour", {**made, **more})


@pytest.mark.parametrize(
    ("last", "now", "ours", "result", "changed", "kept"),
    [
        # first time, written by hand: only what it lacks, and a pause
        (None, {"hold_days": 30, "paused": False}, {}, {"hold_days": 30}, ["hold_days"], []),
        (None, {"rates": [{"percent": "5"}]}, {"rates": [{"percent": 7}]}, {}, [], ["rates"]),
        (None, {"paused": True}, {"share": 1}, {"paused": True}, ["paused"], []),
        # numbers are the same however they are written
        ({"rates": [{"percent": "5"}]}, {"rates": [{"percent": "5"}]}, {"rates": [{"percent": 5.0}]}, {}, [], []),
        # what the operator left follows
        ({"hold_days": 30}, {"hold_days": 45}, {"hold_days": 30}, {"hold_days": 45}, ["hold_days"], []),
        # what the operator changed stays, and is told once the network changes it
        ({"hold_days": 30}, {"hold_days": 45}, {"hold_days": 10}, {}, [], ["hold_days"]),
        ({"hold_days": 30}, {"hold_days": 30}, {"hold_days": 10}, {}, [], []),
        # a pause is always taken over, and so is its end
        ({"paused": False}, {"paused": True}, {"paused": False}, {"paused": True}, ["paused"], []),
        ({"paused": True}, {"paused": False}, {"paused": True}, {"paused": False}, ["paused"], []),
        # not told is not changed
        ({"rates": [{"percent": 5}]}, {"paused": False}, {"rates": [{"percent": 5}]}, {}, [], []),
    ],
)  # fmt: skip
def test_three_versions_meet(
    last: Any, now: Any, ours: Any, result: Any, changed: list[str], kept: list[str]
) -> None:
    both = changes.merged(last, now, ours)
    assert both.terms == {**ours, **result}
    assert [change.key for change in both.changes] == changed
    assert list(both.kept) == kept


def test_a_program_written_by_hand_is_known_by_its_link(workspaces: Any) -> None:
    workspace = workspaces()
    generic = open_network("generic")
    feed = stores.overview(workspace.db, only="harbour")[0].feed_url
    by_hand = {k: v for k, v in offered().terms.items() if k not in {"program", "paused"}}
    stores.add(workspace.db, "harbour", feed, program={**by_hand, "share": "0.3"})
    for paused in (True, False):
        (news,) = import_programs(
            workspace.db, workspace.path, generic, [offered(paused=paused)], CHECK, share="0.5"
        )
        (now,) = stores.programs(workspace.db, ["harbour"])["harbour"]
        assert (now.terms["paused"], now.terms["share"]) == (paused, "0.3")
        assert [follow.store for follow in news.stores] == ["harbour"]
    other = offered(link={"template": "https://other.example/c?s={subid}&to={url}"})
    elsewhere = OfferedProgram("8", "Other", {**other.terms, "program": "8"})
    news = import_programs(
        workspace.db, workspace.path, generic, [offered(), elsewhere], CHECK, share="0.5"
    )[1]
    assert news.stores == ()


def test_an_answer_that_loses_most_is_not_believed(workspaces: Any) -> None:
    workspace, generic = workspaces(), open_network("generic")
    many = [
        OfferedProgram(str(n), f"P{n}", {**offered().terms, "program": str(n)}) for n in range(4)
    ]

    def bring(some: list[OfferedProgram], **more: Any) -> list[str]:
        found = import_programs(
            workspace.db, workspace.path, generic, some, CHECK, share="0.5", **more
        )
        return [one.state for one in found]

    assert bring(many) == ["new"] * 4
    with pytest.raises(StateError, match="gone at once: 3 of 4 programs"):
        bring(many[:1])
    with pytest.raises(StateError):
        bring([])
    assert "paused" not in read_toml(workspace.path / "programs/generic-3.toml")
    assert bring(many[:2]) == ["same", "same", "gone", "gone"]
    assert bring(many[:2]) == ["same", "same"], "what is gone is told once"
    assert bring(many[:1], force=True) == ["same", "gone"]
    assert bring(many) == ["same", "changed", "changed", "changed"], "and comes back"


def test_what_cannot_be_used_is_refused_and_harms_no_other(workspaces: Any) -> None:
    workspace, generic = workspaces(), open_network("generic")
    bad = OfferedProgram("9", "Bad", {**offered().terms, "program": "9", "domains": []})
    news = import_programs(
        workspace.db, workspace.path, generic, [bad, offered()], CHECK, share="0.5"
    )
    assert [one.state for one in news] == ["refused", "new"]
    assert "domains" in news[0].problems[0]
    assert not (workspace.path / "programs/generic-9.toml").exists()


@pytest.mark.parametrize("key", ["../../x", "a/b", "..", "", "x" * 99, "é"])
def test_no_id_leaves_the_folder(key: str) -> None:
    name = file_name("generic", key)
    assert name == Path(name).name
    assert name.startswith("generic-")
    assert len(name) < 80


def test_the_command(
    api: Api, fetcher: Fetcher, workspaces: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = workspaces()
    asking = Asking("epn", api, fetcher)
    for name, value in asking.account.items():
        monkeypatch.setenv(f"LENSBACK_NETWORK_EPN_{name.upper()}", value)
    monkeypatch.setenv("LENSBACK_ALLOW_HOSTS", '["127.0.0.1"]')
    asking.held = asking.fixture["rounds"][0]
    where = ["program", "import", "epn", "--workspace", str(workspace.path)]
    runner = CliRunner()
    none = runner.invoke(app, where)
    assert isinstance(none.exception, ConfigError) or none.exit_code == 2
    shown = runner.invoke(app, [*where, "--share", "0.5", "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "3 new; nothing is written" in shown.output
    done = runner.invoke(app, [*where, "--share", "0.5", "--json"])
    body = json.loads(done.output)
    assert body["written"] is True
    assert [one["state"] for one in body["programs"]] == ["new"] * 3
    assert set(body["programs"][0]) == {
        "id", "name", "file", "state", "changes", "kept", "problems", "stores",
    }  # fmt: skip
    asking.held = asking.fixture["rounds"][1]
    changed = runner.invoke(app, where)
    assert "changed: Harbour (programs/epn-999.toml)" in changed.output
    assert 'rates: [{"percent": "5.5"}] -> [{"percent": "6"}]' in changed.output
