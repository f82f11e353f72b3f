"""One store looked at closely, and its schedule: store show, pause, resume, schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from lensback.cli.face import (
    HERE,
    AsJson,
    Connected,
    Folder,
    command,
    opened_workspace,
    out,
    pasted,
    print_json,
    say,
    store_app,
)
from lensback.console import FittedTable
from lensback.counted import counted

if TYPE_CHECKING:
    from lensback.catalogue.pictures import MissingImage

RUNS = 10
SHOWN, MISSING = 20, 1000
"""Addresses of missing pictures in the text, and in the JSON."""


@store_app.command("show")
def store_show(name: Connected, workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """One store: how fresh it is, its last runs, why rows and images failed, and what to do."""
    from lensback.catalogue import health, pictures, stores
    from lensback.counted import ago, coming
    from lensback.ingest.collect import host_of
    from lensback.net import redact

    with opened_workspace(workspace) as opened:
        db = opened.db
        host = host_of(stores.feed(db, name))
        (state,) = stores.overview(db, only=name)
        runs, failures = health.runs(db, name, RUNS), health.image_failures(db, name)
        missing = pictures.missing(db, name, MISSING)
        refused = health.rejected(db).get(name)
        share = opened.settings.reject_guard
        closed = [row for row in health.open_hosts(db) if row[0] == host]
    shown = asdict(state) | {"feed_url": redact(state.feed_url), "todo": pasted(state.todo)}
    if as_json:
        hosts = [{"host": h, "until": until, "reason": why} for h, until, why in closed]
        absent = [asdict(m) | {"url": redact(m.url)} for m in missing]
        told = {"image_failures": failures, "missing_images": absent, "closed_hosts": hosts}
        print_json({**shown, "runs": runs, **told})
        return
    say(f"{name}: {state.health}" + (f" ({state.message})" if state.message else ""))
    if state.todo:
        say(f"to do: {state.todo}")
    if refused and (many := health.too_many(*refused, share)):
        say(f"to look at: {many}")
    say(f"feed: {shown['feed_url']} ({state.format})")
    say(
        f"last sync: {ago(state.last_sync)}; schedule: {state.schedule or 'the usual one'}"
        + (f", next {coming(state.next_run)}" if state.next_run else "")
    )
    unknown = f", {state.unknown_stock} of unknown stock" if state.unknown_stock else ""
    say(
        f"on sale: {counted(state.offers, 'offer')}, {state.in_stock} in stock{unknown}, {counted(state.images, 'image')}"
    )
    for host, until, why in closed:
        say(f"{host} is left alone, next try {coming(until)}: {why}")
    if runs:
        out.print(_runs(runs), _rejects(runs), _unknown_stock(runs), _left_out(runs))
    if failures:
        out.print(_table(("images that failed", "how many"), failures.items()))
        _show_missing(name, missing, sum(failures.values()), workspace)


def _show_missing(name: str, missing: list[MissingImage], count: int, folder: Path) -> None:
    """Addresses in lines of their own: a table would break them in two."""
    from lensback.counted import ago, coming
    from lensback.net import redact

    for m in missing[:SHOWN]:
        kept = "; its picture of before is still searched" if m.kept else ""
        say(redact(m.url))
        say(f"  {m.reason}; tried {ago(m.tried_at)}, again {coming(m.next_try)}{kept}")
    if count > SHOWN:
        say(f"and {count - SHOWN} more: {command(f'store show {name} --json', folder)}")
    say(f"all of them now: {command(f'sync {name} --force', folder)}")


def _runs(runs: list[dict[str, Any]]) -> FittedTable:
    rows = (
        (
            f"{datetime.fromtimestamp(run['started_at'], UTC):%Y-%m-%d %H:%M}",
            run["status"],
            *(run[name] for name in ("offers", "changed", "removed")),
            sum(run["rejected"].values()),
            run["bytes"],
            f"{run['seconds']:.1f}",
            run["message"].partition("\n")[0],
        )
        for run in runs
    )
    names = ("started (UTC)", "run", "offers", "changed", "removed", "rejected", "bytes", "seconds")
    return _table((*names, "message"), rows)


def _rejects(runs: list[dict[str, Any]]) -> FittedTable | str:
    """Why rows of the last run that read any became no offer, each reason with an example."""
    run: Mapping[str, Any] = next((run for run in runs if run["rejected"]), {})
    first = {sample["reason"]: sample for sample in reversed(run.get("samples", ()))}
    rows = [
        (reason, count, sample.get("line") or "", sample.get("id", ""), sample.get("sample", ""))
        for reason, count in sorted(run.get("rejected", {}).items(), key=lambda pair: -pair[1])
        for sample in (first.get(reason, {}),)
    ]
    return _table(("rejected", "rows", "line", "id", "sample"), rows) if rows else ""


def _unknown_stock(runs: list[dict[str, Any]]) -> FittedTable | str:
    """Words of stock that nobody knows, of the last run that read any."""
    from lensback.ingest.write import UNKNOWN_STOCK

    told = (
        [(s["sample"], s["count"]) for s in run["samples"] if s["reason"] == UNKNOWN_STOCK]
        for run in runs
        if run["offers"]
    )
    rows = next(told, [])
    return _table(("words of stock not known", "offers"), rows) if rows else ""


def _left_out(runs: list[dict[str, Any]]) -> FittedTable | str:
    """Image addresses that could not be taken, of the last run that read any."""
    from lensback.ingest.write import LEFT_OUT

    told = (
        [
            (s["reason"].removeprefix(LEFT_OUT), s["count"], s["id"], s["sample"])
            for s in run["samples"]
            if s["reason"].startswith(LEFT_OUT)
        ]
        for run in runs
        if run["offers"]
    )
    rows = next(told, [])
    return _table(("image addresses left out", "how many", "id", "sample"), rows) if rows else ""


def _table(head: tuple[str, ...], rows: Any) -> FittedTable:
    table = FittedTable(*head)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    return table


@store_app.command("pause")
def store_pause(name: Connected, workspace: Folder = HERE) -> None:
    """Leave a store out of every sync that does not name it. Its offers stay as they are."""
    from lensback.catalogue import health

    with opened_workspace(workspace) as opened:
        health.set_paused(opened.db, name, True)
    say(f"paused {name}; when it is to go on: {command(f'store resume {name}', workspace)}")


@store_app.command("resume")
def store_resume(name: Connected, workspace: Folder = HERE) -> None:
    """Take a store into syncs again; its failures so far are forgotten."""
    from lensback.catalogue import health

    with opened_workspace(workspace) as opened:
        health.set_paused(opened.db, name, False)
    say(f"resumed {name}")


@store_app.command("schedule")
def store_schedule(name: Connected, every: str, workspace: Folder = HERE) -> None:
    """Give a store its own schedule in `sync --every`: 30m, 6h, 1d, a cron line in UTC, or ''."""
    from lensback.catalogue import health

    with opened_workspace(workspace) as opened:
        health.set_schedule(opened.db, name, every)
    say(f"{name}: {f'every {every}' if every else 'the usual schedule'}")
