"""The promise of "exact": it holds by simulation, says when it cannot, and ends with what it was for."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lensback.checked import checked
from lensback.errors import StateError
from lensback.evaluate.promise import GRID, by_category, fewest, threshold
from lensback.promise import BROKEN, CERTIFIED, OPEN, Promise, Threshold, check
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
        assert "lensback promise" in caught.value.hint
