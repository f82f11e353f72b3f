"""One memory of photos for all worker processes of a `serve`: it lies in the process that starts them, and
they ask it over a socket of the file system. No photo touches a disk, and none outlives that process.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, TypeVar

from lensback import log
from lensback.fleeting import Fleeting
from lensback.web.memory import Photos, Remembered, photos_of_this_process

T = TypeVar("T")

SOCKET = "SHARED_PHOTOS_SOCKET"
"""Where the workers find it (environment; a name of `LENSBACK_` would be a setting)."""
MOST_WAITING = 64
"""Workers that may knock at once."""
PATIENCE_S = 5.0
"""For the next bytes of the other side; a search waits meanwhile."""
PAUSE_S = 30.0
"""So long nothing is asked of a side that said nothing."""


def photos(seconds: float) -> Photos:
    """Where the photos of this process lie: with those of its fellow workers, if it is one of several."""
    path = os.environ.get(SOCKET, "")
    return SharedPhotos(path) if path else photos_of_this_process(seconds)


@contextmanager
def shared(folder: Path, seconds: float) -> Iterator[None]:
    """Keeps photos for the processes that are started meanwhile; `folder` is for nobody but this user. Where
    no socket can be made there, each process remembers its own."""
    path, over = str(folder / "photos"), Event()
    try:
        listener = Listener(path, "AF_UNIX", MOST_WAITING)
    except OSError as error:
        log.event("photos not shared", 30, type=type(error).__name__)
        yield
        return
    known = photos_of_this_process(seconds)
    with listener:
        thread = Thread(target=_listen, args=(listener, known, over), name="photos", daemon=True)
        thread.start()
        os.environ[SOCKET] = path
        try:
            yield
        finally:
            del os.environ[SOCKET]
            over.set()
            with suppress(OSError):
                Client(path, "AF_UNIX").close()  # wakes it
            thread.join(5)


def _listen(listener: Listener, known: Fleeting[Remembered], over: Event) -> None:
    while not over.is_set():
        try:
            line = listener.accept()
        except OSError:
            continue
        Thread(target=_serve, args=(line, known), name="photos of one", daemon=True).start()


def _serve(line: Connection, known: Fleeting[Remembered]) -> None:
    """Answers one worker until it is gone."""
    with line, suppress(EOFError, OSError):
        while True:
            said = json.loads(line.recv_bytes())
            if "put" in said:
                known.put(said.pop("put"), _read(said, line.recv_bytes()))
                line.send_bytes(b"")
                continue
            found = known.get(said["get"])
            line.send_bytes(json.dumps(_said(found) if found else None).encode())
            if found:
                line.send_bytes(found.photo)


class SharedPhotos:
    """A worker's side of it. Where the other side does not answer, nothing is remembered."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._line: Connection | None = None
        self._lock = Lock()
        self._silent_until = 0.0

    def get(self, key: str) -> Remembered | None:
        """The photo of a search, or None where it is forgotten."""
        return self._asked(partial(_get, key))

    def put(self, key: str, value: Remembered) -> None:
        """Remembers a photo for all."""
        self._asked(partial(_put, key, value))

    def close(self) -> None:
        """Lets go of the line; the next call opens another one."""
        with self._lock:
            self._drop()

    def _asked(self, ask: Callable[[Connection], T]) -> T | None:
        with self._lock:
            if time.monotonic() < self._silent_until:
                return None
            try:
                self._line = self._line or _opened(self._path)
                return ask(self._line)
            except (OSError, EOFError, ValueError) as error:
                if isinstance(error, BlockingIOError):
                    self._silent_until = time.monotonic() + PAUSE_S
                log.event("photo not shared", 30, type=type(error).__name__)
                self._drop()
                return None

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = None


def _opened(path: str) -> Connection:
    """A line on which nobody waits for ever: what takes longer raises BlockingIOError."""
    line = Client(path, "AF_UNIX")
    patience = struct.pack("ll", int(PATIENCE_S), int(PATIENCE_S % 1 * 1e6))
    with socket.socket(fileno=os.dup(line.fileno())) as same:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            same.setsockopt(socket.SOL_SOCKET, option, patience)
    return line


def _get(key: str, line: Connection) -> Remembered | None:
    line.send_bytes(json.dumps({"get": key}).encode())
    said = json.loads(line.recv_bytes())
    return _read(said, line.recv_bytes()) if said else None


def _put(key: str, value: Remembered, line: Connection) -> None:
    line.send_bytes(json.dumps({"put": key, **_said(value)}).encode())
    line.send_bytes(value.photo)
    line.recv_bytes()  # now every other worker has it


def _said(value: Remembered) -> dict[str, object]:
    return {"region": value.region, "whose": value.whose, "first": value.first}


def _read(said: dict[str, Any], photo: bytes) -> Remembered:
    x0, y0, x1, y1 = said["region"]
    return Remembered(photo, (x0, y0, x1, y1), str(said["whose"]), str(said["first"]))
