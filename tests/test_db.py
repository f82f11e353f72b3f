from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text

from lensback import db as db_module
from lensback.db import Database, chunks, sqlite_url
from lensback.db import tables as t
from lensback.db.presence import sqlite_file
from lensback.errors import Busy, ConfigError, SchemaTooNew, StateError


def test_migrations_and_tables_agree(db: Database) -> None:
    with db.read() as c:
        # How words are kept is each database's own: SQLite makes tables of its own for them.
        own = {
            "include_name": lambda name, kind, _: (
                not (kind == "table" and name.startswith("offer_words"))
            )
        }
        assert compare_metadata(MigrationContext.configure(c, opts=own), t.metadata) == []
    versions = Path(db_module.__file__).parent / "versions"
    assert max(path.name[:4] for path in versions.glob("0*.py")) == db_module.HEAD == db.revision()


def test_migrate_twice_is_nothing(db: Database) -> None:
    db.migrate()
    assert db.revision() == db_module.HEAD


def test_newer_schema_is_refused(db: Database) -> None:
    with db.write() as c:
        c.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaTooNew):
        db.migrate()


def test_write_is_all_or_nothing(db: Database) -> None:
    row = {"name": "a", "title": "", "base": "", "created_at": 0}

    def fail_midway() -> None:
        with db.write() as c:
            c.execute(insert(t.stores).values(row))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_midway()
    with db.read() as c:
        assert c.execute(select(t.stores)).all() == []


def test_upsert_keeps_or_overwrites(db: Database) -> None:
    row = {"name": "a", "title": "one", "base": "", "created_at": 0}
    with db.write() as c:
        db.upsert(c, t.stores, [row], ["name"])
        db.upsert(c, t.stores, [row | {"title": "two"}], ["name"])
        assert c.scalars(select(t.stores.c.title)).all() == ["one"]
        db.upsert(c, t.stores, [row | {"title": "two"}], ["name"], ["title"])
        assert c.scalars(select(t.stores.c.title)).all() == ["two"]
        db.upsert(c, t.stores, [], ["name"])


def test_readers_go_on_while_one_writes(db: Database) -> None:
    inside, done = threading.Event(), threading.Event()

    def write() -> None:
        with db.write() as c:
            c.execute(insert(t.stores).values(name="a", created_at=0))
            inside.set()
            assert done.wait(240)

    thread = threading.Thread(target=write)
    thread.start()
    assert inside.wait(240)
    with db.read() as c:
        assert c.execute(select(t.stores)).all() == []
    done.set()
    thread.join()
    with db.read() as c:
        assert len(c.execute(select(t.stores)).all()) == 1


def test_what_is_read_together_is_of_one_state(db: Database) -> None:
    def names() -> list[str]:
        with db.read() as c:
            return list(c.scalars(select(t.stores.c.name)))

    def add(name: str) -> None:
        with db.write() as c:
            c.execute(insert(t.stores).values(name=name, created_at=0))

    seen: list[list[str]] = []
    with db.reads_together():
        assert names() == []
        add("a")
        thread = threading.Thread(target=lambda: seen.append(names()))
        thread.start()
        thread.join()
        with db.reads_together():
            assert names() == [], "what was written meanwhile is not seen"
        assert names() == []
    assert seen == [["a"]], "another thread reads for itself"
    assert names() == ["a"], "nor is it read together after the block"


def test_locked_database_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = Database(sqlite_url(tmp_path / "x.db"))
    db.migrate()
    monkeypatch.setattr(db_module, "BUSY_TIMEOUT_S", 0.1)
    other = Database(sqlite_url(tmp_path / "x.db"))
    with db.write(), pytest.raises(Busy), other.write():
        pass


def test_nonsense_url() -> None:
    with pytest.raises(ConfigError):
        Database("nonsense")
    with pytest.raises(ConfigError):
        Database("oracle9://x")


@pytest.mark.parametrize("name", ["a?b", "50%20", "100%", "a#b&c", "ä 🦆", "q'\"", "a@b:c"])
def test_a_path_with_signs_of_addresses(tmp_path: Path, name: str) -> None:
    """The file lies in its folder, and not where a part of its path says."""
    folder = tmp_path / name
    folder.mkdir()
    url = sqlite_url(folder / "catalogue.db")
    db = Database(url)
    assert db.revision() == ""
    db.close()
    assert sqlite_file(url) == folder / "catalogue.db"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [path.name for path in folder.iterdir()] == ["catalogue.db"]


def test_a_folder_where_nothing_can_be_made(tmp_path: Path) -> None:
    db = Database(sqlite_url(tmp_path / "none" / "catalogue.db"))
    with pytest.raises(StateError) as raised:
        db.revision()
    assert "cannot be written" in raised.value.hint


def test_chunks() -> None:
    assert list(chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(chunks([], 2)) == []
