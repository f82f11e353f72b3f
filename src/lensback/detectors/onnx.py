"""Detectors that are ONNX models: a folder with `model.onnx` and `detector.toml`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lensback.detectors.boxes import Boxes, parts, suppress
from lensback.detectors.decode import Decoded, believed, decode
from lensback.detectors.description import FILE_NAME, DetectorDescription, read_description
from lensback.detectors.preprocess import Fitted, fit, to_batch
from lensback.errors import ConfigError
from lensback.session import Array, Load, Run, open_session
from lensback.shelves import MODEL_FILE
from lensback.shelves.weights import fingerprint
from lensback.types import WHOLE, Region

LAST_RESORT = 0.01
"""Score of the whole photo."""
MIN_SIDE = 0.02
"""Of the photo; thinner boxes are no regions, as for boxes that people draw."""
CANDIDATES = 300
"""Best rows that are looked at: the sums over pairs grow with the square."""
REVISION = 2
"""Raised when the code here changes the regions."""
USUAL: dict[str, tuple[tuple[str, ...], ...]] = {
    "detr": (("logits", "pred_logits"), ("pred_boxes", "boxes")),
    "yolo": (("output0", "output", "outputs"),),
    "decoded": (("labels", "class_ids"), ("boxes", "bboxes"), ("scores", "score")),
}
NUMBERS: dict[str, Any] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(bool)": np.bool_,
}


class OnnxDetector:
    """One model folder, loaded into ONNX Runtime on the processor."""

    def __init__(
        self, name: str, folder: Path, *, threads: int = 0, load: Load | None = None
    ) -> None:
        self.name = name
        self.description = read_description(folder / FILE_NAME)
        self.fingerprint = fingerprint(
            folder, f"detector {REVISION}\n".encode(), self.description.identity()
        )
        session, self._run = (load or _load)(folder, threads)
        inputs = {item.name: item for item in session.get_inputs()}
        self._input = _picture_input(inputs, self.description, folder)
        _check_others(inputs, self._input, self.description, folder)
        self._size = inputs.get(self.description.size_input)
        self._mask = inputs.get(self.description.mask_input)
        self._outputs = _chosen(session.get_outputs(), self.description, folder)

    def find(self, photo: Image.Image) -> list[Region]:
        """RGB photo -> regions, best first, the whole photo last. Thread-safe."""
        fitted = fit(photo, self.description)
        outputs = self.outputs(to_batch(fitted.image, self.description), photo.size)
        found = believed(decode(outputs, self.description), self.description)
        boxes = _fractions(found.boxes, fitted, photo.size, self.description)
        things = self._regions(found, boxes)
        # A model whose scores were never held against boxes says nothing of what is not there.
        untold = not self.description.chance
        seen = untold or any(thing.likely for thing in things)
        sure = untold or any(thing.sure for thing in things)
        return [*things, Region(WHOLE, "whole", LAST_RESORT, seen, sure)]

    def outputs(self, batch: NDArray[np.float32], size: tuple[int, int] = (1, 1)) -> list[Array]:
        """What the model gives for one preprocessed photo of that width and height."""
        return list(self._run(self._outputs, self.feed(batch, size)))

    def feed(self, batch: NDArray[np.float32], size: tuple[int, int] = (1, 1)) -> dict[str, Array]:
        """All inputs of the model for one preprocessed photo of that width and height, by name."""
        feed: dict[str, Array] = {self._input: batch}
        if self._size:
            height, width = self.description.size
            pair = (width, height) if self.description.scale == "input" else size
            ordered = pair if self.description.size_order == "wh" else pair[::-1]
            feed[self._size.name] = np.array([ordered], NUMBERS[self._size.type])
        if self._mask:
            feed[self._mask.name] = np.ones(_mask_shape(self._mask), NUMBERS[self._mask.type])
        return feed

    def _regions(self, decoded: Decoded, boxes: Boxes) -> list[Region]:
        """What is large enough and not a second look at a better one."""
        sides = boxes[:, 2:] - boxes[:, :2]
        finite = np.isfinite(boxes).all(axis=1) & np.isfinite(decoded.scores)
        large = np.flatnonzero(finite & (sides.min(axis=1, initial=1) >= MIN_SIDE))
        large = large[np.argsort(-decoded.scores[large], kind="stable")][:CANDIDATES]
        d = self.description
        rows, scores = suppress(
            boxes[large], decoded.scores[large], 2 * d.most, soft=d.soft, hard=d.overlap
        )
        kept = large[rows]
        whole = ~parts(boxes[kept], decoded.labels[kept], d.part)
        return [
            self._region(boxes[row], d.labels[decoded.labels[row]], _score(score))
            for row, score in list(zip(kept[whole], scores[whole], strict=True))[: d.most]
        ]

    def _region(self, box: NDArray[np.float32], label: str, score: float) -> Region:
        d = self.description
        likely = score >= d.likely_from
        return Region(_box(box), label, score, likely, likely and score >= d.sure_from)


def _load(folder: Path, threads: int) -> tuple[Any, Run]:
    return open_session(
        folder / MODEL_FILE,
        threads=threads,
        load_hint="the file is broken or too new for this onnxruntime",
        run_hint=f"compare 'size' and 'size_input' of {folder / FILE_NAME} with the model",
    )


def _box(row: NDArray[np.float32]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (round(float(value), 5) for value in row)
    return x0, y0, x1, y1


def _score(value: float) -> float:
    """Above the whole photo's, at most 1."""
    return round(min(1.0, max(float(value), 2 * LAST_RESORT)), 4)


