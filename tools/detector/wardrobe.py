"""What people and scenes are made of, and other colours for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from PIL import Image

from cutouts import Cutout
from layers import Bytes, Layer, Random, box_px

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wardrobe:
    """Everything that people and scenes are made of."""

    uppers: tuple[Cutout, ...]
    lowers: tuple[Cutout, ...]
    outfits: tuple[Cutout, ...]
    things: dict[str, tuple[Layer, ...]]
    """Label -> loose things."""
    fabrics: tuple[Bytes, ...]
    """Patches of cloth."""
    grounds: tuple[Bytes, ...]
    """Phone photos, for backgrounds."""

    def thing(self, label: str, random: Random) -> Layer | None:
        found = self.things.get(label, ())
        return any_of(found, random) if found else None


def any_of(pool: tuple[T, ...], random: Random) -> T:
    return pool[int(random.integers(len(pool)))]


def recoloured(figure: Layer, wardrobe: Wardrobe, random: Random) -> Layer:
    """Other colours and cloths for what is worn; light and folds stay."""
    pixels = figure.pixels.copy()
    for number in range(len(figure.labels)):
        mask = figure.ids == number + 2
        found = box_px(mask)
        if found is None or random.random() < 0.35:
            continue
        light = figure.pixels[mask].astype(np.float32).mean(axis=1, keepdims=True)
        relief = np.clip(light / max(20.0, float(np.median(light))), 0.35, 1.7)
        if wardrobe.fabrics and random.random() < 0.5:
            cloth = _cloth(any_of(wardrobe.fabrics, random), found, random)[
                mask[found[1] : found[3], found[0] : found[2]]
            ].astype(np.float32)
        else:
            cloth = np.array(dye(random), np.float32)
        pixels[mask] = np.clip(cloth * relief, 0, 255).astype(np.uint8)
    return replace(figure, pixels=pixels)


def _cloth(fabric: Bytes, box: tuple[int, int, int, int], random: Random) -> Bytes:
    width, height = box[2] - box[0], box[3] - box[1]
    image = Image.fromarray(fabric)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.ROTATE_90)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def dye(random: Random) -> tuple[int, int, int]:
    """What clothes and leather are dyed in: mostly black, white, grey, blue and brown."""
    kind = random.random()
    if kind < 0.62:
        light = 15 + 220 * random.random() ** 1.5
        warm = random.normal(0, 0.1)
        tone = light * np.array([1 + warm, 1.0, 1 - warm])
    elif kind < 0.74:
        tone = random.uniform(0.25, 1) * np.array([120, 140, 190])
    else:
        tone = random.random(3) ** random.uniform(0.5, 1.6) * 235 + 12
    red, green, blue = np.clip(tone, 3, 250).astype(int)
    return int(red), int(green), int(blue)
