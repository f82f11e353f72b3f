"""A database that goes away, is full, or gives a transaction up, at every statement of a sync.

Each kind of failure meets each statement once: the sync waits for the database and ends as an
undisturbed one does. Nothing here pretends: the server ends the connection, or raises the error.
"""

from __future__ import annotations

import re
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event

from garments import items
from lensback import db as db_module
from lensback import retry
from lensback.catalogue import stores
from lensback.db import Database
from lensback.db import postgres as db_postgres
from lensback.errors import Away, Busy, StateError
from lensback.retry import retried
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace, init
from servers import Postgres
from test_sync import state
from world import World

pytestmark = pytest.mark.slow

SRC = Path(db_module.__file__).parents[1]
KINDS = ("lost before", "lost after", "lost at commit", "refused")
IN_TURN = 8
"""A migration is one transaction, made anew from its beginning: of its statements each kind of failure
meets one in so many."""
REFUSALS = ("40001", "40P01", "55P03", "53300")
"""Serialisation failure, deadlock, a lock waited for too long, no connection left."""
FAIL = """CREATE FUNCTION refuse(code text) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = code; END $$"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world")) as made:
        made.store("harbour", "google", items(14), sizes=("S", "M", "L"), views=(0, 1))
        made.store("lavka", "yml", items(18)[12:], sizes=("S",))
        yield made


def opened(folder: Path, world: World, database: str = "") -> Workspace:
    init(folder)
    settings = {"retries": 0, "encoder": "pixels", "database": database, "embed_batch": 8}
    return Workspace(folder, Settings(allow_hosts=("127.0.0.1",), **settings))  # type: ignore[arg-type]


def connect(workspace: Workspace, world: World) -> None:
    for store in world.stores.values():
        stores.add(workspace.db, store.name, store.feed_url, base=world.base)


def live(folder: Path, world: World, database: str = "") -> None:
    """The whole life of a small catalogue: made, filled, changed, filled again."""
    with opened(folder, world, database) as workspace:
        retried(lambda: workspace.db)
        retried(lambda: connect(workspace, world))
        for price in ("19.00", "29.00"):
            world.change(world.stores["harbour"].offers[0], price=price)
            world.change(world.stores["lavka"].offers[1], available=price == "19.00")
            report = sync(workspace)
            assert not report.failed, report.failed
            assert not report.skipped


def outcome(folder: Path, world: World, database: str = "") -> dict[str, Any]:
    with opened(folder, world, database) as workspace:
        return state(workspace)


@pytest.fixture(scope="module")
def clean(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an undisturbed life comes to."""
    folder = tmp_path_factory.mktemp("clean")
    live(folder, world)
    return outcome(folder, world)


def place(statement: str) -> str:
    """The statement, and where in the package it comes from."""
    frame, found = sys._getframe(2), []
    while frame and len(found) < 2:
        name = frame.f_code.co_filename
        if "/lensback/" in name and not name.endswith("/db/__init__.py"):
            found.append(f"{Path(name).stem}.{frame.f_code.co_name}")
        frame = frame.f_back  # type: ignore[assignment]
    return f"{' '.join(found)}: {' '.join(statement.split())[:160]}"


class Trouble:
    """Does one kind of harm at every place of a program, once at each. `how`: the connection is lost
    before a statement, after it, or at the end of a transaction; or the statement is refused."""

    def __init__(self, how: str, server: Postgres) -> None:
        self.how, self.done = how, set[str]()
        self._migrating = 0
        self._server = psycopg.connect(server.dsn("postgres"), autocommit=True)
        self._lock = threading.Lock()

    def __enter__(self) -> Trouble:
        event.listen(Engine, "before_cursor_execute", self._before, retval=True)
        event.listen(Engine, "after_cursor_execute", self._after)
        event.listen(Engine, "commit", self._commit)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "before_cursor_execute", self._before)
        event.remove(Engine, "after_cursor_execute", self._after)
        event.remove(Engine, "commit", self._commit)
        self._server.close()

    def _first(self, where: str) -> bool:
        with self._lock:
            first = where not in self.done
            self.done.add(where)
            if first and ".upgrade" in where:
                self._migrating += 1
                return self._migrating % IN_TURN == KINDS.index(self.how)
            return first

    def _end(self, raw: Any) -> None:
        with self._lock:
            query = "SELECT pg_terminate_backend(%s, 10000)"
            self._server.execute(query, [raw.info.backend_pid])

    def _before(self, _c: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> Any:
        if self.how in {"lost before", "refused"} and self._first(place(statement)):
            if self.how == "refused":
                code = REFUSALS[len(self.done) % len(REFUSALS)]
                return f"SELECT refuse('{code}')", parameters
            self._end(cursor.connection)
        return statement, parameters

    def _after(self, _c: Any, cursor: Any, statement: str, *_: object) -> None:
        if self.how == "lost after" and self._first(place(statement)):
            self._end(cursor.connection)

    def _commit(self, c: Any) -> None:
        if self.how == "lost at commit" and self._first(place("COMMIT")):
            self._end(c.connection.driver_connection)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.01)


