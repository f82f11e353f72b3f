"""From a feed's raw words to an Offer: the cleaning that every member shares.

A member hands over a `Row` (our field -> raw text) and gets an Offer, or a Rejected that says
in two words what is wrong. Reasons: no id, bad id, no title, no url, bad url, no price,
bad price, no currency, needs base.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

from stdnum import ean

from lensback.feeds.columns import ColumnMap, by_alias
from lensback.types import Money, Offer, Rejected

Row = dict[str, str]
"""Field -> raw text. `images` may hold several addresses, joined by new lines."""

MAX_TITLE = 300
MAX_DESCRIPTION = 5000
MAX_WORD = 200
MAX_PATH = 500
MAX_URL = 4096
MAX_RAW = 50_000
MAX_IMAGES = 20
MAX_SAMPLE = 120

# What the caches below may hold: no key is longer.
_SHORT_CHARS = 1000
_LONG = ("description", "disclosure")
_WORDS = ("brand", "mpn", "item_group_id", "color", "size", "material", "pattern")


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every row of one feed."""

    base: str = ""
    """What `{BASE}` stands for."""
    currency: str = ""
    """Where a row names none."""
    tracked: bool = False
    """`url` goes through a network."""
    category_separator: str = ">"


def with_columns(rules: Rules, columns: ColumnMap) -> Rules:
    """The rules with what a column map says for every row."""
    return replace(
        rules,
        currency=rules.currency or columns.currency,
        category_separator=columns.category_separator,
    )


class _Bad(Exception):
    """One row's refusal on its way to `offer`; never leaves this module."""

    def __init__(self, reason: str, sample: str = "") -> None:
        super().__init__(reason)
        self.reason, self.sample = reason, sample


def offer(row: Row, rules: Rules) -> Offer | Rejected:
    """The row as an Offer, or why not. The caller knows the line."""
    external_id = text(row.get("id", ""), MAX_RAW)
    try:
        return _offer(row, rules, external_id)
    except _Bad as bad:
        sample = text(bad.sample or row.get("title", "") or row.get("url", ""), MAX_SAMPLE)
        return Rejected(bad.reason, 0, external_id[:MAX_WORD], sample)


def _offer(row: Row, rules: Rules, external_id: str) -> Offer:
    if not external_id:
        raise _Bad("no id")
    if len(external_id) > MAX_WORD:
        raise _Bad("bad id", external_id)
    if "deleted" in row and flag(row["deleted"]):
        return _gone(row, external_id)
    title = plain(row.get("title", ""), MAX_TITLE)
    if not title:
        raise _Bad("no title")
    url = _page(row, rules.base)
    price, old_price = _prices(row, rules.currency)
    more = {name: _SHORT[name](raw[:_SHORT_CHARS]) for name, raw in row.items() if name in _SHORT}
    more |= {name: plain(row[name], MAX_DESCRIPTION) for name in _LONG if name in row}
    if raw := row.get("category"):
        more["category"] = category(raw[:_SHORT_CHARS], rules.category_separator)
    tracked = rules.tracked or "ulp=" in url
    if tracked:
        more["target_url"] = _url(row.get("target_url", ""), rules.base) or _ulp(url)
    return Offer(
        external_id=external_id,
        title=title,
        url=url,
        price=price,
        old_price=old_price,
        image_urls=_images(row, rules.base),
        adult="adult" in row and flag(row["adult"]),
        tracked=tracked and (rules.tracked or bool(more["target_url"])),
        **more,  # type: ignore[arg-type]
    )


def _page(row: Row, base: str) -> str:
    raw = row.get("url", "")
    if not raw.strip():
        raise _Bad("no url")
    url = _url(raw, base)
    if not url:
        raise _Bad("bad url", raw)
    return url


def _gone(row: Row, external_id: str) -> Offer:
    """A delta's tombstone: only the id counts, the rest may be missing."""
    title = plain(row.get("title", ""), MAX_TITLE)
    return Offer(external_id, title, "", Money(0, ""), availability="out_of_stock", deleted=True)


# --- words ------------------------------------------------------------------------------------

_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)
# Each alternative matches to its end or to the end of the text, so this is linear on any input.
_TAGS = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)|</?[a-zA-Z!?][^<>]*+>",
    re.DOTALL | re.IGNORECASE,
)


