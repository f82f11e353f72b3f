"""Workspace and stores: init, store, sync."""

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
    err,
    opened_workspace,
    out,
    print_json,
    read_text_file,
    read_toml,
    refuse,
    say,
    store_app,
)
from lensback.console import Watcher, tally_table
from lensback.errors import BadQuery, Error
from lensback.workspace import init


@app.command("init")
def init_command(workspace: Folder = HERE) -> None:
    """Make a workspace with a commented lensback.toml."""
    made = init(workspace)
    with opened_workspace(workspace) as opened:
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
    program: Annotated[Path | None, typer.Option(help="TOML of the affiliate programme.")] = None,
    title: Annotated[str, typer.Option(help="Name that shoppers see.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the feed, show what it gives, write nothing.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Connect a store. The same name again changes its feed."""
    from lensback.cashback import check_program
    from lensback.catalogue import stores
    from lensback.feeds import FORMATS, ColumnMap
    from lensback.net import redact

    if format not in FORMATS:
        raise BadQuery(f"no such format: {format!r}", hint=f"use one of {', '.join(FORMATS)}")
    columns_text = read_text_file(columns) if columns else ""
    if columns_text:
        ColumnMap.parse(columns_text)
    terms = read_toml(program) if program else None
    if terms is not None:
        check_program(terms, workspace / "networks")
    scheme, mark, _ = feed.partition("://")
    if not mark:
        feed = str(Path(feed).absolute())
    elif scheme.lower() not in {"http", "https", "file"}:
        raise BadQuery(f"cannot fetch {scheme}:// feeds", hint="use http, https, or a path")
    if dry_run:
        from lensback.cli import trial

        with opened_workspace(workspace) as opened:
            trial.dry_run(opened, feed, format, columns_text, base, as_json)
        return
    with opened_workspace(workspace) as opened:
        options = {"format": format, "columns": columns_text, "base": base, "title": title}
        stores.add(opened.db, name, feed, **options, program=terms)
    say(f"connected {name}: {redact(feed)}")
    if not mark and not Path(feed).exists():
        say("that file is not there yet")
    say(f"next: lensback sync {name}")


@store_app.command("list")
def store_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Connected stores, and how their last sync went."""
    from dataclasses import asdict

    from lensback.catalogue import stores
    from lensback.net import redact
    from lensback.workspace import ago

    with opened_workspace(workspace) as opened:
        states = stores.overview(opened.db)
    if as_json:
        print_json([asdict(s) | {"feed_url": redact(s.feed_url)} for s in states])
        return
    table = Table("store", "offers", "in stock", "images", "failed", "last sync", "status", "feed")
    for s in states:
        numbers = (str(s.offers), str(s.in_stock), str(s.images), str(s.images_failed))
        status = f"{s.status}: {s.message}" if s.message else s.status
        table.add_row(
            *map(escape, (s.name, *numbers, ago(s.last_sync), status, redact(s.feed_url)))
        )
    out.print(table if states else "no stores yet: lensback store add NAME --feed URL")


@store_app.command("remove")
def store_remove(name: str, workspace: Folder = HERE) -> None:
    """Disconnect a store and forget its offers; the next sync takes them out of the index."""
    from lensback.catalogue import stores

    with opened_workspace(workspace) as opened, opened.locked():
        stores.remove(opened.db, name)
    say(f"removed {name}; run lensback sync to take it out of the index")


@app.command("sync")
def sync_command(
    names: Annotated[list[str] | None, typer.Argument(help="Stores; all by default.")] = None,
    only: Annotated[str, typer.Option(help="ingest, download, embed, group or publish.")] = "",
    jobs: Annotated[int, typer.Option(min=0, help="Images fetched at once.")] = 0,
    force: Annotated[
        bool, typer.Option(help="Let a feed that shrank take offers off sale.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Bring offers, images, vectors, products and index up to date. Resumable."""
    from lensback.sync import sync

    with opened_workspace(workspace) as opened, Watcher(err) as watcher:
        report = sync(opened, names or [], only=only, jobs=jobs, force=force, watch=watcher.stage)
        over = report.guarded(opened.settings.reject_guard)
    if as_json:
        print_json(report.as_json())
    else:
        out.print(tally_table(report.tallies))
        for tally in report.tallies:
            for note in ("warning", "hint"):
                if note in tally.notes:
                    refuse(tally.stage, Error(str(tally.notes[note])))
        for name, error in report.failed.items():
            refuse(name, error)
    if over:
        err.print(f"to look at: {', '.join(over)}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1)
