"""The photos of the last minutes, in memory and nowhere else; those that the operator keeps come back from
where they lie (`web.kept`).

With them another part of a photo, or another filter, is searched without sending the photo again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lensback.errors import NotFound
from lensback.fleeting import Fleeting
from lensback.tokens import same
from lensback.types import WHOLE, Box

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
    first: str
    """Id of the search that it came with; later ones were of the same photo."""


def _drawn(first: str) -> str:
    return f"{first} drawn"


class PhotoForgotten(NotFound):
    """The photo of a search is not remembered any more. A program is told of a NotFound like any other; a
    person's page has words of its own for it."""

    def as_json(self) -> dict[str, dict[str, str]]:
        """The error body, under the name of its parent."""
        return {"error": {**super().as_json()["error"], "type": NotFound.__name__}}


class Photos(Protocol):
    """Where photos lie, by search id: in this process, or in one that several share (`web.together`)."""

    def get(self, key: str) -> Remembered | None:
        """The photo of a search, or None where it is forgotten."""
        ...

    def put(self, key: str, value: Remembered) -> None:
        """Remembers a photo; one that is larger than all room is not."""
        ...


def photos_of_this_process(seconds: float, max_bytes: int = MAX_BYTES) -> Fleeting[Remembered]:
    """Photos in the memory of this process, for `seconds` at most."""
    return Fleeting(seconds, max_bytes, lambda remembered: len(remembered.photo))


class Memory:
    """Whose photo a search was, and the photo. `kept` finds those that the operator keeps on the disk, by
    search id and browser."""

    def __init__(
        self, photos: Photos, kept: Callable[[str, str], Remembered | None] = lambda *_: None
    ) -> None:
        self._photos, self._kept = photos, kept

    def keep(self, search_id: str, photo: bytes, region: Box, whose: str, first: str) -> None:
        """Remembers a photo, which came with the search `first`."""
        self._photos.put(search_id, Remembered(photo, region, whose, first))

    def keep_drawn(self, first: str, drawn: bytes, whose: str) -> None:
        """Remembers how a photo looks that came with the search `first` and that browsers cannot draw."""
        self._photos.put(_drawn(first), Remembered(drawn, WHOLE, whose, first))

    def drawn(self, first: str, whose: str) -> bytes:
        """What `keep_drawn` remembers, for the same browser; empty where that is nothing."""
        found = self._photos.get(_drawn(first))
        return found.photo if found and same(found.whose, whose) else b""

    def has(self, search_id: str, whose: str) -> bool:
        """Whether the photo of a search is remembered, and this browser's own."""
        return self._own(search_id, whose) is not None

    def get(self, search_id: str, whose: str) -> Remembered:
        """The photo of one's own search. Raises PhotoForgotten where it is, and just so where it
        is somebody else's: who got the link of an answer has its id, too."""
        found = self._own(search_id, whose)
        if found is None:
            message = f"the photo of search {search_id[:32]!r} is forgotten"
            raise PhotoForgotten(message, hint="send the photo again")
        return found

    def _own(self, search_id: str, whose: str) -> Remembered | None:
        found = self._photos.get(search_id)
        if found is None:
            return self._kept(search_id, whose)
        return found if same(found.whose, whose) else None
