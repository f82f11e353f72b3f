"""From a feed's raw words to an Offer: the cleaning that every member shares.

A member hands over a `Row` (our field -> raw text) and gets an Offer, or a Rejected that says
in two words what is wrong. Reasons: no id, bad id, no title, no url, bad url, no price,
bad price, placeholder price, no currency, needs base.
"""

from __future__ import annotations

import html
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from lensback.counted import counted
from lensback.feeds.addresses import MAX_SAMPLE, Bad, address, pictures, through_network
from lensback.feeds.columns import ColumnMap, by_alias
from lensback.feeds.money import currency, money
from lensback.feeds.stock import Words, known
from lensback.feeds.texts import MAX_RAW, plain, text, uncovered
from lensback.gtins import gtin
from lensback.types import Money, Offer, Rejected

Row = dict[str, str]
"""Field -> raw text; a field that is missing or empty says nothing. `images` may hold several
addresses, joined by new lines. `tracked` (any text) says that `url` goes through a network."""

MAX_TITLE = 300
MAX_DESCRIPTION = 5000
MAX_WORD = 200
MAX_PATH = 500

# What the caches below may hold: no key is longer.
SHORT_CHARS = 1000
LONG = ("description", "disclosure")
_WORDS = ("brand", "mpn", "item_group_id", "color", "size", "material", "pattern")


@dataclass(frozen=True, slots=True)
class RowRules:
    """What holds for every row of one feed."""

    base: str = ""
    """What `{BASE}` stands for, and what relative addresses are relative to."""
    feed: str = ""
    """The feed's own address, to which they are relative where no base is given."""
    currency: str = ""
    """Where a row names none."""
    category_separator: str = ">"
    minor_units: int = 0
    """Decimal places that prices lack, where a row does not say it in `minor_unit`."""
    stock: Words = field(default_factory=known)
    """What words of stock mean here."""


def with_columns(rules: RowRules, columns: ColumnMap) -> RowRules:
    """The rules with what a column map says for every row."""
    return replace(
        rules,
        currency=rules.currency or columns.currency,
        category_separator=columns.category_separator,
        minor_units=columns.minor_units or rules.minor_units,
        stock=Words(columns.stock) if columns.stock else rules.stock,
    )


def offer(row: Row, rules: RowRules) -> Offer | Rejected:
    """The row as an Offer, or why not. The caller knows the line."""
    external_id = text(uncovered(row.get("id", "")), MAX_RAW)
    try:
        return _offer(row, rules, external_id)
    except Bad as bad:
        sample = text(bad.sample or row.get("title", "") or row.get("url", ""), MAX_SAMPLE)
        return Rejected(bad.reason, 0, external_id[:MAX_WORD], sample)


def _offer(row: Row, rules: RowRules, external_id: str) -> Offer:
    if not external_id:
        raise Bad("no id")
    if len(external_id) > MAX_WORD:
        raise Bad("bad id", external_id)
    if deleted(row.get("deleted", "")):
        return _gone(row, external_id)
    title = plain(row.get("title", ""), MAX_TITLE)
    if not title:
        raise Bad("no title")
    url = _page(row, rules)
    if rules.minor_units or "minor_unit" in row:
        row = _scaled_row(row, rules.minor_units)
    price, old_price = _prices(row, rules.currency)
    more = {name: SHORT[name](raw[:SHORT_CHARS]) for name, raw in row.items() if name in SHORT}
    more |= {name: plain(row[name], MAX_DESCRIPTION) for name in LONG if row.get(name)}
    if raw := row.get("category"):
        more["category"] = category(raw[:SHORT_CHARS], rules.category_separator)
    more |= stock(row, rules.stock)
    via = bool(row.get("tracked"))
    where = rules.base, rules.feed
    tracked, target = through_network(url, row.get("target_url", ""), via, *where)
    found = pictures(row.get("image", "") + "\n" + row.get("images", ""), *where)
    return Offer(
        external_id=external_id,
        title=title,
        url=url,
        price=price,
        old_price=old_price,
        image_urls=found.urls,
        images_left_out=found.left_out,
        adult=flag(row.get("adult", "")),
        tracked=tracked,
        target_url=target,
        **more,  # type: ignore[arg-type]
    )


def stock(row: Row, words: Words) -> Row:
    """`availability`, and what the store said where nobody knows what that means."""
    said, count = (row.get(name, "")[:SHORT_CHARS] for name in ("availability", "quantity"))
    said = said or delivery(row.get("delivery_days", "")[:SHORT_CHARS])
    found = words(said, count)
    return {"availability": found, "stock_words": unknown_words(found, said, count)}


