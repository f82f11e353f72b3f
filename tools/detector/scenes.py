"""Scenes with known boxes: people and things laid on drawn grounds and parts of phone photos.

Feathered edges lie on the grounds as well, on pieces that are no things, so that an edge tells
nothing (Dwibedi et al., "Cut, Paste and Learn", 2017). The same number gives the same scene.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from cutouts import (
    Cutout,
    boxes_of,
    drawn_boxes,
    opened,
    pictures,
    plain_cutout,
    white_cutout,
)
from layers import (
    Bytes,
    Canvas,
    Layer,
    Random,
    cropped,
    layer_of,
    mirrored,
    resized,
    scaled,
    turned,
)
from lensback.errors import DataError
from lensback.types import Box
from people import half, person
from wardrobe import Wardrobe, recoloured

PERSON = "person"
"""Learnt as well: where nothing else is found on a person, the person is a region."""
SHAPES = ((352, 235), (352, 264), (256, 256), (192, 256), (352, 198))
SHAPE_SHARES = (0.36, 0.34, 0.1, 0.12, 0.08)
GROUND_PX = 200
GROUNDS = 700
FABRICS = 500
CLOSET_LABELS = {
    "Pants": "trousers", "Shorts": "trousers", "Shoes": "shoes", "Dress": "dress", "Skirt": "skirt",
    "Hat": "hat", "Outwear": "outerwear", "Blazer": "outerwear",
}  # fmt: skip
"""The store's own words; everything else there is a top."""

Labelled = tuple[str, Box]