def text(raw: str, limit: int) -> str:
    """One line: white space collapsed, control and invisible characters gone, at most `limit`."""
    value = " ".join(raw[:MAX_RAW].split())
    if not value.isprintable():
        value = " ".join(_INVISIBLE.sub("", value).split())
    return value if len(value) <= limit else value[:limit].rstrip()


def plain(raw: str, limit: int) -> str:
    """`text` without HTML: tags out, entities resolved (twice escaped ones too)."""
    if "<" in raw or "&" in raw:
        raw = _TAGS.sub(" ", raw[:MAX_RAW])
        if "&" in raw:
            raw = html.unescape(_TAGS.sub(" ", html.unescape(raw)))
    return text(raw, limit)


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


_YES = frozenset(("true", "1", "yes", "y", "да", "on", "adult"))
_NO = frozenset(("false", "0", "no", "n", "нет", "off"))


def gtin(raw: str) -> str:
    """8, 12, 13 or 14 digits with a right check digit, or empty.

    Numbers that stores give out themselves (GS1 prefixes 2 and 02) are no GTIN.

    >>> gtin("5 011423 196527"), gtin("7891234567890"), gtin("2000000000008")
    ('5011423196527', '', '')
    """
    digits = raw.strip().replace(" ", "").replace("-", "")
    if len(digits) not in (8, 12, 13, 14) or not (digits.isascii() and digits.isdigit()):
        return ""
    if len(digits) > 8 and digits.zfill(14)[1:].startswith(("2", "02", "0000000000000")):
        return ""
    return digits if ean.calc_check_digit(digits[:-1]) == digits[-1] else ""


def _key(raw: str) -> str:
    """`https://schema.org/InStock`, `in stock`, `In-Stock` -> `instock`."""
    return re.sub(
        r"[\s_\-./']+", "", raw[:MAX_WORD].rsplit("/", 1)[-1] if "://" in raw else raw[:MAX_WORD]
    ).lower()


_AVAILABILITY = by_alias(
    {
        "in_stock": "instock available availableonline instoreonly onlineonly limitedavailability"
        " limited lowstock вналичии есть",
        "out_of_stock": "outofstock oos soldout unavailable notavailable discontinued notinstock"
        " нетвналичии отсутствует reserved",
        "preorder": "preorder presale предзаказ",
        "backorder": "backorder availablefororder madetoorder onorder подзаказ назаказ",
    }
)
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


@lru_cache(4096)
def availability(raw: str) -> str:
    """One of AVAILABILITIES. A number is a stock count; an unknown word means it is for sale.

    >>> [availability(w) for w in ("in stock", "http://schema.org/OutOfStock", "0", "pre-order")]
    ['in_stock', 'out_of_stock', 'out_of_stock', 'preorder']
    """
    key = _key(raw)
    if key in _NO or key.startswith("-"):
        return "out_of_stock"
    return _AVAILABILITY.get(key, "in_stock")


@lru_cache(1024)
def condition(raw: str) -> str:
    return _CONDITION.get(_key(raw), "new")


@lru_cache(1024)
def gender(raw: str) -> str:
    return _GENDER.get(_key(raw), "")


@lru_cache(1024)
def age_group(raw: str) -> str:
    return _AGE.get(_key(raw), "")


_SHORT: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(_WORDS, word),
    "availability": availability,
    "condition": condition,
    "gender": gender,
    "age_group": age_group,
    "gtin": gtin,
}

# --- addresses --------------------------------------------------------------------------------

