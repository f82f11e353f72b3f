"""Detectors: list, add, use."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from lensback.cli.face import (
    HERE,
    AsJson,
    EightBitName,
    Folder,
    RangePictures,
    command,
    detector_app,
    err,
    names_of,
    on_shelves,
    opened_workspace,
    out,
    print_json,
    say,
)
from lensback.console import FittedTable, StageProgress, waiting
from lensback.counted import counted

MOST_BYTES = 2 << 30


@detector_app.command("list")
def detector_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Detectors that are built in, shipped, added, and known by description."""
    from dataclasses import asdict

    from lensback.detectors.shelf import list_detectors

    with on_shelves(workspace) as opened:
        infos = list_detectors(opened.detectors)
        used = opened.settings.detector
    if as_json:
        print_json([asdict(info) | {"used": info.name == used} for info in infos])
        return
    table = FittedTable("", "detector", "kind", "labels", "licence")
    for info in infos:
        mark = "*" if info.name == used else ""
        table.add_row(mark, info.name, info.kind, ", ".join(info.labels), info.licence)
    out.print(table)
    if used not in {info.name for info in infos}:
        say(f"in use: {used}")


@detector_app.command("add")
def detector_add(
    name: str,
    source: Annotated[str, typer.Argument(help=".onnx file, model folder, or https URL.")],
    description: Annotated[
        str | None, typer.Option(help="A detector.toml of your own, or a known description.")
    ] = None,
    workspace: Folder = HERE,
) -> None:
    """Add an ONNX detector; `detector list` shows those with a ready description."""
    from lensback.detectors.shelf import add_detector

    with opened_workspace(workspace) as opened, waiting(err, f"add {name}"):
        path = add_detector(
            name,
            source,
            opened.detectors,
            description=description,
            fetch=lambda url, to: opened.fetcher.download(url, to, max_bytes=MOST_BYTES),
        )
    say(f"added {name}: {path}")
    say(f"next: {command(f'detector use {name}', workspace)}")


@detector_app.command("use")
def detector_use(
    name: Annotated[str, typer.Argument(autocompletion=names_of("detector"))],
    workspace: Folder = HERE,
) -> None:
    """Use another detector from the next search on."""
    from lensback.detectors import open_detector
    from lensback.workspace import set_setting

    with opened_workspace(workspace) as opened:
        open_detector(name, opened.detectors)
        set_setting(workspace, "detector", name)
    say(f"{name} finds the items from now on")
    if "LENSBACK_DETECTOR" in os.environ:
        err.print("LENSBACK_DETECTOR is set and stands above this setting")


@detector_app.command("quantize")
def detector_quantize(
    name: str,
    to: EightBitName = "",
    pictures: RangePictures = 64,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Make a detector once more in eight bits, and say how far it agrees with the one in full."""
    from lensback.train.eightbit_detector import AGAIN, detector_in_eight_bits

    with opened_workspace(workspace) as opened, StageProgress(err) as watcher:
        done = detector_in_eight_bits(
            opened.db,
            opened.images,
            opened.detectors,
            name,
            to or f"{name}-8bit",
            count=pictures,
            threads=opened.settings.threads,
            watch=watcher.watch,
        )
    if as_json:
        print_json(done.as_json())
        return
    low, high = done.interval
    say(
        f"{done.again:.3f} [{low:.3f}, {high:.3f}] of {counted(done.named_full, 'region')} that {name} names in "
        f"{counted(done.shown, 'picture')} are named by {done.name}, too, which names {done.named_eight}"
    )
    say(f"{done.ms_eight} ms a picture in place of {done.ms_full}")
    if not done.folder:
        say(f"LESS THAN {AGAIN}, do not use it: nothing is kept. {name} stays as it is.")
        return
    say(f"added {done.name}: {done.folder}")
    say(f"next: {command(f'detector use {done.name}', workspace)}")
