"""feed -> offers -> images -> vectors -> products -> index, stage by stage.

Each stage asks the catalogue what is still to do, so running it again is resuming, and a
second run with nothing changed does next to nothing: not even what groups and calibrates is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TypeVar

from lensback import headstart, log, settled
from lensback.catalogue import health, pictures, publications, stores
from lensback.catalogue.pictures import Cadence
from lensback.download import Manners, download, refetch_missing
from lensback.durable import disk_errors
from lensback.embed import GONE, Keys, embed, once
from lensback.errors import BadQuery, Damaged, DataError, Error, StateError, Stopped
from lensback.indexes import Mendable
from lensback.ingest import Limits, Roads, Skipped, ingest_all, tidy_spool
from lensback.publish import LossGuard, publish, searched
from lensback.retry import retried
from lensback.types import Progress, Tally
from lensback.workspace import Workspace, save_calibration

T = TypeVar("T")
REFIT = 0.2
"""Growth of the catalogue from which its calibration is fitted anew: look-alikes come nearer."""
FEW = 8
"""Up to so many stores each has a progress bar of its own."""
STAGES = ("ingest", "download", "embed", "group", "publish")
MENDS = "free some space, check the rights of the workspace, then sync again"
AHEAD = 100
"""Pictures to fetch from which those that have come are encoded meanwhile."""
Watch = Callable[[str], Progress]
"""Given a stage's name, returns what to call with (done, total)."""


