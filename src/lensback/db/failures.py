"""What a database refuses, as one of our errors.

Everything that reaches a database does it inside `translated`, so whatever passes by itself comes
out as `Away`, which `retry.retried` waits for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from lensback.errors import Away, BadQuery, Busy, StateError

_AWAY = ("08", "57P")
"""SQLSTATE classes: connection exception, operator intervention (shutdown, crash, starting up)."""
_AGAIN = ("40001", "40P01")
"""Serialisation failure, deadlock: the same work succeeds a moment later."""
_TAKEN = ("53300", "55P03")
"""No connection is left, or a lock was waited for too long."""
_DISK_FULL = "53100"
_NEVER = re.compile(r"does not exist|authentication failed|pg_hba\.conf|permission denied")
"""Refusals that no waiting mends. The server gives no SQLSTATE before it has let us in."""
_SERVER = re.compile(r"connection to server at .*? failed: |connection failed: ")
"""Where the server stands is nobody's business: shoppers see these messages too."""
_CHECK = (
    "check that the database runs, that its URL is right, and that it allows enough connections"
)


@contextmanager
def translated() -> Iterator[None]:
    """What SQLAlchemy and the drivers raise in the block, as one of ours.

    Away where the same work may succeed in a moment; Busy where a lock of SQLite, or a place in our
    own pool, was waited for in vain; BadQuery for a value that a column cannot hold; else StateError.
    A statement that is wrong in itself is our own mistake and passes through as it is.
    """
    try:
        yield
    except PoolTimeout as error:
        raise Busy("no database connection is free", hint="try again in a moment") from error
    except PendingRollbackError as error:  # the one before failed and somebody went on
        raise Away("database: the connection was lost", hint=_CHECK) from error
    except Exception as error:
        # COPY speaks to the driver itself, and so do the settings of a connection.
        _raise_ours(error.orig if isinstance(error, DBAPIError) else error, error)
        raise


def _raise_ours(raw: BaseException | None, error: Exception) -> None:
    """By the names that every driver gives its errors (PEP 249). Returns for a mistake of ours."""
    kinds = {kind.__name__ for kind in type(raw).__mro__}
    driver = type(raw).__module__.partition(".")[0]
    if driver not in {"psycopg", "sqlite3"}:
        return
    if "DataError" in kinds:  # text with a NUL, a number beyond the column
        message = f"the database cannot hold this value: {raw}"
        raise BadQuery(message, hint="check the text and the numbers that were sent") from error
    if kinds & {"OperationalError", "InternalError"}:
        raise (_of_postgres(raw) if driver == "psycopg" else _of_sqlite(raw)) from error
    if type(raw).__name__ == "DatabaseError":
        hint = "put your last backup of the database back (docs/operate.md)"
        raise StateError(f"database: {raw}", hint=hint) from error


def no_room(error: BaseException | None) -> bool:
    """Whether SQLite found the disk full. Its log needs some blocks even to read."""
    return getattr(error, "sqlite_errorname", "") in {"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"}


def _of_sqlite(error: BaseException | None) -> StateError:
    message = str(error)
    if "locked" in message or "busy" in message:
        return Busy("the database is locked", hint="wait for the other sync to end")
    if no_room(error) or "disk is full" in message:
        return StateError("the disk is full", hint="free some space, then run it again")
    if "readonly" in message or "unable to open" in message:
        # Its log lies beside it, and is made even to read.
        hint = "the workspace cannot be written: check whose its files are, and who runs this"
        return StateError(f"database: {message}", hint=hint)
    return StateError(f"database: {message}", hint="run: lensback doctor")


def _of_postgres(raw: BaseException | None) -> StateError:
    message = f"database: {_SERVER.sub('', str(raw)).strip().splitlines()[0]}"
    state = getattr(raw, "sqlstate", "") or ""
    if state in _AGAIN:
        return Away(message, hint="run it again: two transactions were in each other's way")
    if state in _TAKEN:
        return Away(message, hint="try again in a moment, or allow more connections")
    if state == _DISK_FULL:
        return StateError(message, hint="free some space at the database and sync again")
    if state.startswith(_AWAY) or (not state and not _NEVER.search(message)):
        return Away(message, hint=_CHECK)
    return StateError(message, hint=_CHECK if not state else "run: lensback doctor")
