"""Vectors of the parts of a photo: each is worked out once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from lensback import images
from lensback.encoders import Encoder
from lensback.types import Box, Vector, Vectors

MOST = 32
"""Parts of one photo whose vectors are remembered: a kilobyte each with 256 numbers."""


class Parts:
    """A photo and the vectors of parts of it, by encoder. Any number of threads may ask."""

    def __init__(self, picture: Image.Image) -> None:
        self.picture = picture
        self._known: dict[tuple[str, Box], Vector] = {}

    def vectors(self, boxes: Sequence[Box], encoder: Encoder) -> Vectors:
        """float32 [n, dim], a row for each box."""
        known = {box: self._known.get((encoder.fingerprint, box)) for box in boxes}
        new = [box for box in boxes if known[box] is None]
        if new:
            made = encoder.encode([images.crop(self.picture, box) for box in new])
            for box, vector in zip(new, made, strict=True):
                known[box] = vector
                if len(self._known) < MOST:
                    self._known[encoder.fingerprint, box] = vector
        return np.stack([vector for box in boxes if (vector := known[box]) is not None])
