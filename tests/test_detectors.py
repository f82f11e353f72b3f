"""Detectors: drawn pictures with known boxes, hostile pictures, and what every member promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from effort import within
from lensback.detectors import NAMES, open_detector
from lensback.detectors.saliency import SIDE_PX, _label, _shrink, otsu
from lensback.errors import UnknownName
from lensback.types import WHOLE, Box

SIZE = (400, 520)
BOXES: list[Box] = [
    (0.25, 0.2, 0.75, 0.8),
    (0.1, 0.3, 0.6, 0.7),
    (0.4, 0.35, 0.95, 0.9),
    (0.35, 0.1, 0.65, 0.95),
    (0.3, 0.4, 0.6, 0.6),
]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, width) * max(0.0, height)
    area = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return both / (area - both)


def thing(background: Image.Image, box: Box, colour: tuple[int, int, int]) -> Image.Image:
    image = background.copy()
    width, height = image.size
    left, top, right, bottom = (
        box[0] * width,
        box[1] * height,
        box[2] * width,
        box[3] * height,
    )
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, top, right, bottom), fill=colour)
    for step in range(1, 5):
        y = top + (bottom - top) * step / 5
        draw.line((left, y, right, y), fill=(240, 240, 240), width=4)
    return image


def cluttered(seed: int) -> Image.Image:
    """A colour gradient with soft, low-contrast texture, as a wall or a floor has."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(0, 1, SIZE[1])[:, None, None]
    start, end = rng.integers(130, 230, 3), rng.integers(130, 230, 3)
    plain = start + (end - start) * 0.4 * rows + np.zeros((1, SIZE[0], 3))
    texture = rng.normal(0, 14, (SIZE[1], SIZE[0], 1))
    image = Image.fromarray((plain + texture).clip(0, 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(1))


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("background", ["white", "cluttered"])
def test_the_box_of_a_drawn_thing_is_found(box: Box, background: str) -> None:
    behind = Image.new("RGB", SIZE, "white") if background == "white" else cluttered(3)
    regions = open_detector("saliency").find(thing(behind, box, (30, 40, 120)))
    assert overlap(regions[0].box, box) >= 0.6
    assert regions[-1].box == WHOLE
    assert regions[0].score > regions[-1].score


@pytest.mark.parametrize(
    "photo",
    [
        Image.new("RGB", SIZE, "white"),
        Image.new("RGB", SIZE, (90, 20, 20)),
        cluttered(5),
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)),
    ],
    ids=["white", "plain", "texture", "noise"],
)
def test_nothing_stands_out_leaves_the_whole(photo: Image.Image) -> None:
    assert [region.box for region in open_detector("saliency").find(photo)] == [WHOLE]


def test_a_thing_away_from_the_middle_is_left_to_the_whole() -> None:
    photo = thing(Image.new("RGB", SIZE, "white"), (0.02, 0.02, 0.2, 0.2), (200, 20, 20))
    assert [region.box for region in open_detector("saliency").find(photo)] == [WHOLE]


opened = lru_cache(open_detector)


@pytest.mark.parametrize("name", NAMES)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    mode=st.sampled_from(["RGB", "L", "RGBA", "P"]),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_any_picture_gets_valid_boxes(
    name: str, width: int, height: int, mode: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (max(1, height // 9), max(1, width // 9), 3), np.uint8)
    photo = Image.fromarray(pixels).resize((width, height)).convert(mode)
    regions = opened(name).find(photo)
    assert 1 <= len(regions) <= 17
    assert regions[-1].box == WHOLE
    for region in regions:
        x0, y0, x1, y1 = region.box
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
        assert 0 < region.score <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_same_photo_gives_the_same_regions(name: str) -> None:
    photo = thing(cluttered(1), BOXES[0], (20, 120, 60))
    detector = opened(name)
    assert detector.find(photo) == detector.find(photo.copy())
    with ThreadPoolExecutor(4) as pool:
        assert len({tuple(found) for found in pool.map(detector.find, [photo] * 8)}) == 1
    assert detector.fingerprint == open_detector(name).fingerprint


def test_long_photos_do_not_blow_up() -> None:
    assert _shrink(Image.new("RGB", (20_000, 10))).shape == (3, SIDE_PX, 3)


def test_a_photo_takes_little_time() -> None:
    photo = thing(cluttered(1), BOXES[0], (20, 120, 60))
    detector = open_detector("saliency")
    detector.find(photo)
    with within(20):  # five times 3 ms on the machine that measured docs/detectors.md
        for _ in range(5):
            detector.find(photo)


def test_pieces_are_labelled_as_a_flood_fill_would() -> None:
    rng = np.random.default_rng(2)
    for share in (0.0, 0.3, 0.6, 1.0):
        mask = rng.random((17, 23)) < share
        labels = _label(mask)
        assert np.array_equal(labels > 0, mask)
        assert np.array_equal(
            _flood(mask)[mask][:, None] == _flood(mask)[mask], labels[mask][:, None] == labels[mask]
        )


def _flood(mask: np.ndarray) -> np.ndarray:
    labels = np.zeros(mask.shape, int)
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        number, stack = labels.max() + 1, [start]
        while stack:
            y, x = stack.pop()
            inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
            if inside and mask[y, x] and not labels[y, x]:
                labels[y, x] = number
                stack += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return labels


def test_otsu_parts_two_heaps() -> None:
    heaps = np.concatenate([np.full(50, 0.1), np.full(20, 0.8)]).astype(np.float32)
    assert 0.1 < otsu(heaps) <= 0.8


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownName) as caught:
        open_detector("yolo")
    assert "saliency" in caught.value.hint
