"""Many rows at once: what `clean.offer` makes of each, a column at a time.

Most columns of a feed need no cleaning at all, and whether that is so can be seen for a few hundred
values in one go, at the speed of C. A row or a column that is anything but usual goes to
`clean.offer`, which is the truth; tests hold the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain, repeat
from operator import itemgetter
from typing import Any

from lensback import gtins
from lensback.feeds import addresses, clean
from lensback.feeds.frames import ORDER, offers_of
from lensback.feeds.money import currency, is_one, money
from lensback.feeds.stock import Words
from lensback.feeds.texts import MAX_RAW, plain, text, uncovered
from lensback.types import Money, Offer, Rejected

Where = tuple[str, str]
"""What relative addresses are relative to: the store's base, the feed's address."""
Columns = dict[str, Sequence[str]]
"""Field -> raw texts, one a row; all of one length. An empty text says nothing."""

ROWS = 500
"""A good size of a batch: enough for the work of C, little enough for the cache."""

_FEW, _SAMPLE = 5, 20
_NEEDED = ("id", "title", "url", "price")
_CACHED: dict[str, Callable[[str], str | bool]] = {
    **dict.fromkeys(("brand", "color", "size", "material", "pattern"), clean.word),
    "condition": clean.condition,
    "gender": clean.gender,
    "age_group": clean.age_group,
    "gtin": gtins.gtin,
    "adult": clean.flag,
}
_DISTINCT = ("mpn", "item_group_id")
_ADDRESSES = re.compile(rf"(?:(?:{addresses.SIMPLE_ADDRESS})?\n)*+")
_LISTED = ",;[]"
"""What may stand between two addresses in one text."""
_PRINTED = bytes(range(32, 127))


def columns_of(rows: Sequence[clean.Row]) -> Columns:
    """Rows (field -> value) turned round: field -> one value a row, empty where a row has none."""
    return {name: [row.get(name, "") for row in rows] for name in dict.fromkeys(chain(*rows))}


def offers(columns: Columns, count: int, rules: clean.RowRules) -> list[Offer | Rejected]:
    """What `clean.offer` says of each of `count` rows, in order."""
    columns = {name: values for name, values in columns.items() if any(values)}
    if "minor_unit" in columns or rules.minor_units:
        columns, rules = _scaled(columns, rules)
    odd: set[int] = set()
    try:
        made = _columns(columns, rules, odd) if _usual(columns) else None
    except addresses.Bad:  # an address needs a base
        made = None
    if made is None:
        found = [clean.offer(_row(columns, i), rules) for i in range(count)]
    else:
        values = (made.get(name, repeat(default)) for name, default in ORDER)
        found = offers_of(values)
        for i in odd:
            found[i] = clean.offer(_row(columns, i), rules)
    return _without_placeholders(found, columns.get("price", ()))


def _scaled(columns: Columns, rules: clean.RowRules) -> tuple[Columns, clean.RowRules]:
    """Prices in minor units made like any other."""
    columns = dict(columns)
    places = [raw.strip() for raw in columns.pop("minor_unit", ())]
    for name in clean.PRICES:
        if prices := columns.get(name):
            pairs = zip(prices, places or repeat(""), strict=False)
            columns[name] = [clean.scaled(raw, n, rules.minor_units) for raw, n in pairs]
    return columns, replace(rules, minor_units=0)


def _without_placeholders(
    made: list[Offer | Rejected], prices: Sequence[str]
) -> list[Offer | Rejected]:
    """Where most neighbours (of some twenty, evenly taken) cost exactly 1, that is no price."""
    sample = prices[:: len(prices) // _SAMPLE + 1]
    ones = sum(map(is_one, sample))
    if 2 * ones <= len(sample) or len(sample) < _FEW:
        return made
    return [
        Rejected("placeholder price", 0, row.external_id, row.title[: addresses.MAX_SAMPLE])
        if isinstance(row, Offer) and not row.deleted and is_one(raw)
        else row
        for row, raw in zip(made, prices, strict=True)
    ]


def _row(columns: Columns, i: int) -> clean.Row:
    return {name: values[i] for name, values in columns.items() if values[i]}


def _usual(columns: Columns) -> bool:
    """Whether all that is needed is there, and no text is beyond what `clean.offer` cuts at."""
    return all(name in columns for name in _NEEDED) and all(
        max(map(len, values)) <= (MAX_RAW if name in _LONG_TEXTS else clean.SHORT_CHARS)
        for name, values in columns.items()
    )


_LONG_TEXTS = frozenset(("id", "title", "url", "images", "target_url", *clean.LONG))


def _columns(columns: Columns, rules: clean.RowRules, odd: set[int]) -> dict[str, Iterable[Any]]:
    """Field of Offer -> values; the places of rows that are none go to `odd`."""
    ids = _tidied(columns["id"], clean.MAX_WORD, _id)
    if max(map(len, ids)) > clean.MAX_WORD:
        odd.update(i for i, value in enumerate(ids) if len(value) > clean.MAX_WORD)
    titles = _tidied(columns["title"], clean.MAX_TITLE, _title)
    where = rules.base, rules.feed
    urls = _addresses(columns["url"], where)
    for values in (ids, titles, urls):
        if not all(values):
            odd.update(i for i, value in enumerate(values) if not value)
    if gone := columns.get("deleted"):
        odd.update(i for i, value in enumerate(gone) if clean.deleted(value))
    made: dict[str, Iterable[Any]] = {"external_id": ids, "title": titles, "url": urls}
    made["price"], made["old_price"] = _prices(columns, rules.currency, odd)
    made |= _images(columns, where)
    made["tracked"], made["target_url"] = _network(columns, urls, where)
    return made | _stock(columns, rules.stock) | _words(columns, rules.category_separator)


def _stock(columns: Columns, words: Words) -> dict[str, Iterable[Any]]:
    said, count = columns.get("availability"), columns.get("quantity")
    if days := columns.get("delivery_days"):
        sent = map(clean.delivery, days)
        said = [a or b for a, b in zip(said, sent, strict=True)] if said else list(sent)
    if not said and not count:
        return {}
    if said and count:
        rows = list(zip(said, count, strict=True))
        meant = {pair: words(*pair) for pair in set(rows)}
        found = [meant[pair] for pair in rows]
    else:
        found = list(map(words.of, said or count or ()))  # of nothing, it is in stock
    if "unknown" not in found:
        return {"availability": found}
    told = map(clean.unknown_words, found, said or repeat(""), count or repeat(""))
    return {"availability": found, "stock_words": told}


def _words(columns: Columns, separator: str) -> dict[str, Iterable[Any]]:
    made: dict[str, Iterable[Any]] = {
        name: map(one, columns[name]) for name, one in _CACHED.items() if name in columns
    }
    for name in _DISTINCT:
        if name in columns:
            made[name] = _tidied(columns[name], clean.MAX_WORD, clean.word)
    for name in clean.LONG:
        if name in columns:
            made[name] = _tidied(columns[name], clean.MAX_DESCRIPTION, _description)
    if "category" in columns:
        paths = {raw: clean.category(raw, separator) for raw in set(columns["category"])}
        made["category"] = map(paths.__getitem__, columns["category"])
    return made


def _title(raw: str) -> str:
    return plain(raw, clean.MAX_TITLE)


def _description(raw: str) -> str:
    return plain(raw, clean.MAX_DESCRIPTION)


def _id(raw: str) -> str:
    return text(uncovered(raw), MAX_RAW)


def _tidied(values: Sequence[str], limit: int, one: Callable[[str], str]) -> Sequence[str]:
    """`one` of each value; the values themselves where that would change none."""
    if "<" in values[0]:
        return [one(value) for value in values]
    joined = "<".join(values)
    tidy = (
        joined.count("<") == len(values) - 1
        and "&" not in joined
        and (" " not in joined or _is_spaced(values, joined))
        and _is_printable(joined)
        and max(map(len, values)) <= limit
    )
    return values if tidy else [one(value) for value in values]


def _is_spaced(values: Sequence[str], joined: str) -> bool:
    """Whether all spaces stand alone and between words."""
    return (
        "  " not in joined
        and " " not in map(itemgetter(0), filter(None, values))
        and " " not in map(itemgetter(-1), filter(None, values))
    )


def _is_printable(joined: str) -> bool:
    """What `str.isprintable` says, several times as fast for plain ASCII."""
    return (
        not joined.encode("ascii").translate(None, _PRINTED)
        if joined.isascii()
        else joined.isprintable()
    )


def _addresses(values: Sequence[str], where: Where) -> Sequence[str]:
    based = _based(values, where)
    joined = "\n".join(based) + "\n"
    if _ADDRESSES.fullmatch(joined) and not addresses.escaped(joined):
        return based
    return [addresses.address(value, *where) for value in values]


def _based(values: Sequence[str], where: Where) -> Sequence[str]:
    """The texts with the store's base for what stands for it."""
    if not where[0] or "{" not in "".join(values):
        return values
    base = where[0].rstrip("/")
    return [value.replace("{BASE}", base) for value in values]


