"""A filter as a condition in the language of an engine that has one of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lensback.types import Filter, PriceRange

NOTHING = "false"
_INT64 = 2**63 - 1


def condition(where: Filter, among: Callable[[str, Iterable[str]], str], in_stock: str) -> str:
    """The filter as a condition on index rows: empty without a limit, NOTHING if unmeetable.

    `among` writes "this column is one of these" in the engine's language, or NOTHING.
    """
    parts = []
    if where.stores:
        parts.append(among("store", where.stores))
    if where.categories:
        parts.append(among("category", where.categories))
    if where.in_stock:
        parts.append(in_stock)
    if where.currency:
        parts.append(among("currency", [where.currency]))
    priced = _prices(where, among)
    if where.elsewhere:
        each = [priced, *(_within(one, among) for one in where.elsewhere)]
        parts.append("(" + " or ".join(f"({' and '.join(one)})" for one in each) + ")")
    else:
        parts += priced
    return NOTHING if NOTHING in parts else " and ".join(dict.fromkeys(parts))


def _prices(where: Filter, among: Callable[[str, Iterable[str]], str]) -> list[str]:
    parts = []
    if where.price_max:
        parts.append(among("currency", [where.price_max.currency]))
        parts.append(f"price_low <= {_clamped(where.price_max.minor)}")
    if where.price_min:
        parts.append(among("currency", [where.price_min.currency]))
        parts.append(f"price_high >= {_clamped(where.price_min.minor)}")
    return parts


def _within(one: PriceRange, among: Callable[[str, Iterable[str]], str]) -> list[str]:
    parts = [among("currency", [one.currency])]
    if one.high is not None:
        parts.append(f"price_low <= {_clamped(one.high)}")
    if one.low is not None:
        parts.append(f"price_high >= {_clamped(one.low)}")
    return parts


def storable(text: str) -> bool:
    """False for a lone surrogate: no row can hold one, so nothing matches it."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _clamped(minor: int) -> int:
    return max(-_INT64, min(_INT64, minor))
