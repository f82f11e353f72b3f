"""`profiles`: whatever a file says its numbers mean, the same colours come out."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import icc
from lensback import profiles
from lensback.images import decode

RIGHT = 3.0
"""Mean difference, 0 to 255, that lossy packing may leave."""
EVERY = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF")


@functools.cache
def meant() -> np.ndarray:
    """Colours of cloth that fit into every space used here, in soft bands."""
    x, y = np.meshgrid(np.linspace(0, 1, 120), np.linspace(0, 1, 90))
    bands = [
        110 + 70 * np.sin(5 * x + 3 * y),
        120 + 60 * np.cos(4 * y),
        125 + 65 * np.sin(6 * y - x),
    ]
    return np.stack(bands, axis=-1).round().astype(np.uint8)


def saved(pixels: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    pillow_heif.register_heif_opener()
    sink = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    if kind in ("JPEG", "WEBP", "AVIF", "HEIF"):
        options = {"quality": 95, **options}
    image.save(sink, kind, **options)
    return sink.getvalue()


def off(data: bytes, pixels: np.ndarray, **options: Any) -> float:
    image = decode(data, **options)
    assert image.mode == "RGB"
    return float(np.abs(np.asarray(image, np.int16) - pixels).mean())


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("space", icc.SCREENS)
def test_a_screen_s_profile_is_applied(space: str, kind: str) -> None:
    told = icc.brought(meant(), space)
    assert off(saved(told, kind, icc_profile=icc.screen(space)), meant()) < RIGHT
    if space not in ("sRGB", "Display P3"):
        assert off(saved(told, kind), meant()) > 5


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_beside_transparency_too(kind: str) -> None:
    solid = Image.fromarray(icc.brought(meant(), "ProPhoto")).convert("RGBA")
    solid.paste((0, 0, 0, 0), (60, 0, 120, 90))
    image = np.asarray(decode(saved(solid, kind, icc_profile=icc.screen("ProPhoto"))), np.int16)
    assert np.abs(image[:, :55] - meant()[:, :55]).mean() < RIGHT
    assert (image[:, 65:] >= 253).all()


@pytest.mark.parametrize("side_px", [None, 20])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_the_profile_of_a_press(kind: str, side_px: int | None) -> None:
    inks = np.repeat(
        np.repeat(np.random.default_rng(1).integers(0, 9, (6, 6, 4)) / 8, 16, 0), 16, 1
    )
    numbers = Image.frombytes("CMYK", (96, 96), (inks * 255).round().astype(np.uint8).tobytes())
    right = np.asarray(Image.fromarray(icc.printed(inks)), np.int16)
    if side_px:
        right = right.reshape(24, 4, 24, 4, 3).mean((1, 3))
    data = saved(numbers, kind, icc_profile=icc.press())
    image = decode(data, side_px=side_px)
    got = np.asarray(image.resize(right.shape[1::-1], Image.Resampling.BOX), np.int16)
    assert np.abs(got - right).mean() < RIGHT
    naive = np.asarray(decode(saved(numbers, kind), side_px=side_px).resize(image.size), np.int16)
    assert np.abs(naive - np.asarray(image, np.int16)).mean() > 15


def test_cmyk_without_a_profile_is_shown_as_browsers_do() -> None:
    numbers = Image.new("CMYK", (16, 16), (255, 102, 0, 51))
    for data in (saved(numbers, "TIFF"), saved(numbers, "JPEG", subsampling=0)):
        assert off(data, np.array([0, 122, 204])) < 2
    broken = saved(numbers, "TIFF", icc_profile=icc.press()[:2000])
    assert off(broken, np.array([0, 122, 204])) < 2


def test_ycck() -> None:
    """Adobe's: inks as the YCbCr of what they leave, the marker says transform 2."""
    inks = np.full((16, 16, 4), (200, 60, 20, 40), np.uint8)
    bands = np.asarray(Image.fromarray(inks[..., :3]).convert("YCbCr"))
    stored = np.concatenate([255 - bands, inks[..., 3:]], axis=-1)
    data = saved(Image.frombytes("CMYK", (16, 16), stored.tobytes()), "JPEG", subsampling=0)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    right = np.array([(255 - ink) * 215 / 255 for ink in (200, 60, 20)])
    assert off(data[:at] + b"\2" + data[at + 1 :], right) < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("power", [1.0, 1.8, 2.8])
