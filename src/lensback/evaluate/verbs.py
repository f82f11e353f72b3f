"""What the command line calls to evaluate a folder or a workspace; `report.py` makes the report of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lensback.encoders import open_encoder
from lensback.errors import BadQuery
from lensback.evaluate import measure, runs
from lensback.evaluate.benchmark import Watch, evaluate_folder, unseen
from lensback.evaluate.live import evaluate_live
from lensback.evaluate.runs import Run
from lensback.settings import Settings
from lensback.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Ask:
    """An evaluation that is wanted."""

    queries: Path
    encoder: str = ""
    against: str = ""
    """An encoder, or the folder of another run."""
    leaks: str = "drop"
    machine_hour: str = ""
    watch: Watch = unseen


def of_folder(gallery: Path, images: Path, ask: Ask, settings: Settings, models: Path) -> Run:
    """The run of an encoder on a benchmark folder, set against another encoder or run."""

    def one(name: str) -> Run:
        return evaluate_folder(
            gallery,
            ask.queries,
            images,
            open_encoder(name, models, threads=settings.threads),
            exact_from=settings.exact_precision,
            leaks=ask.leaks,
            machine_hour=ask.machine_hour,
            watch=ask.watch,
        )

    run = _asked(one(ask.encoder or settings.encoder), ask)
    if not ask.against:
        return run
    path = Path(ask.against)
    return set_against(run, runs.read(path) if path.exists() else one(ask.against))


def of_workspace(workspace: Workspace, ask: Ask, folder: Path) -> Run:
    """The run on a live workspace; it can be stopped and goes on."""
    run = evaluate_live(
        workspace,
        ask.queries,
        folder,
        leaks=ask.leaks,
        machine_hour=ask.machine_hour,
        watch=ask.watch,
    )
    _asked(run, ask)
    return set_against(run, runs.read(Path(ask.against))) if ask.against else run


def _asked(run: Run, ask: Ask) -> Run:
    """The run. Raises BadQuery where it asked nothing: it would take the place of one that did."""
    if not run.queries["all"]:
        raise BadQuery(
            f"{ask.queries} asks nothing", hint="write a line for each photo whose answer you know"
        )
    return run


def set_against(run: Run, other: Run) -> Run:
    """The run with its paired differences from another one."""
    about = measure.About(other.kind, other.name, other.encoder, other.gallery, other.depth)
    return replace(run, against=measure.against(run.outcomes, other.outcomes, about))
