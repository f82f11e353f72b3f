"""What a picture would cost to decode, told by its header alone; no pixel is decoded here.

The figures are of one core of 2026 and on the high side: they choose the lane that a picture takes,
and refuse what no lane takes. What the header hides is met by the limits of the process that decodes.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lensback.errors import TooLarge

MAX_SECONDS = 5.0
MAX_MEMORY = 384 << 20
MAX_SCANS = 64
"""Of one JPEG: encoders make ten or so."""
MAX_SEGMENTS = 1000
"""Before the pixels of a JPEG; a colour profile has 255 at the most."""
MAX_FILL = 64 << 10
"""Bytes before a segment of a JPEG that say nothing: most encoders write none."""
MAX_CHUNKS = 20_000
"""Of one PNG: 20 MB in pieces of a kilobyte."""
MAX_PROFILES = 4
"""Of one PNG, which should have one: each may unpack to a megabyte."""
MAX_SIZES = 1000
"""Sizes that one AVIF or HEIF announces: of a picture in tiles all have the same."""

_S_PER_BYTE = 30e-9
"""For formats with lists of many small parts."""
_FRAMES = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a processor and bytes of memory that decoding takes; width and height, 0 where the
    header does not say."""

    seconds: float = 0.0
    memory: int = 0
    width: int = 0
    height: int = 0


UNKNOWN = Cost()
Weight = Callable[[int | None], Cost]
"""A shorter side that suffices (None: whole) -> what decoding to it at least costs."""


def weigh(data: bytes, side_px: int | None = None) -> Cost:
    """The cost of decoding to a shorter side of `side_px` at least (None: whole). Raises TooLarge."""
    return weight_of(data)(side_px)


def weight_of(data: bytes) -> Weight:
    """The cost at every side: the header is read once, which takes a while where it is hostile. Bytes of
    no known format cost nothing: they are refused by the decoder's first look.

    Raises TooLarge where the parts of the file are too many for a picture.
    """
    for magic, read in _FORMATS:
        if magic.match(data):
            try:
                found = read(data)
            except (struct.error, IndexError, ValueError):  # cut off: the decoder says so
                return _always(UNKNOWN)
            return _always(found) if isinstance(found, Cost) else found
    return _always(UNKNOWN)


def _always(cost: Cost) -> Weight:
    return lambda _: cost


def check(cost: Cost, max_pixels: int) -> None:
    """Raises TooLarge for what is not worth decoding."""
    if cost.width * cost.height > max_pixels:
        raise TooLarge(
            f"{cost.width} x {cost.height} pixels, the limit is {max_pixels} in all",
            hint="send a smaller picture",
        )
    if cost.memory > MAX_MEMORY or cost.seconds > MAX_SECONDS:
        raise too_costly()


def too_costly() -> TooLarge:
    """The error for a picture that takes more memory or time than a picture is worth."""
    return TooLarge(
        "decoding this picture takes more memory or time than we give to one",
        hint="send a smaller picture, or save it anew as an ordinary JPEG",
    )


def _too_many(what: str, most: int) -> TooLarge:
    return TooLarge(
        f"more than {most} {what} in one picture", hint="save it anew as an ordinary JPEG"
    )


def _cost(width: int, height: int, ns: float, bytes_each: float, extra_s: float = 0.0) -> Cost:
    pixels = width * height
    return Cost(pixels * ns * 1e-9 + extra_s, int(pixels * bytes_each), width, height)


def _jpeg(data: bytes) -> Weight:
    """A baseline picture is decoded at a fraction; one of several scans is kept whole, as
    coefficients of two bytes, and walked through once for each scan."""
    kind, at = _frame(data)
    height, width, parts = struct.unpack_from(">HHB", data, at + 5)
    return partial(_jpeg_to, kind, (width, height, parts), _scans(data, at, kind, parts))


def _jpeg_to(kind: int, sides: tuple[int, int, int], scans: int, side_px: int | None) -> Cost:
    width, height, parts = sides
    shrunk = _fraction(min(width, height), side_px)
    ns, memory = (5.0 if shrunk > 1 else 10.0), 8 / shrunk**2
    if scans > 1:
        ns += 3.0 * scans
        memory += 2 * parts
    if kind >= 0xC9:  # arithmetic coding
        ns *= 5
    return _cost(width, height, ns, memory)


