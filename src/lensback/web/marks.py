"""How stores are shown: by their title and their logo."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from lensback import logos
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
        return self._fresh().get(store) or Mark(store)

    def __contains__(self, store: str) -> bool:
        """Whether the store is connected."""
        return store in self._fresh()

    def _fresh(self) -> dict[str, Mark]:
        now = time.monotonic()
        if not self._read_at or now - self._read_at > FRESH_S:
            titles = stores.titles(self.workspace.db)
            self._known = {name: Mark(title, self._logo(name)) for name, title in titles.items()}
            self._read_at = now
        return self._known

    def _logo(self, store: str) -> str:
        """Its address changes with the picture, so that it may be kept for good."""
        try:
            changed = logos.path_of(self.workspace.path, store).stat().st_mtime_ns
        except OSError:
            return ""
        return f"/logos/{store}?v={changed // 1_000_000:x}"
