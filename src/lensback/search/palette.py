"""Which colours are on sale of what: whether "the same, but in red" can find anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from lensback import colors
from lensback.catalogue import for_sale
from lensback.db import Database
from lensback.detectors.taxonomy import LABELS, close, of_category
from lensback.search.core import Tools
from lensback.search.query import Query, filter_of, known_categories
from lensback.types import Filter
from lensback.wire import Answer

MOST_PATHS = 500
"""Categories by which the offers are looked up; of more, all offers are read."""
MOST_READ = 50_000
"""Offers of the answer's kinds that are read for one filter: about 30 ms of work. Of more, only kind, store and stock
tell which colours there are."""

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


def palette_of(db: Database, where: Filter = for_sale.EVERYTHING) -> Palette:
    """The colours of the offers on sale that pass the filter; reads all of them once."""
    places: dict[str, dict[str, set[tuple[str, bool]]]] = defaultdict(lambda: defaultdict(set))
    for row in for_sale.colors(db, where):
        for color in colors.basic(row.color):
            places[color][of_category(row.category)].add((row.store, row.in_stock))
    return Palette(
        {color: {k: frozenset(v) for k, v in found.items()} for color, found in places.items()}
    )


def missing(
    palette: Palette, query: Query, answer: Answer, within: Palette | None = None
) -> frozenset[str]:
    """The colours in which nothing of the kind that the answer shows is on sale, at the stores and in
    the stock that were asked for; `within`: what `palette_within` the other filters. The colour that was
    asked for is never among them."""
    if not answer.hits and not query.narrowed:
        return palette.colors  # what is like nothing here is so in no colour
    kinds = _kinds(query, answer)
    places = (within or palette).places
    found = {color for color, at in places.items() if _has(at, kinds, query)}
    return palette.colors - found - {query.color}


def palette_within(query: Query, answer: Answer, tools: Tools) -> Palette | None:
    """The colours of what has the brand, the size, the price and the discount that were asked for; None
    where none of them was, or too much would have to be read. Only the categories of the answer's kinds are read,
    once for each snapshot."""
    bare = Query(currency=query.currency)
    narrow = replace(
        bare,
        brands=query.brands,
        sizes=query.sizes,
        price_min=query.price_min,
        price_max=query.price_max,
        discount=query.discount,
    )
    if narrow == bare:
        return None
    where = filter_of(tools.db, narrow, tools.currency, tools.snapshot.id, tools.cashback.rates)
    return _within(tools.db, where, frozenset(_kinds(query, answer)), tools.snapshot.id)


@lru_cache(maxsize=64)
def _within(db: Database, where: Filter, kinds: frozenset[str], snapshot: str) -> Palette | None:
    known = known_categories(db, snapshot)
    paths = [path for path in known if any(close(of_category(path), kind) for kind in kinds)]
    if len(paths) <= MOST_PATHS:
        where = replace(where, categories=tuple(paths))
    return None if for_sale.are_more(db, where.categories, MOST_READ) else palette_of(db, where)


def _kinds(query: Query, answer: Answer) -> set[str]:
    """What was asked for; else what is searched, and what was found for it. "" says nothing."""
    if query.category:
        return {of_category(query.category)}
    seen = {region.label for region in answer.regions[:1] if region.label in LABELS}
    return (seen | {of_category(hit.category) for hit in answer.hits}) or {""}


def _has(places: Places, kinds: set[str], query: Query) -> bool:
    near = [at for label, at in places.items() if any(close(label, kind) for kind in kinds)]
    return any(_sold(at, query.stores, query.in_stock) for at in near)


def _sold(at: frozenset[tuple[str, bool]], stores: Sequence[str], in_stock: bool) -> bool:
    return any((store in stores or not stores) and (here or not in_stock) for store, here in at)
