"""Interlaced pictures without their end: a coarse view of the whole comes first, and browsers draw it in
blocks until the rest is there. So do we, from every fourth row (of PNG: and column) on."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type of a PNG -> channels."""
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
          (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # fmt: skip
"""Of each pass of a PNG: first column, first row, steps to the next (PNG, third edition, 8.1)."""
_ROUGH = 3
"""Passes of a PNG that hold every fourth row and column."""
_GIF = ((0, 8), (4, 8), (2, 4), (1, 2))
"""Of each pass of a GIF: first row, step (GIF89a, appendix E)."""
_ROUGH_GIF = 2
"""Passes of a GIF that hold every fourth row."""
_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Channels -> colour type."""


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def raw_bytes(width: int, height: int, bits: int) -> int:
    """Bytes of the unpacked passes of a PNG with so many bits a pixel."""
    return sum(high * _row(wide, bits) for *_, wide, high in _passes(width, height))


def whole_png(head: bytes, raw: bytes) -> tuple[bytes, bytes] | None:
    """Header and unpacked pixels of a PNG that is not interlaced and shows what is there of one that is. Channels
    of two bytes keep the high one where there are three and more. None where not even every fourth row and
    column is there."""
    width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", head)
    bits, whole = depth * CHANNELS[kind], None
    for number, (x, y, dx, dy, wide, high) in enumerate(_passes(width, height)):
        rows = min(high, len(raw) // _row(wide, bits))
        if number < _ROUGH and rows < high:
            return None
        if rows:
            part, raw = raw[: rows * _row(wide, bits)], raw[rows * _row(wide, bits) :]
            pixels = _pixels(part, wide, rows, depth, kind)
            if whole is None:
                whole = np.zeros((height, width, pixels.shape[2]), np.uint8)
            _blocks(whole[y : y + dy * rows], pixels, x, dx, dy, dy - y)
        if rows < high:
            break
    if whole is None:
        return None
    if depth < 8:
        whole = _packed(whole, depth)
    depth = 8 if bits > 32 else depth
    lines = whole.reshape(height, -1)
    unfiltered = np.hstack([np.zeros((height, 1), np.uint8), lines]).tobytes()
    return struct.pack(">IIBBBBB", width, height, depth, kind, *rest[:2], 0), unfiltered


def gif_rows(height: int) -> NDArray[np.intp]:
    """Numbers of the rows of an interlaced GIF in the order in which they come."""
    return np.concatenate([np.arange(first, height, step) for first, step in _GIF])


def whole_gif(rows: NDArray[np.uint8], there: int) -> NDArray[np.uint8] | None:
    """The rows of an interlaced GIF of which so many have come, lost ones like the one above that has.
    None where not even every fourth row is there."""
    height = len(rows)
    if there < sum(len(range(first, height, step)) for first, step in _GIF[:_ROUGH_GIF]):
        return None
    come = np.zeros(height, bool)
    come[gif_rows(height)[:there]] = True
    above = np.maximum.accumulate(np.where(come, np.arange(height), 0))
    return rows[above]


def _row(wide: int, bits: int) -> int:
    """Bytes of a row with its filter."""
    return 1 + (wide * bits + 7) // 8


def _passes(width: int, height: int) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Each pass that holds pixels: first column, first row, steps, how many columns and rows."""
    for x, y, dx, dy in _ADAM7:
        wide, high = len(range(x, width, dx)), len(range(y, height, dy))
        if wide and high:
            yield x, y, dx, dy, wide, high


def _pixels(part: bytes, wide: int, rows: int, depth: int, kind: int) -> NDArray[np.uint8]:
    """The pixels of a pass, uint8 [rows, wide, bytes of a pixel], several in a byte taken apart. Pillow
    undoes the filters, which know of bytes a pixel and of nothing else."""
    size = max(1, depth * CHANNELS[kind] // 8)
    across = len(part) // rows - 1
    if size in _TYPES:
        head = struct.pack(">IIBBBBB", across // size, rows, 8, _TYPES[size], 0, 0, 0)
    else:  # three or four channels of two bytes each
        head = struct.pack(">IIBBBBB", wide, rows, depth, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(part, 1)) + chunk(b"IEND", b"")
    image = Image.open(io.BytesIO(SIGNATURE + body), formats=("PNG",))
    found = np.asarray(image).reshape(rows, -1)
    if depth >= 8:
        return found.reshape(rows, wide, -1)
    bits = np.unpackbits(found, axis=1).reshape(rows, -1, depth)[:, :wide]
    values = bits @ (1 << np.arange(depth)[::-1]).astype(np.uint8)
    return values[..., None]


def _packed(values: NDArray[np.uint8], depth: int) -> NDArray[np.uint8]:
    """Pixels of less than a byte, several in a byte again."""
    bits = (values >> np.arange(depth)[::-1].astype(np.uint8)) & 1
    return np.packbits(bits.reshape(len(values), -1), axis=1)


def _blocks(
    whole: NDArray[np.uint8], pixels: NDArray[np.uint8], x: int, dx: int, dy: int, high: int
) -> None:
    """Each pixel as the block that later passes refine (as libpng draws it). `whole` begins at the first row
    of the pass and ends below its last."""
    for down in range(high):
        for right in range(x, dx):
            part = whole[down::dy, right::dx]
            part[:] = pixels[: part.shape[0], : part.shape[1]]
