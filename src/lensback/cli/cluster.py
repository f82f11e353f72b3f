"""Outgrowing one machine: embed."""

from __future__ import annotations

from typing import Annotated

import typer

from lensback.cli.face import HERE, AsJson, Folder, app, err, opened_workspace, out, print_json
from lensback.console import StageProgress, tally_table
from lensback.errors import BadQuery


@app.command("embed")
def embed_command(
    ray: Annotated[
        str, typer.Option(help="Ray cluster: auto, HOST:6379, ray://HOST:10001, or local.")
    ] = "",
    on: Annotated[
        str, typer.Option(help="NAME:ADDRESS of another engine; ray:ADDRESS is --ray ADDRESS.")
    ] = "",
    threads: Annotated[int, typer.Option(min=1, help="Processors of one batch there.")] = 1,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Encode the images that have no vector yet, here or spread over a cluster."""
    from lensback.embed import embed
    from lensback.spread import spreader

    if ray and on:
        raise BadQuery("--ray and --on both say where", hint="leave one of them out")
    name, _, address = on.partition(":") if on else ("ray", "", ray)
    there = spreader(name) if address or on else None
    with opened_workspace(workspace) as opened, StageProgress(err) as watcher, opened.locked():
        things = (opened.db, opened.images, opened.vectors, opened.encoder())
        batch, progress = opened.settings.embed_batch, watcher.stage("embed")
        if there is None:
            tally = embed(*things, batch=batch, progress=progress)
        else:
            tally = there(
                *things, opened.models,
                address=address, threads=threads, batch=batch, progress=progress,
            )  # fmt: skip
    if as_json:
        print_json(tally.as_json())
    else:
        out.print(tally_table([tally]))
