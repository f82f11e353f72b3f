"""What a score of the detector is worth: `python tools/detector/worth.py --shops FOLDER [--scenes 600]`.

FOLDER holds `luma/images`, `closet/images` and `closet/feed.csv.gz`. Fits `chance` of detector.toml
on what no scene of the training showed: scenes composed of the tenth of the pictures that is kept for
judging, that tenth's drawn boxes, its phone photos with the outline of their one thing, and drawn
grounds on which nothing lies. A region is a thing where it overlaps a true box by IoU 0.5 that no
better region has met. The likelihood is fitted on one half of the photos and judged on the other
(`reliability`), and printed for all of them. Nothing of the street photos is read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutouts import boxes_of, pictures, plain_cutout
from layers import Canvas
from lensback.calibrate import logistic
from lensback.detectors import SHIPPED_NAME
from lensback.detectors.boxes import overlaps
from lensback.detectors.measure import MET
from lensback.detectors.onnx import OnnxDetector
from lensback.detectors.shelf import SHELF
from lensback.types import WHOLE, Box, Region
from scenes import CLOSET_LABELS, SHAPES, clutter, developed, gather, ground, pictured, scene
from stems import closet_words, held

FEW = 40
"""Regions, and things among them, below which a label takes the fit of all."""
Labelled = Sequence[tuple[str, Box]]
Shown = tuple[Image.Image, Labelled]


@dataclass(frozen=True, slots=True)
class Judged:
    """One region: its label, the model's score, whether it is a thing, and the photo it is of."""

    label: str
    score: float
    thing: bool
    photo: int


def shown(shops: Path, scenes: int) -> Iterator[Shown]:
    """Photos with all that is in them."""
    words = closet_words(shops)
    source = gather(shops, words, held, False)
    for number in range(scenes):
        made = scene(source, number, seed=2024)
        yield made.image, [box for box in made.boxes if box[0] != "person"]
    for number in range(scenes // 4):
        chance = np.random.default_rng([2025, number])
        height, width = SHAPES[number % len(SHAPES)]
        canvas = Canvas(ground(height, width, source.wardrobe, chance))
        clutter(canvas, source.wardrobe, chance)
        yield developed(pictured(canvas), chance), []
    paths = {f"{store}/{p.stem}": p for store in ("luma", "closet") for p in pictures(shops, store)}
    drawn = boxes_of([name for name in paths if held(name)])
    for name, boxes in drawn.items():
        yield _opened(paths[name]), boxes
    for name, path in paths.items():
        if name.startswith("closet/") and held(name) and name not in drawn:
            cut = plain_cutout(path, "closet", CLOSET_LABELS.get(words.get(path.stem, ""), "top"))
            if cut is not None:
                yield _opened(path), list(zip(cut.labels, cut.boxes, strict=True))


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def judged(detector: OnnxDetector, photos: Iterator[Shown]) -> list[Judged]:
    """Every region of every photo."""
    found: list[Judged] = []
    for number, (image, boxes) in enumerate(photos):
        regions = [region for region in detector.find(image) if region.box != WHOLE]
        for region, thing in zip(regions, _things(regions, [box for _, box in boxes]), strict=True):
            found.append(Judged(region.label, region.score, thing, number))
    return found


def _things(regions: Sequence[Region], boxes: Sequence[Box]) -> list[bool]:
    free = list(boxes)
    told = []
    for region in regions:
        pairs = overlaps(np.array([region.box], np.float32), np.array(free or [(0, 0, 0, 0)], np.float32))[0]  # fmt: skip
        thing = bool(free) and float(pairs.max()) >= MET
        if thing:
            free.pop(int(pairs.argmax()))
        told.append(thing)
    return told


def fitted(regions: Sequence[Judged]) -> dict[str, tuple[float, float]]:
    """Label -> bias and weight of the logit of its score; labels with few regions take those of all."""
    overall = _weights(regions)
    found = {}
    for label in sorted({region.label for region in regions}):
        own = [region for region in regions if region.label == label]
        things = sum(region.thing for region in own)
        enough = min(things, len(own) - things) >= FEW
        found[label] = _weights(own) if enough else overall
    return found


def _weights(regions: Sequence[Judged]) -> tuple[float, float]:
    features = np.array([[1.0, _logit(region.score)] for region in regions])
    right = np.array([region.thing for region in regions], np.float64)
    bias, weight = logistic(features, right)
    return round(float(bias), 3), round(float(weight), 3)


def _logit(score: float) -> float:
    sure = min(max(score, 1e-6), 1 - 1e-6)
    return float(np.log(sure / (1 - sure)))


def reliability(regions: Sequence[Judged]) -> dict[str, Any]:
    """Each half of the photos by the fit of the other: said and seen, in ten steps, and their mean
    difference (ECE)."""
    said, seen = [], []
    for half in (0, 1):
        worth = fitted([region for region in regions if region.photo % 2 != half])
        for region in regions:
            if region.photo % 2 == half:
                said.append(chance(region, worth))
                seen.append(region.thing)
    told, was = np.array(said), np.array(seen)
    steps = np.minimum((told * 10).astype(int), 9)
    rows = [_step(told[steps == step], was[steps == step]) for step in range(10)]
    off = sum(row["n"] * abs(row["said"] - row["seen"]) for row in rows if row["n"])
    return {"ece": round(off / len(told), 4), "steps": rows}


def _step(told: NDArray[np.float64], was: NDArray[np.bool_]) -> dict[str, Any]:
    if not len(told):
        return {"n": 0}
    return {
        "n": len(told),
        "said": round(float(told.mean()), 3),
        "seen": round(float(was.mean()), 3),
    }


def chance(region: Judged, worth: dict[str, tuple[float, float]]) -> float:
    bias, weight = worth.get(region.label, (0.0, 1.0))
    return float(1 / (1 + np.exp(-(bias + weight * _logit(region.score)))))


def lines(regions: Sequence[Judged], worth: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """What each line of `likely_from` would name: things of all, phantoms a photo."""
    told = np.array([chance(region, worth) for region in regions])
    thing = np.array([region.thing for region in regions])
    photos = len({region.photo for region in regions})
    return [
        {
            "likely_from": line,
            "things named": round(float(thing[told >= line].sum() / thing.sum()), 4),
            "things of what is named": round(float(thing[told >= line].mean()), 4),
            "phantoms a photo": round(float((~thing)[told >= line].sum() / photos), 3),
        }
        for line in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shops", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=600)
    given = parser.parse_args()
    detector = OnnxDetector(SHIPPED_NAME, SHELF.find(SHIPPED_NAME, None), threads=1)
    detector.description = replace(detector.description, chance={}, likely_from=0.0)
    regions = judged(detector, shown(given.shops, given.scenes))
    worth = fitted(regions)
    print(json.dumps({"regions": len(regions), "things": sum(r.thing for r in regions)}))
    print(json.dumps(reliability(regions), indent=1))
    print(json.dumps(lines(regions, worth), indent=1))
    print("likely_from = 0.5\n\n[chance]")
    for label, (bias, weight) in worth.items():
        print(f"{label} = [{bias}, {weight}]")


if __name__ == "__main__":
    main()
