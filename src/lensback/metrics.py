"""What evaluation counts: each figure in words, by formula, with its source, and its empty case.

Empty input is None, "not known": never 0 and never 1. A rank is the 1-based place of the first
right product among those shown, None where it is not among them; only queries that have a right
answer have a rank. Pure sums; scipy brings the quantiles.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Interval = tuple[float, float]
Rows = NDArray[np.int64]
"""Positions of queries, as drawn by the bootstrap."""

CONFIDENCE = 0.95
DRAWS = 2000
ROUNDING = 1e-12
"""Draws that differ by no more say the same."""
BINS = 10


# ---- retrieval


def ranks(scores: ArrayLike, right: ArrayLike, wrong: ArrayLike) -> Rows:
    """Rank of the best right item of each query: 1, and one for each wrong item that scores as much.

    All three are [queries, items]; `right` and `wrong` are flags, and what is neither does not
    count. A tie counts against us: nobody knows which of two would be shown first. Integers
    [queries], 0 where a query has no right item.

    >>> ranks([[0.9, 0.8, 0.8]], [[False, True, False]], [[True, False, True]]).tolist()
    [3]
    >>> ranks([[0.9]], [[False]], [[True]]).tolist()
    [0]
    """
    values, good = np.asarray(scores), np.asarray(right, dtype=bool)
    best = np.where(good, values, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    ahead = (np.asarray(wrong, dtype=bool) & (values >= best)).sum(axis=1)
    return np.asarray(np.where(good.any(axis=1), 1 + ahead, 0), dtype=np.int64)


def within(rank: int | None, k: int) -> bool:
    """Whether the right product is among the first k shown. The share of such queries is recall@k.

    recall@k = |{q : rank_q <= k}| / |Q|. Products, not pictures, are counted, and one product is
    right, so this is the hit rate (CMC) of the retrieval literature: Gray, Brennan, Tao 2007.

    >>> within(2, 2), within(3, 2), within(None, 2)
    (True, False, False)
    """
    return rank is not None and rank <= k


def reciprocal_rank(rank: int | None) -> float:
    """1 / rank, 0 where the right product is not shown. The mean is MRR: Voorhees 1999 (TREC-8).

    >>> reciprocal_rank(4), reciprocal_rank(None)
    (0.25, 0.0)
    """
    return 0.0 if rank is None else 1 / rank


def average_precision(ranks: Sequence[int], relevant: int) -> float | None:
    """Precision at each right item, summed, divided by all right items there are. Its mean is mAP.

    AP = 1/R * sum_i i / r_i, r_i the places of the right items found: Buckley, Voorhees 2000.
    Right items that are not found add nothing. Without a right item it is not known.

    >>> average_precision([1, 3], 2)
    0.8333333333333333
    >>> average_precision([], 2)
    0.0
    >>> average_precision([], 0) is None
    True
    """
    if relevant == 0:
        return None
    return sum(n / rank for n, rank in enumerate(sorted(ranks), 1)) / relevant


# ---- open set: scores of queries with and without a right answer


def tpir(present: ArrayLike, right: ArrayLike, absent: ArrayLike, fpir: float) -> float | None:
    """True positive identification rate at a false positive identification rate (ISO/IEC 19795-1).

    The lowest threshold that at most `fpir` of the absent queries' scores reach; then the share of
    the present queries whose first product is right and whose score reaches it. Not known where
    there are fewer than 1 / fpir absent queries: so small a rate cannot be seen in them.

    >>> tpir([0.9, 0.8, 0.3, 0.7], [True, True, True, False], [0.5, 0.1], 0.5)
    0.75
    >>> tpir([0.9], [True], [0.5, 0.1], 0.01) is None
    True
    """
    scores, flags = _floats(present), np.asarray(right, dtype=bool)
    strangers = np.sort(_floats(absent))[::-1]
    if len(scores) == 0 or len(strangers) < 1 / fpir - 1e-9:
        return None
    allowed = math.floor(fpir * len(strangers) + 1e-9)
    bar = strangers[allowed] if allowed < len(strangers) else -math.inf
    return float(np.mean(flags & (scores > bar)))


def auroc(positive: ArrayLike, negative: ArrayLike) -> float | None:
    """Chance that a positive has the higher score, ties half: Mann, Whitney 1947; Bamber 1975.

    >>> auroc([0.9, 0.5], [0.5, 0.1])
    0.875
    >>> auroc([], [0.5]) is None
    True
    """
    high, low = _floats(positive), np.sort(_floats(negative))
    if len(high) == 0 or len(low) == 0:
        return None
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.mean() / (2 * len(low)))


@dataclass(frozen=True, slots=True)
class Curve:
    """Risk by coverage, one point per distinct score, the surest answers first."""

    coverage: Floats
    risk: Floats
    threshold: Floats


def risk_coverage(scores: ArrayLike, right: ArrayLike) -> Curve:
    """Share of wrong answers among those at least this sure (El-Yaniv, Wiener 2010).

    coverage(t) = |{s >= t}| / n, risk(t) = |{s >= t, wrong}| / |{s >= t}|.

    >>> curve = risk_coverage([0.9, 0.8, 0.8, 0.1], [True, True, False, False])
    >>> curve.coverage.tolist(), curve.risk.round(2).tolist()
    ([0.25, 0.75, 1.0], [0.0, 0.33, 0.5])
    >>> risk_coverage([], []).coverage.tolist()
    []
    """
    values, wrong = _floats(scores), ~np.asarray(right, dtype=bool)
    order = np.argsort(-values, kind="stable")
    values, wrong = values[order], wrong[order]
    last = np.append(values[1:] != values[:-1], True)[: len(values)]
    seen = np.arange(1, len(values) + 1)
    return Curve((seen / max(len(values), 1))[last], (np.cumsum(wrong) / seen)[last], values[last])


def aurc(scores: ArrayLike, right: ArrayLike) -> float | None:
    """Area under the risk-coverage curve: the mean risk over all coverages. Lower is better.

    AURC = 1/n * sum_i risk(the i surest): Geifman, Uziel, El-Yaniv 2019. Answers of equal score
    share their errors evenly, so that the order in a tie does not matter.

    >>> round(aurc([0.9, 0.8, 0.7], [True, True, False]), 4)
    0.1111
    >>> aurc([], []) is None
    True
    """
    values, wrong = _floats(scores), ~np.asarray(right, dtype=bool)
    if len(values) == 0:
        return None
    order = np.argsort(-values, kind="stable")
    _, group = np.unique(-values[order], return_inverse=True)
    even = np.bincount(group, wrong[order]) / np.bincount(group)
    return float(np.mean(np.cumsum(even[group]) / np.arange(1, len(values) + 1)))


# ---- calibration


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a reliability diagram: answers whose probability lies in [low, high)."""

    low: float
    high: float
    n: int
    right: int
    predicted: float | None
    """Mean probability; None where the bar is empty."""
    observed: float | None
    """Share that was right."""


