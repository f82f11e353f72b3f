"""Colours as the picture's file means them, turned into sRGB by littlecms.

A file says what its numbers mean in an ICC profile, in PNG's cICP, sRGB, gAMA and cHRM, or in
the nclx box of AVIF and HEIC. As in browsers: what says nothing, or nonsense, means sRGB.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import itertools
import re
import struct
import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 << 20
"""Of a larger profile nothing is believed; those of printing presses have up to 3 MB."""
MAX_TRANSFORMS = 32
"""Transforms that are kept ready; a large one holds half a megabyte."""
SAME = 2
"""A profile that moves no colour by more, of 255, is taken for sRGB: nothing is done."""

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
"""With the black point moved, the way in which most pictures were brought into their profile."""

_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")
_BROKEN = (ImageCms.PyCMSError, OSError, ValueError, TypeError, ArithmeticError)

_Floats = NDArray[np.float64]
_Place = tuple[float, float]
"""x and y of CIE 1931."""
_Places = tuple[_Place, _Place, _Place, _Place]
"""Of red, green, blue and white."""
_D50 = np.array([0.9642, 1.0, 0.8249])
_D65 = (0.3127, 0.3290)
_C = (0.310, 0.316)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_BT709: _Places = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
_PRIMARIES: dict[int, _Places] = {
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
"""ITU-T H.273, ColourPrimaries; those that are not here are taken for BT.709."""
_POWERS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
"""ITU-T H.273, TransferCharacteristics that are a power; 16 and 18 have formulas of their own, and
video's own curves (1, 6, 14, 15) are shown as sRGB, as browsers do."""
_WHITE_NITS = 203
"""Of diffuse white in a picture of high dynamic range (ITU-R BT.2408); what is brighter is white."""


def declared(image: Image.Image, data: bytes) -> bytes:
    """The ICC profile of what the numbers mean, b"" where they are sRGB or nothing sound is said.

    `image` is the opened file, `data` its bytes. No pixel is read.
    """
    with contextlib.suppress(*_BROKEN):
        kind = image.format
        if kind == "PNG" and (code := _png_code(data)):
            return _coded(*code)
        if profile := image.info.get("icc_profile"):
            return bytes(profile) if len(profile) <= MAX_PROFILE_BYTES else b""
        if kind == "PNG" and "srgb" not in image.info:
            return _measured(image.info.get("gamma"), image.info.get("chromaticity"))
        if kind in ("AVIF", "HEIF") and (found := re.search(rb"colrnclx(..)(..)", data, re.DOTALL)):
            return _coded(*(int.from_bytes(two, "big") for two in found.groups()))
    return b""


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An opaque picture (L, RGB, CMYK, LAB ...) as RGB whose numbers mean sRGB.

    A profile that is broken, or of another kind of colours than the picture, does not count; CMYK
    without one is computed as browsers do. Thread-safe.
    """
    if image.mode == "LAB":
        return _applied(image, _lab())
    if profile and image.mode == "L" and profile[16:20] == b"RGB ":
        image = image.convert("RGB")  # grey JPEGs often carry the profile of a screen
    transform = _transform(profile, image.mode) if profile else None
    return _applied(image, transform) if transform else image.convert("RGB")


def changes(profile: bytes, mode: str) -> bool:
    """Whether `to_srgb` gives other colours than without a profile; `mode` is the picture's."""
    flat = "L" if mode in ("1", "LA", "La") or mode[:1] in "IF" else mode
    flat = flat if flat in ("L", "CMYK") else "RGB"
    if flat == "L" and profile[16:20] == b"RGB ":
        flat = "RGB"
    return bool(profile) and _transform(profile, flat) is not None


