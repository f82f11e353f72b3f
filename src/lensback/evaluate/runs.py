"""One evaluation run as frozen dataclasses, and as one JSON file (docs/evaluation.md describes it).

A figure that cannot be computed is None, "not known": never 0 and never 1.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lensback.durable import replace_file, what_mends
from lensback.errors import BadQuery, StateError
from lensback.questions import Outcome, ShownProduct

SCHEMA = 1
RUN_FILE, QUERIES_FILE = "run.json", "queries.csv"
FOLDER = "evaluation"
"""Of a workspace: where its last run lies."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its 95 % interval and the cases it rests on."""

    name: str
    """Stable key, e.g. `recall_at_1`; docs/evaluation.md lists them."""
    value: float | None
    """None: not known."""
    low: float | None
    high: float | None
    n: int
    """Cases it was computed on."""
    right: int | None = None
    """Where it is a share: how many of the n."""
    unit: str = "share"
    """`share`, `area`, `ms` or `s`."""
    method: str = ""
    """How the interval was made: `Wilson`, `bootstrap by product`, or empty."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The figures of a part of the queries."""

    by: str
    name: str
    present: int
    absent: int
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a risk-coverage curve: answer only when at least this probable."""

    coverage: float
    risk: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a reliability diagram."""

    low: float
    high: float
    n: int
    predicted: float | None
    observed: float | None
    observed_low: float | None
    observed_high: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """This run minus the other one, on the same queries."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None = None
    """McNemar's exact two-sided p, where it is a share of paired yes and no."""
    better: int | None = None
    """Queries only this run got right."""
    worse: int | None = None
    """Queries only the other run got right."""
    method: str = "paired bootstrap by product"


