"""Why a photo matched: cover one patch of it after the other, and see how much likeness is lost."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lensback.encoders import Encoder
from lensback.types import Vector

CELLS = 7
"""Cells on each side of the map."""
_PATCH = 2
"""Cells that are covered at once, on each side: smaller ones change too little to be told apart."""
_BATCH = 12

Heat = NDArray[np.float32]
"""float32 [CELLS, CELLS], 0 to 1: 1 where covering the picture costs most of the likeness."""


def heat(
    part: Image.Image, vector: Vector, encoder: Encoder, still: Callable[[], object] = lambda: None
) -> Heat:
    """How much each cell of a searched part speaks for an image with this vector.

    Occlusion (Zeiler, Fergus 2014): patches get the colour of the part's edge; a cell's heat is the mean
    loss of cosine similarity over the patches that cover it. Works with any encoder, at the price
    of 37 encodings, between which `still` may raise where nobody waits for it any more. All zero where no patch
    matters.
    """
    pictures = chain([part], (_covered(part, row, column) for row, column in _places()))
    batches = iter(lambda: list(islice(pictures, _BATCH)), [])  # all at once would be 37 copies
    whole, *others = np.concatenate([_alike(batch, vector, encoder, still) for batch in batches])
    lost, times = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for (row, column), score in zip(_places(), others, strict=True):
        patch = np.s_[row : row + _PATCH, column : column + _PATCH]
        lost[patch] += max(0.0, float(whole - score))
        times[patch] += 1
    mean = lost / times
    return np.asarray(mean / max(float(mean.max()), 1e-9), np.float32)


def _alike(
    batch: list[Image.Image], vector: Vector, encoder: Encoder, still: Callable[[], object]
) -> Vector:
    still()
    return encoder.encode(batch) @ vector


def _places() -> list[tuple[int, int]]:
    steps = range(CELLS - _PATCH + 1)
    return [(row, column) for row in steps for column in steps]


def _covered(part: Image.Image, row: int, column: int) -> Image.Image:
    """A copy with one patch in the colour of the ground."""
    left, right = (round(part.width * n / CELLS) for n in (column, column + _PATCH))
    top, bottom = (round(part.height * n / CELLS) for n in (row, row + _PATCH))
    copy = part.copy()
    copy.paste(_ground(part), (left, top, right, bottom))
    return copy


def _ground(part: Image.Image) -> tuple[int, int, int]:
    """The median colour of the edge: what lies behind the thing, so that covering it again costs
    nothing."""
    pixels = np.asarray(part)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(edge, axis=0).astype(int).tolist()
    return red, green, blue
