"""Does finding the item first pay? `python bench/regions_search.py [--scenes N]`.

Other views (back, alternative) of luma's colourways are cut out and stand, as people or things,
on drawn grounds among other things of closet. Each is searched among luma's main pictures and
closet's phone photos: by the whole photo, by our regions, and by the true box. R@k is over
colourways. The detector learnt from nine tenths of luma's models, composed otherwise; the last
tenth, which it never saw, is told apart. The encoder is the shipped one, the same for all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lensback.detectors import SHIPPED_NAME, Detector, open_detector
from lensback.detectors.boxes import overlap
from lensback.detectors.onnx import OnnxDetector
from lensback.distort import distort
from lensback.encoders import Encoder, open_encoder
from lensback.images import crop
from lensback.rank import Ranked
from lensback.search.kinds import SINK, decided, sunk
from lensback.search.looking import in_order, widened
from lensback.types import WHOLE, Box, Candidate, Region, Vectors
from rig import DATA, REPOSITORY, arguments, opened, share, write

sys.path.insert(0, str(REPOSITORY / "tools" / "detector"))
from cutouts import Cutout, boxes_of, pictures, white_cutout
from layers import Canvas, Random, cropped, layer_of, mirrored, scaled
from scenes import (
    CLOSET_LABELS,
    Source,
    clutter,
    developed,
    gather,
    ground,
    pictured,
)
from stems import closet_words, held

SHOPS = DATA / "shops"
SIZE = (560, 400)
K = (1, 5)
CLICKABLE = 8
"""Regions that a shopper may choose from."""
FIRST = "our first region, 15 % wider, and the whole photo, the nearer; other kinds sink"
CLICKED = "our region, clicked, 15 % wider; other kinds sink"
"""What search does without a box, and with one of the answer's regions."""
TORSO = ("top", "outerwear", "dress")


@dataclass(frozen=True, slots=True)
class Query:
    """A scene, the thing in it that is searched, and its colourway."""

    photo: Image.Image
    box: Box
    label: str
    colourway: str
    unseen: bool
    """Whether the detector never saw its model."""


@dataclass(frozen=True, slots=True)
class Gallery:
    vectors: np.ndarray[Any, Any]
    names: list[str]
    """Colourway, or the closet photo."""
    kinds: dict[str, frozenset[str]]


def views() -> list[tuple[Path, list[tuple[str, Box]]]]:
    """Luma's pictures that are not a colourway's main one, with their drawn boxes."""
    paths = {f"luma/{path.stem}": path for path in pictures(SHOPS, "luma")}
    others = [name for name in paths if name.endswith(("_back", "_alt1", "_alternate"))]
    return [(paths[name], boxes) for name, boxes in boxes_of(others).items()]


def sold(name: str) -> tuple[str, ...]:
    """Which of a picture's labels are the thing that the colourway is, by the store's own codes."""
    model = name.partition("-")[0]
    if model[1:].startswith(("p", "sh")):
        return ("trousers",)
    if model[1] in "bg":
        return ("bag", "watch")
    return TORSO


def queries(count: int, source: Source) -> list[Query]:
    """Scenes with one known thing each; every view as often as any other."""
    known = views()
    found: list[Query] = []
    number = 0
    while len(found) < count:
        path, boxes = known[number % len(known)]
        made = _query(path, boxes, source, np.random.default_rng([7, number]))
        found += [made] if made else []
        number += 1
    return found


def studio() -> list[Query]:
    """The same views as the store shows them, distorted: what a screenshot would be."""
    found: list[Query] = []
    for path, boxes in views():
        named = [(label, box) for label, box in boxes if label in sold(path.stem)]
        if named:
            photo = distort(opened(path), len(found))
            colourway = path.stem.partition("_")[0]
            unseen = held(f"luma/{path.stem}")
            found.append(Query(photo, named[0][1], named[0][0], colourway, unseen))
    return found


def _query(
    path: Path, boxes: list[tuple[str, Box]], source: Source, random: Random
) -> Query | None:
    cutout = white_cutout(path, "luma", boxes)
    label = next((label for label, _ in boxes if label in sold(path.stem)), "")
    if cutout is None or not label:
        return None
    photo, box = _scene(cutout, label, source, random)
    colourway = path.stem.partition("_")[0]
    return Query(photo, box, label, colourway, held(f"luma/{path.stem}")) if box else None


def _scene(
    cutout: Cutout, label: str, source: Source, random: Random
) -> tuple[Image.Image, Box | None]:
    height, width = SIZE
    canvas = Canvas(ground(height, width, source.wardrobe, random))
    clutter(canvas, source.wardrobe, random)
    for _ in range(int(random.integers(1, 4))):
        _lay_other(canvas, source, random)
    figure = cropped(layer_of(cutout))
    figure = mirrored(figure) if random.random() < 0.5 else figure
    tall = random.uniform(0.45, 0.9) * min(height, 1.1 * width * figure.size[0] / figure.size[1])
    figure = scaled(figure, tall / figure.size[0])
    x = random.uniform(0, 1) * (width - figure.size[1])
    y = random.uniform(0, 1) * (height - figure.size[0])
    before = len(canvas.labels)
    canvas.paste(figure, x, y)
    places = {n: own for n, own in enumerate(canvas.labels[before:], before + 1) if own == label}
    boxes = [box for number, box in canvas.numbered_boxes() if number in places]
    return developed(pictured(canvas), random), boxes[0] if boxes else None


