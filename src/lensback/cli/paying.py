"""Cashback that goes out: whom something is due to, payouts, sales that were set aside."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    NetworkName,
    opened_workspace,
    out,
    print_json,
    say,
)
from lensback.cli.ledger import day_of, drained, ledger_app, noted
from lensback.console import FittedTable
from lensback.counted import counted

if TYPE_CHECKING:
    from lensback.ledger.pay import Due, Payout
    from lensback.ledger.review import Verdict
    from lensback.types import Money
    from lensback.workspace import Workspace

DAY_S = 86_400
ReceivedOnly = Annotated[
    bool, typer.Option("--received-only", help="Only of sales that the network has paid us.")
]
Minimum = Annotated[
    list[str] | None,
    typer.Option("--minimum", help='"10 EUR"; for each currency. Else the setting payout_minimum.'),
]
Expect = Annotated[
    list[str] | None,
    typer.Option("--expect", help='"10.50 EUR"; for each currency. Anything else is refused.'),
]


@ledger_app.command("due")
def ledger_due(
    received_only: ReceivedOnly = False,
    minimum: Minimum = None,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """List what is due to each user, by currency."""
    from lensback.ledger import due

    with opened_workspace(workspace) as opened:
        drained(opened)
        noted(opened, "ledger due")
        least = _minimum(opened, minimum)
        found = due(opened.db)
    rows = [_due_row(one, least, received_only=received_only) for one in found]
    if as_json:
        print_json(rows)
        return
    table = FittedTable("user", "currency", "payable", "approved", "owed", "due", "")
    for row in rows:
        told = (row[name]["amount"] for name in ("payable", "approved", "owed", "due"))
        table.add_row(str(row["user"]), str(row["currency"]), *told, str(row["note"]))
    out.print(table if rows else "nothing is due to anybody")


def _due_row(one: Due, least: Mapping[str, int], *, received_only: bool) -> dict[str, Any]:
    """A line of `ledger due`: `pays` says whether `ledger pay` would pay it now."""
    from lensback.types import Money

    due = one.sum(received_only=received_only)
    below = due.minor < least.get(one.currency, 0)
    note = "nothing" if due.minor <= 0 else "below the minimum" if below else ""
    return {
        "user": one.user,
        "currency": one.currency,
        **{
            name: Money(getattr(one, name), one.currency).as_json()
            for name in ("payable", "approved", "owed")
        },
        "due": due.as_json(),
        "pays": not note,
        "note": note,
    }


@ledger_app.command("pay")
def ledger_pay(
    user: Annotated[str, typer.Argument(help="The host service's token of the user.")],
    reference: Annotated[str, typer.Option(help="Your number of the payment; pays once.")],
    received_only: ReceivedOnly = False,
    expect: Expect = None,
    minimum: Minimum = None,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Mark what is due to a user as paid out."""
    from lensback import grants
    from lensback.ledger import pay, remember

    wanted = _amounts(expect)
    with opened_workspace(workspace) as opened:
        drained(opened)
        owner = grants.owner_of(opened.path, user)[: grants.SHOWN]
        noted(opened, "ledger pay", f"user {owner}, reference {reference}", must=True)
        done = pay(
            opened.db,
            user,
            reference,
            at=int(time.time()),
            received_only=received_only,
            expect=wanted,
            minimum=None if minimum is None else _minimum(opened, minimum),
            usual_minimum=_minimum(opened, None),
            rates=opened.known_rates,
        )
        remember(opened.db, opened.path)
        waits = "" if done.sales else _waits(opened, user)
    if as_json:
        print_json(
            {
                "amounts": [amount.as_json() for amount in done.amounts],
                "sales": done.sales,
                "repeated": done.repeated,
                "left": [amount.as_json() for amount in done.left],
            }
        )
    else:
        say(_paid(done, reference) if done.sales else f"nothing is due to this user{waits}")


def _paid(done: Payout, reference: str) -> str:
    amounts = ", ".join(map(str, done.amounts))
    if done.repeated:
        day = time.strftime("%Y-%m-%d", time.gmtime(done.at))
        return f"already paid under {reference!r} on {day}: {amounts} of {counted(done.sales, 'sale')}; nothing was marked now"
    left = f"; below the minimum: {', '.join(map(str, done.left))}" if done.left else ""
    return f"{amounts} of {counted(done.sales, 'sale')} marked as paid{left}"


