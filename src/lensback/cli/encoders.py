"""Encoders: train, encoder list, add, use."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensback.cli.face import (
    HERE,
    AsJson,
    EightBitName,
    EncoderName,
    Folder,
    RangePictures,
    app,
    command,
    confirmed,
    connected,
    encoder_app,
    err,
    names_of,
    on_shelves,
    one_of,
    opened_workspace,
    out,
    print_json,
    say,
)
from lensback.console import FittedTable, StageProgress, waiting
from lensback.counted import counted
from lensback.errors import BadQuery, ConfigError, UnknownName

if TYPE_CHECKING:
    from lensback.train.run import Trained


@app.command("train")
def train_command(
    out: Annotated[
        Path | None, typer.Option(help="Model folder to write; must not be there yet.")
    ] = None,
    stores: Annotated[
        list[str] | None,
        typer.Option(help="Only this store's images; repeatable.", autocompletion=connected),
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="Most minutes to take; 0: as long as it needs.")
    ] = 0,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda.", autocompletion=one_of("auto", "cpu", "cuda"))
    ] = "auto",
    teacher: Annotated[
        str,
        typer.Option(
            help="Encoder whose view of things is imitated.", autocompletion=names_of("encoder")
        ),
    ] = "",
    everything: Annotated[
        bool, typer.Option("--everything", help="Learn from the held-out images, too, at the end.")
    ] = False,
    from_use: Annotated[
        bool, typer.Option("--from-use", help="Learn from members' votes, purchases and clicks.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Train an encoder on the workspace's own images, or from use. Resumable."""
    from lensback.catalogue.stores import check_names
    from lensback.session import processors
    from lensback.train import Recipe, train

    if device not in {"auto", "cpu", "cuda"}:
        raise BadQuery(f"no such device: {device!r}", hint="use auto, cpu or cuda")
    if out is None:
        raise BadQuery("the trained encoder needs a folder", hint="add --out MODEL_DIR")
    if from_use:
        _train_from_use(out, workspace, as_json=as_json)
        return
    with opened_workspace(workspace) as opened, StageProgress(err) as watcher:
        names = check_names(opened.db, stores or [])
        done = train(
            opened.db,
            opened.images,
            out,
            stores=names,
            minutes=minutes,
            device=device,
            threads=opened.settings.threads or processors(),
            recipe=Recipe(everything=everything),
            teacher=opened.encoder(teacher) if teacher else None,
            watch=watcher.watch,
        )
    if as_json:
        print_json(done.as_json())
        return
    _show_trained(done, workspace)


def _train_from_use(folder: Path, workspace: Path, *, as_json: bool) -> None:
    """The encoder that searches use now, taught by what became of its answers; the outcome first."""
    from lensback.encoders.shelf import SHELF
    from lensback.lessons import lessons
    from lensback.train.from_use import train_from_use

    with opened_workspace(workspace) as opened, waiting(err, "learn from use"):
        snapshot = opened.index.snapshot
        encoder = opened.encoder(snapshot.encoder if snapshot else "")
        known = lessons(opened.db, opened.path, encoder.fingerprint)
        done = train_from_use(
            opened.db,
            opened.vectors,
            SHELF.find(encoder.name, opened.models),
            encoder.fingerprint,
            known.taught,
            folder,
            learning=opened.settings.learn_from_use,
        )
    if as_json:
        print_json(done.as_json())
        return
    middle, low, high = done.difference
    figures = (
        f"{done.before:.3f} before, {done.after:.3f} after, {middle:+.3f} [{low:+.3f}, {high:+.3f}]"
    )
    asked = f"{counted(done.asked, 'vote and purchase', 'votes and purchases')} not learnt from: {figures}"
    if done.gained:
        say(f"GAINED on {asked}.")
    else:
        say(f"GAINED NOTHING, do not use it: {asked}. Nothing is written.")
    middle, low, high = done.views_difference
    say(
        f"{counted(done.views, 'other view')} of the catalogue: {middle:+.3f} [{low:+.3f}, {high:+.3f}]"
    )
    by = ", ".join(f"{count} by {name}" for name, count in done.by.items() if count)
    say(
        f"{counted(done.lessons, 'lesson')} of {counted(done.people, 'member')} about {counted(done.things, 'product')}: {by}"
    )
    if done.gained:
        say(f"next: {command(f'encoder add NAME {shlex.quote(str(done.folder))}', workspace)}")