def _prices(columns: Columns, fallback: str, odd: set[int]) -> tuple[Iterable[Any], Iterable[Any]]:
    codes: Iterable[str] = repeat(fallback)
    if named := columns.get("currency"):
        known = {raw: currency(raw) or fallback for raw in set(named)}
        codes = repeat(known[named[0]]) if len(known) == 1 else map(known.__getitem__, named)
    prices = list(map(money, columns["price"], codes))
    if str in map(type, prices):
        odd.update(i for i, price in enumerate(prices) if type(price) is str)
    if "sale_price" in columns:
        sales, olds = (columns.get(name, repeat("")) for name in ("sale_price", "old_price"))
        if dates := columns.get("sale_dates"):
            sales = [s if clean.on_sale(d) else "" for s, d in zip(sales, dates, strict=False)]
        pairs = [
            (price, None) if isinstance(price, str) else clean.both_prices(price, sale, old)
            for price, sale, old in zip(prices, sales, olds, strict=False)
        ]
        return [now for now, _ in pairs], [before for _, before in pairs]
    if "old_price" not in columns:
        return prices, repeat(None)
    owns = [price if isinstance(price, str) else price.currency for price in prices]
    befores = map(money, columns["old_price"], owns)
    return prices, [
        before
        if isinstance(price, Money)
        and isinstance(before, Money)
        and before.minor > price.minor
        and before.currency == price.currency
        else None
        for price, before in zip(prices, befores, strict=True)
    ]


