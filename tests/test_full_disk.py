"""A disk without a free byte: what is there can still be read, backed up elsewhere and pruned; what cannot be
written is told and leaves nothing behind; when there is room again everything goes on."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from lensback.catalogue import stores
from lensback.db import Database, sqlite_url
from lensback.durable import replace_file
from lensback.errors import StateError
from lensback.settings import FILE_NAME
from lensback.workspace import init, open_workspace
from test_cli import Result, lensback
from test_sync_failures import grow, small_disk

ROOM_KB = 6000


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """No byte is free, until the end of the block."""
    filling = disk / "fill"
    with filling.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65_536)):
            pass
    assert shutil.disk_usage(disk).free == 0
    try:
        yield
    finally:
        filling.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as folder:
        grow(folder, ROOM_KB)
        yield folder


@pytest.fixture
def shop(disk: Path) -> Path:
    """A workspace that nobody has open: SQLite's log is folded in, and its index of the log gone."""
    folder = disk / "shop"
    init(folder)
    with open_workspace(folder) as workspace:
        stores.add(workspace.db, "harbour", "https://harbour.example/feed.xml")
    assert not (folder / "catalogue.db-shm").exists()
    return folder


def run(folder: Path, *words: object) -> Result:
    return lensback(*words, "--workspace", folder)


def test_what_is_there_can_be_read_and_pruned(shop: Path, disk: Path) -> None:
    old = shop / "spool" / "left"
    old.parent.mkdir()
    old.write_bytes(bytes(300_000))
    torn = shop / ".keys.json.1.tmp"
    torn.write_text("{")
    for each in (old, torn):
        os.utime(each, (0, 0))
    with full(disk):
        assert [one["name"] for one in run(shop, "store", "list", "--json").json] == ["harbour"]
        assert run(shop, "offers", "find", "dress").code == 0
        checks = {check["part"]: check for check in run(shop, "doctor", "--json").json}
        assert checks["disk"]["state"] == "fail"
        assert "lensback prune" in checks["disk"]["hint"]
        assert checks["database"]["state"] == "ok"
        freed = run(shop, "prune", "--json").json
        assert [(one["what"], one["count"]) for one in freed] == [("leftovers", 2)]
        assert not old.exists()
        assert not torn.exists()


@pytest.mark.parametrize(
    "command",
    [("store", "pause", "harbour"), ("store", "rename", "harbour", "port"), ("store", "remove", "harbour", "--yes"),
     ("key", "add", "x"), ("encoder", "use", "pixels"), ("ledger", "audit"), ("ledger", "host-key"),
     ("offers", "export", "--out", "OUT"), ("backup", "OUT"), ("init", "--workspace", "OUT")],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_written_is_told_and_nothing_is_left(
    shop: Path, disk: Path, command: tuple[str, ...]
) -> None:
    words = [str(disk / "out") if word == "OUT" else word for word in command]
    here = () if "--workspace" in words else ("--workspace", shop)
    before = files(disk)
    with full(disk):
        refused = lensback(*words, *here)
        assert refused.code == 2, refused
        assert "free some space" in refused.err
        assert "Traceback" not in refused.err
        assert {k: v for k, v in files(disk).items() if k.name != "fill"} == before
    again = lensback(*words, *here)
    assert again.code == 0, again


def files(disk: Path) -> dict[Path, bytes]:
    """What is written, without the files that a lock or SQLite's own keeping makes."""
    passing = (".lock", ".backup.lock", "catalogue.db-shm", "catalogue.db-wal", "catalogue.db")
    found = (path for path in disk.rglob("*") if path.is_file() and path.name not in passing)
    return {path: path.read_bytes() for path in found}


def test_a_backup_goes_to_another_disk(shop: Path, disk: Path, tmp_path: Path) -> None:
    with full(disk):
        made = run(shop, "backup", tmp_path / "kept", "--json")
        assert made.code == 0, made
    assert not [path for path in (tmp_path / "kept").iterdir() if path.name.startswith(".backup")]
    back = tmp_path / "back"
    assert lensback("restore", tmp_path / "kept", "--workspace", back).code == 0
    assert [one["name"] for one in run(back, "store", "list", "--json").json] == ["harbour"]


def test_a_copy_that_was_killed_is_cleared_away(shop: Path, disk: Path, tmp_path: Path) -> None:
    left = shop / "spool" / ".backup-0123456789abcdef.db"
    left.parent.mkdir()
    left.write_bytes(bytes(1000))
    assert run(shop, "backup", tmp_path / "kept").code == 0
    assert not left.exists()


def test_it_goes_on_by_itself_when_there_is_room(shop: Path, disk: Path) -> None:
    """Of one process: what it could only read while the disk was full it writes afterwards, and it does
    not keep others from it."""
    db = Database(sqlite_url(shop / "catalogue.db"))
    try:
        with full(disk):
            assert stores.names(db) == ["harbour"]
            # A second one beside the first is not waited for.
            with db.read(), pytest.raises(StateError, match="the disk is full"):
                stores.names(db)
            with pytest.raises(StateError, match="the disk is full"):
                stores.add(db, "lavka", "https://lavka.example/feed.xml")
            with closing(sqlite3.connect(shop / "catalogue.db", timeout=0)) as other:
                other.execute("PRAGMA locking_mode=EXCLUSIVE")
                assert other.execute("SELECT count(*) FROM stores").fetchone() == (1,)
        stores.add(db, "lavka", "https://lavka.example/feed.xml")
        assert stores.names(db) == ["harbour", "lavka"]
    finally:
        db.close()


def test_settings_are_whole_or_not_there(disk: Path) -> None:
    with full(disk), pytest.raises(Exception, match="No space left"):
        init(disk / "new")
    assert not (disk / "new" / FILE_NAME).exists()
    assert init(disk / "new"), "made, not taken for one that was there"
    assert "# encoder" in (disk / "new" / FILE_NAME).read_text()


def test_a_file_that_could_not_be_replaced_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("old")

    def fill(partial: Path) -> None:
        partial.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_file(file, fill, private=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert file.read_text() == "old"
