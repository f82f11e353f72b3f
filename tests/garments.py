"""Garments drawn for tests: things to sell, a store's pictures of them, and a person's photos.

`items` invents things, `draw` is a store's picture of one, `photo_of` a photo of it. The same
arguments give the same bytes. They are flat shapes with a pattern of their own: enough to tell
things apart, no measure of how well anything is recognised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

Points = tuple[tuple[float, float], ...]
"""A half of an outline, from the neck or waist down, right of the middle: x 0 to 1, y 0 to 1."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing: its words in both languages, its lowest price, and its outline."""

    title: str
    russian: str
    category: str
    russian_category: str
    price: int
    outline: Points


_TEE: Points = ((0.2, 0.02), (0.5, 0.1), (0.95, 0.38), (0.78, 0.52), (0.5, 0.34), (0.5, 0.98))
_SLEEVES: Points = ((0.2, 0.02), (0.5, 0.1), (0.95, 0.85), (0.76, 0.9), (0.48, 0.4), (0.48, 0.98))
_DRESS: Points = ((0.16, 0.02), (0.3, 0.02), (0.34, 0.3), (0.28, 0.45), (0.66, 0.98))
_LEGS: Points = ((0.42, 0.02), (0.5, 0.3), (0.46, 0.98), (0.16, 0.98), (0.03, 0.36))
_SHORT: Points = ((0.5, 0.1), (0.66, 0.75), (0.14, 0.78), (0.03, 0.42))
_SKIRT: Points = ((0.34, 0.08), (0.74, 0.92))
_SHOE: Points = ((0.1, 0.3), (0.3, 0.34), (0.5, 0.55), (0.92, 0.66), (0.94, 0.82))
_BOOT: Points = ((0.4, 0.04), (0.42, 0.6), (0.9, 0.7), (0.92, 0.94))
_BAG: Points = ((0.12, 0.1), (0.2, 0.3), (0.72, 0.34), (0.8, 0.94))
_CAP: Points = ((0.3, 0.2), (0.6, 0.5), (0.62, 0.66), (0.96, 0.74))

KINDS = {
    "t-shirt": Kind("T-shirt", "Футболка", "Clothing > Tops > T-shirts", "Футболки", 12, _TEE),
    "longsleeve": Kind("Long-sleeve top", "Лонгслив", "Clothing > Tops > Long sleeves", "Лонгсливы", 18, _SLEEVES),
    "hoodie": Kind("Hoodie", "Худи", "Clothing > Tops > Hoodies", "Толстовки", 35, _SLEEVES),
    "shirt": Kind("Shirt", "Рубашка", "Clothing > Tops > Shirts", "Рубашки", 29, _SLEEVES),
    "jacket": Kind("Jacket", "Куртка", "Clothing > Outerwear > Jackets", "Куртки", 69, _SLEEVES),
    "dress": Kind("Dress", "Платье", "Clothing > Dresses", "Платья", 39, _DRESS),
    "trousers": Kind("Trousers", "Брюки", "Clothing > Bottoms > Trousers", "Брюки", 35, _LEGS),
    "shorts": Kind("Shorts", "Шорты", "Clothing > Bottoms > Shorts", "Шорты", 19, _SHORT),
    "skirt": Kind("Skirt", "Юбка", "Clothing > Bottoms > Skirts", "Юбки", 25, _SKIRT),
    "sneakers": Kind("Sneakers", "Кроссовки", "Shoes > Sneakers", "Кроссовки", 49, _SHOE),
    "boots": Kind("Boots", "Ботинки", "Shoes > Boots", "Ботинки", 69, _BOOT),
    "bag": Kind("Bag", "Сумка", "Accessories > Bags", "Сумки", 29, _BAG),
    "cap": Kind("Cap", "Кепка", "Accessories > Hats > Caps", "Головные уборы", 12, _CAP),
}  # fmt: skip
COLOURS = {
    "white": ("белый", (240, 239, 234)),
    "black": ("чёрный", (38, 38, 42)),
    "grey": ("серый", (148, 150, 155)),
    "navy": ("тёмно-синий", (34, 48, 92)),
    "blue": ("синий", (48, 98, 190)),
    "teal": ("бирюзовый", (32, 132, 136)),
    "green": ("зелёный", (52, 138, 82)),
    "yellow": ("жёлтый", (240, 200, 60)),
    "orange": ("оранжевый", (232, 130, 44)),
    "red": ("красный", (196, 44, 48)),
    "pink": ("розовый", (240, 160, 180)),
    "purple": ("фиолетовый", (110, 70, 150)),
    "brown": ("коричневый", (110, 76, 52)),
}
PATTERNS = {
    "plain": ("", ""),
    "stripes": ("striped ", "в полоску, "),
    "checks": ("checked ", "в клетку, "),
    "dots": ("dotted ", "в горошек, "),
}


@dataclass(frozen=True, slots=True)
class Garment:
    """One invented thing. Everything about its look follows from these fields."""

    id: str
    kind: str
    colour: str
    accent: str
    pattern: str
    seed: int

    @property
    def title(self) -> str:
        words = f"{PATTERNS[self.pattern][0]}{KINDS[self.kind].title.lower()}, {self.colour}"
        return f"{words[0].upper()}{words[1:]} and {self.accent}"

    @property
    def russian_title(self) -> str:
        words = f"{KINDS[self.kind].russian} {PATTERNS[self.pattern][1]}{COLOURS[self.colour][0]}"
        return f"{words} и {COLOURS[self.accent][0]}"