# A cursor of a connection that was lost is not closed by SQLAlchemy, which psycopg complains of.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", KINDS)
def test_a_failure_at_every_statement_of_a_sync(
    how: str, world: World, clean: dict[str, Any], postgres: Postgres, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(db_postgres, "COPY_ROWS", 8)
    name = postgres.database()
    postgres.execute(FAIL, name)
    url = postgres.url(name)
    with Trouble(how, postgres) as trouble:
        live(tmp_path, world, url)
    assert outcome(tmp_path, world, url) == clean
    met = " ".join(trouble.done)
    stages = (
        "workspace.db",
        "many.ingest_all",
        "one.read",
        "download",
        "embed",
        "group",
        "publish",
    )
    assert [stage for stage in stages if stage not in met] == []
    assert len(trouble.done) > (20 if how == "lost at commit" else 100)
    if how != "lost at commit":
        assert "ON COMMIT DROP AS SELECT" in met, "COPY met it, too"
        assert met.count("pg_try_advisory_lock") >= 5


# --- SQLite: another program holds the file's lock ---


class Holder:
    """Takes the lock of an SQLite file before each place that writes, once; for `held_s` seconds, or
    until `release`."""

    def __init__(self, path: Path, held_s: float | None) -> None:
        self.done = set[str]()
        self._path, self._held_s = path, held_s
        self._other: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Holder:
        event.listen(Engine, "begin", self._begin)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(Engine, "begin", self._begin)

    def _begin(self, c: Any) -> None:
        where = place("BEGIN")
        with self._lock:
            new = c.get_execution_options().get("lensback_write") and where not in self.done
            if not new or self._other:
                return
            self.done.add(where)
            self._other = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=240
            )
            self._other.execute("BEGIN IMMEDIATE")
        if self._held_s is not None:
            threading.Timer(self._held_s, self.release).start()

    def release(self) -> None:
        with self._lock:
            if self._other:
                self._other.close()
            self._other = None


def test_a_lock_that_passes_at_every_write(
    world: World, clean: dict[str, Any], tmp_path: Path
) -> None:
    with Holder(tmp_path / "catalogue.db", held_s=0.05) as holder:
        live(tmp_path, world)
    assert len(holder.done) >= 12
    assert outcome(tmp_path, world) == clean


def test_a_lock_that_stays_at_every_write_is_told_and_loses_nothing(
    world: World, clean: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Busy] = []
    with monkeypatch.context() as patch, Holder(tmp_path / "catalogue.db", held_s=None) as holder:
        patch.setattr(db_module, "BUSY_TIMEOUT_S", 0.05)
        for _ in range(60):
            try:
                live(tmp_path, world)
                break
            except Busy as error:
                told.append(error)
            finally:
                holder.release()
    assert len(told) >= len(holder.done) >= 12
    assert all(error.hint for error in told)
    live(tmp_path, world)
    history = {"prices": None}  # that of a life lived several times
    assert outcome(tmp_path, world) | history == clean | history


# --- what is waited for, and how long ---


def test_a_server_that_lets_nobody_in_is_waited_for(postgres: Postgres) -> None:
    name = postgres.database("migrated")
    role = f"role_{name}"
    postgres.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0 IN ROLE pg_read_all_data")
    database = Database(postgres.url(name).replace("lensback@", f"{role}@"))
    with pytest.raises(Away, match="too many connections") as told:
        retried(lambda: stores.names(database), for_s=0.3)
    assert "connections" in told.value.hint
    let_in = threading.Timer(0.3, postgres.execute, [f"ALTER ROLE {role} CONNECTION LIMIT 5"])
    let_in.start()
    assert retried(lambda: stores.names(database), for_s=240) == []
    let_in.join()
    database.close()


@pytest.mark.parametrize("wrong", ["role", "database"])
def test_what_no_waiting_mends_is_told_at_once(wrong: str, postgres: Postgres) -> None:
    url = postgres.url("nowhere" if wrong == "database" else "migrated")
    database = Database(url.replace("lensback@", "nobody@") if wrong == "role" else url)
    with pytest.raises(StateError, match="does not exist") as told:
        retried(database.migrate, for_s=240)
    assert not isinstance(told.value, Away)
    assert "URL" in told.value.hint
    database.close()


def test_only_waiting_is_counted_as_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that worked for longer than the budget, and then lost its connection, goes on."""
    now = [0.0]
    monkeypatch.setattr(retry.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(retry.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    tries: list[float] = []

    def work(lasts_s: float, fails: int) -> int:
        now[0] += lasts_s
        tries.append(now[0])
        if len(tries) <= fails:
            raise Away("gone")
        return len(tries)

    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 1.0)
    monkeypatch.setattr(retry, "LONGEST_PAUSE_S", 1.0)
    assert retried(lambda: work(3600, 3), for_s=60) == 4
    tries.clear()
    begin = now[0]
    with pytest.raises(Away):
        retried(lambda: work(0, 1000), for_s=60)
    assert len(tries) == 61
    assert now[0] - begin == 60
    tries.clear()
    with pytest.raises(Away):  # a crash by the work itself does not go on for ever
        retried(lambda: work(3600, 1000), for_s=60)
    assert len(tries) == 11


def test_there_is_one_way_to_the_database() -> None:
    """What takes a connection by itself would raise what nobody waits for."""
    ways = re.compile(r"\.engine\b|\.raw_connection\(|create_engine\(|engine\.(connect|begin)\(")
    found = [
        (path.name, line.strip())
        for path in sorted(SRC.rglob("*.py"))
        for line in path.read_text("utf-8").splitlines()
        if ways.search(line) and not line.lstrip().startswith(("#", "from", "import"))
    ]
    assert {name for name, _ in found} == {"__init__.py", "postgres.py"}
    assert sum("connect()" in line for _, line in found) == 1
