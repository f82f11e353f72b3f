"""Scenes as the detector's trained part sees them: the frozen part's output, made once, on disk."""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from finder import CLASSES, HEIGHT, WIDTH, Finder
from lensback.detectors.description import DetectorDescription
from lensback.detectors.preprocess import fit, to_batch
from lensback.errors import DataError
from lensback.types import Box
from scenes import Scene, Source, scene

SHARD = 64
HELD_OUT = 10
"""One picture in so many, all colours of one photograph together, is kept for judging."""
INPUT = DetectorDescription("decoded", (HEIGHT, WIDTH), CLASSES)
"""How a photo becomes the input, in training as in use."""

Labelled = tuple[int, Box]
"""Class, box as fractions of the input."""


@dataclass(frozen=True, slots=True)
class Stems:
    """`maps[row]` float16 [64, 44, 32] of a scene, `boxes[row]` what is in it."""

    maps: NDArray[np.float16]
    boxes: list[list[Labelled]]

    def __len__(self) -> int:
        return len(self.boxes)

    def batch(self, rows: Sequence[int]) -> torch.Tensor:
        """The maps of these rows as one tensor, laid out as convolutions want it."""
        wide = torch.from_numpy(self.maps[np.asarray(rows)].astype(np.float32))
        return wide.to(memory_format=torch.channels_last)


def held(name: str) -> bool:
    """Whether a picture (`store/file`) is kept for judging."""
    store, _, file = name.partition("/")
    family = file.partition("-")[0] if store == "luma" else file
    return hashlib.sha256(f"{store}/{family}".encode()).digest()[0] % HELD_OUT == 0


def closet_words(folder: Path) -> dict[str, str]:
    """Picture -> the store's word for it, from closet's own feed."""
    feed = folder / "closet" / "feed.csv.gz"
    if not feed.is_file():
        raise DataError(f"there is no {feed}", hint="give the folder that holds closet")
    with gzip.open(feed, "rt", encoding="utf-8", newline="") as lines:
        return {
            row["merchant_product_id"]: row["merchant_category"].rpartition(" > ")[2]
            for row in csv.DictReader(lines)
        }


def fitted(made: Scene) -> tuple[NDArray[np.float32], list[Labelled]]:
    """The input [3, 352, 256] and its boxes."""
    inside = fit(made.image, INPUT)
    boxes = [
        (CLASSES.index(label), _within(box, inside.left, inside.top, inside.width, inside.height))
        for label, box in made.boxes
        if label in CLASSES
    ]
    return to_batch(inside.image, INPUT)[0], boxes


def _within(box: Box, left: float, top: float, width: float, height: float) -> Box:
    x0, y0, x1, y1 = box
    return left + x0 * width, top + y0 * height, left + x1 * width, top + y1 * height


def photos(whole: Sequence[tuple[Path, Sequence[tuple[str, Box]]]]) -> Iterator[Scene]:
    """Pictures as they are, with the boxes drawn over them."""
    for path, boxes in whole:
        yield Scene(Image.open(path).convert("RGB"), tuple(boxes))


def composed(
    source: Callable[[], Source],
    finder: Finder,
    work: Path,
    count: int,
    seed: int,
    keep_going: Callable[[int], bool],
) -> Stems:
    """The first `count` scenes, written in shards as they are made; fewer where told to stop.

    `source` is asked only where a shard is missing: gathering takes a minute.
    """
    found: list[Stems] = []
    ready: Source | None = None
    for at in range(0, count, SHARD):
        path = work / f"scenes-{seed}-{at:06d}.npz"
        if not path.is_file():
            if not keep_going(at):
                break
            ready = ready or source()
            made = [scene(ready, number, seed) for number in range(at, min(at + SHARD, count))]
            _write(path, stems_of(made, finder))
        found.append(_read(path))
    keep_going(sum(len(part) for part in found))
    return joined(found)


def stems_of(scenes: Sequence[Scene], finder: Finder) -> Stems:
    """The frozen part over scenes."""
    maps, boxes = [], []
    for at in range(0, len(scenes), 8):
        inputs, labelled = zip(*(fitted(made) for made in scenes[at : at + 8]), strict=True)
        image = torch.from_numpy(np.stack(inputs)).to(memory_format=torch.channels_last)
        with torch.no_grad():
            maps.append(finder.stem(image).numpy().astype(np.float16))
        boxes += list(labelled)
    return Stems(np.ascontiguousarray(np.concatenate(maps)), boxes)


def joined(parts: Sequence[Stems]) -> Stems:
    """Several stems as one, in their order."""
    if not parts:
        raise DataError("no scene was made", hint="give more minutes")
    return Stems(
        np.concatenate([part.maps for part in parts]),
        [boxes for part in parts for boxes in part.boxes],
    )


def _write(path: Path, stems: Stems) -> None:
    rows = [(row, label, *box) for row, boxes in enumerate(stems.boxes) for label, box in boxes]
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, maps=stems.maps, boxes=np.array(rows, np.float32).reshape(-1, 6))
    part.replace(path)


def _read(path: Path) -> Stems:
    with np.load(path) as file:
        maps, rows = file["maps"], file["boxes"]
    boxes: list[list[Labelled]] = [[] for _ in maps]
    for row, label, x0, y0, x1, y1 in rows.tolist():
        boxes[int(row)].append((int(label), (x0, y0, x1, y1)))
    return Stems(maps, boxes)
