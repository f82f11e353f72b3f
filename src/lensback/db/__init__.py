"""The database: SQLite in the workspace by default, PostgreSQL by URL. Same statements for both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from lensback.errors import Busy, ConfigError, MissingExtra, SchemaTooNew, StateError

HEAD = "0004"
"""Newest migration; tests/test_db.py holds it against `versions/`."""

BUSY_TIMEOUT_S = 30

__all__ = ["BUSY_TIMEOUT_S", "HEAD", "Connection", "Database", "chunks", "sqlite_url", "translated"]

T = TypeVar("T")


class Database:
    """Owns the engine. `read()` and `write()` are one transaction each."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one consistent state."""
        with translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is durable when the block ends, or did nothing."""
        with translated():
            connect = self.engine.connect().execution_options(lensback_write=True)
            with connect as connection, connection.begin():
                yield connection

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
        insert = (postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert)(
            table
        )
        if update:
            changes = {name: insert.excluded[name] for name in update}
            statement = insert.on_conflict_do_update(index_elements=list(keys), set_=changes)
        else:
            statement = insert.on_conflict_do_nothing(index_elements=list(keys))
        connection.execute(statement, list(rows))

    def migrate(self) -> None:
        """Brings the schema to HEAD. Raises SchemaTooNew for a database of a later program."""
        with translated():
            current = self.revision()
            if current == HEAD:
                return
            if current > HEAD:
                raise SchemaTooNew(
                    f"the database is at revision {current}, this program knows {HEAD}",
                    hint="install a newer Lensback",
                )
            _upgrade(self.engine)

    def analyze(self) -> None:
        """Refreshes what the planner knows of the tables. Without it SQLite looks a filtered
        search up by store instead of by image, 20 times slower at 200,000 offers."""
        with self.write() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
            connection.exec_driver_sql("ANALYZE")

    def revision(self) -> str:
        """The schema's revision, "" for an empty database."""
        if not inspect(self.engine).has_table("alembic_version"):
            return ""
        with self.engine.connect() as connection:
            return str(
                connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""
            )

    def close(self) -> None:
        self.engine.dispose()


def chunks(rows: Iterable[T], size: int = 500) -> Iterator[list[T]]:
    """Lists of at most `size`: databases limit the parameters of one statement."""
    rows = iter(rows)
    while part := list(islice(rows, size)):
        yield part


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return f"sqlite:///{path}"


@contextmanager
def translated() -> Iterator[None]:
    """SQLAlchemy's operational errors as ours."""
    try:
        yield
    except OperationalError as error:
        message = str(error.orig)
        if "locked" in message or "busy" in message:
            raise Busy("the database is locked", hint="wait for the other sync to end") from error
        if "disk is full" in message:
            raise StateError("the disk is full", hint="free some space and sync again") from error
        raise StateError(f"database: {message}", hint="run: lensback doctor") from error
    except PoolTimeout as error:
        raise Busy("no database connection is free", hint="try again in a moment") from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # a statement of ours is wrong: not to be hidden
            raise
        raise StateError(
            f"database: {error.orig}", hint="put the database file back from a copy, or remove it"
        ) from error


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url)
        return create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            f"not a database URL: {error}", hint="use postgresql+psycopg://user:password@host/name"
        ) from error
    except ImportError as error:
        raise MissingExtra("psycopg", "postgres") from error


def _sqlite(url: str) -> Engine:
    # More places than the web face has threads: a connection is only a file handle here.
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_S}, pool_size=16, max_overflow=48
    )

    @event.listens_for(engine, "connect")
    def _connect(raw: Any, _record: object) -> None:
        # The driver must not begin transactions by itself: `_begin` decides the kind.
        raw.isolation_level = None
        cursor = raw.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",  # survives kill -9; WAL keeps the file whole on power loss
            "foreign_keys=ON",
            "cache_size=-32000",
            "mmap_size=1073741824",  # all connections share the system's page cache
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        # SQLite's own knows ASCII only: "Красный" and "красный" are one colour.
        raw.create_function("lower", 1, _lower, deterministic=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE takes the write lock at once, so that a reader never has to upgrade
        # in the middle of a transaction (which SQLite answers with "locked").
        writes = connection.get_execution_options().get("lensback_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _lower(text: object) -> object:
    return text.lower() if isinstance(text, str) else text


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.connect().execution_options(lensback_write=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
