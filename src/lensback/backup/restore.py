"""A backup put back, and backups looked at. Nothing that is there is overwritten."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from lensback.backup import manifest as manifests
from lensback.backup.manifest import DATABASE, KeptFile, Manifest
from lensback.backup.places import BackupPlace
from lensback.db import copying
from lensback.db.presence import place as shown
from lensback.db.presence import sqlite_file
from lensback.durable import (
    PRIVATE_FILE,
    flush,
    lock_file,
    make_private,
    make_private_folder,
    what_mends,
)
from lensback.errors import BadQuery, Busy, DataError, NotFound, StateError, Stopped
from lensback.settings import FILE_NAME, template
from lensback.types import Progress

LEDGER = ("clicks", "conversions", "conversion_events", "entries", "stores", "searches")
"""Tables of which one row is enough to leave a database alone."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: files written, files left as they were there, what was set aside."""

    manifest: Manifest
    written: int
    kept: int
    aside: str

    def as_json(self) -> dict[str, object]:
        """The account as `restore --json` prints it."""
        told = {"written": self.written, "kept": self.kept, "aside": self.aside}
        return {**self.manifest.as_json(), **told}


@dataclass(frozen=True, slots=True)
class Seen:
    """One backup as `backup --verify` found it; `fault` is empty where it is whole."""

    name: str
    manifest: Manifest | None
    fault: str

    def as_json(self) -> dict[str, object]:
        """The finding as `backup --verify --json` prints it."""
        told = self.manifest.as_json() if self.manifest else {"id": self.name}
        return {**told, "whole": not self.fault, "fault": self.fault}


def restore(
    place: BackupPlace,
    wanted: str,
    workspace: Path,
    url_of: Callable[[Path], str],
    *,
    watch: Progress,
    stop: Event,
) -> Restored:
    """Puts a backup (the newest, or the one whose id begins with `wanted`) into a folder.

    What is there stays as it is: files that are missing are written, the journal's are added, and
    the database is put back last. `url_of` says where the workspace's database is. Raises StateError
    where that one holds something, DataError for a damaged backup; what was begun may be run again.
    """
    manifest = _chosen(place, wanted)
    aside = ""
    if (workspace / FILE_NAME).exists():
        aside = _check_empty(url_of(workspace), manifest)
    make_private_folder(workspace)
    with _alone(workspace):
        written, kept, database = 0, 0, None
        for file in manifests.files(place, manifest):
            if file.path == DATABASE and manifest.database != "none":
                database = file
                continue
            if stop.is_set():
                raise Stopped("stopped; the database is not there yet", hint="run it again")
            if _is_there(workspace / file.path):
                kept += 1
            else:
                _write(place, file, workspace / file.path)
                written += 1
            watch(written + kept, manifest.files)
        if database is not None:
            url = url_of(workspace)
            aside = _check_empty(url, manifest) or aside
            _put_database(place, database, url, manifest)
        os.sync()
    return Restored(manifest, written, kept, aside)


def verify(place: BackupPlace, *, watch: Progress, stop: Event) -> Iterator[Seen]:
    """Reads every byte of every backup there, oldest first, each object once, and opens the database
    that each has. Raises NotFound where there is none."""
    names = manifests.known(place)
    if not names:
        raise NotFound("there is no backup", hint="run: lensback backup TO")
    good = set[bytes]()
    for name in names:
        manifest = None
        try:
            manifest = manifests.read(place, name)
            _verify_one(place, manifest, good, watch, stop)
            yield Seen(name, manifest, "")
        except DataError as error:
            yield Seen(name, manifest, error.message)
        except StateError as error:
            if isinstance(error, Stopped):
                raise
            yield Seen(name, manifest, error.message)


def _verify_one(
    place: BackupPlace, manifest: Manifest, good: set[bytes], watch: Progress, stop: Event
) -> None:
    for done, file in enumerate(manifests.files(place, manifest), 1):
        if stop.is_set():
            raise Stopped("stopped", hint="run it again")
        if file.path == DATABASE and manifest.database == "sqlite":
            _verify_database(place, file, manifest)
        for piece in file.pieces:
            if (key := bytes.fromhex(piece)) not in good:
                manifests.read_object(place, piece)
                good.add(key)
        watch(done, manifest.files)


