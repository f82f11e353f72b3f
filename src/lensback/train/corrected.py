"""A match probability set right by members' votes on the first hit of their answers.

The catalogue's own pictures are asked by `calibrate`; people photograph other things, in other light. Votes move and stretch
what that fit says, by two numbers (Cox 1958): log odds = shift + stretch * the fit's. They are drawn towards 0 and
1, so few votes change little, and no vote changes which of two hits is the likelier one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from lensback.calibrate import logistic
from lensback.errors import DataError
from lensback.lessons import PEOPLE, SHARE, fair, folds, gain
from lensback.questions import Outcome
from lensback.rank import Calibration

RIDGE = 1.0
OF_EACH = 10
"""Votes for, and votes against, under which nothing is corrected."""
BY_VOTES = "and votes"
"""What the kind of a corrected calibration ends with."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """A calibration before and after, and what both say of votes that they had not seen."""

    calibration: Calibration
    votes: int
    people: int
    right: int
    """Votes that say "this is it"."""
    before: float
    """Mean log loss of the match probability of the first hit; lower is better."""
    after: float
    difference: tuple[float, float, float]
    """After less before, and its 95 % interval by members."""
    exact: tuple[int, int]
    """Called exact before, of all votes; and how many of those the votes call right."""
    exact_after: tuple[int, int]
    gained: bool
    """The interval lies below nothing; else `calibration` is the one of before."""

    def as_json(self) -> dict[str, object]:
        """The figures by name, as `calibrate --from-use --json` prints them."""
        values = asdict(self)
        return values | {"calibration": self.calibration.as_json()}


def corrected(made: Calibration, votes: Sequence[Outcome], exact_from: float) -> Corrected:
    """The calibration, corrected where that says more of votes that were not learnt from, each judged by what other
    members' votes on other products say. Of one member, and of one product, no more than SHARE of the votes
    count. Raises DataError where there are too few."""
    votes = fair(votes, lambda one: (one.cluster, one.first), SHARE)
    right = sum(one.first_right for one in votes)
    people = len({one.cluster for one in votes})
    if people < PEOPLE or min(right, len(votes) - right) < OF_EACH:
        raise DataError(
            f"too few votes to correct by: {right} say it is it, {len(votes) - right} it is not, of {people} members",
            hint=f"{OF_EACH} of each and {PEOPLE} members are needed, none with more than a twentieth; the calibration stays as it is",
        )
    rows: list[tuple[Outcome, float, float]] = []
    for learn, held in folds([one.cluster for one in votes], [one.first for one in votes]):
        other = _moved(made, [votes[n] for n in learn]) if learn else made
        rows += [(votes[n], _sure(made, votes[n]), _sure(other, votes[n])) for n in held]
    losses = [(_loss(one, before), _loss(one, after)) for one, before, after in rows]
    difference = gain(
        [after for _, after in losses],
        [before for before, _ in losses],
        [one.cluster for one, *_ in rows],
    )
    gained = difference[2] < 0
    last = replace(_moved(made, votes), kind=f"{made.kind} {BY_VOTES}") if gained else made
    return Corrected(
        calibration=last,
        votes=len(votes),
        people=people,
        right=right,
        before=float(np.mean([before for before, _ in losses])),
        after=float(np.mean([after for _, after in losses])),
        difference=difference,
        exact=_exact([(one, before) for one, before, _ in rows], exact_from),
        exact_after=_exact([(one, after) for one, _, after in rows], exact_from),
        gained=gained,
    )


def _moved(made: Calibration, votes: Sequence[Outcome]) -> Calibration:
    odds = [made.logit(one.similarity or 0.0, one.margin) for one in votes]
    features = np.array([[1.0, each] for each in odds])
    right = np.array([one.first_right for one in votes], float)
    shift, stretch = logistic(features, right, ridge=RIDGE, towards=(0.0, 1.0)).tolist()
    stretch = max(stretch, 0.0)  # what is nearer is never the less likely for it
    return replace(
        made,
        bias=shift + stretch * made.bias,
        similarity_weight=stretch * made.similarity_weight,
        margin_weight=stretch * made.margin_weight,
    )


def _sure(made: Calibration, one: Outcome) -> float:
    return made.probability(one.similarity or 0.0, one.margin)


def _loss(one: Outcome, sure: float) -> float:
    held = min(max(sure, 1e-6), 1 - 1e-6)
    return -math.log(held if one.first_right else 1 - held)


def _exact(rows: Sequence[tuple[Outcome, float]], exact_from: float) -> tuple[int, int]:
    said = [one for one, sure in rows if sure >= exact_from]
    return len(said), sum(one.first_right for one in said)
