"""Content-addressed pictures: decode under limits, look, store. Purely local.

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
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from lensback.errors import BadImage, BadQuery, NotFound, TooLarge
from lensback.types import Box, ImageInfo

MAX_BYTES = 20 << 20
MAX_PIXELS = 50_000_000
MIN_SIDE_PX = 8
INSPECT_SIDE_PX = 256
"""Shorter side, in pixels, of what `inspect` decodes of a JPEG."""
SAME_PHOTOGRAPH = 0.5
"""`likeness` from which two pictures are taken for one photograph."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF")

Signature = NDArray[np.uint8]
"""uint8 [h, w, 3]: the picture at about 64 x 64 pixels, in its own aspect."""

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
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    UserWarning,
)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_KINDS = (
    (rb"\s*<(!doctype html|html|head|body)", "a web page"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!doctype svg[^>]*>\s*)?<svg", "an SVG drawing"),
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
) -> Image.Image:
    """The picture as RGB, upright (EXIF), on white where it was transparent, first frame only.

    With `side_px` a JPEG is decoded at a half, quarter or eighth, its shorter side not below
    `side_px`. Colour profiles are not applied. Raises BadImage, TooLarge. Thread-safe.
    """
    return _decoded(data, side_px, max_bytes, max_pixels)[0]


def inspect(
    data: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    side_px: int = INSPECT_SIDE_PX,
) -> tuple[ImageInfo, Image.Image]:
    """What is known of the picture, and the picture as `decode(side_px=...)` gives it.

    Reads to the last pixel, so a truncated file raises BadImage. Width and height are those of
    the whole upright picture.
    """
    image, mime, (width, height) = _decoded(data, side_px, max_bytes, max_pixels)
    digest = hashlib.sha256(data).hexdigest()
    return ImageInfo(digest, width, height, len(data), mime, phash(image)), image


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


def _decoded(
    data: bytes, side_px: int | None, max_bytes: int, max_pixels: int
) -> tuple[Image.Image, str, tuple[int, int]]:
    """RGB picture, MIME type, size of the whole upright picture."""
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data)} bytes, the limit is {max_bytes}", hint="send a smaller file")
    with _translated(data):
        image: Image.Image = _opened(data, max_pixels)
        mime = Image.MIME.get(image.format or "", "").replace("image/mpo", "image/jpeg")
        whole = image.size
        if side_px:
            image.draft(None, (side_px, side_px))
        drafted = image.size
        image.load()
        turn = _orientation(image)
        if turn >= 5 or image.size != drafted:  # lies on its side; TIFF turns itself while loading
            whole = whole[::-1]
        if turn in _TRANSPOSED:
            image = image.transpose(_TRANSPOSED[turn])
        return _rgb(image), mime, whole


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    """The header is read, no pixel is."""
    if data[4:8] == b"ftyp":
        _register_heif()
    image = Image.open(io.BytesIO(data), formats=FORMATS)
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
def _translated(data: bytes) -> Iterator[None]:
    try:
        yield
    except _BOMB as error:
        raise TooLarge("more pixels than we ever decode", hint="send a smaller picture") from error
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


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        solid = image.convert("RGBA")
        white = Image.new("RGB", solid.size, "white")
        white.paste(solid, mask=solid.getchannel("A"))
        return white
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits -> 8 bits: full scale is 65535 for integers, 1 or 255 for floats."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    full = 65535.0 if image.mode != "F" else 1.0 if values.max() <= 1 else 255.0
    return Image.fromarray((values.clip(0, full) * (255 / full)).round().astype(np.uint8))


# The very same photograph

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

_Floats = NDArray[np.float32]
_Place = NDArray[np.float64]
"""x0, y0, x1, y1."""


def signature(image: Image.Image) -> Signature:
    """What `likeness` compares; compute it once per picture (about 12 kB)."""
    ratio = math.sqrt(min(max(image.width / image.height, 1 / 3), 3))
    size = (round(_SIDE_PX * ratio), round(_SIDE_PX / ratio))
    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
    return np.asarray(small, dtype=np.uint8)


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


# The store


class ImageStore:
    """Pictures on disk by the SHA-256 of their bytes: `root/ab/cd/<hash>`.

    Whole or not there: written aside in `root/tmp` and renamed. Any number of threads and
    processes may write at once. A kill leaves at worst a file in `tmp`, which `sweep` removes.
    """

    def __init__(
        self, root: Path, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels

    def put(self, data: bytes) -> ImageInfo:
        """Verifies and keeps the picture. Idempotent. Raises BadImage, TooLarge."""
        info, _ = inspect(data, max_bytes=self._max_bytes, max_pixels=self._max_pixels)
        path = self._path(info.hash)
        if not (path.is_file() and path.stat().st_size == len(data)):
            self._write(path, data)
        return info

    def has(self, digest: str) -> bool:
        return _is_digest(digest) and self._path(digest).is_file()

    def read(self, digest: str) -> bytes:
        """The bytes as they were put. Raises NotFound; bytes that are no longer those of the
        hash (a damaged disk) are dropped and count as not found."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise _missing(digest) from None
        if hashlib.sha256(data).hexdigest() != digest:
            self.drop(digest)
            raise _missing(digest)
        return data

    def open(self, digest: str, side_px: int | None = None) -> Image.Image:
        """The decoded picture, see `decode`."""
        data = self.read(digest)
        return decode(data, side_px=side_px, max_bytes=self._max_bytes, max_pixels=self._max_pixels)

    def thumbnail(self, digest: str, side_px: int = 320) -> bytes:
        """A JPEG whose longer side is at most `side_px` (16 to 2048), kept on disk once made."""
        if not 16 <= side_px <= 2048:
            raise BadQuery(f"thumbnail of {side_px} px", hint="ask for 16 to 2048 pixels")
        path = self._path(digest, f"thumbnails/{side_px}").with_suffix(".jpg")
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        image = self.open(digest, side_px)
        image.thumbnail((side_px, side_px), Image.Resampling.BICUBIC, reducing_gap=2)
        sink = io.BytesIO()
        image.save(sink, "JPEG", quality=82, optimize=True)
        self._write(path, sink.getvalue())
        return sink.getvalue()

    def drop(self, digest: str) -> None:
        """Forgets the picture and its thumbnails; an unknown one is fine."""
        if not _is_digest(digest):
            return
        self._path(digest).unlink(missing_ok=True)
        for folder in self._root.glob("thumbnails/*"):
            path = self._path(digest, f"thumbnails/{folder.name}").with_suffix(".jpg")
            path.unlink(missing_ok=True)

    def sweep(self, older_s: float = 3600) -> int:
        """Removes what killed writers left behind longer ago than `older_s`; says how many."""
        removed = 0
        for path in self._root.glob("tmp/*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - older_s:
                    path.unlink()
                    removed += 1
        return removed

    def _path(self, digest: str, folder: str = "") -> Path:
        if not _is_digest(digest):
            raise _missing(digest)
        return self._root / folder / digest[:2] / digest[2:4] / digest

    def _write(self, path: Path, data: bytes) -> None:
        part = self._root / "tmp" / secrets.token_hex(16)
        for folder in (part.parent, path.parent):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _is_digest(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", text) is not None


def _missing(digest: str) -> NotFound:
    return NotFound(f"no image {digest[:64]!r}", hint="run `lensback sync` to fetch it again")
