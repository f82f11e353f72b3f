"""Where a person photographs a thing: a surface, a room's light, a camera held askew."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from lensback.demo.fabric import Pixels, noise

Corner = tuple[float, float]


def photograph(thing: Image.Image, *, seed: int, width_px: int, height_px: int) -> Image.Image:
    """A phone photo of `thing` (RGBA), RGB [width, height], the same for the same seed."""
    rng = np.random.default_rng([seed, 77])
    grounds = list(_GROUNDS.values())
    ground = grounds[int(rng.integers(len(grounds)))](width_px, height_px, rng)
    canvas = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    placed = _placed(thing, canvas.size, rng)
    blur = width_px * 0.014
    cast_shadow(canvas, placed.getchannel("A"), blur=blur, drop=width_px * 0.012, strength=0.55)
    canvas.paste(placed, (0, 0), placed)
    return _developed(canvas, rng)


def cast_shadow(
    canvas: Image.Image, mask: Image.Image, *, blur: float, drop: float, strength: float
) -> None:
    """Darkens `canvas` where the thing of this mask keeps the light away."""
    shifted = Image.new("L", canvas.size, 0)
    shifted.paste(mask, (int(drop * 0.6), int(drop)))
    soft = shifted.filter(ImageFilter.GaussianBlur(max(0.5, blur))).point(lambda v: v * strength)
    canvas.paste(Image.new("RGB", canvas.size, (38, 36, 44)), (0, 0), soft)


def perspective(source: list[Corner], target: list[Corner]) -> tuple[float, ...]:
    """The eight numbers of Pillow's PERSPECTIVE that bring four corners of the source to the target.

    Solves x = (a u + b v + c) / (g u + h v + 1), y = (d u + e v + f) / (g u + h v + 1).
    """
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows.append([u, v, 1, 0, 0, 0, -x * u, -x * v])
        rows.append([0, 0, 0, u, v, 1, -y * u, -y * v])
    values = np.array([c for corner in source for c in corner])
    return tuple(float(n) for n in np.linalg.solve(np.array(rows), values))


def _placed(thing: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """The thing on clear ground of the photo's size: turned, moved and seen at an angle."""
    width, height = size
    side = thing.width
    half = min(width, height) * float(rng.uniform(0.43, 0.50))
    middle = np.array([width * rng.uniform(0.46, 0.54), height * rng.uniform(0.46, 0.54)])
    angle = np.deg2rad(rng.uniform(-24, 24))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    corners = square @ turn.T
    corners *= (1 + corners[:, 1:] / (half * 14)) * [1, 0.95]
    corners = corners + middle + rng.uniform(-0.025, 0.025, (4, 2)) * half
    source = [(0.0, 0.0), (float(side), 0.0), (float(side), float(side)), (0.0, float(side))]
    target = [(float(x), float(y)) for x, y in corners]
    data = perspective(source, target)
    return thing.transform(size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BICUBIC)


def _developed(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """What the camera adds: the room's light, a soft lens, grain and JPEG blocks."""
    width, height = photo.size
    soft = photo.filter(ImageFilter.GaussianBlur(width * float(rng.uniform(0.0004, 0.0011))))
    pixels = np.asarray(soft, np.float32)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = 1 + float(rng.uniform(0.05, 0.15)) * (x * np.cos(angle) + y * np.sin(angle))
    vignette = 1 - 0.13 * (x**2 + y**2) / 2
    warmth = np.array([1 + rng.uniform(-0.02, 0.06), 1.0, 1 + rng.uniform(-0.09, 0.03)], np.float32)
    pixels = pixels * (slope * vignette * rng.uniform(0.88, 1.06))[..., None] * warmth
    pixels += rng.normal(0, 2.6, (height, width, 1)) + rng.normal(0, 1.2, pixels.shape)
    stored = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(
        stored, "JPEG", quality=int(rng.integers(68, 84))
    )
    return Image.open(stored).convert("RGB")


def _tone(rng: np.random.Generator, *tones: tuple[int, int, int]) -> Pixels:
    return np.asarray(tones[int(rng.integers(len(tones)))], np.float32)


def _seeds(rng: np.random.Generator) -> list[int]:
    return [int(n) for n in rng.integers(0, 2**31, 2)]


def _wood(width: int, height: int, rng: np.random.Generator) -> Pixels:
    base = _tone(rng, (186, 142, 98), (150, 104, 68), (206, 176, 138), (118, 84, 60))
    boards = int(rng.integers(5, 8))
    board = np.minimum((np.arange(width) * boards) // width, boards - 1)
    grain = (
        noise(width, width // 3, 10, _seeds(rng), height) * 0.07
        + noise(width, 60, 4, _seeds(rng), height) * 0.05
    )
    shade = 1 + grain + rng.normal(0, 0.05, boards)[board][None, :]
    edge = np.abs((np.arange(width) * boards / width) % 1 - 0.5) > 0.5 - boards * 1.5 / width
    shade *= np.where(edge, 0.62, 1.0)[None, :]
    return np.asarray(base * shade[..., None], np.float32)


def _linen(width: int, height: int, rng: np.random.Generator) -> Pixels:
    base = _tone(rng, (226, 222, 214), (196, 206, 216), (214, 196, 186), (176, 186, 170))
    folds = (
        noise(width, 5, 7, _seeds(rng), height) * 0.10
        + np.abs(noise(width, 4, 3, _seeds(rng), height)) * -0.10
    )
    weave = (
        noise(width, width // 2, 60, _seeds(rng), height) * 0.012
        + noise(width, 60, height // 2, _seeds(rng), height) * 0.012
    )
    return np.asarray(base * (1.02 + folds + weave)[..., None], np.float32)


def _carpet(width: int, height: int, rng: np.random.Generator) -> Pixels:
    base = _tone(rng, (150, 146, 142), (176, 160, 142), (96, 104, 118), (132, 96, 92))
    pile = (
        noise(width, width // 3, height // 3, _seeds(rng), height) * 0.10
        + noise(width, 12, 16, _seeds(rng), height) * 0.05
    )
    return np.asarray(base * (1 + pile)[..., None], np.float32)


def _tiles(width: int, height: int, rng: np.random.Generator) -> Pixels:
    base = _tone(rng, (206, 202, 196), (168, 172, 176), (190, 176, 160))
    side = width / float(rng.uniform(2.2, 3.4))
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    gap = (rows % side < width * 0.008) | (columns % side < width * 0.008)
    veins = (
        noise(width, 9, 12, _seeds(rng), height) * 0.05
        + noise(width, 50, 60, _seeds(rng), height) * 0.025
    )
    shade = np.where(gap, 0.72, 1 + veins)
    return np.asarray(base * shade[..., None], np.float32)


def _table(width: int, height: int, rng: np.random.Generator) -> Pixels:
    base = _tone(rng, (216, 216, 214), (92, 94, 100), (226, 214, 196), (122, 148, 160))
    veins = np.abs(
        noise(width, 5, 6, _seeds(rng), height) + 0.4 * noise(width, 16, 20, _seeds(rng), height)
    )
    shade = (
        1 - 0.16 * np.exp(-((veins / 0.06) ** 2)) + noise(width, 4, 5, _seeds(rng), height) * 0.04
    )
    return np.asarray(base * shade[..., None], np.float32)


_GROUNDS = {"wood": _wood, "bed": _linen, "carpet": _carpet, "tiles": _tiles, "table": _table}
