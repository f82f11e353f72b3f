"""People and who may come in: user export, user erase, grant list, grant end, audit log."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    app,
    err,
    opened_workspace,
    out,
    print_json,
    say,
)
from lensback.console import FittedTable, waiting
from lensback.counted import counted

user_app = typer.Typer(help="A person's data.", no_args_is_help=True)
grant_app = typer.Typer(help="Sessions of operators and passes of users.", no_args_is_help=True)
audit_app = typer.Typer(help="Who did what.", no_args_is_help=True)
app.add_typer(user_app, name="user")
app.add_typer(grant_app, name="grant")
app.add_typer(audit_app, name="audit")

Token = Annotated[str, typer.Argument(help="The host service's token of the user.")]


@user_app.command("export")
def user_export(
    token: Token,
    file: Annotated[Path | None, typer.Option("--out", help="JSON file to write.")] = None,
    workspace: Folder = HERE,
) -> None:
    """Everything that is kept of a user, as JSON."""
    from lensback import deeds, grants, people
    from lensback.ledger.clicks import checked_user
    from lensback.workspace import write_atomically

    checked_user(token)
    with opened_workspace(workspace) as opened, waiting(err, "export"):
        opened.drain()
        now, owner = int(time.time()), grants.owner_of(opened.path, token)
        deeds.note(opened.db, now, deeds.actor_here(), "user export", owner[: grants.SHOWN])
        found = people.data_of(opened.db, opened.path, token, now)
    if file is None:
        print_json(found)
        return
    write_atomically(file, json.dumps(found, ensure_ascii=False, indent=2) + "\n", private=True)
    say(
        f"{counted(len(found['clicks']), 'click')}, {counted(len(found['searches']), 'search', 'searches')} -> {file}"
    )


@user_app.command("erase")
def user_erase(token: Token, workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Take a user out of everything but the money, which stays without a name."""
    from lensback import deeds, grants, people
    from lensback.ledger.clicks import checked_user
    from lensback.ledger.pay import due_to
    from lensback.types import Money

    checked_user(token)
    with opened_workspace(workspace) as opened, waiting(err, "erase"):
        now, owner = int(time.time()), grants.owner_of(opened.path, token)
        opened.drain()
        due = [str(Money(minor, name)) for name, minor in due_to(opened.db, token).items() if minor]
        deeds.note(opened.db, now, deeds.actor_here(), "user erase", owner[: grants.SHOWN])
        erased = people.erase(opened.db, opened.path, token, now, opened.drain)
    if as_json:
        print_json({**erased.as_json(), "left_due": due})
        return
    say(", ".join(f"{count} {name}" for name, count in erased.as_json().items()) + " erased")
    if due:
        say(f"{', '.join(due)} was due to this user and is nobody's now")


@grant_app.command("list")
def grant_list(
    user: Annotated[str, typer.Option(help="Only the passes of this user's token.")] = "",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Sessions and passes that are good now."""
    from lensback import grants
    from lensback.counted import ago, coming

    with opened_workspace(workspace) as opened:
        owner = grants.owner_of(opened.path, user) if user else ""
        found = grants.listed(opened.db, owner=owner, now=int(time.time()))
    if as_json:
        print_json([grant.as_json() for grant in found])
        return
    table = FittedTable("id", "kind", "key", "made", "ends")
    for grant in found:
        shown = (grant.id[: grants.SHOWN], grant.kind, grant.name)
        table.add_row(*shown, ago(grant.made_at), coming(grant.until))
    out.print(table if found else "none")


@grant_app.command("end")
def grant_end(
    grant_id: Annotated[str, typer.Argument(help="Its id as `grant list` shows it.")],
    workspace: Folder = HERE,
) -> None:
    """End a session or a pass: it is refused from the next request on."""
    from lensback import deeds, grants

    with opened_workspace(workspace) as opened:
        now = int(time.time())
        ended = grants.end(opened.db, grant_id, now)
        told = f"{ended.kind} {ended.id[: grants.SHOWN]}"
        deeds.note(opened.db, now, deeds.actor_here(), "grant end", told)
    say(f"ended {told}")


@audit_app.command("log")
def audit_lines(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most lines.")] = 100,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Who did what in /admin and with the ledger, newest first."""
    from lensback import deeds
    from lensback.counted import ago

    with opened_workspace(workspace) as opened:
        found = deeds.last(opened.db, limit)
    if as_json:
        print_json([line.as_json() for line in found])
        return
    table = FittedTable("when", "who", "what", "more")
    for line in found:
        table.add_row(ago(line.at), line.actor, line.deed, line.detail)
    out.print(table if found else "nothing yet")