def _fractions(
    boxes: Boxes, fitted: Fitted, size: tuple[int, int], description: DetectorDescription
) -> Boxes:
    """Boxes as fractions of the photo, cut to it."""
    if description.scale == "photo":
        pair = np.array([*size, *size], np.float32)
        return np.asarray(np.clip(boxes / pair, 0, 1), np.float32)
    if description.scale == "input":
        height, width = description.size
        return fitted.back((boxes / np.array([width, height, width, height])).astype(np.float32))
    return fitted.back(boxes)


def _picture_input(inputs: dict[str, Any], description: DetectorDescription, folder: Path) -> str:
    """The input named, or the only one with four dimensions; it takes our size."""
    pictures = [name for name, item in inputs.items() if len(item.shape) == 4]
    chosen = [description.input] if description.input in inputs else pictures
    if len(chosen) != 1 or (description.input and description.input not in inputs):
        raise ConfigError(
            f"{folder}: no single picture input among {list(inputs)}",
            hint=f"name it as 'input' in {folder / FILE_NAME}",
        )
    item = inputs[chosen[0]]
    wanted = (3, *description.size)
    agrees = all(not isinstance(a, int) or a == b for a, b in zip(item.shape[1:], wanted, strict=False))  # fmt: skip
    if not agrees or item.type != "tensor(float)":
        raise ConfigError(
            f"{folder}: input {item.name!r} is {item.type} {item.shape}, not a float [1, {wanted}]",
            hint=f"mend 'size' in {folder / FILE_NAME}, or export in single precision",
        )
    return chosen[0]


def _check_others(
    inputs: dict[str, Any], picture: str, description: DetectorDescription, folder: Path
) -> None:
    """Every other input is one that we can fill. Raises ConfigError."""
    named = {description.size_input, description.mask_input}
    for name, item in inputs.items():
        if name != picture and (name not in named or item.type not in NUMBERS):
            raise ConfigError(
                f"{folder}: the model has another input, {name!r} ({item.type})",
                hint=f"name it as 'size_input' or 'mask_input' in {folder / FILE_NAME}",
            )


def _mask_shape(port: Any) -> tuple[int, ...]:
    """[1, height, width]; where the export left the sides open any will do, as they are stretched."""
    sides = [side if isinstance(side, int) else 64 for side in port.shape[1:]]
    return (1, *sides)


def _chosen(outputs: Sequence[Any], description: DetectorDescription, folder: Path) -> list[str]:
    """Names of the outputs in the order that the style wants."""
    names = [item.name for item in outputs]
    usual = USUAL[description.style]
    wanted = tuple((name,) for name in description.outputs) or usual
    found = [next((name for name in each if name in names), "") for each in wanted]
    if all(found):
        return found
    if not description.outputs and len(names) == len(usual) == 1:
        return names
    raise ConfigError(
        f"{folder}: the outputs are {names}",
        hint=f"name {' and '.join(each[0] for each in usual)} as 'outputs' in {folder / FILE_NAME}",
    )
