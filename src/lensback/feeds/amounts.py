"""Amounts as JSON writes them in an object -> one text: `19.99 EUR`.

Shapes and their sources: `{value, currency}` (Google's Content API), `{amount, currencyCode}` (Shopify's
Storefront API), `{amountMicros, currencyCode}` (Google's Merchant API), `{units, nanos, currencyCode}`
(google.type.Money), `{centAmount, fractionDigits, currencyCode}` (commercetools), `{unit_amount, currency}`
(Stripe), `{amount, currency: {code, exponent}, scale}` (Dinero.js), and `{amount, currency, minorUnit}`,
where the count of decimals has any of the names below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lensback.feeds.clean import scaled
from lensback.feeds.columns import key
from lensback.types import currency_exponent

_AMOUNTS = ("value", "amount")
_IN_MINOR = (
    "centamount",
    "unitamount",
    "amountincents",
    "amountcents",
    "amountminor",
    "minoramount",
)
"""Of the smallest unit by their name: where no count of decimals stands beside, the currency's."""
_CURRENCIES = ("currency", "currencycode", "currencyid", "isocode", "currencyiso")
PLACES = (
    *("minorunit", "minorunits", "currencyminorunit", "fractiondigits", "exponent", "scale"),
    *("currencyexponent", "decimals", "decimalplaces", "minorunitdigits", "currencydecimals"),
)
"""Names, as `key` writes them, of how many decimals an amount lacks."""
_MICROS, _NANO = 6, 9


def amount_of(value: Mapping[str, Any]) -> str:
    """What the object says that something costs, as it is read elsewhere; empty where it says none.
    What it declares and is not so (`19.99` of the smallest unit) becomes no price."""
    said = {key(name): inner for name, inner in value.items()}
    code = next((_text(said[name]) for name in _CURRENCIES if name in said), "")
    if isinstance(inner := said.get("currency"), dict):
        known = {key(name): more for name, more in inner.items()}
        code = _text(known.get("code")) or _text(known.get("isocode"))
        said = {**{name: known[name] for name in PLACES if name in known}, **said}
    if (micros := _text(said.get("amountmicros"))) and micros.lstrip("-").isdecimal():
        return f"{scaled(micros, str(_MICROS), 0)} {code}".strip()
    if "nanos" in said and (units := _text(said.get("units")) or "0").isdecimal():
        return f"{units}.{_text(said['nanos']).zfill(_NANO)} {code}".strip()
    places = next((_text(said[name]) for name in PLACES if name in said), "")
    for name in _IN_MINOR:
        if amount := _text(said.get(name)):
            usual = currency_exponent(code.upper()) if code else 2
            return f"{scaled(amount, places, usual)} {code}".strip()
    amount = next((_text(said[name]) for name in _AMOUNTS if _text(said.get(name))), "")
    return f"{scaled(amount, places, 0)} {code}".strip() if amount else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
