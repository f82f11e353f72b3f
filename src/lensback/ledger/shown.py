"""What a recorded search showed, to show it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import NotFound
from lensback.types import WHOLE, Box, Region

HASH_CHARS = 16
"""Of a picture's hash in a record: enough to know it again among the pictures of one product."""


@dataclass(frozen=True, slots=True)
class ShownHit:
    """One product of a recorded answer."""

    product_id: str
    probability: float
    exact: bool = False
    image: str = ""
    """The first signs of the hash of the picture that was nearest; empty in older records."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer as it was given, without its photo: that was never kept."""

    at: int
    verdict: str
    hits: tuple[ShownHit, ...]
    """In the order shown."""
    filters: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for beside the photo."""
    size: tuple[int, int] = (0, 0)
    """Pixels of the photo."""
    region: Box = WHOLE
    box: Box | None = None
    """The part that was asked for; None where the region was found."""
    regions: tuple[Region, ...] = ()
    calibrated: bool = False
    nothing: bool = False
    """Whether the photo showed nothing that could be searched."""
    left_out: bool = False
    """Whether only the filters, or the words, left nothing to show."""
    total: int = 0
    """Products found; 0 in older records."""
    kept: tuple[str, str] = ("", "")
    """The search with which its photo came, and the mark of the browser that sent it, where the operator
    keeps photos; empty elsewhere."""

    @property
    def product_ids(self) -> frozenset[str]:
        """The products that it showed."""
        return frozenset(hit.product_id for hit in self.hits)


def shown_of(body: Mapping[str, Any]) -> Shown:
    """What a search showed, from its record (`search_body`) or its row in the database."""
    photo = body["photo"]
    region = _box(photo["region"]) if photo.get("region") else WHOLE
    return Shown(
        at=body["at"],
        verdict=body["verdict"],
        hits=tuple(_hit(hit) for hit in body["hits"]),
        filters=body["filters"],
        size=(int(photo.get("width", 0)), int(photo.get("height", 0))),
        region=region,
        box=region if photo.get("box_given") else None,
        regions=tuple(
            Region(_box(one[:4]), str(one[4]), float(one[5])) for one in photo.get("things", ())
        ),
        total=int(photo.get("total", 0)),
        calibrated=bool(photo.get("calibrated")),
        nothing=bool(photo.get("nothing")),
        left_out=bool(photo.get("left_out")),
        kept=_kept(photo.get("kept")),
    )


def shown(db: Database, search_id: str) -> Shown:
    """Raises NotFound for a search that is not recorded (yet: records are a moment late)."""
    s = t.searches.c
    wanted = select(s.at, s.verdict, s.hits, s.filters, s.photo)
    with db.read() as c:
        row = c.execute(wanted.where(s.search_id == search_id)).mappings().first()
    if row is None:
        raise NotFound("no such answer", hint="it may be older than what is kept here")
    return shown_of(dict(row))


def _hit(kept: Sequence[Any]) -> ShownHit:
    """`[product, offers, rank, probability, exact, image]`; older records end with the probability."""
    exact, image = (bool(kept[4]), str(kept[5])) if len(kept) > 5 else (False, "")
    return ShownHit(str(kept[0]), float(kept[3]), exact, image)


def _kept(said: Any) -> tuple[str, str]:
    return (str(said[0]), str(said[1])) if said else ("", "")


def _box(values: Sequence[Any]) -> Box:
    x0, y0, x1, y1 = (float(value) for value in values)
    return x0, y0, x1, y1


def vote_on(db: Database, search_id: str, product_id: str) -> int | None:
    """The vote on one hit of a search, 1 or -1; None where there is none (yet)."""
    f = t.feedback.c
    mine = select(f.vote).where(f.search_id == search_id, f.product_id == product_id)
    with db.read() as c:
        return c.execute(mine).scalar()