def items(count: int, seed: int = 1) -> list[Garment]:
    """`count` things, no two of one kind, colour and pattern; a longer list begins the same."""
    random = np.random.default_rng(seed)
    taken: set[tuple[str, str, str]] = set()
    made: list[Garment] = []
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        while True:
            colour, accent = (str(c) for c in random.choice(list(COLOURS), 2, replace=False))
            pattern = str(random.choice(list(PATTERNS)))
            if (kind, colour, pattern) not in taken:
                break
        taken.add((kind, colour, pattern))
        look = int(random.integers(1, 2**31))
        made.append(Garment(f"{kind}-{number:04d}", kind, colour, accent, pattern, look))
    return made


def draw(item: Garment, *, view: int = 0, side_px: int = 480) -> Image.Image:
    """A store's picture, RGB `side_px` square on near-white: 0 the front, 1 turned, in other light."""
    thing = _cutout(item, side_px)
    canvas = Image.new("RGB", (side_px, side_px), (250, 250, 249) if view == 0 else (234, 234, 238))
    if view:
        thing = thing.rotate(12 + item.seed % 9, Image.Resampling.BICUBIC)
        light = ImageEnhance.Brightness(thing.convert("RGB")).enhance(0.92)
        light.putalpha(thing.getchannel("A"))
        thing = light.resize((side_px * 9 // 10, side_px * 9 // 10))
    at = (side_px - thing.width) // 2
    canvas.paste(thing, (at, at), thing)
    return canvas


def photo_of(
    item: Garment, seed: int = 0, *, width_px: int = 768, height_px: int = 1024
) -> Image.Image:
    """A person's photo of it, RGB: on a floor, askew, in a room's light, with grain."""
    random = np.random.default_rng([item.seed, seed])
    thing = _cutout(item, min(width_px, height_px) * 9 // 10)
    thing = thing.rotate(float(random.uniform(-14, 14)), Image.Resampling.BICUBIC)
    floor = np.array([150, 128, 104]) + random.integers(-25, 25, 3)
    grain = random.normal(0, 7, (height_px // 4 + 1, width_px // 4 + 1, 1))
    ground = np.clip(floor + grain, 0, 255).astype(np.uint8)
    canvas = Image.fromarray(ground).resize((width_px, height_px))
    left = int(random.uniform(0.3, 0.7) * (width_px - thing.width))
    top = int(random.uniform(0.3, 0.7) * (height_px - thing.height))
    canvas.paste(thing, (left, top), thing)
    lit = ImageEnhance.Brightness(canvas).enhance(float(random.uniform(0.85, 1.1)))
    return lit.filter(ImageFilter.GaussianBlur(width_px / 700))


def _cutout(item: Garment, side_px: int) -> Image.Image:
    """The thing alone, RGBA on clear ground, drawn twice as large for smooth edges."""
    random = np.random.default_rng(item.seed)
    big = side_px * 2
    half = [(x * random.uniform(0.86, 0.98), y) for x, y in KINDS[item.kind].outline]
    ring = half + [(-x, y) for x, y in reversed(half)]
    cover = Image.new("L", (big, big))
    outline = [((0.5 + x * 0.44) * big, (0.06 + y * 0.88) * big) for x, y in ring]
    ImageDraw.Draw(cover).polygon(outline, fill=255)
    cloth = Image.new("RGB", (big, big), COLOURS[item.colour][1])
    _pattern(ImageDraw.Draw(cloth), item, big, int(random.integers(5, 10)))
    _motif(ImageDraw.Draw(cloth), item, big, random)
    cloth.putalpha(cover)
    return cloth.resize((side_px, side_px), Image.Resampling.LANCZOS)


def _pattern(cloth: ImageDraw.ImageDraw, item: Garment, side: int, count: int) -> None:
    accent, step = COLOURS[item.accent][1], side // count
    for at in range(0, side, step):
        if item.pattern in {"stripes", "checks"}:
            cloth.rectangle((0, at, side, at + step // 3), fill=accent)
        if item.pattern == "checks":
            cloth.rectangle((at, 0, at + step // 4, side), fill=accent)
        if item.pattern == "dots":
            for x in range(0, side, step):
                cloth.ellipse((x, at, x + step // 2, at + step // 2), fill=accent)


def _motif(
    cloth: ImageDraw.ImageDraw, item: Garment, side: int, random: np.random.Generator
) -> None:
    """A few shapes on the front, so that no two things of one pattern are alike."""
    for _ in range(6):
        x, y = random.uniform(0.3, 0.6) * side, random.uniform(0.25, 0.7) * side
        wide, high = random.uniform(0.04, 0.14, 2) * side
        colour = COLOURS[str(random.choice([item.accent, *COLOURS]))][1]
        shape = cloth.ellipse if random.random() < 0.5 else cloth.rectangle
        shape((x, y, x + wide, y + high), fill=colour)
