"""Why a sale was declined, in plain words, and what the shopper can do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: words that networks use for it, and ours in English and Russian."""

    code: str
    pattern: str
    en: str
    ru: str
    claimable: bool = False
    """True where a claim with the click as proof can help."""


_TABLE = (
    Reason(
        "duplicate",
        r"duplicat|дубл",
        "The store counted this order twice; the other record of it stays.",
        "Магазин учёл заказ дважды; вторая запись остаётся в силе.",
    ),
    Reason(
        "fraud",
        r"fraud|compliance|violat|мошен|фрод|наруш",
        "The store sees a breach of its rules.",
        "Магазин считает, что нарушены его правила.",
        claimable=True,
    ),
    Reason(
        "returned",
        r"return|refund|возвра",
        "The purchase was returned.",
        "Покупка возвращена.",
    ),
    Reason(
        "unpaid",
        r"unpaid|not paid|non.?payment|invalid.credit|bad.debt|payment fail|неопла|не оплач",
        "The order was not paid.",
        "Заказ не оплачен.",
    ),
    Reason(
        "unavailable",
        r"sold.?out|out.of.stock|cant.ship|can't ship|нет в наличии|не в наличии",
        "The store could not deliver it.",
        "Магазин не смог отправить товар.",
    ),
    Reason(
        "gift_card",
        r"gift|подароч",
        "Gift cards earn no cashback at this store.",
        "За подарочные карты этот магазин кешбэк не даёт.",
    ),
    Reason(
        "promo_code",
        r"promo|coupon|voucher|промокод|купон",
        "A promo code from elsewhere was used.",
        "Использован промокод из другого источника.",
    ),
    Reason(
        "other_site",
        r"other (site|source|channel|publisher)|last.click|overwr|attribut|друг(ой|ого) (сайт|источник)|перезапис",
        "Another site or extension was visited between our link and the purchase.",
        "Между нашей ссылкой и покупкой был переход с другого сайта или расширения.",
        claimable=True,
    ),
    Reason(
        "cookies",
        r"cookie|ad.?block|tracking|куки|блокиров",
        "Cookies or the link were blocked in the browser.",
        "В браузере были заблокированы cookie или сама ссылка.",
        claimable=True,
    ),
    Reason(
        "app_order",
        r"\bapp\b|mobile app|application|приложени",
        "Orders in the store's app do not count.",
        "Заказы в приложении магазина не учитываются.",
    ),
    Reason(
        "region",
        r"region|country|geo|регион|стран",
        "The store pays no cashback for this country or region.",
        "Для этой страны или региона магазин кешбэк не платит.",
    ),
    Reason(
        "category",
        r"categor|excluded|категор|исключ",
        "The store pays no cashback for this kind of thing.",
        "За такие товары магазин кешбэк не платит.",
    ),
    Reason(
        "reseller",
        r"resell|wholesale|legal entit|business customer|юр|опт|перепрод",
        "Purchases for resale or by companies do not count.",
        "Покупки для перепродажи и покупки организаций не учитываются.",
    ),
    Reason(
        "price_changed",
        r"price (was )?changed|цена измен|изменена цена",
        "The price was changed after the order.",
        "Цена была изменена после заказа.",
        claimable=True,
    ),
    Reason(
        "merchant_error",
        r"merchant error|technical|test order|ошибка|тестов",
        "The store reports a technical mistake.",
        "Магазин сообщает о технической ошибке.",
        claimable=True,
    ),
    Reason(
        "cancelled",
        r"cancel|отмен|не выкуп|невыкуп",
        "The order was cancelled.",
        "Заказ отменён.",
    ),
)
OTHER = Reason(
    "other",
    "",
    "The store declined the order and gave no reason we know.",
    "Магазин отклонил заказ и не назвал понятной причины.",
    claimable=True,
)
_BY_CODE = {reason.code: reason for reason in (*_TABLE, OTHER)}
_PATTERNS = [(reason, re.compile(reason.pattern, re.IGNORECASE)) for reason in _TABLE]

_CLAIM = {
    "en": "If that is not so, write to us until {until}: the click is your proof.",
    "ru": "Если это не так, напишите нам до {until}: переход по ссылке — ваше доказательство.",
}
_NOTHING = {"en": "There is nothing to do.", "ru": "Здесь ничего сделать нельзя."}


def code_of(text: str) -> str:
    """Our code for a network's words; `other` for words we do not know.

    >>> [code_of(t) for t in ("RETURNED_MERCHANDISE", "отменён покупателем", "xyz")]
    ['returned', 'cancelled', 'other']
    """
    words = text.replace("_", " ")
    return next((reason.code for reason, p in _PATTERNS if p.search(words)), OTHER.code)


def words(code: str, language: str = "en") -> str:
    """The reason as a sentence, in English or Russian."""
    reason = _BY_CODE.get(code, OTHER)
    return reason.ru if language == "ru" else reason.en


def claimable(code: str) -> bool:
    """True where a claim can help."""
    return _BY_CODE.get(code, OTHER).claimable


def advice(code: str, language: str = "en", until: str = "") -> str:
    """What can be done, as a sentence; `until` is the last day of a claim, "" where it is over."""
    language = language if language in _CLAIM else "en"
    if not until or not claimable(code):
        return _NOTHING[language]
    return _CLAIM[language].format(until=until)
