"""Outgrowing one machine: embed."""

from __future__ import annotations

from typing import Annotated

import typer

from lensback.cli.face import HERE, AsJson, Folder, app, err, opened_workspace, out, print_json
from lensback.console import StageProgress, tally_table


@app.command("embed")
def embed_command(
    ray: Annotated[
        str, typer.Option(help="Ray cluster: auto, HOST:6379, ray://HOST:10001, or local.")
    ] = "",
    threads: Annotated[int, typer.Option(min=1, help="Processors of one batch on Ray.")] = 1,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Encode the images that have no vector yet, here or spread over a Ray cluster."""
    from lensback.embed import embed
    from lensback.spread import embed_on_ray

    with opened_workspace(workspace) as opened, StageProgress(err) as watcher, opened.locked():
        things = (opened.db, opened.images, opened.vectors, opened.encoder())
        batch, progress = opened.settings.embed_batch, watcher.stage("embed")
        if ray:
            tally = embed_on_ray(
                *things, opened.models, address=ray, threads=threads, batch=batch, progress=progress
            )
        else:
            tally = embed(*things, batch=batch, progress=progress)
    if as_json:
        print_json(tally.as_json())
    else:
        out.print(tally_table([tally]))
