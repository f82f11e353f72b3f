"""How much of what people wear each detector finds: `python bench/detectors.py [--detector NAME=FOLDER …]`.

The 502 photos of `street` in LENSBACK_DATA, 2,402 boxes from pixel labels, of which those that
cover at least 0.4 % of their photo count. Nothing is trained or chosen on them. For each member:
the share of boxes met (IoU at least 0.5, any label) by the first 8 and 16 regions, average
precision by our labels, and milliseconds of one core. Intervals are of a bootstrap over photos.
The floor is a fixed set of boxes, chosen greedily on one half of the photos, judged on the other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lensback.detectors import SHIPPED_NAME, open_detector
from lensback.detectors.boxes import overlaps
from lensback.detectors.measure import MET, Judged, average_precision, mean_average_precision
from lensback.detectors.onnx import OnnxDetector
from lensback.detectors.taxonomy import LABELS, of_label
from lensback.types import Box, Region
from rig import DATA, arguments, opened, percentiles, write

MIN_AREA = 0.004
FIRST = (8, 16)
DRAWS = 300
Photo = tuple[Path, list[tuple[str, Box]]]
Find = Callable[[Image.Image], list[Region]]


def street() -> list[Photo]:
    """Photos with their labelled boxes, those too small to count left out."""
    listed: dict[str, list[dict[str, Any]]] = json.loads((DATA / "street/boxes.json").read_text())
    found = []
    for name, rows in sorted(listed.items()):
        boxes = [(of_label(row["label"]), _box(row["box"])) for row in rows]
        found.append((DATA / "street/photos" / name, [b for b in boxes if _area(b[1]) >= MIN_AREA]))
    return found


def _box(row: Sequence[float]) -> Box:
    x0, y0, x1, y1 = row
    return x0, y0, x1, y1


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def priors(photos: Sequence[Photo], count: int) -> list[Region]:
    """Of these photos' own boxes those that together meet the most, chosen one after another."""
    true = np.array([box for _, boxes in photos for _, box in boxes], np.float32)
    meets = overlaps(true, true) >= MET
    chosen: list[Region] = []
    left = np.ones(len(true), bool)
    for rank in range(count):
        best = int((meets & left).sum(axis=1).argmax())
        left &= ~meets[best]
        chosen.append(Region(_box(true[best].tolist()), "other", 1 - rank / 100))
    return chosen


def by_priors(photos: Sequence[Photo], count: int) -> list[Judged]:
    """Each half of the photos judged by the boxes that were chosen on the other."""
    halves = [photos[::2], photos[1::2]]
    known = [priors(half, count) for half in halves]
    return [Judged(boxes, known[1 - half]) for half in (0, 1) for _, boxes in halves[half]]


def by_detector(photos: Sequence[Photo], find: Find) -> tuple[list[Judged], list[float]]:
    """What a detector finds (the whole photo is the last region), and milliseconds for each."""
    judged, spent = [], []
    for path, boxes in photos:
        photo = opened(path)
        begin = time.process_time()
        regions = find(photo)
        spent.append(1000 * (time.process_time() - begin))
        judged.append(Judged(boxes, regions))
    return judged, spent


def figures(judged: Sequence[Judged]) -> dict[str, Any]:
    """Shares met, by label as well, and average precision."""
    random = np.random.default_rng(0)
    draws = [random.integers(len(judged), size=len(judged)) for _ in range(DRAWS)]
    found: dict[str, Any] = {"boxes": sum(len(photo.truth) for photo in judged)}
    for first in FIRST:
        hits = [photo.met(first) for photo in judged]
        right, total = np.array([sum(h) for h in hits]), np.array([len(h) for h in hits])
        means = [right[rows].sum() / total[rows].sum() for rows in draws]
        found[f"met by {first}"] = _said(right.sum() / total.sum(), means)
    labels = sorted({label for photo in judged for label, _ in photo.truth}, key=LABELS.index)
    known = [label for label in labels if label != "other"]
    resampled = [
        mean_average_precision([judged[row] for row in rows], known) for rows in draws[:100]
    ]
    found["AP50"] = _said(mean_average_precision(judged, known), resampled)
    found["by label"] = {label: _of_label(judged, label) for label in labels}
    return found


def _said(value: float, draws: Sequence[float]) -> dict[str, Any]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"value": round(float(value), 4), "interval95": [round(float(low), 4), round(float(high), 4)]}  # fmt: skip


def _of_label(judged: Sequence[Judged], label: str) -> dict[str, Any]:
    hits = [
        hit
        for photo in judged
        for hit, (own, _) in zip(photo.met(FIRST[0]), photo.truth, strict=True)
        if own == label
    ]
    precision = average_precision(judged, label)
    return {
        "n": len(hits),
        f"met by {FIRST[0]}": round(sum(hits) / len(hits), 4),
        "AP50": round(precision, 4),
    }


def main() -> None:
    parser = arguments(__doc__, photos=502)
    parser.add_argument("--detector", action="append", default=[], help="NAME=FOLDER of another")
    asked = parser.parse_args()
    photos = street()[: asked.photos]
    members: dict[str, Any] = {}
    for count in FIRST:
        members[f"{count} fixed boxes"] = figures(by_priors(photos, count))
    finders: dict[str, Find] = {
        name: open_detector(name).find for name in ("whole", "saliency", SHIPPED_NAME)
    }
    for named in asked.detector:
        name, _, folder = named.partition("=")
        finders[name] = OnnxDetector(name, Path(folder), threads=1).find
    for name, find in finders.items():
        judged, spent = by_detector(photos, find)
        members[name] = figures(judged) | {"ms": percentiles(spent)}
    found = {"photos": len(photos), "min_area": MIN_AREA, "members": members}
    write("detectors", found, asked.out)


if __name__ == "__main__":
    main()
