"""Outputs of detection models -> labels, boxes and scores, one row for each thing.

Three styles: `detr` (DETR, YOLOS, Conditional DETR, D-FINE and RT-DETR as exported with logits),
`yolo` (one tensor), and `decoded` (labels, boxes and scores that the model worked out itself).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensback.detectors.boxes import Boxes, Floats, Rows
from lensback.detectors.description import DetectorDescription
from lensback.errors import ConfigError

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Decoded:
    """`labels` are class numbers; `boxes` x0, y0, x1, y1 in the scale of the description."""

    labels: Rows
    boxes: Boxes
    scores: Floats


def decode(outputs: Sequence[Array], description: DetectorDescription) -> Decoded:
    """Raises ConfigError where shapes do not suit the description."""
    style = {"detr": _detr, "yolo": _yolo, "decoded": _decoded}[description.style]
    found = style([_one(output) for output in outputs], description)
    kept = np.flatnonzero(found.scores >= description.min_score)
    boxes = corners(found.boxes[kept], description.boxes)
    return Decoded(found.labels[kept], boxes, found.scores[kept])


def believed(decoded: Decoded, description: DetectorDescription) -> Decoded:
    """What was decoded, its scores made probabilities where the description tells what one is worth."""
    scores = decoded.scores.astype(np.float64)
    for number, label in enumerate(description.labels):
        if label in description.chance:
            bias, weight = description.chance[label]
            own = decoded.labels == number
            sure = np.clip(scores[own], 1e-6, 1 - 1e-6)
            scores[own] = _sigmoid(bias + weight * np.log(sure / (1 - sure)))
    return Decoded(decoded.labels, decoded.boxes, scores.astype(np.float32))


def corners(boxes: Array, form: str) -> Boxes:
    """Boxes of any form as x0, y0, x1, y1.

    >>> corners(np.array([[0.5, 0.5, 0.25, 0.5]]), "cxcywh").tolist()
    [[0.375, 0.25, 0.625, 0.75]]
    """
    first, second = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    if form == "cxcywh":
        first, second = first - second / 2, first + second / 2
    elif form == "xywh":
        second = first + second
    return np.concatenate([first, second], axis=1).astype(np.float32)


def _one(output: Array) -> Array:
    """Without the dimension of the batch, which has one photo."""
    return output[0] if output.ndim > 1 and output.shape[0] == 1 else output


def _detr(outputs: Sequence[Array], description: DetectorDescription) -> Decoded:
    logits, boxes = outputs
    if logits.ndim != 2 or boxes.shape != (len(logits), 4):
        raise _unfit(outputs, "logits [n, classes] and boxes [n, 4]")
    if description.scores == "softmax":
        chances = _softmax(logits)[:, :-1]
    else:
        chances = _sigmoid(logits) if description.scores == "sigmoid" else logits
    labels, scores = _best(chances, description)
    return Decoded(labels, boxes, scores)


def _yolo(outputs: Sequence[Array], description: DetectorDescription) -> Decoded:
    """One row for each place, or one column: what is not 4 + classes long is the places."""
    (rows,) = outputs
    before = 5 if description.objectness else 4
    width = before + len(description.labels)
    if rows.ndim == 2 and rows.shape[1] != width:
        rows = rows.T
    if rows.ndim != 2 or rows.shape[1] != width:
        raise _unfit(outputs, f"{width} numbers for each place")
    chances = rows[:, before:]
    if description.scores == "sigmoid":
        chances = _sigmoid(chances)
    labels, scores = _best(chances, description)
    if description.objectness:
        anything = rows[:, 4]
        scores = scores * (_sigmoid(anything) if description.scores == "sigmoid" else anything)
    return Decoded(labels, rows[:, :4], scores.astype(np.float32))


def _decoded(outputs: Sequence[Array], description: DetectorDescription) -> Decoded:
    labels, boxes, scores = outputs
    flat = scores.reshape(-1)
    if labels.size != flat.size or boxes.reshape(-1, boxes.shape[-1]).shape != (flat.size, 4):
        raise _unfit(outputs, "labels [n], boxes [n, 4] and scores [n]")
    numbers = labels.reshape(-1).astype(np.int64)
    chances = _sigmoid(flat) if description.scores == "sigmoid" else flat
    known = np.array([bool(label) for label in description.labels])
    inside = (numbers >= 0) & (numbers < len(known))
    kept = np.flatnonzero(inside & known[np.clip(numbers, 0, len(known) - 1)])
    return Decoded(numbers[kept], boxes.reshape(-1, 4)[kept], chances[kept].astype(np.float32))


def _best(chances: Array, description: DetectorDescription) -> tuple[Rows, Floats]:
    """The likeliest class of each row among those that are regions, and its chance."""
    if chances.shape[1] != len(description.labels):
        raise _unfit([chances], f"{len(description.labels)} classes")
    known = np.array([bool(label) for label in description.labels])
    allowed = np.where(known, chances, -1.0)
    labels = allowed.argmax(axis=1)
    return labels.astype(np.int64), allowed.max(axis=1).astype(np.float32)


def _softmax(logits: Array) -> Array:
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _sigmoid(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -60, 60))))


def _unfit(outputs: Sequence[Array], wanted: str) -> ConfigError:
    shapes = ", ".join(str(list(output.shape)) for output in outputs)
    return ConfigError(
        f"the detector gives {shapes}, not {wanted}",
        hint="mend 'style', 'labels' or 'outputs' of its detector.toml",
    )
