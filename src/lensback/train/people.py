"""People for scenes: an upper and a lower half joined at the hem, then dressed with other things."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw

from lensback.train.cutouts import Cutout
from lensback.train.layers import (
    BODY,
    Bytes,
    Layer,
    Random,
    box_px,
    cropped,
    layer_of,
    mirrored,
    resized,
    scaled,
    turned,
)

T = TypeVar("T")

HANDS = 0.44
"""Down to this share of a lower half's picture hands hang beside the legs."""
SHORT = 0.6
"""A lower garment that ends above this share of its picture leaves the knees bare."""


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
        return found[int(random.integers(len(found)))] if found else None


def person(wardrobe: Wardrobe, random: Random) -> Layer:
    """A whole dressed person, about 500 pixels high."""
    if wardrobe.outfits and random.random() < 0.06:
        figure = layer_of(_any(wardrobe.outfits, random))
    else:
        figure = _joined(wardrobe, random)
    return cropped(mirrored(figure) if random.random() < 0.5 else figure)


def half(wardrobe: Wardrobe, random: Random) -> Layer:
    """A person from the hips up, or from the waist down, as the store shows it."""
    pool = wardrobe.uppers if random.random() < 0.75 else wardrobe.lowers
    figure = recoloured(layer_of(_any(pool, random)), wardrobe, random)
    return cropped(mirrored(figure) if random.random() < 0.5 else figure)


def _any(pool: tuple[T, ...], random: Random) -> T:
    return pool[int(random.integers(len(pool)))]


def _joined(wardrobe: Wardrobe, random: Random) -> Layer:
    upper = _any(wardrobe.uppers, random)
    kind = random.random()
    bare = kind < 0.34
    fitting = [
        low for low in wardrobe.lowers
        if low.name[5] == upper.name[5] and (not bare or low.boxes[0][3] < SHORT)
    ]  # fmt: skip
    lower = _any(tuple(fitting) or wardrobe.lowers, random)
    figure = recoloured(joined(upper, lower), wardrobe, random)
    if kind < 0.2:
        figure = in_dress(figure, wardrobe, random)
    elif kind < 0.34:
        figure = in_skirt(figure, wardrobe, random)
    if random.random() < 0.3:
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


def blank(height: int, width: int) -> Layer:
    zeros = np.zeros((height, width), np.uint8)
    return Layer(np.zeros((height, width, 3), np.uint8), zeros, zeros)


def laid(under: Layer, over: Layer, x: float, y: float) -> Layer:
    """One layer from two; the upper one's things are numbered after the lower one's."""
    left, top = round(x), round(y)
    height, width = under.size
    y0, y1, x0, x1 = (
        max(0, top),
        min(height, top + over.size[0]),
        max(0, left),
        min(width, left + over.size[1]),
    )
    if y0 >= y1 or x0 >= x1:
        return under
    here, there = (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))  # fmt: skip
    pixels, alpha, ids = under.pixels.copy(), under.alpha.copy(), under.ids.copy()
    a = over.alpha[there].astype(np.float32) / 255
    b = alpha[here].astype(np.float32) / 255
    joint = a + b * (1 - a)
    share = (a / np.maximum(joint, 1e-4))[:, :, None]
    mixed = pixels[here] + (over.pixels[there].astype(np.float32) - pixels[here]) * share
    pixels[here], alpha[here] = mixed.astype(np.uint8), (joint * 255).astype(np.uint8)
    solid = over.alpha[there] > 110
    numbers = over.ids[there]
    moved = np.where(numbers >= 2, numbers + len(under.labels), numbers)
    ids[here] = np.where(solid, moved, ids[here])
    return Layer(pixels, alpha, ids, under.labels + over.labels)


# ---- dressing


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
            cloth = _cloth(_any(wardrobe.fabrics, random), found, random)[
                mask[found[1] : found[3], found[0] : found[2]]
            ].astype(np.float32)
        else:
            cloth = (random.random(3) ** random.uniform(0.5, 1.6) * 235 + 12).astype(np.float32)
        pixels[mask] = np.clip(cloth * relief, 0, 255).astype(np.uint8)
    return replace(figure, pixels=pixels)


def _cloth(fabric: Bytes, box: tuple[int, int, int, int], random: Random) -> Bytes:
    width, height = box[2] - box[0], box[3] - box[1]
    image = Image.fromarray(fabric)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.ROTATE_90)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


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
    bare = _bare(figure, ("top", "outerwear", "trousers"))
    return laid(bare, dress, middle - width / 2, y)