def _fraction(side: int, side_px: int | None) -> int:
    """1, 2, 4 or 8: by how much a JPEG is decoded smaller."""
    return min(8, 1 << max(0, (side // side_px).bit_length() - 1)) if side_px else 1


def _frame(data: bytes) -> tuple[int, int]:
    """Kind and place of the marker that starts the frame. Raises TooLarge for too many before it."""
    begin = 2
    for _ in range(MAX_SEGMENTS):
        at = _marker(data, begin)
        if _FRAMES.match(data, at):
            return data[at + 1], at
        begin = _after(data, at)
    raise _too_many("segments", MAX_SEGMENTS)


def _scans(data: bytes, at: int, kind: int, parts: int) -> int:
    """Scans that a decoder walks through: one where the first holds all of a sequential picture."""
    if kind & 3 != 2:
        begin, steps = at, 0
        while data[begin + 1] != 0xDA:
            begin, steps = _marker(data, _after(data, begin)), steps + 1
            if steps > MAX_SEGMENTS:
                raise _too_many("segments", MAX_SEGMENTS)
        if data[begin + 4] >= parts:
            return 1
    scans = max(1, data.count(b"\xff\xda"))  # inside of a scan these bytes cannot stand
    return scans if scans <= MAX_SCANS else _walked(data, at)


def _walked(data: bytes, at: int) -> int:
    """Scans, segment by segment: others may hold the same two bytes (a small picture within EXIF).
    Raises TooLarge for too many."""
    scans = 0
    for _ in range(MAX_SEGMENTS):
        scans += data[at + 1] == 0xDA
        if scans > MAX_SCANS:
            break
        try:
            at = _next(data, at)
        except (ValueError, IndexError, struct.error):  # the end
            return max(1, scans)
    raise _too_many("scans", MAX_SCANS)


_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd9]")
"""Of a row of fill bytes (0xFF) the last alone: to begin at each of them would take the square of their
number."""


def _marker(data: bytes, begin: int) -> int:
    """Place of the next marker before any pixels. Raises TooLarge for too much that says nothing, and
    ValueError at the end."""
    end = begin + MAX_FILL + 2
    found = _MARKER.search(data, begin, end)
    if found is None and end < len(data):
        raise _too_many("fill bytes", MAX_FILL)
    if found is None:
        raise ValueError
    return found.start()


def _next(data: bytes, at: int) -> int:
    """Place of the marker after the one at `at`. Raises ValueError, struct.error at the end."""
    found = _MARKER.search(data, _after(data, at))
    if found is None:
        raise ValueError
    return found.start()


def _after(data: bytes, at: int) -> int:
    """Where the segment ends whose marker is at `at`. Raises struct.error at the end."""
    return at + 2 + int(struct.unpack_from(">H", data, at + 2)[0])


def _png(data: bytes) -> Cost:
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    at, chunks, found = 8, 0, Counter[bytes]()
    while at + 8 <= len(data):
        chunks += 1
        if chunks > MAX_CHUNKS:
            raise _too_many("chunks", MAX_CHUNKS)
        found[data[at + 4 : at + 8]] += 1
        at += 12 + int(struct.unpack_from(">I", data, at)[0])
    if found[b"iCCP"] > MAX_PROFILES:
        raise _too_many("profiles", MAX_PROFILES)
    clear = colour in (4, 6) or b"tRNS" in found
    ns = 40.0 * (2 if depth == 16 else 1) * (1.5 if interlaced else 1) * (1.5 if clear else 1)
    return _cost(width, height, ns, 17 if clear else 10 if depth == 16 else 8)


def _gif(data: bytes) -> Cost:
    width, height = struct.unpack_from("<HH", data, 6)
    return _cost(width, height, 30, 14, len(data) * 2 * _S_PER_BYTE)


def _bmp(data: bytes) -> Cost:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return _cost(abs(width), abs(height), 10, 9)


def _webp(data: bytes) -> Cost:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        return _cost(width, height, 25, 17)
    if kind == b"VP8L":
        bits = int(struct.unpack_from("<I", data, 21)[0])
        return _cost((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 60, 21)
    sides = data[24:30]
    width, height = int.from_bytes(sides[:3], "little") + 1, int.from_bytes(sides[3:], "little") + 1
    return _cost(width, height, 60, 21, len(data) * _S_PER_BYTE)


def _boxed(data: bytes) -> Cost:
    """AVIF and HEIF: the largest of the pictures that any `ispe` box announces."""
    at, largest, sizes = 0, (0, 0), 0
    while (at := data.find(b"ispe", at, 1 << 20)) >= 0:
        at, sizes = at + 4, sizes + 1
        if sizes > MAX_SIZES:
            raise _too_many("sizes", MAX_SIZES)
        if data[at - 8 : at - 4] == b"\0\0\0\x14":
            largest = max(largest, struct.unpack_from(">II", data, at + 4), key=_area)
    return _cost(*largest, 45, 10, len(data) * _S_PER_BYTE)


def _area(sides: tuple[int, int]) -> int:
    return sides[0] * sides[1]


_TIFF_SIZES = {1: "B", 3: "H", 4: "I", 16: "Q"}


def _tiff(data: bytes) -> Cost:
    """The first directory's width, height, samples and bits."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    at = int(struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0])
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    at += 8 if big else 2
    found: dict[int, int] = {}
    for _ in range(min(count, 4096)):
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if kind in _TIFF_SIZES and tag in (256, 257, 277):
            found[tag] = int(
                struct.unpack_from(order + _TIFF_SIZES[kind], data, at + (12 if big else 8))[0]
            )
        at += 20 if big else 12
    width, height, samples = (found.get(tag, 1) for tag in (256, 257, 277))
    return _cost(width, height, 25 * max(1, min(samples, 8)), 17, len(data) * 2 * _S_PER_BYTE)


_FORMATS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Cost | Weight]], ...] = tuple(
    (re.compile(magic, re.DOTALL), read)
    for magic, read in (
        (rb"\xff\xd8\xff", _jpeg),
        (rb"\x89PNG\r\n\x1a\n", _png),
        (rb"RIFF....WEBP", _webp),
        (rb"....ftyp", _boxed),
        (rb"GIF8[79]a", _gif),
        (rb"BM", _bmp),
        (rb"II[*+]\0|MM\0[*+]", _tiff),
    )
)
