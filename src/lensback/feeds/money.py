"""Prices as feeds write them -> Money in integer minor units."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

from lensback.feeds.columns import by_alias
from lensback.feeds.texts import plain
from lensback.types import MAX_PRICE_MINOR, USUAL_UNITS, Money, currency_exponent, minor_units

MAX_WORD = 200
_SIGNS = by_alias(
    {
        "RUB": "rur rub ₽ р руб рублей",
        "EUR": "€ euro euros",
        "GBP": "£",
        "USD": "$ us$ us",
        "JPY": "¥ 円 jp¥ 日元",
        "CNY": "元 cn¥ rmb 人民币",
        "INR": "₹",
        "UAH": "₴ грн гривень гривен гривні гривна",
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
        "CAD": "ca$ c$ can$ cdn$ ca",
        "AUD": "a$ au$ au",
        "NZD": "nz$",
        "HKD": "hk$",
        "SGD": "s$ sg$",
        "TWD": "nt$",
        "MXN": "mx$",
        "CHF": "fr sfr francs francos franken",
        "HUF": "ft",
        "BGN": "лв",
        "RON": "lei leu",
        "BYN": "br б.р",
        "RSD": "рсд",
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
        "TTD": "tt$",
        "JMD": "j$ ja$",
        "NAD": "n$",
        "BBD": "bds$",
        "BZD": "bz$",
        "FJD": "fj$",
        "XCD": "ec$",
        "GYD": "gy$ g$",
        "SRD": "sr$ srd$",
        "BND": "b$ bn$",
        "MOP": "mop$",
        "KYD": "ci$",
        "KES": "ksh",
        "GHS": "gh₵ ₵",
        "PYG": "₲ gs",
        "CRC": "₡",
        "DOP": "rd$",
        "COP": "col$",
        "ARS": "ar$",
        "CLP": "clp$",
        "UYU": "$u",
        "GTQ": "q",
        "PAB": "b/",
        "BOB": "bs",
        "BDT": "৳ tk",
        "MNT": "₮ төг",
        "LAK": "₭",
        "KHR": "៛",
        "ALL": "lek lekë",
        "TZS": "tsh",
        "UGX": "ush",
    }
)
_SHARED = {
    **dict.fromkeys(
        ("$", "dollar", "dollars"),
        "USD CAD AUD NZD HKD SGD TWD MXN ARS CLP COP BSD BBD BZD FJD JMD LRD NAD TTD UYU XCD",
    ),
    "kr": "SEK NOK DKK ISK",
    "c$": "CAD NIO",
    "br": "BYN ETB",
    **dict.fromkeys(("dh", "dhs"), "AED MAD"),
    "l": "HNL MDL ALL SZL LSL",
    "k": "ZMW PGK LAK MMK",
    **dict.fromkeys(("रु", "रू", "रु", "रू"), "INR NPR"),
    "£": "GBP EGP GIP FKP SHP SYP LBP SSP SDG",
    "¥": "JPY CNY",
    **dict.fromkeys(("rs", "₨", "re"), "INR PKR LKR NPR MUR SCR"),
    **dict.fromkeys(("fcfa", "cfa"), "XOF XAF"),
    "руб": "RUB BYN",
    "р": "RUB BYN",
    "рублей": "RUB BYN",
    "p": "RUB PHP BWP",
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
_NUMBER = re.compile(r"[0-9](?:[0-9.,'\s]*[0-9])?")
# Thousands apart by a space or an apostrophe: three digits each, or it is no one number.
_GROUPED = re.compile(r"[0-9]{1,3}(?:[\s'][0-9]{3})+(?:[.,][0-9]+)?|[0-9.,]+")
_THOUSANDS = re.compile(
    r"[0-9]{1,3}(?:(?:\.[0-9]{3})+|(?:,[0-9]{3})+)|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}"
)
"""Of one mark; groups of two digits are Indian (`12,34,567`)."""
_NO_CENTS = re.compile(r"^(?:[.,:]\s?|/)[-–—=]+")
_DASH = re.compile(r"^[-–—=]+(?!\s*[0-9])")
_SIGN_FOR_MARK = re.compile(
    r"(?<![.,][0-9])(?<![.,][0-9]{2})(?<=[0-9])(?:\s(?=\S+\s))?(€|£|\$|₺|₴|₪|₽|zł|kč|kr|lei|leu|lv|лв|грн|руб|р)\.?\s?([0-9]{2})"
    r"\s*(?:cents?|ct|p|gr|hal|bani|öre|øre|коп|копеек|к|ст)?\.?\s*\Z",
    re.IGNORECASE,
)
"""A sign where the mark would be: `12 lei 50`, `12€50`, `12 руб. 50 коп.`."""
_APART = re.compile(
    r"\A([A-Z]{3})\s?[:=|;/,_]\s?(?=[0-9])|(?<=[0-9])\s?[|;/,:_\-]\s?(?=([A-Z]{3})\Z)"
)
"""A mark between a code and its amount: `EUR:12.50`, `12.50|EUR`."""
_SPACED_MARK = re.compile(r"(?<=[0-9])(?: ([.,])|([.,]) )(?=[0-9]{2}(?![0-9.,]))")
_COLON = re.compile(r"(?<=[0-9]):(?=[0-9]{2}(?![0-9]))")
_EACH = re.compile(
    r"(?:/|\bper\b|\bpro\b|\bza\b|\bla\b)\s?(?:pcs?|piece|pièce|ea|unit|шт|stück|stk|st|szt|ks|db|stuk|buc|adet|kpl|tk|vnt|gab|kom)\b\.?|\beach\b",
    re.IGNORECASE,
)
_BARE_CENTS = re.compile(r"(?<![\w/.,])[.,](?=[0-9]{1,2}(?![0-9.,]))")
_TAX_RATE = re.compile(
    r"(?<=\bin[ck]l)\.?\s*[0-9]{1,2}(?:[.,][0-9])?\s?%|[0-9]{1,2}(?:[.,][0-9])?\s?%(?=[^0-9]*\bin[ck]l?\b)",
    re.IGNORECASE,
)
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
_GROUPING = str.maketrans({"٫": ".", **dict.fromkeys("٬’‘´`ʼ′˙", "'")})
"""Marks of other scripts and keyboards: the Arabic ones mean the same wherever they stand."""
_DASHED_CENTS = re.compile(
    r"(?<![0-9.,'\-])(?:([0-9]{3,}|[0-9]{1,3}(?:[\s'.][0-9]{3})+)[-–—=]([0-9]{2})|([0-9]{1,2})[-–—=](00))(?![0-9.,\-])"
)
"""Cents behind a dash, as in `1299-00`: no span of two prices, whose second is the greater."""
_CENTS = re.compile(
    r"(?<![0-9.,'])([0-9]{1,4})\s?(¢|cents?|ct|cts|c|centavos?|céntimos?|centimes?|centesimi|коп|копеек|копійок|groszy|grosze"
    r"|gr|pence|p|öre|øre|fillér)\.?(?![^\W\d_])",
    re.IGNORECASE,
)
_CENTS_OF = {"¢": "$", "коп": "руб", "копеек": "руб", "pence": "£", "groszy": "zł", "grosze": "zł"}
"""What they are cents of where the feed names no currency."""
_CENTS_WHERE = {"p": "GBP", "gr": "PLN", "c": "USD"}
"""What means cents only where that is the feed's currency."""
_COMMA_DECIMALS = frozenset(
    (
        "EUR",
        "PLN",
        "CZK",
        "RON",
        "BGN",
        "DKK",
        "NOK",
        "SEK",
        "TRY",
        "RUB",
        "UAH",
        "BYN",
        "KZT",
        "RSD",
        "BAM",
        "MKD",
        "BRL",
        "ARS",
        "UYU",
        "MDL",
        "GEL",
        "AZN",
    )
)
"""Where a comma is decimal: beside a sign, as people write, `1.299` is over a thousand there."""
_GROUP_ALONE = re.compile(r"[1-9][0-9]{0,2}\.[0-9]{3}")
_BESIDE_WORDS = (
    "nur jetzt now only just sale nu bara kun bare vain tylko teraz jen pouze csak numai doar samo solo soltanto"
    " seulement alleen apenas só только всего лише тільки само μόνο sadece akció promo oferta offer angebot "
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
    if sign := _SIGNS.get(name):
        return sign
    code = name.upper()
    return code if code in USUAL_UNITS or code in minor_units() else ""


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
    digits, named = _read(found) if found else _loose(raw, fallback)
    known = _named(named, fallback) if named else fallback
    number = digits if found else _dotted(_grouped(digits, named, known), known)
    whole, _, part = number.partition(".")
    if not whole:
        return "bad price" if raw else "no price"
    if not known:
        return "no currency" if all(map(_meant, named)) else "bad price"
    if len(part) == _GROUP and len(whole) <= _GROUP and whole.strip("0") and _has_no_cents(known):
        whole, part = whole + part, ""  # 12.000 ₫
    minor = _minor(whole, part, known)
    return Money(minor, known) if 0 < minor < MAX_PRICE_MINOR else "bad price"


def _grouped(digits: str, named: tuple[str, ...], code: str) -> str:
    """Without the dot of a thousand that people wrote: `1.299 €`, but not `1.299 EUR`."""
    signed = code in _COMMA_DECIMALS and any(w.strip(" .").upper() != code for w in named)
    return digits.replace(".", "") if signed and _GROUP_ALONE.fullmatch(digits) else digits


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


def _loose(raw: str, fallback: str) -> tuple[str, tuple[str, ...]]:
    """The number and the currency's names of a written price; empty if unclear."""
    words = _CENTS.sub(lambda cents: _as_whole(cents, fallback), _written(raw))
    found = _NUMBER.search(words) if len(words) <= _MAX_PRICE else None
    if not found or not _GROUPED.fullmatch(found[0]):
        return "", ()
    before, after = words[: found.start()], words[found.end() :]
    number = re.sub(r"[\s']", "", found[0])
    bare = _THOUSANDS.fullmatch(number) is not None
    dash = _NO_CENTS.match(after) or (_DASH.match(after) if bare or number.isdigit() else None)
    if dash and bare:
        number = re.sub("[.,]", "", number)  # 1.299,- has no decimals
    around = before + " " + (after[dash.end() :] if dash else after)
    if any(map(str.isdigit, around)):
        return "", ()  # a second number, of which nobody says what it is
    beside = [token for token in around.split() if token.strip(".:").lower() not in _BESIDE]
    named = _names(beside)
    if len(named) > _MAX_NAMES or not all(map(_meant, named)):
        return "", ()
    return number, tuple(named)


def _as_whole(cents: re.Match[str], fallback: str) -> str:
    """`99¢` as `0.99 $`; as it was where the word means no cents in the feed's currency."""
    word = cents[2].lower()
    if _CENTS_WHERE.get(word, fallback) != fallback or (fallback and _has_no_cents(fallback)):
        return cents[0]
    amount = cents[1].zfill(3)
    return f"{amount[:-2]}.{amount[-2:]} {'' if fallback else _CENTS_OF.get(word, '')}"


def _written(raw: str) -> str:
    """One line without HTML, digits and marks in their plain form."""
    raw = raw[:_MAX_RAW]
    for _ in range(2):  # shops escape it once more than the format does
        if "&lt;" in raw:
            raw = raw.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    if "<" in raw:
        raw = _LIFTED.sub(r",\1", _STRUCK.sub(" ", raw))
    said = plain(raw, _MAX_RAW).translate(_GROUPING)
    if not said.isascii():
        said = unicodedata.normalize("NFKC", _DIRECTIONS.sub("", said))
        said = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in said)
    said = _EACH.sub(" ", _APART.sub(lambda m: f"{m[1] or ''} ", said.strip(_QUOTES)).rstrip(" ,"))
    said = _DASHED_CENTS.sub(lambda m: f"{m[1] or m[3]},{m[2] or m[4]}", said)
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
    grouped = mark == "," and len(part) == _GROUP >= len(whole) and whole != "0"
    grouped = grouped and not _has_thirds(code)
    if mark in whole or grouped:
        digits = digits.replace(mark, "") if _THOUSANDS.fullmatch(digits) else ""
    return digits.replace(",", ".") if len(digits) <= _MOST_DIGITS else ""
