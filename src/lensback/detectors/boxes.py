"""Sums over boxes that every trained detector needs: overlap, suppression, order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lensback.types import Box

Boxes = NDArray[np.float32]
"""float32 [n, 4]: x0, y0, x1, y1 as fractions."""
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


def overlaps(ones: Boxes, others: Boxes) -> Floats:
    """Intersection over union of every pair: [n, 4], [m, 4] -> [n, m]."""
    low = np.maximum(ones[:, None, :2], others[None, :, :2])
    high = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    union = areas(ones)[:, None] + areas(others)[None] - both
    return np.asarray(both / np.maximum(union, 1e-9), np.float32)


def areas(boxes: Boxes) -> Floats:
    """The area of each box (x0, y0, x1, y1), 0 where it is turned inside out: float32 [n]."""
    return np.asarray(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1), np.float32)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes.

    >>> overlap((0, 0, 1, 1), (0, 0, 0.5, 1))
    0.5
    """
    pair = overlaps(np.asarray([one], np.float32), np.asarray([other], np.float32))
    return float(pair[0, 0])


def parts(boxes: Boxes, kinds: Rows, most: float) -> NDArray[np.bool_]:
    """Which of the boxes, best first, lie with more than `most` of their area within a better one of the
    same kind: a sleeve found again as a garment, one shoe of a pair. bool [n].

    >>> boxes = np.array([[0, 0, 1, 1], [0, 0, 0.2, 1], [0, 0, 0.2, 1]], np.float32)
    >>> parts(boxes, np.array([0, 0, 1]), 0.8).tolist()
    [False, True, False]
    """
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    within = np.clip(high - low, 0, None).prod(axis=2) / np.maximum(areas(boxes), 1e-9)[:, None]
    better = np.tri(len(boxes), k=-1, dtype=bool)
    same = kinds[:, None] == kinds[None]
    return np.asarray(((within > most) & better & same).any(axis=1), bool)


def suppress(boxes: Boxes, scores: Floats, most: int, *, soft: float, hard: float) -> tuple[Rows, Floats]:  # fmt: skip
    """The rows of the best `most` boxes, best first, and their scores after suppression.

    A box loses exp(-IoU^2 / soft) of its score to each better one (Soft-NMS, Bodla et al. 2017)
    and everything where the overlap is above `hard`. `soft` 0 means: only the hard limit.
    """
    left = scores.astype(np.float32).copy()
    chosen: list[int] = []
    kept: list[float] = []
    pairs = overlaps(boxes, boxes)
    for _ in range(min(most, len(boxes))):
        best = int(left.argmax())
        if left[best] <= 0:
            break
        chosen.append(best)
        kept.append(float(left[best]))
        if soft:
            left *= np.exp(-(pairs[best] ** 2) / soft)
        left[pairs[best] > hard] = 0
        left[best] = 0
    return np.asarray(chosen, np.int64), np.asarray(kept, np.float32)
