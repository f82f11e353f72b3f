"""Outcomes written out by hand, and systems whose behaviour is known by construction, as runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lensback import questions
from lensback.evaluate import measure, runs
from lensback.evaluate.runs import Run
from lensback.questions import Outcome


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
