"""Cashback: click, conversions, ledger."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    app,
    err,
    names_of,
    opened_workspace,
    out,
    print_json,
    print_json_line,
    refuse,
    say,
    say_aside,
)
from lensback.cli.stopping import stoppable
from lensback.console import FittedTable, StageProgress, waiting
from lensback.counted import counted
from lensback.errors import BadQuery, Busy

if TYPE_CHECKING:
    from lensback.workspace import Workspace

ledger_app = typer.Typer(help="The ledger: balances, proofs, payouts.", no_args_is_help=True)
conversions_app = typer.Typer(help="What the networks tell of sales.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")
app.add_typer(conversions_app, name="conversions")

REFUSED = "refused_postbacks.log"


@app.command("click")
def click_command(
    offer_id: Annotated[str, typer.Argument(help="Its id, or STORE:SKU.")],
    user: Annotated[str, typer.Option(help="The host service's token of the user.")] = "",
    search: Annotated[str, typer.Option(help="The search it was found by.")] = "",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Record a click on an offer and print its link."""
    from lensback import ledger
    from lensback.cashback import offer_link
    from lensback.catalogue import named, offers
    from lensback.ledger.clicks import checked_user

    checked_user(user)
    with opened_workspace(workspace) as opened:
        stored = offers.get(opened.db, named.public_id(opened.db, offer_id))
        click_id, now = ledger.new_click_id(), int(time.time())
        link = offer_link(opened.db, opened.networks, stored, click_id, now, opened.rates)
        body = ledger.click_body(
            click_id,
            stored,
            at=now,
            source="cli",
            search_id=search,
            user_token=user,
            network=link.network,
            program_id=str(link.program_id or ""),
            terms=link.terms_snapshot,
            estimate=link.estimate,
        )
        opened.journal.append("click", body)
        noted(opened, "click", offer_id)
        drained(opened)
    if as_json:
        estimate = link.estimate.as_json() if link.estimate else None
        told = {"click_id": click_id, "link": link.url, "network": link.network}
        print_json({**told, "estimate": estimate})
    else:
        say(link.url)


