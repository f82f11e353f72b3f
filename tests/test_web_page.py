"""What the page shows: words, languages, money, orders. The page in a browser: test_browser.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lensback import colors
from lensback.speech import Speech
from lensback.web import views

WEB = Path(views.__file__).parent
EN, RU = Speech("en"), Speech("ru")


def offer(**changes: Any) -> dict[str, Any]:
    price = {"amount": "10.00", "currency": "EUR"}
    plain = {
        "offer_id": "x",
        "store": "harbour",
        "size": "M",
        "color": "red",
        "category": "Shoes",
        "price": price,
        "old_price": None,
        "cashback": {"amount": "0.00", "currency": "EUR", "up_to": True},
        "price_after_cashback": price,
        "availability": "in_stock",
        "disclosure": "",
        "link": "/go/x",
    }
    return {**plain, **changes}


def hit(
    name: str, *, exact: bool = False, after: str = "10.00", back: str = "0.00"
) -> dict[str, Any]:
    money = {"amount": after, "currency": "EUR"}
    cashback = {"amount": back, "currency": "EUR", "up_to": True}
    return {
        "product_id": name,
        "exact": exact,
        "offers": [offer(price_after_cashback=money, cashback=cashback)],
    }


def test_sizes_at_one_price_share_a_row() -> None:
    sizes = ["XL", "38", "S", "M", "", "9,5", "one size", "S"]
    (row,) = views.rows([offer(size=size, link=f"/go/{size}") for size in sizes], EN)
    assert row.sizes == "S, M, XL, 9,5, 38, one size"
    assert row.link == "/go/S"
    assert len(views.rows([offer(), offer(availability="out_of_stock")], EN)) == 2
    other = offer(price={"amount": "9.00", "currency": "EUR"})
    assert len(views.rows([offer(), other], EN)) == 2


def test_cashback_is_shown_where_there_is_some() -> None:
    assert views.rows([offer()], EN)[0].after == ""
    paid = offer(
        cashback={"amount": "1.50", "currency": "EUR", "up_to": True},
        price_after_cashback={"amount": "8.50", "currency": "EUR"},
    )
    (row,) = views.rows([paid], EN)
    assert (row.cashback, row.after, row.up_to) == ("€1.50", "€8.50", True)
    assert views.rows([paid], RU)[0].after == "8,50\u00a0€"


@pytest.mark.parametrize(
    ("amount", "currency", "english", "russian"),
    [
        ("1234567.50", "RUB", "RUB 1,234,567.50", "1 234 567,50 ₽"),
        ("900.00", "USD", "$900", "900 $"),
        ("1.500", "KWD", "KWD 1.500", "1,500 KWD"),
        ("500", "JPY", "¥500", "500 ¥"),
        ("5", "XXQ", "XXQ 5", "5 XXQ"),
    ],
)
def test_money_by_locale(amount: str, currency: str, english: str, russian: str) -> None:
    money = {"amount": amount, "currency": currency}
    assert re.sub(r"\s", " ", EN.money(money)) == english
    assert re.sub(r"\s", " ", RU.money(money)) == russian


@pytest.mark.parametrize(
    ("probability", "words"),
    [(1.0, "Almost certainly"), (0.8, "Very"), (0.5, "Probably"), (0.2, "Possibly"), (0, "look")],
)
def test_likelihood_in_words(probability: float, words: str) -> None:
    assert words in views.likelihood(probability)


def test_exact_hits_stay_first_in_every_order() -> None:
    hits = [hit("a", after="9.00"), hit("b", after="2.00"), hit("c", exact=True, after="50.00")]
    assert [h["product_id"] for h in views.in_order(hits, "best")] == ["a", "b", "c"]
    assert [h["product_id"] for h in views.in_order(hits, "price")] == ["c", "b", "a"]
    more = [hit("a", back="1.00"), hit("b", back="3.00"), hit("c")]
    assert [h["product_id"] for h in views.in_order(more, "cashback")] == ["b", "a", "c"]
    assert views.in_order([], "price") == []


def test_every_basic_color_has_a_word() -> None:
    assert tuple(views.COLORS) == colors.BASIC


def test_the_page_offers_the_likeliest_regions_and_the_whole_photo() -> None:
    boxes = [[n / 20, 0.1, n / 20 + 0.1, 0.5] for n in range(12)]
    regions = [{"box": box, "label": "top", "score": 0.5} for box in boxes]
    last = {"box": [0.0, 0.0, 1.0, 1.0], "label": "whole", "score": 0.01}
    parts = views._parts({"regions": [*regions, last], "region": boxes[1]}, EN)
    assert len(parts) == 9
    assert [part.label for part in parts[:2]] == ["top 1", "top 2"]
    assert [part.chosen for part in parts] == [n == 1 for n in range(9)]
    assert [part.whole for part in parts] == [False] * 8 + [True]
    (alone,) = views._parts({"regions": [last], "region": last["box"]}, EN)
    assert (alone.whole, alone.chosen) == (True, True)
