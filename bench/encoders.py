"""Speed of encoders, and how well they find real other views: `python bench/encoders.py NAME ... [--models DIR]`.

Speed: already decoded pictures, one thread, processor time, the best of three runs. Quality, on
one store's own pictures (`shops/luma` of LENSBACK_DATA) among 1,200 of another store's: R@1 and R@5
of finding the main picture from another view of the same colourway. The benchmark that nothing
was chosen on is bench/madison.py.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
from PIL import Image

from lensback.encoders import Encoder, open_encoder
from rig import DATA, arguments, opened, share, write

DISTRACTORS = 1200
SPEED_PICTURES = 64

Named = list[tuple[str, Image.Image]]


def read_luma() -> tuple[Named, Named]:
    """Main pictures and other views, each with its colourway."""
    mains: Named = []
    views: Named = []
    for path in sorted((DATA / "shops" / "luma" / "images").glob("*.jpg")):
        colourway, _, view = path.stem.partition("_")
        target = mains if view in ("", "main") else views
        target.append((colourway.removesuffix("-0"), opened(path)))
    known = {colourway for colourway, _ in mains}
    return mains, [view for view in views if view[0] in known]


def read_distractors() -> Named:
    paths = sorted((DATA / "shops" / "closet" / "images").iterdir())
    random.Random(0).shuffle(paths)
    return [("", opened(path)) for path in paths[:DISTRACTORS]]


def quality(encoder: Encoder, gallery: Named, asked: Named) -> dict[str, object]:
    """Shares of the queries with a right picture among the first k."""
    similar = encoder.encode([i for _, i in asked]) @ encoder.encode([i for _, i in gallery]).T
    names = np.array([name for name, _ in gallery])
    right = np.array([name for name, _ in asked])[:, None] == names[None]
    best = np.where(right, similar, -2).max(axis=1)
    ahead = (similar > best[:, None]).sum(axis=1)
    return {f"R@{k}": share(int((ahead < k).sum()), len(ahead)) for k in (1, 5)}


def speed(encoder: Encoder, images: list[Image.Image]) -> float:
    """Pictures a second of processor time."""
    encoder.encode(images[:8])
    spent = []
    for _ in range(3):
        begin = time.process_time()
        encoder.encode(images)
        spent.append(time.process_time() - begin)
    return round(len(images) / min(spent), 1)


def main() -> None:
    parser = arguments(__doc__, models=Path("workspace/models"))
    parser.add_argument("names", nargs="*", default=["pixels", "eye"])
    asked = parser.parse_args()
    mains, views = read_luma()
    gallery = [*mains, *read_distractors()]
    rows = []
    for name in asked.names:
        encoder = open_encoder(name, asked.models, threads=1)
        row = {"encoder": name, "dim": encoder.dim}
        row["images_per_s"] = speed(encoder, [image for _, image in mains[:SPEED_PICTURES]])
        rows.append(row | {"views": quality(encoder, gallery, views)})
    sizes = {"gallery": len(gallery), "views": len(views)}
    write("encoders", {"sizes": sizes, "encoders": rows}, asked.out)


if __name__ == "__main__":
    main()
