"""The search planner: a filter as SQL, and how much of the index to probe under it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from lensback.types import Filter, PriceRange

NOTHING = "false"
_INT64 = 2**63 - 1


def sql(where: Filter) -> str:
    """The filter as SQL on index rows; see `condition`."""
    return condition(where, _among_sql, "in_stock = true")


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


def _among_sql(column: str, names: Iterable[str]) -> str:
    quoted = [f"'{name.replace(chr(39), chr(39) * 2)}'" for name in names if storable(name)]
    return f"{column} IN ({', '.join(quoted)})" if quoted else NOTHING


def storable(text: str) -> bool:
    """False for a lone surrogate: no row can hold one, so nothing matches it."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _clamped(minor: int) -> int:
    return max(-_INT64, min(_INT64, minor))


@dataclass(frozen=True, slots=True)
class Plan:
    """How many partitions to probe; 0: compare with every matching row."""

    nprobes: int
    whole: bool = True
    """No wider search can find more."""


def plan(rows: int, matches: int, parameters: Mapping[str, float]) -> Plan:
    """How to search `matches` of `rows` rows.

    A matching row read one by one costs about as much as 500 rows scanned in the quantised
    index (measured: docs/indexes.md), so few matches are compared exactly. Otherwise a filter
    that keeps one row in ten needs ten times the partitions to meet as many matches as the
    unfiltered search that `publish` has tuned.
    """
    partitions = int(parameters["partitions"])
    if matches <= max(256, rows // 500):
        return Plan(0)
    wanted = math.ceil(parameters["nprobes"] * rows / max(1, matches))
    nprobes = min(partitions, wanted)
    return Plan(nprobes, whole=nprobes == partitions)


def widest(narrow: Plan, parameters: Mapping[str, float]) -> Plan:
    """A plan that searches all partitions, with the parameters of this one."""
    return replace(narrow, nprobes=int(parameters["partitions"]), whole=True)
