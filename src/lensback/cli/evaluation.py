"""Honest evaluation: evaluate, holdout, promise, report."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    app,
    command,
    connected,
    err,
    names_of,
    one_of,
    opened_workspace,
    out,
    print_json,
    read_text_file,
    say,
)
from lensback.console import FittedTable, StageProgress, waiting
from lensback.counted import counted
from lensback.durable import what_mends
from lensback.errors import BadQuery

if TYPE_CHECKING:
    from lensback.evaluate.runs import Figure, Run
    from lensback.promise import Promise


@app.command("evaluate")
def evaluate_command(
    queries: Annotated[
        Path | None,
        typer.Option(
            help="CSV of photos and what is right for each; a kind with shopper, street, phone or real in it: taken by people."
        ),
    ] = None,
    gallery: Annotated[
        Path | None, typer.Option(help="CSV of pictures and products; else the live catalogue.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of both files' pictures.")] = None,
    encoder: Annotated[
        str, typer.Option(help="On a folder: which encoder.", autocompletion=names_of("encoder"))
    ] = "",
    against: Annotated[str, typer.Option(help="Another run's folder, or an encoder.")] = "",
    leaks: Annotated[
        str,
        typer.Option(
            help="Query in the gallery: drop, refuse, keep.",
            autocompletion=one_of("drop", "refuse", "keep"),
        ),
    ] = "drop",
    machine_hour: Annotated[str, typer.Option(help='An hour of one core, "0.04 USD".')] = "",
    folder: Annotated[Path | None, typer.Option("--out", help="Where run.json goes.")] = None,
    from_use: Annotated[
        bool, typer.Option("--from-use", help="Ask members' votes, purchases and clicks instead.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Ask photos whose answer is known, and say honestly what came out."""
    from lensback.evaluate import runs, verbs
    from lensback.settings import FILE_NAME, load

    if from_use:
        _evaluate_use(workspace, as_json=as_json)
        return
    if queries is None:
        raise BadQuery("there is nothing to ask", hint="give --queries FILE.csv, or --from-use")
    with StageProgress(err) as watcher:
        ask = verbs.Ask(queries, encoder, against, leaks, machine_hour, watcher.stage)
        if gallery is None:
            if encoder:
                raise BadQuery(
                    "a live catalogue is asked by the encoder it was indexed with",
                    hint="run: lensback encoder use NAME, sync, and evaluate again",
                )
            with opened_workspace(workspace) as opened:
                folder = folder or opened.path / runs.FOLDER
                run = verbs.of_workspace(opened, ask, folder)
        else:
            settings = load(workspace) if (workspace / FILE_NAME).exists() else load(Path())
            pictures = images or gallery.parent / "images"
            run = verbs.of_folder(gallery, pictures, ask, settings, workspace / "models")
    if folder:
        runs.write(run, folder)
    if as_json:
        values = run.as_json()
        print_json({key: values[key] for key in values if key != "outcomes"})
    else:
        _show(run)
        if folder:
            say(f"written: {folder / runs.RUN_FILE}")
            own = folder == workspace / runs.FOLDER
            run_ = "" if own else f" --run {shlex.quote(str(folder))}"
            say(f"next: {command(f'report --out report.html{run_}', workspace)}")


def _say_kinds(run: Run | None) -> None:
    from lensback.evaluate.verdict import REAL, strange_kinds

    if run and (strange := strange_kinds(run.outcomes)):
        named = ", ".join(repr(kind) for kind in strange[:5])
        words = ", ".join(REAL)
        say(
            f"kind {named}: counted as pictures of stores; those that people took have {words} in it"
        )


def _evaluate_use(workspace: Path, *, as_json: bool) -> None:
    from lensback.evaluate.from_use import run_of_use

    with opened_workspace(workspace) as opened, waiting(err, "evaluate"):
        run = run_of_use(opened)
    if as_json:
        print_json(run.as_json())
        return
    _table(run.figures)
    say(
        f"{counted(run.lessons, 'lesson')} of {counted(run.people, 'member')} about {counted(run.products, 'product')}"
    )
    for why, count in sorted(run.left_out.items()):
        say(f"left out: {count} {why}")
    say(run.note)


def _table(figures: Iterable[Figure]) -> None:
    table = FittedTable("figure", "value", "95 % interval", "n")
    for figure in figures:
        table.add_row(figure.name, *_cells(figure))
    out.print(table)


def _show(run: Run) -> None:
    _table(run.figures)
    if run.against:
        table = FittedTable(f"minus {run.against.name}", "difference", "95 % interval", "n", "p")
        for each in run.against.differences:
            if each.value is None:
                table.add_row(each.name, "not known", "", str(each.n), "")
                continue
            ends = "" if each.low is None else f"{each.low:+.3f} to {each.high:+.3f}"
            p = "" if each.p is None else f"{each.p:.3f}"
            table.add_row(each.name, f"{each.value:+.3f}", ends, str(each.n), p)
        out.print(table)
    failed = ", ".join(f"{name} {count}" for name, count in sorted(run.errors.items()))
    say(f"{counted(run.queries['all'], 'query', 'queries')}: {failed or 'none'}")
    _say_kinds(run)
    if run.leaks:
        say(f"leaks: {run.leaks['found']} found, {run.leaks['dropped']} left out")


def _cells(figure: Figure) -> tuple[str, str, str]:
    if figure.value is None:
        return "not known", "", str(figure.n)
    form = "{:.1f}" if figure.unit in {"ms", "s"} else "{:.3f}"
    unit = f" {figure.unit}" if figure.unit in {"ms", "s"} else ""
    ends = (figure.low, figure.high)
    known = "not known" if None in ends else " to ".join(form.format(end) for end in ends)
    return form.format(figure.value) + unit, known, str(figure.n)