def _lay_other(canvas: Canvas, source: Source, random: Random) -> None:
    labels = sorted(source.wardrobe.things)
    thing = source.wardrobe.thing(labels[int(random.integers(len(labels)))], random)
    if thing is None:
        return
    thing = cropped(thing)
    height, width = canvas.numbers.shape
    thing = scaled(thing, random.uniform(0.15, 0.4) * height / max(thing.size))
    canvas.paste(
        thing,
        random.uniform(-0.1, 1) * width,
        random.uniform(-0.1, 1) * height,
    )


def gallery(encoder: Encoder, words: dict[str, str], closet: int) -> Gallery:
    """Luma's main pictures, and closet's photos as other things."""
    paths = [path for path in pictures(SHOPS, "luma") if "_back" not in path.stem and "_alt" not in path.stem]  # fmt: skip
    names, kinds = [path.stem.partition("_")[0] for path in paths], {}
    for name in names:
        kinds[name] = frozenset(sold(name))
    for path in pictures(SHOPS, "closet")[:closet]:
        paths.append(path)
        names.append(path.stem)
        kinds[path.stem] = frozenset({CLOSET_LABELS.get(words.get(path.stem, ""), "top")})
    vectors = [
        encoder.encode([opened(path) for path in paths[at : at + 64]])
        for at in range(0, len(paths), 64)
    ]
    return Gallery(np.concatenate(vectors), names, kinds)


def clicked(regions: Sequence[Region], box: Box) -> Region:
    """The region that a shopper who wants the thing in `box` would choose."""
    return max(regions[:CLICKABLE], key=lambda region: overlap(region.box, box))


def ways(asked: Query, encoder: Encoder, regions: Sequence[Region]) -> dict[str, Vectors]:
    """The vectors that each way of searching a photo compares; the nearest of them counts."""
    boxes = {
        "whole": WHOLE,
        "first": widened(regions[0].box),
        "clicked": widened(clicked(regions, asked.box).box),
        "true": asked.box,
        "true wide": widened(asked.box),
    }
    cut = [crop(asked.photo, box) for box in boxes.values()]
    found = dict(zip(boxes, encoder.encode(cut), strict=True))
    compared = {
        "whole photo": ("whole",),
        FIRST: ("first", "whole"),
        CLICKED: ("clicked",),
        "true box": ("true",),
        "true box, 15 % wider": ("true wide",),
    }
    return {name: np.stack([found[each] for each in names]) for name, names in compared.items()}


def ahead(asked: Query, vectors: Vectors, known: Gallery, item: Region | None) -> int:
    """How many colourways stand before the right one; `item` lets other kinds sink."""
    similar = (known.vectors @ vectors.T).max(axis=1)
    best: dict[str, float] = {}
    for name, value in zip(known.names, similar.tolist(), strict=True):
        best[name] = max(value, best.get(name, -1.0))
    order = sorted(best, key=lambda name: -best[name])
    if item is not None:
        nearest = [Candidate(name, best[name]) for name in order[:24]]
        ranked = [Ranked(name, name, best[name], 0.0) for name in order[:200]]
        label = decided(item, nearest, known.kinds)
        order = [one.product_id for one in sunk(ranked, known.kinds, label)]
    return order.index(asked.colourway) if asked.colourway in order else len(best)


def measure(
    asked: Sequence[Query], encoder: Encoder, detector: Detector, known: Gallery
) -> dict[str, list[int]]:
    """Places of every query by each way of searching it."""
    found: dict[str, list[int]] = {}
    for query in asked:
        regions = in_order(detector.find(query.photo))
        items = {FIRST: regions[0], CLICKED: clicked(regions, query.box)}
        for name, vectors in ways(query, encoder, regions).items():
            found.setdefault(name, []).append(ahead(query, vectors, known, items.get(name)))
    return found


def summed(found: dict[str, list[int]], rows: Sequence[int]) -> dict[str, Any]:
    return {
        name: {f"R@{k}": share(sum(places[row] < k for row in rows), len(rows)) for k in K}
        for name, places in found.items()
    }


def told(asked: Sequence[Query], found: dict[str, list[int]]) -> dict[str, Any]:
    unseen = [row for row, query in enumerate(asked) if query.unseen]
    return {
        "all": summed(found, range(len(asked))),
        "models the detector never saw": summed(found, unseen),
    }


def main() -> None:
    given = arguments(__doc__, scenes=400, closet=1500, detector=None).parse_args()
    words = closet_words(SHOPS)
    asked = queries(given.scenes, gather(SHOPS, words, held, False))
    encoder = open_encoder("eye", Path("models"), threads=1)
    detector = (
        OnnxDetector("given", given.detector, threads=1)
        if given.detector
        else open_detector(SHIPPED_NAME)
    )
    known = gallery(encoder, words, given.closet)
    plain = studio()
    figures = {
        "gallery": {"pictures": len(known.names), "things": len(set(known.names))},
        "sink": SINK,
        "scenes": told(asked, measure(asked, encoder, detector, known)),
        "distorted studio pictures": told(plain, measure(plain, encoder, detector, known)),
    }
    write("regions_search", figures, given.out)


if __name__ == "__main__":
    main()
