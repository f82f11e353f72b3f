"""What a run says of outcomes that are written out here, each figure worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ir_measures
import numpy as np
import pytest

from lensback import metrics, questions
from lensback.evaluate import measure
from lensback.evaluate.runs import Figure
from lensback.evaluate.shares import (
    Share,
    misled,
    of_hundred,
    seen,
    seen_first,
    told_none,
    wrong_exact,
)
from lensback.questions import Outcome

DRAWS = 50


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ends of drawn intervals are looked at in test_metrics.py; 2,000 draws take a second."""
    whole = metrics.bootstrap

    def few(*given: Any, **known: Any) -> metrics.Interval | None:
        return whole(*given, **known | {"draws": DRAWS})

    monkeypatch.setattr(metrics, "bootstrap", few)


def asked(n: int, product: str, **known: Any) -> Outcome:
    """An outcome of photo n: a miss, but for what is said."""
    plain = Outcome(
        photo=f"{n}.jpg", product=product, verdict="", probability=None, similarity=None, rank=None,
        relevant=int(bool(product)), average_precision=0.0 if product else None,
        error="", exact_right=None, cluster=product or f"{n}.jpg",
    )  # fmt: skip
    return replace(plain, **known)


SOLD = (
    asked(1, "p1", rank=1, verdict="exact", probability=0.99, exact_right=True, first_right=True,
          average_precision=1.0, iou=0.9, similarity=0.9, total_ms=10.0,
          slices={"kind": "phone", "price": "1: up to 5"}),
    asked(2, "p2", rank=1, verdict="similar", probability=0.6, first_right=True,
          average_precision=0.5, iou=0.5, similarity=0.7, total_ms=20.0, slices={"kind": "phone"}),
    asked(3, "p3", rank=5, verdict="similar", probability=0.4, average_precision=0.2, iou=0.49,
          error=questions.WRONG_PRODUCT, total_ms=30.0, slices={"kind": "phone"}),
    asked(4, "p3", rank=6, verdict="exact", probability=0.97, exact_right=False,
          exact_wrong_colour=True, average_precision=0.1, error=questions.WRONG_COLOUR,
          slices={"kind": "phone"}),
    asked(5, "p5", rank=20, verdict="none", probability=0.0, error=questions.MISSED,
          slices={"kind": "phone"}),
    asked(6, "p6", rank=21, verdict="similar", probability=0.3, error=questions.WRONG_PRODUCT),
    asked(7, "p7", rank=None, verdict="similar", probability=0.2, error=questions.WRONG_PRODUCT),
    asked(8, "p8", error=questions.UNREADABLE),
)  # fmt: skip
NOBODY = (
    asked(9, "", verdict="none", probability=0.0),
    asked(10, "", verdict="similar", probability=0.35, error=questions.LOOKALIKES),
    asked(11, "", verdict="exact", probability=0.96, exact_right=False, error=questions.MISLED),
    asked(12, "", error=questions.UNREADABLE),
    asked(13, "", verdict="none", probability=0.1),
)
EVERY = SOLD + NOBODY


def by_name(outcomes: tuple[Outcome, ...]) -> dict[str, Figure]:
    return {figure.name: figure for figure in measure.figures(outcomes)}


SHARES = {  # name: right of n
    "recall_at_1": (2, 8),
    "recall_at_5": (3, 8),
    "recall_at_10": (4, 8),
    "recall_at_20": (5, 8),
    "detected": (2, 3),
    "exact_precision": (1, 3),
    "exact_right_share": (1, 7),
    "wrong_colour_first": (1, 8),
    "wrong_colour_exact": (1, 3),
    "false_none": (1, 7),
    "honest_none": (2, 4),
    "false_exact": (1, 4),
}


@pytest.mark.parametrize("name", SHARES)
def test_a_share_counts_what_it_says_of_those_it_says(name: str) -> None:
    right, n = SHARES[name]
    found = by_name(EVERY)[name]
    assert (found.right, found.n) == (right, n)
    assert found.value == pytest.approx(right / n)
    assert (found.unit, found.method) == ("share", "Wilson")


