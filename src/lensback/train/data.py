"""What is learned from: pictures of things, which are one thing, and which are never compared."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lensback.catalogue import pictures, products
from lensback.catalogue.stores import store_id
from lensback.db import Database
from lensback.errors import DataError, Error
from lensback.train.photos import photo_like
from lensback.types import Progress

SIDE_PX = 256
"""Longer side at which pictures are kept in memory."""
ALIKE = 0.97
"""Cosine of two pictures' features from which they may be one photograph."""

NO_ENCODER = "training"
"""A fingerprint that no encoder has: of all images on sale, none has a vector under it."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Example:
    """One picture of one thing."""

    key: str
    product: str
    """Pictures of one product are positives of each other, never negatives."""
    family: str
    """What must not be split between learning and validation: all colours of one model."""
    apart: str = ""
    """Two pictures with the same non-empty word are never negatives of each other."""
    weight: float = 1.0
    """How often its product is drawn, against others."""


class Pile:
    """Pictures as one uint8 array [n, 256, 256, 3], each in its upper left corner.

    With a path the array is a file of 192 KiB a picture, which need not fit into memory.
    """

    def __init__(self, count: int, path: Path | None = None) -> None:
        shape = (count, SIDE_PX, SIDE_PX, 3)
        self.pixels: NDArray[np.uint8] = (
            np.lib.format.open_memmap(path, "w+", np.uint8, shape)
            if path
            else np.zeros(shape, np.uint8)
        )
        self.sizes = np.ones((count, 2), np.int64)

    def put(self, row: int, image: Image.Image) -> None:
        """Keeps a decoded picture as the pixels of this row."""
        image = image.convert("RGB")
        factor = SIDE_PX / max(image.size)
        width, height = (max(8, min(SIDE_PX, round(side * factor))) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3)
        self.pixels[row, :height, :width] = np.asarray(image)
        self.sizes[row] = width, height

    def get(self, row: int) -> Image.Image:
        """The picture that was put at this row."""
        width, height = self.sizes[row]
        return Image.fromarray(self.pixels[row, :height, :width])

    def copy(self, row: int, number: int, grounds: Sequence[int]) -> Image.Image:
        """The picture itself for 0, else its photo-like copy of that number, always the same."""
        if number == 0:
            return self.get(row)
        random = np.random.default_rng([row, number])
        behind = self.get(grounds[int(random.integers(len(grounds)))])
        return photo_like(self.get(row), behind, random)


def load(
    examples: Sequence[Example],
    open_image: Callable[[str], Image.Image],
    progress: Progress | None = None,
    path: Path | None = None,
) -> tuple[list[Example], Pile]:
    """Decodes every picture once; those that cannot be read are left out."""
    kept: list[Example] = []
    pile = Pile(max(1, len(examples)), path)
    for number, example in enumerate(examples):
        try:
            pile.put(len(kept), open_image(example.key))
        except Error:
            continue
        kept.append(example)
        if progress:
            progress(number + 1, len(examples))
    pile.pixels, pile.sizes = pile.pixels[: len(kept)], pile.sizes[: len(kept)]
    return kept, pile


def of_workspace(db: Database, stores: Sequence[str] = ()) -> list[Example]:
    """The pictures on sale at these stores (all, where none is named), each once.

    A picture that several products show says nothing and is left out. Raises UnknownName for a
    store that is not connected, DataError where fewer than two products have two pictures:
    there would be nothing to learn from or to validate on.
    """
    wanted = {store_id(db, name) for name in stores}
    hashes = list(pictures.to_embed(db, NO_ENCODER))
    with db.read() as c:
        names = products.of_images(c, hashes)
        members = products.showing(c, hashes)
        same = products.copies_of(c, hashes)
    styles: dict[str, set[str]] = defaultdict(set)
    for key, found in names.items():
        groups = {f"{m.store} {m.group}" for m in members.get(key, ()) if m.group}
        for product in found:
            # Where several products show a picture, their groups may not be told apart: they join.
            styles[product] |= groups or {product}
    families = joined([set(found) for found in names.values()], styles)
    several = [
        Example(key, names[key][0], families[names[key][0]])
        for key in hashes
        if len(names.get(key, ())) == 1
        and not _copy_of_earlier(key, same)
        and (not wanted or any(m.store in wanted for m in members[key]))
    ]
    counts = views(several)
    if sum(len(rows) > 1 for rows in counts.values()) < 2:
        raise DataError(
            "fewer than two products of these stores have two pictures",
            hint="name stores whose feeds have additional images, and sync them first",
        )
    return several


def _copy_of_earlier(key: str, same: dict[str, set[str]]) -> bool:
    """One photograph at two stores is one picture: only the first of them is kept."""
    return any(other < key for other in same.get(key, ()))


def joined(sets: Sequence[set[str]], styles: dict[str, set[str]]) -> dict[str, str]:
    """Product -> family, where products share a model or a picture, at however many removes."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for members in sets:
        first, *others = sorted(members)
        for other in others:
            parent[root(other)] = root(first)
    for product, groups in styles.items():
        for group in groups:
            parent[root(product)] = root(group)
    return {product: root(product) for product in styles}


def views(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Product -> rows of its pictures."""
    found: dict[str, list[int]] = defaultdict(list)
    for row, example in enumerate(examples):
        found[example.product].append(row)
    return dict(found)


def codes(words: Sequence[str]) -> Rows:
    """Words -> the same numbers for the same words; an empty word is a number of its own."""
    distinct = [word or f"\0{at}" for at, word in enumerate(words)]
    return np.unique(distinct, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True, slots=True)
class Bond:
    """Who may be a negative of whom, by row."""

    product: Rows
    apart: Rows

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Bond:
        """Which examples show one product, and which must not be told apart."""
        return cls(codes([e.product for e in examples]), codes([e.apart for e in examples]))

    def forbidden(self, a: Rows, b: Rows) -> NDArray[np.bool_]:
        """[len(a), len(b)]: True where b is no negative of a."""
        same = self.product[a][:, None] == self.product[b][None]
        return np.asarray(same | (self.apart[a][:, None] == self.apart[b][None]))


def fold_of(family: str, folds: int) -> int:
    """A family's fold, the same in every run."""
    return int(hashlib.md5(family.encode(), usedforsecurity=False).hexdigest(), 16) % folds