def reliability(probabilities: ArrayLike, right: ArrayLike, bins: int = BINS) -> list[Bar]:
    """Bars of equal width; the last includes 1 (DeGroot, Fienberg 1983).

    >>> [(bar.n, bar.predicted, bar.observed) for bar in reliability([0.2, 0.9], [False, True], 2)]
    [(1, 0.2, 0.0), (1, 0.9, 1.0)]
    >>> [(bar.n, bar.observed) for bar in reliability([], [], 1)]
    [(0, None)]
    """
    values, flags = _floats(probabilities), np.asarray(right, dtype=bool)
    place = np.clip((values * bins).astype(int), 0, bins - 1)
    bars = []
    for at in range(bins):
        here = place == at
        n, good = int(here.sum()), int(flags[here].sum())
        mean = float(values[here].mean()) if n else None
        bars.append(Bar(at / bins, (at + 1) / bins, n, good, mean, good / n if n else None))
    return bars


def ece(probabilities: ArrayLike, right: ArrayLike, bins: int = BINS) -> float | None:
    """Expected calibration error: |observed - predicted| of the bars, weighted by their answers.

    ECE = sum_b n_b / n * |observed_b - predicted_b|: Naeini, Cooper, Hauskrecht 2015. It is
    never 0 on finite data, and grows with fewer answers.

    >>> round(ece([0.25, 0.25, 0.75, 0.75], [False, True, True, True], 2), 3)
    0.25
    >>> ece([], []) is None
    True
    """
    values, flags = _floats(probabilities), np.asarray(right, dtype=np.float64)
    if len(values) == 0:
        return None
    place = np.clip((values * bins).astype(int), 0, bins - 1)
    gaps = np.bincount(place, flags, bins) - np.bincount(place, values, bins)
    return float(np.abs(gaps).sum() / len(values))


# ---- intervals


