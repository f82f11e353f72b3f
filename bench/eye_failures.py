"""Where the shipped encoder fails, as pictures: `python bench/eye_failures.py --out FILE.jpg`.

Photo-like copies of things of `shops/closet` (CC0) are searched among the things' own pictures. The
sheet shows the worst: what was asked, what was found first, and what would have been right.
These things were learnt from, so what fails here fails anywhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from lensback.encoders import open_encoder
from lensback.images import decode
from lensback.train.photos import photo_like
from record import DATA, share, write

TILE, ROWS, GAP = 120, 6, 6


def tile(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.thumbnail((TILE, TILE))
    made = Image.new("RGB", (TILE, TILE), "white")
    made.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return made


def sheet(rows: list[tuple[Image.Image, ...]]) -> Image.Image:
    """Two columns of rows of three."""
    step = TILE + GAP
    height = -(-len(rows) // 2)
    made = Image.new("RGB", (6 * step + 4 * GAP, height * step + GAP), "#dddddd")
    for number, row in enumerate(rows):
        left = GAP + (number % 2) * (3 * step + 2 * GAP)
        for place, image in enumerate(row):
            made.paste(tile(image), (left + place * step, GAP + number // 2 * step))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Where the shipped encoder fails.")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--encoder", default="eye")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    encoder = open_encoder(arguments.encoder, Path("workspace/models"), threads=1)
    paths = sorted((DATA / "shops" / "closet" / "images").iterdir())
    chosen = np.random.default_rng(0).permutation(len(paths))[: arguments.count]
    images = [decode(paths[at].read_bytes(), side_px=256) for at in chosen]
    copies = [
        photo_like(image, images[at - 1], np.random.default_rng([at, 1]))
        for at, image in enumerate(images)
    ]
    gallery, asked = encoder.encode(images), encoder.encode(copies)
    similar = asked @ gallery.T
    right = np.diag(similar)
    first = similar.argmax(axis=1)
    wrong = np.flatnonzero(first != np.arange(len(images)))
    worst = wrong[np.argsort(right[wrong] - similar[wrong, first[wrong]])][: 2 * ROWS]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sheet([(copies[n], images[first[n]], images[n]) for n in worst]).save(arguments.out, quality=80)
    found = share(len(images) - len(wrong), len(images))
    write("eye_failures", {"encoder": encoder.name, "gallery": len(images), "r1": found})


if __name__ == "__main__":
    main()
