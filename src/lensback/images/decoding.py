"""Bytes -> pictures: decode under limits, look. Purely local, in the process that calls unless
it says `by` whom.

A picture that comes from outside is hostile until proven otherwise: bytes are counted before
opening, pixels before decoding, and only the formats below are ever tried.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lensback import profiles
from lensback.errors import BadImage, BadQuery, InputError, TooLarge
from lensback.images import cost, endings
from lensback.types import Box, ImageInfo

MAX_BYTES = 20 << 20
MAX_PIXELS = 50_000_000
MIN_SIDE_PX = 8
INSPECT_SIDE_PX = 256
"""Shorter side, in pixels, of what `inspect` decodes of a JPEG."""
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF")

Decoded = tuple[Image.Image, str, tuple[int, int]]
"""RGB picture, MIME type, width and height of the whole upright picture."""
Decode = Callable[[bytes, int | None, int, int], Decoded]
"""What decodes: bytes, shorter side that suffices, most bytes, most pixels. Raises BadImage, TooLarge."""
Looked = tuple[str, tuple[int, int], int]
"""MIME type, width and height of the whole upright picture, perceptual hash."""


class Decoder(Protocol):
    """What decodes, here or elsewhere. All raise BadImage, TooLarge."""

    def __call__(
        self, data: bytes, side_px: int | None, max_bytes: int, max_pixels: int
    ) -> Decoded: ...

    def look(self, data: bytes, max_bytes: int, max_pixels: int) -> Looked:
        """What a picture is; its pixels stay where they are."""
        ...

    def many(
        self, datas: Sequence[bytes], side_px: int | None, max_bytes: int, max_pixels: int
    ) -> list[Decoded | InputError]:
        """Each picture, or why there is none: nothing is raised."""
        ...


# What Pillow and its decoders raise on broken files, beyond its own UnidentifiedImageError (an
# OSError). Warnings are here because callers may have made them errors.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    UserWarning,
)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_KINDS = (
    (rb"\s*<(!doctype html|html|head|body)", "a web page"),
    (
        rb"\s*(<\?xml[^>]*>\s*)?(<!--(?:(?!-->).)*-->\s*)*(<!doctype svg[^>]*>\s*)?<svg",
        "an SVG drawing",
    ),
    (rb"\s*<\?xml|\s*<[a-z]", "XML"),
    (rb"%PDF-", "a PDF document"),
    (rb"\s*[{\[]", "JSON"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"\x1f\x8b", "gzipped data"),
    (rb"....ftyp(?!avif|avis|heic|heix|hevc|mif1|msf1)", "a video"),
    (rb"\x1a\x45\xdf\xa3|RIFF....AVI ", "a video"),
    (rb"\xff\xd8\xff|\x89PNG|GIF8|BM|II\*\x00|MM\x00\*|RIFF....WEBP|....ftyp", "a broken picture"),
)
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(
    data: bytes,
    *,
    side_px: int | None = None,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    by: Decode | None = None,
) -> Image.Image:
    """The picture as RGB, upright (EXIF), on white where it was transparent, first frame only.

    With `side_px` a JPEG is decoded at a half, quarter or eighth, its shorter side not below
    `side_px`, and any picture is reduced by a whole factor, not below twice of it. Colours are
    those that the file means (`profiles`). Raises BadImage, TooLarge. Thread-safe.
    """
    return (by or decoded)(data, side_px, max_bytes, max_pixels)[0]


def decode_measured(
    data: bytes,
    *,
    side_px: int | None = None,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    by: Decode | None = None,
) -> tuple[Image.Image, tuple[int, int]]:
    """`decode`, and width and height of the whole upright picture."""
    image, _, size = (by or decoded)(data, side_px, max_bytes, max_pixels)
    return image, size


def inspect(
    data: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    side_px: int = INSPECT_SIDE_PX,
    by: Decode | None = None,
) -> tuple[ImageInfo, Image.Image]:
    """What is known of the picture, and the picture as `decode(side_px=...)` gives it.

    Reads to the last pixel; of a file that lacks its end what is there counts (`endings`). Width and height are those of
    the whole upright picture.
    """
    image, mime, size = (by or decoded)(data, side_px, max_bytes, max_pixels)
    return _info(data, (mime, size, phash(image))), image


def inspected(
    data: bytes, *, max_bytes: int, max_pixels: int, by: Decoder | None = None
) -> ImageInfo:
    """What `inspect` knows of the picture, without its pixels: who has them elsewhere keeps them there.
    Raises BadImage, TooLarge."""
    return _info(data, (by or HERE).look(data, max_bytes, max_pixels))


def _info(data: bytes, seen: Looked) -> ImageInfo:
    mime, (width, height), likeness = seen
    return ImageInfo(hashlib.sha256(data).hexdigest(), width, height, len(data), mime, likeness)


def recoloured(data: bytes) -> bool:
    """Whether the file's profile moves its colours: such a picture was read wrongly before profiles
    were applied. Only the header is read; False for what is no picture."""
    with contextlib.suppress(*_BROKEN):
        image = opened(data, MAX_PIXELS)
        return profiles.changes(profiles.declared(image, data), image.mode)
    return False


def crop(image: Image.Image, box: Box) -> Image.Image:
    """The part inside `box` (fractions), whole pixels outward, at least one. Raises BadQuery."""
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise BadQuery(f"not a box: {box}", hint="give x0,y0,x1,y1 as fractions, x0 < x1, y0 < y1")
    width, height = image.size
    left, top = min(int(x0 * width), width - 1), min(int(y0 * height), height - 1)
    return image.crop((left, top, math.ceil(x1 * width), math.ceil(y1 * height)))


def phash(image: Image.Image) -> int:
    """64-bit perceptual hash: which of the 8 x 8 lowest DCT-II frequencies of the 32 x 32 grey
    picture lie above their median; the constant term counts as below. Colour does not enter.

    Source: C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010).
    """
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), dtype=np.float64)
    low = (_dct() @ grey @ _dct().T).ravel()[1:]
    bits = low > np.median(low) + 1e-6  # flat pictures: rounding noise must not set bits
    return int.from_bytes(np.packbits(np.concatenate([[False], bits])).tobytes(), "big")


def hamming(a: int, b: int) -> int:
    """How many of the 64 bits differ."""
    return (a ^ b).bit_count()


@functools.cache
def _dct() -> NDArray[np.float64]:
    """The first 8 rows of the DCT-II matrix of 32 points, [8, 32]."""
    row, column = np.arange(8)[:, None], np.arange(32)
    return np.asarray(np.cos(np.pi * row * (2 * column + 1) / 64))


# Decoding


def decoded(data: bytes, side_px: int | None, max_bytes: int, max_pixels: int) -> Decoded:
    """Decodes here and now; see `decode`. What its header says is not worth it is refused first."""
    worth(data, side_px, max_bytes, max_pixels)
    return unweighed(data, side_px, max_pixels)


def unweighed(data: bytes, side_px: int | None, max_pixels: int) -> Decoded:
    """`decoded` of bytes that somebody else found worth it."""
    with translated(data):
        try:
            return _read(data, side_px, max_pixels)
        except _BROKEN:
            if (whole := endings.ended(data)) is None:
                raise
            return _read(whole, side_px, max_pixels)


class _Here:
    """Decodes here and now. What its header says is not worth it is refused first."""

    def __call__(
        self, data: bytes, side_px: int | None, max_bytes: int, max_pixels: int
    ) -> Decoded:
        return decoded(data, side_px, max_bytes, max_pixels)

    def look(self, data: bytes, max_bytes: int, max_pixels: int) -> Looked:
        """What a picture is."""
        worth(data, INSPECT_SIDE_PX, max_bytes, max_pixels)
        return look(data, max_pixels)

    def many(
        self, datas: Sequence[bytes], side_px: int | None, max_bytes: int, max_pixels: int
    ) -> list[Decoded | InputError]:
        """Each picture, or why there is none."""
        return [alone(self, data, side_px, max_bytes, max_pixels) for data in datas]


HERE: Decoder = _Here()


def alone(
    by: Decode, data: bytes, side_px: int | None, max_bytes: int, max_pixels: int
) -> Decoded | InputError:
    """The picture, or why there is none."""
    try:
        return by(data, side_px, max_bytes, max_pixels)
    except InputError as error:
        return error


def look(data: bytes, max_pixels: int) -> Looked:
    """What a picture is, of bytes that somebody else found worth it."""
    image, mime, size = unweighed(data, INSPECT_SIDE_PX, max_pixels)
    return mime, size, phash(image)


def _read(data: bytes, side_px: int | None, max_pixels: int) -> Decoded:
    image: Image.Image = opened(data, max_pixels)
    mime = Image.MIME.get(image.format or "", "").replace("image/mpo", "image/jpeg")
    whole, profile = image.size, profiles.declared(image, data)
    if side_px:
        image.draft(None, (side_px, side_px))
    drafted = image.size
    image.load()
    # Lies on its side; TIFF turns itself while loading.
    if _orientation(image) >= 5 or image.size != drafted:
        whole = whole[::-1]
    small = _reduced(opaque(upright(image)), side_px)
    return profiles.to_srgb(small, profile), mime, whole


def upright(image: Image.Image) -> Image.Image:
    """A loaded picture as its EXIF says that it stands."""
    turn = _orientation(image)
    return image.transpose(_TRANSPOSED[turn]) if turn in _TRANSPOSED else image


def worth(data: bytes, side_px: int | None, max_bytes: int, max_pixels: int) -> cost.Cost:
    """What decoding would cost. Raises TooLarge for what is not worth it."""
    return worth_at(data, max_bytes, max_pixels)(side_px)


def worth_at(data: bytes, max_bytes: int, max_pixels: int) -> cost.Weight:
    """`worth` for any side: the header is read once."""
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data)} bytes, the limit is {max_bytes}", hint="send a smaller file")
    weight = cost.weight_of(data)

    def checked(side_px: int | None) -> cost.Cost:
        found = weight(side_px)
        cost.check(found, max_pixels)
        return found

    return checked


def _reduced(image: Image.Image, side_px: int | None) -> Image.Image:
    """What no decoder could shrink (PNG, WebP ...), by a whole factor to twice the side at least:
    a queue of decoded pictures must not hold 150 MB each."""
    factor = min(image.size) // (2 * side_px) if side_px else 1
    return image.reduce(factor) if factor > 1 else image


def opened(data: bytes, max_pixels: int) -> Image.Image:
    """A picture whose header was read, and no pixel yet. Raises TooLarge, BadImage."""
    formats: tuple[str, ...] = FORMATS
    if data[4:8] == b"ftyp":
        _register_heif()
    else:  # a format that nobody has registered ends the search before GIF, BMP and TIFF
        formats = tuple(name for name in FORMATS if name != "HEIF")
    image = Image.open(io.BytesIO(data), formats=formats)
    if image.width * image.height > max_pixels:
        raise TooLarge(
            f"{image.width} x {image.height} pixels, the limit is {max_pixels} in all",
            hint="send a smaller picture",
        )
    if min(image.size) < MIN_SIDE_PX:
        raise BadImage(
            f"only {image.width} x {image.height} pixels",
            hint=f"send a picture of at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels",
        )
    return image


@functools.cache
def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)


@contextlib.contextmanager
def translated(data: bytes) -> Iterator[None]:
    """What Pillow raises, as our errors."""
    try:
        yield
    except _BOMB as error:
        raise TooLarge("more pixels than we ever decode", hint="send a smaller picture") from error
    except MemoryError as error:
        raise cost.too_costly() from error
    except _BROKEN as error:
        kind = _kind(data)
        raise BadImage(
            f"not a picture we can read: it seems to be {kind}",
            hint="send a whole JPEG, PNG, WebP, AVIF or HEIC file",
        ) from error


def _kind(data: bytes) -> str:
    """What the file seems to be, in plain words."""
    head = data[:512]
    if not head:
        return "an empty file"
    for pattern, kind in _KINDS:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            return kind
    printable = sum(byte >= 32 or byte in b"\t\n\r" for byte in head)
    return "text" if printable == len(head) else "of another kind"


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 where there is none; broken EXIF does not make a picture bad."""
    with contextlib.suppress(*_BROKEN):
        return int(image.getexif().get(0x0112, 1))
    return 1


def opaque(image: Image.Image) -> Image.Image:
    """A picture of 8 bits a channel, on white where it was transparent; grey stays grey, CMYK and LAB what
    they are."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        solid = image.convert("RGBA")
        flat = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
        white = Image.new(flat, solid.size, "white")
        white.paste(solid.convert(flat), mask=solid.getchannel("A"))
        return white
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "CMYK", "LAB") else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits -> 8 bits: full scale is 65535 for integers, 1 or 255 for floats."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    full = 65535.0 if image.mode != "F" else 1.0 if values.max() <= 1 else 255.0
    return Image.fromarray((values.clip(0, full) * (255 / full)).round().astype(np.uint8))
