"""Workspace and stores: init, store add, set, rename, list, remove."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lensback.cli.face import (
    HERE,
    AsJson,
    Connected,
    Folder,
    app,
    command,
    confirmed,
    one_of,
    opened_workspace,
    out,
    pasted,
    print_json,
    read_text_file,
    say,
    say_aside,
    store_app,
)
from lensback.cli.options import options_of
from lensback.console import FittedTable
from lensback.counted import counted
from lensback.errors import BadQuery, Error, FetchError

if TYPE_CHECKING:
    from lensback.ingest.dry_run import DryRun
    from lensback.workspace import Workspace

NAMED_FILES = 5
"""Of a folder that a workspace is made in."""


@app.command("init")
def init_command(
    anew: Annotated[
        bool, typer.Option("--new-database", help="Begin anew where the database is lost for good.")
    ] = False,
    workspace: Folder = HERE,
) -> None:
    """Make a workspace with a commented lensback.toml."""
    from lensback.workspace import init

    had = _contents(workspace)
    made = init(workspace)
    with opened_workspace(workspace) as opened:
        if anew:
            opened.begin_anew()
        opened.db.revision()
    say(f"{'made' if made else 'already there:'} {workspace}")
    if made and had:
        say(f"what was in it is left alone: {had}")
    if made:
        say(f"next: {command('store add NAME --feed URL --dry-run', workspace)}")


def _contents(folder: Path) -> str:
    """The first names in a folder, and how many more there are; empty where there is nothing."""
    try:
        names = sorted(p.name for p in folder.iterdir())
    except OSError:  # not there, or not to be read: making the workspace tells of it
        return ""
    more = f" and {len(names) - NAMED_FILES} more" if len(names) > NAMED_FILES else ""
    return ", ".join(names[:NAMED_FILES]) + more


@dataclass(frozen=True)
class StoreOptions:
    """What a command may name of a store."""

    feed: Annotated[str, typer.Option(help="URL or path of the feed; needed for a new store.")] = ""
    format: Annotated[
        str | None,
        typer.Option(
            help="auto (unless said), google, yml or table.",
            autocompletion=one_of("auto", "google", "yml", "table"),
        ),
    ] = None
    columns: Annotated[Path | None, typer.Option(help="TOML column map of an unusual table.")] = (
        None
    )
    base: Annotated[str | None, typer.Option(help="What {BASE} in the feed stands for.")] = None
    program: Annotated[
        list[Path] | None,
        typer.Option(help="TOML of the affiliate programme; again for a second choice."),
    ] = None
    title: Annotated[str | None, typer.Option(help="Name that shoppers see.")] = None
    currency: Annotated[str, typer.Option(help="Of prices that name none: EUR, RUB …")] = ""
    every: Annotated[
        str | None,
        typer.Option(
            help="Its schedule in `sync --every`: 30m, 6h, 1d, or a cron line in UTC; '' for the usual."
        ),
    ] = None


@store_app.command("add")
@options_of(StoreOptions, "options")
def store_add(
    name: str,
    options: StoreOptions,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the feed, show what it gives, write nothing.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option(help="With --dry-run: a file to keep the column map in.")
    ] = None,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Connect a store. The same name again changes what is named and keeps the rest."""
    from lensback.net import redact

    if save and not dry_run:
        raise BadQuery("--save keeps what a dry run proposes", hint="add --dry-run")
    change = _change(workspace, options)
    with opened_workspace(workspace) as opened:
        if dry_run:
            from lensback.cli.dry_run import check_free, report_dry_run

            if save:
                check_free(save)
            report_dry_run(_tried(opened, name, change, "dry run"), save, as_json)
            return
        _look_over(opened, name, change)
        _apply(opened, name, change)
        _say_strange_hosts(opened, name, change)
        address = _feed_of(opened, name)
    if as_json:
        print_json({"name": name, "feed_url": redact(address)})
        return
    say(f"connected {name}: {redact(address)}")
    if "://" not in address and not Path(address).exists():
        say("that file is not there yet")
    say(f"next: {command(f'sync {name}', workspace)}")


@store_app.command("set")
@options_of(StoreOptions, "options")
def store_set(name: Connected, options: StoreOptions, workspace: Folder = HERE) -> None:
    """Change what is named of a connected store, and nothing else."""
    from lensback.catalogue import stores

    change = _change(workspace, options)
    if change == StoreChange():
        raise BadQuery("nothing to change", hint="name at least one option, as --title or --feed")
    with opened_workspace(workspace) as opened:
        stores.check_names(opened.db, [name])
        _look_over(opened, name, change)
        _apply(opened, name, change)
        _say_strange_hosts(opened, name, change)
    say(f"changed {name}")
    if change.feed or change.read:
        say(f"next: {command(f'sync {name}', workspace)}")


