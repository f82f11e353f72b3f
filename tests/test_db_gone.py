"""A workspace that lost its database says so and how to get it back; a new one is never made unasked."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import lensback
from lensback import doctor
from lensback.catalogue import stores
from lensback.cli import app
from lensback.errors import Error, StateError
from lensback.settings import Settings
from lensback.workspace import Workspace, init, open_workspace
from servers import Postgres

SRC = Path(lensback.__file__).parent
COMMANDS = (["sync"], ["doctor"], ["store", "list"], ["init"], ["ledger", "audit"], ["click", "x"])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "workspace"
    init(folder)
    shutil.copy(migrated_sqlite, folder / "catalogue.db")
    with open_workspace(folder) as workspace:
        stores.add(workspace.db, "harbour", "https://harbour.example/feed.xml")
    return folder


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept, tmp_path / "workspace")
    return tmp_path / "workspace"


def missing(file: Path) -> None:
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()


def zeroed(file: Path) -> None:
    missing(file)
    file.touch()


def without_tables(file: Path) -> None:
    import sqlite3

    missing(file)
    with sqlite3.connect(file) as c:
        c.execute("PRAGMA journal_mode = WAL")
        c.execute("CREATE TABLE other (x)")
    c.close()


def cut(file: Path) -> None:
    data = file.read_bytes()
    missing(file)
    file.write_bytes(data[: len(data) // 2])


def overwritten(file: Path) -> None:
    missing(file)
    file.write_bytes(b"<html>no such page</html>" * 400)


HARMS: dict[Callable[[Path], None], str] = {
    missing: "is not there",
    zeroed: "has no bytes",
    without_tables: "is empty",
    cut: "malformed",
    overwritten: "not a database",
}


def signs(file: Path) -> tuple[bool, bytes]:
    return file.exists(), file.read_bytes() if file.exists() else b""


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_every_command_says_what_to_do_and_changes_nothing(
    harm: Callable[[Path], None], folder: Path
) -> None:
    file = folder / "catalogue.db"
    backup = file.read_bytes()
    harm(file)
    harmed = signs(file)
    for command in COMMANDS:
        result = CliRunner().invoke(app, [*command, "--workspace", str(folder)])
        error, told = result.exception, result.output
        if isinstance(error, Error):
            told = f"{error.message} {error.hint}"
            assert error.exit_code == 2
        else:
            assert result.exit_code == 2, (command, error)
        told = " ".join(re.sub(r"[│┃]", " ", told).split())
        if command != ["doctor"]:  # its table breaks lines
            assert HARMS[harm] in told, command
            assert "docs/operate.md" in told
        assert signs(file) == harmed, command
    with open_workspace(folder) as workspace:
        lines = {check.part: check for check in doctor.examine(workspace)}
    assert lines["database"].state == "fail"
    assert HARMS[harm] in lines["database"].message
    assert "backup" in lines["database"].hint
    # What the hint says, done:
    missing(file)
    file.write_bytes(backup)
    with open_workspace(folder) as workspace:
        assert stores.names(workspace.db) == ["harbour"]


def test_a_new_database_only_when_it_is_asked_for(folder: Path) -> None:
    again = ["init", "--new-database", "--workspace", str(folder)]
    refused = CliRunner().invoke(app, again).exception
    assert isinstance(refused, StateError)
    assert "there is a database" in refused.message
    missing(folder / "catalogue.db")
    assert CliRunner().invoke(app, again).exit_code == 0
    with open_workspace(folder) as workspace:
        assert stores.names(workspace.db) == []


@pytest.mark.parametrize("sign", ["database.json", "published.json", "index/lance/CURRENT.json"])
def test_each_sign_of_an_earlier_life_counts(sign: str, tmp_path: Path) -> None:
    init(tmp_path)
    (tmp_path / sign).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / sign).write_text("{}")
    with open_workspace(tmp_path) as workspace, pytest.raises(StateError, match="is not there"):
        _ = workspace.db
    assert not (tmp_path / "catalogue.db").exists()


def test_a_postgresql_that_was_emptied(postgres: Postgres, tmp_path: Path) -> None:
    name = postgres.database("migrated")
    settings = Settings(database=postgres.url(name))
    init(tmp_path)
    with Workspace(tmp_path, settings) as workspace:
        assert workspace.db.revision()
    with Workspace(tmp_path, Settings(database=postgres.url(postgres.database()))) as workspace:
        with pytest.raises(StateError, match="is empty") as told:
            _ = workspace.db
        assert "lensback@" not in told.value.message, "no user, no password"
        workspace.begin_anew()
        assert workspace.db.revision()


def test_a_folder_that_cannot_be_written_has_a_database_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "database.json").unlink()

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with open_workspace(folder) as workspace:
        assert stores.names(workspace.db) == ["harbour"]


# ---- hints

REMOVES = re.compile(r"\b(remov|delet|drop|eras|rm|unlink|move (it|them) away)", re.IGNORECASE)
HARMLESS = {
    "choose another name, or remove it",  # a model that is there already
    "name another folder, or remove it",  # of an output
    "remove it first, or use another name",  # a key
    "remove it; passes are made anew",  # a secret of cookies
    "remove it: the next import begins anew",  # what a network said last time
    "restore or remove it",  # keys.json: hashes of API keys
    "take them out, or use --leaks drop to leave them out and count them",
    "use another name after the host, or drop that alias and sync",  # an alias that is not ours
}


def hints() -> Iterator[tuple[str, str]]:
    """Every text of the package that is given as a hint, and where."""
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            texts: list[ast.AST] = []
            if isinstance(node, ast.keyword) and node.arg == "hint":
                texts.append(node.value)
            if isinstance(node, ast.Assign) and "hint" in ast.unparse(node.targets[0]).lower():
                texts.append(node.value)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Check":
                texts += node.args[3:]
            for text in texts:
                words = [c.value for c in ast.walk(text) if isinstance(c, ast.Constant)]
                yield (
                    "".join(w for w in words if isinstance(w, str)),
                    f"{path.name}:{node_line(text)}",
                )


def node_line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def test_no_hint_says_to_remove_what_holds_the_ledger() -> None:
    every = list(hints())
    assert len(every) > 150, "hints are looked at"
    assert [where for text, where in every if REMOVES.search(text) and text not in HARMLESS] == []
    assert {text for text, _ in every} >= HARMLESS, "what is excused is still there"