def _verify_database(place: BackupPlace, file: KeptFile, manifest: Manifest) -> None:
    with TemporaryDirectory() as folder:
        copy = Path(folder, "catalogue.db")
        _write(place, file, copy)
        if copying.check_sqlite(copy) != manifest.revision:
            raise DataError("the database is not of the revision that it says", hint="")


def _chosen(place: BackupPlace, wanted: str) -> Manifest:
    names = manifests.known(place)
    if not names:
        raise NotFound("there is no backup", hint="check the place: it has a folder `backups`")
    found = [name for name in names if name.startswith(wanted)]
    if not found:
        ids = ", ".join(name.partition(".")[0] for name in names[-5:])
        raise BadQuery(f"no backup {wanted!r}", hint=f"the newest are {ids}")
    return manifests.read(place, found[-1])


def _check_empty(url: str, manifest: Manifest) -> str:
    """Raises StateError where the database holds anything. One that cannot be read is set aside;
    where to, or empty."""
    if manifest.database == "none":
        return ""
    file = sqlite_file(url)
    if (manifest.database == "sqlite") != (file is not None):
        raise StateError(
            f"the backup is of {manifest.database}, the settings name {shown(url)}",
            hint="set `database` to one of that kind",
        )
    try:
        found = copying.filled(url, LEDGER)
    except StateError as error:
        if file is None or isinstance(error, Busy):
            raise
        return _set_aside(file)
    if found:
        raise StateError(
            f"{shown(url)} holds {', '.join(found)}: nothing was restored",
            hint="restore into another folder (--workspace), or name an empty `database`",
        )
    return ""


def _set_aside(file: Path) -> str:
    """Renames a database that cannot be read. Its bytes stay, for whoever can."""
    aside = file.with_name(f"{file.name}.damaged-{int(time.time())}")
    for end in copying.BESIDE:
        part = file.with_name(f"{file.name}{end}")
        if part.exists():
            part.rename(aside.with_name(f"{aside.name}{end}"))
    return str(aside)


def _put_database(place: BackupPlace, kept: KeptFile, url: str, manifest: Manifest) -> None:
    file = sqlite_file(url)
    if file is None:
        copying.restore_postgres(url, manifests.pieces(place, kept))
        return
    part = file.with_name(f".{file.name}.restoring")
    try:
        _write(place, kept, part)
        if copying.check_sqlite(part) != manifest.revision:
            raise DataError("the database is not of the revision that it says", hint="")
        for end in copying.BESIDE[1:]:  # of the empty one that is replaced
            file.with_name(f"{file.name}{end}").unlink(missing_ok=True)
        part.replace(file)
        flush(file.parent)
    finally:
        for end in copying.BESIDE:
            part.with_name(f"{part.name}{end}").unlink(missing_ok=True)


def _is_there(path: Path) -> bool:
    """Settings as `init` wrote them say nothing, so they give way."""
    if path.name == FILE_NAME and path.is_file():
        return path.read_text("utf-8") != template()
    return path.exists()


def _write(place: BackupPlace, file: KeptFile, path: Path) -> None:
    """A file for its owner alone, whole or not there."""
    make_private_folder(path.parent)
    part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        with os.fdopen(handle, "wb") as to:
            for piece in manifests.pieces(place, file):
                to.write(piece)
            to.flush()
            os.fsync(handle)
        part.replace(path)
    except OSError as error:
        raise StateError(
            f"cannot write {path}: {error.strerror}", hint=what_mends(error)
        ) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _alone(workspace: Path) -> Iterator[None]:
    """No sync meanwhile: its own lock."""
    make_private(workspace / ".lock")
    file = (workspace / ".lock").open("a+")
    with lock_file(file, f"something works on {workspace}", "stop it first"):
        yield
