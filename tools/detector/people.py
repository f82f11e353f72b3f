"""People for scenes: an upper and a lower half joined at the hem, then dressed with other things."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from accessories import accessorised
from cutouts import Cutout
from layers import (
    BODY,
    Bytes,
    Layer,
    Random,
    bare,
    blank,
    cropped,
    laid,
    layer_of,
    mirrored,
    resized,
    scaled,
    widened,
)
from wardrobe import Wardrobe, any_of, recoloured

HANDS = 0.44
"""Down to this share of a lower half's picture hands hang beside the legs."""
SHORT = 0.6
"""A lower garment that ends above this share of its picture leaves the knees bare."""


def person(wardrobe: Wardrobe, random: Random) -> Layer:
    """A whole dressed person, about 500 pixels high."""
    if wardrobe.outfits and random.random() < 0.06:
        figure = layer_of(any_of(wardrobe.outfits, random))
    else:
        figure = _joined(wardrobe, random)
    return cropped(mirrored(figure) if random.random() < 0.5 else figure)


def half(wardrobe: Wardrobe, random: Random) -> Layer:
    """A person from the hips up, or from the waist down, as the store shows it."""
    pool = wardrobe.uppers if random.random() < 0.75 else wardrobe.lowers
    figure = recoloured(layer_of(any_of(pool, random)), wardrobe, random)
    return cropped(mirrored(figure) if random.random() < 0.5 else figure)


def _joined(wardrobe: Wardrobe, random: Random) -> Layer:
    upper = any_of(wardrobe.uppers, random)
    kind = random.random()
    bare = kind < 0.34
    fitting = [
        low for low in wardrobe.lowers
        if low.name[5] == upper.name[5] and (not bare or low.boxes[0][3] < SHORT)
    ]  # fmt: skip
    lower = any_of(tuple(fitting) or wardrobe.lowers, random)
    figure = recoloured(joined(upper, lower), wardrobe, random)
    if kind < 0.2:
        figure = in_dress(figure, wardrobe, random)
    elif kind < 0.34:
        figure = in_skirt(figure, wardrobe, random)
    if random.random() < 0.42:
        figure = in_coat(figure, wardrobe, random)
    return accessorised(figure, wardrobe, random)


def joined(upper: Cutout, lower: Cutout) -> Layer:
    """One figure: the lower half scaled to the width of the upper one's hem and hung below it."""
    up, low = layer_of(upper), layer_of(lower)
    hem, waist = upper.box("trousers"), lower.boxes[0]
    height, width = up.size
    if hem is None:
        hem = (0.3, 0.9, 0.7, 1.0)
    factor = (hem[2] - hem[0]) * width / max(12.0, _run(low, waist))
    factor = float(np.clip(factor, 0.6, 1.7))
    low = scaled(_legs(low, waist), factor)
    seam = hem[1] * height
    top = waist[1] * low.size[0]
    centre = (hem[0] + hem[2]) / 2 * width - (waist[0] + waist[2]) / 2 * low.size[1]
    down = seam - 0.025 * height - top
    left, right = min(0.0, centre), max(float(width), centre + low.size[1])
    whole = blank(round(down + low.size[0]) + 1, round(right - left) + 1)
    whole = laid(whole, low, centre - left, down)
    return laid(whole, _chest(up, hem), -left, 0)


def _run(low: Layer, waist: tuple[float, float, float, float]) -> float:
    """Width in pixels of the lower half just under its waist."""
    height, width = low.size
    row = low.alpha[min(height - 1, int((waist[1] + 0.05) * height))] > 100
    return float(row[int(waist[0] * width) : int(np.ceil(waist[2] * width))].sum())


def _legs(low: Layer, waist: tuple[float, float, float, float]) -> Layer:
    """Without what is above the waist and the hands beside the hips."""
    height, width = low.size
    alpha = low.alpha.copy()
    alpha[: int(waist[1] * height)] = 0
    reach = slice(int(waist[1] * height), int(HANDS * height))
    alpha[reach, : max(0, int((waist[0] - 0.02) * width))] = 0
    alpha[reach, int((waist[2] + 0.02) * width) :] = 0
    return replace(low, alpha=alpha, ids=np.where(alpha > 60, low.ids, 0).astype(np.uint8))


