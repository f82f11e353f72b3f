"""Keeping a service for years: config show, prune."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

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
from lensback.console import FittedTable, waiting

config_app = typer.Typer(help="Settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")

MIB = 1 << 20


@config_app.command("show")
def config_show(
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what is not at its default.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Every setting that holds now, and where it comes from. Passwords are not shown."""
    from lensback.settings import origins

    with opened_workspace(workspace) as opened:
        values = {name: _shown(name, v) for name, v in opened.settings.model_dump().items()}
    came = origins(workspace)
    rows = {n: {"value": v, "origin": came[n]} for n, v in values.items()}
    if changed:
        rows = {name: row for name, row in rows.items() if row["origin"] != "default"}
    if as_json:
        print_json(rows)
        return
    table = FittedTable("setting", "value", "comes from")
    for name, row in rows.items():
        table.add_row(name, escape(str(row["value"])), row["origin"])
    out.print(table if rows else "everything is at its default")


def _shown(name: str, value: Any) -> Any:
    """A value without the secrets in it."""
    from lensback.db.presence import place
    from lensback.net import redact

    if name == "database":
        return place(value) if value else ""
    if name in {"host_key_hash", "saved_webhook_secret"}:
        return "set" if value else ""
    if isinstance(value, tuple):
        return list(value)
    return redact(value) if isinstance(value, str) and "://" in value else value


@app.command("prune")
def prune_command(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and take nothing away.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Take away what nobody needs any more: pictures, vectors, old indexes, leftovers."""
    from lensback.prune import prune

    with opened_workspace(workspace) as opened, opened.locked(), waiting(err, "prune"):
        found = prune(opened, dry_run=dry_run)
    if as_json:
        print_json([each.as_json() for each in found])
        return
    table = FittedTable("what", "how many", "MiB", "why")
    for each in found:
        table.add_row(each.what, str(each.count), f"{each.bytes / MIB:.1f}", each.why)
    if found:
        out.print(table)
    total = sum(each.bytes for each in found) / MIB
    say(f"{total:.1f} MiB {'would go' if dry_run else 'freed'}")
    if dry_run and found:
        say(f"next: {command('prune', workspace)}")
