"""Networks and programs: network list, network show, program show, program import."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from lensback.cli.face import (
    HERE,
    AsJson,
    Connected,
    Folder,
    NetworkName,
    app,
    err,
    opened_workspace,
    out,
    print_json,
    say,
)
from lensback.console import FittedTable, waiting
from lensback.counted import counted
from lensback.errors import BadQuery

if TYPE_CHECKING:
    from lensback.programs.importing import ProgramNews

network_app = typer.Typer(help="Affiliate networks.", no_args_is_help=True)
program_app = typer.Typer(help="Affiliate programs of stores.", no_args_is_help=True)
app.add_typer(network_app, name="network")
app.add_typer(program_app, name="program")


@network_app.command("list")
def network_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Networks that links can be made for, and how sure we are of each. Needs no workspace."""
    from lensback.networks import list_networks

    networks = list_networks(workspace / "networks")
    if as_json:
        print_json([network.as_json() for network in networks])
        return
    table = FittedTable("network", "title", "click id", "postback", "report", "not checked")
    for one in networks:
        table.add_row(
            one.name,
            one.title,
            f"{one.link.subid} ({one.link.subid_max})",
            "yes" if one.postback.fields else "",
            "yes" if one.poll else "",
            str(len(one.unchecked) or ""),
        )
    out.print(table)


@network_app.command("show")
def network_show(name: NetworkName, workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """What is known of a network, what a program must say, and what nobody checked yet. Needs no
    workspace; one that is there may have changed it."""
    from lensback.networks import open_network

    one = open_network(name, workspace / "networks")
    if as_json:
        print_json(one.as_json())
        return
    say(f"{one.title}: {one.link.template or 'the program brings its own template'}")
    for key, pattern in one.link.settings.items():
        say(f"  link.{key} must look like {pattern}")
    say("statuses: " + ", ".join(f"{theirs} = {ours}" for theirs, ours in one.statuses.items()))
    if one.postback.query:
        say(f"write behind the postback address: {one.postback.query}")
    if one.postback.note:
        say(one.postback.note)
    for source in one.sources:
        say(f"source: {source}")
    for key, why in one.unchecked.items():
        say(f"not checked: {key}: {why}")


@program_app.command("show")
def program_show(
    store: Connected,
    offer: Annotated[
        str, typer.Option(help="Explain the estimate of this offer: its id, or STORE:SKU.")
    ] = "",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """A store's program, and step by step how the cashback of an offer is estimated."""
    from lensback import terms
    from lensback.cashback import explain
    from lensback.catalogue import named, offers

    with opened_workspace(workspace) as opened:
        stored = offers.get(opened.db, named.public_id(opened.db, offer)) if offer else None
        if stored is not None and stored.store != store:
            raise BadQuery(f"offer {offer} is of store {stored.store}", hint="name that store")
        told = explain(opened.db, opened.path / "networks", store, stored, opened.rates)
    if as_json:
        said = told.estimate
        estimate = (
            {**said.cashback.as_json(), "up_to": said.up_to, "steps": said.steps} if said else None
        )
        shown = {
            key: value for key, value in asdict(told.terms).items() if value not in (None, "", ())
        }
        print_json(
            {
                "store": store,
                "network": told.network,
                "terms": _plain(shown),
                "estimate": estimate,
                "link": told.link,
                "untracked": told.reason,
            }
        )
        return
    table = FittedTable("rule", "pays")
    for at, rule in enumerate(told.terms.rates, 1):
        table.add_row(str(at), escape(terms.words(told.terms, rule)))
    out.print(table)
    share = told.terms.share * 100
    say(
        f"{told.network}: the first rule that holds pays; the shopper gets {share.normalize():f} % of it"
    )
    if told.terms.hold_days:
        say(f"paid after {counted(told.terms.hold_days, 'day')}")
    if told.estimate:
        for step in told.estimate.steps:
            say(f"  {step}")
        if told.reason:
            say(f"  but no tracked link can be made, so there is no cashback: {told.reason}")
        say(f"link: {told.link}")


@program_app.command("import")
def program_import(
    network: NetworkName,
    share: Annotated[
        str, typer.Option(help="The shopper's part of the commission in new programs, 0 to 1.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, write nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Believe it where most known programs are gone.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Bring in the programs that a network connected us to: links, rates, pauses."""
    from functools import partial

    from lensback import conversions
    from lensback.cashback import check_program
    from lensback.networks import open_network, read_programs
    from lensback.programs.importing import import_programs
    from lensback.pulling import TOKENS

    with opened_workspace(workspace) as opened, waiting(err, f"ask {network}"):
        one = open_network(network, opened.networks)
        account = conversions.account_of(opened.path, one.name)
        offered = list(read_programs(one, account, opened.fetcher, keep=opened.path / TOKENS))
        check = partial(check_program, networks_dir=opened.networks)
        news = import_programs(
            opened.db, opened.path, one, offered, check, share=share, write=not dry_run, force=force
        )
    if as_json:
        print_json(
            {"network": network, "written": not dry_run, "programs": [n.as_json() for n in news]}
        )
    else:
        _show_import(news, dry_run=dry_run)
    if any(each.state == "refused" for each in news):
        raise typer.Exit(1)


def _show_import(news: Sequence[ProgramNews], *, dry_run: bool) -> None:
    """What changed, a line for each change; programs that are as they were are only counted."""
    for each in news:
        if each.state == "same" and not any(follow.changes for follow in each.stores):
            continue
        say(f"{each.state}: {each.name or each.id} ({each.file})")
        for change in each.changes:
            say(f"  {change.key}: {_short(change.before)} -> {_short(change.after)}")
        for follow in each.stores:
            for change in follow.changes:
                say(
                    f"  store {follow.store}: {change.key}: {_short(change.before)} -> {_short(change.after)}"
                )
            for key in follow.kept:
                say(f"  store {follow.store}: {key} changed there, yours stays")
            if follow.problem:
                say(f"  store {follow.store}: not changed: {follow.problem}")
        for key in each.kept:
            say(f"  {key} changed there, yours stays")
        for problem in each.problems:
            say(f"  {problem}")
    counts = Counter(each.state for each in news)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    say(f"{told or 'no programs'}{'; nothing is written' if dry_run else ''}")


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:199] + "…"


def _plain(value: object) -> object:
    """Decimals and dates as text, so that JSON holds what the file said."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | bool) else str(value)
