"""The detector that does not look: one region, the whole photo."""

from __future__ import annotations

from PIL import Image

from lensback.types import WHOLE, Region


class WholeDetector:
    """Finds one region, the whole photo: for photos that are cut to the thing already."""

    name = "whole"
    fingerprint = "whole 1"

    def find(self, photo: Image.Image) -> list[Region]:  # noqa: ARG002 - the door's shape
        """One region that is the whole photo."""
        return [Region(WHOLE, "whole")]
