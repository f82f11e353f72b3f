"""The lines of "none": right values, by hand."""

from __future__ import annotations

import pytest

from lensback.lines import COMMON_WORTH, ENOUGH, FEW, LOST, OnSale, drawn

BAG, TOP = frozenset({"bag"}), frozenset({"top"})


def rising(low: float, count: int, kinds: frozenset[str] = frozenset()) -> list[OnSale]:
    """So many, from `low` on, a thousandth apart."""
    return [OnSale(low + n / 1000, kinds) for n in range(count)]


def test_so_much_of_what_is_on_sale_lies_below_the_common_line() -> None:
    lines = drawn(rising(0.5, 1001), [])
    assert LOST == 0.015
    assert lines.common == pytest.approx(0.515)
    assert dict(lines.of_kind) == {}


@pytest.mark.parametrize("count", [20, 30, 60, 300])
def test_a_kinds_line_is_nearer_to_its_own_evidence_the_more_there_is(count: int) -> None:
    """Shirts all at .8, so many; a thousand other things at .5 draw the common line."""
    sold = [OnSale(0.5)] * 1000 + [OnSale(0.8, TOP)] * count
    lines = drawn(sold, [])
    assert lines.common == pytest.approx(0.5)
    assert lines.of_kind == {"top": pytest.approx(0.5 + 0.3 * count / (count + COMMON_WORTH))}


def test_a_kind_may_lie_below_the_common_line() -> None:
    lines = drawn([*[OnSale(0.7, TOP)] * 9000, *[OnSale(0.4, BAG)] * 30], [])
    assert lines.common == pytest.approx(0.7)
    assert lines.of_kind["bag"] == pytest.approx(0.7 - 0.3 / 2)


def test_too_few_of_a_kind_have_no_line_of_their_own() -> None:
    sold = [*rising(0.5, 50), *rising(0.8, ENOUGH - 1, TOP)]
    assert dict(drawn(sold, []).of_kind) == {}
    assert set(drawn([*sold, OnSale(0.8, TOP)], []).of_kind) == {"top"}


def test_of_what_is_filed_under_two_kinds_neither_learns() -> None:
    lines = drawn([*rising(0.5, 50), *rising(0.8, 50, BAG | TOP)], [])
    assert dict(lines.of_kind) == {}


def test_no_line_lies_above_half_of_the_siblings() -> None:
    sold = [*[OnSale(0.55)] * 20, *[OnSale(0.9, TOP)] * 100]
    lines = drawn(sold, [0.5, 0.6, 0.7])
    assert (lines.common, lines.of_kind["top"]) == (pytest.approx(0.55), pytest.approx(0.6))
    assert drawn([OnSale(0.9)] * 20, [0.5, 0.6, 0.7]).common == pytest.approx(0.6)


def test_with_too_little_on_sale_siblings_draw_the_line() -> None:
    siblings = [n / 100 for n in range(101)]
    assert drawn(rising(0.9, FEW - 1), siblings).common == pytest.approx(0.01)
    assert drawn(rising(0.4, FEW), siblings).common == pytest.approx(0.4, abs=1e-3)
    assert drawn([], []).common == -1.0
