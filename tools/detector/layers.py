"""Layers: pixels with an alpha and, pixel by pixel, what they belong to. Scenes are made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutouts import Cutout
from lensback.types import Box

Random = np.random.Generator
Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int16]

BODY = 1
NEAREST, SMOOTH = Image.Resampling.NEAREST, Image.Resampling.BILINEAR
MIN_VISIBLE = 0.3
"""Of a thing's pixels; less in view is no box."""
MIN_AREA = 0.0012
"""Of a scene; smaller things are no boxes."""


@dataclass(frozen=True, slots=True)
class Layer:
    """`ids`: 0 nothing, 1 body, from 2 on the things `labels[id - 2]`."""

    pixels: Bytes
    alpha: Bytes
    ids: Bytes
    labels: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.alpha.shape[0], self.alpha.shape[1]

    def mask_of(self, label: str) -> NDArray[np.bool_]:
        numbers = [2 + at for at, own in enumerate(self.labels) if own == label]
        return np.isin(self.ids, numbers)

    def box_px(self, label: str) -> tuple[int, int, int, int] | None:
        """x0, y0, x1, y1 around a label's pixels."""
        return box_px(self.mask_of(label))


def layer_of(cutout: Cutout) -> Layer:
    return Layer(cutout.pixels, cutout.alpha, cutout.parts, cutout.labels)


def box_px(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def cropped(layer: Layer) -> Layer:
    """Without empty rows and columns around."""
    found = box_px(layer.alpha > 40)
    if found is None:
        return layer
    x0, y0, x1, y1 = found
    window = (slice(y0, y1), slice(x0, x1))
    return replace(
        layer, pixels=layer.pixels[window], alpha=layer.alpha[window], ids=layer.ids[window]
    )


def resized(layer: Layer, height: float, width: float) -> Layer:
    size = (max(2, round(width)), max(2, round(height)))
    reducing = 2 if size[0] < layer.size[1] else None
    pixels = Image.fromarray(np.ascontiguousarray(layer.pixels))
    alpha = Image.fromarray(np.ascontiguousarray(layer.alpha))
    ids = Image.fromarray(np.ascontiguousarray(layer.ids))
    return replace(
        layer,
        pixels=np.asarray(pixels.resize(size, SMOOTH, reducing_gap=reducing)),
        alpha=np.asarray(alpha.resize(size, SMOOTH, reducing_gap=reducing)),
        ids=np.asarray(ids.resize(size, NEAREST)),
    )


def scaled(layer: Layer, factor: float) -> Layer:
    return resized(layer, layer.size[0] * factor, layer.size[1] * factor)


def mirrored(layer: Layer) -> Layer:
    return replace(
        layer, pixels=layer.pixels[:, ::-1], alpha=layer.alpha[:, ::-1], ids=layer.ids[:, ::-1]
    )


def turned(layer: Layer, degrees: float) -> Layer:
    def spin(values: Bytes, how: Image.Resampling) -> Bytes:
        image = Image.fromarray(np.ascontiguousarray(values))
        return np.asarray(image.rotate(degrees, how, expand=True))

    return replace(
        layer,
        pixels=spin(layer.pixels, SMOOTH),
        alpha=spin(layer.alpha, SMOOTH),
        ids=spin(layer.ids, NEAREST),
    )


def without(layer: Layer, label: str) -> Layer:
    """The same pixels, but a label's things are body now."""
    return replace(layer, ids=np.where(layer.mask_of(label), BODY, layer.ids).astype(np.uint8))


class Canvas:
    """Where layers are pasted. Every pasted thing gets a number of its own."""

    def __init__(self, ground: Bytes) -> None:
        self.pixels = ground.astype(np.float32)
        side = (ground.shape[0], ground.shape[1])
        self.numbers: NDArray[np.int16] = np.zeros(side, np.int16)
        self.owners: NDArray[np.int16] = np.zeros(side, np.int16)
        self.labels: list[str] = []
        self.areas: list[int] = []
        self.pasted = 0

    def paste(self, layer: Layer, x: float, y: float, strength: float = 1.0) -> None:
        """Lays it with its upper left corner at (x, y) in pixels; what lies outside is cut."""
        self.pasted += 1
        left, top = round(x), round(y)
        height, width = layer.size
        y0, y1 = max(0, top), min(self.numbers.shape[0], top + height)
        x0, x1 = max(0, left), min(self.numbers.shape[1], left + width)
        counts = np.bincount(layer.ids.ravel(), minlength=len(layer.labels) + 2)
        first = len(self.labels) + 1
        self.labels += layer.labels
        self.areas += counts[2 : 2 + len(layer.labels)].tolist()
        if y0 >= y1 or x0 >= x1:
            return
        here, there = (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))  # fmt: skip
        alpha = layer.alpha[there].astype(np.float32)[:, :, None] * (strength / 255)
        self.pixels[here] += (layer.pixels[there] - self.pixels[here]) * alpha
        solid = layer.alpha[there] > 110
        ids = layer.ids[there].astype(np.int16)
        self.numbers[here][solid] = np.where(ids >= 2, ids - 2 + first, 0)[solid]
        self.owners[here][solid] = self.pasted

    def boxes(self) -> list[tuple[str, Box]]:
        """What is enough in view, as fractions."""
        return [(self.labels[number - 1], box) for number, box in self.numbered_boxes()]

    def numbered_boxes(self) -> list[tuple[int, Box]]:
        """The same by number: the n-th thing that was pasted, from 1 on."""
        height, width = self.numbers.shape
        counts = np.bincount(self.numbers.ravel(), minlength=len(self.labels) + 1)
        found = []
        for number, area in enumerate(self.areas, 1):
            seen = int(counts[number])
            if seen < MIN_VISIBLE * area or seen < MIN_AREA * height * width:
                continue
            found.append((number, self._around(self.numbers == number, seen)))
        return found

    def owner_box(self, owner: int) -> Box | None:
        mask = self.owners == owner
        seen = int(mask.sum())
        return self._around(mask, seen) if seen > 0.01 * mask.size else None

    def _around(self, mask: NDArray[np.bool_], seen: int) -> Box:
        """Around all but half a percent of the pixels on each side."""
        height, width = mask.shape
        rows, columns = mask.sum(axis=1).cumsum() / seen, mask.sum(axis=0).cumsum() / seen
        y0, y1 = np.searchsorted(rows, [0.005, 0.995])
        x0, x1 = np.searchsorted(columns, [0.005, 0.995])
        return (
            float(x0 / width),
            float(y0 / height),
            float(min(width, x1 + 1) / width),
            float(min(height, y1 + 1) / height),
        )


