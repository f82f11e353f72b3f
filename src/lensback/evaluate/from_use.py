"""What use says of the service, apart from every other figure: members vote on what they were shown, so what was
not shown is not in here, and whoever is content votes more often or less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lensback import metrics
from lensback.errors import DataError
from lensback.evaluate.measure import share_figure
from lensback.evaluate.runs import Figure
from lensback.lessons import STRONGEST, lessons, outcomes
from lensback.questions import Outcome, said
from lensback.workspace import Workspace

NOTE = "said by members of what they were shown: no measure of what was never shown, and no promise"
HINT = "set learn_from_use = true in lensback.toml, restart serve, and let members use it"


@dataclass(frozen=True, slots=True)
class UseRun:
    """What members' votes, purchases and clicks say of what is published now."""

    encoder: str
    lessons: int
    people: int
    products: int
    left_out: dict[str, int]
    figures: tuple[Figure, ...]
    note: str = NOTE

    def as_json(self) -> dict[str, Any]:
        """The figures by name, as `evaluate --from-use --json` prints them."""
        return asdict(self)


def run_of_use(workspace: Workspace) -> UseRun:
    """Votes, purchases and clicks asked once more of what is published now. Raises DataError where nothing is
    published, or use has taught nothing."""
    snapshot = workspace.index.snapshot
    if snapshot is None:
        raise DataError("nothing is published yet", hint="run: lensback sync")
    known = lessons(workspace.db, workspace.path, snapshot.fingerprint)
    if not known.taught:
        raise DataError("use has taught nothing yet", hint=HINT)
    calibration = workspace.calibration(snapshot.fingerprint)
    asked = outcomes(workspace.db, workspace.vectors, snapshot.fingerprint, known.taught)
    judged = [said(one, calibration, workspace.settings.exact_precision) for one in asked]
    return UseRun(
        snapshot.encoder,
        len(known.taught),
        len({one.person for one in known.taught}),
        len({one.product for one in known.taught}),
        known.left_out,
        tuple(figures(judged)),
    )


def figures(judged: Sequence[Outcome]) -> list[Figure]:
    """Votes, purchases and clicks, each apart: whether their product is found first, and among five. Then first hits
    that were voted on: how many of those called exact are right, and of what share of them that is said."""
    found: list[Figure] = []
    for by in STRONGEST:
        own = [one for one in judged if one.present and one.slices["kind"] == by]
        found += [
            share_figure(f"{by}: R@{k}", [metrics.within(one.rank, k) for one in own])
            for k in (1, 5)
        ]
    votes = [one for one in judged if one.slices["kind"] == "vote"]
    exact = [one.first_right for one in votes if one.verdict == "exact"]
    found.append(share_figure("exact: precision by votes", exact))
    found.append(
        share_figure("exact: coverage of votes", [one.verdict == "exact" for one in votes])
    )
    return found
