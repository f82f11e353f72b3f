"""Encoders: picture -> vector. The door `Encoder`, its opener, and the shelf of models.

A member is opened by name: `pixels` (no model), the name of a model folder (the workspace's own
or a shipped one), that name after `openvino:`, or a join such as `imagenet+pixels` or
`imagenet*0.7+pixels*0.3`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from PIL import Image

from lensback.encoders.shelf import EncoderInfo, add_encoder, find_model, list_encoders
from lensback.types import Vectors

__all__ = ["Encoder", "EncoderInfo", "add_encoder", "list_encoders", "open_encoder"]


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


def open_encoder(name: str, models: Path, *, threads: int = 0) -> Encoder:
    """The encoder of that name; `models` is the workspace's folder of models.

    `threads` bounds the threads of one inference, 0 means one per core. Raises UnknownName,
    ConfigError where a model folder is broken, MissingExtra where onnxruntime is absent.
    """
    if "+" in name or "*" in name:
        from lensback.encoders.join import JoinedEncoder, parse_join

        weights = parse_join(name)
        parts = [open_encoder(part, models, threads=threads) for part in weights]
        return JoinedEncoder(name, parts, list(weights.values()))
    if name == "pixels":
        from lensback.encoders.pixels import PixelsEncoder

        return PixelsEncoder()
    if name.startswith("openvino:"):
        from lensback.encoders.openvino import PREFIX, OpenVinoEncoder

        folder = find_model(name.removeprefix(PREFIX), models)
        return OpenVinoEncoder(name, folder, threads=threads)
    from lensback.encoders.onnx import OnnxEncoder

    return OnnxEncoder(name, find_model(name, models), threads=threads)
