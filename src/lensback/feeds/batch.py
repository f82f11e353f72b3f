"""Many rows at once: what `clean.offer` makes of each, a column at a time.

Most columns of a feed need no cleaning at all, and whether that is so can be seen for a few hundred
values in one go, at the speed of C. A row or a column that is anything but usual goes to
`clean.offer`, which is the truth; tests hold the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, fields
from itertools import chain, repeat
from typing import Any

from lensback.feeds import clean
from lensback.feeds.money import currency, money
from lensback.types import Offer, Rejected

Columns = dict[str, Sequence[str]]
"""Field -> raw texts, one a row; all of one length. An empty text says nothing."""

ROWS = 500
"""A good size of a batch: enough for the work of C, little enough for the cache."""

_ORDER = [
    (f.name, "" if f.default is MISSING and f.default_factory is MISSING else f.default)
    for f in fields(Offer)
]
_NEEDED = ("id", "title", "url", "price")
_CACHED: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(("brand", "color", "size", "material", "pattern"), clean.word),
    "availability": clean.availability,
    "condition": clean.condition,
    "gender": clean.gender,
    "age_group": clean.age_group,
    "gtin": clean.gtin,
}
_DISTINCT = ("mpn", "item_group_id")
_ADDRESSES = re.compile(rf"(?:(?:{clean.SIMPLE_ADDRESS})?\n)*+")
# What may stand between two addresses in one text.
_LISTED = re.compile(r"[,;\[\]]")


def columns_of(rows: Sequence[clean.Row]) -> Columns:
    return {name: [row.get(name, "") for row in rows] for name in dict.fromkeys(chain(*rows))}


def offers(columns: Columns, count: int, rules: clean.Rules) -> list[Offer | Rejected]:
    """What `clean.offer` says of each of `count` rows, in order."""
    columns = {name: values for name, values in columns.items() if any(values)}
    if not _usual(columns, rules):
        return [clean.offer(_row(columns, i), rules) for i in range(count)]
    odd: set[int] = set()
    made = _columns(columns, rules, odd)
    ordered = [made.get(name, repeat(default)) for name, default in _ORDER]
    found: list[Offer | Rejected] = list(map(Offer, *ordered))
    for i in odd:
        found[i] = clean.offer(_row(columns, i), rules)
    return found


def _row(columns: Columns, i: int) -> clean.Row:
    return {name: values[i] for name, values in columns.items() if values[i]}


def _usual(columns: Columns, rules: clean.Rules) -> bool:
    """Whether columns can be told apart from each other: all that is needed, no text beyond the
    limits that `clean.offer` cuts at, no `{BASE}` that nothing stands for."""
    if not all(name in columns for name in _NEEDED):
        return False
    for name, values in columns.items():
        limit = clean.MAX_RAW if name in _LONG_TEXTS else clean.SHORT_CHARS
        if max(map(len, values)) > limit:
            return False
    addresses = chain(*(columns.get(name, ()) for name in ("url", "image", "images", "target_url")))
    return bool(rules.base) or not any("{BASE}" in value for value in addresses)


_LONG_TEXTS = frozenset(("id", "title", "url", "images", "target_url", *clean.LONG))


def _columns(columns: Columns, rules: clean.Rules, odd: set[int]) -> dict[str, Iterable[Any]]:
    """Field of Offer -> values; the places of rows that are none go to `odd`."""
    ids = _tidied(columns["id"], clean.MAX_WORD, lambda raw: clean.text(raw, clean.MAX_RAW))
    if max(map(len, ids)) > clean.MAX_WORD:
        odd.update(i for i, value in enumerate(ids) if len(value) > clean.MAX_WORD)
    titles = _tidied(
        columns["title"], clean.MAX_TITLE, lambda raw: clean.plain(raw, clean.MAX_TITLE)
    )
    urls = _addresses(columns["url"], rules.base)
    for values in (ids, titles, urls):
        if not all(values):
            odd.update(i for i, value in enumerate(values) if not value)
    if gone := columns.get("deleted"):
        odd.update(i for i, value in enumerate(gone) if clean.flag(value))
    made: dict[str, Iterable[Any]] = {"external_id": ids, "title": titles, "url": urls}
    made["price"], made["old_price"] = _prices(columns, rules.currency, odd)
    made["image_urls"] = _images(columns, rules.base)
    made["tracked"], made["target_url"] = _network(columns, urls, rules.base)
    made |= {name: map(one, columns[name]) for name, one in _CACHED.items() if name in columns}
    for name in _DISTINCT:
        if name in columns:
            made[name] = _tidied(columns[name], clean.MAX_WORD, clean.word)
    for name in clean.LONG:
        if name in columns:
            made[name] = _tidied(
                columns[name],
                clean.MAX_DESCRIPTION,
                lambda raw: clean.plain(raw, clean.MAX_DESCRIPTION),
            )
    if "category" in columns:
        made["category"] = map(
            clean.category, columns["category"], repeat(rules.category_separator)
        )
    if "adult" in columns:
        made["adult"] = map(clean.flag, columns["adult"])
    return made


def _tidied(values: Sequence[str], limit: int, one: Callable[[str], str]) -> Sequence[str]:
    """`one` of each value; the values themselves where that would change none."""
    joined = "<".join(values)
    tidy = (
        joined.count("<") == len(values) - 1
        and "&" not in joined
        and "  " not in joined
        and "< " not in joined
        and " <" not in joined
        and joined[:1] != " " != joined[-1:]
        and joined.isprintable()
        and max(map(len, values)) <= limit
    )
    return values if tidy else [one(value) for value in values]


def _addresses(values: Sequence[str], base: str) -> Sequence[str]:
    joined = "\n".join(values) + "\n"
    if _ADDRESSES.fullmatch(joined) and "&amp;" not in joined:
        return values
    return [clean.address(value, base) for value in values]


def _prices(columns: Columns, fallback: str, odd: set[int]) -> tuple[Iterable[Any], Iterable[Any]]:
    codes: Iterable[str] = repeat(fallback)
    if "currency" in columns:
        codes = [currency(raw) or fallback for raw in columns["currency"]]
    prices = list(map(money, columns["price"], codes))
    odd.update(i for i, price in enumerate(prices) if isinstance(price, str))
    if "sale_price" not in columns and "old_price" not in columns:
        return prices, repeat(None)
    sales, olds = (columns.get(name, repeat("")) for name in ("sale_price", "old_price"))
    pairs = [
        (price, None) if isinstance(price, str) else clean.both_prices(price, sale, old)
        for price, sale, old in zip(prices, sales, olds, strict=False)
    ]
    return [now for now, _ in pairs], [before for _, before in pairs]


def _images(columns: Columns, base: str) -> Iterable[tuple[str, ...]]:
    main, more = columns.get("image"), columns.get("images")
    if not main and not more:
        return repeat(())
    if main and more:
        texts: Sequence[str] = [f"{a}\n{b}" for a, b in zip(main, more, strict=True)]
    else:
        texts = main or more or ()
    joined = "\n".join(texts) + "\n"
    if _ADDRESSES.fullmatch(joined) and "&amp;" not in joined and not _LISTED.search(joined):
        return [_listed(text) for text in texts]
    return [clean.images(text, base) for text in texts]


def _listed(text: str) -> tuple[str, ...]:
    if "\n" not in text:
        return (text,) if text else ()
    return tuple(dict.fromkeys(filter(None, text.split("\n"))))[: clean.MAX_IMAGES]


def _network(
    columns: Columns, urls: Sequence[str], base: str
) -> tuple[Iterable[bool], Iterable[str]]:
    via: Iterable[str] = columns.get("tracked", repeat(""))
    if "tracked" not in columns and "ulp=" not in "\n".join(urls):
        return repeat(False), repeat("")
    targets = columns.get("target_url", repeat(""))
    if "tracked" in columns and all(columns["tracked"]) and "target_url" in columns:
        found = _addresses(columns["target_url"], base)
        if all(found):
            return repeat(True), found
    pairs = [
        clean.through_network(url, target, bool(mark), base)
        for url, target, mark in zip(urls, targets, via, strict=False)
    ]
    return [tracked for tracked, _ in pairs], [target for _, target in pairs]