@dataclass(slots=True)
class SyncReport:
    """What a sync did: a tally per stage, and the stores that failed as a whole."""

    tallies: list[Tally] = field(default_factory=list)
    failed: dict[str, Error] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Stores that were left alone, and why."""
    mended: dict[str, int] = field(default_factory=dict)
    """What was lost or damaged and is there again, or fetched again: how much of it."""
    ahead: list[Tally] = field(default_factory=list)
    """What was encoded while pictures were still fetched; it goes into the tally of `embed`."""

    def guarded(self, share: float) -> list[str]:
        """Stages in which more than this share of the rows was rejected, and failed stores."""
        over = [
            tally.stage
            for tally in self.tallies
            if "warning" in tally.notes
            or (
                tally.stage.split()[0] in {"ingest", "download", "embed"}
                and health.too_many(tally.done, tally.rejected, share)
            )
        ]
        return [*self.failed, *over]

    def as_json(self) -> dict[str, object]:
        """The tallies of all stages and the stores that failed, as `sync --json` prints them."""
        return {
            "stages": [tally.as_json() for tally in self.tallies],
            "failed": {name: error.as_json()["error"] for name, error in self.failed.items()},
            "skipped": self.skipped,
            "mended": self.mended,
        }


def sync(
    workspace: Workspace,
    names: Sequence[str] = (),
    *,
    only: str = "",
    jobs: int = 0,
    force: bool = False,
    due: Sequence[str] | None = None,
    stop: Event | None = None,
    watch: Watch = lambda _stage: lambda _done, _total: None,
) -> SyncReport:
    """Brings the workspace up to date with its stores (all, or those named).

    One store's broken feed is reported and does not stop the others. A store that is paused, or
    whose feed failed too often in a row, is left alone unless it is named or `force` is given.
    `only` runs one stage. `due`: feeds of these stores alone are read, the later stages do
    whatever is to do. Once `stop` is set, the stage under way ends at its next step and Stopped
    is raised: the next sync goes on from there. Raises Busy where another sync is at work,
    UnknownName for a store nobody connected.
    """
    if only and only not in STAGES:
        raise BadQuery(f"no such stage: {only!r}", hint=f"use one of {', '.join(STAGES)}")
    report, watch = SyncReport(), _stoppable(watch, stop or Event())
    with disk_errors(MENDS), workspace.locked(), _halting(workspace, stop):
        wanted = retried(partial(stores.check_names, workspace.db, list(names)))
        retried(partial(_check_age, workspace, force))
        workspace.images.sweep()
        resumed = partial(_resumed, workspace, stop)
        fetch = partial(_download, workspace, report, names, jobs, force, watch, not only)
        meant = (frozenset(names) or None) if force else frozenset[str]()

        rest = partial(_rest, workspace, report, watch, meant)

        def early() -> None:
            """The later stages for those that need not wait for a slow store."""
            if not only:
                report.tallies.append(fetch())
                rest("")

        if only in {"", "ingest"}:
            asked = wanted if due is None else due
            resumed(partial(_feeds, workspace, asked, report, watch, bool(names), force, early))
        if only in {"", "download"}:
            report.tallies.append(resumed(fetch))
        rest(only)
        if not only and _gone(report):  # found when they were to be encoded
            report.tallies.append(resumed(fetch))
            rest("")
    report.tallies += _news_sent(workspace, only)
    log.event("synced", **report.as_json())
    return report


def _rest(
    workspace: Workspace, report: SyncReport, watch: Watch, meant: frozenset[str] | None, only: str
) -> None:
    """The later stages, or the one that is asked for. Products and index are not made again of the
    catalogue of the last sync, unless it is forced."""

    def run(*stages: str) -> list[Tally]:
        told = len(report.tallies)
        for stage in stages:
            watch(stage)(0, 0)
            retried(partial(_later, stage, workspace, report, watch, meant))
        return report.tallies[told:]

    if only:
        run(*({only} - {"ingest", "download"}))
        return
    embedded = run("embed")[-1]
    while report.ahead:
        embedded.add(report.ahead.pop())
    place = retried(partial(_place, workspace))
    now = retried(place.before)
    if meant == frozenset() and (known := retried(partial(place.tallies, now))):
        report.tallies += [*known, *retried(partial(_calibrated, workspace, watch))]
        return
    came = [tally for tally in run("group", "publish") if tally.stage != "calibrate"]
    if not any("warning" in tally.notes for tally in came):
        retried(partial(place.note, now, came))


def _place(workspace: Workspace) -> settled.Settling:
    s, encoder = workspace.settings, workspace.encoder(deferred=True)
    return settled.Settling(
        workspace.path / settled.FILE,
        workspace.db,
        encoder,
        workspace.staging(encoder),
        workspace.rows_path,
        (s.index, s.min_recall),
    )


def _news_sent(workspace: Workspace, only: str) -> list[Tally]:
    """Prices and stock have changed: whoever saved a thing hears of it. No other sync waits for that."""
    if only or not (s := workspace.settings).saved_webhook:
        return []
    from lensback import search, telling

    reaching = search.reachable(workspace.db, workspace.cashback)
    where = (reaching, workspace.fetcher, s.saved_webhook, s.saved_webhook_secret, s.public_url)
    return [retried(partial(telling.tell, workspace.db, *where))]


def _check_age(workspace: Workspace, force: bool) -> None:
    """Raises StateError where the database is older than the index, until that is forced."""
    behind = publications.behind(workspace.db, searched(workspace.index))
    if behind and not force:
        raise StateError(behind, hint=publications.OLDER)


def _note(report: SyncReport, what: str, count: int) -> None:
    report.mended[what] = report.mended.get(what, 0) + count


def _gone(report: SyncReport) -> bool:
    """Whether pictures were not on the disk that the embedding asked for."""
    embedded = [tally for tally in report.tallies if tally.stage == "embed"]
    gone = sum(int(tally.notes.get("to be fetched again", 0)) for tally in embedded)
    if gone:
        _note(report, "pictures lost, to be fetched again", gone)
    return bool(gone)


def _stoppable(watch: Watch, stop: Event) -> Watch:
    """Progress is told between two steps, where nothing is half done: the place to stop at."""

    def stage(name: str) -> Progress:
        show = watch(name)

        def step(done: int, total: int) -> None:
            if stop.is_set():
                raise Stopped(f"stopped during {name}", hint="run it again: it goes on from there")
            if done or total:
                show(done, total)

        return step

    return stage


@contextmanager
def _halting(workspace: Workspace, stop: Event | None) -> Iterator[None]:
    """The fetcher may have been halted by an earlier run's end; and no later one finds it so."""
    halt = workspace.fetcher.halt
    halt.clear()
    if stop and stop.is_set():
        raise Stopped("stopped before it began", hint="run it again")
    try:
        yield
    finally:
        halt.clear()


def _resumed(workspace: Workspace, stop: Event | None, work: Callable[[], T]) -> T:
    """The stage, again while the database is away. What broke off has halted the fetcher."""

    def once() -> T:
        if not (stop and stop.is_set()):
            workspace.fetcher.halt.clear()
        return work()

    return retried(once)


def _feeds(
    workspace: Workspace,
    asked: Sequence[str],
    report: SyncReport,
    watch: Watch,
    named: bool,
    force: bool,
    early: Callable[[], None],
) -> None:
    """Reads the feeds that are not told of in the report yet."""
    told = {tally.stage.removeprefix("ingest ") for tally in report.tallies} | set(report.failed)
    chosen = _chosen(workspace, asked, report, named or force)
    left = [name for name in chosen if name not in told]
    _ingest(workspace, left, report, watch, early, force=force)
    _rates(workspace, report)


