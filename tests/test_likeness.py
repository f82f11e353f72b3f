"""The very same photograph at two stores, and what only looks like it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from drawing import drawn
from lensback.images import crop, decode
from lensback.likeness import SAME_PHOTOGRAPH, likeness, signature


def saved(image: Image.Image, quality: int) -> bytes:
    image.save(buffer := io.BytesIO(), "JPEG", quality=quality)
    return buffer.getvalue()


def shot(image: Image.Image, box: tuple[float, float, float, float], scale: float) -> Image.Image:
    """As another store would show it: cropped, rescaled, recompressed."""
    part = crop(image, box)
    part = part.resize(
        (round(part.width * scale), round(part.height * scale)), Image.Resampling.BICUBIC
    )
    return decode(saved(part, 60))


@given(st.tuples(*[st.floats(0, 0.15)] * 4), st.floats(0.4, 1), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_a_cropped_rescaled_recompressed_picture_is_the_same(
    cuts: tuple[float, float, float, float], scale: float, seed: int
) -> None:
    whole = drawn(450, 560, seed=seed).filter(ImageFilter.GaussianBlur(1))
    other = shot(whole, (cuts[0], cuts[1], 1 - cuts[2], 1 - cuts[3]), scale)
    a, b = signature(whole), signature(other)
    assert likeness(a, b) > SAME_PHOTOGRAPH
    assert likeness(a, b) == likeness(b, a)


def test_another_color_or_another_detail_is_not_the_same() -> None:
    whole = drawn(450, 560)
    mine = signature(whole)
    assert likeness(mine, mine) > 0.999
    for color in ("navy", "black", "darkgreen", "crimson", "white"):
        other = shot(drawn(450, 560, color=color), (0.05, 0.05, 0.95, 1), 0.7)
        assert (likeness(mine, signature(other)) >= SAME_PHOTOGRAPH) is (color == "navy"), color
    patched = whole.copy()
    patched.paste("orange", (200, 420, 270, 460))
    assert likeness(mine, signature(patched)) < SAME_PHOTOGRAPH
    mirrored = whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert likeness(mine, signature(mirrored)) < SAME_PHOTOGRAPH


@given(st.integers(8, 900), st.integers(8, 900), st.integers(8, 900), st.integers(8, 900))
@settings(max_examples=25, deadline=None)
def test_likeness_of_any_two_shapes_is_a_share(w: int, h: int, x: int, y: int) -> None:
    flat, noise = Image.new("RGB", (w, h), "white"), Image.effect_noise((x, y), 90)
    for one in (flat, drawn(w, h)):
        for other in (noise.convert("RGB"), Image.new("RGB", (x, y), "black")):
            assert 0 <= likeness(signature(one), signature(other)) < SAME_PHOTOGRAPH
    assert likeness(signature(flat), signature(flat)) == 1


@pytest.mark.data
def test_outlet_pictures_find_their_originals(data: Path) -> None:
    """The same photographs at two stores; other colours of the same garment are the trap."""
    shops = data / "shops"
    names = sorted(path.name for path in (shops / "outlet" / "images").iterdir())[::4]

    def seen(store: str, name: str) -> Any:
        return signature(decode((shops / store / "images" / name).read_bytes()))

    luma = sorted(path.name for path in (shops / "luma" / "images").iterdir())
    for name in names:
        mine = seen("outlet", name)
        assert likeness(mine, seen("luma", name)) >= SAME_PHOTOGRAPH
        for other in luma:
            if other != name and other.split("-")[0] == name.split("-")[0]:
                assert likeness(mine, seen("luma", other)) < SAME_PHOTOGRAPH, (name, other)
