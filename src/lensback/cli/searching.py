"""Searching and serving: search, serve, calibrate, doctor, demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    app,
    command,
    connected,
    err,
    opened_workspace,
    out,
    pasted,
    print_json,
    refuse,
    say,
    say_aside,
)
from lensback.cli.stopping import handed_over
from lensback.console import FittedTable, StageProgress, answer_table, tally_table, waiting
from lensback.counted import counted
from lensback.durable import what_mends
from lensback.errors import BadQuery

if TYPE_CHECKING:
    from lensback.rank import Calibration
    from lensback.search import Query, Tools
    from lensback.showcase import DemoQuestion
    from lensback.train.corrected import Corrected
    from lensback.workspace import Workspace

EXAMPLE_FILE = "example.jpg"
"""In the workspace: the photo of the last `search --example`, to be tried on the page, too."""


@app.command("search")
def search_command(
    photo: Annotated[Path | None, typer.Argument(help="The photo; words alone do, too.")] = None,
    words: Annotated[
        str, typer.Option("--words", "-q", help='What it is called: "red Nike".')
    ] = "",
    box: Annotated[str, typer.Option(help="x0,y0,x1,y1 as fractions of width and height.")] = "",
    limit: Annotated[int, typer.Option(help="Most products to show.")] = 12,
    store: Annotated[
        list[str] | None,
        typer.Option(help="Only this store; repeatable.", autocompletion=connected),
    ] = None,
    category: Annotated[str, typer.Option(help="Only this category or what lies under it.")] = "",
    price_max: Annotated[str, typer.Option(help="Highest price.")] = "",
    currency: Annotated[str, typer.Option(help="Currency of the price limit.")] = "",
    in_stock: Annotated[bool, typer.Option("--in-stock", help="Only what is in stock.")] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Take a picture of the own catalogue, distorted.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Find the thing in a photo, or by words, or both."""
    from lensback.search import Query, parse_box, search, search_words

    if example and (photo or words.strip()):
        raise typer.BadParameter(
            "it brings its own photo: no PHOTO, no words", param_hint="--example"
        )
    if not example and photo is None and not words.strip():
        raise typer.BadParameter("a photo is needed, or words by -q", param_hint="PHOTO")
    query = Query(
        parse_box(box),
        limit,
        tuple(store or ()),
        category,
        price_max,
        currency,
        in_stock,
        words=words,
    )
    if example:
        _search_example(workspace, query, as_json)
        return
    try:
        data = photo.read_bytes() if photo else b""
    except OSError as error:
        raise BadQuery(f"cannot read {photo}: {error.strerror}", hint="check the path") from error
    with opened_workspace(workspace) as opened, waiting(err, "search"):
        answer = (
            search(data, query, _tools(opened)) if photo else search_words(query, opened.tools())
        )
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        out.print(answer_table(answer))


def _tools(opened: Workspace) -> Tools:
    """What the search of a photo needs, with the processes that decode: they start beside it and are waited for, as
    their start is no part of an answer's times."""
    from lensback.images import shared

    decoders = shared()
    decoders.begin(codes=opened.settings.codes)
    tools = opened.tools()
    decoders.wait()
    return tools


def _search_example(folder: Path, query: Query, as_json: bool) -> None:
    from lensback.errors import StateError
    from lensback.search import example_photo, search

    with opened_workspace(folder) as opened:
        tools = _tools(opened)
        picked = example_photo(opened.db, opened.images, tools.snapshot.fingerprint, query.stores)
        photo = folder / EXAMPLE_FILE
        try:
            photo.write_bytes(picked.photo)
        except OSError as error:
            raise StateError(
                f"cannot write {photo}: {error.strerror}", hint=what_mends(error)
            ) from error
        answer = search(picked.photo, query, tools)
    offer, place = picked.offer.offer, picked.place_in(answer)
    if as_json:
        known = {
            "offer_id": picked.offer.offer_id,
            "store": picked.offer.store,
            "sku": offer.external_id,
        }
        told = {**known, "title": offer.title, "photo": str(photo), "place": place}
        print_json({**answer.model_dump(mode="json"), "example": told})
        return
    say(f"picked: {offer.title} ({picked.offer.store}:{offer.external_id})")
    say(f"its picture, turned, cropped, lit and compressed as by a phone: {photo}")
    out.print(answer_table(answer))
    found = {None: "was not found", 1: "was found first"}.get(place, f"was found as number {place}")
    say(f"the picked thing {found}; photos of your shoppers are harder than this one")
    say(f"next: {command('serve', folder)}")


