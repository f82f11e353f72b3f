"""The ledger's pure sums: what is believed of news, their order, the money of a state; and the bodies
of the journal. No database."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

import shown
from lensback import wire
from lensback.errors import BadQuery, PostbackError
from lensback.ledger import reasons
from lensback.ledger.clicks import (
    checked_user,
    click_body,
    feedback_body,
    new_click_id,
    news_body,
    news_of,
    search_body,
)
from lensback.ledger.sale import (
    NOTHING,
    Sale,
    accounts_of,
    cashback_of,
    checked,
    digest,
    expected_at,
    in_order,
    share_of,
    state_of,
)
from lensback.types import Conversion, Money, Offer, StoredOffer

DAY = 86_400
WHOLE = Conversion(
    network="n",
    external_id="s1",
    status="approved",
    item="i",
    subid="c1",
    commission=Money(100, "EUR"),
    order_value=Money(1000, "EUR"),
    order_id="o",
    reason="r",
    ordered_at=5,
    changed_at=6,
)


def news(status: str, minor: int | None = None, at: int | None = None, **more: Any) -> Conversion:
    money = None if minor is None else Money(minor, more.pop("currency", "EUR"))
    return Conversion("n", "s1", status, commission=money, changed_at=at, **more)


# ---- what is believed


def test_clean_news_stay_as_they_are() -> None:
    assert checked(WHOLE) == WHOLE
    bare = Conversion("n", "s1", "pending")
    assert checked(bare) == bare


def test_text_is_cut_and_has_no_nul() -> None:
    long = replace(
        WHOLE, subid="\0" + "c" * 201, order_id="o" * 201, reason="\0" + "r" * 501, item="i\0"
    )
    assert checked(long) == replace(
        WHOLE, subid="c" * 200, order_id="o" * 200, reason="r" * 500, item="i"
    )
    named = replace(WHOLE, external_id="\0" + "x" * 200, item="y" * 200)
    assert checked(named) == replace(WHOLE, external_id="x" * 200, item="y" * 200)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"network": ""}, "the news has no network"),
        ({"external_id": ""}, "the news has no external_id"),
        ({"status": "stolen"}, "no such status: 'stolen'"),
        ({"status": "x" * 30}, f"no such status: '{'x' * 20}'"),
        ({"status": ""}, "no such status: ''"),
        ({"commission": Money(1, "eur")}, "not an amount: 1 'eur'"),
        ({"commission": Money(1, "EURO")}, "not an amount: 1 'EURO'"),
        ({"commission": Money(0, "")}, "not an amount: 0 ''"),
        ({"commission": Money(10**14, "EUR")}, "not an amount"),
        ({"commission": Money(-(10**14), "EUR")}, "not an amount"),
        ({"order_value": Money(10**14, "EUR")}, "not an amount"),
        ({"order_value": Money(1, "E")}, "not an amount"),
        ({"external_id": "x" * 201}, "the sale's id is too long"),
        ({"item": "x" * 201}, "the sale's id is too long"),
    ],
)
def test_what_makes_no_sense(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(PostbackError) as refused:
        checked(replace(WHOLE, **change))
    assert refused.value.message.startswith(reason)


def test_the_largest_amounts() -> None:
    most = replace(WHOLE, commission=Money(10**14 - 1, "EUR"), order_value=Money(1 - 10**14, "RUB"))
    assert checked(most) == most


# ---- one digest for one news


def test_every_field_is_in_the_digest() -> None:
    changes: list[dict[str, Any]] = [
        {"network": "m"},
        {"external_id": "s2"},
        {"status": "paid"},
        {"item": ""},
        {"subid": ""},
        {"commission": None},
        {"commission": Money(101, "EUR")},
        {"commission": Money(100, "USD")},
        {"order_value": None},
        {"order_value": Money(1000, "USD")},
        {"order_value": Money(100, "EUR"), "commission": Money(1000, "EUR")},
        {"order_id": ""},
        {"reason": ""},
        {"ordered_at": None},
        {"ordered_at": 0},
        {"changed_at": None},
        {"ordered_at": 6, "changed_at": 5},
        {"network": "s1", "external_id": "n"},
    ]
    names = [digest(WHOLE), digest(WHOLE, "payout")]
    names += [digest(replace(WHOLE, **change)) for change in changes]
    assert len(set(names)) == len(names)
    assert digest(replace(WHOLE)) == digest(WHOLE) == digest(WHOLE, "news")


def test_a_digest_never_changes() -> None:
    """It is kept in the database: another digest of the same news would count it twice."""
    parts = ["news", "n", "s1", "i", "approved", "c1", [100, "EUR"], [1000, "EUR"], "o", "r", 5, 6]
    wanted = hashlib.blake2b(json.dumps(parts).encode(), digest_size=32).hexdigest()
    assert digest(WHOLE) == wanted
    assert len(wanted) == 64


# ---- the order of news: each of these stands before the next

IN_ORDER = [
    # Pending takes back no decision without a time, nor one of its own time or later.
    news("pending", None, None),
    news("pending", 5, 0),
    # Without a time before those with one; then the later state, then the smaller commission.
    news("approved", None, None),
    news("approved", 200, None),
    news("approved", 100, None),
    news("approved", -100, None),
    news("declined", None, None),
    news("paid", 50, None),
    news("paid", 50, 0),
    news("approved", 100, 1),
    news("paid", 900, 1),
    news("pending", 100, 2),
    news("approved", 100, 2),
    news("pending", 100, 3),
]


def test_news_stand_in_one_order() -> None:
    for start in range(len(IN_ORDER)):
        assert in_order([*IN_ORDER[start:], *IN_ORDER[:start]]) == IN_ORDER
    assert in_order(reversed(IN_ORDER)) == IN_ORDER
    # The state decides, not the digest behind it: whatever else the news say.
    for at, other in itertools.product((None, 5), "abcde"):
        states = ("pending", "approved", "declined", "paid")
        told = [news(state, 100, at, order_id=other) for state in states]
        assert in_order(reversed(told)) == told
    a, b = news("paid", 1, 1, order_id="a"), news("paid", 1, 1, order_id="b")
    assert in_order([a, b]) == in_order([b, a]) == sorted([a, b], key=digest)


# ---- what a set of news tells


def test_no_news() -> None:
    assert state_of([]) == Sale()
    bare = Sale()
    assert (bare.status, bare.subid, bare.commission) == ("pending", "", NOTHING)
    assert (bare.order_value, bare.order_id, bare.reason) == (None, "", "")
    assert (bare.ordered_at, bare.changed_at) == (None, None)
    assert Money(0, "") == NOTHING


def test_one_news() -> None:
    sale = state_of([WHOLE])
    money = {"commission": Money(100, "EUR"), "order_value": Money(1000, "EUR")}
    wanted = Sale("approved", "c1", **money, order_id="o", reason="", ordered_at=5, changed_at=6)
    assert sale == wanted
    assert state_of([replace(WHOLE, status="declined")]) == replace(
        wanted, status="declined", reason="r"
    )


def test_what_later_news_tell_counts_and_what_they_leave_out_stays() -> None:
    later = Conversion("n", "s1", "declined", changed_at=7, reason="")
    sale = state_of([WHOLE, later])
    assert sale == Sale(
        "declined", "c1", Money(100, "EUR"), Money(1000, "EUR"), "o", "r", 5, changed_at=7
    )
    amended = replace(
        later,
        status="approved",
        commission=Money(90, "USD"),
        order_value=Money(900, "USD"),
        order_id="o2",
        ordered_at=0,
        subid="c2",
    )
    assert state_of([WHOLE, amended]) == Sale(
        "approved", "c1", Money(90, "USD"), Money(900, "USD"), "o2", "", 0, changed_at=7
    )
    # The first click that is named keeps the sale: later news move it to nobody else.
    lost = replace(WHOLE, subid="", changed_at=1)
    assert state_of([lost, amended]).subid == "c2"


def test_the_time_of_a_state_is_the_last_that_was_told() -> None:
    assert state_of([news("pending", at=5), news("approved")]) == Sale("approved", changed_at=5)


def test_a_commission_of_nothing_is_told() -> None:
    zero = news("approved", 0, 9)
    assert state_of([news("approved", 100, 1), zero]).commission == Money(0, "EUR")


@pytest.mark.parametrize(
    ("states", "ends"),
    [
        (("pending", "approved"), "approved"),
        (("approved", "pending"), "pending"),
        (("declined", "pending"), "pending"),
        (("declined", "pending", "approved"), "approved"),
        (("declined", "pending", "declined"), "declined"),
        (("paid", "pending"), "paid"),
        (("paid", "declined", "pending"), "pending"),
        (("approved", "declined"), "declined"),
        (("declined", "approved"), "approved"),
        (("paid", "approved"), "paid"),
        (("approved", "paid"), "paid"),
        (("paid", "declined"), "declined"),
        (("paid", "declined", "approved"), "approved"),
        (("paid", "pending", "approved"), "paid"),
    ],
)
def test_the_state_after_states(states: tuple[str, ...], ends: str) -> None:
    told = [news(status, 100, at) for at, status in enumerate(states, 1)]
    for order in itertools.permutations(told):
        assert state_of([*order, order[0]]).status == ends


# ---- shares


@pytest.mark.parametrize(
    ("share", "is_"),
    [
        ("0.6", Fraction(3, 5)),
        ("1/3", Fraction(1, 3)),
        (0, 0),
        ("1.0001", 1),
        ("-0.0001", 0),
        (None, 0),
        ("", 0),
        ([], 0),
        ("nan", 0),
        ("1/0", 0),
        ("1e999999999", 0),
    ],
)
def test_the_share_of_a_click(share: Any, is_: Any) -> None:
    assert share_of({"share": share}) == is_
    assert share_of({"other": share}) == 0


@pytest.mark.parametrize(
    ("minor", "share", "back"),
    [
        (1001, "0.6", 600),
        (-1001, "0.6", -600),
        (1, "0.999", 0),
        (-1, "0.999", 0),
        (3, "1/3", 1),
        (5, "1", 5),
        (5, "0", 0),
        (0, "1", 0),
    ],
)
def test_a_share_is_cut_towards_zero(minor: int, share: str, back: int) -> None:
    assert cashback_of(Money(minor, "JPY"), Fraction(share)) == Money(back, "JPY")


@pytest.mark.parametrize(
    ("ordered", "clicked", "hold", "expected"),
    [
        (1000, 5, 30, 1000 + 30 * DAY),
        (0, 5, 30, 30 * DAY),
        (None, 5, "30", 5 + 30 * DAY),
        (None, 0, 1, DAY),
        (None, None, 30, None),
        (1000, 5, 0, None),
        (1000, 5, -1, None),
        (1000, 5, None, None),
        (1000, 5, "soon", None),
        (1000, 5, [], None),
    ],
)
def test_when_the_hold_ends(
    ordered: int | None, clicked: int | None, hold: Any, expected: int | None
) -> None:
    sale = Sale(ordered_at=ordered)
    assert expected_at(sale, clicked, {"hold_days": hold}) == expected
    assert expected_at(sale, clicked, {}) is None


# ---- accounts


@pytest.mark.parametrize(
    ("status", "theirs", "ours", "asset"),
    [
        ("pending", "cashback_pending", "share_pending", "commission_pending"),
        ("approved", "cashback_due", "our_share", "commission_due"),
        ("paid", "cashback_due", "our_share", "commission_received"),
    ],
)
def test_the_accounts_of_a_state(status: str, theirs: str, ours: str, asset: str) -> None:
    sale = Sale(status, commission=Money(100, "EUR"))
    assert accounts_of(sale, Money(60, "EUR")) == {
        (asset, "EUR"): 100,
        (theirs, "EUR"): -60,
        (ours, "EUR"): -40,
    }
    assert accounts_of(sale, None) == {(asset, "EUR"): 100, ("aside", "EUR"): -100}
    assert accounts_of(sale, Money(0, "EUR")) == {(asset, "EUR"): 100, (ours, "EUR"): -100}
    assert accounts_of(sale, Money(100, "EUR")) == {(asset, "EUR"): 100, (theirs, "EUR"): -100}
    back = Sale(status, commission=Money(-100, "EUR"))
    assert accounts_of(back, Money(-60, "EUR"))[theirs, "EUR"] == 60


def test_declined_and_nothing_hold_nothing() -> None:
    for cashback in (None, Money(60, "EUR")):
        assert accounts_of(Sale("declined", commission=Money(100, "EUR")), cashback) == {}
    assert accounts_of(Sale("approved"), Money(0, "")) == {}
    assert accounts_of(Sale("approved"), None) == {}


def test_payouts_move_what_is_due() -> None:
    sale = Sale("paid", commission=Money(100, "EUR"))
    assert accounts_of(sale, Money(60, "EUR"), {"EUR": 60, "RUB": 7, "USD": 0}) == {
        ("commission_received", "EUR"): 100,
        ("our_share", "EUR"): -40,
        ("cashback_paid", "EUR"): -60,
        ("cashback_due", "RUB"): 7,
        ("cashback_paid", "RUB"): -7,
    }
    again = replace(sale, status="pending")
    for paid, left, owed in ((20, -40, 0), (60, 0, 0), (75, 0, 15)):
        held = accounts_of(again, Money(60, "EUR"), {"EUR": paid})
        assert held["cashback_pending", "EUR"] == left
        assert (held["cashback_paid", "EUR"], held["cashback_due", "EUR"]) == (-paid, owed)
    declined = Sale("declined", commission=Money(100, "EUR"))
    assert accounts_of(declined, Money(60, "EUR"), {"EUR": 60}) == {
        ("cashback_due", "EUR"): 60,
        ("cashback_paid", "EUR"): -60,
    }


# ---- reasons

THEIR_WORDS = {
    "duplicate": "DUPLICATED_ORDER|дубль заказа",
    "fraud": "Fraudulent|NON_COMPLIANCE|violation of terms|мошенничество|фрод|нарушение правил",
    "returned": "RETURNED_MERCHANDISE|refunded|возврат",
    "unpaid": "Unpaid|not paid|NONPAYMENT|non-payment|INVALID_CREDIT_CARD|bad debt|payment failed|неоплачен|не оплачен",
    "unavailable": "SOLD_OUT|soldout|out of stock|CANT_SHIP|can't ship|нет в наличии|не в наличии",
    "gift_card": "gift card|подарочный сертификат",
    "promo_code": "promo|coupon|VOUCHER|чужой промокод|купон",
    "other_site": "other site|OTHER_SOURCE|other channel|other publisher|last click|overwritten|attribution"
    "|другой сайт|другого источника|перезаписан",
    "cookies": "cookies off|ad blocker|adblock|tracking lost|куки|заблокировано",
    "app_order": "order by app|APP_ORDER|mobile application|в приложении",
    "region": "wrong region|COUNTRY_NOT_ALLOWED|geo|регион|страна доставки",
    "category": "CATEGORY|excluded item|категория|исключён",
    "reseller": "reseller|wholesale|LEGAL_ENTITY|business customer|юрлицо|оптом|перепродажа",
    "price_changed": "price changed|PRICE_WAS_CHANGED|цена изменилась|изменена цена",
    "merchant_error": "MERCHANT_ERROR|technical|test order|ошибка|тестовый",
    "cancelled": "CANCELLED|booking cancel|отменён|не выкуплен|невыкуп",
    "other": "|xyz|apparel|Happened",
}
CLAIMABLE = {"fraud", "other_site", "cookies", "price_changed", "merchant_error", "other"}


@pytest.mark.parametrize("code", sorted(THEIR_WORDS))
def test_their_words(code: str) -> None:
    for words in THEIR_WORDS[code].split("|"):
        assert reasons.code_of(words) == reasons.code_of(words.upper()) == code, words
    assert reasons.claimable(code) is (code in CLAIMABLE)


def test_the_first_reason_in_the_table_wins() -> None:
    assert reasons.code_of("order cancelled: duplicate") == "duplicate"


def test_a_code_that_nobody_knows_is_other() -> None:
    for words in (reasons.text_of, reasons.claimable):
        assert words("strange") == words("other")
    texts = {code: reasons.text_of(code) for code in THEIR_WORDS}
    assert len(set(texts.values())) == len(texts)
    assert all(re.fullmatch(r"[A-Z][^.]+\.", text) for text in texts.values())


def test_what_can_be_done() -> None:
    def say(text: str, **values: str) -> str:
        return f"<{text.format(**values)}>"

    claim = "<If that is not so, claim it until 2026-01-02: the click is your proof.>"
    assert reasons.advice("cookies", "2026-01-02", say) == claim
    for code, until in (("cookies", ""), ("returned", "2026-01-02"), ("returned", "")):
        assert reasons.advice(code, until, say) == "<There is nothing to do.>"


# ---- bodies of the journal

HAT = StoredOffer("o1", "hats", "p1", Offer("1", "Hat", "https://h.example", Money(1000, "EUR")))


def test_a_click_by_itself() -> None:
    assert click_body("c1", HAT, at=5, source="go") == {
        "click_id": "c1",
        "at": 5,
        "source": "go",
        "offer_id": "o1",
        "product_id": "p1",
        "store": "hats",
        "search_id": "",
        "network": "",
        "program_id": "",
        "terms": {},
        "price_minor": 1000,
        "currency": "EUR",
        "estimate_minor": None,
        "user_token": "",
    }


def test_a_click_with_all_that_it_may_say() -> None:
    terms = {"share": "0.5"}
    body = click_body(
        "c1",
        replace(HAT, product_id=None),
        at=5,
        source="api",
        search_id="s" * 8,
        user_token="u" * 8,
        network="awin",
        program_id="7",
        terms=terms,
        estimate=Money(50, "EUR"),
    )
    assert (body["product_id"], body["search_id"], body["user_token"]) == ("", "s" * 8, "u" * 8)
    assert (body["network"], body["program_id"], body["estimate_minor"]) == ("awin", "7", 50)
    assert body["terms"] == terms
    assert body["terms"] is not terms
    none = click_body("c1", HAT, at=5, source="go", estimate=Money(50, "USD"))
    assert none["estimate_minor"] is None
    zero = click_body("c1", HAT, at=5, source="go", estimate=Money(0, "EUR"))
    assert zero["estimate_minor"] == 0


@pytest.mark.parametrize(
    ("search_id", "kept"),
    [
        ("s" * 7, False),
        ("s" * 8, True),
        ("a_-Z0123", True),
        ("s" * 32, True),
        ("s" * 33, False),
        ("search id", False),
        ("ü" * 9, False),
        ("", False),
    ],
)
def test_a_search_that_a_click_names(search_id: str, kept: bool) -> None:
    body = click_body("c1", HAT, at=5, source="go", search_id=search_id)
    assert body["search_id"] == (search_id if kept else "")


@pytest.mark.parametrize("token", ["", "a" * 8, "a" * 128, "aZ09._~-"])
def test_a_user_token(token: str) -> None:
    assert checked_user(token) == token
    assert click_body("c1", HAT, at=5, source="go", user_token=token)["user_token"] == token


@pytest.mark.parametrize("token", ["a" * 7, "a" * 129, "a b c d e", "a@b.example", "ü" * 9])
def test_no_user_token(token: str) -> None:
    with pytest.raises(BadQuery, match="not a user token"):
        checked_user(token)
    with pytest.raises(BadQuery):
        click_body("c1", HAT, at=5, source="go", user_token=token)


def test_click_ids() -> None:
    ids = {new_click_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch("[0-9a-zA-Z]{22}", one) for one in ids)
    letters = set("".join(ids))
    assert len(letters) == 62


def answer(*hits: wire.Hit, **more: Any) -> wire.Answer:
    given = {
        "region": (0.1, 0.2, 0.6, 0.4),
        "encoder": "eye",
        "snapshot": "7",
        "search_id": "s1",
        "probability": 0.25,
        "timings_ms": {"total": 12.5},
        "photo": wire.Photo(width=640, height=480),
    }
    return shown.answer(*hits, **{**given, **more})


def hit(product: str, offers: int, similarity: float, probability: float) -> wire.Hit:
    made = (shown.offer(f"{product}-{n}") for n in range(offers))
    return shown.hit(*made, product_id=product, similarity=similarity, probability=probability)


def test_what_a_search_showed() -> None:
    two = answer(hit("p1", 2, 0.9, 0.123456), hit("p2", 1, 0.8, 0.1))
    body = search_body(two, at=5, source="api")
    assert body == {
        "search_id": "s1",
        "at": 5,
        "source": "api",
        "encoder": "eye",
        "snapshot": "7",
        "verdict": "similar",
        "probability": 0.25,
        "similarity": 0.9,
        "latency_ms": 12.5,
        "shown": 2,
        "hits": [
            ["p1", ["p1-0", "p1-1"], 1, 0.1235, False, "00"],
            ["p2", ["p2-0"], 2, 0.1, False, "00"],
        ],
        "filters": {},
        "photo": {
            "width": 640,
            "height": 480,
            "region_share": 0.1,
            "calibrated": two.calibrated,
            "nothing": False,
            "left_out": False,
            "regions": 0,
            "total": two.total,
            "region": [0.1, 0.2, 0.6, 0.4],
            "things": [],
        },
        "variant": "",
    }
    more = search_body(
        answer(timings_ms={}, region=(0.0, 0.0, 0.33333, 1.0)),
        at=5,
        source="page",
        filters={"stores": ["a"]},
        photo={"bytes": 9},
        variant="b",
    )
    assert (more["similarity"], more["latency_ms"], more["shown"]) == (None, 0.0, 0)
    assert (more["filters"], more["variant"]) == ({"stores": ["a"]}, "b")
    assert more["photo"] == {
        "width": 640,
        "height": 480,
        "region_share": 0.3333,
        "calibrated": two.calibrated,
        "nothing": False,
        "left_out": False,
        "regions": 0,
        "total": two.total,
        "region": [0.0, 0.0, 0.3333, 1.0],
        "things": [],
        "bytes": 9,
    }
    many = search_body(answer(hit("p1", 50, 0.9, 0.5)), at=5, source="api")
    assert many["hits"][0][1] == [f"p1-{n}" for n in range(40)]
    assert json.loads(json.dumps(body)) == body


def test_votes_and_news_of_the_journal() -> None:
    wanted = {"search_id": "s", "product_id": "p", "vote": -1, "at": 5}
    assert feedback_body("s", "p", -1, 5) == wanted
    for one in (WHOLE, Conversion("n", "s1", "pending"), news("approved", 0)):
        body = news_body(one, at=5, source="postback")
        assert (body["at"], body["source"]) == (5, "postback")
        assert news_of(json.loads(json.dumps(body))) == one
