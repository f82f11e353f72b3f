from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from lensback import rank
from lensback.rank import Calibration, Ranked
from lensback.types import Candidate, Money
from lensback.wire import Hit, Offer
from lensback.wire.numbers import Cashback
from shown import hit, offer


def stored(
    n: int, price: int, currency: str = "USD", availability: str = "in_stock", cashback: int = 0
) -> Offer:
    return offer(f"o{n}", price=Money(price, currency), availability=availability, back=cashback)


def test_the_price_after_cashback_is_never_below_nothing() -> None:
    ten = Money(1000, "EUR")
    assert rank.price_after_cashback(ten, Cashback(250, "EUR")) == Money(750, "EUR")
    assert rank.price_after_cashback(ten, Cashback(1000, "EUR")) == Money(0, "EUR")
    assert rank.price_after_cashback(ten, Cashback(1001, "EUR")) == Money(0, "EUR")


def test_the_order_is_by_what_the_shopper_pays_in_the_end() -> None:
    dear, cheap = (
        offer("a", price=Money(1000, "EUR"), back=300),
        offer("b", price=Money(800, "EUR")),
    )
    assert [one.offer_id for one in rank.in_order([cheap, dear])] == ["a", "b"]


def test_offers_that_are_alike_are_folded_in_the_order_of_the_first() -> None:
    made = [
        offer(str(n), size=size, store=store)
        for n, (size, store) in enumerate(["Sa", "Mb", "La", "Sa"])
    ]
    groups = rank.folded(made, lambda one: one.store)
    assert [[one.offer_id for one in group] for group in groups] == [["0", "2", "3"], ["1"]]
    assert [rank.sizes(group) for group in groups] == ["S, L", "M"]
    assert rank.sizes([offer(), offer(size="M")]) == "M"


def shown_hit(name: str, title: str, *, here: bool, image: str = "", color: str = "") -> Hit:
    stock = "in_stock" if here else "out_of_stock"
    one = offer(name, availability=stock, color=color)
    return hit(one, product_id=name, title=title, image=f"/images/{image or name}")


def order_of(*hits: Hit) -> str:
    return "".join(one.product_id for one in rank.hits_in_order(hits, "best"))


def test_a_look_alike_that_is_sold_out_gives_way_to_the_same_thing_in_stock() -> None:
    a = shown_hit("a", "Red shirt", here=False, image="A")
    b = shown_hit("b", "Blue hat", here=True)
    c = shown_hit("c", "RED  Shirt", here=True)
    assert order_of(a, b, c) == "cab"
    assert order_of(b, a, c) == "bca"
    assert order_of(a, b, shown_hit("c", "Shirt", here=True, image="A")) == "cab", "one picture"
    assert order_of(a, b, shown_hit("c", "Shirt", here=True)) == "abc", "another thing"
    assert order_of(a, b, shown_hit("c", "Red shirt", here=False)) == "abc", "sold out, too"
    colors = [
        shown_hit(n, "Shirt", here=n == "c", image="1", color=c)
        for n, c in (("a", "red"), ("c", "blue"))
    ]
    assert order_of(*colors) == "ac", "in another colour it is another thing"
    far = [shown_hit(str(n), f"Hat {n}", here=True) for n in range(rank.LOOK_AHEAD)]
    assert order_of(a, *far, c) == "a0123c", "what is not like it any more is not taken for it"
    exact = [one.model_copy(update={"exact": True}) for one in (a, b)]
    assert order_of(*exact, c) == "bac", "exact ones stay among themselves"


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.booleans()), max_size=16),
    st.integers(1, 16),
)
def test_no_more_hits_need_be_read_than_a_page_and_the_look_ahead(
    things: list[tuple[str, bool]], end: int
) -> None:
    hits = [shown_hit(str(n), title, here=here) for n, (title, here) in enumerate(things)]
    whole = rank.hits_in_order(hits, "best")
    assert sorted(one.product_id for one in whole) == sorted(one.product_id for one in hits)
    assert rank.hits_in_order(hits[: end + rank.LOOK_AHEAD], "best")[:end] == whole[:end]


def test_amounts_that_nobody_can_compare_stand_last() -> None:
    def cost(name: str, price: Money, converted: Money | None = None) -> Hit:
        return hit(offer(name, price=price, converted=converted), product_id=name)

    hits = [
        cost("a", Money(100, "JPY")),  # no rate; the best match all the same
        cost("b", Money(900, "USD")),
        cost("c", Money(40_000, "RUB"), Money(500, "USD")),
        cost("d", Money(1, "XAF")),
    ]
    assert [one.product_id for one in rank.hits_in_order(hits, "price")] == ["c", "b", "a", "d"]


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


def test_a_product_competes_with_its_best_picture_of_the_whole_catalogue() -> None:
    """A filter that leaves p1 its second best picture does not make p2 more likely."""
    rivals = [Ranked("p1", "a", 0.9, 0.05)]
    shows = {"b": ["p1"], "c": ["p2"]}
    ranked = rank.by_product([Candidate("b", 0.8), Candidate("c", 0.85)], shows, rivals)
    assert [(r.product_id, r.similarity) for r in ranked] == [("p2", 0.85), ("p1", 0.8)]
    assert [round(r.margin, 3) for r in ranked] == [-0.05, -0.05]
    # A rival that is worse than the candidate changes nothing.
    worse = [Ranked("p1", "a", 0.1, 0.0)]
    ranked = rank.by_product([Candidate("b", 0.8), Candidate("c", 0.85)], shows, worse)
    assert [round(r.margin, 3) for r in ranked] == [0.05, -0.05]
    # ... and is the best of all even where it is worse than nothing.
    (only,) = rank.by_product([Candidate("b", -1.5)], shows)
    assert (only.similarity, only.margin) == (-1.5, 0.0)