def delivery(raw: str) -> str:
    """Days until it is sent, or the day from which on, in words of stock. Less than none is not known.

    >>> delivery("0"), delivery("2999-01-01"), delivery("2001-01-01"), delivery("-1"), delivery("na dotaz")
    ('0 days', 'preorder', '0 days', 'unknown: -1', 'na dotaz')
    """
    days = raw.strip()
    if days.isdecimal():
        return counted(int(days), "day")
    if re.fullmatch(r"-[0-9]+", days):
        return f"unknown: {days}"
    if _DATE.fullmatch(days):
        return "preorder" if _moment(days, 0) > time.time() else "0 days"
    return days


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def unknown_words(availability: str, said: str, count: str) -> str:
    """The store's own words for its stock where nobody knows what they mean; empty where they were
    understood."""
    return text(said or count, MAX_WORD) if availability == "unknown" else ""


def _page(row: Row, rules: RowRules) -> str:
    raw = row.get("url", "")
    if not raw.strip():
        raise Bad("no url")
    url = address(raw, rules.base, rules.feed)
    if not url:
        raise Bad("bad url", raw)
    return url


def _gone(row: Row, external_id: str) -> Offer:
    """A delta's tombstone: only the id counts, the rest may be missing."""
    title = plain(row.get("title", ""), MAX_TITLE)
    return Offer(external_id, title, "", Money(0, ""), availability="out_of_stock", deleted=True)


# --- words ------------------------------------------------------------------------------------


@lru_cache(8192)
def word(raw: str) -> str:
    """A short value: brand, colour, size."""
    return plain(raw, MAX_WORD)


@lru_cache(8192)
def category(raw: str, separator: str = ">") -> str:
    """A path, parts joined by ` > `. A bare number (Google's own taxonomy) says nothing here.

    >>> category("Men &gt; Tops>Tees"), category("Мужское/Футболки", "/"), category("1604")
    ('Men > Tops > Tees', 'Мужское > Футболки', '')
    """
    parts = [text(part, MAX_WORD) for part in html.unescape(raw[:MAX_RAW]).split(separator)]
    path = " > ".join(part for part in parts if part)
    return "" if path.isdigit() else path[:MAX_PATH]


def flag(raw: str) -> bool:
    """Yes or no, in the words feeds use."""
    return raw.strip().lower() in _YES


def deleted(raw: str) -> bool:
    """Whether a delta says so: a flag, or the word for it."""
    return flag(raw) or raw.strip().lower() in ("d", "delete", "deleted", "remove", "removed")


_YES = frozenset(("true", "1", "yes", "y", "да", "on", "adult"))


def _key(raw: str) -> str:
    """`https://schema.org/InStock`, `in stock`, `In-Stock` -> `instock`."""
    return re.sub(
        r"[\s_\-./']+", "", raw[:MAX_WORD].rsplit("/", 1)[-1] if "://" in raw else raw[:MAX_WORD]
    ).lower()


_CONDITION = by_alias(
    {
        "new": "new newcondition новый новое newother",
        "used": "used usedcondition secondhand preowned likenew бу vintage open openbox",
        "refurbished": "refurbished refurbishedcondition refurb renewed восстановленный",
    }
)
_GENDER = by_alias(
    {
        "male": "male man men mens boy boys m herren herre homme uomo hombre мужской мужские"
        " мужчинам мужчины мужское мужчина длямужчин длямальчиков мальчики",
        "female": "female woman women womens girl girls f w damen dame dames femme donna mujer"
        " женский женские женщинам женщины женское женщина дляженщин длядевочек девочки",
        "unisex": "unisex унисекс",
    }
)
_AGE = by_alias(
    {
        "adult": "adult adults взрослый взрослые длявзрослых",
        "kids": "kids kid child children childrens boys girls дети детский детям длядетей",
        "newborn": "newborn новорожденные",
        "infant": "infant baby babies",
        "toddler": "toddler toddlers",
    }
)


@lru_cache(1024)
def condition(raw: str) -> str:
    """The offer's condition, one of Google Merchant's words: `new` where nothing else is said."""
    return _CONDITION.get(_key(raw), "new")


@lru_cache(1024)
def gender(raw: str) -> str:
    """One of `male`, `female`, `unisex`, or empty for a word that we do not know."""
    return _GENDER.get(_key(raw), "")


