"""The encoder without a model: the colours, edges and layout of what stands before the background.

Three parts, each of unit length, joined by weight. What the picture shows is told from its
background by the distance from the colour of its edge; the numbers below were chosen on other
views and distorted copies of one store's pictures (docs/encoders.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lensback.types import Vectors

SIDE_PX = 96
# Lab distance from the edge's colour: background below, foreground above, a ramp between.
NEAR, FAR = 4.0, 12.0
# Less foreground than this says nothing: then everything counts.
MIN_FOREGROUND = 0.02
BINS = np.array([8, 7, 7])
LAB_LOW = np.array([0, -50, -50], np.float32)
LAB_HIGH = np.array([100, 50, 50], np.float32)
EDGE_SIDE, EDGE_CELLS, ORIENTATIONS = 48, 4, 8
LAYOUT_CELLS = 4
WEIGHTS = {"colour": 0.7, "edges": 0.2, "layout": 0.1}
DIMS = {
    "colour": int(BINS.prod()),
    "edges": EDGE_CELLS**2 * ORIENTATIONS,
    "layout": 3 * LAYOUT_CELLS**2,
}
# Raised when the code changes its numbers.
REVISION = 1

Plane = NDArray[np.float32]
Frame = tuple[float, float, float, float]

# sRGB byte -> linear light, and linear RGB -> XYZ over the D65 white (IEC 61966-2-1).
_STEP = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_STEP <= 0.04045, _STEP / 12.92, ((_STEP + 0.055) / 1.055) ** 2.4)
_TO_XYZ = (
    np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    / np.array([[0.95047], [1.0], [1.08883]])
).astype(np.float32)


class PixelsEncoder:
    """Colour histogram (392), edge directions (128) and layout (48) of the foreground."""

    name = "pixels"
    dim = sum(DIMS.values())
    side_px = SIDE_PX

    @property
    def fingerprint(self) -> str:
        """Identity of the parameters, 16 hex digits."""
        numbers = (REVISION, SIDE_PX, NEAR, FAR, MIN_FOREGROUND, *BINS.tolist(), DIMS, WEIGHTS)
        return hashlib.sha256(f"pixels {numbers}".encode()).hexdigest()[:16]

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """RGB pictures -> float32 [n, 568], rows of unit length. Thread-safe."""
        vectors = np.empty((len(images), self.dim), np.float32)
        for row, image in enumerate(images):
            vectors[row] = _vector(image)
        return vectors


def _vector(image: Image.Image) -> Plane:
    lab = _to_lab(np.asarray(_shrink(image)))
    foreground = _foreground(lab)
    frame = _frame(foreground)
    parts = {
        "colour": _colour(lab, foreground),
        "edges": _edges(lab[..., 0], frame),
        "layout": _layout(lab, foreground, frame),
    }
    joined = np.concatenate([np.sqrt(WEIGHTS[key]) * _unit(part) for key, part in parts.items()])
    return _unit(joined).astype(np.float32)


def _shrink(image: Image.Image) -> Image.Image:
    image = image if image.mode == "RGB" else image.convert("RGB")
    factor = SIDE_PX / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)


def _to_lab(pixels: NDArray[np.uint8]) -> Plane:
    """sRGB bytes [h, w, 3] -> CIE Lab (D65) [h, w, 3]."""
    xyz = _LINEAR[pixels].astype(np.float32) @ _TO_XYZ.T
    curve = np.where(xyz > 216 / 24389, np.cbrt(xyz), xyz * (841 / 108) + 4 / 29)
    x, y, z = curve[..., 0], curve[..., 1], curve[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def _foreground(lab: Plane) -> Plane:
    """How much each pixel differs from the edge's median colour, 0 to 1: [h, w]."""
    edge = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    distance = np.sqrt(((lab - np.median(edge, axis=0)) ** 2).sum(axis=-1))
    ramp = np.clip((distance - NEAR) / (FAR - NEAR), 0, 1)
    return ramp if ramp.mean() > MIN_FOREGROUND else np.ones_like(ramp)


def _frame(foreground: Plane) -> Frame:
    """left, top, right, bottom around 98 % of the foreground's columns and of its rows."""
    solid = foreground > 0.5
    height, width = solid.shape
    if solid.mean() < MIN_FOREGROUND:
        return 0.0, 0.0, float(width), float(height)
    left, right = _span(solid.sum(axis=0))
    top, bottom = _span(solid.sum(axis=1))
    return left, top, right, bottom


def _span(counts: NDArray[Any]) -> tuple[float, float]:
    share = counts.cumsum() / counts.sum()
    first, last = np.searchsorted(share, [0.01, 0.99])
    return float(first), float(last + 1)


def _colour(lab: Plane, foreground: Plane) -> Plane:
    """Square root of a soft Lab histogram: each pixel shared among its 8 nearest bins."""
    seen = foreground > 0
    place = (lab[seen] - LAB_LOW) / (LAB_HIGH - LAB_LOW) * (BINS - 1).astype(np.float32)
    place = np.clip(place, 0, (BINS - 1 - 1e-4).astype(np.float32))
    low = place.astype(np.intp)
    rest = place - low
    strides = np.array([BINS[1] * BINS[2], BINS[2], 1])
    base = low @ strides
    shares = np.stack([1 - rest, rest])
    histogram = np.zeros(DIMS["colour"])
    for first, second, third in np.ndindex(2, 2, 2):
        share = shares[first, :, 0] * shares[second, :, 1] * shares[third, :, 2]
        bins = base + int(np.dot((first, second, third), strides))
        histogram += np.bincount(bins, share * foreground[seen], minlength=len(histogram))
    return np.sqrt(histogram).astype(np.float32)


def _edges(lightness: Plane, frame: Frame) -> Plane:
    """Square root of unsigned gradient-direction histograms over a grid of cells in the frame."""
    grey = _cut(lightness, frame, EDGE_SIDE)
    down, right = np.gradient(grey)
    angle = (np.arctan2(down, right) % np.pi) / np.pi * ORIENTATIONS
    low = angle.astype(np.intp)
    rest = angle - low
    strength = np.hypot(down, right)
    grid = np.arange(EDGE_SIDE) * EDGE_CELLS // EDGE_SIDE
    cell = (grid[:, None] * EDGE_CELLS + grid[None]) * ORIENTATIONS
    histogram = np.zeros(DIMS["edges"])
    for step, share in ((0, 1 - rest), (1, rest)):
        bins = (cell + (low + step) % ORIENTATIONS).ravel()
        histogram += np.bincount(bins, (strength * share).ravel(), minlength=len(histogram))
    return np.sqrt(histogram).astype(np.float32)


def _layout(lab: Plane, foreground: Plane, frame: Frame) -> Plane:
    """Mean foreground colour per cell of the frame, weighted by its coverage (the silhouette)."""
    cover = _cut(foreground, frame, LAYOUT_CELLS)
    middle = np.array([50.0, 0.0, 0.0])
    planes = []
    for channel, scale in enumerate((0.5, 1.0, 1.0)):
        total = _cut(lab[..., channel] * foreground, frame, LAYOUT_CELLS)
        mean = total / (cover + 1e-3)
        planes.append(scale * (mean - middle[channel]) * cover)
    return np.stack(planes).ravel().astype(np.float32)


def _cut(plane: Plane, frame: Frame, side: int) -> Plane:
    cut = Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(
        (side, side), Image.Resampling.BILINEAR, box=frame
    )
    return np.asarray(cut)


def _unit(values: Plane) -> Plane:
    length = float(np.linalg.norm(values))
    return values / length if length > 1e-9 else values * 0
