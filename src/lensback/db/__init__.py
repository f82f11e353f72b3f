"""The database: SQLite in the workspace by default, PostgreSQL by URL. Same statements for both.

What several processes may do at once differs: SQLite has one sync at a time (the workspace's
lock), on PostgreSQL each takes claims on what it works on (`claims`).
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from threading import Lock, local
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from lensback.db import postgres
from lensback.db.failures import no_room, translated
from lensback.errors import Busy, ConfigError, MissingExtra, SchemaTooNew

HEAD = "0019"
"""Newest migration; tests/test_db.py holds it against `versions/`."""

BUSY_TIMEOUT_S = 30

CLAIM_STEP_S = 0.2
PARTS = 16
"""Parts of a stage's to-do that processes share out among them."""

__all__ = [
    "BUSY_TIMEOUT_S",
    "HEAD",
    "Claims",
    "Connection",
    "Database",
    "Part",
    "chunks",
    "connection_to",
    "import_driver",
    "sqlite_url",
]

T = TypeVar("T")


class Part(NamedTuple):
    """One of `of` parts of a stage's to-do."""

    number: int
    of: int


class Claims(Protocol):
    """Names that one process alone works on, until it closes its claims or dies."""

    def take(self, name: str) -> bool:
        """False where another process holds the name."""


