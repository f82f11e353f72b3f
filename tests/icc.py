"""ICC profiles made for tests, after ICC.1:2010: of a screen, of grey, of a printing press."""

from __future__ import annotations

import itertools
import struct

import numpy as np

# Colourants adapted to D50 as the makers of these spaces publish them (Apple's Display P3, Adobe's
# AdobeRGB1998, ROMM RGB of ISO 22028-2), red, green and blue; then the exponent, 0 for sRGB's.
SCREENS = {
    "Display P3": (
        ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)),
        0.0,
    ),
    "Adobe RGB": (
        ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
        563 / 256,
    ),
    "ProPhoto": (
        ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)),
        1.8,
    ),
    "linear": (
        ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141)),
        1.0,
    ),
    "sRGB": (
        ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141)),
        0.0,
    ),
}
D50 = np.array([0.9642, 1.0, 0.8249])


def light(signal: np.ndarray, power: float) -> np.ndarray:
    """0 to 1 -> light, by an exponent or sRGB's curve."""
    if power:
        return signal**power
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def signal(linear: np.ndarray, power: float) -> np.ndarray:
    linear = linear.clip(0, 1)
    if power:
        return linear ** (1 / power)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def brought(pixels: np.ndarray, space: str) -> np.ndarray:
    """sRGB pixels (uint8) as the numbers of another space."""
    colourants, power = SCREENS[space]
    xyz = light(pixels / 255, 0) @ np.array(SCREENS["sRGB"][0])
    return (signal(xyz @ np.linalg.inv(np.array(colourants)), power) * 255).round().astype(np.uint8)


def screen(space: str) -> bytes:
    colourants, power = SCREENS[space]
    curve = struct.pack(">4sIHHi", b"para", 0, 0, 0, round(power * 65536))
    if not power:
        numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        curve = struct.pack(">4sIHH5i", b"para", 0, 3, 0, *(round(v * 65536) for v in numbers))
    tags = {b"wtpt": _xyz(D50)}
    for name, place in zip(b"rgb", colourants, strict=True):
        tags[bytes([name]) + b"XYZ"] = _xyz(np.array(place))
        tags[bytes([name]) + b"TRC"] = curve
    return profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey(power: float) -> bytes:
    curve = struct.pack(">4sIHHi", b"para", 0, 0, 0, round(power * 65536))
    return profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(D50), b"kTRC": curve})


INKS = np.array([[0.15, 0.55, 0.85], [0.85, 0.15, 0.5], [0.95, 0.9, 0.1], [0.05, 0.05, 0.05]])
"""What cyan, magenta, yellow and black let through of linear red, green and blue."""


def printed(inks: np.ndarray) -> np.ndarray:
    """Shares of ink [..., 4] -> sRGB pixels (uint8): this press multiplies what its inks let through."""
    through = np.prod(1 - inks[..., None] * (1 - INKS), axis=-2)
    return (signal(through, 0) * 255).round().astype(np.uint8)


def press(steps: int = 9) -> bytes:
    """The profile of that press: a table from CMYK to Lab."""
    shares = np.array(list(itertools.product(np.linspace(0, 1, steps), repeat=4)))
    through = np.prod(1 - shares[..., None] * (1 - INKS), axis=-2)
    lab = _lab(through @ np.array(SCREENS["sRGB"][0]))
    coded = (lab + np.array([0, 128, 128])) * np.array(
        [65280 / 100, 256, 256]
    )  # lut16's Lab of version 2
    ramp = struct.pack(">2H", 0, 65535)
    table = struct.pack(">4sI4B", b"mft2", 0, 4, 3, steps, 0)
    table += struct.pack(">9i", *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536)) + struct.pack(">2H", 2, 2)
    table += ramp * 4 + coded.round().clip(0, 65535).astype(">u2").tobytes() + ramp * 3
    return profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(D50), b"A2B0": table})


def profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    begin = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, begin + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", begin + len(body), b"", 0x02400000, kind, space, connection)
    head += bytes(12) + b"acsp" + bytes(28) + _xyz(D50)[8:]
    return head.ljust(128, b"\0") + table + body


def _xyz(place: np.ndarray) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(value * 65536) for value in place))


def _lab(xyz: np.ndarray) -> np.ndarray:
    ratio = xyz / D50
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )
