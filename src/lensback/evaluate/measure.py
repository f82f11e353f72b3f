"""Outcomes -> figures: what a run says, each with its interval and the cases it rests on."""

from __future__ import annotations

import math
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from lensback import __version__, metrics
from lensback.encoders import Encoder
from lensback.errors import BadQuery
from lensback.evaluate.runs import Against, Bin, Difference, Figure, Point, PromiseKept, Run, Slice
from lensback.metrics import Rows
from lensback.questions import UNREADABLE, Outcome
from lensback.rank import Calibration
from lensback.types import Box

DEPTHS = (1, 5, 10, 20)
FPIRS = (0.01, 0.05)
BY_PRODUCT, WILSON = "bootstrap by product", "Wilson"
SLICED = ("category", "store", "kind", "price")
MIN_SLICE = 5
"""Queries below which a part of them is not listed."""
MOST_POINTS = 200


def encoder_of(encoder: Encoder) -> dict[str, Any]:
    """Name, fingerprint and size of an encoder, as they stand in `run.json`."""
    return {"name": encoder.name, "fingerprint": encoder.fingerprint, "dim": encoder.dim}


def calibration_of(calibration: Calibration | None, exact_from: float) -> dict[str, Any]:
    """What the match probability was computed by; empty where there is no calibration."""
    if calibration is None:
        return {}
    return {
        "kind": calibration.kind,
        "cases": calibration.cases,
        "none_below": calibration.none_below,
        "exact_from": exact_from,
    }


@dataclass(frozen=True, slots=True)
class About:
    """What a run is of; everything that does not follow from the outcomes."""

    kind: str
    name: str
    encoder: Mapping[str, Any]
    gallery: Mapping[str, Any]
    depth: int
    calibration: Mapping[str, Any] = field(default_factory=dict)
    promise: PromiseKept | None = None
    leaks: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def run_of(about: About, outcomes: Sequence[Outcome], against: Against | None = None) -> Run:
    """The whole run. Works on no outcomes at all: then nothing is known."""
    present = [o for o in outcomes if o.present]
    judged = [o for o in outcomes if o.probability is not None]
    return Run(
        kind=about.kind,
        name=about.name,
        created_at=datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        encoder=dict(about.encoder),
        gallery=dict(about.gallery),
        queries={
            "all": len(outcomes),
            "present": len(present),
            "absent": len(outcomes) - len(present),
            "products": len({o.product for o in present}),
        },
        depth=about.depth,
        figures=figures(outcomes),
        slices=slices(outcomes),
        errors=dict(Counter(o.error or "right" for o in outcomes)),
        verdicts={
            "present": dict(Counter(o.verdict for o in present if o.verdict)),
            "absent": dict(Counter(o.verdict for o in outcomes if not o.present and o.verdict)),
        },
        risk_coverage=_curve(judged),
        reliability=_bars(judged),
        outcomes=tuple(outcomes),
        calibration=dict(about.calibration),
        promise=about.promise,
        against=against,
        leaks=dict(about.leaks),
        cost=dict(about.cost),
        notes=about.notes,
        machine=f"{platform.machine()}, Python {platform.python_version()}",
        version=__version__,
    )


# ---- figures


def figures(outcomes: Sequence[Outcome], *, draws: int = metrics.DRAWS) -> tuple[Figure, ...]:
    """Every figure of these outcomes, in the order of docs/evaluation.md."""
    present = [o for o in outcomes if o.present]
    absent = [o for o in outcomes if not o.present and o.error != UNREADABLE]
    said = [o for o in present if o.verdict]
    told = [o for o in absent if o.verdict]
    exact = [o for o in outcomes if o.exact_right is not None]
    boxed = [o for o in present if o.iou is not None]
    found = [share_figure(f"recall_at_{k}", [_within(o, k) for o in present]) for k in DEPTHS]
    return (
        *found,
        _mean("mean_average_precision", present, lambda o: o.average_precision, draws),
        _mean("mrr", present, lambda o: metrics.reciprocal_rank(o.rank), draws),
        share_figure("detected", [_detected(o) for o in boxed]),
        share_figure("exact_precision", [bool(o.exact_right) for o in exact]),
        share_figure("exact_right_share", [bool(o.exact_right) for o in said]),
        share_figure("wrong_colour_first", [o.error == "wrong colour" for o in present]),
        share_figure("wrong_colour_exact", [o.exact_wrong_colour for o in exact]),
        share_figure("false_none", [o.verdict == "none" for o in said]),
        share_figure("honest_none", [o.verdict == "none" for o in told]),
        share_figure("false_exact", [o.verdict == "exact" for o in told]),
        *_open_set(present, absent, draws),
        *_confidence([o for o in outcomes if o.probability is not None], draws),
        *_times([o.total_ms for o in outcomes if o.total_ms is not None]),
    )


