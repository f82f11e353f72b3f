"""How a command starts: help and completion load nothing heavy, and every hint can be pasted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from lensback import __version__
from lensback.catalogue import stores
from lensback.cli import app, face, of_word
from lensback.workspace import init, open_workspace
from servers import Postgres
from test_cli import COMMANDS, lensback
from test_floors import HEAVY

LIGHT = {"typer", "rich"}
WEIGHTY = sorted({*HEAVY, "numpy", "PIL", "pydantic_settings"} - LIGHT)
"""Pydantic is none of them: Typer reads options with it."""
ASKED = """
import sys
from lensback.cli import main
try:
    for words in {words!r}:
        sys.argv = ["lensback", *words]
        try:
            main()
        except SystemExit as done:
            if done.code:
                raise
finally:
    print("loaded:", *sorted(set({weighty!r}) & set(sys.modules)))
"""


def asked(*words: tuple[str, ...], cwd: Path, **environment: str) -> tuple[str, set[str]]:
    """What a process of its own prints for these commands, and which heavy libraries it loaded."""
    code = ASKED.format(words=words, weighty=WEIGHTY)
    told = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=cwd, env=told
    )
    out, _, loaded = done.stdout.rpartition("loaded:")
    return out, set(loaded.split())


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    out, loaded = asked(("--help",), ("--version",), ("store", "add", "--help"), cwd=tmp_path)
    assert loaded == set()
    assert __version__ in out.splitlines()
    assert out.count("Usage:") == 2


def test_an_end_looks_for_no_garbage_among_what_was_loaded() -> None:
    code = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print('left:', gc.get_freeze_count(), len(gc.get_objects())))\n"
        "sys.argv = ['lensback', '--version']\n"
        "from lensback.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, looked_at = map(int, done.stdout.rpartition("left:")[2].split())
    assert kept > 10 * looked_at


def test_help_of_no_command_loads_anything_heavy() -> None:
    """All of them in one process, which makes the tree of commands once."""
    code = f"""
import sys, typer.main
from lensback.cli import app
def helps(command, context):
    command.get_help(context)
    below = getattr(command, "commands", {{}})
    return 1 + sum(helps(c, c.context_class(c, parent=context, info_name=n)) for n, c in below.items())
