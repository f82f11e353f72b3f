"""Embedding on many machines: the door to engines that spread the work."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lensback.db import Database
from lensback.encoders import Encoder
from lensback.engines import engine
from lensback.images import ImageStore
from lensback.types import Progress, Tally
from lensback.vectors import VectorStore

GROUP = "lensback.spread"
"""Entry points by which other packages add engines: name -> Spreader."""
OWN = {"ray": "lensback.spread.ray:embed_on_ray"}


class Spreader(Protocol):
    """What an entry point of GROUP names. `embed.fill` does its half of the work: what is still to
    do, and keeping what comes back."""

    def __call__(
        self,
        db: Database,
        images: ImageStore,
        vectors: VectorStore,
        encoder: Encoder,
        models: Path,
        *,
        address: str,
        threads: int = 1,
        batch: int = 32,
        progress: Progress | None = None,
    ) -> Tally:
        """Encodes what has no vector yet at `address`, in the engine's own words. `models` is the
        folder of the encoders added here, which workers may need; `threads` are the processors of
        one batch of `batch` pictures. Raises MissingExtra, ConfigError, or Away."""


def spreader(name: str) -> Spreader:
    """The engine of that name. Raises UnknownName with the known ones."""
    found: Spreader = engine(GROUP, OWN, name, "engine for embed")
    return found
