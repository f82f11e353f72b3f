"""A workspace copied while everything runs.

The order is what makes it whole. What is acknowledged stands in the journal or in the database; a
drain brings it from the one to the other and only then takes the journal's file away. So the
journal is copied first, the database after it: what left the journal meanwhile is in the database.
Both may have it, and the database takes everything only once.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import gettempdir
from threading import Event

from lensback import __version__
from lensback.backup import manifest as manifests
from lensback.backup.manifest import DATABASE, FORMAT, KeptFile, Manifest, digest, folder_of
from lensback.backup.places import BackupPlace, FolderPlace
from lensback.checked import checked
from lensback.db import copying
from lensback.db.presence import check_there, sqlite_file
from lensback.durable import lock_file, make_private, make_private_folder, replace_file
from lensback.errors import BadQuery, Busy, StateError, Stopped
from lensback.settings import Settings
from lensback.types import Progress

PIECE = 1 << 20
"""Most bytes of a piece. Pictures are one piece each, whatever their size."""
LAST = "backup.json"
PICTURES, VECTORS, JOURNAL = "images", "vectors", "journal"
MADE_AGAIN = ("index", "spool", "photos", "published.json", "settled.json", LAST, "ledger.seal")
"""Not in a backup: made again by a sync; people's photos, which are let go soon and on purpose."""
TRIES = 5


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a backup beside what is always in it."""

    pictures: bool = False
    vectors: bool = False
    database: bool = True


@dataclass(frozen=True, slots=True)
class Made:
    """What was written: the backup, and how much of it was not there yet."""

    manifest: Manifest
    new_bytes: int
    new_pieces: int

    def as_json(self) -> dict[str, object]:
        """The account as `backup --json` prints it."""
        told = {"new_bytes": self.new_bytes, "new_pieces": self.new_pieces}
        return {**self.manifest.as_json(), **told}


@dataclass(frozen=True, slots=True)
class LastBackup:
    """What the workspace remembers of its last backup."""

    place: str
    at: int
    id: str


def last(workspace: Path) -> LastBackup | None:
    """The last backup that was made of a workspace, or None."""
    try:
        data = (workspace / LAST).read_bytes()
    except OSError:
        return None
    with suppress(StateError):
        return checked(LastBackup, data, "", hint="", error=StateError)
    return None


def back_up(
    workspace: Path,
    url: str,
    to: str,
    place: BackupPlace,
    contents: Contents,
    *,
    watch: Progress,
    stop: Event,
) -> Made:
    """Copies the workspace whose database is at `url` to `place`, which `to` names.

    Nothing that was acknowledged before the call is missing in it. Raises StateError, Busy where
    another backup runs, Stopped; then there is no backup, and what was copied serves the next one.
    """
    if isinstance(place, FolderPlace) and place.root.resolve().is_relative_to(workspace.resolve()):
        raise BadQuery(f"{to} lies in the workspace", hint="name a folder outside of it")
    check_there(url, workspace)
    with _alone(workspace), place.locked(), Writer(place, watch, stop) as writer:
        made = _copied(workspace, url, contents, writer, _new_id(place, time.time()))
        manifests.write(place, made.manifest)
    note = LastBackup(to, made.manifest.made_at, made.manifest.id)
    _note(workspace, note)
    return made


def _new_id(place: BackupPlace, at: float) -> str:
    """The moment, to the millisecond; later than every backup there, whatever the clock says."""
    newest = (manifests.known(place) or [""])[-1].partition(".")[0]
    now = datetime.fromtimestamp(at, UTC)
    while (found := f"{now:%Y%m%dT%H%M%S}-{now.microsecond // 1000:03d}") <= newest:
        then = datetime.strptime(newest, "%Y%m%dT%H%M%S-%f").replace(tzinfo=UTC)
        now = then + timedelta(milliseconds=1)
    return found


def _copied(workspace: Path, url: str, contents: Contents, writer: Writer, id_: str) -> Made:
    kind = "sqlite" if sqlite_file(url) else "postgresql"
    files = list(writer.tree(workspace, [workspace / JOURNAL]))  # first of all: see the module
    revision = ""
    if contents.database:
        copy, revision = _database(url, _with_room(workspace, url, writer), writer)
        files.append(copy)
    files += _rest(workspace, url, writer)
    lists = {"": writer.put(manifests.listed(files))}
    if contents.pictures:
        for shelf in sorted((workspace / PICTURES).glob("[0-9a-f][0-9a-f]")):
            found = writer.pictures(workspace, shelf)
            lists[f"{PICTURES}/{shelf.name}"] = writer.put(manifests.listed(found))
    if contents.vectors:
        lists[VECTORS] = writer.put(manifests.listed(_vectors(workspace, writer)))
    writer.finish()
    return Made(
        Manifest(
            id=id_,
            made_at=int(time.time()),
            format=FORMAT,
            lensback=__version__,
            database=kind if contents.database else "none",
            revision=revision,
            pictures=contents.pictures,
            vectors=contents.vectors,
            environment=_from_environment(),
            files=writer.counts["files"],
            bytes=writer.counts["bytes"],
            lists=lists,
        ),
        new_bytes=writer.counts["new bytes"],
        new_pieces=writer.counts["new pieces"],
    )


def _from_environment() -> tuple[str, ...]:
    settings = {f"LENSBACK_{name.upper()}" for name in Settings.model_fields}
    return tuple(sorted(settings & set(os.environ)))


class Writer:
    """Files into pieces, the new ones into the place. One thread calls it; several may write."""

    def __init__(self, place: BackupPlace, watch: Progress, stop: Event) -> None:
        self._place = place
        self._watch = watch
        self._stop = stop
        self._pool = ThreadPoolExecutor(place.jobs)
        self._writing: deque[Future[None]] = deque()
        self._new: dict[str, int] = {}
        self.counts = Counter[str]()
        self.folders = [place.root] if isinstance(place, FolderPlace) else []
        """Of the place, where it is one of this machine."""

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def tree(self, workspace: Path, folders: Iterable[Path]) -> Iterator[KeptFile]:
        """Every file under these files and folders, sorted; what goes away meanwhile is left out."""
        for folder in folders:
            for path in _walk(folder):
                with suppress(FileNotFoundError):
                    yield self.file(path, path.relative_to(workspace).as_posix())

    def file(self, path: Path, name: str) -> KeptFile:
        """A file in pieces."""
        with path.open("rb") as file:
            return self.stream(iter(lambda: file.read(PIECE), b""), name)

    def pictures(self, workspace: Path, shelf: Path) -> Iterator[KeptFile]:
        """The pictures of one shelf, `images/ab`, each one piece. What is there already is not even
        read; a damaged one is left out, for a sync fetches it again."""
        known = self._place.names(folder_of(shelf.name))
        for path in sorted(shelf.glob(f"*/{shelf.name}*")):
            with suppress(FileNotFoundError):
                size = path.stat().st_size
                if known.get(path.name) == size or self.put(path.read_bytes(), path.name):
                    name = path.relative_to(workspace).as_posix()
                    yield self._counted(KeptFile(name, size, (path.name,)))

    def stream(self, blocks: Iterable[bytes], name: str) -> KeptFile:
        """What comes block by block, as a file in pieces."""
        size, pieces = 0, []
        for block in _of_size(blocks, PIECE):
            pieces.append(self.put(block))
            size += len(block)
        return self._counted(KeptFile(name, size, tuple(pieces)))

    def put(self, data: bytes, said: str = "") -> str:
        """Writes an object where it is not there yet; its name. Where it is not the one that was
        `said`, nothing, and an empty name."""
        self.check()
        name = digest(data)
        if said not in {"", name}:
            return ""
        if not self._has(name, len(data)):
            self._new[name] = len(data)
            self.counts["new pieces"] += 1
            self.counts["new bytes"] += len(data)
            if len(self._writing) > 2 * self._place.jobs:
                self._writing.popleft().result()
            task = self._pool.submit(self._place.put, f"{folder_of(name)}/{name}", data)
            self._writing.append(task)
        return name

    def check(self) -> None:
        """Raises Stopped where the caller wants to stop."""
        if self._stop.is_set():
            raise Stopped("stopped; there is no new backup", hint="run it again: it goes on")

    def step(self, done: int, total: int) -> None:
        """Progress of one long part."""
        self.check()
        self._watch(done, total)

    def finish(self) -> None:
        """Returns when everything is kept for good."""
        while self._writing:
            self._writing.popleft().result()
        self._place.settle()

    def _has(self, name: str, size: int) -> bool:
        # By its size, too: a power cut may leave an empty file under a good name.
        return self._new.get(name) == size or self._place.size(f"{folder_of(name)}/{name}") == size

    def _counted(self, file: KeptFile) -> KeptFile:
        self.counts["files"] += 1
        self.counts["bytes"] += file.size
        self.step(self.counts["files"], 0)
        return file


def _with_room(workspace: Path, url: str, writer: Writer) -> Path:
    """A folder for the copy of the database: in the workspace, or where its disk is full, where the
    backup goes, or the system's own. Raises StateError where none has room."""
    file = sqlite_file(url)
    if file is None:
        return workspace
    parts = (file.with_name(f"{file.name}{end}") for end in copying.BESIDE)
    needed = sum(part.stat().st_size for part in parts if part.exists()) + PIECE
    for folder in (workspace / "spool", *writer.folders, Path(gettempdir())):
        with suppress(OSError):
            make_private_folder(folder)
            if shutil.disk_usage(folder).free >= needed:
                return folder
    raise StateError(
        f"the disk is full: a copy of the database needs {needed / PIECE:.0f} MiB",
        hint="back up to a folder of another disk, or free some space",
    )


