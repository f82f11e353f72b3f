"""`--json` of every command: one JSON value on stdout and nothing else, whatever comes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main

from garments import items
from lensback import cli
from lensback.pulling import NetworkPull
from lensback.settings import FILE_NAME
from lensback.sync import sync
from lensback.workspace import init, open_workspace
from test_cli import Result, commands, lensback
from world import World

SETTINGS = 'encoder = "pixels"\ndetector = "whole"\nallow_hosts = ["127.0.0.1"]\nretries = 0\n'
PROGRAM = """network = "generic"
domains = ["harbour.example"]
share = 0.7
currency = "EUR"
[link]
template = "https://track.example/c?s={subid}&to={url}"
[[rates]]
percent = 10
"""


@dataclass(frozen=True)
class Place:
    """A synced workspace, and what stands for a capital word in a command."""

    folder: Path
    words: dict[str, str]

    def run(self, line: str) -> Result:
        words = [self.words.get(word, word) for word in line.split()]
        return lensback(*words, "--json", "--workspace", self.folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("json")
    folder = root / "shop"
    with World(root / "world") as world:
        store = world.store("harbour", "google", items(12), views=(0, 1))
        init(folder)
        (folder / FILE_NAME).write_text(SETTINGS)
        program = root / "program.toml"
        program.write_text(PROGRAM)
        words = {"FEED": store.feed_url, "PROGRAM": str(program), "OUT": str(root / "out")}
        words |= {"PHOTO": str(world.photo(store.offers[0].item)), "ASKED": str(root / "asked.csv")}
        words["ID"] = store.offers[0].external_id
        add = ("store", "add", "harbour", "--feed", store.feed_url, "--program", program)
        assert lensback(*add, "--workspace", folder).code == 0
        with open_workspace(folder) as opened:
            assert not sync(opened).failed
        (root / "asked.csv").write_text(f"photo,offer_id\n{words['PHOTO']},\n")
        yield Place(folder, words)


COMMANDS = {
    # command -> its exit code and what kind of value it prints
    "backup OUT": (0, dict),
    "backup --verify": (0, list),
    "restore OUT": (2, dict),
    "embed": (0, dict),
    "train": (2, dict),
    "evaluate --queries ASKED": (0, dict),
    "holdout OUT-held --views 2 --absent 1": (0, dict),
    "promise": (1, dict),
    "report": (0, dict),
    "click harbour:ID": (0, dict),
    "search PHOTO": (0, dict),
    "search --example": (0, dict),
    "search -q shirt": (0, dict),
    "search": (2, dict),
    "calibrate": (0, dict),
    "doctor": (0, list),
    "sync": (0, dict),
    "sync --only": (2, dict),
    "prune --dry-run": (0, list),
    "store add harbour --feed FEED": (0, dict),
    "store add other --feed FEED --dry-run": (0, dict),
    "store list": (0, list),
    "store show harbour": (0, dict),
    "encoder list": (0, list),
    "encoder compare pixels pixels": (0, dict),
    "encoder quantize pixels": (2, dict),
    "detector list": (0, list),
    "detector quantize nothing": (2, dict),
    "claim list": (0, list),
    "claim show x": (2, dict),
    "key list": (0, list),
    "ledger audit": (0, dict),
    "ledger balances": (0, dict),
    "ledger due": (0, list),
    "ledger pay somebody --reference 1": (2, dict),
    "ledger received generic": (2, dict),
    "ledger review": (0, list),
    "conversions pull generic": (2, dict),
    "conversions pull --all": (0, list),
    "conversions refused": (0, dict),
    "offers find shirt": (0, list),
    "user erase somebody": (0, dict),
    "grant list": (0, list),
    "audit log": (0, list),
    "network list": (0, list),
    "network show awin": (0, dict),
    "program show harbour": (0, dict),
    "program import generic": (2, dict),
    "config show": (0, dict),
}


def every() -> Iterator[tuple[tuple[str, ...], set[str]]]:
    whole = typer.main.get_command(cli.app)
    for path in commands(whole):
        command: Any = whole
        for name in path:
            command = command.commands[name]
        yield path, {option for each in command.params for option in each.opts}


def test_every_command_that_takes_it_is_asked() -> None:
    take = {" ".join(path) for path, options in every() if "--json" in options}
    asked = {next(name for name in take if f"{line} ".startswith(f"{name} ")) for line in COMMANDS}
    assert asked == take


@pytest.mark.parametrize("line", COMMANDS)
def test_one_value_and_nothing_else(place: Place, line: str) -> None:
    code, kind = COMMANDS[line]
    words = line.replace(":ID", f":{place.words['ID']}").replace("OUT", place.words["OUT"])
    done = place.run(words)
    assert isinstance(done.json, kind), done
    assert done.code == code, done
    assert ("error" in done.json) == (code == 2 or line == "promise"), done
    assert "Usage" not in done.err


@pytest.mark.parametrize(
    ("line", "word"),
    [("bake", "bake"), ("sync --jobs -1", "--jobs"), ("serve", "--json"), ("store", "--json"), ("store show", "name"),
     ("ledger pay", "user"), ("search --limit x -q a", "--limit")],
)  # fmt: skip
def test_a_wrong_line_is_told_as_json_too(line: str, word: str) -> None:
    refused = lensback(*line.split(), "--json")
    assert refused.code == 2
    assert refused.error["type"] == "BadQuery"
    assert word in refused.error["message"]
    assert "--help" in refused.error["hint"]
    assert not refused.err


def test_help_is_no_mistake() -> None:
    told = lensback("sync", "--help", "--json")
    assert told.code == 0
    assert "--force" in told.out


def rounds(monkeypatch: pytest.MonkeyPatch, place: str, came: Sequence[object]) -> None:
    """A service that tells of these rounds and ends."""

    def serve(*things: object, **_named: object) -> None:
        for each in came:
            things[3](each)  # type: ignore[operator]

    monkeypatch.setattr(place, serve)


def test_a_service_writes_a_line_for_each_round(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads it takes line by line; what people are told stands on stderr."""
    from lensback.errors import StateError
    from lensback.sync import SyncReport

    rounds(monkeypatch, "lensback.service.serve", [SyncReport(), StateError("no disk", hint="")])
    told = place.run("sync --every 1h")
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [sorted(line) for line in lines] == [
        ["failed", "mended", "skipped", "stages"],
        ["error"],
    ]
    assert "syncing every" in told.err

    failed = NetworkPull("awin", error=StateError("no answer", hint=""))
    rounds(monkeypatch, "lensback.pulling.serve", [failed, NetworkPull("", error=failed.error)])
    told = place.run("conversions pull --all --every 1h")
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [(line["network"], line["error"]["type"]) for line in lines] == [
        ("awin", "StateError"),
        ("", "StateError"),
    ]


def test_all_networks_are_one_list(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from lensback.conversions import Pulled
    from lensback.errors import FetchFailed

    def pull_due(
        _workspace: object, _usual: object, _stop: object, tell: object, **_: object
    ) -> None:
        for each in (
            NetworkPull("admitad", Pulled()),
            NetworkPull("awin", error=FetchFailed("no")),
        ):
            tell(each)  # type: ignore[operator]

    monkeypatch.setattr("lensback.pulling.pull_due", pull_due)
    told = place.run("conversions pull --all")
    assert told.code == 1
    assert [(row["network"], row.get("new"), "error" in row) for row in told.json] == [
        ("admitad", 0, False),
        ("awin", None, True),
    ]
    assert not told.err
