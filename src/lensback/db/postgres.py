"""What only PostgreSQL needs: its engine, bulk writing, and claims between processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from lensback.db.failures import translated

COPY_ROWS = 100
"""From this many rows on they are sent by COPY: an offer with all its rows is written 1.4 times as
fast (bench/postgres_bulk.py)."""
CONNECT_TIMEOUT_S = 5
DEFAULTS = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "lensback",
            "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}  # fmt: skip
"""What the URL may say otherwise. Keepalives: a server that lost its power is noticed in 25 s."""


def engine(url: URL) -> Engine:
    """Reads see one state (REPEATABLE READ) and writes what is committed (READ COMMITTED).

    A connection is tried before it is given out, so that a restart of the server costs the
    requests that were under way and no later one.
    """
    return create_engine(
        url.update_query_dict({k: str(v) for k, v in DEFAULTS.items() if k not in url.query}),
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=24,
        pool_recycle=1800,
    )


def upsert(
    c: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    update: Sequence[str],
) -> None:
    """Many rows by COPY into a table of this transaction, then one INSERT from there.

    Rows go in by order of key, so that two processes that write the same keys wait for each
    other instead of both for ever.
    """
    if update:  # of rows with one key the last counts, as where they come one by one
        rows = list({tuple(row[key] for key in keys): row for row in rows}.values())
    held = {
        x.name: x.default.arg for x in table.c if isinstance(x.default, ScalarElementColumnDefault)
    }
    names = list({**rows[0], **held})
    adapt = [_adapted(table.c[name], c) for name in names]
    quote = c.dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in names)
    on = ", ".join(quote(key) for key in keys)
    changes = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in update)
    temporary = quote(f"new_{table.name}")
    c.exec_driver_sql(
        f"CREATE TEMPORARY TABLE {temporary} ON COMMIT DROP AS "  # noqa: S608 - our own names
        f"SELECT {columns} FROM {quote(table.name)} WITH NO DATA"
    )
    raw: Any = c.connection.driver_connection
    with raw.cursor() as cursor, cursor.copy(f"COPY {temporary} ({columns}) FROM STDIN") as copy:
        for row in rows:
            whole = {**held, **row}
            copy.write_row([f(whole[name]) for f, name in zip(adapt, names, strict=True)])
    c.exec_driver_sql(
        f"INSERT INTO {quote(table.name)} ({columns}) SELECT {columns} FROM {temporary} "  # noqa: S608
        f"ORDER BY {on} ON CONFLICT ({on}) DO {f'UPDATE SET {changes}' if update else 'NOTHING'}"
    )
    c.exec_driver_sql(f"DROP TABLE {temporary}")


def _adapted(column: Any, c: Connection) -> Callable[[Any], Any]:
    """How the column's values are written (JSON as text)."""
    process = column.type.dialect_impl(c.dialect).bind_processor(c.dialect)
    return process or (lambda value: value)


class AdvisoryClaims:
    """Names that this process alone works on. The server forgets them with the connection,
    so a killed process holds nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, name: str) -> bool:
        """False where another process holds the name (or this one, by other claims). Raises Away:
        callers ask from threads and generators, outside the block that opened the connection."""
        query = text("SELECT pg_try_advisory_lock(:key)")
        with translated():
            return bool(self._connection.execute(query, {"key": _key(name)}).scalar_one())

    def close(self) -> None:
        """Gives up every name by closing the connection that holds the locks."""
        try:
            self._connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")
        except SQLAlchemyError:  # the server is away, and the claims with it
            self._connection.invalidate()


def _key(name: str) -> int:
    """A signed 64-bit number, as the server wants it."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
