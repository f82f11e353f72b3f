"""What the ledger saw since a day: searches, verdicts, clicks by rank, sales, drift, alarms.

Nobody labels the photos of real searches, so nothing here says how often the answer was right.
It says what shoppers did, and whether their searches still look like those on which "exact" was
promised. Where they do not, the promise is at risk, and an alarm says so.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import select

from lensback import metrics
from lensback.db import Database
from lensback.db import tables as t
from lensback.evaluate.business import Funnel
from lensback.evaluate.trial import Arm, Trial
from lensback.types import Money
from lensback.workspace import Workspace

MOST_SEARCHES = 200_000
"""Newest searches looked at."""
BINS = 10
MIN_DRIFT = 200
"""Searches, and calibration cases, under which nothing is said of drift."""
DRIFTED = 0.25
"""Population stability index from which two distributions are taken for different (Siddiqi 2006)."""
SHAPES = ("upright", "square", "wide")
FINE, ALARM, TOO_FEW = "fine", "alarm", "too few"


@dataclass(frozen=True, slots=True)
class Watchman:
    """One thing that is watched."""

    name: str
    """promise, votes, probabilities or photos."""
    state: str
    """FINE, ALARM or TOO_FEW."""
    value: float | None = None
    n: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What shoppers did in a stretch of time, counted from the ledger."""

    since: int | None
    until: int
    searches: int = 0
    verdicts: Mapping[str, int] = field(default_factory=dict)
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    clicks: int = 0
    by_rank: Mapping[int, int] = field(default_factory=dict)
    """Clicks by the place of the product clicked, from 1."""
    shown_at: Mapping[int, int] = field(default_factory=dict)
    """Searches that showed something at that place."""
    sales: Mapping[str, int] = field(default_factory=dict)
    """Conversions by status."""
    probabilities: tuple[int, ...] = ()
    """Searches by match probability, ten equal steps."""
    reference: tuple[int, ...] = ()
    """The same of the calibration's questions; empty: not known."""
    shapes: tuple[int, ...] = ()
    """Photos upright, square, wide; and the catalogue's pictures."""
    shapes_reference: tuple[int, ...] = ()
    watchmen: tuple[Watchman, ...] = ()
    trial: Trial | None = None
    funnel: Funnel = field(default_factory=Funnel)

    @property
    def alarms(self) -> tuple[Watchman, ...]:
        """The watched figures that raise an alarm."""
        return tuple(each for each in self.watchmen if each.state == ALARM)

    def as_json(self) -> dict[str, Any]:
        """The counts and watched figures, as `report --json` prints them."""
        return {
            "since": self.since,
            "until": self.until,
            "searches": self.searches,
            "verdicts": dict(self.verdicts),
            "latency_p50_ms": self.latency_p50_ms,
            "latency_p95_ms": self.latency_p95_ms,
            "clicks": self.clicks,
            "clicks_by_rank": {str(k): v for k, v in self.by_rank.items()},
            "sales": dict(self.sales),
            "probabilities": list(self.probabilities),
            "reference": list(self.reference),
            "watched": {w.name: [w.state, w.value, w.n] for w in self.watchmen},
            "trial": self.trial.as_json() if self.trial else None,
        }


def usage(workspace: Workspace, since: int | None = None, now: int | None = None) -> Usage:
    """Everything since a moment (Unix seconds), or since the beginning."""
    db = workspace.db
    searches = _searches(db, since)
    clicks = _clicks(db, [row.search_id for row in searches], since)
    sales = _sales(db, [click.click_id for click in clicks])
    sure = _histogram([row.probability for row in searches])
    shapes = _shapes([(row.photo.get("width"), row.photo.get("height")) for row in searches])
    spent = [row.latency_ms for row in searches]
    reference = _reference(workspace)
    catalogue = _catalogue_shapes(db)
    return Usage(
        since=since,
        until=now or int(time.time()),
        searches=len(searches),
        verdicts=Counter(row.verdict for row in searches),
        latency_p50_ms=metrics.quantile(spent, 0.5),
        latency_p95_ms=metrics.quantile(spent, 0.95),
        clicks=len(clicks),
        by_rank=dict(sorted(Counter(c.rank for c in clicks if c.rank).items())),
        shown_at=_shown_at([row.shown for row in searches]),
        sales=Counter(row.status for row in sales),
        probabilities=sure,
        reference=reference,
        shapes=shapes,
        shapes_reference=catalogue,
        watchmen=(
            _promise(workspace, searches),
            _votes(db, searches, workspace.settings.promised_wrong),
            _drift("probabilities", sure, reference),
            _drift("photos", shapes, catalogue),
        ),
        trial=_trial(workspace, searches, clicks),
        funnel=_funnel(searches, clicks, sales),
    )


Rows = Sequence[Any]


def _searches(db: Database, since: int | None) -> Rows:
    s = t.searches.c
    columns = (s.search_id, s.verdict, s.probability, s.latency_ms, s.shown, s.photo, s.variant)
    query = select(*columns, s.hits).order_by(s.at.desc()).limit(MOST_SEARCHES)
    with db.read() as c:
        return c.execute(query.where(s.at >= since) if since else query).all()


def _clicks(db: Database, searches: Sequence[str], since: int | None) -> Rows:
    """Clicks that came from these searches."""
    k = t.clicks.c
    wanted = set(searches)
    query = select(k.click_id, k.search_id, k.rank).where(k.search_id != "")
    with db.read() as c:
        rows = c.execute(query.where(k.at >= since) if since else query).all()
    return [row for row in rows if row.search_id in wanted]


