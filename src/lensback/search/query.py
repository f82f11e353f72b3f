"""What a shopper asks for beside the photo, and what it means in this catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from lensback import colors, rank
from lensback.catalogue import offers, stores
from lensback.db import Database
from lensback.decimals import decimal_of
from lensback.errors import BadQuery
from lensback.exchange import Rates
from lensback.types import Box, Filter, Money, PriceRange

MAX_LIMIT = 100
MAX_OFFSET = 1000
MIN_BOX = 0.02


@dataclass(frozen=True, slots=True)
class Query:
    """What the shopper asked for beside the photo, as given."""

    box: Box | None = None
    limit: int = 12
    stores: tuple[str, ...] = ()
    category: str = ""
    price_max: str = ""
    currency: str = ""
    in_stock: bool = False
    price_min: str = ""
    color: str = ""
    """A basic colour (`lensback.colors`): the same but in this colour."""
    words: str = ""
    """What the thing is called, in the shopper's words."""
    language: str = ""
    """What the shopper reads (ISO 639): titles are taken in it where a store has one."""
    brands: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    discount: int = 0
    """Least percent that a store says it took off."""
    offset: int = 0
    """Hits to pass over: the next page of the same answer."""
    order: str = "best"
    """One of `rank.ORDERS`, over all that was found."""
    facets: bool = False
    """Whether to count what all hits have, for filters worth offering."""

    @property
    def narrowed(self) -> bool:
        """Whether anything was asked for beside the photo: words, a filter, a colour, an order."""
        plain = Query()
        bare = replace(self, box=None, limit=plain.limit, offset=0, facets=False)
        return replace(bare, currency="", language="") != plain

    @property
    def whole(self) -> bool:
        """Whether all that was found must be read to answer it, and not the first hits alone."""
        return self.order != "best"


def filter_of(
    db: Database,
    query: Query,
    currency: str = "",
    snapshot: str = "",
    rates: Rates | None = None,
) -> Filter:
    """The shopper's words as a Filter; with rates a limit of the price holds in every currency. Raises
    BadQuery or UnknownName for words that mean nothing."""
    _check_page(query)
    if not 1 <= query.limit <= MAX_LIMIT:
        raise BadQuery(f"limit is {query.limit}", hint=f"use 1 to {MAX_LIMIT}")
    check_box(query.box)
    wanted = tuple(stores.check_names(db, list(query.stores))) if query.stores else ()
    categories: tuple[str, ...] = ()
    if query.category:
        categories = offers.category_paths(known_categories(db, snapshot), query.category)
    if query.category and not categories:
        raise BadQuery(
            f"no offer has the category {query.category!r}",
            hint="use a category as a store names it, for example one seen in an answer",
        )
    said = query.currency or currency
    least = _price(db, query.price_min, said, snapshot)
    most = _price(db, query.price_max, said, snapshot)
    return Filter(
        stores=wanted,
        categories=categories,
        in_stock=query.in_stock,
        price_max=most,
        price_min=least,
        colors=_colors(db, query.color, snapshot),
        brands=_spelled(db, "brand", query.brands, snapshot),
        sizes=_spelled(db, "size", query.sizes, snapshot),
        discount=query.discount,
        elsewhere=_elsewhere(least, most, currencies(db, snapshot), rates) if rates else (),
    )


def _check_page(query: Query) -> None:
    if not 0 <= query.offset <= MAX_OFFSET:
        raise BadQuery(f"offset is {query.offset}", hint=f"use 0 to {MAX_OFFSET}")
    if query.order not in rank.ORDERS:
        hint = f"use {', '.join(rank.ORDERS)}"
        raise BadQuery(f"no such order: {query.order[:30]!r}", hint=hint)
    if not 0 <= query.discount <= 99:
        raise BadQuery(f"not a discount: {query.discount}", hint="use whole percent, 1 to 99")