def _chosen(
    workspace: Workspace, wanted: Sequence[str], report: SyncReport, anyway: bool
) -> list[str]:
    """The stores whose feed is read now: the well and quick ones first, the others last."""
    now, asked = int(time.time()), set(wanted)
    chosen = []
    for feed in health.feeds(workspace.db):
        if feed.store not in asked:
            continue
        if not anyway and (why := feed.waits(now)):
            report.skipped[feed.store] = why
        else:
            chosen.append(feed.store)
    return chosen


def _rates(workspace: Workspace, report: SyncReport) -> None:
    s = workspace.settings
    if s.rates:
        from lensback import exchange

        source = s.rates if "://" in s.rates else str(workspace.path / s.rates)
        path, days = workspace.rates_path, s.rates_max_age_days
        report.tallies.append(exchange.refresh(workspace.fetcher, source, path, days))


def _ingest(
    workspace: Workspace,
    names: Sequence[str],
    report: SyncReport,
    watch: Watch,
    early: Callable[[], None],
    *,
    force: bool,
) -> None:
    s = workspace.settings
    limits = Limits(s.max_feed_bytes, s.max_drop, force, s.feed_budget_s, s.unknown_stock)
    tidy_spool(workspace.spool, [feed.feed_id for feed in health.feeds(workspace.db)])
    single, several = len(names) <= FEW, watch("ingest")
    outcomes = ingest_all(
        workspace.db,
        workspace.fetcher,
        names,
        spool=workspace.spool,
        limits=limits,
        roads=Roads(s.feed_jobs, s.host_jobs, s.host_delay_s),
        trust=force,
        watch=(lambda name: watch(f"ingest {name}")) if single else None,
        meanwhile=early,
    )
    for done, (name, outcome) in enumerate(outcomes, 1):
        if isinstance(outcome, Tally):
            report.tallies.append(outcome)
        elif isinstance(outcome, Skipped):
            report.skipped[name] = outcome.reason
        else:
            report.failed[name] = outcome
        if not single:
            several(done, len(names))
    report.tallies.sort(key=lambda tally: tally.stage if tally.stage.startswith("ingest ") else "~")


def _download(
    workspace: Workspace,
    report: SyncReport,
    names: Sequence[str],
    jobs: int,
    force: bool,
    watch: Watch,
    whole: bool,
) -> Tally:
    """Fetches pictures. In a `whole` sync many of them are encoded as they come: one stage waits for the
    network, one for the processor. Where syncs share the work each stage has its turn."""
    if lost := refetch_missing(workspace.db, workspace.images):
        _note(report, "pictures lost, to be fetched again", lost)
    fetch = partial(_fetch, workspace, names, jobs, force)
    db, show = workspace.db, watch("download")
    if not whole or db.shared or pictures.count_to_download(db, names) < AHEAD:
        return fetch(show)

    def keep(tally: Tally) -> None:
        tally.notes["while downloading"] = tally.done
        del tally.rejected[GONE]  # where it is still lost, the stage itself counts it
        _note_vectors(report, tally)
        report.ahead.append(tally)

    with headstart.begun(
        lambda coming, tally: _embed(workspace, watch, coming.keys, tally), Tally("embed"), keep
    ) as coming:
        return fetch(coming.progress(show))


def _fetch(
    workspace: Workspace, names: Sequence[str], jobs: int, force: bool, progress: Progress
) -> Tally:
    s = workspace.settings
    return download(
        workspace.db,
        workspace.fetcher,
        workspace.images,
        max_bytes=s.max_image_bytes,
        jobs=jobs or s.download_jobs,
        cadence=Cadence(
            soon=s.download_attempts,
            recheck_s=s.image_recheck_days * 86_400,
            per_sync=s.recheck_images,
            per_store=s.recheck_store_images,
            anyway=force and bool(names),
        ),
        stores=names,
        manners=Manners(s.host_jobs, s.host_delay_s, s.robots_exempt, trust=force),
        progress=progress,
    )


