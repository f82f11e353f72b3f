"""Parts of a photo are encoded once each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from lensback.search.parts import MOST, Parts
from lensback.types import WHOLE, Box, Vectors

PHOTO = Image.linear_gradient("L").convert("RGB")
LEFT: Box = (0.0, 0.0, 0.5, 1.0)


@dataclass
class Sizes:
    """An encoder whose vector is a picture's size, that counts what it is asked for."""

    name: str = "sizes"
    fingerprint: str = "1"
    dim: int = 2
    side_px: int = 10
    asked: list[int] = field(default_factory=list)

    def encode(self, pictures: Sequence[Image.Image]) -> Vectors:
        self.asked.append(len(pictures))
        return np.array([picture.size for picture in pictures], np.float32)


def test_each_part_is_encoded_once_in_the_order_asked() -> None:
    parts, encoder = Parts(PHOTO), Sizes()
    assert parts.vectors([LEFT, WHOLE], encoder).tolist() == [[128, 256], [256, 256]]
    assert parts.vectors([WHOLE], encoder).tolist() == [[256, 256]]
    assert parts.vectors([WHOLE, LEFT], encoder).tolist() == [[256, 256], [128, 256]]
    assert encoder.asked == [2]
    assert parts.vectors([WHOLE], other := Sizes(fingerprint="2")).shape == (1, 2)
    assert other.asked == [1], "vectors of two encoders are never mixed"


def test_no_more_parts_are_kept_than_a_photo_has() -> None:
    parts, encoder = Parts(PHOTO), Sizes()
    boxes: list[Box] = [(0.0, 0.0, 1.0, (n + 1) / 100) for n in range(MOST + 8)]
    for box in boxes:
        parts.vectors([box], encoder)
    assert len(parts._known) == MOST
    assert parts.vectors(boxes[-1:], encoder).tolist() == [[256, 103]]
