"""Where stripes lie askew in a photo: places that change much, and in one direction only.

The structure tensor of squares of pixels (Bigün and Granlund 1987), with differences along the diagonals, which both lie
at the same point. A bar code leans one way as a whole; a face, a leaf or a seam does so only here and there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE_PX = 1000
"""The photo's longer side where stripes are looked for."""
SQUARE = 16
"""Pixels of a square's side."""
LEAST_CHANGE = 20.0
"""Of 255 levels, from one pixel to its neighbour, root of the mean square. Noise and cloth change less."""
LEAST_LEAN = 0.65
"""0: as much in every direction; 1: in one only."""
LEAST_SQUARES = 4
UPRIGHT = 6.0
"""Degrees from an axis within which stripes are read without a turn."""
ALIKE = 9.0
"""Degrees between squares of the same stripes."""
STEP = 3
"""Degrees of a class of directions."""
MARGIN = 3
"""Squares around stripes: a bar code needs a plain edge."""
MOST = 3
"""Directions of one photo."""

_Squares = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stripes:
    """A part of a photo, and the degrees by which it is turned to the left so that its stripes stand upright."""

    box: tuple[int, int, int, int]
    """Left, upper, right and lower edge in pixels of the photo."""
    angle: float


def askew(grey: Image.Image) -> list[Stripes]:
    """Parts of a photo's brightness (mode `L`) where stripes are neither upright nor level, most of them first."""
    small = grey.copy()
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
    if min(small.size) <= SQUARE:
        return []
    change, lean, angle = _directions(np.asarray(small, np.float32))
    away = np.abs((angle + 45) % 90 - 45)
    left = (change > LEAST_CHANGE) & (lean > LEAST_LEAN) & (away > UPRIGHT)
    scale = grey.width / small.width, grey.height / small.height
    found: list[Stripes] = []
    while len(found) < MOST:
        middle = _commonest(angle[left])
        near = left & (np.abs(_between(angle, middle)) < ALIKE)
        if np.count_nonzero(near) < LEAST_SQUARES:
            break
        middle += float(np.median(_between(angle[near], middle)))
        found.append(Stripes(_box(near, scale, grey.size), middle % 180))
        left &= ~near
    return found


def _directions(grey: NDArray[np.float32]) -> tuple[_Squares, _Squares, _Squares]:
    """For each square with its eight neighbours: how much brightness changes, how much of that in one direction,
    and which, in degrees from the right, downwards, below 180."""
    rows, columns = ((side - 1) // SQUARE for side in grey.shape)
    height, width = rows * SQUARE, columns * SQUARE
    shape = rows, SQUARE, columns, SQUARE
    down = (grey[1 : height + 1, 1 : width + 1] - grey[:height, :width]).reshape(shape)
    up = (grey[1 : height + 1, :width] - grey[:height, 1 : width + 1]).reshape(shape)
    both, one, other = (
        _with_neighbours(np.einsum("ibjc,ibjc->ij", first, second))
        for first, second in ((down, up), (down, down), (up, up))
    )
    total = one + other
    lean = np.hypot(one - other, 2 * both) / np.maximum(total, 1e-6)
    angle = np.degrees(0.5 * np.arctan2(2 * both, one - other)) + 45
    pixels = _with_neighbours(np.full((rows, columns), SQUARE * SQUARE, np.float32))
    return np.sqrt(total / (2 * pixels)), lean, angle % 180


def _with_neighbours(squares: _Squares) -> _Squares:
    padded = np.pad(squares, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:], np.float32)


def _commonest(angles: _Squares) -> float:
    """The direction that most have, within two classes."""
    counts = np.bincount((angles // STEP).astype(int) % (180 // STEP), minlength=180 // STEP)
    near = sum(np.roll(counts, shift) for shift in range(-2, 3))
    return float(np.argmax(near)) * STEP + STEP / 2


def _between(angles: _Squares, middle: float) -> _Squares:
    """Degrees from the middle, -90 to 90: stripes have no direction, so 179 is next to 1."""
    return (angles - middle + 90) % 180 - 90


def _box(
    squares: NDArray[np.bool_], scale: tuple[float, float], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(squares)
    edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    wider = [edge + (MARGIN if n > 1 else -MARGIN) for n, edge in enumerate(edges)]
    left, upper, right, lower = (
        round(edge * SQUARE * scale[n % 2]) for n, edge in enumerate(wider)
    )
    return max(0, left), max(0, upper), min(size[0], right), min(size[1], lower)