class Database:
    """Owns the engine. `read()` and `write()` are one transaction each."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._turn = Lock()
        self._together = local()

    @cached_property
    def shared(self) -> bool:
        """Whether several processes may sync at once (PostgreSQL)."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def _connected(self, **options: object) -> Iterator[Connection]:
        """The one way to the database: what fails on the connection, in the block too, is an error
        of ours, and what passes by itself is Away."""
        with translated(), self.engine.connect() as connection:
            yield connection.execution_options(**options)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one consistent state: that of `reads_together`, in its block."""
        if (joined := getattr(self._together, "connection", None)) is not None:
            yield joined
            return
        one_state = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._connected(**(one_state if self.shared else {})) as c, c.begin():
            yield c

    @contextmanager
    def reads_together(self) -> Iterator[None]:
        """All that this thread reads in the block it reads of one consistent state, in one transaction:
        for many small questions, each of which would cost as much to begin as to answer. What is
        written meanwhile is not seen in it."""
        with self.read() as connection:
            before = getattr(self._together, "connection", None)
            self._together.connection = connection
            try:
                yield
            finally:
                self._together.connection = before

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is durable when the block ends, or did nothing."""
        with nullcontext() if self.shared else self._in_turn(), self._writing() as c, c.begin():
            yield c

    def _writing(self) -> AbstractContextManager[Connection]:
        return self._connected(lensback_write=True)

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Threads of one process queue here: SQLite lets them poll for the lock, unfairly."""
        if not self._turn.acquire(timeout=BUSY_TIMEOUT_S):
            raise Busy("the database is locked", hint="wait for the other sync to end")
        try:
            yield
        finally:
            self._turn.release()

    def upsert(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Mapping[str, Any]],
        keys: Sequence[str],
        update: Sequence[str] = (),
    ) -> None:
        """Inserts rows; on equal `keys` the columns `update` are overwritten (none: row kept)."""
        if not rows:
            return
        if self.shared and len(rows) >= postgres.COPY_ROWS:
            postgres.upsert(connection, table, rows, keys, update)
            return
        if self.shared:  # two processes that write the same keys must not meet half-way
            rows = sorted(rows, key=lambda row: [row[key] for key in keys])
        insert = _insert(table, shared=self.shared)
        if update:
            changes = {name: insert.excluded[name] for name in update}
            statement = insert.on_conflict_do_update(index_elements=list(keys), set_=changes)
        else:
            statement = insert.on_conflict_do_nothing(index_elements=list(keys))
        connection.execute(statement, list(rows))

    def migrate(self) -> None:
        """Brings the schema to HEAD. Raises SchemaTooNew for a database of a later program."""
        current = self.revision()
        if current == HEAD:
            return
        if current > HEAD:
            raise SchemaTooNew(
                f"the database is at revision {current}, this program knows {HEAD}",
                hint="install a newer Lensback",
            )
        with self.claim("migrate"):
            if self.revision() != HEAD:
                with self._writing() as connection:
                    _upgrade(connection)

    @contextmanager
    def claims(self) -> Iterator[Claims]:
        """Claims that end with the block. Where one sync runs at a time they are all granted."""
        if not self.shared:
            yield _Granted()
            return
        with self._connected(isolation_level="AUTOCOMMIT") as connection:
            held = postgres.AdvisoryClaims(connection)
            try:
                yield held
            finally:
                held.close()

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """One name for the length of the block; waits for the process that has it."""
        with self.claims() as mine:
            while not mine.take(name):
                time.sleep(CLAIM_STEP_S)
            yield

    def rounds(self, stage: str) -> Iterator[Iterator[Part]]:
        """The parts of a stage for this process: first those that no other works on, then, when
        the others have left them, what was taken. The parts of a round stay claimed until the
        next is asked for, so ask when their results are written."""
        if not self.shared:
            yield iter([Part(0, 1)])
            return
        first = random.randrange(PARTS)  # noqa: S311 - processes should not meet, that is all
        taken: list[int] = []
        with self.claims() as mine:
            yield self._free(mine, stage, [(first + n) % PARTS for n in range(PARTS)], taken)
        for number in sorted(taken):
            with self.claim(f"{stage} {number}"):
                yield iter([Part(number, PARTS)])

    def _free(
        self, mine: Claims, stage: str, numbers: list[int], taken: list[int]
    ) -> Iterator[Part]:
        for number in numbers:
            if mine.take(f"{stage} {number}"):
                yield Part(number, PARTS)
            else:
                taken.append(number)

    def analyze(self) -> None:
        """Refreshes what the planner knows of the tables. Without it SQLite looks a filtered
        search up by store instead of by image, 20 times slower at 200,000 offers."""
        with self.write() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
            connection.exec_driver_sql("ANALYZE")

    def scrub(self) -> None:
        """Leaves no byte of what was deleted or overwritten: the file of SQLite is written anew and
        its log emptied; PostgreSQL gives the space of old rows free to be overwritten."""
        if self.shared:
            with self._connected(isolation_level="AUTOCOMMIT") as c:
                c.exec_driver_sql("VACUUM")
            return
        with translated(), closing(self.engine.raw_connection()) as raw:  # no transaction around it
            cursor = raw.cursor()
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.close()

    def revision(self) -> str:
        """The schema's revision, "" for an empty database."""
        with self._connected() as c:
            if not inspect(c).has_table("alembic_version"):
                return ""
            return str(c.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")

    def folds(self) -> bool:
        """Whether the server's lower() knows all letters: grouping compares colours and brands."""
        with self.read() as connection:
            return bool(connection.execute(select(func.lower("ÀЯ"))).scalar_one() == "àя")

    def careless(self) -> str:
        """The server's setting with which a power cut may take what was committed; "" for none."""
        if not self.shared:
            return ""
        with self.read() as connection:
            said = str(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())
        return f"synchronous_commit = {said}" if said in {"off", "local"} else ""

    def close(self) -> None:
        """Closes all connections of the engine."""
        self.engine.dispose()


def chunks(rows: Iterable[T], size: int = 500) -> Iterator[list[T]]:
    """Lists of at most `size`: databases limit the parameters of one statement."""
    rows = iter(rows)
    while part := list(islice(rows, size)):
        yield part


def _insert(table: Table, *, shared: bool) -> Any:
    """An insert of this database's own kind, which knows `on_conflict`; the other kind is not loaded."""
    if shared:
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


class _Granted:
    """Claims where nobody else can be at work."""

    def take(self, name: str) -> bool:  # noqa: ARG002 - the door's words
        return True


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file, whatever signs its path has: with a bare `?` or `%` it would lie elsewhere."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def import_driver(url: str) -> None:
    """Imports what speaks to the database at that address; who opens it says what is missing."""
    with suppress(ArgumentError, NoSuchModuleError, ImportError):
        _by(make_url(url)).get_dialect().import_dbapi()


def _by(parsed: URL) -> URL:
    """The address with the driver that is used: SQLAlchemy has another one for PostgreSQL by itself."""
    return (
        parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed
    )


def _engine(url: str) -> Engine:
    try:
        parsed = _by(make_url(url))
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url)
        if parsed.drivername != "postgresql+psycopg":
            raise ArgumentError(f"unknown kind {parsed.drivername!r}")
        return postgres.engine(parsed)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            f"not a database URL: {error}", hint="use postgresql+psycopg://user:password@host/name"
        ) from error
    except ImportError as error:
        raise MissingExtra("psycopg", "postgresql") from error


