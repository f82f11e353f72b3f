"""Interlaced PNG and GIF without their end: what browsers show is kept, from every fourth row on."""

from __future__ import annotations

import functools
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from drawing import drawn
from lensback.errors import BadImage
from lensback.images import decode

ADAM7 = "1 6 4 6 2 6 4 6/7 7 7 7 7 7 7 7/5 6 5 6 5 6 5 6/7 7 7 7 7 7 7 7/3 6 4 6 3 6 4 6/7 7 7 7 7 7 7 7/5 6 5 6 5 6 5 6/7 7 7 7 7 7 7 7"
"""The figure of the PNG specification (third edition, 8.1), with which pass a pixel comes."""
PASSES = np.array([row.split() for row in ADAM7.split("/")], int)
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [
    *((depth, 0) for depth in (1, 2, 4, 8, 16)), (8, 2), (16, 2),
    *((depth, 3) for depth in (1, 2, 4, 8)), (8, 4), (16, 4), (8, 6), (16, 6),
]  # fmt: skip
WIDE, HIGH = 301, 203


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def values(depth: int, kind: int) -> NDArray[np.int64]:
    """A drawing as numbers of so many bits, [height, width, channels]; all of it solid."""
    colour = drawn(WIDE, HIGH).convert("L" if kind in (0, 3, 4) else "RGB")
    channels = np.asarray(colour, np.int64).reshape(HIGH, WIDE, -1)
    if kind in (4, 6):
        channels = np.concatenate([channels, np.full((HIGH, WIDE, 1), 255)], axis=2)
    return channels * ((1 << depth) - 1) // 255


def line(pixels: NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    bits = (pixels.reshape(-1, 1) >> np.arange(depth)[::-1]) & 1
    return np.packbits(bits.astype(np.uint8).ravel()).astype(np.int64)


def interlaced(pixels: NDArray[np.int64], depth: int, kind: int) -> bytes:
    """An interlaced PNG whose rows have the filters none, sub and up, in turn."""
    high, wide = pixels.shape[:2]
    come = np.tile(PASSES, (high // 8 + 1, wide // 8 + 1))[:high, :wide]
    back, raw = max(1, depth * CHANNELS[kind] // 8), b""
    for number in range(1, 8):
        before: NDArray[np.int64] | None = None
        for y in np.flatnonzero((come == number).any(axis=1)):
            row = line(pixels[y][come[y] == number], depth)
            left = np.concatenate([np.zeros(back, np.int64), row])[: len(row)]
            above = np.zeros_like(row) if before is None else before
            way = int(y) // 8 % 3
            raw += bytes([way]) + ((row - (0 * row, left, above)[way]) % 256).astype("u1").tobytes()
            before = row
    grey = np.linspace(0, 255, 1 << min(depth, 8)).astype(np.uint8).repeat(3).tobytes()
    head = struct.pack(">IIBBBBB", wide, high, depth, kind, 0, 0, 1)
    middle = chunk(b"PLTE", grey) if kind == 3 else b""
    body = chunk(b"IHDR", head) + middle + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@functools.cache
def png(depth: int, kind: int) -> bytes:
    return interlaced(values(depth, kind), depth, kind)


@functools.cache
def gif(mode: str) -> bytes:
    sink = io.BytesIO()
    drawn(WIDE, HIGH).convert(mode).save(sink, "GIF", interlace=1)
    return sink.getvalue()


def off(data: bytes, share: float) -> float | None:
    """Mean difference, of 255, of what a part shows; None where it is refused."""
    try:
        cut = np.asarray(decode(data[: int(len(data) * share)]), np.int16)
    except BadImage:
        return None
    return float(np.abs(cut - np.asarray(decode(data), np.int16)).mean())


@pytest.mark.parametrize(("depth", "kind"), KINDS)
def test_an_interlaced_png_cut_short(depth: int, kind: int) -> None:
    data = png(depth, kind)
    assert decode(data).size == (WIDE, HIGH)
    assert off(data, 0.04) is None
    most = [off(data, share) for share in (0.55, 0.75, 0.95)]
    assert None not in most
    assert all(a is not None and a < limit for a, limit in zip(most, (8, 4, 1.5), strict=True))
    without_end = np.asarray(decode(data[:-12]))
    assert (without_end == np.asarray(decode(data))).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_an_interlaced_gif_cut_short(mode: str) -> None:
    data = gif(mode)
    assert off(data, 0.1) is None
    most = [off(data, share) for share in (0.6, 0.8, 0.97)]
    assert all(a is not None and a < limit for a, limit in zip(most, (10, 6, 3), strict=True))


@given(st.integers(8, 20), st.integers(8, 20), st.sampled_from(KINDS), st.floats(0.3, 1))
@settings(max_examples=60, deadline=None)
def test_small_ones_of_every_kind(
    wide: int, high: int, kind: tuple[int, int], share: float
) -> None:
    """What is there is in its place: pixels are those of the whole picture, or of their block."""
    data = interlaced(values(*kind)[:high, :wide], *kind)
    whole = np.asarray(decode(data), np.int16)
    try:
        cut = np.asarray(decode(data[: int(len(data) * share)]), np.int16)
    except BadImage:
        return
    come = np.tile(PASSES, (4, 4))[:high, :wide]
    assert (cut == whole)[come <= 3].all()


def test_a_clear_gif_stays_clear() -> None:
    """Of an animation the first frame, its clear colour and its place on the canvas."""
    sink = io.BytesIO()
    image = Image.new("P", (80, 60), 3)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 9, 9])
    image.paste(1, (20, 10, 60, 50))
    image.save(sink, "GIF", interlace=1, transparency=3)
    data = sink.getvalue()
    cut = decode(data[: int(len(data) * 0.8)])
    assert cut.getpixel((2, 2)) == (255, 255, 255)
    assert cut.getpixel((40, 20)) == (255, 0, 0)
