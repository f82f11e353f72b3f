"""The demo's words: kinds, colours and patterns in English and Russian, with invented prices."""

from __future__ import annotations

from dataclasses import dataclass

RGB = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing. `price` is a range in whole US dollars, all of it invented."""

    name: str
    title: str
    russian: str
    category: str
    russian_category: str
    price: tuple[int, int]
    sizes: tuple[str, ...]
    printable: bool = True
    """Takes patterns; shoes, bags and watches come plain or in two colours."""


@dataclass(frozen=True, slots=True)
class Colour:
    name: str
    russian: str
    rgb: RGB


_LETTERS = ("S", "M", "L", "XL")
_WAISTS = ("28", "30", "32", "34")
_SHOES = ("38", "40", "42", "44")
_ONE = ("one size",)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("t-shirt", "T-shirt", "Футболка", "Clothing > Tops > T-shirts", "Футболки", (12, 39), _LETTERS),
        Kind("longsleeve", "Long-sleeve top", "Лонгслив", "Clothing > Tops > Long sleeves", "Лонгсливы", (18, 49), _LETTERS),
        Kind("hoodie", "Hoodie", "Худи", "Clothing > Tops > Hoodies", "Толстовки", (35, 89), _LETTERS),
        Kind("shirt", "Shirt", "Рубашка", "Clothing > Tops > Shirts", "Рубашки", (29, 79), _LETTERS),
        Kind("jacket", "Jacket", "Куртка", "Clothing > Outerwear > Jackets", "Куртки", (69, 199), _LETTERS, False),
        Kind("dress", "Dress", "Платье", "Clothing > Dresses", "Платья", (39, 129), _LETTERS),
        Kind("trousers", "Trousers", "Брюки", "Clothing > Bottoms > Trousers", "Брюки", (35, 99), _WAISTS),
        Kind("shorts", "Shorts", "Шорты", "Clothing > Bottoms > Shorts", "Шорты", (19, 49), _WAISTS),
        Kind("skirt", "Skirt", "Юбка", "Clothing > Bottoms > Skirts", "Юбки", (25, 69), _LETTERS),
        Kind("sneakers", "Sneakers", "Кроссовки", "Shoes > Sneakers", "Кроссовки", (49, 149), _SHOES, False),
        Kind("boots", "Boots", "Ботинки", "Shoes > Boots", "Ботинки", (69, 189), _SHOES, False),
        Kind("bag", "Bag", "Сумка", "Accessories > Bags", "Сумки", (29, 159), _ONE),
        Kind("backpack", "Backpack", "Рюкзак", "Accessories > Backpacks", "Рюкзаки", (39, 119), _ONE, False),
        Kind("cap", "Cap", "Кепка", "Accessories > Hats > Caps", "Головные уборы", (12, 35), _ONE, False),
        Kind("beanie", "Beanie", "Шапка", "Accessories > Hats > Beanies", "Головные уборы", (12, 35), _ONE),
        Kind("watch", "Watch", "Часы", "Accessories > Watches", "Часы", (59, 299), _ONE, False),
    )
}  # fmt: skip

COLOURS: dict[str, Colour] = {
    colour.name: colour
    for colour in (
        Colour("white", "белый", (240, 239, 234)),
        Colour("black", "чёрный", (38, 38, 42)),
        Colour("grey", "серый", (148, 150, 155)),
        Colour("charcoal", "графитовый", (78, 82, 90)),
        Colour("navy", "тёмно-синий", (34, 48, 92)),
        Colour("blue", "синий", (48, 98, 190)),
        Colour("sky", "голубой", (142, 190, 232)),
        Colour("teal", "бирюзовый", (32, 132, 136)),
        Colour("green", "зелёный", (52, 138, 82)),
        Colour("mint", "мятный", (168, 218, 190)),
        Colour("olive", "оливковый", (116, 120, 62)),
        Colour("yellow", "жёлтый", (242, 202, 70)),
        Colour("mustard", "горчичный", (204, 152, 44)),
        Colour("orange", "оранжевый", (232, 122, 50)),
        Colour("coral", "коралловый", (240, 126, 108)),
        Colour("red", "красный", (202, 44, 52)),
        Colour("burgundy", "бордовый", (120, 32, 50)),
        Colour("pink", "розовый", (240, 166, 188)),
        Colour("lilac", "сиреневый", (182, 160, 214)),
        Colour("purple", "фиолетовый", (106, 64, 144)),
        Colour("brown", "коричневый", (116, 78, 52)),
        Colour("camel", "кэмел", (194, 154, 106)),
        Colour("beige", "бежевый", (224, 208, 182)),
    )
}

PATTERNS: dict[str, tuple[str, str]] = {
    "plain": ("", "однотонный"),
    "stripes": ("striped", "в полоску"),
    "pinstripes": ("pinstriped", "в тонкую полоску"),
    "dots": ("dotted", "в горошек"),
    "check": ("checked", "в клетку"),
    "motif": ("printed", "с принтом"),
    "block": ("two-tone", "двухцветный"),
}
"""Pattern -> the word of an English title, the words of a Russian one."""


def nearest_colour(rgb: RGB) -> Colour:
    """The named colour closest to `rgb` by the weighted distance that suits the eye.

    >>> nearest_colour((250, 0, 0)).name
    'red'
    """

    def distance(colour: Colour) -> float:
        red, green, blue = (a - b for a, b in zip(colour.rgb, rgb, strict=True))
        return 2 * red * red + 4 * green * green + 3 * blue * blue

    return min(COLOURS.values(), key=distance)


PHOTO_KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        KINDS["dress"],
        Kind("hat", "Hat", "Головной убор", "Accessories > Hats", "Головные уборы", (12, 35), _ONE),
        KINDS["longsleeve"],
        Kind("outwear", "Jacket", "Куртка", "Clothing > Outerwear", "Куртки", (69, 199), _LETTERS),
        Kind("pants", "Trousers", "Брюки", "Clothing > Bottoms > Trousers", "Брюки", (35, 99), _WAISTS),
        KINDS["shirt"],
        Kind("shoes", "Shoes", "Обувь", "Shoes", "Обувь", (49, 149), _SHOES),
        KINDS["shorts"],
        KINDS["skirt"],
        KINDS["t-shirt"],
    )
}  # fmt: skip
"""The labels of the photos that can be downloaded."""