def _sales(db: Database, clicks: Sequence[str]) -> Rows:
    v = t.conversions.c
    columns = (v.click_id, v.status, v.currency, v.commission_minor)
    wanted = set(clicks)
    with db.read() as c:
        rows = c.execute(select(*columns, v.order_currency, v.order_value_minor)).all()
    return [row for row in rows if row.click_id in wanted]


def _shown_at(shown: Sequence[int]) -> dict[int, int]:
    return {place: sum(n >= place for n in shown) for place in range(1, 13)}


# ---- drift and alarms


def _histogram(probabilities: Sequence[float]) -> tuple[int, ...]:
    counts, _ = np.histogram(probabilities, bins=BINS, range=(0, 1))
    return tuple(counts.tolist())


def _reference(workspace: Workspace) -> tuple[int, ...]:
    snapshot = workspace.index.snapshot
    calibration = workspace.calibration(snapshot.fingerprint) if snapshot else None
    return calibration.reference if calibration else ()


def _shapes(sizes: Sequence[tuple[Any, Any]]) -> tuple[int, ...]:
    known = [width / height for width, height in sizes if width and height]
    upright, wide = sum(r < 0.9 for r in known), sum(r > 1.1 for r in known)
    return upright, len(known) - upright - wide, wide


def _catalogue_shapes(db: Database) -> tuple[int, ...]:
    i = t.images.c
    with db.read() as c:
        rows = c.execute(select(i.width, i.height).limit(MOST_SEARCHES)).all()
    return _shapes([(row.width, row.height) for row in rows])


def stability(before: Sequence[int], now: Sequence[int]) -> float:
    """Population stability index: sum of (q - p) ln(q / p) over the steps, half a case added to
    each, so that an empty step is no infinity (Siddiqi 2006). 0: the same.

    >>> round(stability([50, 50], [50, 50]), 3), round(stability([90, 10], [10, 90]), 1)
    (0.0, 3.4)
    """
    p, q = (np.asarray(counts, float) + 0.5 for counts in (before, now))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def _drift(name: str, now: Sequence[int], before: Sequence[int]) -> Watchman:
    n = sum(now)
    if min(n, sum(before)) < MIN_DRIFT:
        return Watchman(name, TOO_FEW, n=n)
    moved = stability(before, now)
    return Watchman(name, ALARM if moved >= DRIFTED else FINE, moved, n)


def _promise(workspace: Workspace, searches: Rows) -> Watchman:
    """Something is called exact, and a promise that holds stands behind it."""
    exact = sum(row.verdict == "exact" for row in searches)
    snapshot = workspace.index.snapshot
    holds = snapshot is not None and workspace.promise(snapshot)[0] is not None
    if not exact:
        return Watchman("promise", TOO_FEW if not holds else FINE, n=0)
    return Watchman("promise", FINE if holds else ALARM, n=exact)


def _votes(db: Database, searches: Rows, promised: float) -> Watchman:
    """Shoppers' votes on the first product of answers called exact, against the promise."""
    first = {r.search_id: r.hits[0][0] for r in searches if r.verdict == "exact" and r.hits}
    f = t.feedback.c
    with db.read() as c:
        rows = c.execute(select(f.search_id, f.product_id, f.vote)).all()
    votes = [row.vote for row in rows if first.get(row.search_id) == row.product_id]
    wrong, n = sum(vote < 0 for vote in votes), len(votes)
    low, high = metrics.lower_bound(wrong, n), metrics.upper_bound(wrong, n)
    if low is None or high is None:
        return Watchman("votes", TOO_FEW)
    state = ALARM if low > promised else FINE if high <= promised else TOO_FEW
    return Watchman("votes", state, wrong / n, n)


# ---- money and the trial of two encoders


def _funnel(searches: Rows, clicks: Rows, sales: Rows) -> Funnel:
    of_click = {click.click_id: click.search_id for click in clicks}
    valued = [row for row in sales if row.order_value_minor]
    currency = next(iter(Counter(r.order_currency for r in valued).most_common(1)), ("", 0))[0]
    ours = [row for row in valued if row.order_currency == currency]
    return Funnel(
        searches=len(searches),
        clicked=len(set(of_click.values())),
        orders=len({of_click[row.click_id] for row in sales}),
        settled=sum(row.status in {"approved", "paid", "declined"} for row in sales),
        declined=sum(row.status == "declined" for row in sales),
        order_values=tuple(float(Money(r.order_value_minor, currency).amount) for r in ours),
        commission_rates=tuple(
            r.commission_minor / r.order_value_minor
            for r in ours
            if r.currency == currency and r.status != "declined"
        ),
        currency=currency,
    )


def _trial(workspace: Workspace, searches: Rows, clicks: Rows) -> Trial | None:
    """The comparison of the two encoders that searches were split between; None: no trial."""
    clicked = {click.search_id for click in clicks}
    split = [row for row in reversed(searches) if row.variant in {"a", "b"}]
    if not split:
        return None
    arms = [
        Arm(len(part), sum(row.search_id in clicked for row in part))
        for part in ([r for r in split if r.variant == name] for name in ("a", "b"))
    ]
    return Trial(arms[0], arms[1], workspace.settings.trial_share)
