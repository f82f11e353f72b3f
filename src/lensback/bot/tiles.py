"""The things of a photo as one small picture: numbered tiles side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from lensback import images
from lensback.types import Box

TILE_PX = 220
GAP_PX = 8


def strip(photo: bytes, boxes: Sequence[Box], max_pixels: int) -> bytes:
    """JPEG bytes: a tile of each box of the photo, numbered from 1. Raises BadImage, TooLarge."""
    whole = images.decode(photo, side_px=1200, max_pixels=max_pixels, by=images.shared())
    width = len(boxes) * (TILE_PX + GAP_PX) - GAP_PX
    sheet = Image.new("RGB", (width, TILE_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(28)
    for n, box in enumerate(boxes):
        tile = images.crop(whole, box)
        tile.thumbnail((TILE_PX, TILE_PX))
        left = n * (TILE_PX + GAP_PX)
        sheet.paste(tile, (left + (TILE_PX - tile.width) // 2, (TILE_PX - tile.height) // 2))
        pen.rectangle((left, 0, left + 40, 40), fill="black")
        pen.text((left + 12, 3), str(n + 1), fill="white", font=font)
    sink = io.BytesIO()
    sheet.save(sink, "JPEG", quality=85)
    return sink.getvalue()
