"""Logos of stores, as the page shows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensback.cli.face import HERE, Folder, connected, opened_workspace, say, store_app
from lensback.errors import BadQuery, Error

if TYPE_CHECKING:
    from lensback.workspace import Workspace

PAGES = 20
"""Pages of a store's offers from which its site is told."""


@store_app.command("logo")
def store_logo(
    name: Annotated[
        str, typer.Argument(help="The store; left out with --all.", autocompletion=connected)
    ] = "",
    picture: Annotated[
        str,
        typer.Argument(help="A file or an address; left out: the icon of the store's own site."),
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="All stores that have none.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take the logo away.")] = False,
    workspace: Folder = HERE,
) -> None:
    """Give a store a logo for the page: a picture of yours, or its site's own icon."""
    from lensback import logos
    from lensback.catalogue import stores

    if every == bool(name) or (every and (picture or remove)) or (picture and remove):
        raise BadQuery("name one store, or all", hint="lensback store logo NAME, or --all")
    with opened_workspace(workspace) as opened:
        if every:
            _all(opened)
            return
        stores.check_names(opened.db, [name])
        if remove:
            there = logos.drop(opened.path, name)
            say(f"the logo of {name} is gone" if there else f"{name} had no logo")
            return
        _keep(opened, name, picture)
    say(f"{name} has a logo; the page shows it within half a minute")


def _keep(opened: Workspace, name: str, picture: str) -> None:
    """Raises Error where there is no such picture."""
    from lensback import images, logos
    from lensback.catalogue import offers

    by = images.shared()
    if "://" in picture:
        data = opened.fetcher.fetch(picture, max_bytes=logos.MAX_BYTES).body
    elif picture:
        data = _read(Path(picture), logos.MAX_BYTES)
    else:
        data = logos.icon(opened.fetcher, offers.pages(opened.db, name, PAGES), by)
    logos.keep(opened.path, name, data, by)


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise BadQuery(f"{path} cannot be read: {error.strerror}", hint="name a picture") from error


def _all(opened: Workspace) -> None:
    """What has no icon is told and left as it is."""
    from lensback import logos
    from lensback.catalogue import stores

    missing = [n for n in stores.names(opened.db) if not logos.path_of(opened.path, n).is_file()]
    for name in missing:
        try:
            _keep(opened, name, "")
        except Error as error:
            say(f"{name}: none ({error.message})")
        else:
            say(f"{name}: its site's icon")
    if not missing:
        say("every store has one")
