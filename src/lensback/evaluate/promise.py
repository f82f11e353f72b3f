"""Chooses the threshold of "exact": with confidence 95 % at most the promised share is wrong.

Learn then Test (Angelopoulos, Bates, Candès, Jordan, Lei 2021) with fixed-sequence testing: the
thresholds are written down before anything is seen, the strictest is tested first by the exact
binomial bound (Clopper, Pearson 1934), and the first that fails ends the sequence. So whichever
threshold comes out, the chance that more than the promised share of its exact answers is wrong is
at most 5 %, for photos like those it was chosen on. The cases are of products that the calibration
has not seen, one case a product, half of them with the product taken out of the catalogue.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from lensback import metrics
from lensback.calibrate import ENOUGH, TOO_FEW, Things, ask, fit, further_views, single
from lensback.catalogue import offers, products
from lensback.catalogue.sketch import smallest_images
from lensback.counted import counted
from lensback.db import Database
from lensback.errors import DataError
from lensback.evaluate.holdout import in_order, things_of
from lensback.evaluate.runs import PromiseKept
from lensback.mapped import NameLists, in_name_order
from lensback.promise import (
    BROKEN,
    CERTIFIED,
    CONFIDENCE,
    OPEN,
    SKETCH,
    Promise,
    Threshold,
    fewest,
)
from lensback.questions import COPIED_VIEWS, COPIES, VIEWS, Outcome, said
from lensback.rank import Calibration
from lensback.search import Tools
from lensback.types import Filter, Progress, top_category
from lensback.workspace import Workspace, save_calibration, save_promise

GRID = tuple(round(0.99 - 0.01 * step, 2) for step in range(80))
"""Thresholds, the strictest first; fixed before any case is seen."""
ENOUGH_IN_CATEGORY = 100
"""Cases from which a category gets a threshold of its own."""
MOST = 4000
"""Products asked for at most."""


def threshold(
    outcomes: Sequence[Outcome],
    promised: float,
    confidence: float = CONFIDENCE,
    name: str = "",
) -> Threshold:
    """The lowest threshold of GRID that keeps the promise, by fixed-sequence testing.

    The sequence starts at the first threshold with enough answers, which looks at how many there
    are and never at whether they are right: 59 for 5 %, where not one may be wrong, or twice as
    many where there are plenty of cases, so that one unlucky answer does not end it.
    """
    least = fewest(promised, confidence)
    start = least if len(outcomes) < 4 * least else 2 * least
    best: Threshold | None = None
    state = OPEN
    for bar in GRID:
        right = [each.first_right for each in outcomes if (each.probability or 0.0) >= bar]
        answers, wrong = len(right), right.count(False)
        if answers < start:
            continue
        upper = metrics.upper_bound(wrong, answers, confidence)
        if upper is None or upper > promised:
            lower = metrics.lower_bound(wrong, answers, confidence) or 0.0
            state = BROKEN if lower > promised else OPEN
            break
        best = Threshold(name, CERTIFIED, bar, answers, wrong, upper)
    if best:
        return best
    return Threshold(
        name, state, None, answers, wrong, metrics.upper_bound(wrong, answers, confidence)
    )


def by_category(
    outcomes: Sequence[Outcome],
    categories: Mapping[str, Sequence[str]],
    promised: float,
    confidence: float = CONFIDENCE,
) -> tuple[Threshold, ...]:
    """A threshold for each category with enough outcomes (Mondrian: each by itself).

    `categories` are those of each product; that of the product answered first counts.
    """
    parts: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        for name in categories.get(outcome.first, ()):
            parts.setdefault(name, []).append(outcome)
    return tuple(
        threshold(part, promised, confidence, name)
        for name, part in sorted(parts.items())
        if len(part) >= ENOUGH_IN_CATEGORY
    )


# ---- the promise of a workspace


def certify(
    workspace: Workspace,
    *,
    promised: float = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Promise:
    """Fits the calibration on a third of the products and chooses thresholds on the others. Both are
    kept where the promise is certified for all answers; else nothing is touched.

    Raises DataError where the catalogue has too few products, StateError where nothing is
    published or the index is of another encoder.
    """
    tools = workspace.tools()
    calibration, made = certified(
        Things(workspace.db, workspace.images, workspace.vectors, tools.encoder, tools.detector),
        promised or workspace.settings.promised_wrong,
        snapshot=tools.snapshot.id,
        seed=seed,
        progress=progress,
    )
    if made.overall.state == CERTIFIED:
        save_calibration(workspace, calibration)
        save_promise(workspace, made)
    return made


def certified(
    things: Things,
    promised: float,
    *,
    snapshot: str,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Calibration, Promise]:
    """The calibration of a third of the products, and what the others let it promise. Keeps nothing.

    Raises DataError where the catalogue has too few products.
    """
    fingerprint = things.encoder.fingerprint
    with things.db.read() as c:
        views = products.views(c, fingerprint)
        several = further_views(c, views)
    further = _further(things.db, several)
    real = len(further) >= 2 * ENOUGH
    asked = _sample(further if real else views, seed)
    tuning = [one for one in asked if _third(one[0])]
    judging = [one for one in asked if not _third(one[0])]
    if min(len(tuning), len(judging)) < TOO_FEW:
        raise DataError(
            f"too few to promise anything: {counted(len(views), 'product')} with images",
            hint="sync more stores; until then exact_precision decides, and promises nothing",
        )
    kinds = [VIEWS, COPIES] if real else [COPIES]
    answers = ask(things, tuning, kinds, several, seed=seed)
    sold = answers.sold
    if real:
        third, of_third = (
            NameLists(item for item in in_name_order(each) if _third(item[0]))
            for each in (views, several)
        )
        sold = [*sold, *single(things, third, of_third, len(tuning), seed)]
    fitted = fit(answers.cases, fingerprint=fingerprint, kind=" and ".join(kinds), sold=sold)
    calibration = replace(fitted, images=things.vectors.count(fingerprint))
    kind = COPIED_VIEWS if real else COPIES
    found = ask(things, judging, [kind], several, seed=seed + 1, progress=progress)
    judged = [said(outcome, calibration) for outcome in _one_each(found.cases, seed)]
    made = Promise(
        promised=promised,
        confidence=CONFIDENCE,
        fingerprint=fingerprint,
        calibration=calibration.digest,
        catalogue=smallest_images(things.db, fingerprint, SKETCH),
        images=calibration.images,
        snapshot=snapshot,
        source=kind if real else f"{kind} alone: optimistic",
        cases=len(judged),
        overall=threshold(judged, promised),
        categories=by_category(judged, _categories(things.db, judged), promised),
        created_at=datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
    )
    return calibration, made


def _further(db: Database, views: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """Product -> its images other than the first. Shoppers see the front, and every store shows it:
    the first image stays in the catalogue, another view is asked with."""
    things = things_of(db)

    def others() -> Iterator[tuple[str, Sequence[str]]]:
        for product, images in in_name_order(views):
            first = in_order(things[product])[0] if product in things else ""
            if rest := [image for image in images if image != first]:
                yield product, rest

    return NameLists(others())


def _sample(views: Mapping[str, Sequence[str]], seed: int) -> list[tuple[str, str]]:
    """A product and one of its images each, by chance."""
    keys = sorted(views)
    random = np.random.default_rng(seed)
    chosen = sorted(random.permutation(len(keys))[:MOST])
    return [
        (keys[at], views[keys[at]][int(random.integers(len(views[keys[at]])))]) for at in chosen
    ]


def _third(product: str) -> bool:
    """Whether a product is of the third that the calibration is fitted on. Stable."""
    return hashlib.sha256(product.encode()).digest()[0] % 3 == 0


def _one_each(outcomes: Sequence[Outcome], seed: int) -> list[Outcome]:
    """One outcome a product, with it there or without it, by chance: cases must be independent."""
    random = np.random.default_rng(seed)
    pairs: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        pairs.setdefault(outcome.cluster, []).append(outcome)
    return [pairs[key][int(random.integers(len(pairs[key])))] for key in sorted(pairs)]


def _categories(db: Database, outcomes: Sequence[Outcome]) -> dict[str, tuple[str, ...]]:
    """Product answered first -> its top categories."""
    named = sorted({outcome.first for outcome in outcomes if outcome.first})
    return {
        product: tuple(sorted({top_category(one.offer.category) for one in stored} - {""}))
        for product, stored in offers.of_products(db, named, Filter()).items()
    }


# ---- looked at again


def kept(tools: Tools, promised: float, outcomes: Sequence[Outcome]) -> PromiseKept:
    """The promise that holds for these tools against what a run saw; where none holds, `promised`."""
    promise = tools.promise
    promised = promise.promised if promise else promised
    exact = [o for o in outcomes if o.exact_right is not None]
    wrong = sum(not o.exact_right for o in exact)
    upper = metrics.upper_bound(wrong, len(exact), CONFIDENCE)
    lower = metrics.lower_bound(wrong, len(exact), CONFIDENCE)
    holds = promise is not None and promise.overall.state == CERTIFIED
    return PromiseKept(
        promised=promised,
        confidence=CONFIDENCE,
        certified=holds,
        why_not="" if holds else _why_not(promise, tools.no_promise),
        source=promise.source if promise else "",
        threshold=_bar(promise, tools.exact_precision),
        by_category={each.name: each.threshold for each in promise.categories} if promise else {},
        exact=len(exact),
        wrong=wrong,
        state=_state(len(exact), upper, lower, promised),
        upper=upper,
    )


def _bar(promise: Promise | None, fallback: float) -> float | None:
    bar = promise.exact_from((), fallback) if promise else fallback
    return bar if math.isfinite(bar) else None


def _why_not(promise: Promise | None, refused: str) -> str:
    if promise is None:
        return refused
    found = promise.overall
    if found.state == BROKEN:
        return f"wrong at the strictest threshold: {found.wrong} of {counted(found.answers, 'exact answer')}"
    return f"{counted(found.answers, 'answer')}, {found.wrong} wrong: too few to be sure"


def _state(n: int, upper: float | None, lower: float | None, promised: float) -> str:
    if not n or upper is None or lower is None:
        return "nothing exact"
    if upper <= promised:
        return "kept"
    return "broken" if lower > promised else "open"
