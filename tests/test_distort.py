from __future__ import annotations

import numpy as np
from PIL import Image

from lensback.distort import distort, edge_color


def test_same_seed_same_picture_and_sizes_within_the_crop() -> None:
    image = Image.effect_noise((200, 300), 60).convert("RGB")
    one, two = distort(image, 5), distort(image, 5)
    assert np.array_equal(np.asarray(one), np.asarray(two))
    assert not np.array_equal(np.asarray(one), np.asarray(distort(image, 6).resize(one.size)))
    for seed in range(20):
        width, height = distort(image, seed).size
        assert 0.84 * 200 <= width <= 0.96 * 200
        assert 0.84 * 300 <= height <= 0.96 * 300


def test_edge_color_ignores_the_middle() -> None:
    image = Image.new("RGB", (100, 100), (250, 240, 230))
    image.paste((0, 0, 0), (20, 20, 80, 80))
    assert edge_color(image) == (250, 240, 230)