def _chest(up: Layer, hem: tuple[float, float, float, float]) -> Layer:
    """Without the lower garment; hands beside it stay."""
    height, width = up.size
    alpha = up.alpha.copy()
    alpha[int(hem[1] * height) :, int((hem[0] - 0.01) * width) : int((hem[2] + 0.01) * width)] = 0
    ids = np.where(up.mask_of("trousers"), BODY, up.ids)
    return replace(up, alpha=alpha, ids=np.where(alpha > 60, ids, 0).astype(np.uint8))


# ---- dressing


def _torso(figure: Layer) -> tuple[int, int, int, int] | None:
    return figure.box_px("top") or figure.box_px("outerwear")


def in_dress(figure: Layer, wardrobe: Wardrobe, random: Random) -> Layer:
    torso, legs, dress = _torso(figure), figure.box_px("trousers"), wardrobe.thing("dress", random)
    if torso is None or legs is None or dress is None:
        return figure
    dress = cropped(dress)
    height = random.uniform(0.38, 0.66) * figure.size[0]
    hips = legs[2] - legs[0]
    width = float(np.clip(height * dress.size[1] / dress.size[0], 1.0 * hips, 1.9 * hips))
    dress = resized(dress, height, width)
    middle = (legs[0] + legs[2]) / 2
    y = torso[1] + random.uniform(-0.01, 0.03) * figure.size[0]
    under = bare(figure, ("top", "outerwear", "trousers"))
    return laid(under, dress, middle - width / 2, y)


def in_skirt(figure: Layer, wardrobe: Wardrobe, random: Random) -> Layer:
    legs, skirt = figure.box_px("trousers"), wardrobe.thing("skirt", random)
    if legs is None or skirt is None:
        return figure
    skirt = cropped(skirt)
    width = random.uniform(1.05, 1.5) * (legs[2] - legs[0])
    height = float(np.clip(width * skirt.size[0] / skirt.size[1], 0.14 * figure.size[0], 0.4 * figure.size[0]))  # fmt: skip
    middle = (legs[0] + legs[2]) / 2
    y = legs[1] - random.uniform(0, 0.02) * figure.size[0]
    under = bare(figure, ("trousers",))
    return laid(under, resized(skirt, height, width), middle - width / 2, y)


def in_coat(figure: Layer, wardrobe: Wardrobe, random: Random) -> Layer:
    """A coat over it, closed, or open in the middle so that the rest shows."""
    torso, coat = _torso(figure), wardrobe.thing("outerwear", random)
    if torso is None or coat is None:
        return figure
    coat = cropped(coat)
    if random.random() < 0.6:
        coat = recoloured(coat, wardrobe, random)
    width = random.uniform(0.95, 1.2) * (torso[2] - torso[0])
    height = width * coat.size[0] / coat.size[1] * random.uniform(0.95, 1.5)
    coat = resized(coat, min(height, 0.62 * figure.size[0]), width)
    if random.random() < 0.7:
        coat = _opened(coat, random.uniform(0.12, 0.7) * 0.5 * width)
    middle = (torso[0] + torso[2]) / 2
    y = torso[1] - 0.01 * figure.size[0]
    figure = bare(figure, ("outerwear",))
    figure = widened(figure, coat.size[1] - figure.size[1])
    shift = (figure.size[1] - coat.size[1]) // 2 if coat.size[1] >= figure.size[1] - 2 else 0
    return laid(figure, coat, shift or middle - coat.size[1] / 2, y)


def _opened(coat: Layer, gap: float) -> Layer:
    """Its halves drawn apart by a gap that widens downwards."""
    height, width = coat.size
    wide = blank(height, width + 2 * round(gap))
    middle = width // 2
    left = replace(coat, alpha=_cut(coat.alpha, 0, middle), ids=_cut(coat.ids, 0, middle))
    right = replace(coat, alpha=_cut(coat.alpha, middle, width), ids=_cut(coat.ids, middle, width), labels=())  # fmt: skip
    opened = laid(wide, left, 0, 0)
    both = laid(replace(opened, labels=()), right, 2 * round(gap), 0)
    return replace(both, labels=coat.labels)


def _cut(values: Bytes, start: int, stop: int) -> Bytes:
    kept = np.zeros_like(values)
    kept[:, start:stop] = values[:, start:stop]
    return kept