def in_skirt(figure: Layer, wardrobe: Wardrobe, random: Random) -> Layer:
    legs, skirt = figure.box_px("trousers"), wardrobe.thing("skirt", random)
    if legs is None or skirt is None:
        return figure
    skirt = cropped(skirt)
    width = random.uniform(1.05, 1.5) * (legs[2] - legs[0])
    height = float(np.clip(width * skirt.size[0] / skirt.size[1], 0.14 * figure.size[0], 0.4 * figure.size[0]))  # fmt: skip
    middle = (legs[0] + legs[2]) / 2
    y = legs[1] - random.uniform(0, 0.02) * figure.size[0]
    bare = _bare(figure, ("trousers",))
    return laid(bare, resized(skirt, height, width), middle - width / 2, y)


def in_coat(figure: Layer, wardrobe: Wardrobe, random: Random) -> Layer:
    """A coat over it, closed, or open in the middle so that the rest shows."""
    torso, coat = _torso(figure), wardrobe.thing("outerwear", random)
    if torso is None or coat is None:
        return figure
    coat = cropped(coat)
    width = random.uniform(0.95, 1.2) * (torso[2] - torso[0])
    height = width * coat.size[0] / coat.size[1] * random.uniform(0.95, 1.5)
    coat = resized(coat, min(height, 0.62 * figure.size[0]), width)
    if random.random() < 0.55:
        coat = _opened(coat, random.uniform(0.15, 0.45) * 0.5 * width)
    middle = (torso[0] + torso[2]) / 2
    y = torso[1] - 0.01 * figure.size[0]
    figure = _bare(figure, ("outerwear",))
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


