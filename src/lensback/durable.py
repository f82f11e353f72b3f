"""Files that survive a kill and a power cut: written whole, flushed, renamed."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from lensback.errors import Busy, StateError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_BARRED = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
_FILES = frozenset((errno.EMFILE, errno.ENFILE))


def what_mends(error: OSError, otherwise: str = "check the path") -> str:
    """What to do about a file or folder that the system refuses: for a hint."""
    if error.errno in FULL:
        return "free some space, then run it again"
    if error.errno in _BARRED:
        owner = _stranger(error.filename)
        belongs = f"it belongs to {owner}: run this as that user, or " if owner else ""
        return f"{belongs}check whose it is and what may be written there"
    if error.errno in _FILES:
        return "allow more open files (ulimit -n), then run it again"
    return otherwise


@contextmanager
def disk_errors(mends: str) -> Iterator[None]:
    """What the disk refuses in the block, from wherever, as StateError; `mends` is its hint where nothing better is
    known."""
    try:
        yield
    except OSError as error:
        raise StateError(
            f"the disk refuses: {error.strerror or error}", hint=what_mends(error, mends)
        ) from error


def _stranger(path: object) -> str:
    """Whose a path is, or the nearest folder above it that can be seen; empty where it is ours."""
    if not isinstance(path, str | Path):
        return ""
    for each in (Path(path), *Path(path).parents):
        with suppress(OSError, KeyError):
            uid = each.stat().st_uid
            return "" if uid == os.geteuid() else pwd.getpwuid(uid).pw_name
    return ""


def replace_file(path: Path, fill: Callable[[Path], object], *, private: bool = False) -> None:
    """Fills a temporary file, flushes it, renames it over `path`, flushes the folder.

    A reader sees the old file or the new one, never a part of it; where that fails, a full disk say,
    nothing is left beside it. `private`: for its owner alone.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if private:
            make_private(partial)
        fill(partial)
        flush(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    flush(path.parent)


def make_private(path: Path) -> None:
    """Makes an empty file for its owner alone (0600), whatever the umask; one that is there stays
    as it is."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))


def make_private_folder(path: Path) -> None:
    """Makes a folder, and those above it, for its owner alone (0700); one that is there stays as
    it is."""
    for part in (*reversed(path.parents), path):
        if not part.is_dir():
            part.mkdir(PRIVATE_FOLDER, exist_ok=True)


@contextmanager
def lock_file(file: IO[str], message: str, hint: str) -> Iterator[None]:
    """The lock of an open file, which goes with the process; closes the file in the end. Raises Busy with
    these words where another process holds it."""
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Busy(message, hint=hint) from error
        yield


def flush(path: Path) -> None:
    """fsync of one file or folder; one that is gone meanwhile needs none."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_tree(root: Path, since_ns: int = 0) -> None:
    """fsync of every file under `root` written since `since_ns`, and of the folders.

    Lance renames its files into place without flushing them.
    """
    for folder, _, names in os.walk(root):
        fresh = [path for name in names if _written(path := Path(folder, name)) >= since_ns]
        for path in fresh:
            flush(path)
        if fresh:
            flush(Path(folder))


def _written(path: Path) -> int:
    try:
        # The clock of file times ticks in steps of some milliseconds.
        return path.stat().st_mtime_ns + 50_000_000
    except FileNotFoundError:
        return 0


def files_below(folder: str) -> Iterator[tuple[str, int, int]]:
    """Every file below a folder: path, size, time of its last write."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from files_below(entry.path)
            else:
                with suppress(FileNotFoundError):
                    told = entry.stat()
                    yield entry.path, told.st_size, told.st_mtime_ns
