"""What the page shows: words, languages, money, orders. The page in a browser: test_browser.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lensback import colors, rank, verdicts, wire
from lensback.search import Query
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


def test_a_store_has_one_line_with_its_sizes() -> None:
    sizes = ["XL", "38", "S", "M", "", "9,5", "one size", "s "]
    (line,) = views.offer_lines([offer(size=size, link=f"/go/{size}") for size in sizes], EN)
    assert [chip.size for chip in line.chips] == ["S", "M", "XL", "9,5", "38", "one size"]
    assert line.chips[0].link == "/go/S"
    assert line.link == "/go/XL"  # the first in a shopper's order


def test_an_offer_that_nobody_can_be_sent_to_has_a_sentence_and_no_link() -> None:
    lost = {"reachable": False, "no_cashback": "no_link", "price": euro(1500)}
    (line,) = views.offer_lines([offer(size="S"), offer(size="M", **lost)], EN)
    assert (line.no_way, line.link) == ("", "/go/x")
    assert [chip.link for chip in line.chips] == ["/go/x", ""]
    assert not line.dearer_sizes, "what nobody can buy is no price to begin from"
    for speech in (EN, RU):
        shown = views.card(hit(offer(**lost)), speech)
        assert shown.sold_out
        assert (shown.lines[0].link, shown.lines[0].why_not) == ("", "")
        assert shown.lines[0].no_way == speech.say(verdicts.NO_WAY)
    assert EN.say(verdicts.NO_WAY) != RU.say(verdicts.NO_WAY)


@pytest.mark.parametrize(
    "changes",
    [
        {"availability": "out_of_stock"},
        {"price": euro(1200)},
        {"old_price": euro(2000)},
        {"back": 100},
        {"disclosure": "Ad."},
    ],
    ids=str,
)
def test_whatever_differs_a_store_is_one_line(changes: dict[str, Any]) -> None:
    (line,) = views.offer_lines([offer(size="S"), offer(size="M", **changes)], EN)
    assert [chip.size for chip in line.chips] == ["S", "M"]
    assert line.price == "€10"
    assert line.chips[1].in_stock == ("availability" not in changes)
    assert line.chips[1].price == ("€12" if "price" in changes else "")
    assert line.dearer_sizes == ("price" in changes)
    assert line.disclosure == changes.get("disclosure", "")


def test_the_best_of_several_stores_is_marked() -> None:
    def best(*offers: Any) -> list[str]:
        return [line.store for line in views.offer_lines(offers, EN) if line.best]

    dear, cheap = offer(price=euro(1200)), offer(store="pier")
    assert best(cheap, dear) == ["pier"]
    assert best(offer(store="pier", price=euro(1200), back=300), offer()) == ["pier"]
    assert best(cheap) == []  # nothing to compare it with
    lost = offer(store="quay", price=euro(500), reachable=False)
    assert best(cheap, dear, lost) == ["pier"]
    assert best(cheap, lost) == [], "nobody can buy the other"
    gone = offer(store="quay", price=euro(500), availability="out_of_stock")
    assert best(cheap, dear, gone) == ["pier"]
    assert best(cheap, gone) == []
    assert best(cheap, offer(price=Money(1, "USD"))) == []  # no rate, no comparison


def test_a_discount_is_whole_percent_and_never_negative() -> None:
    cases = [(euro(2000), 50), (euro(1001), 0), (euro(900), 0), (None, 0), (euro(3000), 66)]
    for old, percent in cases:
        (line,) = views.offer_lines([offer(old_price=old)], EN)
        assert line.discount == percent


def test_the_filters_of_an_answer_in_words() -> None:
    query = Query(
        stores=("pier",),
        category="Shoes",
        price_max="50",
        currency="EUR",
        color="red",
        order="price",
        sizes=("M",),
        brands=("Marlo",),
        discount=20,
    )
    assert views.filter_words(query, EN) == (
        "pier",
        "Shoes",
        "Marlo",
        "Size M",
        "From 20 % off",
        "Price to 50 EUR",
        "red",
        "Cheapest first",
    )
    assert views.filter_words(Query(in_stock=True), RU) == ("Только в наличии",)
    assert views.filter_words(Query(), EN) == ()


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
    assert words in verdicts.likelihood(probability)


def test_exact_hits_stay_first_in_every_order() -> None:
    hits = [
        named("a", price=euro(900)),
        named("b", price=euro(200)),
        named("c", exact=True, price=euro(5000)),
    ]
    assert [h.product_id for h in rank.hits_in_order(hits, "best")] == ["a", "b", "c"]
    assert [h.product_id for h in rank.hits_in_order(hits, "price")] == ["c", "b", "a"]
    more = [named("a", back=100), named("b", back=300), named("c")]
    assert [h.product_id for h in rank.hits_in_order(more, "cashback")] == ["b", "a", "c"]
    assert rank.hits_in_order([], "price") == []


def test_orders_compare_money_exactly_and_only_of_one_currency() -> None:
    huge = 2**60  # two amounts that are one as floating point
    hits = [
        named("a", price=euro(huge + 1)),
        named("b", price=euro(huge)),
        named("c", price=Money(1, "USD")),
    ]
    assert [h.product_id for h in rank.hits_in_order(hits, "price")] == ["b", "a", "c"]
    digits = [named("a", price=Money(900, "KWD")), named("b", price=Money(899, "KWD"))]
    assert [h.product_id for h in rank.hits_in_order(digits, "price")] == ["b", "a"]


def test_orders_compare_currencies_where_they_were_converted() -> None:
    hits = [
        named("a", price=euro(5900)),
        named("b", price=Money(6000, "USD"), converted=euro(5500)),
        named("c", price=Money(7000, "USD"), converted=euro(6400), back=3500),
    ]
    assert [h.product_id for h in rank.hits_in_order(hits, "price")] == ["b", "a", "c"]
    assert rank.hits_in_order(hits, "cashback")[0].product_id == "c"


def test_what_is_sold_out_gives_way() -> None:
    gone, here = {"availability": "out_of_stock"}, {"exact": True}
    another = hit(offer("d"), product_id="d", title="Cap", image="/images/01")
    hits = [named("a", exact=True, **gone), named("b", **here), named("c", **gone), another]
    assert [h.product_id for h in rank.hits_in_order(hits, "best")] == ["b", "a", "c", "d"]
    assert [h.product_id for h in rank.hits_in_order(hits, "price")] == ["b", "a", "d", "c"]


def test_every_basic_color_has_a_word() -> None:
    assert tuple(views.COLORS) == colors.BASIC


def test_the_page_offers_the_likeliest_regions_and_the_whole_photo() -> None:
    boxes = [(n / 20, 0.1, n / 20 + 0.1, 0.5) for n in range(12)]
    regions = [Region(box=box, label="top", score=0.5) for box in boxes]
    last = Region(box=WHOLE, label="whole", score=0.01)
    found = answer(regions=(*regions, last), region=boxes[1])
    choices, _ = views.region_choices(found, EN)
    assert len(choices) == 9
    assert [choice.label for choice in choices[:2]] == ["top 1", "top 2"]
    assert [choice.chosen for choice in choices] == [n == 1 for n in range(9)]
    assert [choice.whole for choice in choices] == [False] * 8 + [True]
    (alone,), _ = views.region_choices(answer(regions=(last,), region=WHOLE), EN)
    assert (alone.whole, alone.chosen) == (True, True)


def test_no_name_stands_twice_among_the_parts_and_what_is_behind_more() -> None:
    boxes = [(n / 20, 0.1, n / 20 + 0.1, 0.5) for n in range(6)]
    labels = ("shoes", "bag", "shoes", "shoes", "bag", "hat")
    regions = [Region(box=b, label=w, score=0.5) for b, w in zip(boxes, labels, strict=True)]
    last = Region(box=WHOLE, label="whole", score=0.01)
    found = answer(regions=(*regions[:2], last), region=boxes[0], more_regions=tuple(regions[1:]))
    parts, more = views.region_choices(found, EN)
    assert [one.label for one in parts] == ["shoes", "bag", "the whole photo"]
    assert [one.label for one in more] == ["shoes 2", "shoes 3", "bag 2", "hat"]


def test_the_view_of_an_answer() -> None:
    rows = [offer("a", color="dark red/blue", store="pier"), offer("b", color="red", category="")]
    last = Region(box=WHOLE, label="whole", score=1)
    facets = wire.Facets(stores=(wire.Facet(value="pier", products=2),))
    shown = {
        "total": 30,
        "facets": facets,
        "rates_on": "2026-11-27",
        "regions": (last,),
        "probability": 0.97,
        "verdict": "exact",
    }
    found = answer(hit(*rows, exact=True), named("c", store="pier"), **shown)
    view = views.answer_view(found, EN)
    assert (len(view.exact), len(view.similar)) == (1, 1)
    assert (view.stores, view.sizes) == (("pier",), ())
    assert (view.shown, view.total, view.more) == (2, 30, True)
    assert view.rates_on == "Nov 27, 2026"
    assert view.sentence == "This very product: 2 things."
    assert view.headline == "This very product"
    plain = views.answer_view(answer(named("c"), regions=(last,), calibrated=False), EN)
    assert (plain.explanation, plain.similar[0].likelihood) == (verdicts.UNMEASURED, "")