def _database(url: str, folder: Path, writer: Writer) -> tuple[KeptFile, str]:
    """The copy of the database, and its schema's revision."""
    source = sqlite_file(url)
    if source is None:
        revision = copying.revision(url)
        return writer.stream(copying.dump_postgres(url), DATABASE), revision
    if folder != Path(gettempdir()):
        for left in folder.glob(".backup-*.db*"):  # of one that was killed: this one is alone there
            left.unlink(missing_ok=True)
    copy = folder / f".backup-{secrets.token_hex(8)}.db"
    try:
        copying.copy_sqlite(source, copy, writer.step)
        return writer.file(copy, DATABASE), copying.check_sqlite(copy)
    finally:
        for part in folder.glob(f"{copy.name}*"):
            part.unlink()


def _rest(workspace: Path, url: str, writer: Writer) -> Iterator[KeptFile]:
    """Everything else in the folder: settings, keys, networks, models, calibration, evaluations."""
    own = {*MADE_AGAIN, PICTURES, VECTORS, JOURNAL}
    if database := sqlite_file(url):
        own |= {f"{database.name}{end}" for end in copying.BESIDE}
    rest = (path for path in sorted(workspace.iterdir()) if path.name not in own)
    return writer.tree(workspace, (path for path in rest if not path.name.startswith(".")))


