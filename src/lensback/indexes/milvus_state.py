"""The published state of an index in Milvus, as text that lives beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lensback.errors import StateError
from lensback.types import Snapshot

NOW, MINE = 0, -1
"""In place of Milvus's time of a write: with all that is written so far, which takes a tick of
0.2 s; with all that this process wrote."""


@dataclass(frozen=True, slots=True)
class Published:
    """What the alias leads to: the searched state."""

    snapshot: Snapshot
    generation: int
    parameters: Mapping[str, float] = field(default_factory=dict)
    previous: str = ""
    """The collection of the encoder before, kept for late readers."""
    previous_generation: int = 0
    at: int = 0
    """Milvus's time of the switch-over, later than every write of this state. Not in the text: it
    is the time at which Milvus made what holds the text."""

    def text(self) -> str:
        """The state as JSON, as it is kept in the collection's property."""
        data = asdict(self)
        del data["at"]
        return json.dumps(data)

    @classmethod
    def read(cls, text: str, at: int) -> Published:
        """The state from that JSON. Raises StateError where it is none."""
        try:
            data = json.loads(text)
            snapshot = Snapshot(**data.pop("snapshot"))
            return cls(snapshot, at=at, **data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StateError(
                "what the Milvus alias names is not Lensback's",
                hint="use another name after the host, or drop that alias and sync",
            ) from error

    @property
    def visible(self) -> str:
        """The condition that a row is part of this state."""
        return visible(self.generation)


def visible(generation: int) -> str:
    """The condition that a row is part of a generation."""
    return f"since <= {generation} and until > {generation}"


def seeing(at: int) -> dict[str, Any]:
    """How new the answer must be. A replica that has not seen what was written before `at` waits
    for it: Bounded ("at most 5 s behind") let a busy one answer with a part of a new generation."""
    if at in {NOW, MINE}:
        return {"consistency_level": "Strong" if at == NOW else "Session"}
    return {"consistency_level": "Customized", "guarantee_timestamp": at}
