"""What `store add --dry-run` shows."""

from __future__ import annotations

import shlex
import sys

from rich.markup import escape

from lensback.cli.face import err, out, print_json, say
from lensback.console import FittedTable, waiting
from lensback.counted import counted
from lensback.ingest import Limits
from lensback.ingest.collect import beside
from lensback.ingest.dry_run import SHOWN, DryRun, fetched, try_apart
from lensback.types import Offer
from lensback.workspace import Workspace

_TITLE_CHARS = 40


def report_dry_run(
    workspace: Workspace, feed: str, form: str, columns_text: str, base: str, as_json: bool
) -> None:
    """Reads the feed to its end, prints the account, and connects nothing."""
    from lensback.net import redact

    s, fetcher = workspace.settings, workspace.fetcher
    limits = Limits(s.max_feed_bytes, s.max_drop, budget_s=s.feed_budget_s)
    with (
        waiting(err, "dry run"),
        fetched(fetcher, feed, workspace.spool, limits) as (path, charset),
    ):
        job = (
            *(str(path), form, columns_text, base, redact(feed), charset, beside(feed)),
            *(limits.max_bytes, limits.budget_s),
        )
        dry_run = try_apart(job, fetcher.halt)
    if as_json:
        print_json(dry_run.as_json())
    else:
        _show(dry_run)


def _show(dry_run: DryRun) -> None:
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
    say(
        f"{counted(dry_run.offers, 'offer')}{gone}, {rejected} rejected, {dry_run.seconds:.1f} s; nothing written"
    )
    told = shlex.join(word for word in sys.argv[1:] if word != "--dry-run")
    warnings = dry_run.warnings()
    for warning in warnings:
        err.print(f"to look at: {warning}", markup=False, highlight=False, soft_wrap=True)
    if dry_run.guessed:  # a sync reads by a map that somebody has looked over, never by a guess
        say("next: save the column map above as columns.toml, look it over, and connect with it:")
        say(f"lensback {told} --columns columns.toml")
    else:
        say(f"next, to connect it{' all the same' if warnings else ''}: lensback {told}")


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