top = typer.main.get_command(app)
print(helps(top, top.context_class(top, info_name="lensback")))
print(*sorted(set({WEIGHTY!r}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *_, count, loaded = done.stdout.split("\n")[:-1]
    assert int(count) > len(COMMANDS)
    assert loaded == ""


def test_of_a_command_that_is_named_only_its_own_options_are_worked_out() -> None:
    tree: Any = typer.main.get_command(app)
    for word, whole in tree.commands.items():
        (name, alone), *more = typer.main.get_command(of_word(word)).commands.items()  # type: ignore[attr-defined]
        assert (name, more) == (word, [])
        context = click_context(whole, word)
        assert alone.get_help(context) == whole.get_help(context)
        assert [*getattr(alone, "commands", ())] == [*getattr(whole, "commands", ())]
    for word in ("", "--version", "sybc"):
        assert of_word(word) is app


def click_context(command: Any, word: str) -> Any:
    return command.context_class(command, info_name=word)


def test_the_count_of_libraries_counts(tmp_path: Path) -> None:
    init(tmp_path / "workspace")
    _, loaded = asked(("store", "list"), cwd=tmp_path)
    assert {"sqlalchemy", "numpy", "pydantic_settings"} <= loaded


# ---- completion


TABS = """
import os, sys
from lensback.cli import main
for line in {lines!r}:
    os.environ.update(_LENSBACK_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(line.count(" ")))
    sys.argv = ["lensback"]
    try:
        main()
    except SystemExit:
        print("--")
print(*sorted(set({weighty!r}) & set(sys.modules)))
"""


def completed(cwd: Path, *lines: str) -> tuple[list[list[str]], set[str]]:
    """What Tab offers behind each line, as bash asks for it, and what heavy was loaded for it."""
    code = TABS.format(lines=lines, weighty=WEIGHTY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=cwd
    )
    assert done.stderr == ""
    *offered, loaded = done.stdout.split("--\n")
    return [each.split() for each in offered], set(loaded.split())


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `workspace` has three stores."""
    home = tmp_path_factory.mktemp("completion")
    init(home / "workspace")
    with open_workspace(home / "workspace") as opened:
        for name in ("harbour", "hat-shop", "lavka"):
            stores.add(opened.db, name, "https://shop.example/feed.xml")
    (home / "a" / "b").mkdir(parents=True)
    return home


OFFERED = {
    "store show ": ["harbour", "hat-shop", "lavka"],
    "store set ha": ["harbour", "hat-shop"],
    "store rename la": ["lavka"],
    "sync harbour la": ["lavka"],
    "search --store ha": ["harbour", "hat-shop"],
    "offers find --store la": ["lavka"],
    "st": ["store"],
    "search --ex": ["--example"],
}
NAMES = {
    "encoder use ": ["eye", "pixels"],
    "encoder compare eye pi": ["pixels"],
    "train --teacher e": ["eye"],
    "train --device c": ["cpu", "cuda"],
    "detector use w": ["whole"],
    "conversions pull aw": ["awin"],
    "network show adm": ["admitad"],
    "report --language ": ["en", "ru"],
    "sync --only e": ["embed"],
    "claim decide 1 a": ["accepted"],
}


def test_tab_offers_commands_options_and_stores_of_the_nearest_workspace(connected: Path) -> None:
    lines = [f"lensback {line}" for line in OFFERED]
    offered, loaded = completed(connected / "a" / "b", *lines)
    assert dict(zip(OFFERED, offered, strict=True)) == OFFERED
    assert loaded <= {"pydantic_settings"}, "a Tab does not wait for the database's library"


def test_tab_offers_encoders_networks_languages_and_words_of_options(connected: Path) -> None:
    offered, loaded = completed(connected, *(f"lensback {line}" for line in NAMES))
    assert dict(zip(NAMES, offered, strict=True)) == NAMES
    assert not loaded & {"sqlalchemy", "lancedb", "onnxruntime", "fastapi"}


def test_tab_takes_the_workspace_that_is_named_and_tells_of_no_trouble(
    connected: Path, tmp_path: Path
) -> None:
    for name in ("new", "wrong", "broken"):
        init(tmp_path / name)
    (tmp_path / "wrong" / "lensback.toml").write_text("candidates = 0\n")
    (tmp_path / "broken" / "catalogue.db").write_bytes(b"no database" * 100)
    folders = [connected / "workspace", *(tmp_path / n for n in ("none", "new", "wrong", "broken"))]
    lines = [f"lensback store show --workspace {folder} la" for folder in folders]
    offered, _ = completed(tmp_path, *lines, "lensback store show ")
    assert offered == [["lavka"], [], [], [], [], []]


def test_tab_asks_postgresql_where_the_database_is_there(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.url(postgres.database())
    init(tmp_path / "workspace")
    (tmp_path / "workspace" / "lensback.toml").write_text(f'database = "{url}"\n')
    assert completed(tmp_path, "lensback store show ")[0] == [[]], "and no table is made by it"
    with open_workspace(tmp_path / "workspace") as opened:
        stores.add(opened.db, "quay", "https://shop.example/feed.xml")
    assert completed(tmp_path, "lensback store show ")[0] == [["quay"]]


# ---- hints that can be pasted


def test_hints_go_to_the_workspace_that_was_named(tmp_path: Path) -> None:
    folder = tmp_path / "my shop"
    assert lensback("init", "--workspace", folder).code == 0
    there = f"--workspace '{folder}'"
    assert f"lensback sync {there}" in lensback("search", __file__, "--workspace", folder).err
    told = lensback("search", __file__, "--json", "--workspace", folder)
    assert f"lensback sync {there}" in told.error["hint"]
    for shown in (
        lensback("doctor", "--json", "--workspace", folder).json,
        lensback("doctor", "--workspace", folder).out,
    ):
        lines = re.findall(r"lensback [a-z]+[^\"']*", re.sub(r"[\s│]+", " ", str(shown)))
        assert lines
        assert all("--workspace" in line for line in lines), lines


def test_hints_are_plain_where_no_workspace_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lensback("init").code == 0
    refused = lensback("search", __file__, "--json")
    assert refused.error["hint"] == "run: lensback sync"


@pytest.mark.parametrize(
    ("hint", "pasted"),
    [
        ("run: lensback sync", "run: lensback sync --workspace x"),
        ("lensback store show NAME lists them", "lensback store show --workspace x NAME lists them"),
        ("run: lensback encoder use NAME, sync", "run: lensback encoder use --workspace x NAME, sync"),
        ("run: lensback init --workspace y", "run: lensback init --workspace y"),
        ("lensback.toml, lensback-web and lensback synced", "lensback.toml, lensback-web and lensback synced"),
    ],
)  # fmt: skip
def test_commands_in_a_hint(hint: str, pasted: str) -> None:
    token = face.NAMED.set(Path("x"))
    try:
        assert face.pasted(hint) == pasted
    finally:
        face.NAMED.reset(token)
