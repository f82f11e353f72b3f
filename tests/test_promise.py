"""The promise of "exact": it holds by simulation, says when it cannot, and ends with what it was for."""

from __future__ import annotations

import doctest
import math
from dataclasses import replace

import pytest
from scipy import stats

from lensback import promise as promises
from lensback.checked import checked
from lensback.errors import StateError
from lensback.evaluate import promise as certifying
from lensback.evaluate.promise import GRID, by_category, threshold
from lensback.promise import BROKEN, CERTIFIED, OPEN, Promise, Threshold, check, fewest
from lensback.questions import Outcome

PROMISED = 0.05
CATEGORIES = {"shoe": ("Shoes",), "bag": ("Bags",), "hat": ("Hats",)}


def case(probability: float, right: bool, first: str = "") -> Outcome:
    return Outcome(probability=probability, first_right=right, first=first)


def test_too_few_cases_promise_nothing() -> None:
    assert fewest(PROMISED) == 59
    found = threshold([case(0.999, True)] * 58, PROMISED)
    assert (found.state, found.threshold) == (OPEN, None)
    assert threshold([case(0.999, True)] * 59, PROMISED).state == CERTIFIED
    nothing = threshold([], PROMISED)
    assert (nothing.state, nothing.threshold, nothing.upper) == (OPEN, None, None)


def test_what_is_often_wrong_is_never_exact() -> None:
    cases = [case(0.999, n % 3 > 0) for n in range(300)]
    found = threshold(cases, PROMISED)
    assert (found.state, found.threshold) == (BROKEN, None)
    assert made(found).exact_from((), 0.95) == math.inf


def test_the_grid_is_written_down_before() -> None:
    assert GRID[0] == 0.99
    assert list(GRID) == sorted(GRID, reverse=True)


def test_each_category_by_itself_where_there_is_enough() -> None:
    good = [case(0.999, True, "shoe")] * 200
    bad = [case(0.999, n % 2 == 0, "bag") for n in range(200)]
    few = [case(0.999, True, "hat")] * 99
    found = {each.name: each for each in by_category([*good, *bad, *few], CATEGORIES, PROMISED)}
    assert {name: each.state for name, each in found.items()} == {
        "Shoes": CERTIFIED,
        "Bags": BROKEN,
    }
    promise = replace(made(threshold(good, PROMISED)), categories=tuple(found.values()))
    assert promise.certified_for({"Shoes"})
    assert not promise.certified_for({"Bags"})
    assert promise.certified_for({"Hats"}), "too few of its own: the threshold of all counts"
    assert promise.exact_from({"Bags", "Shoes"}, 0.95) == math.inf, "the strictest counts"


def made(overall: Threshold) -> Promise:
    return Promise(0.05, 0.95, "eye", "cal", tuple("abcdefghij"), 10, "s", "views", 300, overall)


def test_it_survives_being_written() -> None:
    promise = replace(made(threshold([case(0.999, True)] * 90, PROMISED)), created_at="today")
    assert checked(Promise, promise.as_json(), "", hint="") == promise


def test_it_ends_with_encoder_calibration_or_catalogue() -> None:
    promise = made(Threshold("", CERTIFIED, 0.9, 100, 0, 0.03))
    known = {"fingerprint": "eye", "calibration": "cal", "catalogue": tuple("abcdefghij")}
    check(promise, **known)
    for name, value in (
        ("fingerprint", "other"),
        ("calibration", "other"),
        ("catalogue", tuple("abcdeXYZWV")),
    ):
        with pytest.raises(StateError) as caught:
            check(promise, **{**known, name: value})
        assert caught.value.hint == "run: lensback promise"


def test_the_docstrings_are_true() -> None:
    assert doctest.testmod(promises).failed == 0
    assert doctest.testmod(certifying).failed == 0


# ---- thresholds by hand


def test_the_lowest_threshold_that_holds_is_taken() -> None:
    found = threshold([case(0.9, True)] * 100 + [case(0.5, False)] * 100, PROMISED)
    # 100 right at 0.9, and from 0.50 on a hundred wrong ones: 0.51 is the last that holds.
    assert (found.state, found.threshold, found.answers, found.wrong) == (CERTIFIED, 0.51, 100, 0)
    assert found.upper == pytest.approx(0.0295130, abs=1e-7)  # 1 - 0.05^(1/100)
    sure = threshold([case(0.995, True)] * 59, PROMISED)
    assert sure.threshold == GRID[-1] == 0.2


