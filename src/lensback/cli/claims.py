"""Claims of shoppers: claim list, show, sent, decide."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    app,
    one_of,
    opened_workspace,
    out,
    print_json,
    say,
)
from lensback.console import FittedTable
from lensback.errors import BadQuery, UnknownName

if TYPE_CHECKING:
    from lensback.workspace import Workspace

claim_app = typer.Typer(help="Claims of shoppers for lost purchases.", no_args_is_help=True)
app.add_typer(claim_app, name="claim")


@claim_app.command("list")
def claim_list(
    state: Annotated[
        str,
        typer.Option(
            help="open, sent, accepted or refused; all unless given.",
            autocompletion=one_of("open", "sent", "accepted", "refused"),
        ),
    ] = "",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """The claims, the oldest first."""
    from lensback.ledger import claims

    if state and state not in claims.STATES:
        raise BadQuery(f"no such state: {state[:20]!r}", hint=f"one of {', '.join(claims.STATES)}")
    with opened_workspace(workspace) as opened:
        listed = claims.listed(opened.db, state)
    if as_json:
        print_json(listed)
        return
    table = FittedTable("claim", "state", "network", "store", "order", "day", "amount", "sale")
    for one in listed:
        amount = f"{one['amount']['amount']} {one['amount']['currency']}"
        cells = (one["claim_id"], one["state"], one["network"], one["store"], one["order_id"],
                 one["ordered_on"], amount, "known by now" if one["sale_known"] else "")  # fmt: skip
        table.add_row(*map(escape, cells))
    out.print(table if listed else "no claims")


@claim_app.command("show")
def claim_show(claim_id: str, workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """One claim, in the words of its network's form."""
    from lensback.ledger import claims

    with opened_workspace(workspace) as opened:
        one = claims.get(opened.db, claim_id)
        where, fields = _form(opened, one)
    if as_json:
        print_json({**one, "where": where, "fields": fields})
        return
    say(f"claim {one['claim_id']}: {one['state']}, at {one['store']} through {one['network']}")
    say(f"send it to: {where}")
    for name, value in fields.items():
        say(f"  {name}: {value}")
    if one["sale_known"]:
        say("the network has told of this sale by now: nothing is to be sent")


def _form(opened: Workspace, one: dict[str, Any]) -> tuple[str, dict[str, str]]:
    from lensback import conversions
    from lensback.networks import claim_fields, open_network

    try:
        network = open_network(one["network"], opened.networks)
    except UnknownName:
        network = None
    return claim_fields(network, one, conversions.account_of(opened.path, one["network"]))


@claim_app.command("sent")
def claim_sent(claim_id: str, workspace: Folder = HERE) -> None:
    """Note that a claim was sent to its network."""
    _advance(workspace, claim_id, "sent", "")


@claim_app.command("decide")
def claim_decide(
    claim_id: str,
    state: Annotated[
        str,
        typer.Argument(help="accepted or refused.", autocompletion=one_of("accepted", "refused")),
    ],
    because: Annotated[str, typer.Option(help="What the network said; the shopper reads it.")] = "",
    workspace: Folder = HERE,
) -> None:
    """Note what became of a claim. The money comes with the network's word of the sale."""
    if state not in {"accepted", "refused"}:
        raise BadQuery(f"no such end: {state[:20]!r}", hint="accepted or refused")
    _advance(workspace, claim_id, state, because)


def _advance(workspace: Any, claim_id: str, state: str, because: str) -> None:
    from lensback import deeds
    from lensback.ledger import claims

    with opened_workspace(workspace) as opened:
        now = int(time.time())
        claims.advance(opened.db, claim_id, state, now=now, answer=because)
        deeds.note(opened.db, now, deeds.actor_here(), f"claim {state}", claim_id)
    say(f"claim {claim_id}: {state}")