def _images(columns: Columns, where: Where) -> dict[str, Iterable[Any]]:
    main, more = columns.get("image"), columns.get("images")
    if not main and not more:
        return {}
    if main and more:
        texts: Sequence[str] = [f"{a}\n{b}" for a, b in zip(main, more, strict=True)]
    else:
        texts = main or more or ()
    based = _based(texts, where)
    joined = "\n".join(based) + "\n"
    if (
        _ADDRESSES.fullmatch(joined)
        and not addresses.escaped(joined)
        and not any(mark in joined for mark in _LISTED)
        and joined.count("//") == f"\n{joined}".count("\nh")  # one address in each line
    ):
        if joined.count("\n") == len(based):  # no text of several lines
            return {"image_urls": [(text,) if text else () for text in based]}
        urls = [_listed(text) for text in based]
        if max(map(len, urls)) <= addresses.MAX_IMAGES:
            return {"image_urls": urls}
        found = [addresses.at_most(some) for some in urls]
    else:
        found = [addresses.pictures(text, *where) for text in texts]
    return {
        "image_urls": [some.urls for some in found],
        "images_left_out": [some.left_out for some in found],
    }


def _listed(text: str) -> tuple[str, ...]:
    if "\n" not in text:
        return (text,) if text else ()
    return tuple(dict.fromkeys(filter(None, text.split("\n"))))


def _network(
    columns: Columns, urls: Sequence[str], where: Where
) -> tuple[Iterable[bool], Iterable[str]]:
    via: Iterable[str] = columns.get("tracked", repeat(""))
    if "tracked" not in columns:
        joined = "\n".join(urls)
        if not any(mark in joined for mark in addresses.THROUGH):
            return repeat(False), repeat("")
    targets = columns.get("target_url", repeat(""))
    if "tracked" in columns and all(columns["tracked"]) and "target_url" in columns:
        found = _addresses(columns["target_url"], where)
        if all(found):
            return repeat(True), found
    pairs = [
        addresses.through_network(url, target, bool(mark), *where)
        for url, target, mark in zip(urls, targets, via, strict=False)
    ]
    return [tracked for tracked, _ in pairs], [target for _, target in pairs]
