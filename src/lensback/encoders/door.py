"""The door of encoders, apart from their opener so that members can look through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from lensback.types import Vectors


class Encoder(Protocol):
    """Turns pictures into vectors. Members: pixels, onnx, openvino, and any two joined by `+`."""

    @property
    def name(self) -> str:
        """What `open_encoder` opens it by."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""

    @property
    def fingerprint(self) -> str:
        """Identity of weights and preprocessing, 16 hex digits: vectors of two
        fingerprints are never compared."""

    @property
    def side_px(self) -> int:
        """Pixels of the shorter side that are worth decoding."""

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """RGB pictures -> float32 [n, dim], rows of unit length. Thread-safe."""
