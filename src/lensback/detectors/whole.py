"""The detector that does not look: one region, the whole photo."""

from __future__ import annotations

from PIL import Image

from lensback.types import WHOLE, Region


class WholeDetector:
    """For photos that are cut to the thing already."""

    name = "whole"
    fingerprint = "whole 1"

    def find(self, photo: Image.Image) -> list[Region]:  # noqa: ARG002 - the door's shape
        """One region: everything."""
        return [Region(WHOLE, "whole")]
