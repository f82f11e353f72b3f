"""Is a query picture in the gallery? Found three ways, and settled by the pixels.

Exact bytes, a near perceptual hash, or a near vector make two pictures suspects; `likeness` says
whether they are one photograph, cropped, rescaled or recompressed. Only then it is a leak: the
pictures of two colours of one shirt have one perceptual hash and are no leak.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensback.likeness import SAME_PHOTOGRAPH, Signature, likeness
from lensback.types import Progress, Vectors

NEAR_BITS = 6
"""Differing bits of 64 up to which two perceptual hashes are near."""
NEAR_COSINE = 0.95
MOST_SUSPECTS = 20
"""Nearest vectors of one query that are looked at."""
WAYS = ("exact", "perceptual hash", "vector")


@dataclass(frozen=True, slots=True)
class Picture:
    """What the check needs of one picture. `key` names it to the caller."""

    key: str
    hash: str
    """Hex SHA-256 of its bytes."""
    phash: int


@dataclass(frozen=True, slots=True)
class Leak:
    """A query that is in the gallery."""

    query: str
    gallery: str
    way: str
    """One of WAYS: what gave it away first."""
    likeness: float


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check found."""

    checked: int
    gallery: int
    leaks: tuple[Leak, ...]
    suspects: int
    """Pairs near by hash or vector that the pixels tell apart: other colours, look-alikes, or a
    copy changed beyond what `likeness` follows. Look at some."""

    def as_json(self, dropped: int = 0) -> dict[str, Any]:
        """The counts and pairs by name, as they stand in `run.json`."""
        return {
            "checked": self.checked,
            "gallery": self.gallery,
            "found": len({leak.query for leak in self.leaks}),
            "dropped": dropped,
            "suspects": self.suspects,
            "examples": [asdict(leak) for leak in self.leaks[:20]],
        }


Look = Callable[[str], Signature | None]
"""Key -> signature of the picture; None where it cannot be read."""


def check(
    queries: Sequence[Picture],
    gallery: Sequence[Picture],
    query_vectors: Vectors,
    gallery_vectors: Vectors,
    look: Look,
    *,
    progress: Progress | None = None,
) -> Checked:
    """Every query against the whole gallery. Vectors are rows in the order of the pictures."""
    bits = np.array([picture.phash for picture in gallery], dtype=np.uint64)
    by_hash = {picture.hash: picture for picture in gallery}
    leaks: list[Leak] = []
    suspects = 0
    for n, query in enumerate(queries):
        same = by_hash.get(query.hash)
        if same is not None:
            leaks.append(Leak(query.key, same.key, WAYS[0], 1.0))
        else:
            near = _near(query, query_vectors[n], bits, gallery_vectors)
            found = _confirmed(query, [(gallery[at], way) for at, way in near], look)
            leaks += found
            suspects += len(near) - len(found)
        if progress:
            progress(n + 1, len(queries))
    return Checked(len(queries), len(gallery), tuple(leaks), suspects)


def _near(
    query: Picture, vector: NDArray[np.float32], bits: NDArray[np.uint64], gallery: Vectors
) -> list[tuple[int, str]]:
    """Places in the gallery worth a look, each with what made it so."""
    if not len(bits):
        return []
    distance = np.bitwise_count(bits ^ np.uint64(query.phash))
    near = dict.fromkeys(np.flatnonzero(distance <= NEAR_BITS).tolist(), WAYS[1])
    cosine = gallery @ vector
    best = np.argsort(-cosine, kind="stable")[:MOST_SUSPECTS]
    for at in best[cosine[best] > NEAR_COSINE].tolist():
        near.setdefault(at, WAYS[2])
    return list(near.items())


def _confirmed(query: Picture, near: Sequence[tuple[Picture, str]], look: Look) -> list[Leak]:
    """The suspects that are one photograph with the query."""
    mine = look(query.key) if near else None
    if mine is None:
        return []
    leaks = []
    for picture, way in near:
        theirs = look(picture.key)
        alike = 0.0 if theirs is None else likeness(mine, theirs)
        if alike >= SAME_PHOTOGRAPH:
            leaks.append(Leak(query.key, picture.key, way, round(alike, 3)))
    return leaks
