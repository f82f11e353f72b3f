"""Pictures drawn for tests."""

from __future__ import annotations

import functools
import random

from PIL import Image, ImageDraw


@functools.cache
def drawn(width: int = 120, height: int = 90, color: str = "navy", seed: int = 1) -> Image.Image:
    """A shirt of one colour on white, with a pattern of its own."""
    draw = ImageDraw.Draw(image := Image.new("RGB", (width, height), "white"))

    def at(*points: float) -> list[tuple[float, float]]:
        return [(x * width, y * height) for x, y in zip(points[::2], points[1::2], strict=True)]

    draw.polygon(
        at(0.3, 0.15, 0.7, 0.15, 0.95, 0.4, 0.8, 0.5, 0.75, 0.42, 0.75, 0.95)
        + at(0.25, 0.95, 0.25, 0.42, 0.2, 0.5, 0.05, 0.4),
        fill=color,
    )
    draw.ellipse(at(0.42, 0.08, 0.58, 0.24), fill="bisque")
    spots = random.Random(seed)
    for _ in range(12):
        x, y, r = spots.uniform(0.3, 0.65), spots.uniform(0.3, 0.85), spots.uniform(0.01, 0.06)
        draw.ellipse(at(x, y, x + r, y + r), fill=spots.choice(["white", "gray", "black"]))
    return image
