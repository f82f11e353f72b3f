"""Which published indexes the database knows of: one that was put back from a backup knows less."""

from __future__ import annotations

import time
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from lensback.db import Database
from lensback.db import tables as t
from lensback.types import Snapshot

KEPT = 100


def begin(db: Database) -> int:
    """Notes that an index is being published; returns the note's id."""
    with db.write() as c:
        note = c.execute(insert(t.publications).values(snapshot="", started_at=int(time.time())))
        return int((note.inserted_primary_key or [0])[0])


def finish(db: Database, note: int, snapshot: str) -> None:
    """Notes which index is searched now. Older notes than the last KEPT are dropped."""
    p = t.publications.c
    with db.write() as c:
        ended = {"snapshot": snapshot, "finished_at": int(time.time())}
        c.execute(update(t.publications).where(p.id == note).values(**ended))
        c.execute(delete(t.publications).where(p.id <= note - KEPT))


def behind(db: Database, live: Snapshot | None) -> str:
    """Why the database is older than the searched index, in words; empty where it is not. A run that
    was killed between the index and its note is no backup."""
    p = t.publications.c
    with db.read() as c:
        rows = c.execute(select(t.publications).order_by(p.id.desc()).limit(KEPT)).all()
        e = t.embeddings.c
        one = (
            select(e.image_hash).where(e.fingerprint == (live.fingerprint if live else "")).limit(1)
        )
        encoded = c.execute(one).first() is not None
    if live and live.rows and not rows and not encoded:  # a copy from before the first publish
        return (
            "the database is older than the index: it knows of none, searched is one of "
            f"{live.created_at[:16].replace('T', ' ')} UTC"
        )
    if live is None or not live.created_at or not rows or rows[0].finished_at is None:
        return ""
    published_at = datetime.fromisoformat(live.created_at).timestamp()
    if live.id in {row.snapshot for row in rows} or published_at <= rows[0].finished_at:
        return ""
    last = datetime.fromtimestamp(rows[0].finished_at).astimezone()
    return (
        f"the database is older than the index: it knows that of {last:%Y-%m-%d %H:%M}, searched is "
        f"one of {live.created_at[:16].replace('T', ' ')} UTC"
    )


OLDER = (
    "if there is a newer copy of the database, put it back (docs/operate.md); if this is the "
    "newest: lensback sync --force"
)
"""What to do about it: clicks and sales since then are in a newer copy or nowhere."""
