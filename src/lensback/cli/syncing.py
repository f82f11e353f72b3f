"""sync: once, or as a service that wakes when a store is due."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    app,
    command,
    connected,
    err,
    one_of,
    opened_workspace,
    out,
    print_json,
    print_json_line,
    refuse,
    say,
    say_aside,
)
from lensback.cli.stopping import CTRL_C, stoppable
from lensback.console import StageProgress, tally_table
from lensback.counted import counted
from lensback.errors import BadQuery, Error

if TYPE_CHECKING:
    from lensback.sync import SyncReport
    from lensback.workspace import Workspace


@app.command("sync")
def sync_command(
    names: Annotated[
        list[str] | None, typer.Argument(help="Stores; all by default.", autocompletion=connected)
    ] = None,
    only: Annotated[
        str,
        typer.Option(
            help="ingest, download, embed, group or publish.",
            autocompletion=one_of("ingest", "download", "embed", "group", "publish"),
        ),
    ] = "",
    jobs: Annotated[int, typer.Option(min=0, help="Images fetched at once.")] = 0,
    force: Annotated[
        bool, typer.Option(help="Let a feed that shrank take offers off sale, an index lose rows.")
    ] = False,
    every: Annotated[
        str,
        typer.Option(help="Run on: 30m, 6h, 1d, or a cron line in UTC, for stores without one."),
    ] = "",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Bring offers, images, vectors, products and index up to date. Resumable."""
    from lensback.sync import sync

    if every:
        if only or jobs or force:
            raise BadQuery(
                "--every goes with names alone", hint="leave --only, --jobs, --force out"
            )
        _service(workspace, every, names or [], as_json)
        return
    with (
        opened_workspace(workspace) as opened,
        StageProgress(err) as watcher,
        stoppable(opened.fetcher.halt) as stop,
    ):
        first = not _searchable(opened)
        watch = watcher.stage
        report = sync(
            opened, names or [], only=only, jobs=jobs, force=force, stop=stop, watch=watch
        )
        share = opened.settings.reject_guard
        next_ = _next(opened, report, workspace) if first else ""
    if as_json:
        print_json(report.as_json())
    else:
        out.print(tally_table(report.tallies))
        for what, count in report.mended.items():
            say(f"mended: {count} {what}")
    troubled = _show_troubles(report, share, workspace, quiet=as_json)
    if next_ and not as_json:
        say(f"next: {next_}")
    if troubled:
        raise typer.Exit(1)


def _searchable(opened: Workspace) -> bool:
    """Whether there is anything that a search can find."""
    try:
        snapshot = opened.index.snapshot
    except Error:  # a damaged one is what a sync mends
        return False
    return bool(snapshot and snapshot.rows)


def _next(opened: Workspace, report: SyncReport, folder: Path) -> str:
    """The command that leads on from a sync before which nothing could be found."""
    from lensback.catalogue import stores

    if not stores.names(opened.db):
        return command("store add NAME --feed URL", folder)
    if _searchable(opened):
        return command("search --example", folder)
    if len(report.failed) == 1:
        return command(f"store show {next(iter(report.failed))}", folder)
    return command("doctor", folder)


def _service(folder: Folder, every: str, names: list[str], as_json: bool) -> None:
    """Until SIGTERM or Ctrl-C: one line a round, and what went wrong in it."""
    from lensback import schedule
    from lensback.service import serve

    usual = schedule.parse(every)
    tell_people = say_aside if as_json else say
    with opened_workspace(folder) as opened, stoppable(opened.fetcher.halt) as stop:
        share = opened.settings.reject_guard

        def tell(came: SyncReport | Error) -> None:
            if isinstance(came, Error) and as_json:
                print_json_line(came.as_json())
            elif isinstance(came, Error):
                refuse(type(came).__name__, came)
            elif as_json:
                print_json_line(came.as_json())
            else:
                say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {_line(came)}")
                _show_troubles(came, share, folder)

        tell_people(f"syncing every {usual.text}; stop with Ctrl-C or SIGTERM")
        serve(opened, usual, stop, tell, names=names)
    tell_people("stopped; nothing is lost: it goes on from here")
    if stop.by_hand:
        raise typer.Exit(CTRL_C)


def _line(report: SyncReport) -> str:
    """A round in one line."""
    feeds = [tally for tally in report.tallies if tally.stage.startswith("ingest ")]
    unchanged = sum(tally.notes.get("feed") == "unchanged" for tally in feeds)
    changed = sum(int(tally.notes.get("changed", 0)) for tally in feeds)
    removed = sum(int(tally.notes.get("removed", 0)) for tally in feeds)
    fetched = sum(tally.done for tally in report.tallies if tally.stage == "download")
    stores = f"{counted(len(feeds), 'store')} ({unchanged} unchanged)"
    failed = f", {len(report.failed)} failed" if report.failed else ""
    rows = f"{counted(changed, 'offer')} changed, {removed} off sale, {counted(fetched, 'image')} fetched"
    return f"{stores}{failed}: {rows}"


def _show_troubles(report: SyncReport, share: float, folder: Path, *, quiet: bool = False) -> bool:
    """Says on stderr what to look at, why, and by which command; whether there was something."""
    if not quiet:
        for tally in report.tallies:
            for note in ("warning", "hint"):
                if note in tally.notes:
                    refuse(tally.stage, Error(str(tally.notes[note])))
        for name, error in report.failed.items():
            refuse(name, error)
    over = dict.fromkeys(report.guarded(share))
    for stage in over:
        line = f"to look at: {_trouble(report, stage, share, folder)}"
        err.print(line, markup=False, highlight=False, soft_wrap=True)
    return bool(over)


def _trouble(report: SyncReport, stage: str, share: float, folder: Path) -> str:
    """What went wrong in a stage, or with a store whose feed failed, and the command that tells more."""
    from lensback.catalogue import health

    if stage in report.failed:
        return f"{stage}: its feed failed; next: {command(f'store show {stage}', folder)}"
    kind, _, store = stage.partition(" ")
    what = "rows" if kind == "ingest" else "pictures"
    mine = [tally for tally in report.tallies if tally.stage == stage]
    told = [str(tally.notes["warning"]) for tally in mine if "warning" in tally.notes]
    if kind in {"ingest", "download", "embed"}:
        told += [health.too_many(tally.done, tally.rejected, share, what) for tally in mine]
    show = f"store show {store}" if kind == "ingest" and store else "doctor"
    return f"{store or kind}: {'; '.join(filter(None, told))}; next: {command(show, folder)}"
