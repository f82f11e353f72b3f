"""The question engine on small arrays: what is held out, what is near, what is said, whether it is right."""

from __future__ import annotations

import doctest
from dataclasses import replace

import numpy as np
import pytest

from lensback import questions
from lensback.questions import (
    GONE,
    LOOKALIKES,
    MISLED,
    MISSED,
    RIGHT,
    UNDETECTED,
    WRONG_COLOUR,
    WRONG_PRODUCT,
    Gallery,
    Outcome,
    ShownProduct,
    askable,
    judge,
    nearest,
    said,
    twice,
    with_copies,
)
from lensback.rank import Calibration

NAMES = ["bag", "hat", "shoe"]


def test_the_docstrings_are_true() -> None:
    assert doctest.testmod(questions).failed == 0


# ---- what is held out


def test_all_copies_go_with_a_picture() -> None:
    copies = {"a": {"a2", "a3"}, "c": {"c2"}}
    assert with_copies(["a", "b"], copies) == {"a", "a2", "a3", "b"}
    assert with_copies([], copies) == set()


def test_only_a_picture_that_leaves_another_view_is_asked() -> None:
    views = {"shoe": ["front", "side"], "hat": ["one"], "bag": ["x", "y"]}
    copies = {"x": {"y"}, "y": {"x"}}
    assert askable(views, copies) == {"shoe": ["front", "side"]}
    # The front is shown twice: with either of them both go, and the side is left.
    views = {"shoe": ["front", "front again", "side"]}
    copies = {"front": {"front again"}, "front again": {"front"}}
    assert askable(views, copies) == {"shoe": ["front", "front again", "side"]}


# ---- what is near


def test_a_gallery_answers_with_the_nearest_picture_of_each_product() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [0.8, 0.6]], np.float32)
    gallery = Gallery(vectors, ["shoe", "hat", "shoe", "bag"])
    assert gallery.products == NAMES
    assert gallery.place.tolist() == [2, 1, 2, 0]
    queries = np.array([[1, 0], [0, 1]], np.float32)
    assert gallery.best(queries) == pytest.approx(np.array([[0.8, 0, 1], [0.6, 1, 0.8]]))
    hidden = np.array([[True, False, False, False], [False, True, False, False]])
    found = gallery.best(queries, hidden)
    assert found == pytest.approx(np.array([[0.8, 0, 0.6], [0.6, GONE, 0.8]]))
    assert vectors[0].tolist() == [1, 0], "nothing of the gallery is changed"


def test_the_first_its_margin_and_the_rank_of_the_right_one() -> None:
    found = nearest([0.7, 0.9, 0.8], NAMES, "bag")
    assert (found.product, found.cluster, found.relevant) == ("bag", "bag", 1)
    assert (found.first, found.similarity, found.rank) == ("hat", 0.9, 3)
    assert found.margin == pytest.approx(0.1)
    assert not found.first_right
    first = nearest([0.7, 0.9, 0.8], NAMES, "hat")
    assert (first.rank, first.first_right) == (1, True)


@pytest.mark.parametrize("right", ["hat", "shoe"])
def test_a_tie_with_a_wrong_one_counts_against_us(right: str) -> None:
    found = nearest([0.7, 0.9, 0.9], NAMES, right)
    assert (found.rank, found.first_right, found.margin) == (2, False, 0.0)


def test_what_is_held_out_is_neither_first_nor_second() -> None:
    found = nearest([0.7, GONE, GONE], NAMES, "bag")
    assert (found.first, found.margin, found.rank) == ("bag", 0.0, 1), "no other: no evidence"
    gone = nearest([0.7, GONE, 0.5], NAMES, "hat")
    assert (gone.first, gone.rank, gone.present) == ("bag", None, True)
    assert gone.margin == pytest.approx(0.2)
    nothing = nearest([GONE] * 3, NAMES, "hat")
    assert (nothing.first, nothing.similarity, nothing.rank) == ("", None, None)
    assert nearest([], [], "hat").similarity is None


def test_what_is_sold_but_not_found_is_a_miss_and_no_stranger() -> None:
    found = nearest([0.7], ["bag"], "hat")
    assert (found.present, found.rank, found.first_right) == (True, None, False)
    stranger = nearest([0.7], ["bag"], "", "hat")
    assert (stranger.present, stranger.cluster, stranger.relevant) == (False, "hat", 0)


def test_each_question_is_asked_with_its_product_there_and_without() -> None:
    best = np.array([0.7, 0.9, 0.8], np.float32)
    there, without = twice(best, NAMES, 1)
    assert (there.product, there.first, there.first_right) == ("hat", "hat", True)
    assert (without.product, without.first, without.first_right) == ("", "shoe", False)
    assert without.margin == pytest.approx(0.1)
    assert there.cluster == without.cluster == "hat"
    assert best.tolist() == pytest.approx([0.7, 0.9, 0.8]), "the answer itself is not changed"


def test_a_product_held_out_comes_behind_whatever_is_left() -> None:
    _, without = twice(np.array([-0.1, 0.9, -0.4], np.float32), NAMES, 1)
    assert (without.first, without.similarity) == (NAMES[0], pytest.approx(-0.1))
    _, alone = twice(np.array([0.7, 0.9], np.float32), NAMES[:2], 1)
    assert (alone.first, alone.margin) == (NAMES[0], 0.0)


