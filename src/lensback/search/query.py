"""What a shopper asks for beside the photo, and what it means in this catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from lensback import colors
from lensback.catalogue import offers, stores
from lensback.db import Database
from lensback.errors import BadQuery
from lensback.types import (
    Box,
    Filter,
    Money,
)

MAX_LIMIT = 100
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
    language: str = ""
    """What the shopper reads (ISO 639): titles are taken in it where a store has one."""


def filter_of(db: Database, query: Query, currency: str = "", snapshot: str = "") -> Filter:
    """The shopper's words as a Filter. Raises BadQuery or UnknownName for words that mean nothing."""
    if not 1 <= query.limit <= MAX_LIMIT:
        raise BadQuery(f"limit is {query.limit}", hint=f"use 1 to {MAX_LIMIT}")
    check_box(query.box)
    wanted = tuple(stores.check_names(db, list(query.stores))) if query.stores else ()
    categories: tuple[str, ...] = ()
    if query.category:
        categories = offers.category_paths(_categories(db, snapshot), query.category)
    if query.category and not categories:
        raise BadQuery(
            f"no offer has the category {query.category!r}",
            hint="use a category as a store names it, for example one seen in an answer",
        )
    return Filter(
        stores=wanted,
        categories=categories,
        in_stock=query.in_stock,
        price_max=_price(db, query.price_max, query.currency or currency, snapshot),
        price_min=_price(db, query.price_min, query.currency or currency, snapshot),
        colors=_colors(db, query.color, snapshot),
    )


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
def _categories(db: Database, _snapshot: str) -> tuple[str, ...]:
    """Read once per snapshot: at 200,000 offers it takes a fifth of a second."""
    return offers.categories(db)


@lru_cache(maxsize=4)
def _currencies(db: Database, _snapshot: str) -> tuple[str, ...]:
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
    try:
        value = Decimal(amount)
    except InvalidOperation as error:
        raise BadQuery(f"not a price: {amount[:30]!r}", hint="use a number, e.g. 49.90") from error
    if not value.is_finite() or not 0 <= value < 10**12:
        raise BadQuery(f"not a price: {amount[:30]!r}", hint="use a number, e.g. 49.90")
    sold = _currencies(db, snapshot)
    if currency and currency.upper() not in sold:
        listed = ", ".join(sold) or "none yet"
        raise BadQuery(f"no offer is in {currency[:10]!r}", hint=f"currencies here: {listed}")
    known = [currency.upper()] if currency else sold
    if len(known) > 1:
        raise BadQuery(
            "the stores sell in several currencies: say which one the price limit is in",
            hint=f"add the currency: {', '.join(known)}",
        )
    return Money.of(value, known[0]) if known else None
