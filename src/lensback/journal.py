"""A bounded, durable, append-only queue on disk, in front of the database.

What must not be lost (a click, a search, a postback) is written here first: one file per process,
one line per record, flushed in groups. A drain hands the lines to the database later and then takes
the file away, so a locked database delays nothing and loses nothing. A drain that was killed is
repeated: whoever applies the records must be idempotent by their ids.

A line is `crc32 of the rest, a space, JSON, newline`. A process that was killed may leave half a
line at the end: it was never acknowledged, and is skipped.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lensback import log
from lensback.durable import make_private_folder, what_mends
from lensback.errors import Busy, StateError, TooLarge

MAX_RECORD_BYTES = 256 << 10
SEGMENT_BYTES = 8 << 20
"""A file larger than this is closed and a new one begun."""
BATCH = 500
TRIAL_BYTES = 16 << 10
"""What `check` writes: some clicks."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line: what it is, and its fields."""

    kind: str
    body: dict[str, Any]


@dataclass(slots=True)
class Drained:
    """What a drain did. `torn`: half lines at an end; `broken`: lines that fail their checksum."""

    records: int = 0
    torn: int = 0
    broken: int = 0


class Journal:
    """Owns this process's file in the folder. Safe to share between threads."""

    def __init__(self, folder: Path, max_bytes: int = 64 << 20) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._draining = threading.Lock()
        self._handle: int | None = None
        self._size = 0
        self._closed_bytes = 0
        self._written = 0
        self._flushed = 0

    def append(self, kind: str, body: dict[str, Any], *, durable: bool = True) -> None:
        """Writes one record; with `durable` it is on the disk when this returns.

        Without, it survives the death of the process but not of the machine.
        Raises Busy over the bound, TooLarge, StateError where the disk refuses.
        """
        line = _line(kind, body)
        with _disk_errors():
            with self._lock:
                mine = self._write(line)
            if durable:
                self._flush(mine)

    def drain(self, apply: Callable[[list[Record]], object]) -> Drained:
        """Hands everything that is written, by this process or by one that is gone, to `apply`
        in lists of at most BATCH. A file goes when all of it was applied; what `apply` raises
        ends the drain and leaves the file for the next one."""
        done = Drained()
        with self._draining, _disk_errors():
            self._rotate()
            for path in self._segments():
                with _claimed(path) as mine:
                    if mine:
                        self._drain_one(path, apply, done)
                        path.unlink()
        return done

    def set_aside(self, record: Record) -> None:
        """Keeps a record that the database refuses in `refused.lines`, for a person to look at; it is
        on the disk when this returns. Nothing more is kept once the file is as large as the bound."""
        with _disk_errors(), self._lock:
            handle = os.open(
                self.refused, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            try:
                if os.fstat(handle).st_size < self.max_bytes:
                    os.write(handle, _line(record.kind, record.body))
                    os.fsync(handle)
            finally:
                os.close(handle)
            _flush_folder(self.folder)

    @property
    def refused(self) -> Path:
        """Where `set_aside` keeps records."""
        return self.folder / "refused.lines"

    @property
    def waiting_bytes(self) -> int:
        """Bytes that no drain has taken yet, of all processes."""
        return sum(_size(path) for path in self._segments())

    def check(self) -> None:
        """Raises what `append` would: Busy where the queue is full, StateError where the disk takes
        nothing more. A file is really written, since rights and free blocks tell only half of it."""
        if self.waiting_bytes + TRIAL_BYTES > self.max_bytes:
            raise Busy("the queue of clicks is full", hint="let the database be reached again")
        with _disk_errors():
            make_private_folder(self.folder)
            trial = self.folder / f"{os.getpid()}-{secrets.token_hex(4)}.trial"
            handle = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                if os.write(handle, bytes(TRIAL_BYTES)) < TRIAL_BYTES:
                    raise StateError("the disk is full", hint="free some space")
                os.fsync(handle)
            finally:
                os.close(handle)
                trial.unlink()

    def close(self) -> None:
        """Leaves the file for a drain, of whichever process."""
        with _disk_errors():
            self._rotate()

    def _write(self, line: bytes) -> int:
        if self._handle is None or self._size > SEGMENT_BYTES:
            self._begin()
        if self._closed_bytes + self._size + len(line) > self.max_bytes:
            raise Busy("the queue of clicks is full", hint="try again in a moment")
        handle = self._handle
        if handle is None:
            raise StateError("the journal has no file", hint="try again")
        try:
            whole = os.write(handle, line) == len(line)
        except OSError:
            whole = False
        if not whole:  # the disk is full: half a line must not be glued to the next one
            os.ftruncate(handle, self._size)
            raise StateError("the disk is full", hint="free some space")
        self._size += len(line)
        self._written += 1
        return self._written

    def _flush(self, mine: int) -> None:
        """One fsync serves all that waited for the one before it."""
        with self._flushing:
            if self._flushed >= mine:
                return
            with self._lock:  # a copy of the handle: another thread may begin a new file
                upto = self._written
                handle = None if self._handle is None else os.dup(self._handle)
            if handle is not None:
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
            self._flushed = upto

    def _begin(self) -> None:
        """A new file. It is locked before it has its name, so that no drain ever takes it from
        under us; the lock goes with the process."""
        self._end()
        if not self.folder.is_dir():
            make_private_folder(self.folder)
            _flush_folder(self.folder.parent)
        name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}"
        partial = self.folder / f"{name}.new"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        handle = os.open(partial, flags, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        self._closed_bytes = self.waiting_bytes
        partial.rename(self.folder / f"{name}.log")
        _flush_folder(self.folder)
        self._handle, self._size = handle, 0

    def _end(self) -> None:
        if self._handle is not None:
            os.fsync(self._handle)
            os.close(self._handle)
            self._handle = None

    def _rotate(self) -> None:
        with self._flushing, self._lock:
            self._end()
            self._flushed = self._written

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))

    def _drain_one(
        self, path: Path, apply: Callable[[list[Record]], object], done: Drained
    ) -> None:
        records = self._records(path, done)
        while part := list(islice(records, BATCH)):
            apply(part)
            done.records += len(part)

    def _records(self, path: Path, done: Drained) -> Iterator[Record]:
        end = _size(path)
        with path.open("rb") as file:
            at = 0
            while line := file.readline(MAX_RECORD_BYTES + 64):
                at += len(line)
                record = _parsed(line)
                if record is not None:
                    yield record
                elif at >= end and not line.endswith(b"\n"):
                    done.torn += 1
                else:
                    done.broken += 1
                    log.event("journal line broken", file=path.name, at=at - len(line))


def _line(kind: str, body: dict[str, Any]) -> bytes:
    text = json.dumps([kind, body], ensure_ascii=True, separators=(",", ":")).encode()
    if len(text) > MAX_RECORD_BYTES:
        raise TooLarge(
            f"a {kind} of {len(text)} bytes", hint=f"send at most {MAX_RECORD_BYTES} bytes"
        )
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parsed(line: bytes) -> Record | None:
    check, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or check != b"%08x" % zlib.crc32(text):
        return None
    kind, body = json.loads(text)
    return Record(kind, body)


@contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    """True where the file is ours alone now: no living process writes or drains it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _locked(handle) and os.fstat(handle).st_nlink > 0
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"the journal cannot be written: {error.strerror or error}",
            hint=what_mends(error),
        ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append_all(journal: Journal, records: Sequence[Record]) -> None:
    """Many records with one flush at the end."""
    for record in records[:-1]:
        journal.append(record.kind, record.body, durable=False)
    for record in records[-1:]:
        journal.append(record.kind, record.body)
