"""What a backup says of itself: its manifest, the lists of its files, and the objects they name.

    backups/TIME.DIGEST.json   the manifest, written last: without it there is no backup
    objects/ab/DIGEST          a piece of a file, or a list of files, by the SHA-256 of its bytes

A piece that is there is not written again, so a backup costs what changed since the last one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from lensback.backup.places import BackupPlace
from lensback.checked import checked
from lensback.errors import DataError, NotFound

FORMAT = 1
FOLDER = "backups"
DATABASE = "database"
"""Path, in the lists, of the database's copy: an SQLite file, or what `pg_dump` wrote."""
_NAME = re.compile(r"(\d{8}T\d{6}-\d{3})\.([0-9a-f]{64})\.json")
_AGAIN = "make another backup; what is damaged is not used"


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of the workspace: its path there, and the pieces that make it up, in order."""

    path: str
    size: int
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup. `lists`: group of files -> object that lists them."""

    id: str
    made_at: int
    format: int
    lensback: str
    database: str
    """sqlite, postgresql, or none."""
    revision: str
    pictures: bool
    vectors: bool
    environment: tuple[str, ...]
    """Settings that came from the environment: names only. They are not in the backup."""
    files: int
    bytes: int
    lists: dict[str, str]

    def as_json(self) -> dict[str, object]:
        """What `--json` prints of a backup."""
        values = asdict(self)
        del values["lists"]
        return values


def digest(data: bytes) -> str:
    """The name of an object."""
    return hashlib.sha256(data).hexdigest()


def folder_of(name: str) -> str:
    """The folder of an object, in the place."""
    return f"objects/{name[:2]}"


def read_object(place: BackupPlace, name: str) -> bytes:
    """An object's bytes, held against its name. Raises DataError."""
    try:
        data = place.get(f"{folder_of(name)}/{name}")
    except NotFound as error:
        raise DataError(f"the backup lacks {folder_of(name)}/{name}", hint=_AGAIN) from error
    if digest(data) != name:
        hint = "make another backup in another place; what is damaged is not used"
        raise DataError(f"damaged: {folder_of(name)}/{name}", hint=hint)
    return data


def write(place: BackupPlace, manifest: Manifest) -> None:
    """Makes the backup be there. Its objects must be settled."""
    data = json.dumps(asdict(manifest), ensure_ascii=False).encode()
    place.put(f"{FOLDER}/{manifest.id}.{digest(data)}.json", data)
    place.settle()


def known(place: BackupPlace) -> list[str]:
    """Names of the manifests there, oldest first."""
    return sorted(name for name in place.names(FOLDER) if _NAME.fullmatch(name))


def read(place: BackupPlace, name: str) -> Manifest:
    """A manifest by its name. Raises DataError where it is damaged, or of a later program."""
    data = place.get(f"{FOLDER}/{name}")
    said = _NAME.fullmatch(name)
    if said is None or digest(data) != said[2]:
        raise DataError(f"damaged: {FOLDER}/{name}", hint="use another backup (--backup)")
    if json.loads(data).get("format") != FORMAT:
        raise DataError(f"{name} is of a later program", hint="install a newer Lensback")
    return checked(Manifest, data, f"{name}: ", hint="use another backup", error=DataError)


def listed(files: Iterable[KeptFile]) -> bytes:
    """A list of files as the bytes of an object."""
    rows = ([file.path, file.size, list(file.pieces)] for file in files)
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def files(place: BackupPlace, manifest: Manifest) -> Iterator[KeptFile]:
    """Every file of a backup, list by list. Raises DataError; no path leads out of the workspace."""
    for name in manifest.lists.values():
        for line in read_object(place, name).decode().splitlines():
            path, size, pieces = json.loads(line)
            parts = PurePosixPath(path).parts
            if not parts or path.startswith("/") or ".." in parts:
                raise DataError(f"not a path of a workspace: {path!r}", hint=_AGAIN)
            yield KeptFile(path, size, tuple(pieces))


def pieces(place: BackupPlace, file: KeptFile) -> Iterator[bytes]:
    """The bytes of a file, piece by piece, each held against its name. Raises DataError."""
    size = 0
    for name in file.pieces:
        data = read_object(place, name)
        size += len(data)
        yield data
    if size != file.size:
        raise DataError(f"{file.path} has {size} bytes, not {file.size}", hint=_AGAIN)