def _show_trained(done: Trained, workspace: Path) -> None:
    """The outcome first: what gained nothing on pictures that it had not seen is not to be used."""
    figures = f"{done.before:.3f} before, {done.after:.3f} after"
    gained = done.kept != "start" and done.after > done.before
    if not done.queries:
        say("NOT KNOWN whether it gained anything: no product has another view to ask with.")
    elif gained:
        say(f"GAINED on {counted(done.queries, 'other view')} of held-out products: {figures}.")
    else:
        say(f"GAINED NOTHING, do not use it: {done.queries} held-out views, {figures}.")
    say(
        f"{counted(done.pictures, 'picture')}, {counted(done.several, 'product')} with several of them -> {done.folder}"
    )
    if not done.calibrated_on:
        say("too few held-out views for a match probability: run lensback calibrate after the sync")
    say(f"loss and validation by step: {done.folder / 'chart.svg'}, {done.folder / 'log.csv'}")
    if gained:
        say(f"next: {command(f'encoder add NAME {shlex.quote(str(done.folder))}', workspace)}")


@encoder_app.command("list")
def encoder_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Encoders that are built in, added, and known by description."""
    from dataclasses import asdict

    from lensback.encoders import list_encoders

    with on_shelves(workspace) as opened:
        infos = list_encoders(opened.models)
        used = opened.settings.encoder
    if as_json:
        print_json([asdict(info) | {"used": info.name == used} for info in infos])
        return
    table = FittedTable("", "encoder", "numbers", "kind", "licence", "fingerprint")
    for info in infos:
        mark = "*" if info.name == used else ""
        table.add_row(
            mark, info.name, str(info.dim or ""), info.kind, info.licence, info.fingerprint
        )
    out.print(table)
    if used not in {info.name for info in infos}:
        say(f"in use: {used}")


@encoder_app.command("add")
def encoder_add(
    name: str,
    source: Annotated[str, typer.Argument(help=".onnx file, folder, URL, or Hugging Face repo.")],
    description: Annotated[Path | None, typer.Option(help="An encoder.toml of your own.")] = None,
    workspace: Folder = HERE,
) -> None:
    """Add an ONNX encoder; `encoder list` shows those with a ready description."""
    from lensback.encoders import add_encoder

    limit = 4 << 30
    with opened_workspace(workspace) as opened, waiting(err, f"add {name}"):
        if source.endswith(".onnx") and source.count("/") < 2 and "://" not in source:
            _check_file(Path(source))
        path = add_encoder(
            name,
            source,
            opened.models,
            description=description,
            fetch=lambda url, to: opened.fetcher.download(url, to, max_bytes=limit),
        )
    say(f"added {name}: {path}")
    say(f"next: {command(f'encoder use {name}', workspace)}")


def _check_file(path: Path) -> None:
    if not path.exists():
        raise ConfigError(f"there is no file {path}", hint="check the path of the model")


@encoder_app.command("use")
def encoder_use(name: EncoderName, workspace: Folder = HERE) -> None:
    """Use another encoder: the next sync re-embeds, searches switch over when it is done."""
    from lensback.workspace import set_setting

    with opened_workspace(workspace) as opened:
        opened.encoder(name)
        set_setting(workspace, "encoder", name)
    say(f"{name} from the next sync on; until then searches go on with the one before")
    say(f"next: {command('sync', workspace)}")
    if "LENSBACK_ENCODER" in os.environ:
        err.print("LENSBACK_ENCODER is set and stands above this setting")


@encoder_app.command("remove")
def encoder_remove(
    name: EncoderName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    workspace: Folder = HERE,
) -> None:
    """Take an encoder that was added off the shelf; its vectors go with `prune`."""
    from lensback.encoders import list_encoders

    with opened_workspace(workspace) as opened:
        added = {info.name for info in list_encoders(opened.models) if info.kind == "added"}
        if name not in added:
            raise UnknownName("added encoder", name, sorted(added))
        snapshot = opened.index.snapshot
        used = {
            opened.settings.encoder: "the next sync's",
            snapshot.encoder if snapshot else "": "the index's",
        }
        if name in used:
            hint = f"first: {command('encoder use OTHER', workspace)}, then sync"
            raise BadQuery(f"{name} is {used[name]} encoder", hint=hint)
        confirmed(f"remove the encoder {name}, its model and its description", yes)
        shutil.rmtree(opened.models / name)
    say(f"removed {name}")
    say(f"next: {command('prune', workspace)}")


@encoder_app.command("quantize")
def encoder_quantize(
    name: str,
    to: EightBitName = "",
    pictures: RangePictures = 64,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Make an encoder once more in eight bits, and say what it finds beside the one in full."""
    from lensback.train.eightbit import in_eight_bits

    with opened_workspace(workspace) as opened, StageProgress(err) as watcher:
        done = in_eight_bits(
            opened.db,
            opened.images,
            opened.models,
            name,
            to or f"{name}-8bit",
            count=pictures,
            threads=opened.settings.threads,
            watch=watcher.watch,
        )
    if as_json:
        print_json(done.as_json())
        return
    table = FittedTable("", name, done.name, "difference", "95 % interval")
    for each in done.beside:
        for k, (difference, low, high) in each.difference.items():
            figures = (f"{each.recall_full[k]:.3f}", f"{each.recall_eight[k]:.3f}")
            asked = f"{each.kind} ({each.asked}), R@{k}"
            table.add_row(asked, *figures, f"{difference:+.3f}", f"[{low:+.3f}, {high:+.3f}]")
    table.add_row("ms for two parts of a photo", f"{done.ms_full}", f"{done.ms_eight}", "", "")
    out.print(table)
    layers = f"{counted(done.layers, 'layer')} in eight bits, ranges from {counted(done.pictures, 'picture')}"
    say(f"{layers}, searched among {counted(done.gallery, 'other')}")
    if not done.folder:
        say(f"FINDS LESS, do not use it: nothing is kept. {name} stays as it is.")
        return
    say(f"added {done.name}: {done.folder}")
    say("to compare both over all other views:")
    say(f"next: {command(f'encoder compare {name} {done.name}', workspace)}")
    say("to use it:")
    say(f"next: {command(f'encoder use {done.name}', workspace)}")


