"""The audit log: who did what and when, in a table to which rows are only ever added."""

from __future__ import annotations

import getpass
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import insert, select

from lensback.db import Database
from lensback.db import tables as t


@dataclass(frozen=True, slots=True)
class Deed:
    """One line. `actor` is `key NAME` or `user NAME@command line`; `at` is UTC epoch seconds."""

    at: int
    actor: str
    deed: str
    detail: str

    def as_json(self) -> dict[str, Any]:
        """The line as `audit log --json` prints it."""
        return asdict(self)


def note(db: Database, at: int, actor: str, deed: str, detail: str = "") -> None:
    """Adds a line. `detail` holds nothing of a person: a line can never be taken away."""
    row = {"at": at, "actor": actor[:80], "deed": deed[:40], "detail": detail[:500]}
    with db.write() as c:
        c.execute(insert(t.audit_log), [row])


def last(db: Database, most: int = 100) -> list[Deed]:
    """The newest lines, newest first."""
    a = t.audit_log.c
    with db.read() as c:
        rows = c.execute(select(a.at, a.actor, a.deed, a.detail).order_by(a.id.desc()).limit(most))
        return [Deed(*row) for row in rows]


def actor_here() -> str:
    """Who sits at the command line, as far as the machine knows."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (OSError, KeyError):
        return "somebody (command line)"