def test_a_share_has_the_interval_of_its_own_n() -> None:
    found = by_name(EVERY)
    # Wilson of 2 of 8 and of 1 of 4.
    recall, misleading = found["recall_at_1"], found["false_exact"]
    assert (recall.low, recall.high) == pytest.approx((0.0715, 0.5907), abs=5e-5)
    assert (misleading.low, misleading.high) == pytest.approx((0.0456, 0.6994), abs=5e-5)


def test_means_count_every_miss_as_nothing() -> None:
    found = by_name(EVERY)
    # The mean of eight: (1 + 1 + 1/5 + 1/6 + 1/20 + 1/21 + 0 + 0) / 8
    assert found["mrr"].value == pytest.approx(0.308035714)
    # The mean of eight: (1 + 0.5 + 0.2 + 0.1 + 0 + 0 + 0 + 0) / 8
    assert found["mean_average_precision"].value == pytest.approx(0.225)
    for name in ("mrr", "mean_average_precision"):
        assert (found[name].n, found[name].right) == (8, None)
        assert found[name].method == "bootstrap by product"
        assert (found[name].low or 0.0) < (found[name].value or 0.0) < (found[name].high or 0.0)


def test_the_order_of_sold_and_strangers_by_hand() -> None:
    found = by_name(EVERY)
    # Sold: .99 .6 .4 .97 0 .3 .2, unreadable -1. Strangers, without the unreadable: 0 .35 .96 .1.
    # Pairs won: 4, 3, 3, 4, a tie with 0, 2, 2, 0: 18.5 of 32.
    assert found["auroc"].value == pytest.approx(0.578125)
    assert (found["auroc"].unit, found["auroc"].n) == ("area", 12)
    assert found["tpir_at_fpir_1"].value is None
    assert found["tpir_at_fpir_1"].n == 12
    more = tuple(asked(20 + n, "", verdict="none", probability=0.01) for n in range(16))
    # Of 20 strangers one may get an answer: only above 0.35 (after 0.96): .99 and .6 are right.
    twenty = by_name(EVERY + more)["tpir_at_fpir_5"]
    assert (twenty.value, twenty.n) == (2 / 8, 28)


def test_how_sure_it_was_by_hand() -> None:
    found = by_name(EVERY)
    # Surest first, right or wrong: .99 r, .97 w, .96 w, .6 r, .4 .35 .3 .2 .1 w, 0 and 0 w.
    risks = [0, 1 / 2, 2 / 3, 2 / 4, 3 / 5, 4 / 6, 5 / 7, 6 / 8, 7 / 9, 8 / 10, 9 / 11]
    assert found["aurc"].value == pytest.approx(sum(risks) / 11)
    assert found["aurc"].n == found["ece"].n == 11
    # Bars: [0, .1) 0+0; [.1, .2) .1; .2; .3 .35; .4; .6 (right); .96 .97 .99 (one right).
    gaps = [0.0, 0.1, 0.2, 0.65, 0.4, 0.4, 1.92]
    assert found["ece"].value == pytest.approx(sum(gaps) / 11)


def test_times_are_quantiles_of_what_was_timed() -> None:
    found = by_name(EVERY)
    assert (found["time_p50"].value, found["time_p50"].n) == (20.0, 3)
    assert found["time_p95"].value == pytest.approx(29.0)
    assert found["time_p95"].unit == "ms"


def test_every_figure_of_no_outcomes_is_not_known() -> None:
    made = measure.figures([])
    assert len(made) == 21
    assert [(f.value, f.low, f.high, f.n) for f in made] == [(None, None, None, 0)] * 21
    assert {f.method for f in made} == {""}


