"""Which stretches of time a network was asked for, so that a broken-off pull goes on."""

from __future__ import annotations

from sqlalchemy import select

from lensback.db import Database
from lensback.db import tables as t


def read_since(db: Database, network: str, at: int) -> set[tuple[int, int]]:
    """Stretches (since, until) that were read whole at `at` or later."""
    p = t.pulls.c
    with db.read() as c:
        rows = c.execute(select(p.since, p.until).where(p.network == network, p.at >= at))
        return {(row.since, row.until) for row in rows}


def mark_read(db: Database, network: str, stretch: tuple[int, int], news: int, at: int) -> None:
    """Remembers that this stretch was read whole."""
    row = {"network": network, "since": stretch[0], "until": stretch[1], "news": news, "at": at}
    with db.write() as c:
        db.upsert(c, t.pulls, [row], ["network", "since", "until"], ["news", "at"])