def test_a_threshold_that_fails_ends_the_sequence() -> None:
    cases = [case(0.95, True)] * 60 + [case(0.9, False)] * 10 + [case(0.8, True)] * 2000
    found = threshold(cases, PROMISED)
    # Plenty of cases: it starts where 118 are said, at 0.80, and there it holds.
    assert (found.threshold, found.wrong) == (0.2, 10)
    few = threshold(cases[:230], PROMISED)
    # Fewer than four times 59: it starts with the 60, and ends at 0.90.
    assert (few.threshold, few.answers, few.wrong) == (0.91, 60, 0)


def test_a_lower_threshold_that_would_hold_again_is_not_reached() -> None:
    """0 of 60 wrong at .95 (at most .049), 4 of 64 at .90 (.137), 4 of 234 at .80 (.039 again)."""
    cases = [case(0.95, True)] * 60 + [case(0.9, False)] * 4 + [case(0.8, True)] * 170
    found = threshold(cases, PROMISED)
    assert (found.threshold, found.answers, found.wrong) == (0.91, 60, 0)


@pytest.mark.parametrize(("rest", "found"), [(165, 0.98), (166, None)])
def test_plenty_are_four_times_the_fewest(rest: int, found: float | None) -> None:
    """60 right ones first, then 10 wrong: 235 cases start with the 60, 236 with 118 of them."""
    cases = [case(0.99, True)] * 60 + [case(0.97, False)] * 10 + [case(0.9, True)] * rest
    assert threshold(cases, PROMISED).threshold == found


def test_what_has_no_probability_is_not_exact() -> None:
    unsure = [Outcome(first_right=False)] * 100
    found = threshold([case(0.99, True)] * 59 + unsure, PROMISED)
    assert (found.state, found.answers, found.wrong) == (CERTIFIED, 59, 0)
    nothing = threshold(unsure, PROMISED)
    assert (nothing.state, nothing.answers, nothing.wrong) == (OPEN, 0, 0)


def test_a_threshold_is_met_by_what_equals_it() -> None:
    assert threshold([case(0.99, True)] * 59, PROMISED).answers == 59
    assert threshold([case(0.19, True)] * 500, PROMISED).state == OPEN


@pytest.mark.parametrize(("wrong", "state"), [(3, OPEN), (6, OPEN), (8, BROKEN)])
def test_what_speaks_against_it_is_more_than_doubt(wrong: int, state: str) -> None:
    cases = [case(0.999, n >= wrong) for n in range(60)]
    found = threshold(cases, PROMISED)
    # Lower bounds of 95 %: of 3 of 60 0.0138, of 6 0.0444, of 8 0.0683.
    assert (found.state, found.threshold, found.answers, found.wrong) == (state, None, 60, wrong)
    # Clopper, Pearson 1934: the upper bound is a quantile of Beta(wrong + 1, right).
    assert found.upper == pytest.approx(stats.beta.ppf(0.95, wrong + 1, 60 - wrong))


def test_how_many_answers_it_takes() -> None:
    # 0.95^58 = 0.0510 is too likely, 0.95^59 = 0.0485 is not; 0.9^28 = 0.0523, 0.9^29 = 0.0471.
    assert (fewest(0.05), fewest(0.1), fewest(0.05, 0.9)) == (59, 29, 45)
    assert threshold([case(0.999, True)] * 45, PROMISED, 0.9).state == CERTIFIED
    assert threshold([case(0.999, True)] * 29, 0.1).state == CERTIFIED


def test_a_category_takes_a_hundred_answers_named_by_what_was_first() -> None:
    shoes = [case(0.999, True, "shoe")] * 99
    assert by_category(shoes, CATEGORIES, PROMISED) == ()
    (found,) = by_category([*shoes, case(0.999, False, "shoe")], CATEGORIES, PROMISED)
    assert (found.name, found.answers, found.wrong) == ("Shoes", 100, 1)
    both = by_category([case(0.999, True, "set")] * 100, {"set": ("Bags", "Shoes")}, PROMISED)
    assert [each.name for each in both] == ["Bags", "Shoes"]
    assert by_category([case(0.999, True, "stranger")] * 200, CATEGORIES, PROMISED) == ()


def test_one_outcome_a_product_with_it_or_without() -> None:
    pairs = [
        Outcome(product=p if there else "", cluster=p)
        for p in (f"p{n:03}" for n in range(400))
        for there in (True, False)
    ]
    found = certifying._one_each(pairs, seed=1)
    assert [each.cluster for each in found] == [f"p{n:03}" for n in range(400)]
    assert 160 < sum(each.present for each in found) < 240
    assert found == certifying._one_each(pairs[::-1][::-1], seed=1)
    assert found != certifying._one_each(pairs, seed=2)


def test_a_third_of_the_products_fits_the_calibration() -> None:
    third = sum(certifying._third(f"p{n}") for n in range(3000))
    assert 920 < third < 1080
    # SHA-256 of a, b, c, d begins with 202, 62, 46, 24: 24 is a multiple of three.
    assert [certifying._third(name) for name in "abcd"] == [False, False, False, True]