@app.command("serve")
def serve_command(
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64)] = 1,
    workspace: Folder = HERE,
) -> None:
    """Serve the page and the API."""
    from lensback.web import run

    name = f"[{host}]" if ":" in host else host

    def listening(opened: Workspace, bound: int) -> None:
        _say_what_is_served(opened, f"http://{name}:{bound}")

    with handed_over():
        run(workspace, host, port, workers, listening=listening, stopping=_say_it_stops)


def _say_it_stops() -> None:
    err.print("stopping when what was asked is answered; once more to stop at once")


def _say_what_is_served(opened: Workspace, address: str) -> None:
    """On stderr, before the first request: where, what, and what a change of it needs."""
    from lensback.catalogue import offers
    from lensback.errors import Error

    try:
        counts = offers.counts(opened.db)
        snapshot = opened.index.snapshot
    except Error as error:  # the server tells of it by /readyz and goes on
        refuse(type(error).__name__, error)
        say_aside(address)
        return
    sold = f"{counted(counts.total(), 'offer')} of {counted(len(counts), 'store')}"
    by = (
        f"encoder {snapshot.encoder}"
        if snapshot
        else f"nothing is published yet: {command('sync', opened.path)}"
    )
    lines = (
        f"{address}  {sold}, {by}",
        "a new index, keys of `key add`, rates and calibration are seen at once; lensback.toml and a new host key after a restart",
        'a line for each request follows; log_level = "warning" in lensback.toml turns it off',
        "Ctrl-C stops it",
    )
    for line in lines:
        say_aside(line)


