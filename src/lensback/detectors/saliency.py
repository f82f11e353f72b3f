"""The detector without training: what differs from the photo's border, near its middle.

Each pixel of a small copy is scored by its colour's distance from the border's colours, by the
gradients around it, and by its place; Otsu's threshold splits the scores, and the largest
connected piece, by summed score, gives the box. Where nothing stands out the whole photo is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from lensback.types import WHOLE, Box, Region

SIDE_PX = 72
EDGE_WEIGHT = 0.35
# Width of the centre prior, as a share of half the side.
CENTRE_SIGMA = 0.75
# Pieces smaller than this are dust; a box larger than that says no more than the whole photo.
MIN_AREA, MAX_AREA = 0.02, 0.92
# Mean distance from the border's colours in the piece over that outside: less is a guess.
MIN_CONTRAST = 1.6
# Distance (0..255 per channel, root mean square) below which nothing stands out at all.
MIN_DISTANCE = 14.0
MARGIN = 0.01
# Otsu's threshold parts the brightest print from its shirt: the cut is set lower.
THRESHOLD = 0.75
# How far from the photo's middle a box may end; people aim at what they want.
CENTRE_REACH = 0.05

Plane = NDArray[np.float32]


class SaliencyDetector:
    """One region around what stands out, then the whole photo; or the whole photo alone."""

    name = "saliency"
    fingerprint = "saliency 1"

    def find(self, photo: Image.Image) -> list[Region]:
        """RGB photo -> one or two regions, the whole photo last. Thread-safe."""
        whole = Region(WHOLE, "whole", 0.1)
        if min(photo.size) < 8:
            return [whole]
        pixels = _shrink(photo)
        distance = _border_distance(pixels)
        if distance.max() < MIN_DISTANCE:
            return [whole]
        found = _region(_score(pixels, distance), distance)
        return [found, whole] if found else [whole]


def _score(pixels: Plane, distance: Plane) -> Plane:
    """How much each place stands out, 0 to 1: float32 [h, w]."""
    prior = _centre_prior(distance.shape)
    score = (_stretch(distance) + EDGE_WEIGHT * _stretch(_edge_energy(pixels))) * prior
    return np.asarray(score / max(float(score.max()), 1e-6), np.float32)


def _shrink(photo: Image.Image) -> Plane:
    """RGB [h, w, 3], the longer side SIDE_PX, slightly blurred."""
    photo = photo if photo.mode == "RGB" else photo.convert("RGB")
    factor = SIDE_PX / max(photo.size)
    size = (max(3, round(photo.width * factor)), max(3, round(photo.height * factor)))
    small = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
    return np.asarray(small.filter(ImageFilter.GaussianBlur(0.8)), np.float32)


def _border_distance(pixels: Plane) -> Plane:
    """Distance of each pixel from the nearest of the border's colours: [h, w]."""
    height, width = pixels.shape[:2]
    band = max(1, min(height, width) // 24)
    sides = (pixels[:band], pixels[-band:], pixels[:, :band], pixels[:, -band:])
    # A thing that is cut off by one edge must not count as background: the colours that only
    # one side has are dropped where the other sides agree among themselves.
    medians = np.stack([np.median(side.reshape(-1, 3), axis=0) for side in sides])
    apart = np.sqrt(((medians[:, None] - medians[None]) ** 2).mean(axis=-1))
    agreed = np.median(apart, axis=1) <= max(12.0, 1.5 * float(np.median(apart)))
    centres = medians[agreed] if agreed.any() else medians
    distances = np.sqrt(((pixels[:, :, None] - centres) ** 2).mean(axis=-1))
    return np.asarray(distances.min(axis=-1), np.float32)


def _edge_energy(pixels: Plane) -> Plane:
    grey = pixels.mean(axis=2)
    down, right = np.gradient(grey)
    strength = np.hypot(down, right)
    soft = Image.fromarray(strength.astype(np.float32)).resize(
        (max(1, grey.shape[1] // 4), max(1, grey.shape[0] // 4)), Image.Resampling.BOX
    )
    return np.asarray(
        soft.resize((grey.shape[1], grey.shape[0]), Image.Resampling.BILINEAR), np.float32
    )


def _stretch(plane: Plane) -> Plane:
    top = float(np.percentile(plane, 98))
    return np.asarray(np.clip(plane / max(top, 1e-6), 0, 1), np.float32)


def _centre_prior(shape: tuple[int, ...]) -> Plane:
    rows = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, shape[1], dtype=np.float32)[None]
    return np.asarray(np.exp(-(rows**2 + columns**2) / (2 * CENTRE_SIGMA**2)), np.float32)


def _region(score: Plane, distance: Plane) -> Region | None:
    """The heaviest connected piece above the threshold, if it truly differs from the rest."""
    piece = _heaviest(score > THRESHOLD * otsu(score), score)
    box = _around(piece)
    if piece.mean() < MIN_AREA or piece.all() or _area(box) > MAX_AREA or not _near_centre(box):
        return None
    inside, outside = float(distance[piece].mean()), float(distance[~piece].mean())
    if inside < MIN_CONTRAST * outside:
        return None
    return Region(box, score=round(min(0.99, 1 - outside / inside), 3))


def otsu(values: Plane) -> float:
    """The threshold that best parts values of 0..1 in two (Otsu 1979), over 64 bins."""
    counts, borders = np.histogram(values, bins=64, range=(0, 1))
    middles = (borders[:-1] + borders[1:]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * middles).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums / below - (sums[-1] - sums) / above
    between = np.nan_to_num(below * above * gap**2)
    return float(borders[1:][int(between.argmax())])


def _heaviest(mask: NDArray[np.bool_], score: Plane) -> NDArray[np.bool_]:
    """The 4-connected piece of the mask with the largest sum of scores."""
    labels = _label(mask)
    sums = np.bincount(labels.ravel(), (score * mask).ravel())
    sums[0] = -1
    return np.asarray((labels == int(sums.argmax())) & mask)


def _label(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Connected pieces numbered from 1, background 0. Each pixel takes the largest number
    that reaches it along rows and columns, until nothing changes: a few passes in practice."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        before = labels
        for turned in (False, True):
            labels = _spread(labels.T if turned else labels, mask.T if turned else mask)
            labels = labels.T if turned else labels
        if np.array_equal(before, labels):
            break
    _, compact = np.unique(np.where(mask, labels, 0), return_inverse=True)
    return np.asarray(compact.reshape(mask.shape) + (0 if not mask.all() else 1))


def _spread(labels: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Every run of set pixels in a row takes its largest number."""
    rows, columns = mask.shape
    gaps = (~mask).cumsum(axis=1) + np.arange(rows)[:, None] * (columns + 1)
    tops = np.zeros(rows * (columns + 1) + columns + 1, labels.dtype)
    np.maximum.at(tops, gaps[mask], labels[mask])
    return np.where(mask, tops[gaps], 0)


def _around(piece: NDArray[np.bool_]) -> Box:
    """Fractions around 98 % of the piece's rows and columns, with a margin."""
    x0, x1 = _span(piece.sum(axis=0))
    y0, y1 = _span(piece.sum(axis=1))
    return x0, y0, x1, y1


def _span(counts: NDArray[Any]) -> tuple[float, float]:
    share = counts.cumsum() / counts.sum()
    first, last = np.searchsorted(share, [0.01, 0.99])
    size = len(counts)
    return max(0.0, float(first / size) - MARGIN), min(1.0, float((last + 1) / size) + MARGIN)


def _near_centre(box: Box) -> bool:
    reach = CENTRE_REACH
    across = box[0] - reach <= 0.5 <= box[2] + reach
    return across and box[1] - reach <= 0.5 <= box[3] + reach


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
