"""Photo-like copies of a store's picture: what a phone, a hand and a room do to it.

Colour is identity, so a copy keeps it: the cast is mild, and no hue is turned. Real other views
are worth more than any copy; copies stand in where a product has one picture only.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Random = np.random.Generator
Pixels = NDArray[np.uint8]

FLAT = 28
"""Distance from the edge's colour (largest of three channels) up to which a pixel is background."""


def photo_like(image: Image.Image, behind: Image.Image, random: Random) -> Image.Image:
    """A copy of an RGB picture as a person might photograph it; `behind` may become its ground."""
    if random.random() < 0.5:
        image = on_ground(image, behind, random)
    image = seen_askew(image, random)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.2:
        image = covered(image, random)
    image = relit(image, random)
    return degraded(image, random)


def edge_colour(image: Image.Image) -> tuple[int, int, int]:
    """Median colour of the outermost pixels."""
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(edge, axis=0)
    return int(red), int(green), int(blue)


def on_ground(image: Image.Image, behind: Image.Image, random: Random) -> Image.Image:
    """Cut out by its edge's colour and laid on another picture, blurred, or on a plain colour.

    A rough edge stays as a halo; where the ground is not plain enough to cut, nothing changes.
    """
    apart = np.abs(np.asarray(image, np.int16) - edge_colour(image)).max(axis=2) > FLAT
    if not 0.03 < apart.mean() < 0.9:
        return image
    mask = Image.fromarray((apart * 255).astype(np.uint8)).filter(ImageFilter.MedianFilter(5))
    mask = mask.filter(ImageFilter.GaussianBlur(random.uniform(0.4, 1.6)))
    if random.random() < 0.6:
        ground = behind.resize(image.size).filter(ImageFilter.GaussianBlur(random.uniform(2, 10)))
    else:
        shade = random.integers(90, 256) + random.integers(-18, 19, 3)
        red, green, blue = np.clip(shade, 0, 255)
        ground = Image.new("RGB", image.size, (int(red), int(green), int(blue)))
    return Image.composite(image, ground, mask)


def seen_askew(image: Image.Image, random: Random) -> Image.Image:
    """Turned, nearer or farther, each corner moved by up to 8 % of a side."""
    width, height = image.size
    angle = np.deg2rad(random.normal(0, 6))
    zoom = random.uniform(0.72, 1.12)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    half = np.array([width, height]) / 2
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * half * zoom
    drift = random.uniform(-0.08, 0.08, 2) * (width, height)
    jitter = random.uniform(-0.08, 0.08, (4, 2)) * (width, height)
    quad = corners @ turn.T + half + drift + jitter
    # Beyond the picture lies its edge's colour.
    margin = int(max(width, height) * 0.35)
    wide = Image.new("RGB", (width + 2 * margin, height + 2 * margin), edge_colour(image))
    wide.paste(image, (margin, margin))
    return wide.transform(
        image.size,
        Image.Transform.QUAD,
        tuple((quad + margin).ravel().tolist()),
        Image.Resampling.BICUBIC,
    )


def covered(image: Image.Image, random: Random) -> Image.Image:
    """Partly hidden: a hand, a strap or a label, as an ellipse or a bar of one colour."""
    image = image.copy()
    width, height = image.size
    x, y = random.uniform(0, 0.9) * width, random.uniform(0, 0.9) * height
    w, h = random.uniform(0.08, 0.35) * width, random.uniform(0.05, 0.25) * height
    red, green, blue = (int(value) for value in random.integers(0, 256, 3))
    draw = ImageDraw.Draw(image)
    shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
    shape((x, y, x + w, y + h), fill=(red, green, blue))
    return image


def relit(image: Image.Image, random: Random) -> Image.Image:
    """Brighter or darker, a slope of light across, contrast, and a mild cast of colour."""
    pixels = np.asarray(image, np.float32) / 255
    height, width = pixels.shape[:2]
    slope = random.uniform(-0.25, 0.25, 2)
    light = (
        1
        + slope[0] * np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
        + slope[1] * np.linspace(-0.5, 0.5, width, dtype=np.float32)[None]
    )
    cast = 1 + random.uniform(-0.05, 0.05, 3).astype(np.float32)
    gain, contrast = random.uniform(0.75, 1.15), random.uniform(0.85, 1.15)
    pixels = pixels ** np.float32(random.uniform(0.85, 1.2)) * light[:, :, None] * (cast * gain)
    pixels = (pixels - 0.5) * contrast + 0.5
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def degraded(image: Image.Image, random: Random) -> Image.Image:
    """Blurred now and then, smaller, noisy, recompressed."""
    if random.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.4, 1.4)))
    scale = random.uniform(0.55, 1)
    image = image.resize((max(8, int(image.width * scale)), max(8, int(image.height * scale))))
    if random.random() < 0.3:
        noisy = np.asarray(image, np.float32)
        noisy += random.normal(0, random.uniform(2, 8), noisy.shape)
        image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(random.integers(35, 90)))
    return Image.open(file).convert("RGB")
