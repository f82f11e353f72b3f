"""The promise of "exact": it holds by simulation, says when it cannot, and ends with what it was for."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lensback.errors import StateError
from lensback.evaluate.promise import GRID, Judged, by_category, fewest, threshold
from lensback.promise import BROKEN, CERTIFIED, OPEN, Promise, Threshold, check, from_json

PROMISED = 0.05


class World:
    """Answers whose true chance of being wrong at any threshold is known."""

    def __init__(self, seed: int, sharpness: float) -> None:
        self.random = np.random.default_rng(seed)
        self.sharpness = sharpness

    def cases(self, n: int) -> list[Judged]:
        sure = self.random.random(n)
        right = self.random.random(n) < sure**self.sharpness
        return [Judged(float(p), bool(r)) for p, r in zip(sure, right, strict=True)]

    def wrong_from(self, bar: float) -> float:
        """Expected share wrong of the answers at least so sure: 1 minus the mean of p^s over
        [bar, 1]."""
        s = self.sharpness + 1
        return 1 - (1 - bar**s) / (s * (1 - bar))


@pytest.mark.parametrize(("sharpness", "n"), [(0.3, 900), (1.0, 600), (0.15, 500)])
def test_the_promise_is_kept_in_95_of_100_resamplings(sharpness: float, n: int) -> None:
    """A thousand calibration sets: how often is more than promised of what is called exact wrong?"""
    world = World(11, sharpness)
    certified, broken = 0, 0
    for _ in range(1000):
        found = threshold(world.cases(n), PROMISED)
        if found.threshold is not None:
            certified += 1
            broken += world.wrong_from(found.threshold) > PROMISED
    assert broken <= 1000 * PROMISED + 3 * math.sqrt(1000 * 0.05 * 0.95)
    if sharpness < 1:
        assert certified > 300, "a rule that never promises anything keeps every promise"


def test_too_few_cases_promise_nothing() -> None:
    assert fewest(PROMISED) == 59
    found = threshold([Judged(0.999, True)] * 58, PROMISED)
    assert (found.state, found.threshold) == (OPEN, None)
    assert threshold([Judged(0.999, True)] * 59, PROMISED).state == CERTIFIED
    nothing = threshold([], PROMISED)
    assert (nothing.state, nothing.threshold, nothing.upper) == (OPEN, None, None)


def test_what_is_often_wrong_is_never_exact() -> None:
    cases = [Judged(0.999, n % 3 > 0) for n in range(300)]
    found = threshold(cases, PROMISED)
    assert (found.state, found.threshold) == (BROKEN, None)
    assert made(found).exact_from((), 0.95) == math.inf


def test_the_grid_is_written_down_before() -> None:
    assert GRID[0] == 0.99
    assert list(GRID) == sorted(GRID, reverse=True)


def test_each_category_by_itself_where_there_is_enough() -> None:
    good = [Judged(0.999, True, ("Shoes",))] * 200
    bad = [Judged(0.999, n % 2 == 0, ("Bags",)) for n in range(200)]
    few = [Judged(0.999, True, ("Hats",))] * 99
    found = {each.name: each for each in by_category([*good, *bad, *few], PROMISED)}
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
    promise = replace(made(threshold([Judged(0.999, True)] * 90, PROMISED)), created_at="today")
    assert from_json(promise.as_json()) == promise


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
