"""feed -> offers -> images -> vectors -> products -> index, stage by stage.

Each stage asks the catalogue what is still to do, so running it again is resuming, and a
second run with nothing changed does next to nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from lensback import log
from lensback.calibrate import calibrate
from lensback.catalogue import stores
from lensback.db import retried
from lensback.download import download
from lensback.embed import embed
from lensback.errors import BadQuery, DataError, Error, FetchError, StateError, TooLarge
from lensback.group import group, pair_images
from lensback.ingest import Limits, clear_spool, ingest
from lensback.publish import publish
from lensback.types import Progress, Tally
from lensback.workspace import Workspace, save_calibration

REFIT = 0.2
"""Growth of the catalogue from which its calibration is fitted anew: look-alikes come nearer."""
STAGES = ("ingest", "download", "embed", "group", "publish")
Watch = Callable[[str], Progress]
"""Given a stage's name, returns what to call with (done, total)."""


@dataclass(slots=True)
class Report:
    """What a sync did: a tally per stage, and the stores that failed as a whole."""

    tallies: list[Tally] = field(default_factory=list)
    failed: dict[str, Error] = field(default_factory=dict)

    def guarded(self, share: float) -> list[str]:
        """Stages in which more than this share of the rows was rejected, and failed stores."""
        over = [
            tally.stage
            for tally in self.tallies
            if "warning" in tally.notes
            or (
                tally.stage.split()[0] in {"ingest", "download", "embed"}
                and tally.rejects > share * (tally.done + tally.rejects)
            )
        ]
        return [*self.failed, *over]

    def as_json(self) -> dict[str, object]:
        return {
            "stages": [tally.as_json() for tally in self.tallies],
            "failed": {name: error.as_json()["error"] for name, error in self.failed.items()},
        }


def sync(
    workspace: Workspace,
    names: Sequence[str] = (),
    *,
    only: str = "",
    jobs: int = 0,
    force: bool = False,
    watch: Watch = lambda _stage: lambda _done, _total: None,
) -> Report:
    """Brings the workspace up to date with its stores (all, or those named).

    One store's broken feed is reported and does not stop the others. `only` runs one stage.
    Raises Busy where another sync is at work, UnknownName for a store nobody connected.
    """
    if only and only not in STAGES:
        raise BadQuery(f"no such stage: {only!r}", hint=f"use one of {', '.join(STAGES)}")
    report = Report()
    with _disk_errors(), workspace.locked():
        wanted = stores.check_names(workspace.db, list(names))
        workspace.images.sweep()
        if only in {"", "ingest"}:
            _ingest(workspace, wanted, report, watch, force=force)
        if only in {"", "download"}:
            s = workspace.settings
            fetch = partial(
                download,
                workspace.db,
                workspace.fetcher,
                workspace.images,
                max_bytes=s.max_image_bytes,
                jobs=jobs or s.download_jobs,
                attempts=s.download_attempts,
                stores=names,
                progress=watch("download"),
            )
            report.tallies.append(retried(fetch))
        for stage in ("embed", "group", "publish"):
            if only in {"", stage}:
                retried(partial(_later, stage, workspace, report, watch))
    log.event("synced", **report.as_json())
    return report


@contextmanager
def _disk_errors() -> Iterator[None]:
    """What the disk refuses, from whichever stage, as one of ours: the next sync goes on."""
    try:
        yield
    except OSError as error:
        raise StateError(
            f"the disk refuses: {error.strerror or error}",
            hint="free some space, check the rights of the workspace, then sync again",
        ) from error


def _ingest(
    workspace: Workspace, names: Sequence[str], report: Report, watch: Watch, *, force: bool
) -> None:
    s = workspace.settings
    limits = Limits(max_bytes=s.max_feed_bytes, max_drop=s.max_drop, force=force)
    if not workspace.db.shared:  # another sync may be reading its feeds there
        clear_spool(workspace.spool)
    for name in names:
        read = partial(
            ingest,
            workspace.db,
            workspace.fetcher,
            name,
            spool=workspace.spool,
            limits=limits,
            progress=watch(f"ingest {name}"),
        )
        try:
            report.tallies.append(retried(partial(_unless_another, workspace, name, read)))
        except (DataError, FetchError, TooLarge) as error:
            report.failed[name] = error


def _unless_another(workspace: Workspace, name: str, read: Callable[[], Tally]) -> Tally:
    """Reads a store's feed, but not while another sync does."""
    with workspace.db.claims() as mine:
        if mine.take(f"ingest {name}"):
            return read()
    return Tally(f"ingest {name}", notes={"feed": "another sync is reading it"})


def _later(stage: str, workspace: Workspace, report: Report, watch: Watch) -> None:
    """Products and the index are made by one sync at a time; embedding is shared out."""
    if stage == "embed":
        _embed(workspace, report, watch)
        return
    with workspace.db.claim(stage):
        _LATER[stage](workspace, report, watch)


def _embed(workspace: Workspace, report: Report, watch: Watch) -> None:
    report.tallies.append(
        embed(
            workspace.db,
            workspace.images,
            workspace.vectors,
            workspace.encoder(),
            batch=workspace.settings.embed_batch,
            progress=watch("embed"),
        )
    )


def _group(workspace: Workspace, report: Report, watch: Watch) -> None:
    if len(stores.names(workspace.db)) > 1:
        report.tallies.append(
            pair_images(
                workspace.db,
                workspace.images,
                workspace.vectors,
                workspace.encoder().fingerprint,
                progress=watch("pair"),
            )
        )
    report.tallies.append(group(workspace.db))


def _publish(workspace: Workspace, report: Report, watch: Watch) -> None:
    encoder = workspace.encoder()
    report.tallies.append(
        publish(
            workspace.db,
            workspace.vectors,
            workspace.staging(encoder),
            fingerprint=encoder.fingerprint,
            encoder=encoder.name,
            progress=watch("publish"),
        )
    )
    known = workspace.calibration(encoder.fingerprint)
    images = workspace.vectors.count(encoder.fingerprint)
    if known is None or abs(images - known.images) > REFIT * known.images:
        _calibrate(workspace, report, watch)


def _calibrate(workspace: Workspace, report: Report, watch: Watch) -> None:
    tally = Tally("calibrate")
    begin = time.perf_counter()
    try:
        calibration = calibrate(
            workspace.db,
            workspace.images,
            workspace.vectors,
            workspace.encoder(),
            progress=watch("calibrate"),
        )
        save_calibration(workspace, calibration)
        tally.done = calibration.cases
        tally.notes["kind"] = calibration.kind
    except DataError as error:
        tally.notes["skipped"] = error.message
    tally.seconds = time.perf_counter() - begin
    report.tallies.append(tally)


_LATER: dict[str, Callable[[Workspace, Report, Watch], None]] = {
    "group": _group,
    "publish": _publish,
}