# ---- what is said


CALIBRATION = Calibration("eye", -4.0, 5.0, 10.0, none_below=0.3)


@pytest.mark.parametrize(
    ("similarity", "margin", "sure", "verdict"),
    [
        (0.8, 0.3, 0.9525741, "exact"),  # 1 / (1 + e^-3)
        (0.8, 0.0, 0.5, "similar"),
        (0.3, 0.0, 0.0758582, "similar"),
        (0.29, 0.9, 0.0, "none"),
        (None, 0.0, 0.0, "none"),
    ],
)
def test_probability_and_verdict(
    similarity: float | None, margin: float, sure: float, verdict: str
) -> None:
    found = said(Outcome(similarity=similarity, margin=margin), CALIBRATION, 0.95)
    assert found.probability == pytest.approx(sure)
    assert found.verdict == verdict


def test_the_bar_itself_is_exact() -> None:
    half = Outcome(similarity=0.8)
    assert said(half, CALIBRATION, 0.5).verdict == "exact"
    assert said(half, CALIBRATION).verdict == "similar"
    assert said(half, None, 0.5) == half


# ---- whether it is right


def hit(product: str, *, right: bool = False, exact: bool = False) -> ShownProduct:
    return ShownProduct(product, product, "", 0.5, 0.9, exact, right)


SOLD = Outcome(product="hat", relevant=1, verdict="similar")
NOBODY = Outcome(verdict="similar")


@pytest.mark.parametrize(
    ("asked", "hits", "places", "undetected", "error"),
    [
        (SOLD, [hit("hat", right=True)], [1], False, RIGHT),
        (SOLD, [hit("bag"), hit("hat", right=True)], [2], False, WRONG_PRODUCT),
        (SOLD, [hit("red hat"), hit("hat", right=True)], [2], False, WRONG_COLOUR),
        (SOLD, [], [1], False, MISSED),
        (SOLD, [hit("hat", right=True)], [1], True, UNDETECTED),
        (replace(NOBODY, verdict="exact"), [hit("bag", exact=True)], [], False, MISLED),
        (NOBODY, [hit("bag")], [], False, LOOKALIKES),
        (NOBODY, [hit("bag")], [], True, LOOKALIKES),
        (replace(NOBODY, verdict="none"), [], [], False, RIGHT),
    ],
)
def test_the_kind_of_error(
    asked: Outcome, hits: list[ShownProduct], places: list[int], undetected: bool, error: str
) -> None:
    found = judge(asked, hits, places, other_colours={"red hat"}, undetected=undetected)
    assert found.error == error
    assert found.rank == (places[0] if places else None)
    assert found.first_right is (places == [1])


def test_what_was_called_exact_is_judged_wherever_it_stands() -> None:
    right, wrong = hit("hat", right=True, exact=True), hit("red hat", exact=True)
    assert judge(SOLD, [hit("bag"), right], [2]).exact_right is True
    assert judge(SOLD, [hit("bag"), hit("hat", right=True)], [2]).exact_right is None
    found = judge(SOLD, [wrong, right], [2], other_colours={"red hat"})
    assert (found.exact_right, found.exact_wrong_colour) == (False, True)
    assert not judge(SOLD, [wrong], []).exact_wrong_colour
    assert not judge(SOLD, [right], [1], other_colours={"hat"}).exact_wrong_colour


def test_several_right_products_and_the_first_five_that_are_kept() -> None:
    asked = replace(SOLD, relevant=3)
    hits = [hit(str(n), right=n in {1, 6}) for n in range(8)]
    found = judge(asked, hits, [2, 7])
    assert (found.rank, found.first_right) == (2, False)
    assert found.average_precision == pytest.approx((1 / 2 + 2 / 7) / 3)
    assert [each.product for each in found.hits] == list("01234")
    assert judge(NOBODY, hits, []).average_precision is None


# ---- words and defaults that files rely on


def test_the_words_of_a_run() -> None:
    assert questions.ERRORS == (
        "missed", "wrong colour", "wrong product", "not detected", "misled", "look-alikes",
        "unreadable",
    )  # fmt: skip
    kinds = (questions.VIEWS, questions.COPIES, questions.COPIED_VIEWS)
    assert kinds == ("other views", "distorted copies", "other views, distorted")
    assert (RIGHT, GONE) == ("", -2.0)


def test_an_outcome_of_which_nothing_is_known_claims_nothing() -> None:
    plain = Outcome()
    texts = (plain.photo, plain.product, plain.verdict, plain.error, plain.cluster, plain.title)
    assert {*texts, plain.image, plain.first} == {""}
    assert not any((plain.first_right, plain.exact_wrong_colour, plain.present))
    assert (plain.rank, plain.similarity, plain.probability, plain.margin) == (None, None, None, 0)
    assert judge(SOLD, [hit("hat", right=True)], [1]).error == RIGHT


def test_views_are_asked_in_order_of_name() -> None:
    assert askable({"shoe": ["side", "front", "top"]}, {}) == {"shoe": ["front", "side", "top"]}


def test_products_may_be_numbers() -> None:
    gallery = Gallery(np.eye(3, dtype=np.float32), [7, 10, 7])  # type: ignore[list-item]
    assert gallery.products == ["10", "7"]
    assert gallery.best(np.eye(3, dtype=np.float32)[:1]).dtype == np.float32
