"""Workspace and stores: init, store add, list, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    app,
    opened_workspace,
    out,
    print_json,
    read_text_file,
    say,
    store_app,
)
from lensback.errors import BadQuery
from lensback.workspace import init

EVERY_HELP = "Its schedule in `sync --every`: 30m, 6h, 1d, or a cron line in UTC; '' for the usual."


@app.command("init")
def init_command(
    anew: Annotated[
        bool, typer.Option("--new-database", help="Begin anew where the database is lost for good.")
    ] = False,
    workspace: Folder = HERE,
) -> None:
    """Make a workspace with a commented lensback.toml."""
    made = init(workspace)
    with opened_workspace(workspace) as opened:
        if anew:
            opened.begin_anew()
        opened.db.revision()
    say(f"{'made' if made else 'already there:'} {workspace}")
    if made:
        out.print("next: lensback store add NAME --feed URL", highlight=False)


@store_app.command("add")
def store_add(
    name: str,
    feed: Annotated[str, typer.Option(help="URL or path of the feed.")],
    format: Annotated[str, typer.Option(help="auto, google, yml or table.")] = "auto",  # noqa: A002
    columns: Annotated[
        Path | None, typer.Option(help="TOML column map of an unusual table.")
    ] = None,
    base: Annotated[str, typer.Option(help="What {BASE} in the feed stands for.")] = "",
    program: Annotated[
        list[Path] | None,
        typer.Option(help="TOML of the affiliate programme; again for a second choice."),
    ] = None,
    title: Annotated[str, typer.Option(help="Name that shoppers see.")] = "",
    every: Annotated[str | None, typer.Option(help=EVERY_HELP)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the feed, show what it gives, write nothing.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Connect a store. The same name again changes its feed."""
    from lensback import schedule
    from lensback.cashback import check_program
    from lensback.catalogue import health, stores
    from lensback.checked import read_toml
    from lensback.feeds import FORMATS, ColumnMap
    from lensback.ingest.collect import REMOTE
    from lensback.net import redact

    if format not in FORMATS:
        raise BadQuery(f"no such format: {format!r}", hint=f"use one of {', '.join(FORMATS)}")
    columns_text = read_text_file(columns) if columns else ""
    if columns_text:
        ColumnMap.parse(columns_text)
    terms = [read_toml(path, "programs.md") for path in program or ()]
    if every:
        schedule.parse(every)
    for one in terms:
        check_program(one, workspace / "networks")
    scheme, mark, _ = feed.partition("://")
    if not mark:
        feed = str(Path(feed).absolute())
    elif scheme.lower() not in {*REMOTE, "file"}:
        hint = "use http, https, ftp, ftps, or a path; mirror sftp to a path with sftp or rclone"
        raise BadQuery(f"cannot fetch {scheme}:// feeds", hint=hint)
    if dry_run:
        from lensback.cli.dry_run import report_dry_run

        with opened_workspace(workspace) as opened:
            report_dry_run(opened, feed, format, columns_text, base, as_json)
        return
    with opened_workspace(workspace) as opened:
        options = {"format": format, "columns": columns_text, "base": base, "title": title}
        first, others = (terms[0], terms[1:]) if terms else (None, [])
        stores.add(opened.db, name, feed, **options, program=first, fallbacks=others)
        if every is not None:
            health.set_schedule(opened.db, name, every)
    say(f"connected {name}: {redact(feed)}")
    if not mark and not Path(feed).exists():
        say("that file is not there yet")
    say(f"next: lensback sync {name}")


@store_app.command("list")
def store_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Connected stores: what is fresh, what failed and why, and what to do."""
    from dataclasses import asdict

    from lensback.catalogue import stores
    from lensback.net import redact
    from lensback.workspace import ago, coming

    with opened_workspace(workspace) as opened:
        states = stores.overview(opened.db)
    if as_json:
        print_json([asdict(s) | {"feed_url": redact(s.feed_url)} for s in states])
        return
    table = Table(
        "store", "health", "offers", "in stock", "images", "last sync", "next", "what to do"
    )
    for s in states:
        images = f"{s.images} ({s.images_failed} failed)" if s.images_failed else str(s.images)
        numbers = (str(s.offers), str(s.in_stock), images, ago(s.last_sync))
        told = f"{s.message}; {s.todo}" if s.message and s.todo else s.message or s.todo
        table.add_row(*map(escape, (s.name, s.health, *numbers, coming(s.next_run), told)))
    out.print(table if states else "no stores yet: lensback store add NAME --feed URL")


@store_app.command("remove")
def store_remove(name: str, workspace: Folder = HERE) -> None:
    """Disconnect a store and forget its offers; the next sync takes them out of the index."""
    from lensback.catalogue import stores
    from lensback.publish import forget_store

    with opened_workspace(workspace) as opened, opened.locked():
        stores.remove(opened.db, name)
        forget_store(opened.rows_path, name)
    say(f"removed {name}; run lensback sync to take it out of the index")