def _applied(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    done = ImageCms.applyTransform(image, transform)
    if done is None:
        raise ValueError("no picture came of its colours")
    return done


_ready: dict[tuple[bytes, str], ImageCms.ImageCmsTransform | None] = {}
_lock = threading.Lock()


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Kept by the profile's digest: profiles are few, and making one costs milliseconds."""
    key = (hashlib.sha256(profile).digest(), mode)
    with _lock:
        if key in _ready:
            _ready[key] = made = _ready.pop(key)  # the last used goes last
            return made
    made = _made(profile, mode)
    with _lock:
        _ready[key] = made
        while len(_ready) > MAX_TRANSFORMS:
            del _ready[next(iter(_ready))]
    return made


def _made(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None where it cannot be used, or would change nothing that one could see."""
    if _MODES.get(profile[16:20]) != mode or profile[12:16] not in _CLASSES:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            source, _srgb(), mode, "RGB", _INTENT, ImageCms.Flags.BLACKPOINTCOMPENSATION
        )
        samples = _samples(mode)
        before = np.asarray(samples.convert("RGB"), np.int16)
        after = np.asarray(_applied(samples, transform), np.int16)
    except _BROKEN:
        return None
    return transform if np.abs(before - after).max() > SAME else None


def _samples(mode: str) -> Image.Image:
    """Colours from all over the space, a pixel each."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.linspace(0, 255, 9 if mode == "RGB" else 4).round().astype(np.uint8)
    every = np.array(list(itertools.product(steps, repeat=len(mode))), np.uint8)
    return Image.frombytes(mode, (len(every), 1), every.tobytes())


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.cache
def _lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB", _INTENT)


# What files say without a profile


def _png_code(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of a cICP chunk, where the picture is RGB of full range."""
    for name, body in _chunks(data):
        if name == b"cICP" and len(body) == 4 and body[2:] == b"\0\1":
            return body[0], body[1]
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG before its pixels: name and body."""
    at = 8
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if name == b"IDAT":
            return
        yield name, data[at + 8 : at + 8 + size]
        at += size + 12


def _measured(gamma: float | None, places: Sequence[float] | None) -> bytes:
    """PNG's gAMA and cHRM. A gamma within 5 % of 1 / 2.2 is sRGB's (libpng's threshold); without
    gAMA nothing is said."""
    if not gamma or not 0.05 <= gamma <= 5:
        return b""
    usual = abs(gamma * 2.2 - 1) <= 0.05
    known = _BT709
    if places and len(places) == 8:
        white, red, green, blue = ((places[n], places[n + 1]) for n in (0, 2, 4, 6))
        known = (red, green, blue, white)
    return _profile(known, 13, 0.0 if usual else 1 / gamma)


def _coded(primaries: int, transfer: int) -> bytes:
    """The code points of ITU-T H.273."""
    return _profile(_PRIMARIES.get(primaries, _BT709), transfer, _POWERS.get(transfer, 0.0))


@functools.lru_cache(maxsize=256)
def _profile(places: _Places, transfer: int, power: float) -> bytes:
    """A profile of three primaries, a white and one curve (ICC.1:2001-04, section 6.3.3)."""
    columns = [_xyz(place) for place in places]
    matrix = np.stack(columns[:3], axis=1)
    matrix = _adapted(columns[3]) @ (matrix * np.linalg.solve(matrix, columns[3]))
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 4:
        return b""
    curve = _curve(transfer, power)
    tags = {
        b"desc": b"desc\0\0\0\0\0\0\0\x09declared\0" + bytes(79),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": _s15(_D50),
        **{name: _s15(matrix[:, n]) for n, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))},
        **dict.fromkeys(
            (b"rTRC", b"gTRC", b"bTRC"),
            b"curv\0\0\0\0" + struct.pack(f">I{len(curve)}H", len(curve), *curve),
        ),
    }
    table, body = struct.pack(">I", len(tags)), b""
    begin = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, begin + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", begin + len(body), b"", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp").ljust(44, b"\0") + _s15(_D50)[8:]
    return head.ljust(128, b"\0") + table + body


def _xyz(place: _Place) -> _Floats:
    x, y = place
    if not y > 0:
        raise ValueError("a colour without a place")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adapted(white: _Floats) -> _Floats:
    """The matrix that carries a white to D50 (Bradford)."""
    scale = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.asarray(np.linalg.solve(_BRADFORD, scale[:, None] * _BRADFORD))


def _s15(values: _Floats) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(transfer: int, power: float) -> list[int]:
    """Light of 4096 steps of the signal, 65535 for white."""
    signal = np.linspace(0, 1, 4096)
    if power:
        light = signal**power
    elif transfer == 16:  # SMPTE ST 2084
        root = signal ** (32 / 2523)
        top = np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
        light = top ** (16384 / 2610) * 10_000 / _WHITE_NITS
    elif transfer == 18:  # ARIB STD-B67, on a screen of 1,000 nits
        scene = np.where(
            signal <= 0.5,
            signal**2 / 3,
            (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12,
        )
        light = scene**1.2 * 1000 / _WHITE_NITS
    else:
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return [int(value) for value in (light.clip(0, 1) * 65535).round()]
