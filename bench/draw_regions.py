"""A page of photos with their regions drawn: `python bench/draw_regions.py FOLDER --out PAGE.jpg`.

Takes every n-th picture of a folder, so that good and bad ones come alike. Write the page outside
the repository unless the pictures may be passed on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lensback.detectors import SHIPPED_NAME, Detector, open_detector
from lensback.search.looking import in_order
from lensback.types import WHOLE

TILE = (300, 400)
MIN_SCORE = 0.15
COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


def tile(path: Path, detector: Detector, most: int) -> Image.Image:
    """One photo; the region that would be searched has the thickest line."""
    photo = Image.open(path).convert("RGB")
    regions = in_order(detector.find(photo))
    photo.thumbnail(TILE, Image.Resampling.LANCZOS)
    draw, font = ImageDraw.Draw(photo), ImageFont.load_default(12)
    shown = [
        r for n, r in enumerate(regions) if r.box != WHOLE and (n == 0 or r.score >= MIN_SCORE)
    ]
    for number, region in reversed(list(enumerate(shown[:most]))):
        x0, y0, x1, y1 = region.box
        box = (x0 * photo.width, y0 * photo.height, x1 * photo.width - 1, y1 * photo.height - 1)
        colour = COLOURS[number % len(COLOURS)]
        draw.rectangle(box, outline=colour, width=4 if number == 0 else 2)
        text = f"{region.label} {region.score:.2f}"
        place = draw.textbbox((box[0] + 3, box[1] + 2), text, font=font)
        draw.rectangle((place[0] - 2, place[1] - 1, place[2] + 2, place[3] + 1), fill=colour)
        draw.text((box[0] + 3, box[1] + 2), text, fill="white", font=font)
    canvas = Image.new("RGB", TILE, "white")
    canvas.paste(photo, ((TILE[0] - photo.width) // 2, (TILE[1] - photo.height) // 2))
    return canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--start", type=int, default=0, help="first picture taken")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--most", type=int, default=8)
    parser.add_argument("--detector", default=SHIPPED_NAME)
    parser.add_argument("--added", type=Path, help="folder of detectors that were added")
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob("*.jpg"))[arguments.start :]
    paths = paths[:: max(1, len(paths) // arguments.count)][: arguments.count]
    detector = open_detector(arguments.detector, arguments.added)
    rows = -(-len(paths) // arguments.columns)
    page = Image.new("RGB", (arguments.columns * TILE[0], rows * TILE[1]), "white")
    for number, path in enumerate(paths):
        row, column = divmod(number, arguments.columns)
        made = tile(path, detector, arguments.most)
        page.paste(made, (column * TILE[0], row * TILE[1]))
    page.save(arguments.out, quality=80)


if __name__ == "__main__":
    main()
