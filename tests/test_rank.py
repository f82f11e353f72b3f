from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from lensback import rank
from lensback.rank import Calibration
from lensback.types import Candidate, Money, Offer, StoredOffer


def stored(
    n: int, price: int, currency: str = "USD", availability: str = "in_stock"
) -> StoredOffer:
    made = Offer(
        str(n), "t", "https://x.example", Money(price, currency), availability=availability
    )
    return StoredOffer(f"o{n}", "shop", "p1", made)


def test_best_image_of_each_product_and_its_lead() -> None:
    found = [Candidate("a", 0.9), Candidate("b", 0.8), Candidate("c", 0.7), Candidate("d", 0.6)]
    shows = {"a": ["p1"], "b": ["p1"], "c": ["p2", "p3"]}
    ranked = rank.by_product(found, shows)
    assert [r.product_id for r in ranked] == ["p1", "p2", "p3"]
    assert [round(r.margin, 3) for r in ranked] == [0.2, -0.2, -0.2]
    assert ranked[0].image_hash == "a"


def test_the_only_product_has_no_evidence_of_a_lead() -> None:
    (only,) = rank.by_product([Candidate("a", 0.4)], {"a": ["p"]})
    assert only.margin == 0.0
    assert rank.by_product([], {}) == []


def test_what_a_filter_left_out_still_competes() -> None:
    everything = rank.by_product(
        [Candidate("a", 0.9), Candidate("b", 0.8)], {"a": ["p1"], "b": ["p2"]}
    )
    (alone,) = rank.by_product([Candidate("b", 0.8)], {"b": ["p2"]}, everything)
    assert round(alone.margin, 3) == -0.1
    (best,) = rank.by_product([Candidate("a", 0.9)], {"a": ["p1"]}, everything)
    assert round(best.margin, 3) == 0.1


def test_probability_rises_with_similarity_and_margin() -> None:
    c = Calibration("f", -10, 10, 20, 0.2)
    assert c.probability(0.9, 0.3) > c.probability(0.8, 0.3) > c.probability(0.8, 0.1)
    assert math.isclose(c.probability(1.0, 0.0), 0.5)
    assert 0 <= Calibration("f", 1e9, 0, 0, 0).probability(1, 1) <= 1


def test_in_stock_first_then_price_in_the_preferred_currency() -> None:
    rows = [
        stored(1, 100, availability="out_of_stock"),
        stored(2, 900),
        stored(3, 500, "RUB"),
        stored(4, 800),
        stored(5, 400, "EUR"),
    ]
    assert [s.offer_id for s in rank.in_order(rows, "USD")] == ["o4", "o2", "o5", "o3", "o1"]
    assert [s.offer_id for s in rank.in_order(rows)] == ["o5", "o3", "o4", "o2", "o1"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 99), st.booleans())))
def test_order_is_total_and_loses_nothing(rows: list[tuple[int, int, bool]]) -> None:
    made = [
        stored(n, price, availability="in_stock" if stock else "preorder")
        for n, (_, price, stock) in enumerate(rows)
    ]
    ordered = rank.in_order(reversed(made))
    assert ordered == rank.in_order(made)
    assert sorted(s.offer_id for s in ordered) == sorted(s.offer_id for s in made)
    prices = [s.offer.price.minor for s in ordered if s.offer.availability == "in_stock"]
    assert prices == sorted(prices)
