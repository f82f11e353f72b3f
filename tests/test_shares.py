"""Shares of the report, over outcomes that are written out, each worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lensback.evaluate.shares import (
    Share,
    misled,
    of_hundred,
    seen,
    seen_first,
    told_none,
    wrong_exact,
)
from outcomes import EVERY, SOLD, asked


def test_what_counts_for_the_report() -> None:
    first, _, fifth, _, none, _, _, _ = SOLD
    assert seen_first(first)
    assert not seen_first(replace(first, verdict="none")), "nothing is shown"
    assert not seen_first(fifth)
    assert seen(fifth)
    assert seen(replace(fifth, rank=12)), "the first screen has twelve"
    assert not seen(replace(fifth, rank=13))
    assert not seen(none)
    assert not seen(replace(none, rank=1)), "nothing is shown"
    assert [o.photo for o in EVERY if misled(o)] == ["11.jpg"]
    assert [o.photo for o in EVERY if told_none(o)] == ["5.jpg", "9.jpg", "13.jpg"]
    assert [o.photo for o in EVERY if wrong_exact(o)] == ["4.jpg", "11.jpg"]


def test_a_share_of_photos_of_few_things_is_less_sure() -> None:
    outcomes = [asked(n, f"p{n // 2}", rank=1 if n < 6 else 2) for n in range(8)]
    share = Share.of(outcomes, seen_first)
    assert (share.hits, share.n, share.value) == (6, 8, 0.75)
    assert share.effective == pytest.approx(3.0)
    # Wilson of 2.25 of 3, wider than that of 6 of 8 (0.4093 to 0.9285).
    assert (share.low, share.high) == pytest.approx((0.2561, 0.9632), abs=5e-5)
    plain = Share.plain(6, 8)
    assert (plain.low, plain.high) == pytest.approx((0.4093, 0.9285), abs=5e-5)
    assert plain.as_json() == {"hits": 6, "n": 8, "share": 0.75, "low": 0.4093, "high": 0.9285}


def test_photos_that_name_no_thing_are_things_by_themselves() -> None:
    outcomes = [asked(n, f"p{n}", cluster="", rank=1 + n % 2) for n in range(8)]
    assert Share.of(outcomes, seen_first).effective == 8.0


def test_a_share_of_nothing_is_not_known() -> None:
    share = Share.of([], seen)
    assert not share.known
    assert (share.low, share.high) == (0.0, 1.0)
    assert share.as_json() == {"hits": 0, "n": 0, "share": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([1 / 3, 1 / 3, 1 / 3], [34, 33, 33]),
        ([0.999, 0.0, 0.001], [99, 0, 1]),
        ([0.5, 0.5, 0.0], [50, 50, 0]),
        ([0.125, 0.875], [13, 87]),
    ],
)
def test_a_hundred_people_are_a_hundred(parts: list[float], whole: list[int]) -> None:
    assert of_hundred(parts) == whole
    assert sum(whole) == 100
