"""Prices as feeds write them -> Money in integer minor units."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

from lensback.feeds.columns import by_alias
from lensback.feeds.texts import plain
from lensback.types import Money, currency_exponent, minor_units

MAX_WORD = 200
_MAX_MINOR = 1 << 53
_SIGNS = by_alias(
    {
        "RUB": "rur rub ₽ р руб рублей",
        "EUR": "€ euro euros",
        "GBP": "£",
        "USD": "$ us$",
        "JPY": "¥ 円 jp¥ 日元",
        "CNY": "元 cn¥ rmb 人民币",
        "INR": "₹",
        "UAH": "₴ грн",
        "KZT": "₸ тг тенге теңге",
        "TRY": "₺ tl",
        "PLN": "zł zl złotych złote",
        "CZK": "kč kc",
        "ILS": '₪ nis ש"ח ש״ח שח',
        "KRW": "₩ 원",
        "VND": "₫ đ vnđ",
        "AZN": "₼ ман манат manat",
        "GEL": "₾",
        "AMD": "֏ դր",
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
        "UZS": "сум so'm so‘m soʻm som сўм",
        "AED": "د.إ dhs درهم",
        "SAR": "ر.س sr ريال",
        "KWD": "د.ك kd",
        "THB": "฿ บาท",
        "PHP": "₱",
        "NGN": "₦",
        "IDR": "rp",
        "ZAR": "r",
        "PEN": "s/",
        "MKD": "ден",
        "BAM": "km",
        "IRR": "ریال",
        "QAR": "ر.ق qr",
        "OMR": "ر.ع",
        "BHD": "د.ب",
        "JOD": "د.أ",
        "IQD": "د.ع",
        "LBP": "ل.ل",
        "MAD": "د.م",
        "DZD": "د.ج",
        "TND": "د.ت dt",
        "EGP": "ج.م e£ l.e جنيه",
        "MYR": "rm",
        "KES": "ksh",
        "GHS": "gh₵ ₵",
        "PYG": "₲",
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
    "درهم": "AED MAD",
    "ريال": "SAR QAR OMR YER",
    "جنيه": "EGP SDG",
    "دينار": "KWD BHD JOD IQD LYD TND DZD",
    "din": "RSD",
    "дин": "RSD",
}
_SHARERS = {sign: frozenset(codes.split()) for sign, codes in _SHARED.items()}
"""Signs of several currencies: the feed's own word decides where it is one of them."""
_PLAIN = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(?: ?([A-Z]{3}))?")
_NUMBER = re.compile(r"[0-9](?:[0-9.,'’\s]*[0-9])?")
# Thousands apart by a space or an apostrophe: three digits each, or it is no one number.
_GROUPED = re.compile(r"[0-9]{1,3}(?:[\s'’][0-9]{3})+(?:[.,][0-9]+)?|[0-9.,]+")
_THOUSANDS = re.compile(
    r"[0-9]{1,3}(?:(?:\.[0-9]{3})+|(?:,[0-9]{3})+)|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}"
)
"""Of one mark; groups of two digits are Indian (`12,34,567`)."""
_NO_CENTS = re.compile(r"^(?:[.,:]\s?|/)[-–—=]+")
_SIGN_FOR_MARK = re.compile(
    r"(?<![.,][0-9])(?<![.,][0-9]{2})(?<=[0-9])(?:\s(?=\S+\s))?(€|£|\$|₺|₴|₪|₽|zł|kč|kr|lei|leu|lv|лв|грн|руб|р)\.?\s?([0-9]{2})"
    r"\s*(?:cents?|ct|p|gr|hal|bani|öre|øre|коп|копеек|к|ст)?\.?\s*\Z",
    re.IGNORECASE,
)
"""A sign where the mark would be: `12 lei 50`, `12€50`, `12 руб. 50 коп.`."""
_SPACED_MARK = re.compile(r"(?<=[0-9])(?: ([.,])|([.,]) )(?=[0-9]{2}(?![0-9.,]))")
_COLON = re.compile(r"(?<=[0-9]):(?=[0-9]{2}(?![0-9]))")
_EACH = re.compile(
    r"(?:/|\bper\b|\bpro\b|\bza\b|\bla\b)\s?(?:pcs?|piece|pièce|ea|unit|шт|stück|stk|st|szt|ks|db|stuk|buc|adet|kpl|tk|vnt|gab|kom)\b\.?|\beach\b",
    re.IGNORECASE,
)
_BARE_CENTS = re.compile(r"(?<![\w/.,])[.,](?=[0-9]{1,2}(?![0-9.,]))")
_TAX_RATE = re.compile(r"(?<=\bin[ck]l)\.?\s*[0-9]{1,2}(?:[.,][0-9])?\s?%", re.IGNORECASE)
_DIRECTIONS = re.compile("[\u200c-\u200f]")
_GROUP = 3
_MOST_DIGITS = 20
"""Of one number, with its marks."""
_MARKS_BESIDE = re.compile(r"[()*\[\]]")
_QUOTES = " \"'“”„«»"
_ROUND = frozenset(("HUF", "IDR", "COP", "CRC", "IRR", "LBP", "MMK", "SOS", "LAK", "IQD"))
"""Of decimals by ISO 4217, of which nobody makes use."""
_MAX_PRICE, _MAX_RAW, _MAX_NAMES = 40, 1000, 4
# Shops strike the old price through, and lift the cents.
_STRUCK = re.compile(r"<(del|s|strike)\b[^>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_LIFTED = re.compile(r"[.,]?\s*<sup\b[^>]*>\s*([0-9]{2})\s*</sup\s*>", re.IGNORECASE)
_ARABIC = str.maketrans("٫٬", ".,")
_BESIDE_WORDS = (
    "from от від ab od dès desde vanaf από da a partir partire de à fra från alkaen incl inkl inc including"
    " vat mwst ust ttc iva tax btw tva dph kdv dahil moms brutto áfa ндс пдв с з z με συμπ φπα"
    " s vč včetně cu sis alv ддс за"
    " price preis цена ціна cena prix precio prezzo preço prijs fiyat fiyatı τιμή pris ár 税込 税込価格"
)
_BESIDE = frozenset(_BESIDE_WORDS.split()) | {""}
"""What may stand beside a price and changes nothing."""


@lru_cache(1024)
def currency(raw: str) -> str:
    """ISO 4217 code of a code, an old code or a sign; empty where it is none.

    >>> currency("RUR"), currency("руб."), currency("dkk"), currency("pcs")
    ('RUB', 'RUB', 'DKK', '')
    """
    name = plain(raw[:MAX_WORD], MAX_WORD) if "&" in raw or "<" in raw else raw[:MAX_WORD]
    name = name.strip(" .\u00a0").lower()
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
    digits, named = _read(found) if found else _loose(raw)
    known = _named(named, fallback) if named else fallback
    number = digits if found else _dotted(digits, known)
    whole, _, part = number.partition(".")
    if not whole:
        return "bad price" if raw else "no price"
    if not known:
        return "no currency" if all(map(_meant, named)) else "bad price"
    if len(part) == _GROUP and len(whole) <= _GROUP and whole.strip("0") and _has_no_cents(known):
        whole, part = whole + part, ""  # 12.000 ₫
    minor = _minor(whole, part, known)
    return Money(minor, known) if 0 < minor < _MAX_MINOR else "bad price"


def _has_thirds(code: str) -> bool:
    return currency_exponent(code) == _GROUP and code not in _ROUND


def _has_no_cents(code: str) -> bool:
    return code in _ROUND or currency_exponent(code) == 0


def _read(match: re.Match[str]) -> tuple[str, tuple[str, ...]]:
    number, code = match.groups("")
    return number, (code,) if code else ()


def _named(words: tuple[str, ...], fallback: str) -> str:
    """The currency that all the words beside an amount agree on; `$` beside 12.50 in a feed of CAD
    means CAD. Empty where they do not agree, or leave it open."""
    meant = frozenset[str].intersection(*map(_meant, words))
    if len(meant) > 1:
        return fallback if fallback in meant else _first(words, meant)
    return next(iter(meant), "")


def _first(words: tuple[str, ...], meant: frozenset[str]) -> str:
    usual = [currency(word) for word in words]
    return next((code for code in usual if code in meant), "")


def _meant(word: str) -> frozenset[str]:
    """The currencies that a code or a sign may mean."""
    name, code = word.strip(" .\u00a0").lower(), currency(word)
    return _SHARERS.get(name, frozenset()) | (frozenset((code,)) if code else frozenset())


@lru_cache(1 << 12)
def is_one(raw: str) -> bool:
    """Whether a price is exactly 1 of whatever: what stores write that have none to tell."""
    found = _PLAIN.fullmatch(raw.strip())
    return found is not None and Decimal(found[1]) == 1


def _minor(whole: str, part: str, code: str) -> int:
    """Smallest units; what is finer is rounded half up."""
    places = currency_exponent(code)
    if len(part) <= places:
        return int(whole + part.ljust(places, "0"))
    return Money.of(Decimal(f"{whole}.{part}"), code).minor


def _loose(raw: str) -> tuple[str, tuple[str, ...]]:
    """The number and the currency's names of a written price; empty if unclear."""
    words = _written(raw)
    found = _NUMBER.search(words) if len(words) <= _MAX_PRICE else None
    if not found or not _GROUPED.fullmatch(found[0]):
        return "", ()
    before, after = words[: found.start()], words[found.end() :]
    around = before + " " + _NO_CENTS.sub("", after)
    number = re.sub(r"[\s'’]", "", found[0])
    if _NO_CENTS.match(after) and _THOUSANDS.fullmatch(number):
        number = re.sub("[.,]", "", number)  # 1.299,- has no decimals
    if any(map(str.isdigit, around)):
        return "", ()  # a second number, of which nobody says what it is
    beside = [token for token in around.split() if token.strip(".:").lower() not in _BESIDE]
    named = _names(beside)
    if len(named) > _MAX_NAMES or not all(map(_meant, named)):
        return "", ()
    return number, tuple(named)


def _written(raw: str) -> str:
    """One line without HTML, digits and marks in their plain form."""
    raw = raw[:_MAX_RAW]
    for _ in range(2):  # shops escape it once more than the format does
        if "&lt;" in raw:
            raw = raw.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    if "<" in raw:
        raw = _LIFTED.sub(r",\1", _STRUCK.sub(" ", raw))
    said = plain(raw, _MAX_RAW)
    if not said.isascii():
        said = unicodedata.normalize("NFKC", _DIRECTIONS.sub("", said)).translate(_ARABIC)
        said = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in said)
    said = _EACH.sub(" ", said)
    said = _COLON.sub(",", _SPACED_MARK.sub(r"\1\2", _SIGN_FOR_MARK.sub(r",\2 \1", said)))
    said = _TAX_RATE.sub("", said) if "%" in said else said
    return _MARKS_BESIDE.sub(" ", _BARE_CENTS.sub("0.", said)).strip(_QUOTES)


