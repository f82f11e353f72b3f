"""A database that was there and is not any more: told, never silently made anew."""

from __future__ import annotations

import json
import shlex
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from lensback.errors import StateError

MARK = "database.json"
"""In the workspace: a database was made for it. What is published there says so, too."""


def check_there(url: str, workspace: Path) -> None:
    """Raises StateError where the workspace had a database and its SQLite file is gone or of no
    bytes. Looks before a connection would make the file anew."""
    file = sqlite_file(url)
    if file and _had_one(workspace) and not (file.is_file() and file.stat().st_size):
        raise absent(url, workspace, "has no bytes" if file.exists() else "is not there")


def check_filled(url: str, workspace: Path, revision: str) -> None:
    """Raises StateError where the workspace had a database and this one has no tables."""
    if not revision and _had_one(workspace):
        raise absent(url, workspace, "is empty")


def absent(url: str, workspace: Path, what: str) -> StateError:
    """The error that says how to get a database back. Nothing in it asks to remove anything."""
    return StateError(
        f"the database of this workspace {what}: {place(url)}",
        hint="put your last backup of it back there (docs/operate.md); only if there is none and "
        f"its ledger is lost for good: lensback init --new-database --workspace {shlex.quote(str(workspace))}",
    )


def mark(url: str, workspace: Path) -> None:
    """Notes that the workspace has a database. A workspace that cannot be written has one anyway."""
    file = workspace / MARK
    if not file.exists():
        with suppress(OSError):
            told = {"made_at": int(time.time()), "place": place(url)}
            file.write_text(json.dumps(told) + "\n", "utf-8")


def place(url: str) -> str:
    """Where a database is, without user and password."""
    if file := sqlite_file(url):
        return str(file)
    with suppress(ArgumentError):
        parsed = make_url(url)
        port = f":{parsed.port}" if parsed.port else ""
        return f"{parsed.get_backend_name()}://{parsed.host}{port}/{parsed.database}"
    return "?"


def _had_one(workspace: Path) -> bool:
    signs = (MARK, "published.json", "index/lance/CURRENT.json")
    return any((workspace / sign).exists() for sign in signs)


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for another one, or one in memory."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None
    named = parsed.get_backend_name() == "sqlite" and parsed.database not in {None, "", ":memory:"}
    return Path(str(parsed.database)) if named else None
