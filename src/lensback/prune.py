"""What nobody needs any more, taken away: it costs disk and nothing else.

Everything here is made again where somebody does need it: pictures are fetched, vectors computed.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lensback.catalogue import pictures
from lensback.db import chunks
from lensback.publish import searched
from lensback.workspace import Workspace

OLD_S = 86_400
"""Leftovers younger than this may be somebody's work under way."""
_PICTURE = re.compile("[0-9a-f]{64}")
_HALF = re.compile(r"\..*\.(tmp|part)|\.tmp\w{6}|\.adding-.*")
"""What is put together under a name of its own (`durable`, the index, Lance, a shelf of models) and then renamed."""
_TWO = re.compile("[0-9a-f]{2}")
"""Folders of pictures, of which there are 65 thousand."""


@dataclass(frozen=True, slots=True)
class Unneeded:
    """One kind of what nobody needs."""

    what: str
    count: int
    bytes: int
    why: str

    def as_json(self) -> dict[str, object]:
        """The line as `prune --json` prints it."""
        return asdict(self)


def prune(workspace: Workspace, *, dry_run: bool = False) -> list[Unneeded]:
    """What was taken away, or with `dry_run` what would be. The caller holds the workspace's lock."""
    kinds = (
        ("pictures", "no image of the catalogue", list(_pictures(workspace))),
        (
            "tables of vectors",
            "of an encoder that nobody uses",
            list(_tables(workspace, "vectors")),
        ),
        (
            "tables of the index",
            "of an encoder that nobody uses",
            list(_tables(workspace, "index/*")),
        ),
        ("damaged tables", "set aside by a sync", list(_set_aside(workspace))),
        ("leftovers", "of work that was broken off", list(_leftovers(workspace))),
    )
    found = []
    for what, why, paths in kinds:
        size = sum(_size(path) for path in paths)
        if paths:
            found.append(Unneeded(what, len(paths), size, why))
        for path in paths if not dry_run else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return found


def _pictures(workspace: Workspace) -> Iterator[Path]:
    """Pictures, and their thumbnails, that the catalogue does not name."""
    root = workspace.path / "images"
    files = (path for path in root.glob("**/*") if _PICTURE.fullmatch(path.stem) and path.is_file())
    for part in chunks(files):
        known = pictures.known(workspace.db, sorted({path.stem for path in part}))
        yield from (path for path in part if path.stem not in known and _old(path))


def _tables(workspace: Workspace, folder: str) -> Iterator[Path]:
    """Tables of encoders that neither searches nor the next sync use."""
    snapshot = searched(workspace.index)
    used = {workspace.encoder().fingerprint, snapshot.fingerprint if snapshot else ""}
    for path in workspace.path.glob(f"{folder}/v_*.lance"):
        if path.stem.removeprefix("v_") not in used and _old(path):
            yield path


def _set_aside(workspace: Workspace) -> Iterator[Path]:
    yield from workspace.path.glob("vectors/*.damaged")
    yield from workspace.path.glob("index/**/*.damaged")


def _leftovers(workspace: Workspace) -> Iterator[Path]:
    for pattern in ("spool/*", "images/tmp/*"):
        yield from (path for path in workspace.path.glob(pattern) if _old(path))
    for place, folders, files in os.walk(workspace.path):
        here = Path(place)
        folders[:] = [] if here == workspace.path / "spool" else folders
        half = {name for name in (*folders, *files) if _HALF.fullmatch(name)}
        folders[:] = [n for n in folders if n not in half and not _TWO.fullmatch(n)]
        yield from (here / name for name in sorted(half) if _old(here / name))


def _old(path: Path) -> bool:
    try:
        return path.stat().st_mtime < time.time() - OLD_S
    except FileNotFoundError:  # a service had only just written it, and has renamed it
        return False


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