@encoder_app.command("compare")
def encoder_compare(
    a: EncoderName,
    b: EncoderName,
    stores: Annotated[
        list[str] | None,
        typer.Option(help="Only this store's images; repeatable.", autocompletion=connected),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most products to ask for.")] = 1000,
    to: Annotated[
        Path | None, typer.Option("--out", help="HTML page to write, with pictures.")
    ] = None,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Compare two encoders on the workspace's own other views."""
    from lensback.catalogue.stores import check_names
    from lensback.train.compare import compare, page
    from lensback.workspace import write_atomically

    with opened_workspace(workspace) as opened, StageProgress(err) as watcher:
        found = compare(
            opened.db,
            opened.images,
            opened.vectors,
            opened.encoder(a),
            opened.encoder(b),
            models=opened.models,
            stores=check_names(opened.db, stores or []),
            limit=limit,
            watch=watcher.watch,
        )
        if to:
            write_atomically(to, page(found, opened.images))
    if as_json:
        print_json(found.as_json())
        return
    table = FittedTable("", a, b, "difference", "95 % interval")
    for k, (difference, low, high) in found.difference.items():
        figures = (f"{found.recall_a[k]:.3f}", f"{found.recall_b[k]:.3f}", f"{difference:+.3f}")
        table.add_row(f"R@{k}", *figures, f"[{low:+.3f}, {high:+.3f}]", style=None)
    out.print(table)
    say(
        f"{counted(found.queries, 'picture')} of {counted(found.products, 'product')} among {found.gallery}"
    )
    if found.learnt:
        say(
            f"left out: {counted(found.learnt, 'picture')} of families that one of the two learnt from"
        )
    if to:
        say(f"{counted(len(found.disagreements), 'question')} on which they disagree: {to}")
