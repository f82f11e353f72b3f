"""Cloth, noise and light as arrays of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]
"""float32 [height, width, 3] (or [height, width]) in 0..255 unless said otherwise."""


def noise(side_px: int, across: int, down: int, seed: Sequence[int], height_px: int = 0) -> Pixels:
    """Smooth noise, float32 [height or side, side], about -1 to 1, with so many bumps each way."""
    rng = np.random.default_rng(list(seed))
    coarse = rng.normal(0, 0.5, (max(2, down), max(2, across))).astype(np.float32)
    grown = Image.fromarray(coarse).resize(
        (side_px, height_px or side_px), Image.Resampling.BICUBIC
    )
    return np.asarray(grown, np.float32)


def shade_of(surface: Pixels, light: Pixels) -> Pixels:
    """`surface` under `light` (1 = as it is); the bright side also gets a little sheen."""
    lit = surface * light[..., None]
    shaded: Pixels = lit + np.clip(light - 0.98, 0, 0.2)[..., None] * 70
    return shaded


def cloth(
    pattern: str,
    base: Pixels,
    accent: Pixels,
    side_px: int,
    seed: int,
    *,
    turn: float,
    scale: float,
) -> Pixels:
    """A square of cloth, float32 [side, side, 3]: turned by `turn` degrees, `scale` times as large."""
    rng = np.random.default_rng([seed, 21])
    across, down = _grid(side_px, turn, scale)
    amount = _AMOUNTS.get(pattern)
    if amount is None:
        return np.broadcast_to(base, (side_px, side_px, 3)).astype(np.float32)
    share = amount(across, down, rng, 2.0 / (side_px * scale))[..., None]
    woven: Pixels = (base * (1 - share) + accent * share).astype(np.float32)
    return woven


def _grid(side_px: int, turn: float, scale: float) -> tuple[Pixels, Pixels]:
    half = 0.5 / scale
    along: Pixels = np.linspace(-half, half, side_px, endpoint=False, dtype=np.float32)
    down, across = along[:, None], along[None, :]
    angle = np.deg2rad(turn)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return across * cos - down * sin, across * sin + down * cos


def _edge(inside: Pixels, soft: float) -> Pixels:
    """0 to 1 across an edge `soft` wide; `inside` is how far within a point lies."""
    return np.asarray(np.clip(inside / soft + 0.5, 0, 1), np.float32)


def _bars(at: Pixels, period: float, share: float, soft: float) -> Pixels:
    """1 on bars that take `share` of each period, with an edge `soft` wide."""
    away = np.abs((at / period) % 1 - 0.5) * period
    return _edge(share * period / 2 - away, soft)


def _stripes(_x: Pixels, y: Pixels, rng: np.random.Generator, soft: float) -> Pixels:
    return _bars(y, float(rng.uniform(0.055, 0.12)), float(rng.uniform(0.28, 0.55)), soft)


def _pinstripes(x: Pixels, _y: Pixels, rng: np.random.Generator, soft: float) -> Pixels:
    return _bars(
        x, float(rng.uniform(0.03, 0.055)), float(rng.uniform(0.16, 0.28)), soft
    ) * np.float32(0.9)


def _dots(x: Pixels, y: Pixels, rng: np.random.Generator, soft: float) -> Pixels:
    period, size = float(rng.uniform(0.05, 0.1)), float(rng.uniform(0.2, 0.33))
    row = np.floor(y / period)
    dx = ((x / period + row * 0.5) % 1 - 0.5) * period
    dy = ((y / period) % 1 - 0.5) * period
    return _edge(size * period - np.hypot(dx, dy), soft)


def _check(x: Pixels, y: Pixels, rng: np.random.Generator, soft: float) -> Pixels:
    period = float(rng.uniform(0.08, 0.15))
    wide = 0.45 * (_bars(x, period, 0.48, soft) + _bars(y, period, 0.48, soft))
    thin = _bars(x + period * 0.5, period, 0.07, soft) + _bars(y + period * 0.5, period, 0.07, soft)
    return np.asarray(np.clip(wide + 0.5 * thin, 0, 1), np.float32)


def _block(x: Pixels, y: Pixels, rng: np.random.Generator, soft: float) -> Pixels:
    style, at = int(rng.integers(3)), float(rng.uniform(-0.06, 0.08))
    if style == 0:
        return _edge(y - at, soft)
    if style == 1:
        return _edge(0.085 - np.abs(y - at + 0.06), soft)
    return _edge(x * 0.8 + y - at, soft)


_AMOUNTS = {
    "stripes": _stripes,
    "pinstripes": _pinstripes,
    "dots": _dots,
    "check": _check,
    "block": _block,
}
"""Pattern -> how much of the second colour is where, 0 to 1; plain and printed cloth have one colour."""
