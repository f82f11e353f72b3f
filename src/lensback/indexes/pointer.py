"""CURRENT.json: which snapshot is searched. One small file, replaced atomically and durably."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from lensback.durable import replace_file
from lensback.errors import StateError
from lensback.types import Snapshot

NAME = "CURRENT.json"
T = TypeVar("T")
_Mark = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Pointer:
    """The published snapshot, how to query it, and the location that stays for late readers."""

    snapshot: Snapshot
    parameters: Mapping[str, float] = field(default_factory=dict)
    previous: str = ""


def read(root: Path) -> Pointer | None:
    """None before the first publish. Raises StateError where the file is not ours."""
    try:
        data = json.loads((root / NAME).read_text("utf-8"))
        return Pointer(Snapshot(**data["snapshot"]), data["parameters"], data["previous"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"{root / NAME} is damaged", hint="delete that file and run lensback sync"
        ) from error


def write(root: Path, pointer: Pointer) -> None:
    """Durable when it returns; a reader sees the old pointer or the new one, never a part."""
    replace_file(root / NAME, lambda path: path.write_text(json.dumps(asdict(pointer), indent=1)))


class Following(Generic[T]):
    """What the pointer names, opened again whenever the pointer has changed. Thread-safe.

    The look at the pointer is one `stat`, so it can be done at every search.
    """

    def __init__(self, root: Path, opener: Callable[[Pointer], T]) -> None:
        self._root = root
        self._opener = opener
        self._lock = threading.Lock()
        self._held: tuple[_Mark, T | None] = (None, None)

    def get(self) -> T | None:
        """None before the first publish."""
        held = self._held
        if held[0] == self._mark():
            return held[1]
        with self._lock:
            # The mark is taken before the read: a pointer replaced in between is seen next time.
            mark = self._mark()
            if self._held[0] != mark:
                self._held = (mark, self._open())
            return self._held[1]

    def _open(self) -> T | None:
        for _ in range(3):
            pointer = read(self._root)
            try:
                return self._opener(pointer) if pointer else None
            except StateError:
                # Its files went away: two publishes happened since we read it.
                if read(self._root) == pointer:
                    raise
        raise StateError("the index changes faster than it opens", hint="try again")

    def _mark(self) -> _Mark:
        try:
            seen = (self._root / NAME).stat()
        except FileNotFoundError:
            return None
        return seen.st_ino, seen.st_mtime_ns