def _later(
    stage: str,
    workspace: Workspace,
    report: SyncReport,
    watch: Watch,
    meant: frozenset[str] | None,
) -> None:
    """Products and the index are made by one sync at a time; embedding is shared out. The report
    hears of a stage when it is through: what was tried again is told once."""
    alone = nullcontext() if stage == "embed" else workspace.db.claim(stage)
    stages: dict[str, Callable[[Workspace, Watch], list[Tally]]]
    stages = {"embed": _embed, "group": _group, "publish": partial(_publish, meant)}
    with alone:
        try:
            tallies = stages[stage](workspace, watch)
        except Damaged as error:
            tallies = _made_again(workspace, report, watch, error) + stages[stage](workspace, watch)
    report.tallies += tallies
    for tally in tallies:
        _note_vectors(report, tally)


def _note_vectors(report: SyncReport, tally: Tally) -> None:
    if lost := int(tally.notes.get("vectors lost", 0)):
        _note(report, "vectors lost, made again", lost)


def _made_again(
    workspace: Workspace, report: SyncReport, watch: Watch, error: Damaged
) -> list[Tally]:
    """Sets aside what cannot be read of this encoder's vectors and index, and embeds again what lost
    its vector. Raises the error where both can be read: it is about something else."""
    encoder, tallies = workspace.encoder(deferred=True), list[Tally]()
    index, before = workspace.staging(encoder), report.mended.copy()
    try:
        workspace.vectors.check(encoder.fingerprint, anew=True)
    except Damaged:
        workspace.vectors.set_aside(encoder.fingerprint)
        tallies = _embed(workspace, watch)
        _note(report, "tables of vectors damaged, made again", 1)
    if isinstance(index, Mendable) and index.set_aside():
        _note(report, "tables of the index damaged, made again", 1)
    if report.mended == before:
        raise error
    return tallies


def _embed(
    workspace: Workspace, watch: Watch, keys: Keys = once, into: Tally | None = None
) -> list[Tally]:
    w, batch = workspace, workspace.settings.embed_batch
    things = (w.db, w.images, w.vectors, w.encoder(deferred=True))
    return [embed(*things, batch=batch, keys=keys, progress=watch("embed"), into=into)]


def _group(workspace: Workspace, watch: Watch) -> list[Tally]:
    from lensback.group import group, pair_images

    db, fingerprint = workspace.db, workspace.encoder(deferred=True).fingerprint
    pairs = []
    if len(stores.names(db)) > 1:
        progress = watch("pair")
        pairs = [
            pair_images(db, workspace.images, workspace.vectors, fingerprint, progress=progress)
        ]
    return [*pairs, group(db, images=workspace.images)]


def _publish(meant: frozenset[str] | None, workspace: Workspace, watch: Watch) -> list[Tally]:
    """`meant`: stores whose loss of rows is meant; None: any."""
    encoder, live = workspace.encoder(deferred=True), searched(workspace.index)
    note = publications.begin(workspace.db)
    tally = publish(
        workspace.db,
        workspace.vectors,
        workspace.staging(encoder),
        fingerprint=encoder.fingerprint,
        encoder=encoder.name,
        guard=LossGuard(workspace.rows_path, workspace.settings.max_drop, meant),
        progress=watch("publish"),
    )
    snapshot = live.id if live and "warning" in tally.notes else tally.notes.get("snapshot", "")
    publications.finish(workspace.db, note, str(snapshot))
    if "warning" in tally.notes:
        return [tally]
    return [tally, *_calibrated(workspace, watch)]


def _calibrated(workspace: Workspace, watch: Watch) -> list[Tally]:
    """Calibrates where that was not done yet, or of a catalogue of another size."""
    fingerprint = workspace.encoder(deferred=True).fingerprint
    known, images = workspace.calibration(fingerprint), workspace.vectors.count(fingerprint)
    if known is None or abs(images - known.images) > REFIT * known.images:
        return [_calibrate(workspace, watch)]
    return []


def _calibrate(workspace: Workspace, watch: Watch) -> Tally:
    from lensback.calibrate import calibrate

    tally = Tally("calibrate")
    begin = time.perf_counter()
    try:
        calibration = calibrate(
            workspace.db,
            workspace.images,
            workspace.vectors,
            workspace.encoder(deferred=True),
            detector=workspace.detector_of_many,
            exact_from=workspace.settings.exact_precision,
            progress=watch("calibrate"),
        )
        save_calibration(workspace, calibration)
        tally.done = calibration.cases
        tally.notes["kind"] = calibration.kind
    except DataError as error:
        tally.notes["skipped"] = error.message
    tally.seconds = time.perf_counter() - begin
    return tally