def test_grey_with_its_own_curve(kind: str, power: float) -> None:
    ramp = np.repeat(np.arange(16, 256, 16, dtype=np.uint8)[None], 16, 0).repeat(16, 1)
    right = (icc.signal((ramp / 255) ** power, 0) * 255)[..., None]
    assert off(saved(ramp, kind, icc_profile=icc.grey(power)), right) < RIGHT
    if kind == "PNG":
        clear = Image.merge("LA", [Image.fromarray(ramp), Image.new("L", ramp.shape[::-1], 255)])
        assert off(saved(clear, kind, icc_profile=icc.grey(power)), right) < RIGHT


def test_grey_with_the_profile_of_a_screen() -> None:
    ramp = np.repeat(np.arange(16, 256, 16, dtype=np.uint8)[None], 16, 0).repeat(16, 1)
    right = (icc.signal((ramp / 255) ** 1.8, 0) * 255)[..., None]
    assert off(saved(ramp, "JPEG", icc_profile=icc.screen("ProPhoto")), right) < RIGHT


def test_lab() -> None:
    colours = {(255, 255, 255): (255, 0, 0), (0, 0, 0): (0, 0, 0), (0, 128, 0): (118, -50, 50)}
    for right, (light, a, b) in colours.items():
        lab = Image.frombytes("LAB", (16, 16), bytes([light, a % 256, b % 256]) * 256)
        assert off(saved(lab, "TIFF"), np.array(right)) < 6, right
        assert off(saved(lab.resize((64, 64)), "TIFF"), np.array(right), side_px=8) < 6, right


@pytest.mark.parametrize(
    "broken",
    {
        "noise": b"\xa5" * 900,
        "short": icc.screen("ProPhoto")[:60],
        "cut": icc.screen("ProPhoto")[:300],
        "of a press": icc.press(3),
        "of grey": icc.grey(1.0),
        "a link": icc.screen("ProPhoto").replace(b"mntr", b"link"),
        "too large": icc.screen("ProPhoto") + bytes(profiles.MAX_PROFILE_BYTES),
        "without tags": icc.profile(b"mntr", b"RGB ", b"XYZ ", {}),
    }.items(),
    ids=lambda case: case[0],
)
def test_a_profile_that_cannot_be_used_means_srgb(broken: tuple[str, bytes]) -> None:
    kind = "PNG" if broken[0] != "too large" else "TIFF"
    assert off(saved(meant(), kind, icc_profile=broken[1]), meant()) == 0


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=20), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_damaged_profile_never_makes_a_picture_bad(
    damage: list[tuple[int, int]], press: bool
) -> None:
    profile = bytearray(icc.press(3) if press else icc.screen("Display P3"))
    for at, value in damage:
        profile[at % len(profile)] = value
    mode = "CMYK" if press else "RGB"
    image = profiles.to_srgb(Image.new(mode, (9, 9), 77), bytes(profile))
    assert (image.mode, image.size) == ("RGB", (9, 9))


# What PNG, AVIF and HEIC say without a profile


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


GAMA = chunk(b"gAMA", struct.pack(">I", 100_000))
"""Light itself."""
USUAL = chunk(b"gAMA", struct.pack(">I", 45_455))
CHRM_P3 = chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
SRGB = chunk(b"sRGB", b"\0")
CICP_P3 = chunk(b"cICP", bytes([12, 13, 0, 1]))
CICP_LINEAR = chunk(b"cICP", bytes([1, 8, 0, 1]))


