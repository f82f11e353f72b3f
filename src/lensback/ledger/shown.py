"""What a recorded search showed, to show it again."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import NotFound


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer as it was given, without its photo: that was never kept."""

    at: int
    verdict: str
    products: tuple[tuple[str, float], ...]
    """Product id and match probability, in the order shown."""


def shown(db: Database, search_id: str) -> Shown:
    """Raises NotFound for a search that is not recorded (yet: records are a moment late)."""
    s = t.searches.c
    with db.read() as c:
        row = c.execute(select(s.at, s.verdict, s.hits).where(s.search_id == search_id)).first()
    if row is None:
        raise NotFound("no such answer", hint="it may be older than what is kept here")
    products = tuple((str(hit[0]), float(hit[3])) for hit in row.hits)
    return Shown(row.at, row.verdict, products)