def test_recall_mrr_and_map_of_a_run_are_those_of_ir_measures() -> None:
    random = np.random.default_rng(4)
    ranks = [int(r) if r <= 25 else None for r in random.integers(1, 40, 60)]
    outcomes = tuple(
        asked(n, f"p{n}", rank=rank, average_precision=1 / rank if rank else 0.0)
        for n, rank in enumerate(ranks)
    )
    qrels = [ir_measures.Qrel(f"q{n}", "right", 1) for n in range(len(ranks))]
    run = [
        ir_measures.ScoredDoc(f"q{n}", "right" if place == rank else f"d{place}", -float(place))
        for n, rank in enumerate(ranks)
        for place in range(1, 40)
    ]
    ours = by_name(outcomes)
    names = {f"recall_at_{k}": ir_measures.R @ k for k in (1, 5, 10, 20)}
    names |= {"mrr": ir_measures.RR, "mean_average_precision": ir_measures.AP}
    theirs = ir_measures.calc_aggregate(list(names.values()), qrels, run)
    for name, measured in names.items():
        assert ours[name].value == pytest.approx(theirs[measured]), name


# ---- the run


def test_a_run_counts_queries_errors_and_verdicts() -> None:
    about = measure.About("live", "made", {"name": "x"}, {"images": 9}, 20, notes=("one",))
    run = measure.run_of(about, EVERY)
    assert run.queries == {"all": 13, "present": 8, "absent": 5, "products": 7}
    assert run.errors == {
        "right": 4, questions.WRONG_PRODUCT: 3, questions.WRONG_COLOUR: 1, questions.MISSED: 1,
        questions.UNREADABLE: 2, questions.LOOKALIKES: 1, questions.MISLED: 1,
    }  # fmt: skip
    assert run.verdicts == {
        "present": {"exact": 2, "similar": 4, "none": 1},
        "absent": {"none": 2, "similar": 1, "exact": 1},
    }
    assert (run.kind, run.name, run.depth, run.notes) == ("live", "made", 20, ("one",))
    assert [p.threshold for p in run.risk_coverage][:3] == [0.99, 0.97, 0.96]
    assert run.risk_coverage[-1].coverage == 1.0
    assert run.risk_coverage[-1].risk == pytest.approx(9 / 11)
    last = run.reliability[-1]
    assert (last.n, last.observed) == (3, pytest.approx(1 / 3))
    # Wilson of 1 of 3.
    assert (last.observed_low, last.observed_high) == pytest.approx((0.0615, 0.7923), abs=5e-5)
    assert run.reliability[7].observed_low is None


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    outcomes = [asked(n, f"p{n}", probability=n / 1000) for n in range(1000)]
    about = measure.About("live", "", {}, {}, 20)
    points = measure.run_of(about, outcomes).risk_coverage
    assert len(points) == 200
    assert (points[0].threshold, points[-1].threshold) == (0.999, 0.0)


def test_a_part_of_five_queries_is_listed() -> None:
    found = measure.slices(EVERY)
    assert [(s.by, s.name, s.present, s.absent) for s in found] == [("kind", "phone", 5, 0)]
    recall = found[0].figures[0]
    assert (recall.name, recall.right, recall.n) == ("recall_at_1", 2, 5)
    with_strangers = [*EVERY, asked(30, "", slices={"kind": "phone"}, verdict="none")]
    assert measure.slices(with_strangers)[0].absent == 1


# ---- two runs


