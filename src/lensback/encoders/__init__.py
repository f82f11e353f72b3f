"""Encoders: picture -> vector. The door `Encoder`, its opener, and the shelf of models.

A member is opened by name: `pixels` (no model), the name of a model folder (the workspace's own
or a shipped one), that name after `openvino:`, or a join such as `imagenet+pixels` or
`imagenet*0.7+pixels*0.3`.
"""

from __future__ import annotations

from pathlib import Path

from lensback.encoders.door import Encoder
from lensback.encoders.shelf import SHELF, EncoderInfo, add_encoder, list_encoders
from lensback.session.compiled import PREFIX

__all__ = ["Encoder", "EncoderInfo", "add_encoder", "list_encoders", "open_encoder"]


def open_encoder(name: str, models: Path, *, threads: int = 0, deferred: bool = False) -> Encoder:
    """The encoder of that name; `models` is the workspace's folder of models.

    `threads` bounds the threads of one inference, 0 means one per core. `deferred`: a model is loaded
    when the first picture is encoded, for who may have none to encode. Raises UnknownName,
    ConfigError where a model folder is broken, MissingExtra where onnxruntime is absent.
    """
    if "+" in name or "*" in name:
        from lensback.encoders.join import JoinedEncoder, parse_join

        weights = parse_join(name)
        parts = [open_encoder(part, models, threads=threads, deferred=deferred) for part in weights]
        return JoinedEncoder(name, parts, list(weights.values()))
    if name == "pixels":
        from lensback.encoders.pixels import PixelsEncoder

        return PixelsEncoder()
    if name.startswith(PREFIX):
        from lensback.encoders.openvino import OpenVinoEncoder

        folder = SHELF.find(name.removeprefix(PREFIX), models)
        return OpenVinoEncoder(name, folder, threads=threads, deferred=deferred)
    from lensback.encoders.onnx import OnnxEncoder

    return OnnxEncoder(name, SHELF.find(name, models), threads=threads, deferred=deferred)