@dataclass(frozen=True, slots=True)
class Against:
    """The other encoder or run, and the paired differences from it."""

    name: str
    fingerprint: str
    figures: tuple[Figure, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class PromiseKept:
    """The promise of "exact", looked at again by this run."""

    promised: float
    """Largest share of exact answers that may be wrong, e.g. 0.05."""
    confidence: float
    certified: bool
    """A promise is stored here and holds for this encoder and catalogue."""
    why_not: str
    """Why it is not certified; empty where it is."""
    source: str
    """What it was certified on."""
    threshold: float | None
    """Match probability from which an answer is exact; None: nothing is called exact."""
    by_category: Mapping[str, float | None]
    exact: int
    """Exact answers of this run, and how many of them were wrong."""
    wrong: int
    state: str
    """`kept` (upper bound below the promise), `broken` (lower bound above it), `open` (too few
    answers to tell), `nothing exact`."""
    upper: float | None
    """One-sided Clopper-Pearson upper bound of the wrong share at the confidence."""


@dataclass(frozen=True, slots=True)
class Run:
    """One evaluation: what was measured, on what, and every query's outcome."""

    kind: str
    """`benchmark` (a folder of pictures, whole images) or `live` (the service as it is)."""
    name: str
    created_at: str
    encoder: Mapping[str, Any]
    """`name`, `fingerprint`, `dim`."""
    gallery: Mapping[str, Any]
    """`images`, `products`; live also `offers`, `stores`, `snapshot`, `detector`, `workspace`."""
    queries: Mapping[str, int]
    """`all`, `present`, `absent`, `products` (distinct right products)."""
    depth: int
    """Products shown to the shopper that were looked at."""
    figures: tuple[Figure, ...]
    slices: tuple[Slice, ...]
    errors: Mapping[str, int]
    """Queries by kind of error (ERRORS), and `right`."""
    verdicts: Mapping[str, Mapping[str, int]]
    """`present` and `absent` -> verdict -> queries."""
    risk_coverage: tuple[Point, ...]
    reliability: tuple[Bin, ...]
    outcomes: tuple[Outcome, ...]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    """`kind`, `cases`, `none_below`, `exact_from`; empty where there is none."""
    promise: PromiseKept | None = None
    against: Against | None = None
    leaks: Mapping[str, Any] = field(default_factory=dict)
    """`checked`, `found`, `dropped`, `suspects`."""
    cost: Mapping[str, Any] = field(default_factory=dict)
    """`processor_s_per_query`, `machine_hour` (price given, or null), `per_1000_queries`."""
    notes: tuple[str, ...] = ()
    """What a reader has to know before he believes the figures."""
    machine: str = ""
    version: str = ""
    schema: int = SCHEMA

    def figure(self, name: str) -> Figure | None:
        """The figure of this name, None where the run has none."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """The run by name, as it stands in `run.json`."""
        return asdict(self)


def write(run: Run, folder: Path) -> Path:
    """Writes `run.json` and `queries.csv` into a folder; returns the path of the first."""
    path = folder / RUN_FILE
    text = json.dumps(run.as_json(), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda partial: partial.write_text(text, "utf-8"))
        replace_file(folder / QUERIES_FILE, lambda partial: _write_queries(run, partial))
    except OSError as error:
        raise StateError(
            f"cannot write {folder}: {error.strerror}", hint=what_mends(error)
        ) from error
    return path


QUERY_COLUMNS = (
    "photo", "product", "verdict", "probability", "similarity", "rank", "relevant",
    "average_precision", "error", "exact_right", "iou", "total_ms",
)  # fmt: skip


def _write_queries(run: Run, path: Path) -> None:
    kinds = sorted({key for outcome in run.outcomes for key in outcome.slices})
    with path.open("w", newline="", encoding="utf-8") as lines:
        rows = csv.writer(lines)
        rows.writerow([*QUERY_COLUMNS, *kinds, "first"])
        for outcome in run.outcomes:
            cells = ["" if (v := getattr(outcome, c)) is None else v for c in QUERY_COLUMNS]
            first = outcome.hits[0].product if outcome.hits else ""
            rows.writerow([*cells, *(outcome.slices.get(kind, "") for kind in kinds), first])


def read(path: Path) -> Run:
    """A run from its JSON (or its folder). Raises BadQuery where it is none or of another schema."""
    path = path / RUN_FILE if path.is_dir() else path
    try:
        values = json.loads(path.read_text("utf-8"))
        if values.get("schema") != SCHEMA:
            raise BadQuery(
                f"{path} has schema {values.get('schema')!r}, this program reads {SCHEMA}",
                hint="evaluate again with this version",
            )
        return _run(values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadQuery(
            f"{path} is not an evaluation run: {error}",
            hint="give the run.json that lensback evaluate --out wrote",
        ) from error


def _run(values: dict[str, Any]) -> Run:
    outcomes = tuple(outcome_of(row) for row in values["outcomes"])
    against = values["against"]
    return Run(
        **{
            **values,
            "figures": _figures(values["figures"]),
            "slices": tuple(
                Slice(**{**row, "figures": _figures(row["figures"])}) for row in values["slices"]
            ),
            "risk_coverage": tuple(Point(**row) for row in values["risk_coverage"]),
            "reliability": tuple(Bin(**row) for row in values["reliability"]),
            "outcomes": outcomes,
            "promise": PromiseKept(**values["promise"]) if values["promise"] else None,
            "against": Against(
                against["name"],
                against["fingerprint"],
                _figures(against["figures"]),
                tuple(Difference(**row) for row in against["differences"]),
            )
            if against
            else None,
            "notes": tuple(values["notes"]),
        }
    )


def outcome_of(row: Mapping[str, Any]) -> Outcome:
    """An outcome from its JSON. Raises TypeError or KeyError where it is none."""
    return Outcome(**{**row, "hits": tuple(ShownProduct(**hit) for hit in row["hits"])})


def _figures(rows: list[dict[str, Any]]) -> tuple[Figure, ...]:
    return tuple(Figure(**row) for row in rows)