@pytest.mark.parametrize(
    ("chunks", "space"),
    {
        "gAMA": (GAMA, "linear"),
        "gAMA of every old tool": (USUAL, "sRGB"),
        "gAMA and cHRM": (USUAL + CHRM_P3, "Display P3"),
        "cHRM alone says nothing": (CHRM_P3, "sRGB"),
        "sRGB before gAMA": (GAMA + SRGB, "sRGB"),
        "cICP": (CICP_P3, "Display P3"),
        "cICP before sRGB": (SRGB + CICP_LINEAR, "linear"),
        "cICP of video's range says nothing": (chunk(b"cICP", bytes([12, 8, 0, 0])), "sRGB"),
        "no gamma at all": (chunk(b"gAMA", bytes(4)), "sRGB"),
        "places that are none": (USUAL + chunk(b"cHRM", bytes(32)), "sRGB"),
    }.values(),
)
def test_chunks_of_png(chunks: bytes, space: str) -> None:
    data = saved(icc.brought(meant(), space), "PNG")
    assert off(data[:33] + chunks + data[33:], meant()) < 1.5


def test_a_profile_goes_before_gamma_and_cicp_before_a_profile() -> None:
    data = saved(icc.brought(meant(), "ProPhoto"), "PNG", icc_profile=icc.screen("ProPhoto"))
    assert off(data[:33] + GAMA + data[33:], meant()) < 1.5
    data = saved(icc.brought(meant(), "Display P3"), "PNG", icc_profile=icc.screen("ProPhoto"))
    assert off(data[:33] + CICP_P3 + data[33:], meant()) < 1.5


@pytest.mark.parametrize(
    ("primaries", "transfer", "space"), [(12, 13, "Display P3"), (1, 8, "linear")]
)
def test_code_points_of_heic(primaries: int, transfer: int, space: str) -> None:
    told = Image.fromarray(icc.brought(meant(), space))
    data = saved(told, "HEIF", color_primaries=primaries, transfer_characteristics=transfer)
    assert b"colrnclx" in data
    at = data.index(b"colrnclx") + 8
    data = data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]
    assert off(data, meant()) < RIGHT


@pytest.mark.parametrize("transfer", [16, 18])
def test_a_picture_of_high_dynamic_range_is_neither_black_nor_washed_out(transfer: int) -> None:
    """Diffuse white of BT.2408: 58 % of the signal of PQ, 75 % of HLG."""
    for share, low, high in (
        (0.58 if transfer == 16 else 0.75, 240, 255),
        (0, 0, 2),
        (1, 255, 255),
    ):
        flat = Image.new("RGB", (9, 9), (round(share * 255),) * 3)
        image = profiles.to_srgb(flat, profiles._coded(9, transfer))
        assert all(low <= value <= high for value in image.getpixel((4, 4))), (share, transfer)  # type: ignore[union-attr]


# The cache


def test_a_profile_of_srgb_costs_nothing_and_changes_nothing() -> None:
    profile = icc.screen("sRGB")
    assert not profiles.changes(profile, "RGB")
    assert not profiles.changes(b"", "RGB")
    assert profiles.changes(icc.screen("Display P3"), "RGB")
    assert profiles.changes(icc.screen("ProPhoto"), "LA")
    assert profiles.changes(icc.press(3), "CMYK")
    assert not profiles.changes(icc.press(3), "RGBA")


def test_transforms_are_kept_and_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "_ready", {})
    monkeypatch.setattr(profiles, "MAX_TRANSFORMS", 4)
    made: list[bytes] = []
    build = profiles._made
    monkeypatch.setattr(profiles, "_made", lambda p, mode: (made.append(p), build(p, mode))[1])
    image = Image.new("RGB", (9, 9), (200, 100, 50))
    first = icc.screen("Display P3")
    for n in range(20):
        profiles.to_srgb(image, icc.screen("ProPhoto") + bytes(n))
        profiles.to_srgb(image, first)
    assert made.count(first) == 1
    assert len(made) == 21
    assert len(profiles._ready) == 4


def test_threads_share_the_transforms() -> None:
    image = Image.fromarray(icc.brought(meant(), "Adobe RGB"))
    profile = icc.screen("Adobe RGB")
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: profiles.to_srgb(image, profile).tobytes(), range(64)))
    assert len(set(done)) == 1
