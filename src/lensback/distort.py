"""A stored picture as a phone would take it: the stand-in for shoppers' photos where none are known.

Distorted copies are a poor stand-in for real other views (they keep every fold of the cloth);
figures measured on them are upper bounds, and whoever quotes them says so.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance


@dataclass(frozen=True, slots=True)
class Distortion:
    """How strong: shares of a side, degrees, factors, JPEG quality."""

    crop_min: float = 0.05
    crop_max: float = 0.15
    rotation_deg: float = 10.0
    brightness: float = 0.25
    jpeg_quality: int = 50


PHONE = Distortion()


def distort(image: Image.Image, seed: int, strength: Distortion = PHONE) -> Image.Image:
    """Rotation, then a crop of 5-15 % in all on each axis, brightness, JPEG; the same for a seed."""
    random = np.random.default_rng(seed)
    image = image.convert("RGB")
    angle = float(random.uniform(-strength.rotation_deg, strength.rotation_deg))
    fill = edge_color(image)
    image = image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=fill)
    image = _cropped(image, random, strength)
    factor = float(random.uniform(1 - strength.brightness, 1 + strength.brightness))
    image = ImageEnhance.Brightness(image).enhance(factor)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=strength.jpeg_quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def _cropped(image: Image.Image, random: np.random.Generator, strength: Distortion) -> Image.Image:
    width, height = image.size
    cut_x = float(random.uniform(strength.crop_min, strength.crop_max)) * width
    cut_y = float(random.uniform(strength.crop_min, strength.crop_max)) * height
    left = float(random.uniform(0, cut_x))
    top = float(random.uniform(0, cut_y))
    box = (round(left), round(top), round(width - cut_x + left), round(height - cut_y + top))
    return image.crop(box)


def edge_color(image: Image.Image) -> tuple[int, int, int]:
    """Median colour of the border, RGB."""
    pixels = np.asarray(image.convert("RGB").resize((32, 32)))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(border, axis=0)
    return int(red), int(green), int(blue)
