"""Every figure against numbers worked out by hand, against libraries that others keep, and on nothing."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.proportion import proportion_confint

from lensback import metrics
from lensback.evaluate import business, measure, shares, trial, usage, verdict

FEW = settings(deadline=None, max_examples=25)


@pytest.mark.parametrize("module", [metrics, business, measure, shares, trial, usage, verdict])
def test_the_formulas_in_the_docstrings_are_true(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


# ---- on nothing


NOTHING: dict[str, Callable[[], Any]] = {
    "ap": lambda: metrics.average_precision([], 0),
    "tpir": lambda: metrics.tpir([], [], [], 0.05),
    "tpir, nothing sold": lambda: metrics.tpir([], [], [0.0] * 20, 0.05),
    "tpir, too few strangers": lambda: metrics.tpir([1.0], [True], [0.0] * 19, 0.05),
    "auroc": lambda: metrics.auroc([], []),
    "auroc, nobody": lambda: metrics.auroc([0.5], []),
    "aurc": lambda: metrics.aurc([], []),
    "ece": lambda: metrics.ece([], []),
    "wilson": lambda: metrics.wilson(0, 0),
    "upper": lambda: metrics.upper_bound(0, 0),
    "lower": lambda: metrics.lower_bound(0, 0),
    "bootstrap": lambda: metrics.bootstrap([], lambda rows: 1.0),
    "bootstrap of one": lambda: metrics.bootstrap(["a", "a"], lambda rows: 1.0),
    "paired": lambda: metrics.paired_difference([], [], []).value,
    "mcnemar": lambda: metrics.mcnemar([True], [True]).p,
    "share": lambda: metrics.share([]),
    "quantile": lambda: metrics.quantile([], 0.5),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_is_not_known_never_0_or_1(name: str) -> None:
    assert NOTHING[name]() is None


# ---- ranks


def test_a_rank_is_one_and_each_wrong_item_that_scores_as_much() -> None:
    scores = [
        [0.9, 0.5, 0.4, 0.3],  # the right one is best
        [0.5, 0.5, 0.5, 0.3],  # it ties with two wrong ones: both stand before it
        [0.4, 0.9, 0.9, 0.3],  # two right ones, of which the better counts
        [0.1, 0.9, 0.8, 0.7],  # what stands before it does not count: rank 1
        [0.9, 0.1, 0.1, 0.1],  # nothing is right
    ]
    right = [
        [True, False, False, False],
        [True, False, False, False],
        [True, False, True, False],
        [True, False, False, False],
        [False, False, False, False],
    ]
    wrong = [
        [False, True, True, True],
        [False, True, True, True],
        [False, True, False, True],
        [False, False, False, False],
        [True, True, True, True],
    ]
    assert metrics.ranks(scores, right, wrong).tolist() == [1, 3, 2, 1, 0]
    empty = np.zeros((0, 3))
    assert metrics.ranks(empty, empty, empty).tolist() == []
    assert metrics.ranks(np.zeros((2, 0)), np.zeros((2, 0)), np.zeros((2, 0))).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("rank", "k", "found"),
    [(1, 1, True), (2, 1, False), (5, 5, True), (6, 5, False), (None, 5, False)],
)
def test_within_the_first_k_means_k_too(rank: int | None, k: int, found: bool) -> None:
    assert metrics.within(rank, k) is found


def test_average_precision_by_hand() -> None:
    # Found at 1, 3 and 6 of 4: (1/1 + 2/3 + 3/6 + 0) / 4, in whatever order they are told.
    assert metrics.average_precision([1, 3, 6], 4) == pytest.approx(0.5416666667)
    assert metrics.average_precision([6, 1, 3], 4) == pytest.approx(0.5416666667)
    assert metrics.average_precision([2], 1) == 0.5


RANKS = st.lists(st.one_of(st.none(), st.integers(1, 30)), min_size=1, max_size=30)


@FEW
@given(RANKS)
def test_recall_and_mrr_are_those_of_ir_measures(ranks: list[int | None]) -> None:
    qrels = [ir_measures.Qrel(f"q{n}", "right", 1) for n in range(len(ranks))]
    run = [
        ir_measures.ScoredDoc(f"q{n}", "right" if place == rank else f"d{place}", -float(place))
        for n, rank in enumerate(ranks)
        for place in range(1, 31)
    ]
    wanted = [ir_measures.R @ 1, ir_measures.R @ 5, ir_measures.R @ 20, ir_measures.RR]
    theirs = ir_measures.calc_aggregate(wanted, qrels, run)
    for k in (1, 5, 20):
        ours = metrics.share([metrics.within(rank, k) for rank in ranks])
        assert ours == pytest.approx(theirs[ir_measures.R @ k])
    mrr = np.mean([metrics.reciprocal_rank(rank) for rank in ranks])
    assert mrr == pytest.approx(theirs[ir_measures.RR])


@FEW
@given(st.sets(st.integers(1, 20), max_size=6), st.integers(0, 5))
def test_average_precision_is_that_of_ir_measures(places: set[int], unseen: int) -> None:
    relevant = len(places) + unseen
    if not relevant:
        return
    qrels = [ir_measures.Qrel("q", f"d{p}", 1) for p in places]
    qrels += [ir_measures.Qrel("q", f"missing{n}", 1) for n in range(unseen)]
    run = [ir_measures.ScoredDoc("q", f"d{p}", -float(p)) for p in range(1, 21)]
    theirs = ir_measures.calc_aggregate([ir_measures.AP], qrels, run)[ir_measures.AP]
    assert metrics.average_precision(sorted(places), relevant) == pytest.approx(theirs)


# ---- open set


STRANGERS = [0.9, 0.7, 0.5, 0.3, 0.1]
SOLD, RIGHT = [0.95, 0.8, 0.7, 0.6, 0.4, 0.2], [True, True, True, False, True, True]


@pytest.mark.parametrize(
    ("fpir", "found"),
    [
        # One stranger of five may get an answer: the bar is the second highest, 0.7, to be exceeded.
        (0.2, 2 / 6),
        (0.39, 2 / 6),
        # Two of five: the bar is 0.5, and 0.6 is not right.
        (0.4, 3 / 6),
        (0.8, 5 / 6),
        # All may: every right one counts.
        (1.0, 5 / 6),
    ],
)
def test_tpir_by_hand(fpir: float, found: float) -> None:
    assert metrics.tpir(SOLD, RIGHT, STRANGERS, fpir) == pytest.approx(found)
    assert metrics.tpir(SOLD, RIGHT, STRANGERS[::-1], fpir) == pytest.approx(found)


def test_a_twentieth_of_twenty_strangers_is_one() -> None:
    strangers = [0.9, *[0.1] * 19]
    assert metrics.tpir([0.5], [True], strangers, 0.05) == 1.0
    assert metrics.tpir([0.5], [True], [0.9, *strangers[:-1]], 0.05) == 0.0


def test_auroc_by_hand() -> None:
    # Of nine pairs 0.9 wins three, 0.5 one and a tie, 0.2 none.
    assert metrics.auroc([0.9, 0.5, 0.2], [0.8, 0.5, 0.3]) == pytest.approx(4.5 / 9)
    assert metrics.auroc([0.9], [0.1, 0.1]) == 1.0
    assert metrics.auroc([0.1], [0.1, 0.1]) == 0.5


@FEW
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
)
def test_auroc_is_mann_whitney(high: list[int], low: list[int]) -> None:
    theirs = stats.mannwhitneyu(high, low).statistic / (len(high) * len(low))
    assert metrics.auroc(high, low) == pytest.approx(theirs)


def test_risk_and_coverage_by_hand() -> None:
    scores, right = [0.2, 0.9, 0.8, 0.8, 0.2], [False, True, False, True, True]
    curve = metrics.risk_coverage(scores, right)
    assert curve.threshold.tolist() == [0.9, 0.8, 0.2]
    assert curve.coverage.tolist() == pytest.approx([0.2, 0.6, 1.0])
    assert curve.risk.tolist() == pytest.approx([0.0, 0.3333333, 0.4])


def test_the_area_under_it_by_hand() -> None:
    # Risks of the 1, 2, 3, 4 surest: 0, 1/2, 1/3, 2/4.
    area = metrics.aurc([0.9, 0.8, 0.7, 0.6], [True, False, True, False])
    assert area == pytest.approx(0.3333333333)
    # Equal scores share their one error: risks 1/4, 1/4, 1/4, 1/4.
    assert metrics.aurc([0.5] * 4, [True, True, True, False]) == pytest.approx(0.25)
    assert metrics.aurc([0.5] * 4, [False, True, True, True]) == pytest.approx(0.25)
    # 0.9 is right; the two at 0.5 share one: risks 0, 0.5/2, 1/3.
    assert metrics.aurc([0.5, 0.9, 0.5], [True, True, False]) == pytest.approx(0.1944444444)


# ---- calibration


def test_the_bars_of_a_reliability_diagram_by_hand() -> None:
    said = [0.0, 0.24, 0.25, 0.5, 0.74, 1.0]
    right = [False, False, True, True, False, True]
    bars = metrics.reliability(said, right, 4)
    assert [(b.low, b.high, b.n, b.right) for b in bars] == [
        (0.0, 0.25, 2, 0), (0.25, 0.5, 1, 1), (0.5, 0.75, 2, 1), (0.75, 1.0, 1, 1),
    ]  # fmt: skip
    assert [b.predicted for b in bars] == pytest.approx([0.12, 0.25, 0.62, 1.0])
    assert [b.observed for b in bars] == pytest.approx([0.0, 1.0, 0.5, 1.0])
    # By bar, weighted by its cases: (2 * 0.12 + 1 * 0.75 + 2 * 0.12 + 1 * 0) / 6
    assert metrics.ece(said, right, 4) == pytest.approx(0.205)
    assert [b.observed for b in metrics.reliability([0.1], [True], 3)] == [1.0, None, None]


def test_ten_bars_are_what_is_published() -> None:
    assert len(metrics.reliability([0.5], [True])) == 10
    # 0.05 and 0.15 lie in two bars of ten, each 0.45 and 0.35 off: half of their sum.
    assert metrics.ece([0.05, 0.15], [False, True]) == pytest.approx(0.45)


# ---- intervals


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [  # Newcombe 1998, table I, the score method
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_as_published(right: int, n: int, low: float, high: float) -> None:
    assert metrics.wilson(right, n) == pytest.approx((low, high), abs=5e-5)


def test_the_ends_of_wilson_are_exact() -> None:
    for n in (1, 7, 60):
        assert (metrics.wilson(0, n) or ())[0] == 0.0
        assert (metrics.wilson(n, n) or ())[1] == 1.0
    # Half a case is half a case: where cases are not independent, they are worth fewer.
    assert metrics.wilson(2.5, 5.0) == pytest.approx((0.1705, 0.8295), abs=5e-4)


def test_one_sided_bounds_by_hand() -> None:
    # None of n wrong: 1 - 0.05^(1/n). All n wrong: 0.05^(1/n).
    assert metrics.upper_bound(0, 10) == pytest.approx(0.2588656)
    assert metrics.lower_bound(10, 10) == pytest.approx(0.7411344)
    assert metrics.upper_bound(10, 10) == 1.0
    assert metrics.lower_bound(0, 10) == 0.0
    assert metrics.upper_bound(0, 10, 0.5) == pytest.approx(0.0669670)
    assert metrics.lower_bound(10, 10, 0.5) == pytest.approx(0.9330330)


@FEW
@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_are_those_of_statsmodels(case: tuple[int, int]) -> None:
    right, n = case
    assert metrics.wilson(right, n) == pytest.approx(
        proportion_confint(right, n, method="wilson"), abs=1e-9
    )
    assert metrics.wilson(right, n, 0.8) == pytest.approx(
        proportion_confint(right, n, alpha=0.2, method="wilson"), abs=1e-9
    )
    # Clopper and Pearson's two-sided 90 % interval is two one-sided bounds of 95 %.
    low, high = proportion_confint(right, n, alpha=0.1, method="beta")
    assert metrics.upper_bound(right, n) == pytest.approx(high, abs=1e-9)
    assert metrics.lower_bound(right, n) == pytest.approx(low, abs=1e-9)


def test_how_many_independent_cases_these_are_by_hand() -> None:
    # Four things of two photos, three always found, one never. Mean 3/4; spread 3 * 0.5^2 + 1.5^2 = 3;
    # effect 3 * 4/3 / (8 * 3/16) = 8/3; 8 photos are worth 3.
    things, flags = [*"aabbccdd"], [True] * 6 + [False] * 2
    assert metrics.effective(things, flags) == pytest.approx(3.0)
    # Photos of one thing that differ more than chance would have it are worth no more than n.
    assert metrics.effective([*"aabb"], [True, False, True, False]) == 4.0
    # All agree: each thing counts once. One thing: once.
    assert metrics.effective([*"aabb"], [True] * 4) == 2.0
    assert metrics.effective([*"aabb"], [False] * 4) == 2.0
    assert metrics.effective([*"aaaa"], [True, False, True, True]) == 1.0
    # Never below half the things, however uneven they are.
    many = [*"a" * 50, *"b" * 50, *"cdefgh"]
    assert metrics.effective(many, [True] * 50 + [False] * 50 + [True, False] * 3) == 4.0


# ---- the bootstrap


def mean_of(values: list[float]) -> Callable[[metrics.Rows], float]:
    array = np.array(values)
    return lambda rows: float(array[rows].mean())


def test_whole_clusters_are_drawn_as_many_as_there_are() -> None:
    clusters = [*"abbcccd"]
    seen: list[list[int]] = []
    metrics.bootstrap(clusters, lambda rows: seen.append(rows.tolist()) or 0.0, draws=60)
    groups = {"a": [0], "b": [1, 2], "c": [3, 4, 5], "d": [6]}
    for rows in seen:
        left, drawn = list(rows), 0
        while left:
            group = groups[clusters[left[0]]]
            assert left[: len(group)] == group
            left, drawn = left[len(group) :], drawn + 1
        assert drawn == 4
    assert len(seen) == 60
    assert {row for rows in seen for row in rows} == set(range(7))


def test_strata_keep_their_size() -> None:
    strata = [True, False, True, False, False]
    sold = np.array(strata)
    seen: list[tuple[int, int]] = []

    def count(rows: metrics.Rows) -> float:
        seen.append((int(sold[rows].sum()), int((~sold[rows]).sum())))
        return 0.0

    metrics.bootstrap([*"abcde"], count, strata=strata, draws=50)
    assert set(seen) == {(2, 3)}


def test_the_ends_are_quantiles_of_the_draws() -> None:
    values = iter(range(1000))
    found = metrics.bootstrap([*"ab"], lambda _: float(next(values)), draws=101)
    assert found == pytest.approx((2.5, 97.5))
    values = iter(range(1000))
    found = metrics.bootstrap([*"ab"], lambda _: float(next(values)), draws=101, confidence=0.8)
    assert found == pytest.approx((10.0, 90.0))


def test_where_more_than_a_tenth_has_no_value_nothing_is_known() -> None:
    def often(none: int) -> metrics.Interval | None:
        values = iter([None] * none + [1.0] * (100 - none))
        return metrics.bootstrap([*"ab"], lambda _: next(values), draws=100)

    assert often(10) == (1.0, 1.0)
    assert often(11) is None


def test_the_bootstrap_is_that_of_scipy() -> None:
    values = np.random.default_rng(1).random(40).tolist()
    ours = metrics.bootstrap(range(40), mean_of(values), draws=2000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert ours == metrics.bootstrap(range(40), mean_of(values), draws=2000), "the same seed"
    assert ours != metrics.bootstrap(range(40), mean_of(values), draws=2000, seed=1)


# ---- two systems


def test_a_paired_difference_by_hand() -> None:
    found = metrics.paired_difference([1, 1, 0, 1], [0, 1, 0, 0], [*"abcd"], draws=200)
    assert (found.value, found.n) == (0.5, 4)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low < 0.5 < found.high <= 1
    one = metrics.paired_difference([1, 1], [0, 1], [*"aa"])
    assert (one.value, one.low, one.high, one.n) == (0.5, None, None, 2)


@pytest.mark.parametrize("n", [2, 8, 100])
def test_a_difference_that_every_draw_agrees_on_is_no_certainty(n: int) -> None:
    """Wilson by hand: of n in n the least is n / (n + z^2), z = 1.959964; the rest may gain anything."""
    names = [str(number) for number in range(n)]
    least = n / (n + 1.959964**2)
    same = metrics.paired_difference([1.0] * n, [1.0] * n, names)
    assert (same.value, same.drawn) == (0.0, False)
    assert (same.low, same.high) == (pytest.approx(least - 1), pytest.approx(1 - least))
    better = metrics.paired_difference([1] * n, [0] * n, names)
    assert (better.value, better.high) == (1.0, 1.0)
    assert better.low == pytest.approx(2 * least - 1)
    third = metrics.paired_difference([2 / 3] * n, [1 / 3] * n, names)
    assert third.low is not None
    assert third.high is not None
    assert -1 <= third.low < 1 / 3 < third.high <= 1
    twice = metrics.paired_difference([1] * 2 * n, [0] * 2 * n, names * 2)
    assert twice.low == better.low, "photos of one thing count once"
    wide = metrics.paired_difference([5.0] * n, [3.0] * n, names)
    assert (wide.value, wide.low, wide.high) == (2.0, None, None), "no bound is known"


def test_mcnemar_by_hand() -> None:
    a = [True] * 5 + [False] + [True, False] * 10
    b = [False] * 5 + [True] + [True, False] * 10
    found = metrics.mcnemar(a, b)
    # 2 * P(at most 1 of 6 at 1/2) = 2 * (1 + 6) / 64
    assert (found.better, found.worse, found.p) == (5, 1, pytest.approx(0.21875))
    assert metrics.mcnemar(b, a).better == 1
    # 2 * P(at most 1 of 2) is more than 1.
    assert metrics.mcnemar([True, False], [False, True]).p == 1.0


@FEW
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_that_of_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    ours = metrics.mcnemar([a for a, _ in pairs], [b for _, b in pairs])
    table = [[sum(p == (a, b) for p in pairs) for b in (True, False)] for a in (True, False)]
    if ours.p is None:
        assert table[0][1] == table[1][0] == 0
        return
    assert ours.p == pytest.approx(their_mcnemar(table, exact=True).pvalue)
    assert ours.p == pytest.approx(stats.binomtest(ours.better, ours.better + ours.worse).pvalue)


def test_a_quantile_by_hand() -> None:
    # Between the 4th and 5th of five: 3.8 steps of four from the first.
    assert metrics.quantile([10.0, 30.0, 20.0, 50.0, 40.0], 0.95) == pytest.approx(48.0)
    assert metrics.quantile([7.0], 0.95) == 7.0


def test_the_last_bar_holds_what_is_certain_and_no_more() -> None:
    # 1.0 and 0.95 share the last bar: |1 - 1.95| / 2. 0.85 has the bar before: (0.15 + 0.95) / 2.
    assert metrics.ece([1.0, 0.95], [False, True]) == pytest.approx(0.475)
    assert metrics.ece([0.85, 0.95], [True, False]) == pytest.approx(0.55)


def test_lists_of_two_lengths_are_no_pairs() -> None:
    for call in (
        lambda: metrics.effective([*"aab"], [True, False, True, False]),
        lambda: metrics.bootstrap([*"abc"], lambda _: 0.0, strata=[1, 2]),
        lambda: metrics.mcnemar([True], [True, False]),
    ):
        with pytest.raises(ValueError, match="argument"):
            call()


def test_one_answer_covers_everything() -> None:
    assert metrics.risk_coverage([0.9], [True]).coverage.tolist() == [1.0]
    assert (metrics.DRAWS, metrics.CONFIDENCE, metrics.BINS) == (2000, 0.95, 10)