def test_the_best_rival_counts_in_whatever_order_rivals_come() -> None:
    rivals = [Ranked("a", "x", 0.3, 0), Ranked("z", "y", 0.7, 0), Ranked("b", "v", 0.4, 0)]
    for order in (rivals, rivals[::-1]):
        (middle,) = rank.by_product([Candidate("m", 0.5)], {"m": ["p"]}, order)
        assert round(middle.margin, 3) == -0.2


def test_equal_candidates_are_told_apart_by_hash_not_by_chance() -> None:
    two = [Candidate("b", 0.5), Candidate("a", 0.5)]
    for order in (two, two[::-1]):
        ranked = rank.by_product(order, {"a": ["p2"], "b": ["p1"]})
        assert [(r.product_id, r.image_hash, r.margin) for r in ranked] == [
            ("p2", "a", 0.0),
            ("p1", "b", 0.0),
        ]


def test_probability_by_hand() -> None:
    """z = bias + 10 similarity + 20 margin: 0, 1, -2; and cut at 60 on either side."""
    c = Calibration("f", -10, 10, 20, 0.2)
    assert c.probability(0.8, 0.1) == 0.5
    assert math.isclose(c.probability(0.9, 0.1), math.e / (1 + math.e))
    assert math.isclose(c.probability(0.7, 0.05), 1 / (1 + math.e**2))
    assert c.probability(1e9, 0) == 1 / (1 + math.exp(-60))
    assert c.probability(-1e9, 0) == 1 / (1 + math.exp(60))


def test_a_calibration_tells_all_it_holds() -> None:
    assert Calibration("f", -10.0, 10.0, 20.0, 0.2).as_json() == {
        "fingerprint": "f",
        "bias": -10.0,
        "similarity_weight": 10.0,
        "margin_weight": 20.0,
        "none_below": 0.2,
        "cases": 0,
        "kind": "",
        "images": 0,
        "created_at": "",
        "reference": (),
        "held_out": None,
        "none_below_of": {},
    }


def test_the_line_of_a_picture_is_that_of_its_kind() -> None:
    """The lowest of several; the common one where a kind has none, and where nothing is known."""
    c = Calibration("f", 0, 0, 0, 0.5, none_below_of={"bag": 0.4, "top": 0.6})
    assert [c.line(["bag"]), c.line(["top"]), c.line(["bag", "top"])] == [0.4, 0.6, 0.4]
    assert [c.line(["hat"]), c.line(["hat", "top"]), c.line([])] == [0.5, 0.5, 0.5]
    assert len({c, Calibration("f", 0, 0, 0, 0.5)}) == 2, "promises are remembered by calibrations"


def test_cashback_moves_an_offer_ahead_of_a_cheaper_one() -> None:
    rows = [stored(1, 900), stored(2, 1000, cashback=101), stored(3, 1000, cashback=100)]
    assert [s.offer_id for s in rank.in_order(rows, "USD")] == ["o2", "o1", "o3"]


def test_probability_rises_with_similarity_and_margin() -> None:
    c = Calibration("f", -10, 10, 20, 0.2)
    assert c.probability(0.9, 0.3) > c.probability(0.8, 0.3) > c.probability(0.8, 0.1)
    assert math.isclose(c.probability(1.0, 0.0), 0.5)
    assert 0 <= Calibration("f", 1e9, 0, 0, 0).probability(1, 1) <= 1


def test_what_may_be_in_stock_stands_before_what_is_not() -> None:
    states = ["preorder", "out_of_stock", "unknown", "in_stock"]
    rows = [stored(n, 100 + n, availability=state) for n, state in enumerate(states)]
    ordered = [one.availability for one in rank.in_order(rows, "USD")]
    assert ordered == ["in_stock", "unknown", "preorder", "out_of_stock"], "the last two by price"


def test_what_nobody_can_be_sent_to_stands_last_however_cheap() -> None:
    lost = offer("lost", price=Money(1, "EUR"), reachable=False)
    rows = [
        lost,
        offer("sold", availability="out_of_stock"),
        offer("dear", price=Money(9000, "EUR")),
    ]
    assert [one.offer_id for one in rank.in_order(rows)] == ["dear", "sold", "lost"]
    for order in ("price", "cashback"):
        hits = [hit(lost, product_id="a"), hit(offer("dear"), product_id="b")]
        assert [one.product_id for one in rank.hits_in_order(hits, order)] == ["b", "a"]


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
    assert rank.offer_key(rows[1], "USD") == (False, 0, False, "USD", 900, "o2")
    assert rank.offer_key(rows[0], "EUR") == (False, 2, True, "USD", 100, "o1")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 99), st.booleans())))
def test_order_is_total_and_loses_nothing(rows: list[tuple[int, int, bool]]) -> None:
    made = [
        stored(n, price, availability="in_stock" if stock else "preorder")
        for n, (_, price, stock) in enumerate(rows)
    ]
    ordered = rank.in_order(reversed(made))
    assert ordered == rank.in_order(made)
    assert sorted(s.offer_id for s in ordered) == sorted(s.offer_id for s in made)
    prices = [s.price.minor for s in ordered if s.availability == "in_stock"]
    assert prices == sorted(prices)
