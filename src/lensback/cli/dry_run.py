"""What `store add --dry-run` shows."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.markup import escape

from lensback.cli.face import err, out, print_json, say
from lensback.console import FittedTable, waiting
from lensback.counted import counted
from lensback.durable import what_mends
from lensback.errors import BadQuery, FeedError
from lensback.ingest import Limits
from lensback.ingest.dry_run import SHOWN, DryRun, try_address
from lensback.types import Offer
from lensback.workspace import Workspace

_TITLE_CHARS = 40


def try_read(workspace: Workspace, feed: str, read: Mapping[str, str], what: str) -> DryRun:
    """The feed, read to its end and not kept, by `format`, `columns` and `base`. `what` is told while
    it is waited for. Raises FetchError, FeedError."""
    s = workspace.settings
    limits = Limits(s.max_feed_bytes, s.max_drop, budget_s=s.feed_budget_s)
    how = {"form": read["format"], "columns": read["columns"], "base": read["base"]}
    with waiting(err, what):
        return try_address(workspace.fetcher, feed, workspace.spool, limits, **how)


def check_free(path: Path) -> None:
    """Raises BadQuery where a file is there already: asked before a long feed is read."""
    if path.exists():
        raise BadQuery(f"{path} is there already", hint="name another file")


def report_dry_run(dry_run: DryRun, save: Path | None, as_json: bool) -> None:
    """Prints the account; the column map goes to the file `save`, where one is named."""
    if save:
        _save(dry_run.columns, save)
    if as_json:
        print_json(dry_run.as_json())
    else:
        _show(dry_run, save)


def _save(columns: str, path: Path) -> None:
    """Keeps a map in a file that is not there yet. Raises BadQuery."""
    if not columns:
        raise BadQuery("this feed needs no column map", hint="leave --save out")
    check_free(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(columns)
    except OSError as error:
        raise BadQuery(
            f"cannot write {path}: {error.strerror}", hint=what_mends(error, "name another file")
        ) from error


def refuse_map(dry_run: DryRun) -> None:
    """Raises FeedError where a column map gives no offer and every row was refused."""
    if dry_run.offers or dry_run.deleted or not dry_run.refused:
        return
    told = ", ".join(f"{refused.count} {reason}" for reason, refused in dry_run.refused.items())
    raise FeedError(
        f"there is no offer in it that could be used by this column map: {told}",
        hint="the same line with --dry-run shows the map in use and the rows",
    )


def _show(dry_run: DryRun, save: Path | None) -> None:
    named = ", ".join(f"{part} {value!r}" for part, value in dry_run.seems.items() if value)
    say(f"seems to be: {named}")
    if dry_run.columns:
        say(f"\ncolumn map in use{' (a guess)' if dry_run.guessed else ''}:\n\n{dry_run.columns}")
    if dry_run.shown:
        out.print(_offers(dry_run.shown))
    if dry_run.refused:
        table = FittedTable("rejected", "rows", "first lines", "sample")
        for reason, refused in sorted(dry_run.refused.items(), key=lambda pair: -pair[1].count):
            lines = ", ".join(map(str, refused.lines))
            table.add_row(reason, str(refused.count), lines, escape(refused.sample))
        out.print(table)
    rejected = sum(refused.count for refused in dry_run.refused.values())
    gone = f", {dry_run.deleted} deleted" if dry_run.deleted else ""
    found = (
        f"{counted(dry_run.offers, 'offer')}{gone}, {rejected} rejected, {dry_run.seconds:.1f} s"
    )
    say(f"{found}; {f'nothing written but {save}' if save else 'nothing written'}")
    told = shlex.join([*_connecting(sys.argv[1:]), *["--base", "URL"] * dry_run.needs_base])
    warnings = dry_run.warnings()
    for warning in warnings:
        err.print(f"to look at: {warning}", markup=False, highlight=False, soft_wrap=True)
    if dry_run.guessed:  # a sync reads by a map that somebody has looked over, never by a guess
        kept = (
            f"look over {save}"
            if save
            else "save the column map above as columns.toml (--save does), look it over,"
        )
        say(f"next: {kept} and connect with it:")
        say(f"lensback {told} --columns {shlex.quote(str(save or 'columns.toml'))}")
    else:
        say(
            f"next, to connect it{' all the same' if warnings and not dry_run.needs_base else ''}: lensback {told}"
        )


def _connecting(words: Sequence[str]) -> list[str]:
    """The words of this command without those that only look."""
    kept: list[str] = []
    for word in words:
        if kept and kept[-1] == "--save":
            kept.pop()
        elif word != "--dry-run" and not word.startswith("--save="):
            kept.append(word)
    return kept


def _offers(shown: list[Offer]) -> FittedTable:
    table = FittedTable(
        "id", "title", "price", "before", "stock", "brand", "category", "images", "url"
    )
    for offer in shown[:SHOWN]:
        before = str(offer.old_price) if offer.old_price else ""
        cells = (
            offer.external_id,
            offer.title[:_TITLE_CHARS],
            str(offer.price),
            before,
            offer.availability,
            offer.brand,
            offer.category,
            str(len(offer.image_urls)),
            offer.url,
        )
        table.add_row(*map(escape, cells))
    return table
