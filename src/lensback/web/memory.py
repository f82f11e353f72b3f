"""The photos of the last minutes, in this process's memory and nowhere else.

With them another part of a photo, or another filter, is searched without sending the photo again.
"""

from __future__ import annotations

from dataclasses import dataclass

from lensback.errors import NotFound
from lensback.fleeting import Fleeting
from lensback.types import Box

MAX_BYTES = 64 << 20
"""Of all photos together; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """One searched photo, kept in memory for some minutes."""

    photo: bytes
    region: Box
    """What was searched of it."""


class Memory:
    """Photos by search id, for `seconds` at most."""

    def __init__(self, seconds: float, max_bytes: int = MAX_BYTES) -> None:
        self._known: Fleeting[Remembered] = Fleeting(
            seconds, max_bytes, lambda remembered: len(remembered.photo)
        )

    def keep(self, search_id: str, photo: bytes, region: Box) -> None:
        """Remembers a photo; one that is larger than all room is not."""
        self._known.put(search_id, Remembered(photo, region))

    def get(self, search_id: str) -> Remembered:
        """The photo of a search. Raises NotFound where it is forgotten."""
        found = self._known.get(search_id)
        if found is None:
            message = f"the photo of search {search_id[:32]!r} is forgotten"
            raise NotFound(message, hint="send the photo again")
        return found
