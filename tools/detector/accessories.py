"""What people of scenes wear and carry besides clothes: hats, glasses, scarves, belts, bags."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from bags import WAY_SHARES, WAYS, Carried, drawn
from layers import (
    Layer,
    Random,
    bare,
    blank,
    box_px,
    cropped,
    laid,
    resized,
    scaled,
    widened,
)
from wardrobe import Wardrobe, dye, recoloured

Square = tuple[int, int, int, int]


def accessorised(figure: Layer, wardrobe: Wardrobe, random: Random) -> Layer:
    """Now and then a hat, glasses, a scarf, a belt, a bag, other shoes."""
    torso = figure.box_px("top") or figure.box_px("outerwear") or figure.box_px("dress")
    shoes = figure.box_px("shoes")
    if shoes and random.random() < 0.3:
        figure = _put(bare(figure, ("shoes",)), wardrobe.thing("shoes", random), shoes, random)
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
    if random.random() < 0.6:
        figure = _with_bag(figure, torso, wardrobe, random)
    return figure


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


def _canvas(size: tuple[int, int], label: str) -> tuple[Image.Image, ImageDraw.ImageDraw, str]:
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    return image, ImageDraw.Draw(image), label


def _layer(image: Image.Image, label: str) -> Layer:
    values = np.asarray(image)
    alpha = values[:, :, 3].copy()
    return Layer(values[:, :, :3].copy(), alpha, np.where(alpha > 60, 2, 0).astype(np.uint8), (label,))  # fmt: skip


def _spectacled(figure: Layer, head: Square, random: Random) -> Layer:
    size = head[3] - head[1]
    width, height = max(12, round(0.56 * size)), max(5, round(random.uniform(0.16, 0.26) * size))
    image, draw, label = _canvas((width, height), "eyewear")
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
    image, draw, label = _canvas((width, height), "scarf")
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
    image, draw, label = _canvas((width, height), "belt")
    tone = dye(random)
    draw.rectangle((0, 0, width, height), fill=(*tone, 255))
    draw.rectangle(
        (width * 0.44, 0, width * 0.56, height), fill=(210, 190, 120, 255), outline=(90, 80, 60)
    )
    return laid(figure, _layer(image, label), int(row[0]), seam - height / 2)


def _with_bag(figure: Layer, torso: Square, wardrobe: Wardrobe, random: Random) -> Layer:
    """A bag of a store, or a drawn one, beside the person or in front."""
    tall, high = figure.size[0], torso[3] - torso[1]
    way = str(random.choice(WAYS, p=WAY_SHARES))
    side = -1 if random.random() < 0.5 else 1
    edge = torso[0] if side < 0 else torso[2]
    broad = torso[2] - torso[0]
    x = edge + side * random.uniform(-0.12, 0.2) * broad
    y = torso[1] + random.uniform(0.7, 1.25) * high
    width = random.uniform(0.07, 0.2) * tall
    reach = (0.0, 0.0)
    if way == "arm":
        y = torso[1] + random.uniform(0.4, 0.75) * high
    elif way == "shoulder":
        x, y = edge - side * random.uniform(0.05, 0.25) * broad, torso[1] + 0.03 * high
        reach = (side * random.uniform(0, 0.25) * broad, random.uniform(0.35, 1.0) * high)
    elif way == "across":
        x, y = edge - side * random.uniform(0.7, 0.95) * broad, torso[1] + 0.02 * high
        reach = (side * random.uniform(0.6, 0.95) * broad, random.uniform(0.6, 1.1) * high)
    elif way == "none" and random.random() < 0.4:
        x = torso[0] + random.uniform(0.1, 0.9) * broad
    bag = wardrobe.thing("bag", random)
    if bag is not None and way in {"hand", "arm", "none"} and random.random() < 0.35:
        bag = recoloured(cropped(bag), wardrobe, random) if random.random() < 0.6 else cropped(bag)
        bag = scaled(bag, 1.3 * width / max(bag.size))
        carried = Carried(bag, bag.size[1] / 2)
    else:
        carried = drawn(wardrobe.fabrics, way, width, reach, random)
    room = 2 * carried.layer.size[1]
    figure = widened(figure, 2 * room)
    return laid(figure, carried.layer, x + room - carried.grip, y)
