"""A detector in eight bits, made of one in full and shown the same pictures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lensback import metrics
from lensback.db import Database
from lensback.detectors.boxes import overlaps
from lensback.detectors.description import FILE_NAME
from lensback.detectors.measure import MET
from lensback.detectors.onnx import OnnxDetector
from lensback.detectors.preprocess import fit, to_batch
from lensback.detectors.shelf import SHELF, add_detector
from lensback.images import ImageStore
from lensback.shelves import MODEL_FILE, workbench
from lensback.train.eightbit import Watch, describe, drawn, float_model, in_turns
from lensback.types import WHOLE, Region

SHOWN = 200
"""Most pictures that both look at."""
AGAIN = 0.9
"""Share of what the one in full names that the other must name, too; where it is less beyond chance, nothing is kept."""


@dataclass(frozen=True, slots=True)
class EightBitDetector:
    """What became of a detector, and how far it agrees with the one it was made of."""

    name: str
    made_of: str
    folder: Path | None
    """None: it names too little of what the other does, so nothing was kept."""
    layers: int
    pictures: int
    """From which ranges were taken; both look at others."""
    shown: int
    named_full: int
    named_eight: int
    again: float
    """Share of what the one in full names that the other names, too: of the same kind, overlapping by half."""
    interval: tuple[float, float]
    """Of that share, 95 %, by bootstrap over pictures."""
    ms_full: float
    ms_eight: float
    """Median for a picture, both in turn."""

    def as_json(self) -> dict[str, object]:
        """Figures and folder by name, as `detector quantize --json` prints them."""
        return asdict(self) | {"folder": str(self.folder) if self.folder else None}


def detector_in_eight_bits(
    db: Database,
    images: ImageStore,
    added: Path,
    made_of: str,
    name: str,
    *,
    count: int = 64,
    threads: int = 1,
    watch: Watch = lambda *_: None,
) -> EightBitDetector:
    """Puts the detector `made_of` on the shelf once more, in eight bits, as `name`.

    Ranges are taken from `count` of the catalogue's pictures, both look at up to SHOWN others. Where it names
    less than AGAIN of what the one in full names, beyond chance, nothing is kept. Raises MissingExtra without onnx, UnknownName,
    ConfigError where the model has no layers for it or the name is taken, DataError where there are too few pictures.
    """
    folder = float_model(SHELF, added, made_of, name, example="lensback-detector")
    from lensback.session.eightbit import write_eight_bit

    full = OnnxDetector(made_of, folder, threads=threads)
    seen, others = drawn(db, images, max(full.description.size), count, watch)
    shown = list(others.values())[:SHOWN]
    with workbench(added) as made:
        feeds = (
            full.feed(to_batch(fit(p, full.description).image, full.description)) for p in seen
        )
        layers = write_eight_bit(folder / MODEL_FILE, made / MODEL_FILE, feeds)
        describe(folder / FILE_NAME, made / FILE_NAME, len(seen))
        eight = OnnxDetector(name, made, threads=threads)
        pairs = []
        for number, photo in enumerate(shown, 1):
            pairs.append((named(full.find(photo)), named(eight.find(photo))))
            watch("regions", number, len(shown))
        ms = in_turns(lambda: full.find(shown[0]), lambda: eight.find(shown[0]))
        share, interval = agreement(pairs)
        kept = add_detector(name, str(made), added) if interval[1] >= AGAIN else None
    counts = (sum(len(one) for one, _ in pairs), sum(len(other) for _, other in pairs))
    return EightBitDetector(
        name, made_of, kept, layers, len(seen), len(shown), *counts, round(share, 4), interval, *ms
    )


def named(regions: Sequence[Region]) -> list[Region]:
    """The regions that an answer would name, without the whole photo."""
    return [region for region in regions if region.likely and region.box != WHOLE]


def agreement(
    pairs: Sequence[tuple[Sequence[Region], Sequence[Region]]],
) -> tuple[float, tuple[float, float]]:
    """Share of the first detector's regions that the second has, too, with its 95 % interval by bootstrap
    over pictures: of the same kind, overlapping by half. Of no regions it is 1, of one picture nothing is known.
    """
    flags = [
        (float(_again(region, second)), at)
        for at, (first, second) in enumerate(pairs)
        for region in first
    ]
    values = np.array([flag for flag, _ in flags])
    if not len(values):
        return 1.0, (0.0, 1.0)
    pictures = [at for _, at in flags]
    low, high = metrics.bootstrap(pictures, lambda rows: float(values[rows].mean())) or (0.0, 1.0)
    return float(values.mean()), (round(low, 4), round(high, 4))


def _again(region: Region, others: Sequence[Region]) -> bool:
    boxes = [other.box for other in others if other.label == region.label]
    if not boxes:
        return False
    pair = overlaps(np.array([region.box], np.float32), np.array(boxes, np.float32))
    return bool(pair.max() >= MET)