def _vectors(workspace: Path, writer: Writer) -> list[KeptFile]:
    """The tables of vectors, each at one version. A sync may write and tidy meanwhile: a version's
    files are there as long as its manifest is, so one that went away is copied anew."""
    root = workspace / VECTORS
    for _ in range(TRIES):
        heads = sorted(root.glob("*/_versions/*"))
        try:
            found = [writer.file(path, path.relative_to(workspace).as_posix()) for path in heads]
            found += [
                writer.file(path, path.relative_to(workspace).as_posix())
                for path in _walk(root)
                if path.parent.name != "_versions" and ".damaged" not in path.as_posix()
            ]
        except FileNotFoundError:
            continue
        if all(head.exists() for head in heads):
            return found
    raise Busy("the vectors change all the time", hint="leave --vectors out, or stop the sync")


def _walk(root: Path) -> Iterator[Path]:
    """Files under a folder, sorted, through links to folders, none of them twice; no leftovers."""
    if root.is_file():
        yield root
        return
    seen = set[tuple[int, int]]()
    for folder, folders, names in os.walk(root, followlinks=True):
        mark = Path(folder).stat()
        folders[:] = sorted(folders) if (mark.st_dev, mark.st_ino) not in seen else []
        seen.add((mark.st_dev, mark.st_ino))
        left = (".tmp", ".new", ".trial", ".part")
        yield from (Path(folder, n) for n in sorted(names) if not n.endswith(left))


def _of_size(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in blocks of one size, the last one shorter."""
    held = b""
    for block in blocks:
        held += block
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if held:
        yield held


@contextmanager
def _alone(workspace: Path) -> Iterator[None]:
    """One backup of a workspace at a time."""
    path = workspace / ".backup.lock"
    make_private(path)
    with lock_file(path.open("a"), "another backup of this workspace runs", "wait for it to end"):
        yield


def _note(workspace: Path, note: LastBackup) -> None:
    data = json.dumps({"place": note.place, "at": note.at, "id": note.id}) + "\n"
    with suppress(OSError):
        replace_file(workspace / LAST, lambda part: part.write_text(data, "utf-8"), private=True)


def forget_old(place: BackupPlace, keep: int) -> int:
    """Leaves the newest `keep` backups and the objects that they name; how many backups went."""
    with place.locked():
        names = manifests.known(place)
        old = names[:-keep]
        if not old:
            return 0
        left = [manifests.read(place, name) for name in names[-keep:]]
        for name in old:
            place.remove(f"{manifests.FOLDER}/{name}")
        lists = {name for one in left for name in one.lists.values()}
        few = {p for one in left for file in _small(place, one) for p in file.pieces}
        for number in range(256):
            shelf = f"{number:02x}"
            group = f"{PICTURES}/{shelf}"
            mine = [replace(one, lists={group: one.lists[group]}) for one in left if group in one.lists]  # fmt: skip
            used = {p for one in mine for file in manifests.files(place, one) for p in file.pieces}
            for name in place.names(f"objects/{shelf}").keys() - used - lists - few:
                place.remove(f"objects/{shelf}/{name}")
        return len(old)


def _small(place: BackupPlace, one: Manifest) -> Iterator[KeptFile]:
    """The files of the lists that are no shelf of pictures."""
    lists = {g: name for g, name in one.lists.items() if not g.startswith(f"{PICTURES}/")}
    return manifests.files(place, replace(one, lists=lists))