def blank(height: int, width: int) -> Layer:
    zeros = np.zeros((height, width), np.uint8)
    return Layer(np.zeros((height, width, 3), np.uint8), zeros, zeros)


def laid(under: Layer, over: Layer, x: float, y: float) -> Layer:
    """One layer from two; the upper one's things are numbered after the lower one's."""
    left, top = round(x), round(y)
    height, width = under.size
    y0, y1, x0, x1 = (
        max(0, top),
        min(height, top + over.size[0]),
        max(0, left),
        min(width, left + over.size[1]),
    )
    if y0 >= y1 or x0 >= x1:
        return under
    here, there = (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))  # fmt: skip
    pixels, alpha, ids = under.pixels.copy(), under.alpha.copy(), under.ids.copy()
    a = over.alpha[there].astype(np.float32) / 255
    b = alpha[here].astype(np.float32) / 255
    joint = a + b * (1 - a)
    share = (a / np.maximum(joint, 1e-4))[:, :, None]
    mixed = pixels[here] + (over.pixels[there].astype(np.float32) - pixels[here]) * share
    pixels[here], alpha[here] = mixed.astype(np.uint8), (joint * 255).astype(np.uint8)
    solid = over.alpha[there] > 110
    numbers = over.ids[there]
    moved = np.where(numbers >= 2, numbers + len(under.labels), numbers)
    ids[here] = np.where(solid, moved, ids[here])
    return Layer(pixels, alpha, ids, under.labels + over.labels)


def widened(figure: Layer, by: int) -> Layer:
    """With room at both sides."""
    if by <= 0:
        return figure
    wide = blank(figure.size[0], figure.size[1] + by + 2)
    return laid(wide, figure, (by + 2) // 2, 0)


def bare(figure: Layer, labels: tuple[str, ...]) -> Layer:
    """Its things of these labels are body from now on."""
    ids = figure.ids
    for label in labels:
        ids = np.where(figure.mask_of(label), BODY, ids).astype(np.uint8)
        figure = replace(figure, ids=ids)
    return figure
