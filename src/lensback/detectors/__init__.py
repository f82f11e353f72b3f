"""Detectors: photo -> regions worth searching. The door `Detector` and its opener.

A member is opened by name: `whole` and `saliency` (no model), the name of a model folder (the workspace's own
or the shipped one), or that name after `openvino:`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from PIL import Image

from lensback.session.compiled import PREFIX
from lensback.types import Region

SHIPPED_NAME = "lensback-detector"
NAMES = ("saliency", "whole", SHIPPED_NAME)
"""What comes with Lensback."""


class Detector(Protocol):
    """Finds what in a photo is worth searching. Members: whole, saliency, onnx and openvino."""

    @property
    def name(self) -> str:
        """What `open_detector` opens it by."""

    @property
    def fingerprint(self) -> str:
        """Identity of what it computes: the same fingerprint, the same regions."""

    def find(self, photo: Image.Image) -> list[Region]:
        """RGB photo -> at least one region, best first; the last is the whole photo. Thread-safe."""


def open_detector(name: str, added: Path | None = None, *, threads: int = 1) -> Detector:
    """The detector of that name; `added` is the folder of those added by hand.

    Raises UnknownName, ConfigError for one that is broken, MissingExtra where its engine is absent.
    """
    if name == "whole":
        from lensback.detectors.whole import WholeDetector

        return WholeDetector()
    if name == "saliency":
        from lensback.detectors.saliency import SaliencyDetector

        return SaliencyDetector()
    from lensback.detectors.shelf import SHELF

    if name.startswith(PREFIX):
        from lensback.detectors.openvino import OpenVinoDetector

        return OpenVinoDetector(name, SHELF.find(name.removeprefix(PREFIX), added), threads=threads)
    from lensback.detectors.onnx import OnnxDetector

    return OnnxDetector(name, SHELF.find(name, added), threads=threads)