def _sqlite(url: str) -> Engine:
    # More places than the web face has threads: a connection is only a file handle here.
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_S}, pool_size=16, max_overflow=48
    )

    alone: list[_Alone] = []
    """A connection that has the file for itself, see `_Alone`."""

    @event.listens_for(engine, "do_connect")
    def _open(
        _dialect: object, _record: object, where: Sequence[Any], how: Mapping[str, Any]
    ) -> sqlite3.Connection:
        if alone:  # it would be waited for, and goes when its user is through
            raise sqlite3.OperationalError("database or disk is full")
        raw = connection_to(*where, **how)
        if isinstance(raw, _Alone):
            alone.append(raw)
        return raw

    @event.listens_for(engine, "checkin")
    def _returned(raw: Any, record: Any) -> None:
        if isinstance(raw, _Alone):
            record.invalidate()  # others may be let in, and there may be room by now

    @event.listens_for(engine, "close")
    def _closed(raw: Any, _record: object) -> None:
        if raw in alone:
            alone.remove(raw)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE takes the write lock at once, so that a reader never has to upgrade
        # in the middle of a transaction (which SQLite answers with "locked").
        writes = connection.get_execution_options().get("lensback_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class _Alone(sqlite3.Connection):
    """Has the file for itself and needs no block of the disk to read it: the way in where the disk is
    full, for what frees some of it, or tells of it. No other connection opens meanwhile."""


def connection_to(*where: Any, **how: Any) -> sqlite3.Connection:
    """A connection to an SQLite file, as `sqlite3.connect` takes it. Where the disk is full, one that has
    the file for itself."""
    try:
        return _prepared(sqlite3.connect(*where, **how))
    except sqlite3.OperationalError as error:
        if not no_room(error):
            raise
    return _prepared(sqlite3.connect(*where, **{**how, "factory": _Alone}))


def _prepared(raw: sqlite3.Connection) -> sqlite3.Connection:
    try:
        # The driver must not begin transactions by itself: `_begin` decides the kind.
        raw.isolation_level = None
        cursor = raw.cursor()
        for pragma in (
            *(("locking_mode=EXCLUSIVE",) if isinstance(raw, _Alone) else ()),
            "journal_mode=WAL",
            # Every commit is flushed: a file of the journal is removed once it is in here, and
            # `ledger pay` says so. NORMAL would keep the file whole and lose the newest commits.
            "synchronous=FULL",
            "foreign_keys=ON",
            "mmap_size=1073741824",  # all connections share the system's page cache
            "cache_size=-8000",  # so of each one's own little is needed: for pages that it writes
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        # SQLite's own knows ASCII only: "Красный" and "красный" are one colour.
        raw.create_function("lower", 1, _lower, deterministic=True)
    except BaseException:
        raw.close()
        raise
    return raw


def _lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


def _upgrade(connection: Connection, revision: str = "head") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
