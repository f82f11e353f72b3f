"""A published workspace of two stores that sell the same drawn things, and a photo of one."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from garments import items
from lensback.catalogue import stores
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace, init
from world import World

THINGS = items(12)


def publish(folder: Path) -> tuple[Path, Path]:
    """The workspace, a copy of its own, and the photo's file; `harbour` and `lavka` both sell the thing
    on it."""
    made, photo = _made()
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder / "workspace", folder / photo


@cache
def _made() -> tuple[Path, Path]:
    """The folder that is copied, made once in a process, and the photo's place in it."""
    folder = Path(tempfile.mkdtemp(prefix="published"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    init(folder / "workspace")
    with World(folder / "world") as world:
        chosen = Settings(allow_hosts=("127.0.0.1",))
        with Workspace(folder / "workspace", chosen) as workspace:
            for name, form in (("harbour", "google"), ("lavka", "yml")):
                store = world.store(name, form, THINGS, sizes=("M", "S"), marker=True)
                stores.add(workspace.db, name, store.feed_url, base=world.base)
            assert not sync(workspace).failed
        photo = world.photo(THINGS[0], 3)
    return folder, photo.relative_to(folder)