@dataclass(frozen=True, slots=True)
class Scene:
    image: Image.Image
    boxes: tuple[Labelled, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """What scenes are drawn from. `whole` are pictures as they are, with their drawn boxes."""

    wardrobe: Wardrobe
    whole: tuple[tuple[Path, tuple[Labelled, ...]], ...]
    held_whole: tuple[tuple[Path, tuple[Labelled, ...]], ...] = field(default=())


def gather(
    folder: Path, closet_words: dict[str, str], held: Callable[[str], bool], training: bool
) -> Source:
    """Reads `folder/luma` and `folder/closet`; `held(name)` pictures are for judging only.

    `closet_words` is picture -> the store's word for it. Raises DataError where a store is missing.
    """
    luma, closet = pictures(folder, "luma"), pictures(folder, "closet")
    studio = _studio(luma, lambda name: held(name) != training)
    loose = _loose(closet, closet_words, lambda name: held(name) != training)
    things: dict[str, list[Layer]] = {}
    for cutout in loose:
        things.setdefault(cutout.labels[0], []).append(layer_of(cutout))
    for cutout in studio:
        if cutout.labels[0] in {"bag", "watch"}:
            things.setdefault(cutout.labels[0], []).append(layer_of(cutout))
    people = [c for c in studio if c.labels[0] not in {"bag", "watch"}]
    mine = [path for path in closet if held(f"closet/{path.stem}") != training]
    wardrobe = Wardrobe(
        uppers=tuple(c for c in people if c.labels[0] in {"top", "outerwear"} and "shoes" not in c.labels),
        lowers=tuple(c for c in people if c.labels[0] == "trousers"),
        outfits=tuple(c for c in people if c.labels[0] == "top" and "shoes" in c.labels),
        things={label: tuple(layers) for label, layers in things.items()},
        fabrics=tuple(_middle(path) for path in mine[:: max(1, len(mine) // FABRICS)]),
        grounds=tuple(_small(path) for path in mine[:: max(1, len(mine) // GROUNDS)]),
    )  # fmt: skip
    if not wardrobe.uppers or not wardrobe.lowers:
        raise DataError(
            f"too few pictures of people in {folder / 'luma'}",
            hint="give the whole of luma: a tenth of its models is kept for judging",
        )
    drawn = drawn_boxes()
    names = {f"closet/{path.stem}": path for path in mine}
    whole = [(names[name], tuple(boxes)) for name, boxes in drawn.items() if name in names]
    whole += [
        (path, tuple(zip(c.labels, c.boxes, strict=True)))
        for path, c in zip((_path(luma, c.name) for c in studio), studio, strict=True)
    ]
    return Source(wardrobe, tuple(whole))


def _path(luma: Sequence[Path], name: str) -> Path:
    return luma[0].with_name(f"{name.partition('/')[2]}.jpg")


def _studio(luma: Sequence[Path], wanted: Callable[[str], bool]) -> list[Cutout]:
    names = {f"luma/{path.stem}": path for path in luma}
    found = []
    for name, boxes in boxes_of(list(names)).items():
        cutout = white_cutout(names[name], "luma", boxes) if wanted(name) else None
        if cutout:
            found.append(cutout)
    return found


def _loose(
    closet: Sequence[Path], words: dict[str, str], wanted: Callable[[str], bool]
) -> list[Cutout]:
    found = []
    for path in closet:
        word = words.get(path.stem)
        if word is None or not wanted(f"closet/{path.stem}"):
            continue
        cutout = plain_cutout(path, "closet", CLOSET_LABELS.get(word, "top"))
        if cutout:
            found.append(cutout)
    return found


def _middle(path: Path) -> Bytes:
    """A patch from the middle of a phone photo: cloth, with its print."""
    image = opened(path, 300)
    width, height = image.size
    return np.asarray(
        image.crop((width * 2 // 5, height * 2 // 5, width * 3 // 5, height * 3 // 5))
    )


def _small(path: Path) -> Bytes:
    return np.asarray(opened(path, GROUND_PX))


# ---- one scene


def scene(source: Source, number: int, seed: int = 0) -> Scene:
    """The scene of that number."""
    random = np.random.default_rng([seed, number])
    kind = random.random()
    if kind < 0.6:
        made = _street(source.wardrobe, random)
    elif kind < 0.76:
        made = _flat(source.wardrobe, random)
    else:
        made = _as_it_is(source, random)
    return Scene(developed(made.image, random), made.boxes)


def _shape(random: Random) -> tuple[int, int]:
    height, width = SHAPES[int(random.choice(len(SHAPES), p=SHAPE_SHARES))]
    return height, width


def _street(wardrobe: Wardrobe, random: Random) -> Scene:
    """One person or several, standing on a ground."""
    height, width = _shape(random)
    below = ground(height, width, wardrobe, random)
    canvas = Canvas(_peopled(below, wardrobe, random) if random.random() < 0.3 else below)
    clutter(canvas, wardrobe, random)
    count = int(random.choice([1, 2, 3, 4], p=[0.8, 0.13, 0.04, 0.03]))
    tall = random.uniform(0.6, 1.0) if count == 1 else random.uniform(0.4, 0.85)
    owners = []
    for place in range(count):
        figure = half(wardrobe, random) if random.random() < 0.14 else person(wardrobe, random)
        near = random.uniform(1.1, 1.5) if count == 1 and random.random() < 0.18 else 1.0
        size = tall * near * height * random.uniform(0.92, 1.08)
        figure = scaled(figure, size / figure.size[0])
        figure = _thinner(figure, width, count, random)
        if random.random() < 0.3:
            figure = turned(figure, random.normal(0, 3))
        x, y = _stand(figure, height, width, place, count, near, random)
        canvas.paste(figure, x, y)
        owners.append(canvas.pasted)
    if random.random() < 0.35:
        clutter(canvas, wardrobe, random, most=2)
    people = [(PERSON, box) for owner in owners if (box := canvas.owner_box(owner))]
    return Scene(pictured(canvas), tuple(canvas.boxes() + people))


def _peopled(below: Bytes, wardrobe: Wardrobe, random: Random) -> Bytes:
    """The ground with small, blurred passers-by, who wear nothing that is looked for."""
    height, width = below.shape[:2]
    canvas = Canvas(below)
    for _ in range(int(random.integers(1, 4))):
        figure = person(wardrobe, random)
        size = random.uniform(0.12, 0.32) * height
        x, y = random.uniform(-0.05, 0.95) * width, random.uniform(0.2, 0.6) * height
        canvas.paste(scaled(figure, size / figure.size[0]), x, y)
    return _out_of_focus(pictured(canvas), random.uniform(1, 3))


def _out_of_focus(image: Image.Image, radius: float) -> Bytes:
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)))


def _thinner(figure: Layer, width: int, count: int, random: Random) -> Layer:
    """People differ in breadth; a figure never fills more than the scene."""
    breadth = figure.size[1] * random.uniform(0.85, 1.12)
    return resized(figure, figure.size[0], min(breadth, 1.15 * width / max(1, count - 1)))


def _stand(
    figure: Layer, height: int, width: int, place: int, count: int, near: float, random: Random
) -> tuple[float, float]:
    middle = (
        random.normal(0.5, 0.1)
        if count == 1
        else (place + 0.5) / count + random.uniform(-0.25, 0.25) / count
    )
    x = middle * width - figure.size[1] / 2
    spare = height - figure.size[0]
    if near > 1:
        y = spare * random.uniform(-0.1, 1.1)
    else:
        y = spare * random.uniform(0.35, 1.05) if spare > 0 else spare * random.uniform(0, 1)
    return x, y


def _flat(wardrobe: Wardrobe, random: Random) -> Scene:
    """Things laid out: on a floor, a bed, a table."""
    height, width = _shape(random)
    canvas = Canvas(ground(height, width, wardrobe, random))
    clutter(canvas, wardrobe, random)
    labels = sorted(wardrobe.things)
    for _ in range(int(random.integers(1, 7))):
        thing = wardrobe.thing(labels[int(random.integers(len(labels)))], random)
        if thing is None:
            continue
        thing = cropped(recoloured(thing, wardrobe, random) if random.random() < 0.3 else thing)
        if random.random() < 0.5:
            thing = mirrored(thing)
        size = random.uniform(0.15, 0.75) * min(height, width)
        thing = scaled(thing, size / max(thing.size))
        if random.random() < 0.6:
            thing = turned(thing, random.normal(0, 14))
        x = random.uniform(-0.1, 1.1) * max(1, width - thing.size[1])
        y = random.uniform(-0.1, 1.1) * max(1, height - thing.size[0])
        canvas.paste(thing, x, y)
    return Scene(pictured(canvas), tuple(canvas.boxes()))


def _as_it_is(source: Source, random: Random) -> Scene:
    """A picture of a store with its drawn boxes: cut, mirrored, or with room around."""
    closet = [item for item in source.whole if item[0].parent.parent.name == "closet"]
    pool = closet if closet and random.random() < 0.75 else source.whole
    path, boxes = pool[int(random.integers(len(pool)))]
    return framed(opened(path), boxes, random)


def framed(image: Image.Image, boxes: Sequence[Labelled], random: Random) -> Scene:
    """Cut to a random frame of 70 to 100 % of the picture that keeps most of every box."""
    width, height = image.size
    w, h = random.uniform(0.72, 1, 2)
    x, y = random.uniform(0, 1 - w), random.uniform(0, 1 - h)
    shown = []
    for label, (x0, y0, x1, y1) in boxes:
        moved = tuple(
            float(np.clip(value, 0, 1))
            for value in ((x0 - x) / w, (y0 - y) / h, (x1 - x) / w, (y1 - y) / h)
        )
        seen = (moved[2] - moved[0]) * w * (moved[3] - moved[1]) * h
        if seen > 0.6 * (x1 - x0) * (y1 - y0):
            shown.append((label, (moved[0], moved[1], moved[2], moved[3])))
    if len(shown) < len(boxes):
        return Scene(image, tuple(boxes))
    cut = image.crop((int(x * width), int(y * height), int((x + w) * width), int((y + h) * height)))
    if random.random() < 0.5:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        shown = [(label, (1 - b[2], b[1], 1 - b[0], b[3])) for label, b in shown]
    return Scene(cut, tuple(shown))


def pictured(canvas: Canvas) -> Image.Image:
    return Image.fromarray(np.clip(canvas.pixels, 0, 255).astype(np.uint8))


# ---- grounds


def ground(height: int, width: int, wardrobe: Wardrobe, random: Random) -> Bytes:
    """A street, a wall, a piece of a phone photo, several such pieces, or a plain colour."""
    kind = random.random()
    if kind < 0.38:
        image = _drawn_street(height, width, random)
        if random.random() < 0.5:
            image = _leafy(image, random)
    elif kind < 0.9 and wardrobe.grounds:
        image = _pieces(height, width, wardrobe, random)
    else:
        image = Image.new("RGB", (width, height), _tone(random))
    if random.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.5, 4))))
    pixels = np.asarray(image, np.float32) + random.normal(0, random.uniform(0, 7), (height, width, 1))  # fmt: skip
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _tone(random: Random) -> tuple[int, int, int]:
    """Mostly grey, brown and pale; now and then any colour."""
    light = random.uniform(30, 245)
    spread = 10 if random.random() < 0.85 else 60
    red, green, blue = np.clip(light + random.normal(0, spread, 3), 0, 255).astype(int)
    return int(red), int(green), int(blue)


def _drawn_street(height: int, width: int, random: Random) -> Image.Image:
    """Walls, windows, doors, poles and a pavement."""
    image = Image.new("RGB", (width, height), _tone(random))
    draw = ImageDraw.Draw(image)
    floor = random.uniform(0.5, 0.95) * height
    for _ in range(int(random.integers(1, 5))):
        left = random.uniform(-0.3, 0.9) * width
        top = random.uniform(-0.2, 0.5) * height
        draw.rectangle((left, top, left + random.uniform(0.2, 1) * width, floor), fill=_tone(random))  # fmt: skip
    if random.random() < 0.6:
        _windows(draw, height, width, floor, random)
    for _ in range(int(random.integers(0, 5))):
        x, thick = random.uniform(0, width), random.uniform(1, 0.05 * width)
        draw.rectangle((x, random.uniform(-0.5, 0.4) * height, x + thick, floor + 5), fill=_tone(random))  # fmt: skip
    draw.rectangle((0, floor, width, height), fill=_tone(random))
    for _ in range(int(random.integers(0, 7))):
        y = random.uniform(floor, height)
        draw.line((0, y, width, y + random.normal(0, 12)), fill=_tone(random), width=int(random.integers(1, 4)))  # fmt: skip
    for _ in range(int(random.integers(0, 30)) if random.random() < 0.2 else 0):
        x, y, r = random.uniform(0, width), random.uniform(0, floor), random.uniform(3, 30)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=_tone(random))
    return image


def _leafy(image: Image.Image, random: Random) -> Image.Image:
    """Speckled at several scales over a part of it, as leaves, crowds and stones are."""
    width, height = image.size
    total = np.zeros((height, width), np.float32)
    for cells in (5, 14, 40, 90):
        rough = random.normal(0, 60 / cells**0.35, (cells, max(2, cells * width // height)))
        grown = Image.fromarray(rough.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)  # fmt: skip
        total += np.asarray(grown, np.float32)
    share = np.ones((height, 1), np.float32)
    share[int(random.uniform(0.3, 1) * height) :] = 0.25
    pixels = np.asarray(image, np.float32) + (total * share)[:, :, None] * random.uniform(0.4, 1.3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _windows(
    draw: ImageDraw.ImageDraw, height: int, width: int, floor: float, random: Random
) -> None:
    across, down = random.uniform(0.1, 0.3) * width, random.uniform(0.1, 0.25) * height
    glass, frame = _tone(random), _tone(random)
    for x in np.arange(random.uniform(0, across), width, across * random.uniform(1.2, 2)):
        for y in np.arange(random.uniform(-down, down), floor - down, down * 1.3):
            draw.rectangle((x, y, x + across * 0.8, y + down), fill=glass, outline=frame, width=2)


def _pieces(height: int, width: int, wardrobe: Wardrobe, random: Random) -> Image.Image:
    """Edges and corners of phone photos: floors, beds, walls, without the thing in the middle."""
    image = _piece(height, width, wardrobe, random)
    if random.random() < 0.5:
        seam = int(random.uniform(0.4, 0.9) * height)
        image.paste(_piece(height - seam, width, wardrobe, random), (0, seam))
    if random.random() < 0.3:
        seam = int(random.uniform(0.2, 0.8) * width)
        image.paste(_piece(height, width - seam, wardrobe, random), (seam, 0))
    return image


def _piece(height: int, width: int, wardrobe: Wardrobe, random: Random) -> Image.Image:
    photo = wardrobe.grounds[int(random.integers(len(wardrobe.grounds)))]
    tall, wide = photo.shape[:2]
    kind = random.random()
    if kind < 0.5:  # a corner
        rows = slice(0, tall // 4) if random.random() < 0.5 else slice(-(tall // 4), None)
        columns = slice(0, wide // 4) if random.random() < 0.5 else slice(-(wide // 4), None)
        part = photo[rows, columns]
    elif kind < 0.75:  # a strip along the top or the bottom
        part = photo[: tall // 7] if random.random() < 0.5 else photo[-(tall // 7) :]
    else:
        part = photo[:, : wide // 7] if random.random() < 0.5 else photo[:, -(wide // 7) :]
    return Image.fromarray(np.ascontiguousarray(part)).resize((width, height), Image.Resampling.BICUBIC)  # fmt: skip


def clutter(canvas: Canvas, wardrobe: Wardrobe, random: Random, most: int = 7) -> None:
    """Pieces that are no things, with edges as soft as those of things."""
    height, width = canvas.numbers.shape
    for _ in range(int(random.integers(0, most))):
        h, w = (max(6, int(v)) for v in random.uniform(0.03, 0.4, 2) * (height, width))
        if wardrobe.fabrics and random.random() < 0.6:
            cloth = wardrobe.fabrics[int(random.integers(len(wardrobe.fabrics)))]
            pixels = np.asarray(Image.fromarray(cloth).resize((w, h)))
        else:
            pixels = np.full((h, w, 3), _tone(random), np.uint8)
        mask = Image.new("L", (w, h))
        draw = ImageDraw.Draw(mask)
        shape = random.random()
        if shape < 0.4:
            draw.ellipse((1, 1, w - 2, h - 2), fill=255)
        elif shape < 0.7:
            points = [tuple(p) for p in random.uniform(0, 1, (5, 2)) * (w, h)]
            draw.polygon([(float(x), float(y)) for x, y in points], fill=255)
        else:
            draw.rectangle((1, 1, w - 2, h - 2), fill=255)
        alpha = np.asarray(mask.filter(ImageFilter.GaussianBlur(float(random.uniform(0.3, 1.5)))))
        piece = Layer(pixels, alpha, np.zeros((h, w), np.uint8))
        canvas.paste(piece, random.uniform(-0.2, 1) * width, random.uniform(-0.2, 1) * height)


# ---- the camera


def developed(image: Image.Image, random: Random) -> Image.Image:
    """Light, cast, blur, noise and compression over everything, as one camera makes them."""
    pixels = np.asarray(image, np.float32)
    height, width = pixels.shape[:2]
    slope = 1 + np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :, None] * random.uniform(-0.3, 0.3)  # fmt: skip
    cast = 1 + random.uniform(-0.09, 0.09, 3).astype(np.float32)
    pixels = (pixels - 128) * random.uniform(0.65, 1.25) + 128 + random.uniform(-35, 30)
    pixels = pixels * slope * cast
    if random.random() < 0.06:
        pixels = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)
    if random.random() < 0.4:
        pixels += random.normal(0, random.uniform(2, 12), (height, width, 1))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if random.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.3, 1.3))))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(random.integers(35, 95)))
    return Image.open(file).convert("RGB")