@lru_cache(1024)
def age_group(raw: str) -> str:
    """One of Google Merchant's age groups, or empty for a word that we do not know."""
    return _AGE.get(_key(raw), "")


SHORT: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(_WORDS, word),
    "condition": condition,
    "gender": gender,
    "age_group": age_group,
    "gtin": gtin,
}

# --- prices -----------------------------------------------------------------------------------


PRICES = ("price", "sale_price", "old_price")


def scaled(raw: str, places: str, usual: int) -> str:
    """A price in minor units as it is read elsewhere; `places` (else `usual`): decimals it lacks.

    >>> scaled("1500", "2", 0), scaled("5", "", 2), scaled("1500", "0", 2), scaled("15.00", "2", 0)
    ('15.00', '0.05', '1500', '15.00 minor units')
    """
    n = int(places) if places.isdecimal() and len(places) == 1 else usual
    if not n or not raw:
        return raw
    number = _WHOLE.fullmatch(raw.strip())
    if not number:
        return f"{raw} minor units"  # a price that is not what the feed declares is none
    digits = number[1].zfill(n + 1)
    return f"{digits[:-n]}.{digits[-n:]}{number[2] or ''}"


_WHOLE = re.compile(r"([0-9]{1,15})( ?[A-Z]{3})?")


def _scaled_row(row: Row, usual: int) -> Row:
    places = row.get("minor_unit", "").strip()
    return row | {name: scaled(row[name], places, usual) for name in PRICES if name in row}


def _prices(row: Row, fallback: str) -> tuple[Money, Money | None]:
    named = currency(row["currency"][:SHORT_CHARS]) if row.get("currency") else ""
    raw = (row.get("price") or row.get("sale_price", ""))[:SHORT_CHARS]
    price = money(raw, named or fallback)
    if isinstance(price, str):
        raise Bad(price, raw)
    sale = row.get("sale_price", "") if on_sale(row.get("sale_dates", "")[:SHORT_CHARS]) else ""
    cut = sale[:SHORT_CHARS], row.get("old_price", "")[:SHORT_CHARS]
    return both_prices(price, *cut) if any(cut) else (price, None)


def on_sale(dates: str) -> bool:
    """Whether a sale price counts now: no, where its dates (`begin/end`, ISO 8601) say so.

    >>> on_sale(""), on_sale("2001-01-01T00:00Z/2001-02-01T00:00Z"), on_sale("2001-01-01/2999-01-01")
    (True, False, True)
    """
    begin, end = _span(dates) if dates else (-math.inf, math.inf)
    return begin <= time.time() < end


@lru_cache(1024)
def _span(dates: str) -> tuple[float, float]:
    """Begin and end; what is left out or no date leaves its side open."""
    begin, *ends = _BETWEEN_DATES.split(dates.strip()) if dates.count("/") < 2 else [""]
    if len(ends) != 1:
        return -math.inf, math.inf
    return _moment(begin, -math.inf), _moment(ends[0], math.inf, end=True)


_BETWEEN_DATES = re.compile(r"\s*/\s*|\s+(?:[-–—]|to|bis|по)\s+")
_DAY_FIRST = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})\b")


def _moment(raw: str, otherwise: float, *, end: bool = False) -> float:
    """ISO 8601 or `28.11.2026`, as seconds; of an end without a time the whole day counts."""
    day_first = _DAY_FIRST.match(raw)
    iso = (
        raw.replace(day_first[0], "{2}-{1:0>2}-{0:0>2}".format(*day_first.groups()), 1)
        if day_first
        else raw
    )
    try:
        return _epoch(datetime.fromisoformat(iso) + timedelta(days=end and len(iso) <= _DATE_CHARS))
    except (ValueError, OverflowError):
        return otherwise


_DATE_CHARS = len("2026-11-24")


def _epoch(when: datetime) -> float:
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def both_prices(price: Money, sale_raw: str, old_raw: str) -> tuple[Money, Money | None]:
    """What is paid now, and what was paid before where that is more."""
    if sale_raw:
        sale = money(sale_raw, price.currency)
        if isinstance(sale, Money) and sale.currency == price.currency and sale.minor < price.minor:
            return sale, price
    if old_raw:
        old = money(old_raw, price.currency)
        if isinstance(old, Money) and old.currency == price.currency and old.minor > price.minor:
            return price, old
    return price, None
