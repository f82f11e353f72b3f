"""Systems whose behaviour is known by construction, as runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lensback import questions
from lensback.evaluate import measure, runs
from lensback.evaluate.runs import Run
from lensback.questions import Outcome


def outcome(n: int, verdict: str, *, sold: bool, right: bool, kind: str = "phone") -> Outcome:
    rank = 1 if right and sold and verdict != "none" else None
    return Outcome(
        photo=f"{n}.jpg",
        product=f"p{n}" if sold else "",
        verdict=verdict,
        probability=0.99 if verdict == "exact" else 0.5,
        similarity=0.5,
        rank=rank,
        relevant=int(sold),
        average_precision=(1.0 if rank else 0.0) if sold else None,
        error="" if rank or (not sold and verdict == "none") else questions.WRONG_PRODUCT,
        exact_right=bool(rank) if verdict == "exact" else None,
        first_right=bool(rank),
        cluster=f"p{n}",
        total_ms=40.0,
        slices={"kind": kind, "category": "Shirts"},
    )


def system(
    answer: Callable[[int, bool], tuple[str, bool]], n: int = 200, kind: str = "phone"
) -> Run:
    """A run of `n` things that are sold and `n` that nobody sells, answered by a rule."""
    outcomes = []
    for at in range(2 * n):
        verdict, right = answer(at, at < n)
        outcomes.append(outcome(at, verdict, sold=at < n, right=right, kind=kind))
    about = measure.About("live", "made", {"name": "x"}, {"images": 9, "products": 9}, 20)
    made = measure.run_of(about, outcomes)
    promise = runs.PromiseKept(0.05, 0.95, True, "", "views", 0.9, {}, n, 0, "kept", 0.02)
    leaks = {"checked": 2 * n, "found": 0, "dropped": 0, "suspects": 0}
    return replace(made, leaks=leaks, promise=promise)


def honest(n: int, sold: bool) -> tuple[str, bool]:
    return ("exact" if sold else "none"), True
