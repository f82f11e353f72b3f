"""How stores are shown: by their title and their logo."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from lensback.catalogue import stores
from lensback.workspace import Workspace

FRESH_S = 30.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A store as shoppers see it."""

    title: str
    logo: str = ""
    """Address of its picture here; empty: the title's first letter stands for it."""


@dataclass(slots=True)
class Marks:
    """The marks of all stores, read at most every FRESH_S. A name that nobody connected is its own
    title: answers outlive stores."""

    workspace: Workspace
    _known: dict[str, Mark] = field(default_factory=dict)
    _read_at: float = 0.0

    def __getitem__(self, store: str) -> Mark:
        now = time.monotonic()
        if not self._read_at or now - self._read_at > FRESH_S:
            titles = stores.titles(self.workspace.db)
            self._known = {name: Mark(title) for name, title in titles.items()}
            self._read_at = now
        return self._known.get(store) or Mark(store)