def _elsewhere(
    least: Money | None, most: Money | None, sold: Sequence[str], rates: Rates
) -> tuple[PriceRange, ...]:
    """The same limits in every other currency of the catalogue that has a rate."""
    own = least or most
    if own is None or (least and most and least.currency != most.currency):
        return ()
    found = []
    for currency in sold:
        low = rates.convert(least, currency) if least else None
        high = rates.convert(most, currency) if most else None
        if currency != own.currency and (low or high):
            limits = (None if one is None else one.minor for one in (low, high))
            found.append(PriceRange(currency, *limits))
    return tuple(found)


def _spelled(db: Database, column: str, wanted: Sequence[str], snapshot: str) -> tuple[str, ...]:
    """The stores' own spellings of some words, upper and lower case alike; what no store writes stays
    as it is, and nothing has it."""
    if not wanted:
        return ()
    asked = {word.strip().casefold() for word in wanted}
    known = (word for word in _words(db, column, snapshot) if word.strip().casefold() in asked)
    return tuple(known) or tuple(wanted)


@lru_cache(maxsize=8)
def _words(db: Database, column: str, _snapshot: str) -> tuple[str, ...]:
    """Read once per snapshot, as the categories are."""
    return offers.words(db, column)


def _colors(db: Database, color: str, snapshot: str) -> tuple[str, ...]:
    """The stores' own words for a basic colour; where no store says it, a word that none has."""
    if not color:
        return ()
    if color not in colors.BASIC:
        raise BadQuery(f"no such colour: {color[:30]!r}", hint=f"use {', '.join(colors.BASIC)}")
    words = tuple(word for word in _color_words(db, snapshot) if color in colors.basic(word))
    return words or (color,)


@lru_cache(maxsize=4)
def _color_words(db: Database, _snapshot: str) -> tuple[str, ...]:
    return offers.color_words(db)


@lru_cache(maxsize=4)
def known_categories(db: Database, _snapshot: str) -> tuple[str, ...]:
    """Every category path on sale. Read once per snapshot: at 200,000 offers it takes a fifth of a second."""
    return offers.categories(db)


@lru_cache(maxsize=4)
def currencies(db: Database, _snapshot: str) -> tuple[str, ...]:
    """The currencies that are sold in, read once per snapshot."""
    return tuple(offers.currencies(db))


def check_box(box: Box | None) -> None:
    """Raises BadQuery for a box that is not one."""
    if box is None:
        return
    x0, y0, x1, y1 = box
    inside = all(0 <= value <= 1 for value in box)  # also False for NaN
    if not (inside and x1 - x0 >= MIN_BOX and y1 - y0 >= MIN_BOX):
        raise BadQuery(
            f"not a box: {','.join(f'{value:g}' for value in box)}",
            hint="use x0,y0,x1,y1 as fractions of width and height, x0 < x1 and y0 < y1",
        )


def parse_box(text: str) -> Box | None:
    """The box in `x0,y0,x1,y1` (fractions), None for an empty text. Raises BadQuery."""
    if not text.strip():
        return None
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError as error:
        hint = "use x0,y0,x1,y1 as fractions of width and height, for example 0.1,0.2,0.8,0.9"
        raise BadQuery(f"not a box: {text[:60]!r}", hint=hint) from error
    check_box((x0, y0, x1, y1))
    return x0, y0, x1, y1


def _price(db: Database, amount: str, currency: str, snapshot: str) -> Money | None:
    if not amount:
        return None
    wrong = BadQuery(f"not a price: {amount[:30]!r}", hint="use a number, e.g. 49.90")
    try:
        value = decimal_of(amount)
    except ValueError as error:
        raise wrong from error
    if not 0 <= value < 10**12:
        raise wrong
    sold = currencies(db, snapshot)
    if currency and currency.upper() not in sold:
        listed = ", ".join(sold) or "none yet"
        raise BadQuery(f"no offer is in {currency[:10]!r}", hint=f"currencies here: {listed}")
    known = [currency.upper()] if currency else sold
    if len(known) > 1:
        raise BadQuery(
            "the stores sell in several currencies: say which one the price limit is in",
            hint=f"add currency={known[0]} (--currency {known[0]}); here: {', '.join(known)}",
        )
    return Money.of(value, known[0]) if known else None
