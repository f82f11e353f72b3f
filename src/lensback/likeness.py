"""Are two pictures the very same photograph, cropped, rescaled or recompressed?

The pixels decide, not vectors: another colour of the same garment, or another view of it, is a no.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

SAME_PHOTOGRAPH = 0.5
"""`likeness` from which two pictures are taken for one photograph."""

Signature = NDArray[np.uint8]
"""uint8 [h, w, 3]: the picture at about 64 x 64 pixels, in its own aspect."""

SIGNATURE_BYTES = 3 * 4200
"""The longest signature: sides are rounded."""
_SIDE_PX = 64
_COARSE = 1 / 4
_MARGIN = 0.15
_INNER = np.array([_MARGIN, _MARGIN, 1 - _MARGIN, 1 - _MARGIN])
_SCALES = tuple(0.68 * 1.09**step for step in range(10))
_WHOLE_VIEW = 0.6
"""Share of each side that must overlap."""
_BLOCKS = 8
_NOWHERE = 40.0
"""Error of the search from which there is nothing to fit; same photographs stay below 34."""
_HALF = 12.0
"""Difference of the worst block, of 255, at which likeness is a half."""

_DRAWN_PX = 160
_FEW_COLOURS = 0.9
_SOFT = 0.06
"""Photographs of clothes have 0.09 and more, text and tables 0.03 and less."""
_NOISE, _EDGE = 0.7, 12.0

_Floats = NDArray[np.float32]
_Place = NDArray[np.float64]
"""x0, y0, x1, y1."""


def signature(image: Image.Image) -> Signature:
    """What `likeness` compares; compute it once per picture (about 12 kB)."""
    ratio = math.sqrt(min(max(image.width / image.height, 1 / 3), 3))
    size = (round(_SIDE_PX * ratio), round(_SIDE_PX / ratio))
    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
    return np.asarray(small, dtype=np.uint8)


def drawn(image: Image.Image) -> bool:
    """Whether this is drawn, such as text, a table, a logo on a plain ground, and no photograph: three
    colours are nearly all of it, and hardly any pixel passes softly into the next."""
    small = image.convert("RGB")
    small.thumbnail((_DRAWN_PX, _DRAWN_PX), Image.Resampling.BOX)
    pixels = np.asarray(small)
    coarse = (pixels >> 4).astype(np.int32) @ np.array([256, 16, 1], np.int32)
    counts = np.sort(np.bincount(coarse.ravel(), minlength=3))
    steps = np.abs(np.diff(pixels.mean(axis=2), axis=1))
    soft = ((steps > _NOISE) & (steps < _EDGE)).mean()
    return bool(counts[-3:].sum() >= _FEW_COLOURS * coarse.size and soft < _SOFT)


def likeness(a: Signature, b: Signature) -> float:
    """0 to 1: are these one photograph, cropped (up to 15 % a side), rescaled, recompressed?

    From SAME_PHOTOGRAPH on, yes. The pictures are laid over each other (search over scale and
    offset, then Gauss-Newton on the four numbers of the placement, after Lucas and Kanade 1981),
    and the worst of 8 x 8 blocks decides, so one recoloured detail is enough for a no. Symmetric.
    A badge or watermark on one of them makes a no, too.
    """
    first, second = sorted((a, b), key=lambda one: (one.shape, one.tobytes()))
    one, other = Image.fromarray(first), Image.fromarray(second)
    worst = _difference(one, other)
    if _HALF < worst < math.inf:  # perhaps a wrong place: try it the other way round
        worst = min(worst, _difference(other, one))
    return 1 / (1 + (worst / _HALF) ** 2)


def _difference(a: Image.Image, b: Image.Image) -> float:
    """Mean colour difference, 0 to 255, of the worst block where the two overlap; 255 where they
    do not, infinite where the search finds no place at all."""
    error, place = _searched(a, b)
    if error > _NOWHERE:
        return math.inf
    place, _ = _fitted(a, b, place, _INNER, scale=0.5, steps=3)
    place, rest = _fitted(a, b, place, _INNER, scale=1.0, steps=2)
    span = place[2:] - place[:2]
    low, high = np.maximum(0, -place[:2] / span), np.minimum(1, (a.size - place[:2]) / span)
    if np.abs(rest).mean() > 25 or (high - low).min() < _WHOLE_VIEW:
        return 255.0
    return _worst_block(_fitted(a, b, place, np.concatenate([low, high]), scale=1.0, steps=2)[1])


def _searched(a: Image.Image, b: Image.Image) -> tuple[float, _Place]:
    """Where in `a` (its pixels) the frame of `b` lies best, and the root mean square error there,
    judged by the middle of `b`, which both have even when both are cropped."""
    small = _scaled(b, _COARSE)
    height, width = small.shape[:2]
    top, left = round(height * _MARGIN), round(width * _MARGIN)
    middle = small[top : height - top, left : width - left]
    best, place = math.inf, np.zeros(4)
    for scale in _SCALES:
        field = _scaled(a, _COARSE * scale)
        if field.shape[0] < middle.shape[0] or field.shape[1] < middle.shape[1]:
            continue
        error, x, y = _slid(field, middle)
        if error < best:
            best = error
            frame = (x - left, y - top, x - left + width, y - top + height)
            place = np.array(frame) * np.tile(np.divide(a.size, field.shape[1::-1]), 2)
    return math.sqrt(max(best, 0.0)), place


def _slid(field: _Floats, part: _Floats) -> tuple[float, int, int]:
    """Lowest mean squared difference of `part` at any offset in `field`, and the offset x, y."""
    h, w = part.shape[:2]
    windows = sliding_window_view(field, (h, w), axis=(0, 1))
    dots = np.tensordot(windows, part.transpose(2, 0, 1), axes=3)
    sums = np.pad((field * field).sum(2, dtype=np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    squares = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    errors = (squares - 2 * dots + float((part * part).sum())) / part.size
    y, x = divmod(int(errors.argmin()), errors.shape[1])
    return float(errors[y, x]), x, y


def _fitted(
    a: Image.Image, b: Image.Image, place: _Place, view: _Place, *, scale: float, steps: int
) -> tuple[_Place, _Floats]:
    """A better `place` of the frame of `b` in `a`, judged by `view` (fractions of `b`), and the
    difference that is left there, [h, w, 3]."""
    share = view[2:] - view[:2]
    width, height = (max(_BLOCKS, round(side)) for side in np.multiply(b.size, share) * scale)
    target = _part(b, view * np.tile(b.size, 2), width, height)
    down, right = np.gradient(target, axis=(0, 1))
    across = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    along = ((np.arange(height, dtype=np.float32) + 0.5) / height - 0.5)[:, None]
    moves = (right, down, right * across[None, :, None], down * along[:, :, None])
    slopes = np.stack([move.ravel() for move in moves])
    normal = slopes @ slopes.T + 10 * np.eye(4)  # flat pictures have no slope
    unit = np.array([width, height, width, height])
    while True:
        whole = place[2:] - place[:2]
        low, high = place[:2] + view[:2] * whole, place[:2] + view[2:] * whole
        rest = _part(a, np.concatenate([low, high]), width, height) - target
        if steps == 0:
            return place, rest
        steps -= 1
        step = np.clip(-np.linalg.solve(normal, slopes @ rest.ravel()) / unit, -0.1, 0.1)
        middle = (low + high) / 2 + step[:2] * (high - low)
        whole = (high - low) * (1 + step[2:]) / share
        corner = middle - whole * (share / 2 + view[:2])
        place = np.concatenate([corner, corner + whole])


def _part(image: Image.Image, place: _Place, width: int, height: int) -> _Floats:
    """The part of `image` at `place`, moved inside where it sticks out, at the wanted size."""
    x0, y0, x1, y1 = place
    w, h = min(max(x1 - x0, 1), image.width), min(max(y1 - y0, 1), image.height)
    x, y = min(max(x0, 0), image.width - w), min(max(y0, 0), image.height - h)
    box = (x, y, x + w, y + h)
    part = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(part, dtype=np.float32)


def _scaled(image: Image.Image, scale: float) -> _Floats:
    size = (max(4, round(image.width * scale)), max(4, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)


def _worst_block(rest: _Floats) -> float:
    height, width = rest.shape[:2]
    ys, xs = np.arange(_BLOCKS) * height // _BLOCKS, np.arange(_BLOCKS) * width // _BLOCKS
    sums = np.add.reduceat(np.add.reduceat(rest, ys, 0), xs, 1)
    counts = np.outer(np.diff(ys, append=height), np.diff(xs, append=width))
    return float(np.abs(sums / counts[:, :, None]).max())