def test_a_product_and_one_of_its_images_by_chance() -> None:
    views = {f"p{n}": [f"{n}a", f"{n}b"] for n in range(50)}
    found = certifying._sample(views, seed=1)
    assert [product for product, _ in found] == sorted(views)
    assert all(image in views[product] for product, image in found)
    assert {image[-1] for _, image in found} == {"a", "b"}
    assert found == certifying._sample(views, seed=1) != certifying._sample(views, seed=2)


@pytest.mark.parametrize(
    ("n", "wrong", "state"),
    [(0, 0, "nothing exact"), (58, 0, "open"), (59, 0, "kept"), (60, 6, "open"), (60, 8, "broken")],
)
def test_the_promise_looked_at_again(n: int, wrong: int, state: str) -> None:
    upper = certifying.metrics.upper_bound(wrong, n)
    lower = certifying.metrics.lower_bound(wrong, n)
    assert certifying._state(n, upper, lower, PROMISED) == state


# ---- what is kept of it


SHOES = Threshold("Shoes", CERTIFIED, 0.7, 100, 0, 0.03)
BAGS = Threshold("Bags", BROKEN, None, 100, 20, 0.3)
HATS = Threshold("Hats", OPEN, None, 100, 4, 0.09)


def kept(overall: Threshold) -> Promise:
    return replace(made(overall), categories=(SHOES, BAGS, HATS))


def test_the_threshold_of_a_hit_is_its_strictest() -> None:
    promise = kept(Threshold("", CERTIFIED, 0.8, 300, 0, 0.01))
    assert promise.exact_from((), 0.95) == 0.8
    assert promise.exact_from({"Shoes"}, 0.95) == 0.7
    assert promise.exact_from({"Hats"}, 0.95) == 0.8, "open: that of all counts"
    assert promise.exact_from({"Hats", "Shoes"}, 0.95) == 0.7
    assert promise.exact_from({"Bags", "Shoes"}, 0.95) == math.inf
    assert promise.exact_from({"Coats"}, 0.95) == 0.8
    assert kept(Threshold("", OPEN, None, 9, 0, 0.3)).exact_from({"Hats"}, 0.95) == 0.95
    assert kept(Threshold("", BROKEN, None, 99, 9, 0.3)).exact_from((), 0.95) == math.inf


def test_a_hit_is_promised_only_where_all_of_its_categories_are() -> None:
    promise = kept(Threshold("", CERTIFIED, 0.8, 300, 0, 0.01))
    assert promise.certified_for(())
    assert promise.certified_for({"Shoes"})
    assert not promise.certified_for({"Shoes", "Bags"}), "all of them, not any"
    assert promise.certified_for({"Hats"})
    assert promise.certified_for({"Hats", "Shoes"})
    doubted = kept(Threshold("", OPEN, None, 9, 0, 0.3))
    assert not doubted.certified_for(())
    assert not doubted.certified_for({"Hats"})
    assert doubted.certified_for({"Shoes"})


def test_nine_of_ten_images_in_common_are_one_catalogue() -> None:
    known = [f"{n:02}" for n in range(20)]
    promise = replace(made(SHOES), catalogue=tuple(known))

    def looked_at(*images: str) -> None:
        check(promise, fingerprint="eye", calibration="cal", catalogue=images)

    looked_at(*known)
    looked_at(*known[:18])  # 18 of 20: exactly nine of ten
    with pytest.raises(StateError, match="85% of its images"):
        looked_at(*known[:17])
    with pytest.raises(StateError, match="catalogue changed"):
        looked_at(*known[:18], "x")


def test_two_full_sketches_are_compared_by_the_smallest_of_both() -> None:
    assert (promises.SKETCH, promises.LIKE) == (256, 0.9)
    a = [f"{n:04}" for n in range(0, 512, 2)]
    b = [f"{n:04}" for n in range(0, 1024, 4)]
    # Of the 256 smallest of both, 0 … 510 by two, every other one is in b.
    assert promises.resemblance(a, b) == 0.5
    assert promises.resemblance(b, a) == 0.5
    # A full sketch ends at 255: what the smaller catalogue has beyond is not known of the other.
    full = [f"{n:04}" for n in range(256)]
    small = [f"{n:04}" for n in (*range(200), *range(300, 311))]
    assert promises.resemblance(full, small) == promises.resemblance(small, full) == 200 / 256
    few = [f"{n:04}" for n in range(10)]
    assert promises.resemblance(few, few[:5]) == 0.5
    assert promises.resemblance(few, []) == 0.0
