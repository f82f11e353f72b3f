"""Backups: backup, restore."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    app,
    command,
    err,
    opened_workspace,
    out,
    print_json,
    say,
)
from lensback.cli.stopping import stoppable
from lensback.console import FittedTable, StageProgress
from lensback.counted import counted
from lensback.errors import BadQuery

if TYPE_CHECKING:
    from lensback.backup import BackupPlace, Manifest, Seen

MIB = 1 << 20


@app.command("backup")
def backup_command(
    to: Annotated[
        str, typer.Argument(help="A folder, or s3://bucket/prefix; else that of the last backup.")
    ] = "",
    check: Annotated[
        bool, typer.Option("--verify", help="Make none: read those that are there, every byte.")
    ] = False,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Pictures, too; else a sync fetches them again.")
    ] = False,
    vectors: Annotated[
        bool, typer.Option("--vectors", help="Vectors, too; else a sync makes them again.")
    ] = False,
    database: Annotated[
        bool, typer.Option(help="Leave the database out where something else backs it up.")
    ] = True,
    keep: Annotated[
        int, typer.Option(min=0, help="Then leave only so many of the newest; 0: all.")
    ] = 0,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Copy what cannot be made again, while everything runs. What is there is not copied again."""
    from lensback import backup

    if not to:
        known = backup.last(workspace)
        if known is None:
            raise BadQuery("where to?", hint="name a folder or s3://bucket/prefix")
        to = known.place
    elif "://" not in to:
        to = str(Path(to).absolute())
    place = backup.open_place(to)
    if check:
        _verify(place, as_json)
        return
    contents = backup.Contents(pictures, vectors, database)
    with (
        opened_workspace(workspace) as opened,
        StageProgress(err) as watcher,
        stoppable(Event()) as stop,
    ):
        made = backup.back_up(
            opened.path,
            opened.db_url,
            to,
            place,
            contents,
            watch=watcher.stage("backup"),
            stop=stop,
        )
        gone = backup.forget_old(place, keep) if keep else 0
    if as_json:
        print_json({**made.as_json(), "forgotten": gone})
        return
    one = made.manifest
    new = f"{made.new_bytes / MIB:.1f} MiB in {counted(made.new_pieces, 'piece')}"
    say(
        f"backup {one.id}: {counted(one.files, 'file')}, {one.bytes / MIB:.1f} MiB, new: {new} -> {to}"
    )
    if gone:
        say(f"{counted(gone, 'older backup')} forgotten")
    _say_what_is_not_there(one)


def _say_what_is_not_there(one: Manifest) -> None:
    again = [
        name for name, there in (("pictures", one.pictures), ("vectors", one.vectors)) if not there
    ]
    if again:
        say(f"not in it: {' and '.join(again)}, which a sync makes again")
    if one.environment:
        say(f"not in it: what the environment sets ({', '.join(one.environment)})")
    if one.database == "none":
        say("not in it: the database. Clicks, sales and money are there only: back it up, too")


def _verify(place: BackupPlace, as_json: bool) -> None:
    from lensback import backup

    with StageProgress(err) as watcher, stoppable(Event()) as stop:
        seen = list(backup.verify(place, watch=watcher.stage("verify"), stop=stop))
    if as_json:
        print_json([one.as_json() for one in seen])
    else:
        out.print(_seen(seen))
    if any(one.fault for one in seen):
        raise typer.Exit(1)


def _seen(seen: list[Seen]) -> FittedTable:
    table = FittedTable("backup", "made (UTC)", "files", "MiB", "database", "state")
    for each in seen:
        one = each.manifest
        state = each.fault or "whole"
        if one is None:
            table.add_row(each.name[:40], "", "", "", "", state)
            continue
        made = f"{datetime.fromtimestamp(one.made_at, UTC):%Y-%m-%d %H:%M}"
        numbers = (str(one.files), f"{one.bytes / MIB:.1f}")
        table.add_row(one.id, made, *numbers, f"{one.database} {one.revision}", state)
    return table


@app.command("restore")
def restore_command(
    source: Annotated[str, typer.Argument(metavar="FROM", help="Where the backups lie.")],
    wanted: Annotated[
        str, typer.Option("--backup", help="Its id, or how that begins; else the newest.")
    ] = "",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Put a backup back into a folder that has no ledger. Nothing there is overwritten."""
    from lensback import backup
    from lensback.workspace import open_workspace

    place = backup.open_place(source)

    def url_of(folder: Path) -> str:
        with open_workspace(folder) as opened:
            return opened.db_url

    with StageProgress(err) as watcher, stoppable(Event()) as stop:
        watch = watcher.stage("restore")
        done = backup.restore(place, wanted, workspace, url_of, watch=watch, stop=stop)
    if as_json:
        print_json(done.as_json())
        return
    one = done.manifest
    made = f"{datetime.fromtimestamp(one.made_at, UTC):%Y-%m-%d %H:%M:%S}"
    say(f"restored {one.id}, made {made} UTC: {counted(done.written, 'file')} -> {workspace}")
    if done.kept:
        say(f"kept as it was: {counted(done.kept, 'file')} that the folder had already")
    if done.aside:
        say(f"the database that was there cannot be read: set aside as {done.aside}")
    _say_what_is_not_there(one)
    say(f"next: {command('doctor', workspace)}")
    say(f"then: {command('sync', workspace)}")
