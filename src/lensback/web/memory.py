"""The photos of the last minutes, in this process's memory and nowhere else.

With them another part of a photo, or another filter, is searched without sending the photo again.
"""

from __future__ import annotations

from dataclasses import dataclass

from lensback.errors import NotFound
from lensback.fleeting import Fleeting
from lensback.tokens import same
from lensback.types import Box

MAX_BYTES = 64 << 20
"""Of all photos together; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """One searched photo, kept in memory for some minutes."""

    photo: bytes
    region: Box
    """What was searched of it."""
    whose: str
    """The browser that sent it (`web.browser`)."""


class Memory:
    """Photos by search id, for `seconds` at most."""

    def __init__(self, seconds: float, max_bytes: int = MAX_BYTES) -> None:
        self._known: Fleeting[Remembered] = Fleeting(
            seconds, max_bytes, lambda remembered: len(remembered.photo)
        )

    def keep(self, search_id: str, photo: bytes, region: Box, whose: str) -> None:
        """Remembers a photo; one that is larger than all room is not."""
        self._known.put(search_id, Remembered(photo, region, whose))

    def has(self, search_id: str, whose: str) -> bool:
        """Whether the photo of a search is remembered, and this browser's own."""
        found = self._known.get(search_id)
        return found is not None and same(found.whose, whose)

    def get(self, search_id: str, whose: str) -> Remembered:
        """The photo of one's own search. Raises NotFound where it is forgotten, and just so where it
        is somebody else's: who got the link of an answer has its id, too."""
        found = self._known.get(search_id)
        if found is None or not same(found.whose, whose):
            message = f"the photo of search {search_id[:32]!r} is forgotten"
            raise NotFound(message, hint="send the photo again")
        return found