_ADDRESS = re.compile(
    r"https?://(?:\[[0-9a-f:.]+\]|[^\W_][^\s/?#@\\<>\"]*)(?:[/?#]\S*)?", re.IGNORECASE
)
# What nearly every address looks like: checked first, for speed.
_SIMPLE_ADDRESS = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.\-]*+(?:/[!#-\[\]_a-z~]{0,2000})?")
_AROUND = ' \t\r\n,;|"[]'
_BETWEEN = re.compile(r"[\s,;|\"\[\]]+(?=https?:|//|\{BASE\})")


def _url(raw: str, base: str) -> str:
    """An http or https address without user or white space; else empty."""
    if _SIMPLE_ADDRESS.fullmatch(raw) and "&amp;" not in raw:
        return raw
    url = raw.strip()
    if "{BASE}" in url:
        if not base:
            raise _Bad("needs base", url)
        url = url.replace("{BASE}", base.rstrip("/"))
    if "&amp;" in url:
        url = url.replace("&amp;", "&")
    if url.startswith("//"):
        url = "https:" + url
    if " " in url:
        url = url.replace(" ", "%20")
    return url if len(url) <= MAX_URL and _ADDRESS.fullmatch(url) and url.isprintable() else ""


def _images(row: Row, base: str) -> tuple[str, ...]:
    """Addresses of pictures, the main one first, each once; what is no address is left out."""
    raw = row.get("image", "") + "\n" + row.get("images", "")
    found: dict[str, None] = {}
    for part in raw[:MAX_RAW].split("\n"):
        listed = _BETWEEN.split(part) if part.count("//") > 1 or "," in part else (part,)
        for value in listed:
            if (value := value.strip(_AROUND)) and (url := _url(value, base)):
                found[url] = None
    return tuple(found)[:MAX_IMAGES]


def _ulp(url: str) -> str:
    """The store's page inside an Admitad link (`ulp=`), or empty."""
    try:
        target = parse_qs(urlsplit(url).query).get("ulp", [""])[0]
    except ValueError:
        return ""
    return _url(target, "") if "{BASE}" not in target else ""


# --- money ------------------------------------------------------------------------------------

_CODES = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN"
    " BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS"
    " GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW"
    " KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD"
    " NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD"
    " SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES"
    " VND VUV WST XAF XCD XOF XPF YER ZAR ZMW"
)
CURRENCIES = frozenset(_CODES.split())
"""ISO 4217."""
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
    }
)
_PLAIN = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(?: ?([A-Z]{3}))?")
_NUMBER = re.compile(r"[0-9](?:[0-9.,'’\s]*[0-9])?")
_MAX_PRICE = 40


@lru_cache(1024)
def currency(raw: str) -> str:
    """ISO 4217 code of a code, an old code or a sign; empty where it is none.

    >>> currency("RUR"), currency("руб."), currency("dkk"), currency("pcs")
    ('RUB', 'RUB', 'DKK', '')
    """
    name = raw[:MAX_WORD].strip(" .\u00a0").lower()
    return name.upper() if name.upper() in CURRENCIES else _SIGNS.get(name, "")


@lru_cache(8192)
def money(raw: str, fallback: str = "") -> Money | str:
    """The amount, or the reason why there is none. A dot is decimal first, as in machine feeds.

    >>> [str(money(p, "RUB")) for p in ("50DKK", "1 299,00 ₽", "249,90", "1,299", "KWD 12.345")]
    ['50.00 DKK', '1299.00 RUB', '249.90 RUB', '1299.00 RUB', '12.345 KWD']
    """
    found = _PLAIN.fullmatch(raw)
    number, code = (found[1], found[2] or "") if found else _loose(raw)
    if not number:
        return "bad price" if raw.strip() else "no price"
    code = currency(code) if code else ""
    if found and found[2] and not code:
        return "bad price"
    code = code or fallback
    if not code:
        return "no currency"
    amount = Money.of(Decimal(number), code)
    return amount if 0 < amount.minor < 1 << 53 else "bad price"


def _loose(raw: str) -> tuple[str, str]:
    """Number with a decimal dot and the currency's name in a written price; empty if unclear."""
    words = " ".join(raw.split()) if len(raw) <= _MAX_PRICE else ""
    found = _NUMBER.search(words)
    if not found:
        return "", ""
    before, after = words[: found.start()], words[found.end() :]
    around = (before + " " + after.removeprefix(",-").removeprefix(".-")).split()
    named = [token for token in around if token.strip(".").lower() not in ("from", "от", "")]
    if len(named) > 1 or (named and not currency(named[0])):
        return "", ""
    return _dotted(re.sub(r"[\s'’]", "", found[0])), named[0] if named else ""


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


def _prices(row: Row, fallback: str) -> tuple[Money, Money | None]:
    """What is paid now, and what was paid before where that is more."""
    named = currency(row["currency"][:_SHORT_CHARS]) if row.get("currency") else ""
    raw = row.get("price", "")[:_SHORT_CHARS].strip()
    price = money(raw, named or fallback)
    if isinstance(price, str):
        raise _Bad(price, raw)
    for name in ("sale_price", "old_price"):
        if not (other_raw := row.get(name)):
            continue
        other = money(other_raw[:_SHORT_CHARS].strip(), price.currency)
        if isinstance(other, str) or other.currency != price.currency:
            continue
        if name == "sale_price" and other.minor < price.minor:
            return other, price
        if name == "old_price" and other.minor > price.minor:
            return price, other
    return price, None