def _names(words: list[str]) -> list[str]:
    """Words beside a price as names of currencies: `US`, `$` is one; `€EUR` are two."""
    named: list[str] = []
    for word in words:
        if named and _meant(named[-1] + word) and not _meant(named[-1]):
            named[-1] += word
        elif _meant(word):
            named.append(word)
        else:
            named += re.findall(r"[^\W\d_]+|[^\w\s.]", word) or [word]
    return named


def _dotted(digits: str, code: str) -> str:
    """Both marks: the last is decimal. One comma: decimal unless three digits follow, and also then
    where the currency has three decimals (`12,500 KWD`). Empty where the groups are no thousands
    (`1.299.00`)."""
    mark = "." if digits.rfind(".") > digits.rfind(",") else ","
    whole, _, part = digits.rpartition(mark)
    thousands = {".": ",", ",": "."}[mark]
    if not whole and thousands not in part:
        return digits.replace(",", ".")
    if thousands in whole and mark not in whole:
        sound = _THOUSANDS.fullmatch(whole) and len(digits) <= _MOST_DIGITS
        return f"{whole.replace(thousands, '')}.{part}" if sound else ""
    grouped = mark == "," and len(part) == _GROUP and whole != "0" and not _has_thirds(code)
    if mark in whole or grouped:
        digits = digits.replace(mark, "") if _THOUSANDS.fullmatch(digits) else ""
    return digits.replace(",", ".") if len(digits) <= _MOST_DIGITS else ""