def test_two_runs_are_compared_photo_by_photo() -> None:
    better = tuple(replace(o, rank=1) if o.photo in {"3.jpg", "4.jpg"} else o for o in EVERY)
    better = tuple(replace(o, verdict="none") if o.photo == "11.jpg" else o for o in better)
    worse = tuple(replace(o, rank=None) if o.photo == "1.jpg" else o for o in EVERY)
    found = {d.name: d for d in measure.compare(better, (*worse, asked(99, "p99", rank=1)))}
    recall = found["recall_at_1"]
    # Ranks 1 1 1 1 . . . . against . 1 5 6 . . . .: three more of eight, none fewer.
    assert (recall.value, recall.n, recall.better, recall.worse) == (3 / 8, 8, 3, 0)
    assert recall.p == pytest.approx(0.25)  # 2 * 1/8
    # The mean of eight gains: (1 + (1 - 1/5) + (1 - 1/6)) / 8
    assert found["mrr"].value == pytest.approx(0.329166667)
    assert (found["mrr"].better, found["mrr"].p) == (None, None)
    assert (found["honest_none"].value, found["honest_none"].n) == (1 / 4, 4)
    assert (found["false_exact"].value, found["false_exact"].worse) == (-1 / 4, 1)
    assert found["mean_average_precision"].value == 0.0


def test_a_photo_with_another_right_product_is_no_pair() -> None:
    other = tuple(replace(o, product="else") if o.photo == "2.jpg" else o for o in EVERY)
    found = {d.name: d.n for d in measure.compare(EVERY, other)}
    assert found["recall_at_1"] == 7
    assert {d.n for d in measure.compare(EVERY, ())} == {0}


def test_what_a_run_is_set_against_is_named() -> None:
    about = measure.About("live", "theirs", {"name": "eye", "fingerprint": "f"}, {}, 20)
    found = measure.against(EVERY, SOLD, about)
    assert (found.name, found.fingerprint) == ("eye", "f")
    assert {f.name: f.n for f in found.figures}["honest_none"] == 0
    assert {d.name: d.n for d in found.differences}["recall_at_1"] == 8
    assert measure.against([], [], measure.About("live", "x", {}, {}, 20)).name == "x"


# ---- small things


@pytest.mark.parametrize(
    ("b", "shared"),
    [
        ((0.0, 0.0, 1.0, 1.0), 1.0),
        ((0.5, 0.0, 1.5, 1.0), 1 / 3),
        ((0.0, 0.75, 1.0, 1.25), 0.2),
        ((1.0, 0.0, 2.0, 1.0), 0.0),
        ((2.0, 2.0, 3.0, 3.0), 0.0),
        ((0.25, 0.25, 0.75, 0.75), 0.25),
    ],
)
def test_the_overlap_of_two_boxes(b: tuple[float, float, float, float], shared: float) -> None:
    whole = (0.0, 0.0, 1.0, 1.0)
    assert measure.iou(whole, b) == pytest.approx(shared)
    assert measure.iou(b, whole) == pytest.approx(shared)
    assert measure.iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


def test_two_boxes_that_lie_across_each_other() -> None:
    """0.1 to 0.5 by 0.2 to 0.9 and 0.3 to 0.8 by 0.1 to 0.4 share 0.2 by 0.2."""
    a, b = (0.1, 0.2, 0.5, 0.9), (0.3, 0.1, 0.8, 0.4)
    wanted = 0.04 / (0.4 * 0.7 + 0.5 * 0.3 - 0.04)
    assert measure.iou(a, b) == pytest.approx(wanted)
    assert measure.iou(b, a) == pytest.approx(wanted)
    assert measure.iou(a, (0.5, 0.2, 0.9, 0.9)) == 0.0


def test_what_a_thousand_queries_cost() -> None:
    found = measure.cost(0.36, "0.10 EUR")
    assert found == {
        "processor_s_per_query": 0.36, "machine_hour": "0.10 EUR", "per_1000_queries": "0.0100 EUR",
    }  # fmt: skip
    assert measure.cost(0.36)["per_1000_queries"] is None
    with pytest.raises(measure.BadQuery, match="not a price"):
        measure.cost(0.36, "cheap")


def test_how_sure_an_answer_is_without_a_calibration() -> None:
    assert measure.sureness(SOLD[0]) == 0.99
    assert measure.sureness(replace(SOLD[0], probability=None)) == 0.9
    assert measure.sureness(replace(SOLD[0], probability=None, similarity=None)) == -1.0


# ---- shares as the report says them


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