def wilson(right: float, n: float, confidence: float = CONFIDENCE) -> Interval | None:
    """Two-sided interval of a share by the score test (Wilson 1927); cases must be independent.

    Where they are not, n may be the `effective` number of cases, and right that times the share.

    >>> [round(bound, 4) for bound in wilson(8, 10)]
    [0.4902, 0.9433]
    >>> wilson(0, 0) is None
    True
    """
    if n == 0:
        return None
    from scipy.special import ndtri

    z = float(ndtri((1 + confidence) / 2))
    p, d = right / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / d
    half = z * math.sqrt((p * (1 - p) + z * z / (4 * n)) / n) / d
    # Rounding leaves 1e-19 where the end is 0 or 1 exactly.
    return (
        max(0.0, middle - half) if right else 0.0,
        min(1.0, middle + half) if right < n else 1.0,
    )


def effective(clusters: Sequence[str], flags: Sequence[bool]) -> float:
    """How many independent cases these are worth: n over the design effect (Kish 1965).

    Cases of one cluster (photos of one thing) succeed and fail together. The effect is the
    variance between clusters over that of independent cases. Where all cases agree, or there is
    one cluster, it cannot be seen, and each cluster counts once. Never below half the clusters.

    >>> round(effective(["a", "a", "b", "b", "c", "c"], [True, True, True, True, False, False]), 9)
    2.0
    >>> effective(["a", "b"], [True, False]), effective([], [])
    (2.0, 0.0)
    """
    n, sizes = len(flags), Counter(clusters)
    if len(sizes) == n:
        return float(n)
    mean = sum(flags) / n
    if mean in {0.0, 1.0} or len(sizes) == 1:
        return float(len(sizes))
    good = Counter(cluster for cluster, flag in zip(clusters, flags, strict=True) if flag)
    spread = sum((good[cluster] - mean * size) ** 2 for cluster, size in sizes.items())
    effect = spread * len(sizes) / (len(sizes) - 1) / (n * mean * (1 - mean))
    return max(len(sizes) / 2, n / max(1.0, effect))


def upper_bound(wrong: int, n: int, confidence: float = CONFIDENCE) -> float | None:
    """One-sided upper bound of a share (Clopper, Pearson 1934), exact for any n.

    >>> round(upper_bound(0, 59), 4)
    0.0495
    >>> upper_bound(3, 3)
    1.0
    >>> upper_bound(0, 0) is None
    True
    """
    if n == 0:
        return None
    if wrong >= n:
        return 1.0
    from scipy.special import betaincinv

    return float(betaincinv(wrong + 1, n - wrong, confidence))


def lower_bound(wrong: int, n: int, confidence: float = CONFIDENCE) -> float | None:
    """One-sided lower bound of a share (Clopper, Pearson 1934).

    >>> round(lower_bound(10, 20), 4)
    0.302
    >>> lower_bound(0, 0) is None
    True
    """
    upper = upper_bound(n - wrong, n, confidence)
    return None if upper is None else 1 - upper