def _within(outcome: Outcome, k: int) -> bool:
    return metrics.within(outcome.rank, k)


def _detected(outcome: Outcome) -> bool:
    return outcome.iou is not None and outcome.iou >= 0.5


def share_figure(name: str, flags: Sequence[bool]) -> Figure:
    """How many of the flags are set, with its Wilson interval."""
    right, n = sum(flags), len(flags)
    low, high = metrics.wilson(right, n) or (None, None)
    return Figure(name, metrics.share(flags), low, high, n, right, "share", WILSON if n else "")


def _mean(
    name: str, outcomes: Sequence[Outcome], of: Callable[[Outcome], float | None], draws: int
) -> Figure:
    kept = [(o.cluster, value) for o in outcomes if (value := of(o)) is not None]
    values = np.array([value for _, value in kept])
    clusters = [cluster for cluster, _ in kept]
    figure = _drawn(name, clusters, lambda rows: float(values[rows].mean()), draws)
    value = figure.value
    if figure.low is None and value is not None and value in {0.0, 1.0}:
        # A mean of values from 0 to 1 is bound by the share of its ends.
        things = len(set(clusters))
        low, high = metrics.wilson(things * value, things) or (None, None)
        return replace(figure, low=low, high=high, method=WILSON)
    return figure


def _drawn(
    name: str,
    clusters: Sequence[str],
    statistic: Callable[[Rows], float | None],
    draws: int,
    unit: str = "share",
    strata: Sequence[bool] = (),
) -> Figure:
    """A figure that is no plain share: its interval is drawn by product."""
    n = len(clusters)
    value = statistic(np.arange(n)) if n else None
    if value is None:
        return Figure(name, None, None, None, n, unit=unit)
    low, high = metrics.bootstrap(clusters, statistic, strata=strata, draws=draws) or (None, None)
    if low == high:  # every draw says the same: that tells nothing of what was not seen
        low = high = None
    return Figure(name, value, low, high, n, None, unit, BY_PRODUCT if low is not None else "")


def sureness(outcome: Outcome) -> float:
    """How sure the answer is: its probability, without a calibration its similarity."""
    if outcome.probability is not None:
        return outcome.probability
    return -1.0 if outcome.similarity is None else outcome.similarity


def _open_set(
    present: Sequence[Outcome], absent: Sequence[Outcome], draws: int
) -> Iterable[Figure]:
    every = [*present, *absent]
    scores = np.array([sureness(o) for o in every])
    right = np.array([o.first_right for o in every], dtype=bool)
    sold = np.array([o.present for o in every], dtype=bool)
    clusters = [o.cluster for o in every]
    for fpir in FPIRS:

        def identified(rows: Rows, fpir: float = fpir) -> float | None:
            here, gone = rows[sold[rows]], rows[~sold[rows]]
            return metrics.tpir(scores[here], right[here], scores[gone], fpir)

        name = f"tpir_at_fpir_{fpir * 100:g}"
        yield _drawn(name, clusters, identified, draws, strata=sold.tolist())

    def area(rows: Rows) -> float | None:
        return metrics.auroc(scores[rows[sold[rows]]], scores[rows[~sold[rows]]])

    yield _drawn("auroc", clusters, area, draws, "area", sold.tolist())


def _confidence(judged: Sequence[Outcome], draws: int) -> Iterable[Figure]:
    sure = np.array([o.probability or 0.0 for o in judged])
    right = np.array([o.first_right for o in judged], dtype=bool)
    clusters = [o.cluster for o in judged]
    yield _drawn(
        "aurc", clusters, lambda rows: metrics.aurc(sure[rows], right[rows]), draws, "area"
    )
    yield _drawn("ece", clusters, lambda rows: metrics.ece(sure[rows], right[rows]), draws)


def _times(spent_ms: Sequence[float]) -> Iterable[Figure]:
    for name, q in (("time_p50", 0.5), ("time_p95", 0.95)):
        yield Figure(name, metrics.quantile(spent_ms, q), None, None, len(spent_ms), unit="ms")


def _curve(judged: Sequence[Outcome]) -> tuple[Point, ...]:
    curve = metrics.risk_coverage(
        [o.probability or 0.0 for o in judged], [o.first_right for o in judged]
    )
    points = [
        Point(float(c), float(r), float(t))
        for c, r, t in zip(curve.coverage, curve.risk, curve.threshold, strict=True)
    ]
    most = min(MOST_POINTS, len(points))
    kept = np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))
    return tuple(points[at] for at in kept)


