"""What the page shows: words, languages, money, orders. The page in a browser: test_browser.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lensback import colors
from lensback.speech import Speech
from lensback.types import WHOLE, Money
from lensback.web import views
from lensback.wire import Hit, Region
from shown import answer, hit, offer

WEB = Path(views.__file__).parent
EN, RU = Speech("en"), Speech("ru")


def named(name: str, **changes: Any) -> Hit:
    """A hit of one offer."""
    exact = changes.pop("exact", False)
    return hit(offer(name, **changes), product_id=name, exact=exact)


def euro(minor: int) -> Money:
    return Money(minor, "EUR")


def test_sizes_at_one_price_share_a_line() -> None:
    sizes = ["XL", "38", "S", "M", "", "9,5", "one size", "S"]
    (line,) = views.offer_lines([offer(size=size, link=f"/go/{size}") for size in sizes], EN)
    assert line.sizes == "S, M, XL, 9,5, 38, one size"
    assert line.link == "/go/S"


@pytest.mark.parametrize(
    "changes",
    [
        {"availability": "out_of_stock"},
        {"price": euro(900)},
        {"old_price": euro(2000)},
        {"back": 100},
        {"store": "pier"},
        {"disclosure": "Ad."},
    ],
    ids=str,
)
def test_what_differs_in_more_than_the_size_has_its_own_line(changes: dict[str, Any]) -> None:
    assert len(views.offer_lines([offer(), offer(**changes)], EN)) == 2


def test_cashback_is_shown_where_there_is_some() -> None:
    assert views.offer_lines([offer()], EN)[0].after == ""
    paid = offer(back=150)
    (line,) = views.offer_lines([paid], EN)
    assert (line.cashback, line.after, line.up_to) == ("€1.50", "€8.50", True)
    assert views.offer_lines([paid], RU)[0].after == "8,50\u00a0€"
    (unsure,) = views.offer_lines([offer(availability="unknown")], EN)
    assert (unsure.availability, unsure.in_stock) == ("Check at the store", False)
    (certain,) = views.offer_lines([offer(back=150, up_to=False)], EN)
    assert not certain.up_to


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
    hits = [
        named("a", price=euro(900)),
        named("b", price=euro(200)),
        named("c", exact=True, price=euro(5000)),
    ]
    assert [h.product_id for h in views.in_order(hits, "best")] == ["a", "b", "c"]
    assert [h.product_id for h in views.in_order(hits, "price")] == ["c", "b", "a"]
    more = [named("a", back=100), named("b", back=300), named("c")]
    assert [h.product_id for h in views.in_order(more, "cashback")] == ["b", "a", "c"]
    assert views.in_order([], "price") == []


def test_orders_compare_money_exactly_and_only_of_one_currency() -> None:
    huge = 2**60  # two amounts that are one as floating point
    hits = [
        named("a", price=euro(huge + 1)),
        named("b", price=euro(huge)),
        named("c", price=Money(1, "USD")),
    ]
    assert [h.product_id for h in views.in_order(hits, "price")] == ["b", "a", "c"]
    digits = [named("a", price=Money(900, "KWD")), named("b", price=Money(899, "KWD"))]
    assert [h.product_id for h in views.in_order(digits, "price")] == ["b", "a"]


def test_every_basic_color_has_a_word() -> None:
    assert tuple(views.COLORS) == colors.BASIC


def test_the_page_offers_the_likeliest_regions_and_the_whole_photo() -> None:
    boxes = [(n / 20, 0.1, n / 20 + 0.1, 0.5) for n in range(12)]
    regions = [Region(box=box, label="top", score=0.5) for box in boxes]
    last = Region(box=WHOLE, label="whole", score=0.01)
    found = answer(regions=(*regions, last), region=boxes[1])
    choices = views.region_choices(found, EN)
    assert len(choices) == 9
    assert [choice.label for choice in choices[:2]] == ["top 1", "top 2"]
    assert [choice.chosen for choice in choices] == [n == 1 for n in range(9)]
    assert [choice.whole for choice in choices] == [False] * 8 + [True]
    (alone,) = views.region_choices(answer(regions=(last,), region=WHOLE), EN)
    assert (alone.whole, alone.chosen) == (True, True)


def test_the_view_of_an_answer() -> None:
    rows = [offer("a", color="dark red/blue", store="pier"), offer("b", color="red", category="")]
    last = Region(box=WHOLE, label="whole", score=1)
    shown = {"regions": (last,), "probability": 0.97, "verdict": "exact"}
    found = answer(hit(*rows, exact=True), named("c", store="pier"), **shown)
    view = views.answer_view(found, EN)
    assert (len(view.exact), len(view.similar)) == (1, 1)
    assert view.stores == ("pier", "harbour")
    assert view.categories == ("Shoes",)
    assert view.colors == ("red", "blue")
    assert (view.total_ms, view.timings) == (20.0, "decode 1.4 ms")
    assert view.headline == "This very product"
    plain = views.answer_view(answer(named("c"), regions=(last,), calibrated=False), EN)
    assert (plain.explanation, plain.similar[0].likelihood) == (views.UNMEASURED, "")
