"""The same, but in another colour: the model that the photo shows in that colour first, then what else of
the kind has it. What is asked for looks unlike the photo on purpose, so the line of `none` is drawn for
the thing itself, not for its other colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lensback.catalogue import offers
from lensback.catalogue.pictured import pictured
from lensback.db import Database
from lensback.rank import Ranked
from lensback.types import Filter
from lensback.wire import By

WIDE = 2000
"""Images of the thing's categories that are looked through where nothing near has the colour."""


@dataclass(frozen=True, slots=True)
class Recolored:
    """Products in order, and those of them that are the photo's model."""

    ranked: list[Ranked]
    by: Mapping[str, By] = field(default_factory=dict)


def thing(rivals: Sequence[Ranked], line: float) -> Ranked | None:
    """What the photo shows, of whatever colour: the nearest of the whole catalogue from a similarity of
    `line` on."""
    best = max(rivals, key=lambda one: one.similarity, default=None)
    return best if best and best.similarity >= line else None


def wider(shown: Ranked, where: Filter, db: Database) -> Filter:
    """The filter within the categories in which the thing is sold."""
    if where.categories:
        return where
    paths = pictured(db, [shown.image_hash]).categories.get(shown.image_hash, ())
    return replace(where, categories=tuple(paths))


def group_first(ranked: list[Ranked], shown: Ranked, where: Filter, db: Database) -> Recolored:
    """The photo's model in the colour that was asked for, the nearest first, then the others. What the
    index did not bring has similarity 0."""
    known = {one.product_id: one for one in ranked}
    of_group = offers.same_group(db, shown.product_id, where)
    pictures = offers.images_of_products(db, [one for one in of_group if one not in known])
    grouped = [known.get(one) or Ranked(one, pictures.get(one, ""), 0.0, 0.0) for one in of_group]
    grouped.sort(key=lambda one: (-one.similarity, one.product_id))
    rest = [one for one in ranked if one.product_id not in set(of_group)]
    by: dict[str, By] = {one: "model" for one in of_group if one != shown.product_id}
    return Recolored([*grouped, *rest], by)