@app.command("holdout")
def holdout_command(
    folder: Path,
    views: Annotated[int, typer.Option(min=0, help="Products that lose further views.")] = 150,
    absent: Annotated[int, typer.Option(min=0, help="Products taken out as a whole.")] = 40,
    one_view: Annotated[bool, typer.Option("--one-view", help="One view a product.")] = False,
    store: Annotated[
        list[str] | None, typer.Option(help="Only of this store.", autocompletion=connected)
    ] = None,
    seed: int = 0,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Copy a workspace with some pictures left out, and those pictures as photos to ask with."""
    from lensback.evaluate.holdout import Wish, hold_out

    wish = Wish(views, absent, one_view, tuple(store or ()), seed)
    with opened_workspace(workspace) as opened, StageProgress(err) as watcher:
        made = hold_out(opened, folder, wish, watcher.stage)
    if as_json:
        print_json(made.as_json())
        return
    say(
        f"{counted(made.views, 'view')} of {counted(made.products, 'product')} and {counted(made.absent, 'whole product')}"
    )
    say(f"taken out, {counted(made.hidden, 'picture')} hidden; now run:")
    asked = shlex.join(["--queries", str(made.queries)])
    say(command(f"evaluate {asked}", made.workspace))


@app.command("promise")
def promise_command(
    wrong: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share that may be wrong; 0: of the settings.")
    ] = 0,
    seed: int = 0,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Certify from which match probability an answer may be called exact. Exit code 1: it may not."""
    from lensback.evaluate.promise import certify
    from lensback.promise import CERTIFIED

    with opened_workspace(workspace) as opened, StageProgress(err) as watcher:
        made = certify(opened, promised=wrong, seed=seed, progress=watcher.stage("promise"))
        before, _ = opened.promise(opened.tools().snapshot)
    certified = made.overall.state == CERTIFIED
    if as_json:
        print_json(made.as_json())
    else:
        _show_promise(made, before)
    if not certified:
        raise typer.Exit(1)


def _show_promise(made: Promise, before: Promise | None) -> None:
    """The outcome first, then what it rests on."""
    found, share = made.overall, f"{made.promised:.0%}"
    if found.threshold is not None:
        say(f"CERTIFIED: from {found.threshold:.0%} on an answer is called exact; with")
        say(f"{made.confidence:.0%} confidence at most {share} of those are wrong.")
    else:
        why = "it was wrong too often" if found.state == "broken" else "too few answers to be sure"
        say(f"NOT CERTIFIED: nothing is promised ({why}). Nothing was changed.")
        if before:
            say(f"An earlier promise stands: at most {before.promised:.0%} wrong.")
    say(f"judged on {counted(made.cases, 'case')} of {made.source}")
    table = FittedTable("category", "state", "exact from", "answers", "wrong", "at most wrong")
    for each in (made.overall, *made.categories):
        bar = "" if each.threshold is None else f"{each.threshold:.2f}"
        most = "" if each.upper is None else f"{each.upper:.1%}"
        table.add_row(each.name or "all", each.state, bar, str(each.answers), str(each.wrong), most)
    out.print(table)


@app.command("report")
def report_command(
    file: Annotated[Path | None, typer.Option("--out", help="The HTML page to write.")] = None,
    since: Annotated[str, typer.Option(help="Live use from this day on, YYYY-MM-DD.")] = "",
    assumptions: Annotated[Path | None, typer.Option(help="Your own figures, TOML.")] = None,
    run: Annotated[Path | None, typer.Option(help="An evaluation; else the workspace's.")] = None,
    language: Annotated[
        str, typer.Option(help="en or ru.", autocompletion=names_of("language"))
    ] = "en",
    title: Annotated[str, typer.Option(help="Name of the service, for the heading.")] = "",
    example: Annotated[
        Path | None, typer.Option(help="Only write a commented assumptions.toml here.")
    ] = None,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """The customer's report: what the figures mean in money, and where not to use it."""
    from lensback.evaluate import page, report
    from lensback.evaluate.inputs import Assumptions, example_assumptions, read_assumptions
    from lensback.evaluate.page.texts import RULES, VERDICTS
    from lensback.settings import FILE_NAME

    if example:
        _write_new(example, example_assumptions())
        say(f"written: {example}")
        return
    if file is None and not as_json:
        raise BadQuery("nothing to write to", hint="give --out FILE.html, or --json")
    given = read_assumptions(read_text_file(assumptions)) if assumptions else Assumptions()
    want = report.Wanted(given, _day(since), run, language, title)
    if (workspace / FILE_NAME).exists() or run is None:
        with opened_workspace(workspace) as opened, waiting(err, "report"):
            made = report.report(want, opened)
    else:
        made = report.report(want, None)
    if file:
        page.write(made, file)
    if as_json:
        print_json(made.as_json())
    else:
        said, rule = VERDICTS[made.verdict.name][0], RULES[made.verdict.decided_by.rule]
        decided = "no photo was tested yet" if made.run is None else rule
        say(f"verdict: {said}. What decided it: {decided}")
        _say_kinds(made.run)
        say(f"written: {file}")
        if made.run is None:
            say(f"next: {command('evaluate --queries FILE.csv', workspace)}")


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        hint = what_mends(error, "name a new file")
        raise BadQuery(f"cannot write {path}: {error.strerror}", hint=hint) from error


def _day(text: str) -> int | None:
    """Unix seconds of the start of a UTC day."""
    if not text:
        return None
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise BadQuery(f"not a day: {text!r}", hint="write 2026-05-31") from error
