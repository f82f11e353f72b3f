"""Which colours are on sale of what: whether "the same, but in red" can find anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lensback import colors
from lensback.catalogue import for_sale
from lensback.db import Database
from lensback.detectors.taxonomy import LABELS, close, of_category
from lensback.search.query import Query
from lensback.wire import Answer

Places = Mapping[str, frozenset[tuple[str, bool]]]
"""Our label of a category ("" where it says nothing) -> the stores that have it, and whether in stock."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The basic colours on sale (`lensback.colors`), each with the kinds of things that have it."""

    places: Mapping[str, Places] = field(default_factory=dict)

    @property
    def colors(self) -> frozenset[str]:
        """All that some store names."""
        return frozenset(self.places)


def palette_of(db: Database) -> Palette:
    """The colours of the offers on sale; reads all of them once."""
    places: dict[str, dict[str, set[tuple[str, bool]]]] = defaultdict(lambda: defaultdict(set))
    for row in for_sale.colors(db):
        for color in colors.basic(row.color):
            places[color][of_category(row.category)].add((row.store, row.in_stock))
    return Palette(
        {color: {k: frozenset(v) for k, v in found.items()} for color, found in places.items()}
    )


def missing(palette: Palette, query: Query, answer: Answer) -> frozenset[str]:
    """The colours in which nothing of the kind that the answer shows is on sale, at the stores and in
    the stock that were asked for. The colour that was asked for is never among them."""
    if not answer.hits and not query.narrowed:
        return palette.colors  # what is like nothing here is so in no colour
    kinds = {of_category(query.category)} if query.category else _kinds(answer)
    found = {color for color, at in palette.places.items() if _has(at, kinds, query)}
    return palette.colors - found - {query.color}


def _kinds(answer: Answer) -> set[str]:
    """What is searched, and what was found for it; "" says nothing."""
    seen = {region.label for region in answer.regions[:1] if region.label in LABELS}
    return (seen | {of_category(hit.category) for hit in answer.hits}) or {""}


def _has(places: Places, kinds: set[str], query: Query) -> bool:
    near = [at for label, at in places.items() if any(close(label, kind) for kind in kinds)]
    return any(_sold(at, query.stores, query.in_stock) for at in near)


def _sold(at: frozenset[tuple[str, bool]], stores: Sequence[str], in_stock: bool) -> bool:
    return any((store in stores or not stores) and (here or not in_stock) for store, here in at)
