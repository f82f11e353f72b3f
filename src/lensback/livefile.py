"""What a file says, read again when it changed: keys, rates, secrets, networks, the index pointer."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from lensback import log
from lensback.checked import checked
from lensback.errors import ConfigError, Error, StateError

T = TypeVar("T")
_Mark = tuple[int, int, int, int] | None

SETTLE_S = 2.0
"""File times tick: in milliseconds on Linux, in two seconds on the coarsest file systems. A file
that changed less long ago may change again under the same times, so its bytes are compared."""


class LiveFile(Generic[T]):
    """The value of one file, or of several together, as they are now. Thread-safe.

    `parse` gets the bytes of each file, None for one that is not there, and returns the value or
    raises an Error. A look costs one `stat` a file; they are read and parsed only when they
    changed. Where a file becomes unreadable or wrong, the last good value stays, the log says so
    once, and the next look tries again; a file that goes away is a change like any other.
    """

    def __init__(self, parse: Callable[..., T], *paths: Path) -> None:
        self._parse = parse
        self._paths = paths
        self._lock = threading.Lock()
        self._marks: tuple[_Mark, ...] | None = None
        """Of the files that were read last; None: look into them again."""
        self._read: list[bytes | None] | None = None
        self._value: list[T] = []
        """The last good value, or nothing yet."""
        self._told = ""

    def get(self) -> T:
        """The value. Raises what `parse` raises, and ConfigError for an unreadable file, only as
        long as there has been no good value."""
        # Taken before the read: what is replaced in between is seen at the next look.
        if self._value and self._marks is not None and self._marks == self._seen():
            return self._value[0]
        with self._lock:
            try:
                self._look()
            except Error as error:
                if not self._value:
                    raise
                self._tell(error)
            return self._value[0]

    def _look(self) -> None:
        marks = self._seen()
        if self._value and self._marks is not None and self._marks == marks:
            return
        self._marks = None
        read = [_bytes(path) for path in self._paths]
        if read != self._read or not self._value:
            self._value = [self._parse(*read)]
            self._read = read
        self._told = ""
        self._marks = marks if _settled(marks) else None

    def _tell(self, error: Error) -> None:
        """Once, and not at every look."""
        if error.message != self._told:
            self._told = error.message
            log.event("the last good state stays", 40, message=error.message, hint=error.hint)

    def _seen(self) -> tuple[_Mark, ...]:
        return tuple(map(_mark, self._paths))


def _mark(path: Path) -> _Mark:
    """Changes with every write, replacement and change of rights; None where there is no file."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def _settled(marks: tuple[_Mark, ...]) -> bool:
    """Whether the files are old enough for their times to tell of the next change."""
    newest = max((max(mark[2:]) for mark in marks if mark), default=0)
    return newest < time.time_ns() - int(SETTLE_S * 1e9)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        why = error.strerror or os.strerror(error.errno or 0)
        raise ConfigError(f"cannot read {path}: {why}", hint="check its rights") from error


def file_of(kind: type[T], path: Path, hint: str) -> LiveFile[T | None]:
    """A file that holds one of our nouns as JSON; None where there is no file. Raises StateError with `hint`
    where it is broken."""

    def read(data: bytes | None) -> T | None:
        if data is None:
            return None
        return checked(kind, data, f"{path} is broken: ", hint=hint, error=StateError)

    return LiveFile(read, path)
