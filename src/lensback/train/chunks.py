"""Numbers that take long to make, kept on disk in chunks: what a kill can cost is one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lensback.durable import replace_file
from lensback.encoders import Encoder
from lensback.train.data import Example, Pile
from lensback.train.fit import Floats

CHUNK = 256
"""Pictures whose numbers are written at once."""
BATCH = 8


def kept(path: Path, make: Callable[[], Floats]) -> Floats:
    """What the file holds; made and written, whole or not at all, where it is not there."""
    if path.is_file():
        return np.asarray(np.load(path), np.float32)
    made = make()

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.save(file, made)

    replace_file(path, write)
    return made


def key_of(examples: Sequence[Example], settings: str) -> str:
    """Identity of the pictures and of the settings that made a file."""
    words = [*(f"{e.key} {e.product}" for e in examples), settings]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def seen_by(
    teacher: Encoder,
    examples: Sequence[Example],
    pile: Pile,
    work: Path,
    watch: Callable[[str, int, int], None],
) -> Floats:
    """The teacher's vectors [n, dim] of all pictures."""
    found = []
    name = f"teacher-{teacher.fingerprint}-{key_of(examples, '')}"
    for at in range(0, len(examples), CHUNK):
        rows = range(at, min(at + CHUNK, len(examples)))

        def make(rows: range = rows) -> Floats:
            parts = [rows[n : n + BATCH] for n in range(0, len(rows), BATCH)]
            return np.concatenate([teacher.encode([pile.get(r) for r in part]) for part in parts])

        found.append(kept(work / f"{name}-{at:07d}.npy", make))
        watch("teacher", rows.stop, len(examples))
    return np.concatenate(found)
