"""Why a sale was declined, in plain words, and what the shopper can do about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Say = Callable[..., str]
"""Puts an English sentence into a reader's language, with its `{name}` values by keyword."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: words that networks use for it, and the sentence that a shopper reads."""

    code: str
    pattern: str
    text: str
    claimable: bool = False
    """True where a claim with the click as proof can help."""


_TABLE = (
    Reason(
        "duplicate",
        r"duplicat|дубл",
        "The store counted this order twice; the other record of it stays.",
    ),
    Reason(
        "fraud",
        r"fraud|compliance|violat|мошен|фрод|наруш",
        "The store sees a breach of its rules.",
        claimable=True,
    ),
    Reason(
        "returned",
        r"return|refund|возвра",
        "The purchase was returned.",
    ),
    Reason(
        "unpaid",
        r"unpaid|not paid|non.?payment|invalid.credit|bad.debt|payment fail|неопла|не оплач",
        "The order was not paid.",
    ),
    Reason(
        "unavailable",
        r"sold.?out|out.of.stock|cant.ship|can't ship|нет в наличии|не в наличии",
        "The store could not deliver it.",
    ),
    Reason(
        "gift_card",
        r"gift|подароч",
        "Gift cards earn no cashback at this store.",
    ),
    Reason(
        "promo_code",
        r"promo|coupon|voucher|промокод|купон",
        "A promo code from elsewhere was used.",
    ),
    Reason(
        "other_site",
        r"other (site|source|channel|publisher)|last.click|overwr|attribut|друг(ой|ого) (сайт|источник)|перезапис",
        "Another site or extension was visited between our link and the purchase.",
        claimable=True,
    ),
    Reason(
        "cookies",
        r"cookie|ad.?block|tracking|куки|блокиров",
        "Cookies or the link were blocked in the browser.",
        claimable=True,
    ),
    Reason(
        "app_order",
        r"\bapp\b|mobile app|application|приложени",
        "Orders in the store's app do not count.",
    ),
    Reason(
        "region",
        r"region|country|geo|регион|стран",
        "The store pays no cashback for this country or region.",
    ),
    Reason(
        "category",
        r"categor|excluded|категор|исключ",
        "The store pays no cashback for this kind of thing.",
    ),
    Reason(
        "reseller",
        r"resell|wholesale|legal entit|business customer|юр|опт|перепрод",
        "Purchases for resale or by companies do not count.",
    ),
    Reason(
        "price_changed",
        r"price (was )?changed|цена измен|изменена цена",
        "The price was changed after the order.",
        claimable=True,
    ),
    Reason(
        "merchant_error",
        r"merchant error|technical|test order|ошибка|тестов",
        "The store reports a technical mistake.",
        claimable=True,
    ),
    Reason(
        "cancelled",
        r"cancel|отмен|не выкуп|невыкуп",
        "The order was cancelled.",
    ),
)
REFUSED = Reason(
    "refused",
    "",
    "We looked into this purchase, and it cannot be counted.",
    claimable=True,
)
OTHER = Reason(
    "other",
    "",
    "The store declined the order and gave no reason we know.",
    claimable=True,
)
TAKEN_BACK, CORRECTION = "taken_back", "correction"
_OURS = (
    REFUSED,
    OTHER,
    Reason(TAKEN_BACK, "", "The store took this purchase back.", claimable=True),
    Reason(
        CORRECTION,
        "",
        "The store took back a purchase that it had not told us of.",
        claimable=True,
    ),
)
"""What no words of a network stand for."""
_BY_CODE = {reason.code: reason for reason in (*_TABLE, *_OURS)}
_PATTERNS = [(reason, re.compile(reason.pattern, re.IGNORECASE)) for reason in _TABLE]


def code_of(text: str) -> str:
    """Our code for a network's words; `other` for words we do not know.

    >>> [code_of(t) for t in ("RETURNED_MERCHANDISE", "отменён покупателем", "xyz")]
    ['returned', 'cancelled', 'other']
    """
    words = text.replace("_", " ")
    return next((reason.code for reason, p in _PATTERNS if p.search(words)), OTHER.code)


def text_of(code: str) -> str:
    """The reason as an English sentence."""
    return _BY_CODE.get(code, OTHER).text


def claimable(code: str) -> bool:
    """True where a claim can help."""
    return _BY_CODE.get(code, OTHER).claimable


def advice(code: str, until: str, say: Say) -> str:
    """What can be done, as a sentence; `until` is the last day of a claim, "" where it is over."""
    if not until or not claimable(code):
        return say("There is nothing to do.")
    return say("If that is not so, claim it until {until}: the click is your proof.", until=until)
