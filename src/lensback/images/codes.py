"""Bar codes and square codes in a photo, read from all of its pixels (zxing-cpp).

Reading runs where decoding runs, in a process of its own: what looks for codes in a picture of a
stranger's is no safer than what decodes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from lensback.images.decoding import opaque, opened, translated, upright
from lensback.images.stripes import askew
from lensback.types import Box

if TYPE_CHECKING:
    from zxingcpp import Barcode

MAX_CODES = 8
"""Of one photo; a shelf full of price tags is no question."""
MAX_TEXT = 2000
"""Characters of a code's text; more is no number and no address."""
_FORMATS = [
    "EAN13",
    "EAN8",
    "UPCA",
    "UPCE",
    "ITF",
    "Code128",
    "DataBarOmni",
    "DataBarStk",
    "DataBarLtd",
    "DataBarExp",
    "DataBarExpStk",
    "QRCode",
    "MicroQRCode",
    "DataMatrix",
]

_STRIPES = [name for name in _FORMATS if name not in {"QRCode", "MicroQRCode", "DataMatrix"}]
TURNED_PX = 1600
"""The longer side of what is turned."""


@dataclass(frozen=True, slots=True)
class Code:
    """One code of a photo: what it says, the format's name in zxing-cpp, and where it is."""

    text: str
    kind: str
    box: Box


ReadCodes = Callable[[bytes, int, int], tuple[Code, ...]]
"""What reads codes: bytes, most bytes, most pixels. A photo that cannot be read has none."""


def read(data: bytes, side_px: int | None, max_pixels: int) -> tuple[Code, ...]:
    """The codes of a photo, each once, the largest first. With `side_px` a JPEG is decoded smaller, its
    shorter side not below that. Raises BadImage, TooLarge."""
    with translated(data):
        grey = _grey(data, side_px, max_pixels)
    return tuple(_unlike(_codes_in(grey)))[:MAX_CODES]


def _grey(data: bytes, side_px: int | None, max_pixels: int) -> Image.Image:
    """The upright photo's brightness; a JPEG has it beside its colours, so those are not decoded."""
    image: Image.Image = opened(data, max_pixels)
    side = side_px or min(image.size)
    image.draft("L", (side, side))
    image.load()
    return opaque(upright(image)).convert("L")


def _codes_in(grey: Image.Image) -> list[Code]:
    import zxingcpp  # two milliseconds and two megabytes: only where codes are read

    wanted = tuple(getattr(zxingcpp.BarcodeFormat, name) for name in _FORMATS)
    # Formats in a tuple are one more way than its stub knows.
    found = zxingcpp.read_barcodes(grey, formats=wanted)  # type: ignore[arg-type]
    codes = [
        _code(one, _corners(one), grey.size)
        for one in found
        if one.valid and len(one.text) <= MAX_TEXT
    ]
    return sorted(codes, key=lambda code: -_area(code.box)) or _turned_codes_in(grey)


def _turned_codes_in(grey: Image.Image) -> list[Code]:
    """Stripes that lie askew: a line across the photo crosses them all only where they are upright. Square codes are
    read however they lie, and so are stripes near each quarter turn."""
    import zxingcpp

    wanted = tuple(getattr(zxingcpp.BarcodeFormat, name) for name in _STRIPES)
    for stripes in askew(grey):
        part = grey.crop(stripes.box)
        part.thumbnail((TURNED_PX, TURNED_PX), Image.Resampling.BILINEAR)
        turned = part.rotate(stripes.angle, Image.Resampling.BILINEAR, expand=True, fillcolor=128)
        found = zxingcpp.read_barcodes(
            turned,
            formats=wanted,  # type: ignore[arg-type]
            try_invert=False,
            try_downscale=False,
        )
        codes = []
        for one in found:
            if one.valid and len(one.text) <= MAX_TEXT:
                corners = _turned_back(_corners(one), stripes.angle, turned.size, part.size)
                codes.append(_code(one, _within(corners, part.size, stripes.box), grey.size))
        if codes:
            return codes
    return []


def _corners(one: Barcode) -> list[tuple[float, float]]:
    place: Any = one.position
    corners = (place.top_left, place.top_right, place.bottom_left, place.bottom_right)
    return [(float(corner.x), float(corner.y)) for corner in corners]


def _turned_back(
    corners: list[tuple[float, float]], angle: float, turned: tuple[int, int], size: tuple[int, int]
) -> list[tuple[float, float]]:
    """Points of a picture that was turned to the left by `angle`, where they were before."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    away = [(x - turned[0] / 2, y - turned[1] / 2) for x, y in corners]
    return [(cos * x - sin * y + size[0] / 2, sin * x + cos * y + size[1] / 2) for x, y in away]


def _within(
    corners: list[tuple[float, float]], size: tuple[int, int], box: tuple[int, int, int, int]
) -> list[tuple[float, float]]:
    """Points of a part of that size, where they are in the photo that it was cut out of."""
    left, upper, right, lower = box
    across, down = (right - left) / size[0], (lower - upper) / size[1]
    return [(left + x * across, upper + y * down) for x, y in corners]


def _code(one: Barcode, corners: list[tuple[float, float]], size: tuple[int, int]) -> Code:
    across = [min(max(x / size[0], 0.0), 1.0) for x, _ in corners]
    down = [min(max(y / size[1], 0.0), 1.0) for _, y in corners]
    # A line of pixels that was read is as high as one pixel.
    x0, x1 = min(across), max(*across, min(across) + 1 / size[0])
    y0, y1 = min(down), max(*down, min(down) + 1 / size[1])
    box = (min(x0, 1 - 1 / size[0]), min(y0, 1 - 1 / size[1]), min(x1, 1.0), min(y1, 1.0))
    return Code(one.text, one.format.name, box)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _unlike(codes: Iterable[Code]) -> Iterable[Code]:
    seen: set[tuple[str, str]] = set()
    for code in codes:
        if (key := (code.text, code.kind)) not in seen:
            seen.add(key)
            yield code