def bootstrap(
    clusters: Sequence[Hashable],
    statistic: Callable[[Rows], float | None],
    *,
    strata: Sequence[Hashable] = (),
    draws: int = DRAWS,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """Percentile interval of any statistic of the queries (Efron 1979; clusters: Field, Welsh 2007).

    Whole clusters (the queries of one product) are drawn with replacement: queries of one product
    go together. `statistic` takes the positions drawn. With `strata` (one a query) each stratum is
    drawn by itself, so that its size does not change by chance. Not known with fewer than two
    clusters, or where more than a tenth of the draws have no value.

    >>> values = np.array([1.0, 0.0, 1.0, 1.0])
    >>> low, high = bootstrap(["a", "b", "c", "d"], lambda rows: float(values[rows].mean()))
    >>> 0 <= low < 0.75 < high <= 1
    True
    >>> bootstrap([], lambda rows: 0.0) is None
    True
    """
    members = _members(clusters, strata)
    if sum(len(sizes) for _, sizes in members) < 2:
        return None
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        value = statistic(np.concatenate([_drawn(*part, random) for part in members]))
        if value is not None:
            found.append(value)
    if len(found) < 0.9 * draws:
        return None
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _members(clusters: Sequence[Hashable], strata: Sequence[Hashable]) -> list[tuple[Rows, Rows]]:
    """Of each stratum: positions of its queries cluster by cluster, and the clusters' sizes."""
    found: dict[Hashable, dict[Hashable, list[int]]] = {}
    for at, (cluster, stratum) in enumerate(
        zip(clusters, strata or [None] * len(clusters), strict=True)
    ):
        found.setdefault(stratum, {}).setdefault(cluster, []).append(at)
    return [
        (np.concatenate([*map(np.array, part.values())]), np.array([*map(len, part.values())]))
        for part in found.values()
    ]


def _drawn(positions: Rows, sizes: Rows, random: np.random.Generator) -> Rows:
    """As many clusters as there are, drawn with replacement; all positions of each."""
    chosen = random.integers(len(sizes), size=len(sizes))
    if len(positions) == len(sizes):
        return positions[chosen]
    taken = sizes[chosen]
    ends, starts = np.cumsum(taken), np.cumsum(sizes) - sizes
    inside = np.arange(ends[-1]) - np.repeat(ends - taken, taken)
    return np.asarray(positions[np.repeat(starts[chosen], taken) + inside])


# ---- two systems on the same queries


@dataclass(frozen=True, slots=True)
class Paired:
    """Mean of a minus mean of b, with its interval; None: not known."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    drawn: bool = True
    """Whether the interval was drawn (`bootstrap`), and not made of how many clusters said the same."""


def paired_difference(
    a: ArrayLike, b: ArrayLike, clusters: Sequence[Hashable], *, draws: int = DRAWS, seed: int = 0
) -> Paired:
    """Mean difference of two systems on the same queries, whole clusters drawn together.

    Where every draw says the same it says nothing of what was not seen. Values from 0 to 1 differ by 1 at most,
    so the mean is bound then by how many clusters could gain something else (`wilson`); of other values nothing
    is known.

    >>> paired_difference([1, 1, 0], [0, 1, 0], ["x", "y", "z"]).value
    0.3333333333333333
    >>> paired_difference([], [], []).value is None
    True
    >>> same = paired_difference([1, 0, 1], [1, 0, 1], ["x", "y", "z"])
    >>> same.value, round(same.low, 2), round(same.high, 2)
    (0.0, -0.56, 0.56)
    """
    left, right = _floats(a), _floats(b)
    gains = left - right
    if len(gains) == 0:
        return Paired(None, None, None, 0)
    interval = bootstrap(clusters, lambda rows: float(gains[rows].mean()), draws=draws, seed=seed)
    value, n = float(gains.mean()), len(gains)
    if interval is None:
        return Paired(value, None, None, n)
    if interval[1] - interval[0] > ROUNDING:
        return Paired(value, *interval, n)
    if all(each.min() >= 0 and each.max() <= 1 for each in (left, right)):
        low, high = _of_equal(value, len(set(clusters)))
        return Paired(value, low, high, n, drawn=False)
    return Paired(value, None, None, n, drawn=False)


def _of_equal(gain: float, clusters: int) -> Interval:
    """Where the mean gain may lie when each of so many clusters gained the same, and a gain lies between -1 and 1."""
    least, _ = wilson(clusters, clusters) or (0.0, 1.0)
    return max(-1.0, gain * least - (1 - least)), min(1.0, gain * least + (1 - least))


@dataclass(frozen=True, slots=True)
class McNemar:
    """`better`: only a was right; `worse`: only b was."""

    better: int
    worse: int
    p: float | None


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> McNemar:
    """Exact two-sided test that two systems are right equally often (McNemar 1947, binomial form).

    p = 2 * P(Binomial(better + worse, 1/2) <= min(better, worse)), at most 1. Where the two never
    differ there is nothing to test: p is not known.

    >>> mcnemar([True] * 6, [False] * 6).p
    0.03125
    >>> mcnemar([True, False], [True, False]).p is None
    True
    """
    better = sum(one and not two for one, two in zip(a, b, strict=True))
    worse = sum(two and not one for one, two in zip(a, b, strict=True))
    n = better + worse
    if n == 0:
        return McNemar(0, 0, None)
    from scipy.special import bdtr

    return McNemar(better, worse, min(1.0, 2 * float(bdtr(min(better, worse), n, 0.5))))


def share(flags: Sequence[bool]) -> float | None:
    """How many of the flags are set, as a share.

    >>> share([True, False])
    0.5
    >>> share([]) is None
    True
    """
    return sum(flags) / len(flags) if flags else None


def quantile(values: Sequence[float], q: float) -> float | None:
    """The value that a share q of the values does not exceed, by linear interpolation.

    >>> quantile([1.0, 2.0, 4.0], 0.75)
    3.0
    >>> quantile([], 0.5) is None
    True
    """
    return float(np.quantile(values, q)) if len(values) else None


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
