"""Names that the shell completes. A Tab waits for it, so nothing is opened that can be left shut."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from lensback.errors import Error


def store_names(folder: Path) -> list[str]:
    """The stores that are connected in a workspace; none where they cannot be told just now."""
    from lensback.settings import load

    try:
        elsewhere = load(folder).database
        return _of_server(elsewhere) if elsewhere else _of_file(folder / "catalogue.db")
    except (Error, sqlite3.Error):
        return []


def encoder_names(folder: Path) -> list[str]:
    """The encoders that can be used in a workspace."""
    from lensback.encoders.shelf import SHELF

    return SHELF.names(folder / "models")


def detector_names(folder: Path) -> list[str]:
    """The detectors that can be used in a workspace."""
    from lensback.detectors.shelf import SHELF

    return SHELF.names(folder / "detectors")


def network_names(folder: Path) -> list[str]:
    """The networks that come with Lensback, and those of a workspace."""
    from lensback import networks

    return networks.network_names(folder / "networks")


def language_names(_folder: Path) -> list[str]:
    """The languages that pages and reports speak."""
    from lensback.speech import languages

    return list(languages())


def _of_file(path: Path) -> list[str]:
    """Read as it lies: with SQLAlchemy and the migrations it takes three times as long."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        return [name for (name,) in db.execute("SELECT name FROM stores ORDER BY name")]


def _of_server(url: str) -> list[str]:
    from lensback.catalogue import stores
    from lensback.db import Database

    with closing(Database(url)) as db:  # as it is: a Tab migrates nothing
        return stores.names(db) if db.revision() else []
