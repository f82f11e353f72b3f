"""Our figures against libraries that others keep, by simulation, and on nothing at all."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from typing import Any

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, mannwhitneyu
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.proportion import proportion_confint

from lensback import metrics
from lensback.evaluate import business, measure, shares, trial, usage, verdict, words


@pytest.mark.parametrize(
    "module", [metrics, business, measure, shares, trial, usage, verdict, words]
)
def test_the_formulas_in_the_docstrings_are_true(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


# ---- on nothing


NOTHING: dict[str, Callable[[], Any]] = {
    "recall": lambda: metrics.recall_at_k([], 1),
    "mrr": lambda: metrics.mrr([]),
    "ap": lambda: metrics.average_precision([], 0),
    "map": lambda: metrics.mean_average_precision([None]),
    "exact": lambda: metrics.precision_of_exact([None]),
    "none": lambda: metrics.honest_none([]),
    "false exact": lambda: metrics.false_exact([]),
    "tpir": lambda: metrics.tpir([], [], [], 0.05),
    "tpir, too few strangers": lambda: metrics.tpir([1.0], [True], [0.0] * 19, 0.05),
    "auroc": lambda: metrics.auroc([], []),
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
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_is_not_known_never_0_or_1(name: str) -> None:
    assert NOTHING[name]() is None


def test_every_figure_of_no_outcomes_is_not_known() -> None:
    made = measure.figures([])
    assert len(made) > 15
    assert [(f.value, f.low, f.high, f.n) for f in made] == [(None, None, None, 0)] * len(made)


# ---- against others


RANKS = st.lists(st.one_of(st.none(), st.integers(1, 30)), min_size=1, max_size=30)


@settings(deadline=None)
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
        assert metrics.recall_at_k(ranks, k) == pytest.approx(theirs[ir_measures.R @ k])
    assert metrics.mrr(ranks) == pytest.approx(theirs[ir_measures.RR])


@settings(deadline=None)
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


@settings(deadline=None)
@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_are_those_of_statsmodels(case: tuple[int, int]) -> None:
    right, n = case
    assert metrics.wilson(right, n) == pytest.approx(
        proportion_confint(right, n, method="wilson"), abs=1e-9
    )
    assert shares.wilson(right / n, n) == pytest.approx(metrics.wilson(right, n), abs=1e-9)
    # Clopper and Pearson's two-sided 90 % interval is two one-sided bounds of 95 %.
    low, high = proportion_confint(right, n, alpha=0.1, method="beta")
    assert metrics.upper_bound(right, n) == pytest.approx(high, abs=1e-9)
    assert metrics.lower_bound(right, n) == pytest.approx(low, abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_that_of_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    ours = metrics.mcnemar([a for a, _ in pairs], [b for _, b in pairs])
    table = [[sum(p == (a, b) for p in pairs) for b in (True, False)] for a in (True, False)]
    if ours.p is None:
        assert table[0][1] == table[1][0] == 0
        return
    assert ours.p == pytest.approx(their_mcnemar(table, exact=True).pvalue)
    assert ours.p == pytest.approx(binomtest(ours.better, ours.better + ours.worse).pvalue)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
)
def test_auroc_is_mann_whitney(high: list[int], low: list[int]) -> None:
    theirs = mannwhitneyu(high, low).statistic / (len(high) * len(low))
    assert metrics.auroc(high, low) == pytest.approx(theirs)


# ---- by simulation


def test_the_true_recall_lies_in_the_interval_in_95_of_100_evaluations() -> None:
    """A system whose recall is known by construction, evaluated a thousand times."""
    random = np.random.default_rng(5)
    truth, n, held = 0.83, 120, 0
    for _ in range(1000):
        ranks = np.where(random.random(n) < truth, 1, 4).tolist()
        low, high = metrics.wilson(sum(r == 1 for r in ranks), n) or (1.0, 0.0)
        held += low <= truth <= high
    # 950 expected; three standard deviations are 21, and Wilson is a little off at any one n.
    assert 925 <= held <= 975


def test_photos_of_one_thing_go_together_in_the_interval() -> None:
    """Three photos of each thing succeed and fail together: a plain interval is too narrow."""
    random = np.random.default_rng(7)
    truth, things = 0.7, 60
    clustered, plain = 0, 0
    for _ in range(200):
        flags = np.repeat(random.random(things) < truth, 3)
        clusters = [str(n) for n in np.repeat(np.arange(things), 3)]
        values = flags.astype(float)
        found = metrics.bootstrap(clusters, lambda rows, v=values: float(v[rows].mean()), draws=200)
        assert found is not None
        clustered += found[0] <= truth <= found[1]
        low, high = metrics.wilson(int(flags.sum()), len(flags)) or (1.0, 0.0)
        plain += low <= truth <= high
    assert clustered >= 200 * 0.9
    assert plain < 200 * 0.85, "independent photos would have made this test pointless"


def test_a_share_of_photos_of_few_things_counts_for_few() -> None:
    marked = [(str(n // 4), n % 8 < 4) for n in range(80)]
    assert shares.effective(marked) == pytest.approx(20, abs=1.5)
    assert shares.effective([(str(n), n % 2 == 0) for n in range(80)]) == 80


def test_a_wager_that_is_looked_at_daily_raises_few_false_alarms() -> None:
    """Two equal encoders, looked at after every click, four thousand clicks long."""
    random = np.random.default_rng(3)
    alarms = 0
    for _ in range(400):
        hits = np.cumsum(random.random(4000) < 0.5)
        n = np.arange(1, 4001)
        log = [math.log(max(trial.evidence(int(h), int(m), 0.5), 1e-300))
               for h, m in zip(hits[::40], n[::40], strict=True)]  # fmt: skip
        alarms += max(log) >= math.log(trial.CERTAIN)
    assert alarms <= 400 * 0.05 + 2


def test_a_wager_sees_a_real_difference() -> None:
    b = trial.Arm(2000, 360)
    assert trial.Trial(trial.Arm(2000, 240), b, 0.5).state == "b"
    assert trial.Trial(b, trial.Arm(2000, 240), 0.5).state == "a"
    assert trial.Trial(trial.Arm(40, 8), trial.Arm(40, 9), 0.5).state == "open"
    assert trial.Trial(trial.Arm(3000, 300), trial.Arm(1000, 100), 0.5).state == "broken"
    nothing = trial.Trial(trial.Arm(0, 0), trial.Arm(0, 0), 0.5)
    assert (nothing.state, nothing.wanted, nothing.a.share) == ("open", None, None)