@conversions_app.command("pull")
def conversions_pull(
    network: Annotated[
        str,
        typer.Argument(help="Its name; none with --all.", autocompletion=names_of("network")),
    ] = "",
    since: Annotated[
        str, typer.Option(help="First day, YYYY-MM-DD (UTC); the oldest open sale unless given.")
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Every network that has an account.")
    ] = False,
    every: Annotated[
        str, typer.Option(help="With --all: keep running, ask so often (30m, 1h, a cron line).")
    ] = "",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Ask a network, or all, for its sales. Broken off, it goes on where it was."""
    if bool(network) == everything:
        raise BadQuery("name one network, or say --all", hint="lensback conversions pull --all")
    if every and not everything:
        raise BadQuery("--every goes with --all", hint="lensback conversions pull --all --every 1h")
    if everything and since:
        raise BadQuery("--all finds out itself since when", hint="leave --since out")
    if everything:
        _pull_all(workspace, every, as_json)
        return
    from lensback.networks import open_network
    from lensback.pulling import pull_network

    with (
        opened_workspace(workspace) as opened,
        StageProgress(err) as watcher,
        stoppable(opened.fetcher.halt),
    ):
        drained(opened)
        noted(opened, "conversions pull", f"{network} since {since or 'the oldest open sale'}")
        done = pull_network(
            opened,
            open_network(network, opened.path / "networks"),
            since=day_of(since) if since else None,
            now=int(time.time()),
            progress=watcher.stage(f"pull {network}"),
        )
    if as_json:
        print_json(done.as_json())
        return
    say(f"{done.new} news, {done.repeated} known already, {done.rejected.total()} refused")
    for reason, count in done.rejected.most_common(10):
        say(f"{count:>8}  {reason}")


def _pull_all(folder: Path, every: str, as_json: bool) -> None:
    """Once, or until SIGTERM or Ctrl-C: a line for each network that was asked."""
    from lensback import schedule
    from lensback.pulling import NetworkPull, pull_due, serve

    failed: list[str] = []
    rows: list[dict[str, object]] = []

    def tell(came: NetworkPull) -> None:
        name = came.network or "pull"
        if came.error and not usual:
            failed.append(name)
        if as_json and (told := came.error or came.done):
            row = {"network": came.network, **told.as_json()}
            print_json_line(row) if usual else rows.append(row)
        elif came.error:
            refuse(name, came.error)
        elif came.done:
            done = came.done
            counts = f"{done.new} news, {done.repeated} known already"
            say(
                f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {name}: {counts}, {done.rejected.total()} refused"
            )

    usual = schedule.parse(every) if every else None
    with opened_workspace(folder) as opened, stoppable(opened.fetcher.halt) as stop:
        if usual:
            serve(opened, usual, stop, tell)
        else:
            drained(opened)
            pull_due(opened, None, stop, tell, around=partial(waiting, err))
    if as_json and not usual:
        print_json(rows)
    if stop.is_set():
        (say_aside if as_json else say)("stopped; nothing is lost: it goes on from here")
        raise typer.Exit(0 if usual and not stop.by_hand else 128 + stop.asked)
    if failed and not usual:
        raise typer.Exit(1)


@conversions_app.command("refused")
def conversions_refused(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Count the postbacks and the rows of reports that were refused, and why."""
    from lensback.conversions import RefusedCalls
    from lensback.ledger.pulls import refused_rows

    with opened_workspace(workspace) as opened:
        counts = RefusedCalls(opened.path / REFUSED).counts()
        rows = refused_rows(opened.db)
    if as_json:
        print_json({**dict(counts.most_common()), **({"rows": rows} if rows else {})})
        return
    for reason, count in counts.most_common():
        say(f"{count:>8}  {reason}")
    for row in rows[:20]:
        say(f"     row  {row['network']}: {row['reason']}: {str(row['row'])[:160]}")
    if not counts and not rows:
        say("none")


@ledger_app.command("audit")
def ledger_audit(
    accept_loss: Annotated[
        str, typer.Option(help="Why the ledger is an older one, once: from now on it counts.")
    ] = "",
    rebook: Annotated[
        str, typer.Option(help="Why: sales that are not as their events say are booked anew.")
    ] = "",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Compute every balance anew from the events and compare, look for lost and changed rows; exit 1
    where something differs."""
    from lensback import ledger

    before, booked = None, 0
    with opened_workspace(workspace) as opened, waiting(err, "audit"):
        drained(opened)
        why = ", ".join(filter(None, (accept_loss, rebook)))
        noted(opened, "ledger audit", why, must=bool(why))
        if accept_loss:
            ledger.remember(opened.db, opened.path, accept_loss=True)
        if rebook:
            before = ledger.audit(opened.db, opened.path)
            booked = ledger.rebook(opened.db, at=int(time.time()))
            ledger.remember(opened.db, opened.path)
        found = ledger.audit(opened.db, opened.path)
    if as_json:
        mended = {"rebooked": booked, "before": before.differences} if before else {}
        print_json({**found.as_json(), **mended})
    else:
        say(
            f"{counted(found.conversions, 'sale')}, {counted(found.events, 'event')}, {counted(found.entries, 'entry', 'entries')}"
        )
        if found.aside:
            say(f"{counted(found.aside, 'sale')} without a click: that commission is kept aside")
        if found.review:
            say(f"{counted(found.review, 'sale')} under review: lensback ledger review")
        _print_balances(found.balances)
        was = [f"before: {text}" for text in before.differences] if before else []
        for line in (*was, *found.differences):
            err.print(line, markup=False, highlight=False, soft_wrap=True)
        if before:
            say(f"{counted(booked, 'sale')} booked anew")
        proven = "proven: every balance follows from the events, and every row is there"
        say(proven if found.proven else f"NOT proven: {counted(found.wrong, 'difference')}")
        if found.rebookable:
            say('next: lensback ledger audit --rebook "why"')
    if not found.proven:
        raise typer.Exit(1)


@ledger_app.command("balances")
def ledger_balances(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """What every account holds."""
    from lensback.ledger import balances

    with opened_workspace(workspace) as opened:
        drained(opened)
        noted(opened, "ledger balances")
        found = balances(opened.db)
    if as_json:
        print_json(found)
    else:
        _print_balances(found)


@ledger_app.command("export")
def ledger_export(
    file: Annotated[Path, typer.Option("--out", help="CSV file to write.")],
    workspace: Folder = HERE,
) -> None:
    """Write every entry as CSV."""
    from lensback.ledger import export_csv

    with opened_workspace(workspace) as opened, waiting(err, "export"):
        drained(opened)
        noted(opened, "ledger export", str(file))
        lines = export_csv(opened.db, file)
    say(f"{counted(lines, 'entry', 'entries')} -> {file}")


@ledger_app.command("host-key")
def ledger_host_key(workspace: Folder = HERE) -> None:
    """Make a new key for the host service; the old one stops to work."""
    from lensback import tokens
    from lensback.workspace import set_setting

    with opened_workspace(workspace) as opened:
        noted(opened, "ledger host-key", must=True)
        key = tokens.new_secret()
        set_setting(workspace, "host_key_hash", tokens.digest(key))
    say(key)
    err.print("shown once; a serve that runs takes it when it is started again")


def noted(opened: Workspace, deed: str, detail: str = "", *, must: bool = False) -> None:
    """A line of the audit log before the deed; `must`: without it there is no deed."""
    from lensback import deeds

    try:
        deeds.note(opened.db, int(time.time()), deeds.actor_here(), deed, detail)
    except Busy:
        if must:
            raise
        err.print("the database is busy: the audit log misses this command")


def drained(opened: Workspace) -> None:
    """What waits in the journal counts too, unless somebody holds the database just now."""
    try:
        opened.drain()
    except Busy:
        err.print("the database is busy: the newest clicks and postbacks are not in yet")


def _print_balances(balances: dict[str, dict[str, int]]) -> None:
    from lensback.types import Money

    table = FittedTable("currency", "account", "balance")
    for currency, accounts in balances.items():
        for account, minor in accounts.items():
            table.add_row(currency, account, Money(minor, currency).as_json()["amount"])
    out.print(table if balances else "no entries yet")


def day_of(text: str) -> int:
    """UTC epoch seconds of the begin of a day YYYY-MM-DD. Raises BadQuery."""
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise BadQuery(f"not a day: {text[:20]!r}", hint="write it as 2026-11-01") from error
