"""Prices as feeds write them -> Money in integer minor units."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from lensback.feeds.columns import by_alias
from lensback.types import Money, currency_exponent, minor_units

MAX_WORD = 200
_MAX_MINOR = 1 << 53
_SIGNS = by_alias(
    {
        "RUB": "rur rub ₽ р руб рублей",
        "EUR": "€ euro",
        "GBP": "£",
        "USD": "$ us$",
        "JPY": "¥",
        "INR": "₹",
        "UAH": "₴ грн",
        "KZT": "₸ тг",
        "TRY": "₺ tl",
        "PLN": "zł",
        "CZK": "kč",
        "ILS": "₪",
        "KRW": "₩",
        "VND": "₫",
        "AZN": "₼",
        "GEL": "₾",
        "AMD": "֏",
        "BRL": "r$",
        "CAD": "ca$ c$ can$",
        "AUD": "a$ au$",
        "NZD": "nz$",
        "HKD": "hk$",
        "SGD": "s$ sg$",
        "TWD": "nt$",
        "MXN": "mx$",
        "CHF": "fr sfr",
        "HUF": "ft",
        "BGN": "лв",
        "RON": "lei leu",
        "BYN": "br б.р",
        "MDL": "лей",
        "UZS": "сум",
        "AED": "د.إ dhs",
        "SAR": "ر.س",
        "THB": "฿",
        "PHP": "₱",
        "NGN": "₦",
    }
)
_SHARED = {
    "$": "USD CAD AUD NZD HKD SGD TWD MXN ARS CLP COP BSD BBD BZD FJD JMD LRD NAD TTD UYU XCD",
    "kr": "SEK NOK DKK ISK",
    "£": "GBP EGP GIP FKP SHP SYP LBP SSP SDG",
    "¥": "JPY CNY",
    "rs": "INR PKR LKR NPR MUR SCR",
    "руб": "RUB BYN",
    "р": "RUB BYN",
    "рублей": "RUB BYN",
    "lei": "RON MDL",
    "сом": "KGS",
    "din": "RSD",
    "дин": "RSD",
}
_SHARERS = {sign: frozenset(codes.split()) for sign, codes in _SHARED.items()}
"""Signs of several currencies: the feed's own word decides where it is one of them."""
_PLAIN = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?(?: ?([A-Z]{3}))?")
_NUMBER = re.compile(r"[0-9](?:[0-9.,'’\s]*[0-9])?")
_MAX_PRICE = 40
_FROM = frozenset(("", "from", "от", "від", "ab", "od", "dès", "desde"))


@lru_cache(1024)
def currency(raw: str) -> str:
    """ISO 4217 code of a code, an old code or a sign; empty where it is none.

    >>> currency("RUR"), currency("руб."), currency("dkk"), currency("pcs")
    ('RUB', 'RUB', 'DKK', '')
    """
    name = raw[:MAX_WORD].strip(" .\u00a0").lower()
    return name.upper() if name.upper() in minor_units() else _SIGNS.get(name, "")


@lru_cache(1 << 15)
def money(raw: str, fallback: str = "") -> Money | str:
    """The amount, or the reason why there is none. A dot is decimal first, as in machine feeds.

    >>> [str(money(p, "RUB")) for p in ("50DKK", "1 299,00 ₽", "249,90", "1,299", "KWD 12.345")]
    ['50.00 DKK', '1299.00 RUB', '249.90 RUB', '1299.00 RUB', '12.345 KWD']
    >>> money("0.00", "RUB"), money("", "RUB"), money("5")
    ('bad price', 'no price', 'no currency')
    """
    raw = raw.strip()
    found = _PLAIN.fullmatch(raw)
    whole, part, code = found.groups("") if found else _loose(raw)
    if not whole:
        return "bad price" if raw else "no price"
    known = _named(code, fallback) if code else fallback
    if not known:
        return "bad price" if code and not _is_currency(code) else "no currency"
    minor = _minor(whole, part, known)
    return Money(minor, known) if 0 < minor < _MAX_MINOR else "bad price"


def _named(word: str, fallback: str) -> str:
    """The currency that stands beside the amount; `$` beside 12.50 in a feed of CAD means CAD."""
    shared = _SHARERS.get(word.strip(" .\u00a0").lower(), frozenset())
    return fallback if fallback in shared else currency(word)


@lru_cache(1 << 12)
def is_one(raw: str) -> bool:
    """Whether a price is exactly 1 of whatever: what stores write that have none to tell."""
    found = _PLAIN.fullmatch(raw.strip())
    return found is not None and int(found[1]) == 1 and not (found[2] or "").strip("0")


def _minor(whole: str, part: str, code: str) -> int:
    """Smallest units; what is finer is rounded half up."""
    places = currency_exponent(code)
    if len(part) <= places:
        return int(whole + part.ljust(places, "0"))
    return Money.of(Decimal(f"{whole}.{part}"), code).minor


def _loose(raw: str) -> tuple[str, str, str]:
    """Whole part, decimals and the currency's name of a written price; empty if unclear."""
    words = " ".join(raw.split()) if len(raw) <= _MAX_PRICE else ""
    found = _NUMBER.search(words)
    if not found:
        return "", "", ""
    before, after = words[: found.start()], words[found.end() :]
    around = (before + " " + after.removeprefix(",-").removeprefix(".-")).split()
    named = [token for token in around if token.strip(".").lower() not in _FROM]
    if len(named) > 1 or (named and not _is_currency(named[0])):
        return "", "", ""
    whole, _, part = _dotted(re.sub(r"[\s'’]", "", found[0])).partition(".")
    return whole, part, named[0] if named else ""


def _is_currency(word: str) -> bool:
    return bool(currency(word)) or word.strip(" .").lower() in _SHARERS


def _dotted(digits: str) -> str:
    """Both marks: the last is decimal. One comma: decimal unless three digits follow."""
    dot, comma = digits.rfind("."), digits.rfind(",")
    if dot >= 0 and comma >= 0:
        thousands = "," if dot > comma else "."
        digits = digits.replace(thousands, "").replace(",", ".")
    elif digits.count(",") == 1 and len(digits) - comma != 4:
        digits = digits.replace(",", ".")
    else:
        digits = digits.replace(",", "")
    if digits.count(".") > 1:
        digits = digits.replace(".", "")
    return digits if len(digits) <= 20 else ""
