"""A published workspace of two stores that sell the same drawn things, and a photo of one."""

from __future__ import annotations

from pathlib import Path

from garments import items
from lensback.catalogue import stores
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace, init
from world import World

THINGS = items(12)


def publish(folder: Path) -> tuple[Path, Path]:
    """The workspace, and the photo's file; `harbour` and `lavka` both sell the thing on it."""
    init(folder / "workspace")
    with World(folder / "world") as world:
        chosen = Settings(allow_hosts=("127.0.0.1",))
        with Workspace(folder / "workspace", chosen) as workspace:
            for name, form in (("harbour", "google"), ("lavka", "yml")):
                store = world.store(name, form, THINGS, sizes=("M", "S"), marker=True)
                stores.add(workspace.db, name, store.feed_url, base=world.base)
            assert not sync(workspace).failed
        photo = world.photo(THINGS[0], 3)
    return folder / "workspace", photo
