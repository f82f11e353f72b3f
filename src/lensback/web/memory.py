"""The photos of the last minutes, in this process's memory and nowhere else.

With them another part of a photo, or another filter, is searched without sending the photo again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from lensback.errors import NotFound
from lensback.types import Box

MAX_BYTES = 64 << 20
"""Of all photos together; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """One searched photo."""

    photo: bytes
    region: Box
    """What was searched of it."""
    at: float


class Memory:
    """Photos by search id, for `seconds` at most. Thread-safe."""

    def __init__(self, seconds: float, max_bytes: int = MAX_BYTES) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._bytes = 0
        self._known: OrderedDict[str, Remembered] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, search_id: str, photo: bytes, region: Box, now: float | None = None) -> None:
        """Remembers a photo; one that is larger than all room is not."""
        if not self._seconds or len(photo) > self._max_bytes:
            return
        now = time.monotonic() if now is None else now
        with self._lock:
            self._known[search_id] = Remembered(photo, region, now)
            self._bytes += len(photo)
            while self._bytes > self._max_bytes:
                self._drop()

    def get(self, search_id: str, now: float | None = None) -> Remembered:
        """The photo of a search. Raises NotFound where it is forgotten."""
        self.forget(now)
        with self._lock:
            found = self._known.get(search_id)
        if found is None:
            message = f"the photo of search {search_id[:32]!r} is forgotten"
            raise NotFound(message, hint="send the photo again")
        return found

    def forget(self, now: float | None = None) -> None:
        """Drops what is too old."""
        now = time.monotonic() if now is None else now
        with self._lock:
            while self._known and now - next(iter(self._known.values())).at > self._seconds:
                self._drop()

    def _drop(self) -> None:
        _, oldest = self._known.popitem(last=False)
        self._bytes -= len(oldest.photo)
