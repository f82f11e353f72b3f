"""Encoders: train, encoder list, add, use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    encoder_app,
    err,
    opened_workspace,
    out,
    print_json,
    say,
    train_app,
)
from lensback.console import Watcher
from lensback.errors import BadQuery, ConfigError
from lensback.types import Progress
from lensback.workspace import set_setting


@train_app.callback()
def train_command(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Model folder to write; must not be there yet.")
    ] = None,
    stores: Annotated[
        list[str] | None, typer.Option(help="Only this store's images; repeatable.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="Most minutes to take; 0: as long as it needs.")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Train an encoder on the workspace's own images, or `train detector`. Resumable."""
    if context.invoked_subcommand:
        return
    from lensback.catalogue.stores import check_names
    from lensback.train import train

    if device not in {"auto", "cpu", "cuda"}:
        raise BadQuery(f"no such device: {device!r}", hint="use auto, cpu or cuda")
    if out is None:
        raise BadQuery("the trained encoder needs a folder", hint="add --out MODEL_DIR")
    with opened_workspace(workspace) as opened, Watcher(err) as watcher:
        names = check_names(opened.db, stores or [])
        bars: dict[str, Progress] = {}

        def watch(stage: str, done: int, total: int) -> None:
            bars.setdefault(stage, watcher.stage(stage))(done, total)

        done = train(
            opened.db,
            opened.images,
            out,
            stores=names,
            minutes=minutes,
            device=device,
            threads=opened.settings.threads or os.cpu_count() or 1,
            watch=watch,
        )
    if as_json:
        print_json(done.as_json())
        return
    say(f"{done.pictures} pictures, {done.several} products with several of them -> {done.folder}")
    say(
        f"held-out products' other views: {done.before:.3f} before, {done.after:.3f} after ({done.kept})"
    )
    say(f"next: lensback encoder add NAME {done.folder}")


@encoder_app.command("list")
def encoder_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Encoders that are built in, added, and known by description."""
    from dataclasses import asdict

    from lensback.encoders import list_encoders

    with opened_workspace(workspace) as opened:
        infos = list_encoders(opened.models)
        used = opened.settings.encoder
    if as_json:
        print_json([asdict(info) | {"used": info.name == used} for info in infos])
        return
    table = Table("", "encoder", "numbers", "kind", "licence", "fingerprint")
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
    with opened_workspace(workspace) as opened:
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
    say(f"next: lensback encoder use {name}")


def _check_file(path: Path) -> None:
    if not path.exists():
        raise ConfigError(f"there is no file {path}", hint="check the path of the model")


@encoder_app.command("use")
def encoder_use(name: str, workspace: Folder = HERE) -> None:
    """Use another encoder: the next sync re-embeds, searches switch over when it is done."""
    with opened_workspace(workspace) as opened:
        opened.encoder(name)
        set_setting(workspace, "encoder", name)
    say(f"{name} from the next sync on: run lensback sync")
    if "LENSBACK_ENCODER" in os.environ:
        err.print("LENSBACK_ENCODER is set and stands above this setting")