def _waits(opened: Workspace, user: str) -> str:
    """What there is besides, for a user whom nothing is due to."""
    from lensback.ledger import sales_of

    totals = sales_of(opened.db, user, now=int(time.time()))["totals"]
    words = {
        "approved": "not yet paid by the network",
        "pending": "pending",
        "review": "under review",
        "paid": "paid out already",
        "owed": "owed by the user",
    }
    told = [
        f"{amount['amount']} {amount['currency']} {text}"
        for name, text in words.items()
        for amount in totals[name]
    ]
    return f": {', '.join(told)}" if told else ""


@ledger_app.command("received")
def ledger_received(
    network: NetworkName,
    until: Annotated[str, typer.Option(help="Last day of the orders, YYYY-MM-DD (UTC).")] = "",
    expect: Expect = None,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Say that a network has paid us: its approved sales become payable."""
    from lensback.ledger import received, remember

    wanted = _amounts(expect)
    now = int(time.time())
    last = day_of(until) + DAY_S if until else now + 1
    with opened_workspace(workspace) as opened:
        drained(opened)
        noted(opened, "ledger received", f"{network} until {until or 'now'}", must=True)
        rates = opened.known_rates
        done = received(opened.db, network, until=last, at=now, expect=wanted, rates=rates)
        remember(opened.db, opened.path)
    if as_json:
        amounts = [amount.as_json() for amount in done.amounts]
        print_json({"amounts": amounts, "sales": done.sales})
    elif done.sales:
        say(
            f"{', '.join(map(str, done.amounts))} of {counted(done.sales, 'sale')} received from {network}"
        )
    else:
        say(f"{network} has no approved sale of that time")


@ledger_app.command("review")
def ledger_review(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """List the sales that were set aside until somebody has looked at them, and why."""
    from lensback.ledger import held_sales

    with opened_workspace(workspace) as opened:
        drained(opened)
        noted(opened, "ledger review")
        found = held_sales(opened.db)
    if as_json:
        print_json([sale.as_json() for sale in found])
        return
    for sale in found:
        where = f"{sale.store}: {sale.network} {sale.external_id}"
        say(f"{sale.id:>8}  {where}, {sale.commission}: {sale.text}")
    say("ledger release|refuse NUMBER --note WHY" if found else "nothing is under review")


Number = Annotated[int, typer.Argument(help="Its number in `ledger review`.")]
Note = Annotated[str, typer.Option(help="Why; kept with the sale and in the audit log.")]


@ledger_app.command("release")
def ledger_release(sale: Number, note: Note, workspace: Folder = HERE) -> None:
    """Let a sale through that was set aside; of one order at two networks, the other is refused."""
    _decide(sale, "release", note, workspace)


@ledger_app.command("refuse")
def ledger_refuse(sale: Number, note: Note, workspace: Folder = HERE) -> None:
    """Refuse a sale that was set aside: its shopper gets nothing for it."""
    _decide(sale, "refuse", note, workspace)


def _decide(sale: int, verdict: Verdict, note: str, workspace: Folder) -> None:
    from lensback.ledger import decide, remember

    with opened_workspace(workspace) as opened:
        drained(opened)
        noted(opened, f"ledger {verdict}", f"sale {sale}: {note}", must=True)
        now, rates = int(time.time()), opened.known_rates
        was = decide(opened.db, sale, verdict, note=note, at=now, rates=rates)
        remember(opened.db, opened.path)
    done = "let through" if verdict == "release" else "refused"
    say(f"sale {was.id} ({was.network} {was.external_id}, {was.cashback} cashback) {done}")


def _minimum(opened: Workspace, given: Sequence[str] | None) -> dict[str, int]:
    amounts = _amounts(opened.settings.payout_minimum if given is None else given)
    return {money.currency: money.minor for money in amounts or ()}


def _amounts(given: Sequence[str] | None) -> list[Money] | None:
    from lensback.errors import BadQuery
    from lensback.ledger import amount_of

    amounts = None if given is None else [amount_of(text) for text in given]
    codes = [money.currency for money in amounts or ()]
    if twice := next((code for code in codes if codes.count(code) > 1), ""):
        raise BadQuery(f"two amounts of {twice}", hint="give one for each currency")
    return amounts