def widened(figure: Layer, by: int) -> Layer:
    """With room at both sides."""
    if by <= 0:
        return figure
    wide = blank(figure.size[0], figure.size[1] + by + 2)
    return laid(wide, figure, (by + 2) // 2, 0)


def _bare(figure: Layer, labels: tuple[str, ...]) -> Layer:
    ids = figure.ids
    for label in labels:
        ids = np.where(figure.mask_of(label), BODY, ids).astype(np.uint8)
        figure = replace(figure, ids=ids)
    return figure


def accessorised(figure: Layer, wardrobe: Wardrobe, random: Random) -> Layer:
    """Now and then a hat, glasses, a scarf, a belt, a bag, other shoes."""
    torso = figure.box_px("top") or figure.box_px("outerwear") or figure.box_px("dress")
    shoes = figure.box_px("shoes")
    if shoes and random.random() < 0.3:
        figure = _put(_bare(figure, ("shoes",)), wardrobe.thing("shoes", random), shoes, random)
    if torso is None:
        return figure
    head = _head(figure, torso[1])
    if head and random.random() < 0.22:
        figure = _hatted(figure, head, wardrobe, random)
    if head and random.random() < 0.3:
        figure = _spectacled(figure, head, random)
    if head and random.random() < 0.14:
        figure = _scarfed(figure, head, torso, wardrobe, random)
    if random.random() < 0.15:
        figure = _belted(figure, torso, random)
    if random.random() < 0.5:
        figure = _with_bag(figure, torso, wardrobe, random)
    return figure


Square = tuple[int, int, int, int]


def _head(figure: Layer, neck: int) -> Square | None:
    """Box of the head and hair: what is above the garment."""
    above = figure.alpha[: max(4, neck)] > 100
    found = box_px(above)
    return found if found and found[3] - found[1] > 20 else None


def _put(figure: Layer, thing: Layer | None, box: Square, random: Random) -> Layer:
    if thing is None:
        return figure
    thing = cropped(thing)
    width = (box[2] - box[0]) * random.uniform(0.9, 1.3)
    height = min(width * thing.size[0] / thing.size[1], 1.7 * (box[3] - box[1]))
    x, y = (box[0] + box[2] - width) / 2, min(box[3] - height, figure.size[0] - height)
    return laid(figure, resized(thing, height, width), x, y)


def _hatted(figure: Layer, head: Square, wardrobe: Wardrobe, random: Random) -> Layer:
    hat = wardrobe.thing("hat", random)
    if hat is None:
        return figure
    hat = cropped(hat)
    size = head[3] - head[1]
    width = size * random.uniform(0.75, 1.25)
    height = width * min(0.9, hat.size[0] / hat.size[1])
    up = round(0.3 * size)
    tall = laid(blank(figure.size[0] + up, figure.size[1]), figure, 0, up)
    middle = (head[0] + head[2]) / 2
    top = up + head[1] - height * random.uniform(0.3, 0.5)
    return laid(tall, resized(hat, height, width), middle - width / 2, top)


def _drawn(size: tuple[int, int], label: str) -> tuple[Image.Image, ImageDraw.ImageDraw, str]:
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    return image, ImageDraw.Draw(image), label


def _layer(image: Image.Image, label: str) -> Layer:
    values = np.asarray(image)
    alpha = values[:, :, 3].copy()
    return Layer(values[:, :, :3].copy(), alpha, np.where(alpha > 60, 2, 0).astype(np.uint8), (label,))  # fmt: skip


def _spectacled(figure: Layer, head: Square, random: Random) -> Layer:
    size = head[3] - head[1]
    width, height = max(12, round(0.56 * size)), max(5, round(random.uniform(0.16, 0.26) * size))
    image, draw, label = _drawn((width, height), "eyewear")
    tone = tuple(int(v) for v in random.integers(0, 70, 3))
    shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
    for x in (0, width * 0.54):
        shape((x, 0, x + width * 0.46, height - 1), fill=(*tone, int(random.integers(190, 256))))
    draw.rectangle((width * 0.4, height * 0.2, width * 0.6, height * 0.35), fill=(*tone, 255))
    middle = (head[0] + head[2]) / 2 - width / 2
    return laid(figure, _layer(image, label), middle, head[1] + random.uniform(0.36, 0.46) * size)


def _scarfed(
    figure: Layer, head: Square, torso: Square, wardrobe: Wardrobe, random: Random
) -> Layer:
    size = head[3] - head[1]
    width, height = round(0.9 * size), round(random.uniform(0.5, 1.5) * size)
    image, draw, label = _drawn((width, height), "scarf")
    band = 0.38 * size
    draw.rounded_rectangle((0, 0, width - 1, band), round(band / 2.2), fill=(200, 200, 200, 255))
    left = random.uniform(0.15, 0.5) * width
    draw.rectangle((left, band * 0.5, left + 0.32 * width, height - 1), fill=(200, 200, 200, 255))
    scarf = recoloured(_layer(image, label), wardrobe, random)
    middle = (head[0] + head[2]) / 2 - width / 2
    return laid(figure, scarf, middle, torso[1] - 0.25 * size)


def _belted(figure: Layer, torso: Square, random: Random) -> Layer:
    seam = torso[3] - int(random.uniform(0, 0.25) * (torso[3] - torso[1]))
    row = np.flatnonzero(figure.ids[min(seam, figure.size[0] - 1)] >= 2)
    if len(row) < 12:
        return figure
    width = int(row[-1] - row[0]) + 1
    height = max(3, round(random.uniform(0.08, 0.16) * width))
    image, draw, label = _drawn((width, height), "belt")
    tone = tuple(int(v) for v in random.integers(0, 160, 3))
    draw.rectangle((0, 0, width, height), fill=(*tone, 255))
    draw.rectangle(
        (width * 0.44, 0, width * 0.56, height), fill=(210, 190, 120, 255), outline=(90, 80, 60)
    )
    return laid(figure, _layer(image, label), int(row[0]), seam - height / 2)


def _with_bag(figure: Layer, torso: Square, wardrobe: Wardrobe, random: Random) -> Layer:
    bag = wardrobe.thing("bag", random)
    if bag is None:
        return figure
    bag = recoloured(cropped(bag), wardrobe, random) if random.random() < 0.6 else cropped(bag)
    tall = figure.size[0]
    factor = random.uniform(0.11, 0.26) * tall / max(bag.size)
    bag = turned(scaled(bag, factor), random.uniform(-12, 12))
    room = round(0.7 * bag.size[1])
    figure = widened(figure, 2 * room)
    side = torso[0] + room if random.random() < 0.5 else torso[2] + room
    if random.random() < 0.3:
        side = (torso[0] + torso[2]) // 2 + room
    y = torso[1] + random.uniform(0.35, 1.2) * (torso[3] - torso[1])
    return laid(figure, bag, side - bag.size[1] / 2 + random.uniform(-0.2, 0.2) * bag.size[1], y)
