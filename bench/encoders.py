"""Speed and first quality figures of encoders: `python bench/encoders.py --models DIR NAME ...`.

Speed: already decoded pictures, one thread, processor time, the best of three runs.
Quality, on one store's own pictures (`shops/luma` of LENSBACK_DATA) among 1,200 of another
store's: R@1 and R@5 of finding the main picture from another view of the same colourway, and from
a distorted copy. `--benchmark DIR` adds R@1 and R@5 of a benchmark folder (gallery.csv,
queries.csv, images/): evaluation only, never for choosing anything.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from lensback.encoders import Encoder, open_encoder
from record import DATA, RESULTS, write

DISTRACTORS = 1200
SPEED_PICTURES = 64

Named = list[tuple[str, Image.Image]]


def open_rgb(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def read_luma() -> tuple[Named, Named]:
    """Main pictures and other views, each with its colourway."""
    mains: Named = []
    views: Named = []
    for path in sorted((DATA / "shops" / "luma" / "images").glob("*.jpg")):
        colourway, _, view = path.stem.partition("_")
        target = mains if view in ("", "main") else views
        target.append((colourway.removesuffix("-0"), open_rgb(path)))
    known = {colourway for colourway, _ in mains}
    return mains, [view for view in views if view[0] in known]


def read_distractors() -> Named:
    paths = sorted((DATA / "shops" / "closet" / "images").iterdir())
    random.Random(0).shuffle(paths)
    return [("", open_rgb(path)) for path in paths[:DISTRACTORS]]


def distort(image: Image.Image, rng: random.Random, backgrounds: Named) -> Image.Image:
    """A photo-like copy: cropped, turned, half the time cut out onto another background,
    relit, sometimes blurred, smaller, recompressed."""
    width, height = image.size
    cuts = [rng.uniform(0, 0.1) for _ in range(4)]
    image = image.crop(
        (
            int(cuts[0] * width),
            int(cuts[1] * height),
            int((1 - cuts[2]) * width),
            int((1 - cuts[3]) * height),
        )
    )
    edge = np.asarray(image)[2, 2]
    fill = (int(edge[0]), int(edge[1]), int(edge[2]))
    image = image.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC, fillcolor=fill)
    if rng.random() < 0.5:
        apart = np.abs(np.asarray(image, np.int16) - edge).max(axis=2) > 18
        mask = Image.fromarray((apart * 255).astype(np.uint8)).filter(ImageFilter.MedianFilter(5))
        behind = rng.choice(backgrounds)[1].resize(image.size).filter(ImageFilter.GaussianBlur(6))
        image = Image.composite(image, behind, mask)
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhancer(image).enhance(rng.uniform(0.8, 1.2))
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.5)))
    scale = rng.uniform(0.4, 1)
    image = image.resize((int(image.width * scale), int(image.height * scale)))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=rng.randrange(35, 85))
    return Image.open(file).convert("RGB")


def recall(
    gallery: NDArray[np.float32], names: list[str], queries: NDArray[np.float32], truth: list[str]
) -> dict[str, float]:
    """R@1 and R@5: share of queries with a right picture among the first k."""
    similar = queries @ gallery.T
    right = np.array([[name == wanted for name in names] for wanted in truth])
    best = np.where(right, similar, -2).max(axis=1)
    ahead = (similar > best[:, None]).sum(axis=1)
    return {f"r{k}": round(float((ahead < k).mean()), 3) for k in (1, 5)}


def measure_quality(
    encoder: Encoder, gallery: Named, queries: dict[str, Named]
) -> dict[str, dict[str, float]]:
    vectors = encoder.encode([image for _, image in gallery])
    names = [name for name, _ in gallery]
    return {
        kind: recall(vectors, names, encoder.encode([i for _, i in asked]), [n for n, _ in asked])
        for kind, asked in queries.items()
    }


def measure_speed(encoder: Encoder, images: list[Image.Image]) -> float:
    """Pictures a second of processor time."""
    encoder.encode(images[:8])
    spent = []
    for _ in range(3):
        begin = time.process_time()
        encoder.encode(images)
        spent.append(time.process_time() - begin)
    return round(len(images) / min(spent), 1)


def read_benchmark(folder: Path) -> tuple[Named, Named]:
    """Gallery, and the queries that have an answer in it."""
    found: list[Named] = []
    for file in ("gallery.csv", "queries.csv"):
        with (folder / file).open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        found.append([(row["product"], open_rgb(folder / "images" / row["image"])) for row in rows])
    return found[0], [query for query in found[1] if query[0]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and first quality figures of encoders.")
    parser.add_argument("names", nargs="*", default=["pixels"])
    parser.add_argument("--models", type=Path, default=Path("workspace/models"))
    parser.add_argument("--benchmark", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS / "encoders.json")
    arguments = parser.parse_args()
    mains, views = read_luma()
    distractors = read_distractors()
    rng = random.Random(1)
    copies = [(name, distort(image, rng, distractors)) for name, image in mains]
    rows = []
    for name in arguments.names:
        single = open_encoder(name, arguments.models, threads=1)
        speed = measure_speed(single, [image for _, image in mains[:SPEED_PICTURES]])
        encoder = open_encoder(name, arguments.models)
        asked = {"views": views, "copies": copies}
        quality = measure_quality(encoder, [*mains, *distractors], asked)
        if arguments.benchmark:
            gallery, queries = read_benchmark(arguments.benchmark)
            quality |= measure_quality(encoder, gallery, {arguments.benchmark.name: queries})
        row = {"encoder": name, "dim": encoder.dim, "images_per_s": speed, **quality}
        print(json.dumps(row))
        rows.append(row)
    sizes = {"gallery": len(mains) + len(distractors), "views": len(views)}
    write("encoders", {"sizes": sizes, "encoders": rows}, arguments.out)


if __name__ == "__main__":
    main()
