"""How good regions are: the share of true boxes met by the first few, and average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lensback.detectors.boxes import overlaps
from lensback.types import Box, Region

MET = 0.5
"""Intersection over union from which a box counts as met."""

Labelled = tuple[str, Box]


@dataclass(frozen=True, slots=True)
class Judged:
    """One photo: its true boxes, and the regions a detector gave, best first."""

    truth: Sequence[Labelled]
    regions: Sequence[Region]

    def met(self, first: int) -> list[bool]:
        """True for each true box that one of the first regions meets, whatever its label.

        >>> box = (0.0, 0.0, 0.5, 1.0)
        >>> Judged([("top", box)], [Region((0, 0, 1, 1)), Region(box)]).met(1)
        [True]
        >>> Judged([("top", box)], []).met(8)
        [False]
        """
        if not self.truth or not self.regions:
            return [False] * len(self.truth)
        true = np.array([box for _, box in self.truth], np.float32)
        given = np.array([region.box for region in self.regions[:first]], np.float32)
        return [bool(best >= MET) for best in overlaps(true, given).max(axis=1)]


def share_met(photos: Sequence[Judged], first: int) -> float:
    """Share of all true boxes met by the first regions of their photo; nan without a box."""
    found = [hit for photo in photos for hit in photo.met(first)]
    return sum(found) / len(found) if found else float("nan")


def average_precision(photos: Sequence[Judged], label: str) -> float:
    """Area under precision over recall of one label at IoU 0.5, as PASCAL VOC 2010 sums it.

    Regions of all photos by falling score; each true box is met once, by the region that overlaps
    it most. nan where no photo has the label.

    >>> box = (0.0, 0.0, 0.5, 1.0)
    >>> photo = Judged([("top", box)], [Region((0.6, 0, 1, 1), "top", 0.9), Region(box, "top", 0.5)])
    >>> average_precision([photo], "top"), average_precision([photo], "hat")
    (0.5, nan)
    """
    total = sum(own == label for photo in photos for own, _ in photo.truth)
    if not total:
        return float("nan")
    scored = sorted((pair for photo in photos for pair in _hits(photo, label)), reverse=True)
    if not scored:
        return 0.0
    hits = np.cumsum([hit for _, hit in scored])
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(np.concatenate([[0], hits / total]))
    return float((envelope * steps).sum())


def mean_average_precision(photos: Sequence[Judged], labels: Sequence[str]) -> float:
    """Mean over the labels that any photo has; nan where none has any."""
    found = [average_precision(photos, label) for label in labels]
    known = [value for value in found if not np.isnan(value)]
    return sum(known) / len(known) if known else float("nan")


def _hits(photo: Judged, label: str) -> list[tuple[float, bool]]:
    """(score, whether it meets a true box that no better region met) of each region of a label."""
    free = [box for own, box in photo.truth if own == label]
    mine = sorted((r for r in photo.regions if r.label == label), key=lambda r: -r.score)
    hits = []
    for region in mine:
        pairs = (
            overlaps(np.array([region.box], np.float32), np.array(free, np.float32))[0]
            if free
            else np.zeros(0)
        )
        met = bool(len(pairs) and pairs.max() >= MET)
        if met:
            free.pop(int(pairs.argmax()))
        hits.append((region.score, met))
    return hits
