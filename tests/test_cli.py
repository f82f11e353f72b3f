"""Every command, through `cli.main` with its error handling; a few in processes of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import typer.main

from behaviour.test_encoders import describe, make_model
from garments import items
from lensback import __version__, children, cli, search
from lensback.cli import face, panels
from lensback.images import workers
from lensback.settings import Settings
from lensback.workspace import open_workspace
from servers import free_port
from world import World

THINGS = items(20)
BOTH = THINGS[10]
"""Sold by both stores."""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error that `--json` printed; a refusal has exit code 2 unless the tree says 1."""
        assert self.code
        assert list(self.json) == ["error"]
        error: dict[str, str] = self.json["error"]
        assert set(error) == {"type", "message", "hint"}
        return error


def lensback(*arguments: object) -> Result:
    """Runs the command line in this process, as `lensback ARGUMENTS` would."""
    out, err = io.StringIO(), io.StringIO()
    argv, code = sys.argv, 0
    face.out.width = face.err.width = 200
    sys.argv = ["lensback", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 1 if done.code else 0
    finally:
        sys.argv = argv
    return Result(code, out.getvalue(), err.getvalue())


def flat(text: str) -> str:
    return " ".join(text.split())


def allow_local(folder: Path) -> None:
    file = folder / "lensback.toml"
    file.write_text(file.read_text() + '\nallow_hosts = ["127.0.0.1"]\nretries = 0\n')


@dataclass(frozen=True)
class Shop:
    """A synced workspace, made by the command line; read-only for the tests that share it."""

    world: World
    folder: Path
    first: Result
    photo: Path

    def run(self, *arguments: object) -> Result:
        return lensback(*arguments, "--workspace", self.folder)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    root = tmp_path_factory.mktemp("cli")
    folder = root / "workspace"
    with World(root / "world") as world:
        world.store("harbour", "google", THINGS[:16], sizes=("S", "M"))
        world.store("lavka", "yml", THINGS[8:], marker=True)
        assert lensback("init", "--workspace", folder).code == 0
        allow_local(folder)
        for store in world.stores.values():
            feed = ("--feed", store.feed_url, "--base", world.base)
            assert lensback("store", "add", store.name, *feed, "--workspace", folder).code == 0
        first = lensback("sync", "--json", "--workspace", folder)
        yield Shop(world, folder, first, world.photo(BOTH))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """An empty workspace."""
    folder = tmp_path / "workspace"
    assert lensback("init", "--workspace", folder).code == 0
    return folder


def table_feed(folder: Path, rows: int, bad: int = 0, name: str = "feed.csv") -> Path:
    """A feed on disk without images."""
    lines = ["id,title,link,price"]
    lines += [f"{n},Hat {n},https://shop.example/{n},{n + 1}.00 EUR" for n in range(rows)]
    lines += [f"b{n},Hat {n},,9.00 EUR" for n in range(bad)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


# ---- the face itself


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    children = getattr(command, "commands", {})
    if not children or (path and command.invoke_without_command):
        yield path
    for name, child in children.items():
        yield from commands(child, *path, name)


TREE = typer.main.get_command(cli.app)
COMMANDS = sorted(commands(TREE))


def test_version() -> None:
    assert lensback("--version") == Result(0, f"{__version__}\n", "")


def test_no_arguments_show_the_commands() -> None:
    shown = lensback()
    assert shown.code == 2
    assert all(name in shown.out + shown.err for name in ("init", "sync", "search"))


@pytest.mark.parametrize(
    "path", [(), ("store",), ("encoder",), ("detector",), *COMMANDS], ids="-".join
)
def test_help_names_every_option(path: tuple[str, ...]) -> None:
    shown = lensback(*path, "--help")
    assert shown.code == 0
    command: Any = TREE
    for name in path:
        command = command.commands[name]
    for parameter in command.params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert max(parameter.opts, key=len) in shown.out


def test_the_commands_of_the_contract_are_there() -> None:
    """Those of the main job; the others join as they are built."""
    known = {" ".join(path) for path in COMMANDS}
    assert known >= {
        "init", "store add", "store set", "store rename", "store list", "store remove", "offers find", "offers export", "backup", "restore", "sync", "search", "serve",
        "encoder list", "encoder add", "encoder use", "doctor", "train",
        "detector list", "detector add", "detector use",
    }  # fmt: skip


def test_every_command_takes_a_workspace() -> None:
    for path in COMMANDS:
        command: Any = TREE
        for name in path:
            command = command.commands[name]
        by_name = {parameter.name: parameter for parameter in command.params}
        assert "workspace" in by_name, path
        assert by_name["workspace"].envvar == "LENSBACK_WORKSPACE" or path == ("demo",)


NEED_A_WORKSPACE: list[Sequence[str]] = [
    ("store", "list"),
    ("store", "add", "x", "--feed", "f.xml"),
    ("store", "remove", "x", "--yes"),
    ("store", "set", "x", "--title", "y"),
    ("store", "rename", "x", "y"),
    ("offers", "find", "x"),
    ("offers", "export"),
    ("sync",),
    ("search", __file__),
    ("serve",),
    ("calibrate",),
    ("encoder", "list"),
    ("encoder", "add", "x", "x.onnx"),
    ("encoder", "use", "pixels"),
    ("detector", "list"),
    ("detector", "add", "x", "x.onnx"),
    ("detector", "use", "whole"),
    ("train", "--out", "x"),
    ("doctor",),
]


@pytest.mark.parametrize("command", NEED_A_WORKSPACE, ids=" ".join)
def test_no_workspace_says_how_to_make_one(command: Sequence[str], tmp_path: Path) -> None:
    refused = lensback(*command, "--workspace", tmp_path / "none")
    assert refused.code == 2
    assert "ConfigError" in refused.err
    assert "is not a workspace" in refused.err
    assert f"run: lensback init --workspace {shlex.quote(str(tmp_path / 'none'))}" in flat(
        refused.err
    )
    assert not refused.out
    assert not (tmp_path / "none").exists()


def test_an_error_as_json(tmp_path: Path) -> None:
    refused = lensback("doctor", "--json", "--workspace", tmp_path)
    assert (refused.code, refused.err) == (2, "")
    assert refused.error["type"] == "ConfigError"
    assert "run: lensback init" in refused.error["hint"]


def test_the_environment_names_the_workspace(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lensback("store", "list").code == 0, "./workspace is the default"
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    for inside in (below, fresh, fresh / "images"):
        inside.mkdir(exist_ok=True)
        monkeypatch.chdir(inside)
        assert lensback("store", "list").code == 0, "it is found upward"
        again = lensback("init")
        assert f"already there: {fresh}" in again.out
        assert not (inside / "workspace").exists(), "no second one"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LENSBACK_WORKSPACE", str(tmp_path / "other"))
    assert lensback("store", "list").code == 2
    assert lensback("init").code == 0
    assert (tmp_path / "other" / "lensback.toml").is_file()
    assert lensback("store", "list", "--workspace", fresh).code == 0, "the option stands above"


def test_a_usage_error_is_the_callers(shop: Shop) -> None:
    for wrong in (("search",), ("sync", "--jobs", "-1"), ("bake",), ("serve", "--port", "70000")):
        refused = shop.run(*wrong) if wrong != ("bake",) else lensback(*wrong)
        assert refused.code == 2
        assert "Usage" in refused.err


def test_signs_of_markup_in_a_message_are_shown_as_they_are(shop: Shop) -> None:
    for name in ("/no/[/here].jpg", "/no/a[onnx].jpg"):
        refused = shop.run("search", name)
        assert refused.code == 2
        assert name in refused.err


# ---- init


def test_init_makes_a_commented_workspace_once(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    made = lensback("init", "--workspace", folder)
    assert made.code == 0
    assert "made" in made.out
    assert "next: lensback store add" in made.out
    text = (folder / "lensback.toml").read_text()
    assert all(name in text for name in Settings.model_fields)
    (folder / "lensback.toml").write_text("candidates = 7\n")
    again = lensback("init", "--workspace", folder)
    assert again.code == 0
    assert "already there" in again.out
    assert (folder / "lensback.toml").read_text() == "candidates = 7\n"


def test_init_beside_other_files_says_that_they_stay(tmp_path: Path) -> None:
    for name in "abcdef":
        (tmp_path / f"{name}.csv").write_text(name)
    (tmp_path / "workspace").mkdir()
    made = lensback("init", "--workspace", tmp_path)
    assert "what was in it is left alone: a.csv, b.csv, c.csv, d.csv, e.csv and 2 more" in made.out
    assert [(tmp_path / f"{name}.csv").read_text() for name in "abcdef"] == list("abcdef")
    assert "left alone" not in lensback("init", "--workspace", tmp_path / "empty").out


def test_init_where_it_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = lensback("init", "--workspace", tmp_path / "file" / "workspace")
    assert refused.code == 2
    assert "hint: use another folder" in refused.err


def test_a_wrong_setting_names_its_key(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fresh / "lensback.toml").write_text("candidates = 0\n")
    refused = lensback("doctor", "--json", "--workspace", fresh)
    assert refused.error["type"] == "ConfigError"
    assert "candidates" in refused.error["message"]
    (fresh / "lensback.toml").write_text("")
    monkeypatch.setenv("LENSBACK_TIMEOUT_S", "soon")
    refused = lensback("doctor", "--json", "--workspace", fresh)
    assert "LENSBACK_TIMEOUT_S" in refused.error["hint"]


# ---- stores


def test_stores_come_and_go(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = table_feed(tmp_path, 3)
    monkeypatch.chdir(tmp_path)
    where = ("--workspace", fresh)
    assert "no stores yet" in lensback("store", "list", *where).out
    added = lensback("store", "add", "hats", "--feed", "feed.csv", *where)
    assert added.code == 0
    assert "next: lensback sync hats" in added.out
    (state,) = lensback("store", "list", "--json", *where).json
    assert state["feed_url"] == str(feed), "a relative path is kept as an absolute one"
    assert (state["status"], state["last_sync"], state["offers"]) == ("never synced", None, 0)
    assert "never" in lensback("store", "list", *where).out
    again = ("--feed", "https://hats.example/feed?token=secret9", "--format", "yml")
    changed = lensback("store", "add", "hats", *again, *where)
    assert "secret9" not in changed.out
    listed = lensback("store", "list", "--json", *where)
    assert "secret9" not in listed.out
    (state,) = listed.json
    assert state["feed_url"].startswith("https://hats.example/feed")
    assert state["format"] == "yml"
    assert "removed hats" in lensback("store", "remove", "hats", "--yes", *where).out
    assert lensback("store", "list", "--json", *where).json == []


@pytest.mark.parametrize(
    ("arguments", "kind", "hint"),
    [
        (("Hats & Co",), "BadQuery", "a-z"),
        (("hats", "--format", "pdf"), "BadQuery", "auto, google, yml, table"),
        (("hats", "--columns", "nowhere.toml"), "ConfigError", "check the path"),
        (("hats", "--program", "nowhere.toml"), "ConfigError", "check the path"),
        (("hats", "--program", "broken.toml"), "ConfigError", "mend that line"),
        (("hats", "--program", "strange.toml"), "ConfigError", "docs/programs.md"),
        (("hats", "--columns", "broken.toml"), "ConfigError", ""),
        (("hats", "--columns", "strange.toml"), "ConfigError", ""),
    ],
)
def test_a_store_that_is_refused(
    arguments: tuple[str, ...],
    kind: str,
    hint: str,
    fresh: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "broken.toml").write_text("a = [")
    (tmp_path / "strange.toml").write_text('colour = "red"\n')
    monkeypatch.chdir(tmp_path)
    refused = lensback("store", "add", *arguments, "--feed", "f.csv", "--workspace", fresh)
    assert refused.code == 2
    assert refused.err.startswith(kind)
    assert hint in refused.err
    assert lensback("store", "list", "--json", "--workspace", fresh).json == []


def test_a_column_map_and_a_programme_are_kept(fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(
        'currency = "DKK"\n[fields]\nid = "nr"\ntitle = "navn"\nurl = "go"\nprice = "pris"\n'
    )
    (tmp_path / "program.toml").write_text(
        'network = "awin"\ndomains = ["hats.example"]\nshare = 0.5\n'
        '[link]\nadvertiser = "1"\npublisher = "2"\n[[rates]]\npercent = 5\n'
    )
    feed = tmp_path / "feed.csv"
    feed.write_text("nr,navn,go,pris\n1,Hat,https://hats.example/1,12\n")
    options = ("--columns", tmp_path / "map.toml", "--program", tmp_path / "program.toml")
    where = ("--workspace", fresh)
    added = lensback(
        "store", "add", "hats", "--feed", feed, "--title", "Hats & Co", *options, *where
    )
    assert added.code == 0, added.err
    (tmp_path / "map.toml").unlink()
    assert lensback("sync", *where).code == 0
    assert lensback("store", "list", "--json", *where).json[0]["offers"] == 1


def test_a_store_nobody_connected(shop: Shop) -> None:
    for command in (("store", "remove", "nowhere", "--yes"), ("sync", "nowhere")):
        refused = shop.run(*command)
        assert refused.code == 2
        assert "UnknownName" in refused.err
        assert "known: harbour, lavka" in refused.err


# ---- sync

STAGES = ["download", "embed", "pair", "group", "publish", "calibrate"]


def test_the_first_sync_brings_everything(shop: Shop) -> None:
    assert shop.first.code == 0, shop.first.err
    report = shop.first.json
    assert set(report) == {"stages", "failed", "skipped", "mended"}
    assert report["failed"] == report["mended"] == {}
    names = [stage["stage"] for stage in report["stages"]]
    assert names == ["ingest harbour", "ingest lavka", *STAGES]
    for stage in report["stages"]:
        assert {"stage", "done", "skipped", "rejected", "seconds"} <= set(stage)
    done = {stage["stage"]: stage["done"] for stage in report["stages"]}
    assert (done["ingest harbour"], done["ingest lavka"], done["download"]) == (32, 12, 28)
    assert (done["embed"], done["publish"]) == (28, 28)


def test_the_second_sync_does_nothing_and_says_so(shop: Shop) -> None:
    again = shop.run("sync", "--json")
    assert again.code == 0
    done = {s["stage"]: s["done"] for s in again.json["stages"] if s["stage"] != "group"}
    assert set(done.values()) == {0}
    table = shop.run("sync", "harbour", "--jobs", 2)
    assert table.code == 0
    assert "unchanged" in table.out
    assert "ingest lavka" not in table.out


def test_one_stage_alone(shop: Shop) -> None:
    only = shop.run("sync", "--only", "group", "--json")
    assert [stage["stage"] for stage in only.json["stages"]] == ["pair", "group"]
    refused = shop.run("sync", "--only", "bake", "--json")
    assert refused.error["type"] == "BadQuery"
    assert refused.error["hint"] == "use one of ingest, download, embed, group, publish"


def test_too_many_rejected_rows_exit_with_1(fresh: Path, tmp_path: Path) -> None:
    where = ("--workspace", fresh)
    feed = table_feed(tmp_path, 8, bad=2)
    lensback("store", "add", "hats", "--feed", feed, *where)
    held = lensback("sync", "--json", *where)
    assert held.code == 0, "a fifth is not above the guard"
    assert held.json["stages"][0]["rejected"] == {"no url": 2}
    table_feed(tmp_path, 8, bad=3)
    over = lensback("sync", "--json", *where)
    assert over.code == 1
    assert over.json["stages"][0]["rejected"] == {"no url": 3}
    why = "3 of 11 rows rejected, more than 20 % (reject_guard): 3 × no url"
    assert (
        f"to look at: hats: {why}; next: lensback store show hats --workspace {fresh}" in over.err
    )
    assert lensback("sync", *where).code == 0, "the feed is unchanged"
    shown = lensback("store", "show", "hats", *where)
    assert f"to look at: {why}" in shown.out
    lines = {line["part"]: line for line in lensback("doctor", "--json", *where).json}
    assert lines["store hats"]["state"] == "warn"
    assert why in lines["store hats"]["message"]


def test_each_stage_says_why_it_is_to_be_looked_at() -> None:
    from collections import Counter

    from lensback.cli.syncing import _trouble
    from lensback.errors import FetchFailed
    from lensback.sync import SyncReport
    from lensback.types import Tally

    fetched = Tally("download", 1, 0, Counter({"404": 3}))
    kept = Tally("publish", notes={"warning": "kept the old index"})
    report = SyncReport([fetched, kept], {"gone": FetchFailed("no answer")})
    said = [_trouble(report, stage, 0.2, Path("w")) for stage in report.guarded(0.2)]
    assert said == [
        "gone: its feed failed; next: lensback store show gone --workspace w",
        "download: 3 of 4 pictures rejected, more than 20 % (reject_guard): 3 × 404; next: lensback doctor --workspace w",
        "publish: kept the old index; next: lensback doctor --workspace w",
    ]


def test_a_feed_that_is_not_there_exits_with_1(fresh: Path, tmp_path: Path) -> None:
    where = ("--workspace", fresh)
    lensback("store", "add", "gone", "--feed", tmp_path / "gone.xml", *where)
    lensback("store", "add", "hats", "--feed", table_feed(tmp_path, 3), *where)
    failed = lensback("sync", "--json", *where)
    assert failed.code == 1
    assert failed.json["failed"]["gone"]["type"] == "FetchFailed"
    assert failed.json["stages"][0]["done"] == 3, "the other store is synced"
    shown = lensback("sync", *where)
    assert shown.code == 1
    assert "gone: no such file" in shown.err
    assert "failing" in lensback("store", "list", *where).out
    shown = lensback("store", "show", "gone", "--json", *where).json
    assert (shown["health"], shown["runs"][0]["status"]) == ("failing", "failed")
    assert "check the path" in shown["todo"]


def test_a_first_sync_says_the_next_step_whatever_came_of_it(fresh: Path, tmp_path: Path) -> None:
    here = ("--workspace", fresh)
    allow_local(fresh)
    for name in ("one", "two"):
        missing = tmp_path / f"{name}.csv"
        assert lensback("store", "add", name, "--feed", missing, *here).code == 0
    failed = lensback("sync", *here)
    assert failed.code == 1
    assert (
        failed.out.splitlines()[-1]
        == f"next: lensback doctor --workspace {shlex.quote(str(fresh))}"
    )
    assert lensback("store", "remove", "two", "--yes", *here).code == 0
    failed = lensback("sync", "--force", *here)
    assert failed.code == 1
    assert (
        failed.out.splitlines()[-1]
        == f"next: lensback store show one --workspace {shlex.quote(str(fresh))}"
    )


def test_the_first_sync_that_finds_something_leads_to_a_search(shop: Shop, tmp_path: Path) -> None:
    folder, name = tmp_path / "new one", "small"
    assert lensback("init", "--workspace", folder).code == 0
    allow_local(folder)
    (folder / "lensback.toml").write_text(
        (folder / "lensback.toml").read_text() + '\nencoder = "pixels"\ndetector = "whole"\n'
    )
    lensback("store", "add", name, "--feed", tmp_path / "none.csv", "--workspace", folder)
    assert "next: lensback store show small" in lensback("sync", "--workspace", folder).out
    store = next(iter(shop.world.stores.values()))
    feed = ("--feed", store.feed_url, "--base", shop.world.base)
    assert lensback("store", "set", name, *feed, "--workspace", folder).code == 0
    done = lensback("sync", "--workspace", folder)
    assert done.code == 0
    told = done.out.splitlines()[-1]
    assert told == f"next: lensback search --example --workspace '{folder}'"
    assert "next:" not in lensback("sync", "--workspace", folder).out


def test_a_feed_that_shrank_waits_for_force(fresh: Path, tmp_path: Path) -> None:
    where = ("--workspace", fresh)
    lensback("store", "add", "hats", "--feed", table_feed(tmp_path, 10), *where)
    lensback("sync", *where)
    table_feed(tmp_path, 2)
    held = lensback("sync", *where)
    assert (held.code, "--force" in held.err) == (1, True)
    assert lensback("store", "list", "--json", *where).json[0]["offers"] == 10
    assert lensback("sync", "--force", *where).code == 0
    assert lensback("store", "list", "--json", *where).json[0]["offers"] == 2


def test_a_second_sync_at_the_same_time_is_refused(shop: Shop) -> None:
    with open_workspace(shop.folder) as other, other.locked():
        refused = shop.run("sync", "--json")
    assert refused.code == 2
    assert refused.error["type"] == "Busy"


# ---- search


def answer(shop: Shop, *options: object, photo: object = None) -> Any:
    done = shop.run("search", photo or shop.photo, "--json", *options)
    assert done.code == 0, done.out
    return done.json


def test_the_answer_of_a_photo(shop: Shop) -> None:
    found = answer(shop, "--limit", 3)
    assert found["verdict"] in {"exact", "similar"}
    assert found["photo"] == {"width": 240, "height": 320}
    assert 1 <= len(found["hits"]) <= 3
    first = found["hits"][0]
    assert {offer["store"] for offer in first["offers"]} == {"harbour", "lavka"}
    link = first["offers"][0]["link"]
    assert link == f"/go/{first['offers'][0]['offer_id']}?search={found['search_id']}"
    assert found["timings_ms"]["total"] >= found["timings_ms"]["encode"]


def test_the_answer_as_a_table(shop: Shop) -> None:
    shown = shop.run("search", shop.photo, "--limit", 3)
    assert shown.code == 0
    for word in ("Looks like it", "harbour", "lavka", "S, M", "USD", "RUB", "in stock", "offer"):
        assert word in shown.out


def test_filters(shop: Shop) -> None:
    only = answer(shop, "--store", "lavka")
    assert {o["store"] for hit in only["hits"] for o in hit["offers"]} == {"lavka"}
    both = answer(shop, "--store", "lavka", "--store", "harbour")
    assert {o["store"] for hit in both["hits"] for o in hit["offers"]} == {"lavka", "harbour"}
    category = answer(shop)["hits"][0]["offers"][0]["category"]
    same = answer(shop, "--category", category)
    assert {o["category"] for hit in same["hits"] for o in hit["offers"]} == {category}
    cheap = answer(shop, "--price-max", "40", "--currency", "usd")
    prices = [o["price"] for hit in cheap["hits"] for o in hit["offers"]]
    assert prices
    assert all(p["currency"] == "USD" and float(p["amount"]) <= 40 for p in prices)
    stock = answer(shop, "--in-stock")
    assert {o["availability"] for hit in stock["hits"] for o in hit["offers"]} == {"in_stock"}
    box = answer(shop, "--box", "0.1,0.1,0.9,0.9")
    assert box["region"] == [0.1, 0.1, 0.9, 0.9]


@pytest.mark.parametrize(
    ("options", "kind", "hint"),
    [
        (("--price-max", "40"), "BadQuery", "--currency "),
        (("--price-max", "cheap"), "BadQuery", "use a number"),
        (("--box", "0.1,0.2"), "BadQuery", "x0,y0,x1,y1"),
        (("--box", "0.9,0.1,0.1,0.9"), "BadQuery", "x0 < x1"),
        (("--limit", "0"), "BadQuery", "1 to 100"),
        (("--limit", "101"), "BadQuery", "1 to 100"),
        (("--store", "nowhere"), "UnknownName", "known: harbour, lavka"),
        (("--category", "spaceships"), "BadQuery", "as a store names it"),
    ],
)
def test_a_question_that_makes_no_sense(
    options: tuple[str, ...], kind: str, hint: str, shop: Shop
) -> None:
    refused = shop.run("search", shop.photo, "--json", *options)
    assert refused.code == 2
    assert refused.error["type"] == kind
    assert hint in refused.error["hint"]


def test_what_is_no_photo(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("<html>no picture</html>")
    (tmp_path / "half.jpg").write_bytes(shop.photo.read_bytes()[:900])
    for name in ("text.jpg", "half.jpg"):
        refused = shop.run("search", tmp_path / name, "--json")
        assert refused.code == 2
        assert refused.error["type"] == "BadImage"
        assert refused.error["hint"]
    shown = shop.run("search", tmp_path / "text.jpg")
    assert shown.err.startswith("BadImage: ")
    assert "hint: " in shown.err
    for path in (tmp_path / "none.jpg", tmp_path):
        refused = shop.run("search", path, "--json")
        assert (refused.code, refused.error["type"]) == (2, "BadQuery")
        assert str(path) in refused.error["message"]


def test_searching_before_the_first_sync(fresh: Path, shop: Shop) -> None:
    refused = lensback("search", shop.photo, "--json", "--workspace", fresh)
    assert refused.code == 2
    assert refused.error == {
        "type": "StateError",
        "message": "nothing is published yet",
        "hint": f"run: lensback sync --workspace {fresh}",
    }


# ---- encoders


@pytest.fixture
def small(shop: Shop, tmp_path: Path) -> Shop:
    """A copy of the synced workspace, to change."""
    shutil.copytree(shop.folder, tmp_path / "workspace")
    return replace(shop, folder=tmp_path / "workspace")


def test_another_encoder_switches_over_with_the_next_sync(small: Shop, tmp_path: Path) -> None:
    before = answer(small)["encoder"]
    model = make_model(tmp_path / "made") / "model.onnx"
    toml = describe(tmp_path / "toml") / "encoder.toml"
    added = small.run("encoder", "add", "tiny", model, "--description", toml)
    assert added.code == 0, added.err
    assert "next: lensback encoder use tiny" in added.out
    used = small.run("encoder", "use", "tiny")
    assert used.code == 0
    assert "next: lensback sync" in used.out
    listed = {info["name"]: info for info in small.run("encoder", "list", "--json").json}
    assert (listed["tiny"]["used"], listed["pixels"]["used"]) == (True, False)
    assert listed["tiny"]["dim"] == 12
    assert answer(small)["encoder"] == before, "the published index goes on answering"
    doctor = {check["part"]: check for check in small.run("doctor", "--json").json}
    assert doctor["index"]["state"] == "warn"
    assert doctor["encoder"]["hint"].startswith("run: lensback sync --workspace ")
    stages = {s["stage"]: s["done"] for s in small.run("sync", "--json").json["stages"]}
    first = {s["stage"]: s["done"] for s in small.first.json["stages"]}
    assert 0 < first["embed"] == stages["embed"]
    assert (stages["download"], stages["publish"]) == (0, first["publish"])
    after = answer(small)["encoder"]
    assert after == listed["tiny"]["fingerprint"]
    text = (small.folder / "lensback.toml").read_text()
    assert text.count("\nencoder = ") == 1
    assert "# Encoder of the next sync" in text


def test_the_shelf_of_encoders(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = ("--workspace", fresh)
    table = lensback("encoder", "list", *where)
    assert table.code == 0
    assert "pixels" in table.out
    assert "built-in" in table.out
    monkeypatch.setenv("LENSBACK_ENCODER", "pixels*0.5")
    assert "in use: pixels*0.5" in lensback("encoder", "list", *where).out
    used = lensback("encoder", "use", "pixels", *where)
    assert used.code == 0
    assert "LENSBACK_ENCODER is set" in used.err


@pytest.mark.parametrize("kind", ["encoder", "detector"])
def test_what_is_shipped_is_listed_where_no_workspace_is(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    listed = {row["name"]: row for row in lensback(kind, "list", "--json").json}
    shipped = {"encoder": "eye", "detector": "lensback-detector"}[kind]
    assert (listed[shipped]["kind"], listed[shipped]["used"]) == ("shipped", True)
    assert list(tmp_path.iterdir()) == [], "nothing is written"


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("use", "nothing"), "UnknownName"),
        (("use", "fashionsiglip"), "ConfigError"),
        (("add", "Bad Name", "x.onnx"), "ConfigError"),
        (("add", "pixels", "x.onnx"), "ConfigError"),
        (("add", "mine", "nowhere.onnx"), "ConfigError"),
        (("add", "fashionclip", __file__), "ConfigError"),
    ],
)
def test_an_encoder_that_is_refused(arguments: tuple[str, ...], kind: str, fresh: Path) -> None:
    before = (fresh / "lensback.toml").read_text()
    refused = lensback("encoder", *arguments, "--workspace", fresh)
    assert refused.code == 2
    assert refused.err.startswith(f"{kind}: ")
    assert "hint: " in refused.err
    assert (fresh / "lensback.toml").read_text() == before
    models = fresh / "models"
    assert not models.exists() or not list(models.iterdir())


# ---- detectors


def test_another_detector_finds_from_the_next_search_on(small: Shop, tmp_path: Path) -> None:
    from test_detectors_onnx import BOXES, model

    logits = np.array([[[9.0], [-9.0], [-9.0]]], np.float32)
    made = model(tmp_path / "made" / "model.onnx", {"logits": logits, "pred_boxes": BOXES})
    toml = tmp_path / "made" / "detector.toml"
    toml.write_text(
        'style="detr"\nsize=[64,64]\nlabels=["dress"]\nscores="sigmoid"\nresize="squash"'
    )
    added = small.run("detector", "add", "tiny", made)
    assert added.code == 0, added.err
    assert "next: lensback detector use tiny" in added.out
    assert small.run("detector", "use", "tiny").code == 0
    listed = {info["name"]: info for info in small.run("detector", "list", "--json").json}
    assert listed["tiny"] == {
        "name": "tiny", "kind": "added", "labels": ["dress"], "licence": "", "source": "",
        "problem": "", "used": True,
    }  # fmt: skip
    assert listed["lensback-detector"]["kind"] == "shipped"
    assert listed["d-fine"]["kind"] == "known"
    found = answer(small)
    assert found["region"] == [0.375, 0.25, 0.625, 0.75]
    assert [region["label"] for region in found["regions"]] == ["dress", "whole"]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("detector", "use", "nothing"), "UnknownName"),
        (("detector", "use", "rt-detr"), "ConfigError"),
        (("detector", "add", "Bad Name", "x.onnx"), "ConfigError"),
        (("detector", "add", "whole", "x.onnx"), "ConfigError"),
        (("detector", "add", "mine", "nowhere.onnx"), "ConfigError"),
        (("train",), "BadQuery"),
    ],
)
def test_a_detector_that_is_refused(arguments: tuple[str, ...], kind: str, fresh: Path) -> None:
    before = (fresh / "lensback.toml").read_text()
    refused = lensback(*arguments, "--workspace", fresh)
    assert refused.code
    assert refused.err.startswith(f"{kind}: ")
    assert "hint: " in refused.err
    assert (fresh / "lensback.toml").read_text() == before


# ---- calibrate, doctor


def test_calibrate(shop: Shop, fresh: Path) -> None:
    made = shop.run("calibrate", "--limit", 12, "--seed", 3, "--json")
    assert made.code == 0
    assert made.json["kind"] == "distorted copies"
    assert made.json["cases"] == 24
    shown = shop.run("calibrate")
    assert "these probabilities are optimistic" in shown.out
    assert (shop.folder / "calibration" / f"{made.json['fingerprint']}.json").is_file()
    refused = lensback("calibrate", "--json", "--workspace", fresh)
    assert refused.code == 1
    assert refused.error["type"] == "DataError"


def test_doctor_finds_nothing_wrong(shop: Shop) -> None:
    checks = shop.run("doctor", "--json")
    assert checks.code == 0
    states = {check["part"]: check["state"] for check in checks.json}
    assert states.pop("calibration") == "warn", "one image a product: copies only"
    assert set(states.values()) == {"ok"}
    assert {"disk", "database", "store harbour", "store lavka", "images", "index"} <= set(states)
    assert "snapshot" in shop.run("doctor").out


def test_doctor_says_what_to_do(fresh: Path) -> None:
    checks = lensback("doctor", "--json", "--workspace", fresh)
    assert checks.code == 0, "nothing is broken yet"
    for check in checks.json:
        assert set(check) == {"part", "state", "message", "hint"}
        assert check["state"] == "ok" or check["hint"].startswith("run: lensback")


def test_doctor_of_a_broken_workspace(small: Shop) -> None:
    (small.folder / "index" / "lance" / "CURRENT.json").write_text("{")
    broken = small.run("doctor", "--json")
    assert broken.code == 2
    checks = {check["part"]: check for check in broken.json}
    assert checks["index"]["state"] == "fail"
    assert checks["index"]["hint"].startswith("run: lensback sync --workspace ")
    assert checks["database"]["state"] == "ok"
    assert small.run("doctor").code == 2
    assert small.run("sync").code == 0, "what the hint says"
    assert small.run("doctor").code == 0


@pytest.mark.parametrize("command", [("doctor",), ("sync",), ("store", "list")], ids=" ".join)
def test_a_database_that_is_none(command: tuple[str, ...], fresh: Path) -> None:
    (fresh / "catalogue.db").write_bytes(b"not a database " * 500)
    refused = lensback(*command, "--workspace", fresh)
    assert refused.code in {1, 2}
    assert "not a database" in refused.out + refused.err


@pytest.mark.parametrize(
    ("name", "value"), [("LENSBACK_ALLOW_HOSTS", "[127.0.0.1"), ("LENSBACK_LOG_LEVEL", "loud")]
)
def test_a_wrong_word_in_the_environment(
    name: str, value: str, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    refused = lensback("store", "list", "--json", "--workspace", fresh)
    assert refused.code == 2
    assert refused.error["type"] == "ConfigError"
    assert name in refused.error["hint"]


# ---- processes of their own


def process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lensback", *map(str, arguments)]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("columns", [80, 120])
def test_help_is_in_the_order_in_which_commands_come_up(columns: int) -> None:
    """In panels, whether it stands in boxes or not; each command in one of them."""
    names = [one.name for one in (*cli.app.registered_commands, *cli.app.registered_groups)]
    listed = [name for panel in panels.PANELS.values() for name in panel]
    assert sorted(listed) == sorted(map(str, names))
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "dumb", "NO_COLOR": "1"}
    asked = [sys.executable, "-m", "lensback", "--help"]
    told = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout
    assert ("╭" in told) == (columns == 120)
    told = told[told.index("First steps") :]
    expected = [word for panel, names in panels.PANELS.items() for word in (panel, *names)]
    found = [re.sub(r"^[╭─│ ]+", "", line) for line in told.splitlines()]
    heads = [next((w for w in expected if re.match(rf"{w}( |:|$)", line)), "") for line in found]
    assert [head for head in heads if head] == expected


@pytest.mark.parametrize("asked", [(), ("--example",)], ids=["a photo", "an example"])
def test_the_times_of_a_search_begin_when_what_decodes_is_there(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...]
) -> None:
    """The start of the processes that decode is no part of `decode`."""
    told: list[str] = []
    start, reply, find = children.start, workers._Worker._asked, search.search

    def started(*arguments: Any, **more: Any) -> Any:
        told.append("started")
        return start(*arguments, **more)

    def answered(worker: Any, order: dict[str, Any]) -> Any:
        said = reply(worker, order)
        told.append(f"answered for {len(order['bytes'])}")
        return said

    def found(*arguments: Any) -> Any:
        told.append("search")
        return find(*arguments)

    fresh = workers.Decoders(2)
    monkeypatch.setattr(workers, "_shared", lambda _pid: fresh)
    monkeypatch.setattr(children, "start", started)
    monkeypatch.setattr(workers._Worker, "_asked", answered)
    monkeypatch.setattr(search, "search", found)
    try:
        done = lensback("search", *(asked or (shop.photo,)), "--workspace", shop.folder)
    finally:
        fresh.close()
    assert done.code == 0, done.err
    before, after = told[: told.index("search")], told[told.index("search") + 1 :]
    assert [before.count(each) for each in ("answered for 0", "started")] == [2, 2]
    assert "started" not in after


def test_search_in_a_process_of_its_own(shop: Shop, tmp_path: Path) -> None:
    where = str(shop.folder)
    done = process("search", shop.photo, "--json", LENSBACK_WORKSPACE=where)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["hits"]
    (tmp_path / "text.jpg").write_text("words")
    refused = process("search", tmp_path / "text.jpg", LENSBACK_WORKSPACE=where)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Traceback" not in refused.stderr
    assert refused.stderr.startswith("BadImage")


def healthy(base: str, child: subprocess.Popen[str], within_s: float = 240) -> httpx.Response:
    end = time.monotonic() + within_s
    while True:
        assert child.poll() is None, "the server is gone"
        try:
            return httpx.get(f"{base}/healthz", timeout=60)
        except httpx.TransportError:
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.05)


def test_serve_answers_until_it_is_told_to_stop(shop: Shop) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "lensback", "serve", "--port", str(port)]
    command += ["--workspace", str(shop.folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        try:
            assert healthy(base, child).status_code == 200
            files = {"photo": shop.photo.read_bytes()}
            found = httpx.post(f"{base}/api/search", files=files, timeout=240).json()
            assert found["hits"][0]["product_id"] == answer(shop)["hits"][0]["product_id"]
        finally:
            child.terminate()
            said, _ = child.communicate(timeout=240)
    assert "Traceback" not in said
    sold = sum(store["offers"] for store in shop.run("store", "list", "--json").json)
    assert f"{base}  {sold} offers of 2 stores, encoder eye" in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    asked = [line for line in lines if line["event"] == "request"]
    assert {"/healthz", "/api/search"} <= {line["route"] for line in asked}
    assert set(asked[0]) == {
        "time",
        "level",
        "event",
        "method",
        "route",
        "status",
        "ms",
        "request_id",
    }


BESIDE = """
import os, signal, sys, threading
from pathlib import Path
from urllib.request import urlopen
asked = []
class Asked:
    def find_spec(name, path, target=None):
        asked.append((threading.current_thread().name, name))
sys.meta_path.insert(0, Asked)
from lensback.web import run
def listening(workspace, port):
    def stop():
        (warming,) = (each for each in threading.enumerate() if each.name == "warm-up")
        urlopen(f"http://127.0.0.1:{port}/readyz").close()
        warming.join()
        for thread, name in asked:
            print("imported", thread, name)
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGTERM)
    threading.Thread(target=stop, name="stop").start()
run(Path(sys.argv[1]), port=0, listening=listening)
"""


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"DETECTOR": "openvino:lensback-detector"},
        {"DETECTOR": "whole"},
        {"DETECTOR": "saliency"},
    ],
    ids=str,
)
def test_models_load_beside_the_application_in_a_thread_that_imports_no_library(
    settings: dict[str, str], shop: Shop
) -> None:
    """Threads that import parts of one library at once may each wait for what the other has half of; and while one
    makes a class, another may be told of its half that it is what it is not: `str` became a `Mapping` by pyarrow's
    `MapScalar`, and FastAPI refused its own routes."""
    if any(name.startswith("openvino:") for name in settings.values()):
        pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    done = subprocess.run(
        [sys.executable, "-c", BESIDE, shop.folder],
        env=os.environ | {f"LENSBACK_{name}": value for name, value in settings.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    asked = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("imported")]
    begun = asked.index(["MainThread", "lensback.web.server"])
    before = {name.partition(".")[0] for _, name in asked[:begun]}
    beside = {name.partition(".")[0] for thread, name in asked[begun:] if thread == "MainThread"}
    warming = {name.partition(".")[0] for thread, name in asked if thread == "warm-up"}
    assert {"fastapi", "uvicorn", "jinja2"} <= beside - before
    assert {"onnxruntime", "pyarrow"} <= before
    # One is looked for and not imported; of numpy only a room of functions (`numpy.fft`) was left.
    assert warming <= {"lensback", "rapidocr", "numpy"}
    events = [json.loads(line)["event"] for line in done.stderr.splitlines() if line[0] == "{"]
    assert events.count("warm") == 1


MADE = """
import abc, sys, threading, uvicorn
from collections.abc import Mapping
from pathlib import Path
from lensback.web import run, warming
init, search = abc._abc_init, warming._search_a_blank
half, done, up = threading.Event(), threading.Event(), threading.Event()
def searched(workspace):
    search(workspace)
    done.set()
def slow(kind):
    parent = next((each for each in kind.__mro__[1:] if "_abc_impl" in vars(each)), object)
    beside = threading.current_thread().name == "warm-up"
    if beside and Mapping in kind.__mro__ and issubclass(str, parent):
        half.set()
        up.wait(60)
    init(kind)
def listening(workspace, port):
    while not done.is_set() and not half.wait(0.05):
        pass
    type("Own", (abc.ABC,), {}).register(int)  # which makes Python forget what it said of other classes
def served(*_, **__):
    print("served, and a word is", "a Mapping" if issubclass(str, Mapping) else "a word")
    up.set()
abc._abc_init, warming._search_a_blank = slow, searched
uvicorn.Server.run = served
run(Path(sys.argv[1]), port=0, listening=listening)
"""


def test_a_start_in_which_classes_are_made_slowly(shop: Shop) -> None:
    """Between the two steps of its making a class answers for its first parent: here each one of two parents that
    another thread makes, and whose first one takes `str` in, stays there until the application stands."""
    done = subprocess.run(
        [sys.executable, "-c", MADE, shop.folder], capture_output=True, text=True, check=False
    )
    assert done.stdout == "served, and a word is a word\n", done.stderr[-2000:]


CROWDED = """
import sys, uvicorn
from pathlib import Path
from lensback.web import run
uvicorn.Server.run = lambda *_, **__: print("served")
sys.executable = "/nowhere"
run(Path(sys.argv[1]), port=0)
"""


def test_serve_where_no_process_can_be_started(shop: Shop) -> None:
    """Readiness tells of it, and it may pass."""
    done = subprocess.run(
        [sys.executable, "-c", CROWDED, shop.folder], capture_output=True, text=True, check=True
    )
    assert done.stdout == "served\n"
    (told,) = (json.loads(line) for line in done.stderr.splitlines())
    assert (told["event"], told["type"]) == ("not ready", "StateError")


def test_serve_where_the_port_is_taken(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = shop.run("serve", "--port", listener.getsockname()[1])
    assert refused.code == 2
    assert "choose another --host or --port" in refused.err
    assert "http://" not in refused.err, "nothing is served there"


def test_serve_says_the_port_that_it_was_given(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)
    served = shop.run("serve", "--port", 0)
    assert served.code == 0
    assert re.search(r"^http://127\.0\.0\.1:[1-9]\d+  \d+ offers of 2 stores", served.err)