@dataclass(frozen=True)
class StoreChange:
    """What a command names of a store, checked; what it does not name stays."""

    feed: str = ""
    read: Mapping[str, str] = field(default_factory=dict)
    """How the feed is read: format, columns, base."""
    title: str | None = None
    currency: str = ""
    terms: tuple[Mapping[str, Any], ...] = ()
    every: str | None = None


def _change(workspace: Path, options: StoreOptions) -> StoreChange:
    from lensback import schedule
    from lensback.cashback import check_program
    from lensback.checked import read_toml
    from lensback.feeds import FORMATS, ColumnMap
    from lensback.feeds.money import currency as known_currency

    if options.format is not None and options.format not in FORMATS:
        raise BadQuery(
            f"no such format: {options.format!r}", hint=f"use one of {', '.join(FORMATS)}"
        )
    columns = read_text_file(options.columns) if options.columns else None
    read = {"format": options.format, "base": options.base, "columns": columns}
    code = known_currency(options.currency) if options.currency else ""
    if options.currency and not code:
        raise BadQuery(
            f"no such currency: {options.currency!r}", hint="use its code, as EUR or RUB"
        )
    if columns:
        ColumnMap.parse(columns)
    terms = tuple(read_toml(path, "programs.md") for path in options.program or ())
    if options.every:
        schedule.parse(options.every)
    for one in terms:
        check_program(one, workspace / "networks")
    named = {key: value for key, value in read.items() if value is not None}
    return StoreChange(_address(options.feed), named, options.title, code, terms, options.every)


_ADDRESS = re.compile(
    r"(?:(?P<scheme>https?|ftps?):/*|//)?(?P<host>(?:[\w-]+\.)+[\w-]+(?::\d+)?/|(?:www\.|localhost[:/])|[\w.-]+:\d+)",
    re.IGNORECASE,
)
"""What people type who mean an address: without its scheme, or with one slash."""


def _address(feed: str) -> str:
    from lensback.ingest.collect import REMOTE

    scheme, mark, _ = feed.partition("://")
    if not mark:
        if (found := _ADDRESS.match(feed)) and not Path(feed).exists():
            meant = f"{found['scheme'] or 'https'}://{feed[found.start('host') :]}"
            raise BadQuery(
                f"{feed} is no path to a file that is there, and no address",
                hint=f"an address begins with https://: --feed {shlex.quote(meant)}; a path to what is not there yet with ./",
            )
        return str(Path(feed).absolute()) if feed else ""
    if scheme.lower() not in {*REMOTE, "file"}:
        hint = "use http, https, ftp, ftps, or a path; mirror sftp to a path with sftp or rclone"
        raise BadQuery(f"cannot fetch {scheme}:// feeds", hint=hint)
    return feed


def _columns(opened: Workspace, name: str, change: StoreChange) -> dict[str, str]:
    """How the feed is read, with the currency in the column map that is given, or is there."""
    from lensback.catalogue import stores
    from lensback.feeds import ColumnMap

    read = dict(change.read)
    if change.currency:
        known = name in stores.names(opened.db)
        kept = stores.feed(opened.db, name).feed.columns if known else ""
        read["columns"] = ColumnMap.with_currency(read.get("columns", kept), change.currency)
        ColumnMap.parse(read["columns"])
    return read


def _apply(opened: Workspace, name: str, change: StoreChange) -> None:
    from lensback.catalogue import health, stores

    first, *others = change.terms or (None,)
    read = _columns(opened, name, change)
    fallbacks = [one for one in others if one is not None]
    stores.add(
        opened.db, name, change.feed, title=change.title, program=first, fallbacks=fallbacks, **read
    )
    if change.every is not None:
        health.set_schedule(opened.db, name, change.every)


def _feed_of(opened: Workspace, name: str) -> str:
    from lensback.catalogue import stores

    return stores.feed(opened.db, name).feed.url


def _tried(opened: Workspace, name: str, change: StoreChange, what: str) -> DryRun:
    """What the feed would give: with what is named, and what the store has already."""
    from lensback.catalogue import stores
    from lensback.cli.dry_run import try_read

    read = {"format": "auto", "columns": "", "base": ""}
    feed = change.feed
    if name in stores.names(opened.db):
        state = stores.feed(opened.db, name)
        feed = feed or state.feed.url
        read = {
            "format": state.feed.format, "columns": state.feed.columns, "base": state.base
        }  # fmt: skip
    if not feed:
        raise BadQuery(f"{name!r} is new and needs a feed", hint="add --feed URL")
    return try_read(opened, feed, read | _columns(opened, name, change), what)


