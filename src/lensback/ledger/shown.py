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


def vote_on(db: Database, search_id: str, product_id: str) -> int | None:
    """The vote on one hit of a search, 1 or -1; None where there is none (yet)."""
    f = t.feedback.c
    mine = select(f.vote).where(f.search_id == search_id, f.product_id == product_id)
    with db.read() as c:
        return c.execute(mine).scalar()
