"""Detectors: photo -> regions worth searching. The door `Detector` and its opener."""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from lensback.errors import UnknownName
from lensback.types import Region

NAMES = ("saliency", "whole")


class Detector(Protocol):
    """Finds what in a photo is worth searching. Members: whole, saliency."""

    @property
    def name(self) -> str:
        """What `open_detector` opens it by."""

    def find(self, photo: Image.Image) -> list[Region]:
        """RGB photo -> at least one region, best first; the last is the whole photo. Thread-safe."""


def open_detector(name: str) -> Detector:
    """The detector of that name. Raises UnknownName."""
    if name == "whole":
        from lensback.detectors.whole import WholeDetector

        return WholeDetector()
    if name == "saliency":
        from lensback.detectors.saliency import SaliencyDetector

        return SaliencyDetector()
    raise UnknownName("detector", name, list(NAMES))
