"""Cut-outs: things and people freed from plain grounds, and the boxes drawn over them.

`boxes.csv` holds boxes drawn by eye over pictures of two stores, as names and numbers; a name may
stand for all colours of one photograph (`luma/mh01-*_main`). A picture on white or on one plain
cloth is cut out by its distance from the colour of its edge.
"""

from __future__ import annotations

import csv
import fnmatch
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from lensback.errors import DataError
from lensback.types import Box

DRAWN = Path(__file__).with_name("boxes.csv")
SIDE_PX = 420
"""Longer side at which cut-outs are kept."""
WHITE_DISTANCE = 14
DUST = 0.02
PIECE = 0.25
"""Of a phone photo's thing only pieces of this share of the largest are kept: a pair of shoes is two."""
PLAIN_SPREAD = 26.0
"""Largest spread of the edge's colours (0..255) at which a ground counts as plain."""

Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]
Parts = NDArray[np.uint8]
"""[h, w]: 0 outside, 1 the body, 2 + n the part `labels[n]`."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """A thing or a person without its ground. `parts` tells which pixels belong to what."""

    name: str
    pixels: Pixels
    alpha: Pixels
    parts: Parts
    labels: tuple[str, ...]
    boxes: tuple[Box, ...] = ()
    """The drawn boxes of `labels`, as fractions."""

    def box(self, label: str) -> Box | None:
        return self.boxes[self.labels.index(label)] if label in self.labels else None


def drawn_boxes(path: Path = DRAWN) -> dict[str, list[tuple[str, Box]]]:
    """Name or pattern of a picture -> its labelled boxes."""
    found: dict[str, list[tuple[str, Box]]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            box = (float(row["x0"]), float(row["y0"]), float(row["x1"]), float(row["y1"]))
            found[row["picture"]].append((row["label"], box))
    return dict(found)


def boxes_of(names: Sequence[str]) -> dict[str, list[tuple[str, Box]]]:
    """The labelled boxes of those pictures (`store/file`, no suffix) that have any."""
    drawn = drawn_boxes()
    patterns = {key: value for key, value in drawn.items() if "*" in key}
    found = {}
    for name in names:
        boxes = drawn.get(name) or next(
            (value for key, value in patterns.items() if fnmatch.fnmatchcase(name, key)), None
        )
        if boxes:
            found[name] = boxes
    return found


def pictures(folder: Path, store: str) -> list[Path]:
    """The pictures of `folder/STORE/images`, in order. Raises DataError where there are none."""
    found = sorted((folder / store / "images").glob("*.jpg"))
    if not found:
        raise DataError(
            f"no pictures in {folder / store / 'images'}",
            hint=f"give the folder that holds {store}",
        )
    return found


def opened(path: Path, side_px: int = SIDE_PX) -> Image.Image:
    image = Image.open(path).convert("RGB")
    image.thumbnail((side_px, side_px), Image.Resampling.BICUBIC)
    return image


def white_cutout(path: Path, store: str, boxes: list[tuple[str, Box]]) -> Cutout | None:
    """A studio picture without its white ground; None where too little is left."""
    image = opened(path)
    pixels = np.asarray(image)
    mask = kept((255 - pixels.astype(np.int16)).max(axis=2) > WHITE_DISTANCE)
    if not 0.02 < mask.mean() < 0.85:
        return None
    return _cutout(f"{store}/{path.stem}", pixels, mask, boxes)


def plain_cutout(path: Path, store: str, label: str) -> Cutout | None:
    """A phone photo's thing, where it lies on one plain ground; None where it does not."""
    image = opened(path)
    pixels = np.asarray(image)
    mask = plain_mask(image)
    if mask is None:
        return None
    box = around(mask)
    return _cutout(f"{store}/{path.stem}", pixels, mask, [(label, box)])


def plain_mask(image: Image.Image) -> Mask | None:
    """What differs from a plain edge, if it is one compact thing that stays off the edge."""
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(1.2)), np.float32)
    edge = np.concatenate([soft[:6].reshape(-1, 3), soft[-6:].reshape(-1, 3),
                           soft[:, :6].reshape(-1, 3), soft[:, -6:].reshape(-1, 3)])  # fmt: skip
    centre = np.median(edge, axis=0)
    # Light falls off across a floor: brightness counts less than colour.
    spread = np.percentile(np.abs(edge - centre).max(axis=1), 85)
    if spread > PLAIN_SPREAD:
        return None
    distance = np.abs(soft - centre).max(axis=2)
    whole = kept(distance > max(24.0, 1.3 * float(spread)), PIECE)
    share, border = whole.mean(), _on_edge(whole)
    box = around(whole) if whole.any() else (0.0, 0.0, 1.0, 1.0)
    filled = share / max((box[2] - box[0]) * (box[3] - box[1]), 1e-6)
    return whole if 0.1 < share < 0.7 and border < 0.02 and filled > 0.4 else None


def kept(mask: Mask, least: float = DUST) -> Mask:
    """Holes filled; hair-thin bits and pieces below `least` of the largest dropped."""
    mask = ndimage.binary_closing(ndimage.binary_opening(mask), iterations=2)
    mask = ndimage.binary_fill_holes(mask)
    numbers, count = ndimage.label(mask)
    if count < 2:
        return np.asarray(mask, bool)
    sizes = ndimage.sum(mask, numbers, range(1, count + 1))
    large = np.flatnonzero(sizes > least * sizes.max()) + 1
    return np.isin(numbers, large)


def around(mask: Mask, trim: float = 0.003) -> Box:
    """Fractions around all but `trim` of the set pixels on each side."""
    height, width = mask.shape
    x0, x1 = _span(mask.sum(axis=0), trim)
    y0, y1 = _span(mask.sum(axis=1), trim)
    return x0 / width, y0 / height, x1 / width, y1 / height


def _span(counts: NDArray[np.int_], trim: float) -> tuple[int, int]:
    share = counts.cumsum() / counts.sum()
    first, last = np.searchsorted(share, [trim, 1 - trim], side="left")
    return int(first), int(last) + 1


def _on_edge(mask: Mask) -> float:
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return float(edge.mean())


def _cutout(name: str, pixels: Pixels, mask: Mask, boxes: list[tuple[str, Box]]) -> Cutout:
    """The soft edge lies inside the mask: a halo of the old ground would tell the thing apart."""
    inner = ndimage.binary_erosion(mask, iterations=1)
    alpha = Image.fromarray((inner * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8))
    parts = mask.astype(np.uint8)
    height, width = mask.shape
    for number, (_, (x0, y0, x1, y1)) in enumerate(boxes):
        window = (
            slice(int(y0 * height), int(np.ceil(y1 * height))),
            slice(int(x0 * width), int(np.ceil(x1 * width))),
        )
        parts[window][mask[window]] = 2 + number
    labels = tuple(label for label, _ in boxes)
    return Cutout(name, pixels, np.asarray(alpha), parts, labels, tuple(box for _, box in boxes))
