"""What `store add --dry-run` shows."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from lensback.cli.face import err, out, print_json, say
from lensback.ingest.dry_run import SHOWN, DryRun, opened, try_feed
from lensback.types import Offer
from lensback.workspace import Workspace

_TITLE_CHARS = 40


def report_dry_run(
    workspace: Workspace, feed: str, form: str, columns_text: str, base: str, as_json: bool
) -> None:
    """Reads the feed to its end, prints the account, and connects nothing."""
    from lensback.feeds import ColumnMap
    from lensback.net import redact

    columns = ColumnMap.parse(columns_text) if columns_text else None
    most = workspace.settings.max_feed_bytes
    with opened(workspace.fetcher, feed, workspace.spool, most) as stream:
        dry_run = try_feed(
            stream, format=form, columns=columns, base=base, name=redact(feed), max_bytes=most
        )
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
        table = Table("rejected", "rows", "first lines", "sample")
        for reason, refused in sorted(dry_run.refused.items(), key=lambda pair: -pair[1].count):
            lines = ", ".join(map(str, refused.lines))
            table.add_row(reason, str(refused.count), lines, escape(refused.sample))
        out.print(table)
    rejected = sum(refused.count for refused in dry_run.refused.values())
    gone = f", {dry_run.deleted} deleted" if dry_run.deleted else ""
    say(
        f"{dry_run.offers} offers{gone}, {rejected} rejected, {dry_run.seconds:.1f} s; nothing written"
    )
    for warning in dry_run.warnings():
        err.print(f"to look at: {warning}", markup=False, highlight=False, soft_wrap=True)


def _offers(shown: list[Offer]) -> Table:
    table = Table("id", "title", "price", "before", "stock", "brand", "category", "images", "url")
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
