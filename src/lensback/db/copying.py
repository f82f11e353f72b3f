"""A database copied while it is in use, put back, and asked whether anything is in it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from sqlalchemy import inspect, select, table
from sqlalchemy.engine import URL, make_url

from lensback.db import Database, connection_to
from lensback.db.failures import translated
from lensback.db.presence import sqlite_file
from lensback.durable import make_private
from lensback.errors import ConfigError, StateError

PAGES = 2000
"""Of SQLite, copied between two looks at whether to stop: 8 MiB."""
BESIDE = ("", "-wal", "-shm", "-journal")
"""Ends of the names of SQLite's files."""
_BLOCK = 1 << 20
_WAIT_S = 30

Step = Callable[[int, int], None]
"""Told (done, total) as a copy goes on; what it raises ends the copy."""


def copy_sqlite(source: Path, to: Path, step: Step) -> None:
    """One state of an SQLite database, with everything that was committed before the call, in a new
    file for its owner alone. Readers and writers go on meanwhile.

    The reading transaction stays open over all steps: SQLite's backup would begin anew whenever
    somebody writes between two of them.
    """
    make_private(to)
    address = f"{source.absolute().as_uri()}?mode=rw"
    with (
        translated(),
        closing(connection_to(address, uri=True, timeout=_WAIT_S)) as live,
        closing(sqlite3.connect(to, isolation_level=None)) as copy,
    ):
        live.execute("BEGIN")
        live.execute("SELECT count(*) FROM sqlite_master").fetchone()
        live.backup(
            copy, pages=PAGES, progress=lambda _status, left, total: step(total - left, total)
        )


def check_sqlite(path: Path) -> str:
    """The revision of the database in a file. Raises StateError where it is damaged."""
    with translated(), closing(sqlite3.connect(path)) as copy:
        said = str(copy.execute("PRAGMA quick_check(1)").fetchone()[0])
        if said != "ok":
            raise StateError(f"the copy of the database is damaged: {said}", hint="use another one")
        return str(copy.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def filled(url: str, names: Sequence[str]) -> list[str]:
    """Which of these tables have a row. A database that is not there has none, and is not made.
    Raises StateError where it cannot be read."""
    file = sqlite_file(url)
    if file and not (file.is_file() and file.stat().st_size):
        return []
    db = Database(url)
    try:
        return filled_tables(db, names)
    finally:
        db.close()


def filled_tables(db: Database, names: Sequence[str]) -> list[str]:
    """Which of these tables are there and have a row."""
    with db.read() as c:
        known = set(inspect(c).get_table_names())
        asked = [name for name in names if name in known]
        return [n for n in asked if c.execute(select(1).select_from(table(n)).limit(1)).first()]


def revision(url: str) -> str:
    """The schema's revision. Nothing is migrated."""
    db = Database(url)
    try:
        return db.revision()
    finally:
        db.close()


def dump_postgres(url: str) -> Iterator[bytes]:
    """What `pg_dump` writes of one state of the database. Raises ConfigError where there is no
    `pg_dump`, StateError with its own words where it fails."""
    # Not compressed: parts that did not change are then the same bytes the next time.
    command = ["--format=custom", "--compress=0", "--no-owner", "--no-privileges"]
    with TemporaryFile() as words, _postgres("pg_dump", url, command, words) as process:
        if process.stdout is None:
            raise StateError("pg_dump has no output", hint="try again")
        while block := process.stdout.read(_BLOCK):
            yield block
        _check_ended("pg_dump", process, words)


def restore_postgres(url: str, blocks: Iterable[bytes]) -> None:
    """Gives a dump to `pg_restore`: all of it or nothing. Raises as `dump_postgres` does."""
    # An empty database may have its tables already: `init` made them.
    command = ["--clean", "--if-exists", "--exit-on-error", "--single-transaction"]
    command += ["--no-owner", "--no-privileges"]
    with TemporaryFile() as words, _postgres("pg_restore", url, command, words) as process:
        try:
            if process.stdin is not None:
                for block in blocks:
                    process.stdin.write(block)
                process.stdin.close()
        except BrokenPipeError:
            pass  # it says why
        except BaseException:
            process.kill()  # the transaction ends with it
            raise
        _check_ended("pg_restore", process, words)


def _postgres(
    program: str, url: str, arguments: Sequence[str], words: IO[bytes]
) -> subprocess.Popen[bytes]:
    found = shutil.which(program)
    if not found:
        raise ConfigError(
            f"{program} is not on the PATH",
            hint="install PostgreSQL's client programs of the server's version (Debian: "
            "apt install postgresql-client), or copy the database yourself and add --no-database",
        )
    where, password = _for_libpq(make_url(url))
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    return subprocess.Popen(  # noqa: S603 - the operator's own programs, by full path
        [found, *arguments, f"--dbname={where}"],
        stdin=subprocess.PIPE if program == "pg_restore" else subprocess.DEVNULL,
        stdout=subprocess.PIPE if program == "pg_dump" else subprocess.DEVNULL,
        stderr=words,
        env=environment,
    )


def _for_libpq(url: URL) -> tuple[str, str]:
    """The address without the password, which would stand in the list of processes; the password."""
    plain = URL.create(
        "postgresql", url.username, None, url.host, url.port, url.database, url.query
    )
    return plain.render_as_string(), str(url.password or "")


def _check_ended(program: str, process: subprocess.Popen[bytes], words: IO[bytes]) -> None:
    if process.wait() == 0:
        return
    words.seek(0)
    said = words.read(4000).decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
    raise StateError(f"{program} failed: {said[0]}", hint="check the server, and its version")
