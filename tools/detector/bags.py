"""Bags drawn for scenes: the stores that may be learnt from show sixteen, streets thousands.

Totes, handbags, pouches and clutches of leather or cloth, carried in a hand, on an arm, on a
shoulder, across the body. A handle or strap is a part of the bag: its box holds both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from layers import BODY, Bytes, Layer, Random
from wardrobe import any_of, dye

FINER = 3
"""Drawn so many times as large, and shrunk: PIL draws hard edges."""
WAYS = ("hand", "arm", "shoulder", "across", "none")
WAY_SHARES = (0.38, 0.14, 0.2, 0.14, 0.14)
SKIN = ((236, 200, 175), (214, 168, 138), (160, 112, 84), (96, 64, 48))


@dataclass(frozen=True, slots=True)
class Carried:
    """A bag as it hangs, and where at the top of its layer it is held: pixels from the left."""

    layer: Layer
    grip: float


def drawn(
    fabrics: tuple[Bytes, ...], way: str, width: float, reach: tuple[float, float], random: Random
) -> Carried:
    """A bag `width` pixels wide that hangs `reach` (right, down) pixels from where it is held.

    `reach` counts for the ways `shoulder` and `across` only: other handles are short.
    """
    wide, tall = round(width * FINER), round(width * random.uniform(0.55, 1.25) * FINER)
    right, down = (
        (reach[0] * FINER, reach[1] * FINER)
        if way in {"shoulder", "across"}
        else (0.0, random.uniform(0.25, 0.7) * wide if way != "none" else 0.0)
    )
    grip = 0.6 * wide + max(0.0, -right)
    mask = Image.new("L", (round(grip + max(0.0, right) + 0.6 * wide), round(down + tall) + 2))
    x0, y0 = grip + right - wide / 2, down
    body = _body(mask, x0, y0, wide, tall, random)
    tone = dye(random)
    pixels = _skin_of(body, fabrics, tone, random)
    image = Image.fromarray(pixels)
    draw, strap = ImageDraw.Draw(image), ImageDraw.Draw(mask)
    _details(draw, x0, y0, wide, tall, tone, random)
    dark = tuple(int(value * 0.7) for value in tone)
    thick = max(2, round(wide * random.uniform(0.03, 0.07)))
    if way in {"shoulder", "across"}:
        for end in (x0 + wide * 0.12, x0 + wide * 0.88):
            for pen, fill in ((draw, dark), (strap, 255)):
                pen.line((grip, 2, end, y0 + 4), fill=fill, width=thick)
    elif way != "none":
        inset = random.uniform(0.15, 0.3) * wide
        arc = (x0 + inset, 1, x0 + wide - inset, 2 * down)
        for pen, fill in ((draw, dark), (strap, 255)):
            pen.arc(arc, 175, 365, fill=fill, width=thick)
    ids = np.where(np.asarray(mask) > 60, 2, 0).astype(np.uint8)
    if way == "hand":
        skin = tuple(int(v) for v in np.array(any_of(SKIN, random)) * random.uniform(0.8, 1.05))  # fmt: skip
        half = wide * random.uniform(0.1, 0.16)
        fist = (grip - half, 0, grip + half, 2.2 * half)
        draw.ellipse(fist, fill=skin)
        strap.ellipse(fist, fill=255)
        over = Image.fromarray(ids)
        ImageDraw.Draw(over).ellipse(fist, fill=BODY)
        ids = np.asarray(over)
    small = (max(4, mask.width // FINER), max(4, mask.height // FINER))
    layer = Layer(
        np.asarray(image.resize(small, Image.Resampling.BOX)),
        np.asarray(mask.resize(small, Image.Resampling.BOX)),
        np.asarray(Image.fromarray(ids).resize(small, Image.Resampling.NEAREST)),
        ("bag",),
    )
    return Carried(layer, grip / FINER)


def _body(mask: Image.Image, x: float, y: float, wide: int, tall: int, random: Random) -> Bytes:
    """Draws the body's shape into the mask: a box with round corners, or narrower at one end."""
    draw = ImageDraw.Draw(mask)
    if random.random() < 0.55:
        round_by = random.uniform(0.02, 0.4) * min(wide, tall)
        draw.rounded_rectangle((x, y, x + wide, y + tall), round_by, fill=255)
    else:
        lean = random.uniform(-0.16, 0.2) * wide
        above, below = max(0.0, lean), max(0.0, -lean)
        draw.polygon(
            [(x + above, y), (x + wide - above, y), (x + wide - below, y + tall), (x + below, y + tall)],
            fill=255,
        )  # fmt: skip
    return np.asarray(mask)


def _skin_of(
    mask: Bytes, fabrics: tuple[Bytes, ...], tone: tuple[int, int, int], random: Random
) -> Bytes:
    """Leather or cloth, lighter above and at one side, with folds."""
    height, width = mask.shape
    flat = np.empty((height, width, 3), np.float32)
    flat[:] = tone
    if fabrics and random.random() < 0.25:
        cloth = Image.fromarray(any_of(fabrics, random))
        flat[:] = np.asarray(cloth.resize((width, height), Image.Resampling.BILINEAR))
    down = np.linspace(random.uniform(1.0, 1.3), random.uniform(0.6, 1.0), height)[:, None]
    across = np.linspace(random.uniform(0.75, 1.2), random.uniform(0.75, 1.2), width)[None]
    rough = random.normal(1, random.uniform(0.02, 0.14), (9, 9)).astype(np.float32)
    folds = np.asarray(
        Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC), np.float32
    )
    light: Bytes = np.clip(flat * (down * across * folds)[:, :, None], 0, 255).astype(np.uint8)
    return light


def _details(
    draw: ImageDraw.ImageDraw,
    x: float, y: float, wide: int, tall: int, tone: tuple[int, int, int], random: Random,
) -> None:  # fmt: skip
    """A flap, seams, a clasp."""
    dark = tuple(int(value * random.uniform(0.45, 0.8)) for value in tone)
    thin = max(1, wide // 50)
    if random.random() < 0.5:
        flap = y + random.uniform(0.3, 0.65) * tall
        draw.line((x, flap, x + wide, flap), fill=dark, width=thin + 1)
    for _ in range(int(random.integers(0, 3))):
        seam = x + random.uniform(0.05, 0.95) * wide
        draw.line((seam, y, seam, y + tall), fill=dark, width=thin)
    if random.random() < 0.6:
        middle, at = x + wide / 2, y + random.uniform(0.15, 0.6) * tall
        half = random.uniform(0.02, 0.07) * wide
        shine = (215, 190, 120) if random.random() < 0.5 else (205, 205, 210)
        draw.rectangle((middle - half, at, middle + half, at + 1.5 * half), fill=shine)
