"""What a run says of outcomes that are written out here, each figure worked out by hand."""

from __future__ import annotations

import platform
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import ir_measures
import numpy as np
import pytest

import tiny
from lensback import __version__, metrics, questions
from lensback.evaluate import measure
from lensback.evaluate.runs import Figure, PromiseKept
from lensback.questions import Outcome
from lensback.rank import Calibration
from outcomes import EVERY, SOLD, asked

DRAWS = 50


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What intervals were drawn by. Their ends are looked at in test_metrics.py; 2,000 draws take a
    second."""
    whole = metrics.bootstrap
    asked: list[dict[str, Any]] = []

    def few(clusters: Any, statistic: Any, **known: Any) -> metrics.Interval | None:
        asked.append({"clusters": clusters, **known})
        return whole(clusters, statistic, **known | {"draws": DRAWS})

    monkeypatch.setattr(metrics, "bootstrap", few)
    return asked


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


def test_what_was_not_judged_is_no_part_of_what_was_said() -> None:
    """Without a calibration no verdict is given: such a stranger is neither honest none nor false exact."""
    silent = (asked(14, "", error=questions.LOOKALIKES), asked(15, "p9", rank=1, first_right=True))
    found = by_name(EVERY + silent)
    assert (found["honest_none"].right, found["honest_none"].n) == (2, 4)
    assert (found["false_exact"].right, found["false_exact"].n) == (1, 4)
    assert (found["false_none"].right, found["false_none"].n) == (1, 7)
    assert (found["exact_right_share"].right, found["exact_right_share"].n) == (1, 7)
    # But it counts for what needs no verdict.
    assert (found["recall_at_1"].right, found["recall_at_1"].n) == (3, 9)
    assert (found["auroc"].n, found["aurc"].n) == (14, 11)


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


def test_intervals_are_drawn_by_product_and_keep_sold_and_strangers_apart(
    drawn: list[dict[str, Any]],
) -> None:
    more = tuple(asked(20 + n, "", verdict="none", probability=0.01) for n in range(96))
    measure.figures(EVERY + more, draws=7)
    assert {each["draws"] for each in drawn} == {7}
    sold = [True] * 8 + [False] * 100
    # Two means, the shares at two rates and the area, and how sure it was, by two figures.
    assert [each["strata"] for each in drawn] == [(), (), sold, sold, sold, (), ()]
    products = ["p1", "p2", "p3", "p3", "p5", "p6", "p7", "p8"]
    assert [each["clusters"][:8] for each in drawn[:3]] == [products] * 3
    # Seven of those are sold and judged, and then the first stranger.
    assert drawn[-1]["clusters"][6:8] == ["p7", "9.jpg"]
    del drawn[:]
    measure.figures(EVERY)
    assert {each["draws"] for each in drawn} == {2000}


def test_one_thing_alone_has_the_interval_of_one() -> None:
    """However many photos of it there are, and though every draw says the same."""
    alone = by_name(tuple(asked(n, "p1", rank=1, probability=0.9) for n in range(3)))
    mrr = alone["mrr"]
    assert (mrr.value, mrr.n, mrr.high, mrr.method) == (1.0, 3, 1.0, "Wilson")
    assert mrr.low == pytest.approx(0.2065, abs=1e-4)
    assert alone["recall_at_1"].method == "Wilson"


# ---- the run


def test_a_run_says_all_that_it_is_told() -> None:
    kept = PromiseKept(
        promised=0.05, confidence=0.95, certified=True, why_not="", source="views", threshold=0.8,
        by_category={}, exact=1, wrong=0, state="open", upper=None,
    )  # fmt: skip
    about = measure.About(
        "live", "made", {"name": "eye"}, {"images": 9}, 20, {"kind": "views"}, kept, {"found": 0},
        {"per_1000_queries": "1 EUR"}, ("one",),
    )  # fmt: skip
    other = measure.against(EVERY, SOLD, about)
    run = measure.run_of(about, EVERY, other)
    assert (run.encoder, run.gallery) == ({"name": "eye"}, {"images": 9})
    assert (run.calibration, run.leaks) == ({"kind": "views"}, {"found": 0})
    assert (run.cost, run.promise, run.against) == ({"per_1000_queries": "1 EUR"}, kept, other)
    assert (run.outcomes, run.figures) == (EVERY, measure.figures(EVERY))
    assert run.slices == measure.slices(EVERY)
    assert run.version == __version__
    assert run.machine == f"{platform.machine()}, Python {platform.python_version()}"
    moment = datetime.strptime(run.created_at, "%Y-%m-%dT%H:%M:%S+00:00").replace(tzinfo=UTC)
    assert abs(moment.timestamp() - time.time()) < 60
    nothing = measure.run_of(measure.About("folder", "x", {}, {}, 5), [])
    assert nothing.queries == {"all": 0, "present": 0, "absent": 0, "products": 0}
    assert nothing.verdicts == {"present": {}, "absent": {}}
    assert (nothing.calibration, nothing.promise, nothing.against, nothing.leaks) == (
        {}, None, None, {},
    )  # fmt: skip
    assert (nothing.cost, nothing.notes, nothing.errors, nothing.slices) == ({}, (), {}, ())


def test_what_an_encoder_and_a_calibration_are_called() -> None:
    assert measure.encoder_of(tiny.ColourEncoder()) == {
        "name": "colour", "fingerprint": "c0107", "dim": 3,
    }  # fmt: skip
    fitted = Calibration("c0107", 1.0, 2.0, 3.0, 0.25, cases=40, kind="other views")
    assert measure.calibration_of(fitted, 0.9) == {
        "kind": "other views", "cases": 40, "none_below": 0.25, "exact_from": 0.9,
    }  # fmt: skip
    assert measure.calibration_of(None, 0.9) == {}


def test_bars_and_points_hold_what_was_counted() -> None:
    run = measure.run_of(measure.About("live", "", {}, {}, 20), EVERY)
    assert [bar.n for bar in run.reliability] == [2, 1, 1, 2, 1, 0, 1, 0, 0, 3]
    third = run.reliability[3]
    assert (third.low, third.high) == pytest.approx((0.3, 0.4))
    assert (third.predicted, third.observed) == (pytest.approx(0.325), 0.0)
    # Surest first: .99 right, .97 and .96 wrong, .6 right …; of eleven.
    assert [(p.coverage, p.risk) for p in run.risk_coverage[:4]] == [
        (pytest.approx(n / 11), pytest.approx(wrong / n))
        for n, wrong in ((1, 0), (2, 1), (3, 2), (4, 2))
    ]
    assert len(run.risk_coverage) == 10, "two are equally unsure"


@pytest.mark.parametrize("n", [1, 2, 199, 200])
def test_a_curve_of_two_hundred_points_is_whole(n: int) -> None:
    outcomes = [asked(at, f"p{at}", probability=at / 1000) for at in range(n)]
    points = measure.run_of(measure.About("live", "", {}, {}, 20), outcomes).risk_coverage
    assert [p.threshold for p in points] == [at / 1000 for at in reversed(range(n))]


def test_parts_are_listed_by_what_they_are_parts_of() -> None:
    names = {"price": "1", "kind": "phone", "store": "s", "category": "Bags", "else": "x"}
    outcomes = [asked(n, f"p{n}", rank=1, slices=names) for n in range(5)]
    outcomes += [asked(n, "", verdict="none", slices={"store": "a"}) for n in range(9, 15)]
    outcomes += [asked(n, "", slices={"category": "Few"}) for n in range(20, 24)]
    found = measure.slices(outcomes)
    assert [(s.by, s.name, s.present, s.absent) for s in found] == [
        ("category", "Bags", 5, 0), ("store", "a", 0, 6), ("store", "s", 5, 0),
        ("kind", "phone", 5, 0), ("price", "1", 5, 0),
    ]  # fmt: skip


def test_an_interval_of_a_part_takes_fewer_draws(drawn: list[dict[str, Any]]) -> None:
    measure.slices(EVERY)
    assert {each["draws"] for each in drawn} == {500}


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
    better = tuple(replace(o, rank=1) if o.photo == "3.jpg" else o for o in EVERY)
    gain = {d.name: d for d in measure.against(better, EVERY, about).differences}["recall_at_1"]
    assert (gain.value, gain.better, gain.worse) == (1 / 8, 1, 0)
    assert measure.against([], [], measure.About("live", "x", {}, {}, 20)).name == "x"


def test_what_only_one_run_answered_is_not_compared() -> None:
    """A stranger counts where both runs gave a verdict; a miss has an average precision of 0."""
    silent = tuple(replace(o, verdict="") if o.photo == "9.jpg" else o for o in EVERY)
    for one, other in ((EVERY, silent), (silent, EVERY)):
        found = {d.name: d.n for d in measure.compare(one, other)}
        assert (found["honest_none"], found["false_exact"]) == (3, 3)
    lost = tuple(replace(o, average_precision=None) if o.photo == "1.jpg" else o for o in EVERY)
    found = {d.name: d for d in measure.compare(EVERY, lost)}
    assert found["mean_average_precision"].value == pytest.approx(1 / 8)
    assert {d.name: d for d in measure.compare(lost, EVERY)}["mean_average_precision"].value == (
        pytest.approx(-1 / 8)
    )
    low, high = found["mean_average_precision"].low, found["mean_average_precision"].high
    assert low is not None
    assert high is not None
    assert 0 <= low < 1 / 8 < high
    assert [d.name for d in measure.compare(EVERY, lost)] == [
        "recall_at_1", "recall_at_5", "recall_at_10", "recall_at_20", "mean_average_precision",
        "mrr", "honest_none", "false_exact",
    ]  # fmt: skip


def test_runs_that_agree_everywhere_are_not_equal_for_certain() -> None:
    for each in measure.compare(EVERY, EVERY):
        assert each.value == 0.0
        assert each.low is not None
        assert each.high is not None
        assert -1 < each.low < 0 < each.high < 1, each.name
        assert each.method == "Wilson"
    assert {d.low for d in measure.compare(EVERY, ())} == {None}


def test_depths_are_compared_each_by_itself() -> None:
    """Ranks 1 1 5 6 20 21 and two misses, against 2 6 11 21 and misses."""
    ranks = {"1.jpg": 2, "2.jpg": 6, "3.jpg": 11, "4.jpg": 21}
    other = tuple(replace(o, rank=ranks.get(o.photo)) if o.present else o for o in EVERY)
    found = {d.name: d for d in measure.compare(EVERY, other)}
    assert {k: (found[f"recall_at_{k}"].better, found[f"recall_at_{k}"].worse) for k in (1, 5, 10, 20)} == {
        1: (2, 0), 5: (2, 0), 10: (2, 0), 20: (2, 0),
    }  # fmt: skip


def test_a_run_of_no_name_is_called_by_its_file() -> None:
    about = measure.About("folder", "theirs", {}, {}, 20)
    found = measure.against(EVERY, EVERY, about)
    assert (found.name, found.fingerprint) == ("theirs", "")


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
    assert measure.cost(0.36) == {
        "processor_s_per_query": 0.36, "machine_hour": None, "per_1000_queries": None,
    }  # fmt: skip
    assert measure.cost(None, "0.10 EUR") == {
        "processor_s_per_query": None, "machine_hour": "0.10 EUR", "per_1000_queries": None,
    }  # fmt: skip
    # 0.12345 s are 123.45 s for a thousand, at 36 the hour 1.2345.
    exact = measure.cost(0.12345, "36")
    assert (exact["processor_s_per_query"], exact["per_1000_queries"]) == (0.1235, "1.2345")
    assert measure.cost(1.0, "36000 USD")["per_1000_queries"] == "10000.0000 USD"
    assert measure.cost(1.0, "0 EUR")["per_1000_queries"] == "0.0000 EUR"


@pytest.mark.parametrize("text", ["cheap", "nan EUR", "inf EUR", "-1 EUR", "EUR 1", " ", "-inf"])
@pytest.mark.parametrize("processor_s", [0.36, None])
def test_what_is_no_price_is_refused(text: str, processor_s: float | None) -> None:
    with pytest.raises(measure.BadQuery, match="not a price") as caught:
        measure.cost(processor_s, text)
    assert "0.04 USD" in caught.value.hint


def test_how_sure_an_answer_is_without_a_calibration() -> None:
    assert measure.sureness(SOLD[0]) == 0.99
    assert measure.sureness(replace(SOLD[0], probability=None)) == 0.9
    assert measure.sureness(replace(SOLD[0], probability=None, similarity=None)) == -1.0