def _bars(judged: Sequence[Outcome]) -> tuple[Bin, ...]:
    bars = metrics.reliability(
        [o.probability or 0.0 for o in judged], [o.first_right for o in judged]
    )
    return tuple(
        Bin(
            bar.low,
            bar.high,
            bar.n,
            bar.predicted,
            bar.observed,
            *(metrics.wilson(bar.right, bar.n) or (None, None)),
        )
        for bar in bars
    )


def slices(outcomes: Sequence[Outcome]) -> tuple[Slice, ...]:
    """The figures of each part that has enough queries, by kind of part and name."""
    found = []
    for by in SLICED:
        for name in sorted({o.slices[by] for o in outcomes if by in o.slices}):
            part = [o for o in outcomes if o.slices.get(by) == name]
            if len(part) < MIN_SLICE:
                continue
            present = sum(o.present for o in part)
            some = figures(part, draws=500)
            found.append(Slice(by, name, present, len(part) - present, some))
    return tuple(found)


# ---- two runs on the same queries


def against(run: Sequence[Outcome], other: Sequence[Outcome], about: About) -> Against:
    """Paired differences of `run` from `other`, on the photos that both answered."""
    differences = compare(run, other)
    return Against(
        str(about.encoder.get("name", about.name)),
        str(about.encoder.get("fingerprint", "")),
        figures(other),
        differences,
    )


def compare(run: Sequence[Outcome], other: Sequence[Outcome]) -> tuple[Difference, ...]:
    """McNemar's exact test and a bootstrap by product, figure by figure."""
    theirs = {o.photo: o for o in other}
    pairs = [(o, theirs[o.photo]) for o in run if o.photo in theirs]
    pairs = [(a, b) for a, b in pairs if a.product == b.product]
    present = [(a, b) for a, b in pairs if a.present]
    absent = [(a, b) for a, b in pairs if not a.present and a.verdict and b.verdict]
    return (
        *(_flags(f"recall_at_{k}", present, partial(_within, k=k)) for k in DEPTHS),
        _values("mean_average_precision", present, lambda o: o.average_precision or 0.0),
        _values("mrr", present, lambda o: metrics.reciprocal_rank(o.rank)),
        _flags("honest_none", absent, lambda o: o.verdict == "none"),
        _flags("false_exact", absent, lambda o: o.verdict == "exact"),
    )


Pairs = Sequence[tuple[Outcome, Outcome]]


def _flags(name: str, pairs: Pairs, of: Callable[[Outcome], bool]) -> Difference:
    test = metrics.mcnemar([of(a) for a, _ in pairs], [of(b) for _, b in pairs])
    plain = _values(name, pairs, of)
    return replace(plain, p=test.p, better=test.better, worse=test.worse)


def _values(name: str, pairs: Pairs, of: Callable[[Outcome], float]) -> Difference:
    mine, other = [of(a) for a, _ in pairs], [of(b) for _, b in pairs]
    paired = metrics.paired_difference(mine, other, [a.cluster for a, _ in pairs])
    found = Difference(name, paired.value, paired.low, paired.high, paired.n)
    if paired.drawn:
        return found
    return replace(found, method="" if paired.low is None else WILSON)


def iou(a: Box, b: Box) -> float:
    """Shared area of two boxes as a share of their union.

    >>> iou((0, 0, 1, 1), (0, 0, 0.5, 1))
    0.5
    """
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / whole if whole > 0 else 0.0


def cost(processor_s: float | None, machine_hour: str = "") -> dict[str, Any]:
    """Processor seconds a query, and what 1,000 of them cost at "0.04 USD" an hour of one core.

    >>> cost(0.09, "0.04 USD")["per_1000_queries"]
    '0.0010 USD'
    >>> cost(None)["per_1000_queries"] is None
    True
    """
    an_hour = _price(machine_hour) if machine_hour else None
    per_1000 = None
    if an_hour and processor_s is not None:
        amount, currency = an_hour
        per_1000 = f"{amount * processor_s * 1000 / 3600:.4f} {currency}".strip()
    return {
        "processor_s_per_query": None if processor_s is None else round(processor_s, 4),
        "machine_hour": machine_hour or None,
        "per_1000_queries": per_1000,
    }


def _price(text: str) -> tuple[float, str]:
    """Amount and currency of a price like "0.04 USD"."""
    amount, _, currency = text.partition(" ")
    try:
        value = float(amount)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise BadQuery(f"not a price: {text!r}", hint='write an amount and a currency: "0.04 USD"')
    return value, currency
