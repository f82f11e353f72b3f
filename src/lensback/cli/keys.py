"""API keys: key add, list, remove."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    app,
    one_of,
    opened_workspace,
    out,
    pasted,
    print_json,
    say,
)
from lensback.console import FittedTable

key_app = typer.Typer(help="API keys.", no_args_is_help=True)
app.add_typer(key_app, name="key")


@key_app.command("add")
def key_add(
    name: str,
    scope: Annotated[
        str,
        typer.Option(
            help="search (may stand in a page), admin or metrics (secret).",
            autocompletion=one_of("search", "admin", "metrics"),
        ),
    ] = "search",
    workspace: Folder = HERE,
) -> None:
    """Make a key. It is shown once and kept as a hash."""
    from lensback import deeds, keys

    with opened_workspace(workspace) as opened:
        secret = keys.add(opened.keys_path, name, scope)
        deeds.note(opened.db, int(time.time()), deeds.actor_here(), "key add", f"{name} {scope}")
    say(secret)


@key_app.command("list")
def key_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Keys and what they may do."""
    from lensback import keys
    from lensback.counted import ago

    with opened_workspace(workspace) as opened:
        known = keys.load(opened.keys_path)
    if as_json:
        print_json([{"name": k.name, "scope": k.scope, "created_at": k.created_at} for k in known])
        return
    table = FittedTable("key", "scope", "made")
    for key in known:
        table.add_row(key.name, key.scope, ago(key.created_at))
    out.print(table if known else pasted("no keys yet: lensback key add NAME"))


@key_app.command("remove")
def key_remove(name: str, workspace: Folder = HERE) -> None:
    """Forget a key: it is refused from now on."""
    from lensback import deeds, keys

    with opened_workspace(workspace) as opened:
        keys.remove(opened.keys_path, name)
        deeds.note(opened.db, int(time.time()), deeds.actor_here(), "key remove", name)
    say(f"removed {name}")