@app.command("calibrate")
def calibrate_command(
    limit: Annotated[int, typer.Option(min=10, help="Most products to ask for.")] = 400,
    seed: int = 0,
    from_use: Annotated[
        bool, typer.Option("--from-use", help="Then set it right by members' votes.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Fit match probability on held-out views of the catalogue."""
    from lensback.calibrate import calibrate
    from lensback.questions import COPIES
    from lensback.workspace import save_calibration

    with opened_workspace(workspace) as opened, StageProgress(err) as watcher:
        snapshot = opened.index.snapshot  # searches are of its encoder, whatever the next sync's is
        encoder = opened.encoder(snapshot.encoder if snapshot else "")
        things = (opened.db, opened.images, opened.vectors, encoder)
        watch = watcher.stage("calibrate")
        calibration = calibrate(
            *things,
            detector=opened.detector_of_many,
            exact_from=opened.settings.exact_precision,
            limit=limit,
            seed=seed,
            progress=watch,
        )
        votes = _by_votes(opened, calibration) if from_use else None
        path = save_calibration(opened, votes.calibration if votes else calibration)
        broken = opened.promise(snapshot)[1] if snapshot else ""
    if as_json:
        print_json(votes.as_json() if votes else calibration.as_json())
        return
    if votes:
        _say_corrected(votes)
    say(f"{encoder.name}: {counted(calibration.cases, 'case')} of {calibration.kind} -> {path}")
    if (held := calibration.held_out) is not None:
        say(
            f"held out: exact said of {counted(held.exact, 'question')}, {held.exact_right} rightly, which is"
            f" {held.exact_right / max(held.sold, 1):.0%} of the {held.sold} whose product is there;"
            f" none said to {held.far_none} of {counted(held.far, 'distorted photo')} of what is on sale"
        )
    say(f"a search says exact from {opened.settings.exact_precision:.0%} on, which is no promise")
    if broken:
        say(f"no promise holds ({broken}); next: {command('promise', workspace)}")
    if calibration.kind == COPIES:
        out.print("too few products have several images: these probabilities are optimistic")


def _by_votes(opened: Workspace, calibration: Calibration) -> Corrected:
    from lensback.lessons import lessons, outcomes
    from lensback.train.corrected import corrected

    known = lessons(opened.db, opened.path, calibration.fingerprint)
    asked = outcomes(opened.db, opened.vectors, calibration.fingerprint, known.of("vote"))
    return corrected(calibration, asked, opened.settings.exact_precision)


def _say_corrected(done: Corrected) -> None:
    middle, low, high = done.difference
    figures = f"log loss {done.before:.3f} before, {done.after:.3f} after, {middle:+.3f} [{low:+.3f}, {high:+.3f}]"
    asked = f"{counted(done.votes, 'vote')} of {counted(done.people, 'member')} not learnt from: {figures}"
    if done.gained:
        say(f"GAINED on {asked}.")
    else:
        say(f"GAINED NOTHING, so votes do not count: {asked}.")
    before, after = done.exact, done.exact_after
    say(
        f"called exact: {before[0]} before ({before[1]} rightly), {after[0]} after ({after[1]} rightly)"
    )


@app.command("doctor")
def doctor_command(
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every picture and vector, not a sample.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Check workspace, database, index, encoder and disk; say what to do."""
    from dataclasses import replace

    from lensback.doctor import examine

    with opened_workspace(workspace) as opened, waiting(err, "doctor"):
        checks = [replace(check, hint=pasted(check.hint)) for check in examine(opened, deep=deep)]
    if as_json:
        print_json([check.as_json() for check in checks])
    else:
        colors = {"ok": "green", "warn": "yellow", "fail": "red"}
        table = FittedTable("part", "state", "found", "do")
        for check in checks:
            state = f"[{colors[check.state]}]{check.state}[/]"
            table.add_row(check.part, state, escape(check.message), escape(check.hint))
        out.print(table)
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(2)


@app.command("demo")
def demo_command(
    workspace: Folder = Path("demo-workspace"),
    serve: Annotated[bool, typer.Option(help="Serve the page afterwards.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
) -> None:
    """Make two small stores, sync them, search three photos, and serve the page."""
    from lensback.demo import NOTE
    from lensback.showcase import showcase

    with StageProgress(err) as watcher:
        shown = showcase(workspace, watch=watcher.stage)
    out.print(NOTE, highlight=False)
    out.print(tally_table(shown.report.tallies))
    first = shown.asked[0]
    say(f"photo: {first.photo.path}")
    out.print(answer_table(first.answer))
    out.print(_asked_table(shown.asked))
    right = sum(asked.right for asked in shown.asked)
    say(
        f"the demo knows the truth: {right} of {counted(len(shown.asked), 'answer')} are right;"
        f" {shown.seconds:.1f} s in all"
    )
    if serve:
        serve_command(port=port, workers=1, workspace=workspace)
    else:
        say(f"next: {command('serve', workspace)}")


def _asked_table(asked: Sequence[DemoQuestion]) -> FittedTable:
    """One row a photo: what is true of it, and what the search answered."""
    table = FittedTable("photo of", "sold", "answer", "probability", "first found", "right")
    for each in asked:
        hits = each.answer.hits
        table.add_row(
            escape(each.photo.shows),
            "yes" if each.photo.offers else "by nobody",
            each.answer.verdict,
            f"{each.answer.probability:.0%}",
            escape(hits[0].title) if hits else "nothing",
            "yes" if each.right else "NO",
        )
    return table
