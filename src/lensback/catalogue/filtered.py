"""A filter as conditions of SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, or_

from lensback.db import tables as t
from lensback.types import Filter, PriceRange

REMEMBERED = 64
"""Filters whose statements are remembered: putting one together takes longer than running it."""


def restrict(where: Filter) -> list[Any]:
    """A Filter as conditions on `offers` joined with `stores`."""
    o = t.offers.c
    limits: list[Any] = [o.active]
    if where.stores:
        limits.append(t.stores.c.name.in_(where.stores))
    if where.categories:
        limits.append(o.category.in_(where.categories))
    if where.in_stock:
        limits.append(o.availability == "in_stock")
    if where.currency:
        limits.append(o.currency == where.currency)
    if where.price_max or where.price_min:
        limits.append(or_(_priced(where), *map(_within, where.elsewhere)))
    if where.colors:
        limits.append(o.color.in_(where.colors))
    if where.brands:
        limits.append(o.brand.in_(where.brands))
    if where.sizes:
        limits.append(o.size.in_(where.sizes))
    if where.discount:
        off = (o.old_price_minor - o.price_minor) * 100
        limits += [o.old_price_minor > 0, off >= where.discount * o.old_price_minor]
    return limits


def _priced(where: Filter) -> Any:
    o = t.offers.c
    limits = []
    if where.price_max:
        limits += [o.currency == where.price_max.currency, o.price_minor <= where.price_max.minor]
    if where.price_min:
        limits += [o.currency == where.price_min.currency, o.price_minor >= where.price_min.minor]
    return and_(*limits)


def _within(one: PriceRange) -> Any:
    o = t.offers.c
    limits = [o.currency == one.currency]
    if one.low is not None:
        limits.append(o.price_minor >= one.low)
    if one.high is not None:
        limits.append(o.price_minor <= one.high)
    return and_(*limits)