def _look_over(opened: Workspace, name: str, change: StoreChange) -> None:
    """A column map that is named is tried on the feed, where that can be had now. Raises FeedError, as
    the dry run does, where it cannot work."""
    from lensback.cli.dry_run import refuse_map

    if not change.read.get("columns"):
        return
    try:
        dry_run = _tried(opened, name, change, "the column map")
    except FetchError as error:
        say(f"the column map was not tried, the feed cannot be had now: {error.message}")
        return
    refuse_map(dry_run)


def _say_strange_hosts(opened: Workspace, name: str, change: StoreChange) -> None:
    """Tells of offers that lead to none of the domains of the programs that are named: nobody is
    sent there. Of a store that nobody synced only a feed that lies here is read."""
    from lensback.cashback import NAMED, strange_hosts, widened
    from lensback.catalogue import offers

    if not change.terms:
        return
    pages = offers.pages(opened.db, name)
    feed = _feed_of(opened, name)
    if not pages and "://" not in feed and Path(feed).is_file():
        try:
            tried = _tried(opened, name, change, "where its offers go").shown
        except Error:  # the sync tells what is wrong with the feed
            return
        pages = [
            each.target_url or each.url for each in tried if each.target_url or not each.tracked
        ]
    if hosts := strange_hosts(pages, change.terms)[:NAMED]:
        told = ", ".join(hosts)
        say_aside(
            f"to look at: offers lead to {told}, none of the program's domains: their links lead nowhere"
        )
        say_aside(f"if that is the store's, write into the program: {widened(change.terms, hosts)}")


@store_app.command("rename")
def store_rename(old: Connected, new: str, workspace: Folder = HERE) -> None:
    """Call a store by another name; offers keep their ids, clicks and sales stay with it."""
    from lensback import deeds, logos
    from lensback.catalogue import stores
    from lensback.publish import rename_store

    with opened_workspace(workspace) as opened, opened.locked():
        opened.drain()
        stores.rename(opened.db, old, new)
        rename_store(opened.rows_path, old, new)
        logos.rename(opened.path, old, new)
        who = deeds.actor_here()
        deeds.note(opened.db, int(time.time()), who, "store rename", f"{old} -> {new}")
    say(f"{old} is {new} now; a search of --store {new} finds its offers after the next sync")
    say(f"next: {command(f'sync {new}', workspace)}")


@store_app.command("list")
def store_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Connected stores: what is fresh, what failed and why, and what to do."""
    from dataclasses import asdict

    from lensback.catalogue import stores
    from lensback.counted import ago, coming
    from lensback.net import redact

    with opened_workspace(workspace) as opened:
        states = stores.overview(opened.db)
    if as_json:
        hidden = ({"feed_url": redact(s.feed_url), "todo": pasted(s.todo)} for s in states)
        print_json([asdict(s) | more for s, more in zip(states, hidden, strict=True)])
        return
    table = FittedTable(
        "store", "health", "offers", "in stock", "images", "last sync", "next", "what to do"
    )
    for s in states:
        images = f"{s.images} ({s.images_failed} failed)" if s.images_failed else str(s.images)
        numbers = (str(s.offers), str(s.in_stock), images, ago(s.last_sync))
        todo = pasted(s.todo)
        told = f"{s.message}; {todo}" if s.message and todo else s.message or todo
        table.add_row(*map(escape, (s.name, s.health, *numbers, coming(s.next_run), told)))
    if states:
        out.print(table)
    else:
        say(f"no stores yet: {command('store add NAME --feed URL', workspace)}")


@store_app.command("remove")
def store_remove(
    name: Connected,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    workspace: Folder = HERE,
) -> None:
    """Disconnect a store and forget its offers; the next sync takes them out of the index."""
    from lensback import logos
    from lensback.catalogue import offers, stores
    from lensback.publish import forget_store

    with opened_workspace(workspace) as opened:
        stores.check_names(opened.db, [name])
        sold = offers.counts(opened.db)[name]
        confirmed(
            f"forget the store {name}, its {counted(sold, 'offer')} on sale, their prices over time, and its program",
            yes,
        )
        with opened.locked():
            stores.remove(opened.db, name)
            forget_store(opened.rows_path, name)
            logos.drop(opened.path, name)
    say(f"removed {name}; the next sync takes it out of the index")
    say(f"next: {command('sync', workspace)}")
