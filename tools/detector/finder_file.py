"""The detector as a file: `model.onnx` and `detector.toml`, and the proof that they say the same."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from finder import CLASSES, HEIGHT, WIDTH, Finder
from lensback.detectors.description import FILE_NAME
from lensback.detectors.onnx import OnnxDetector
from scenes import PERSON

OPSET = 17
MODEL_FILE = "model.onnx"
MOST = 16
SOFT = 0.0
HARD = 0.65
MIN_SCORE = 0.03
COMPARED = 20
LARGE = 1024
"""Numbers from which a weight is stored in half precision."""
TOML = """\
# Written by tools/detector/train.py. Pixels between 0 and 1: the model normalises them itself.
style = "decoded"
size = [{height}, {width}]
labels = {labels}
resize = "letterbox"
boxes = "xyxy"
scale = "fraction"
scores = "none"
min_score = {min_score}
overlap = {hard}
soft = {soft}
most = {most}
licence = "Apache-2.0; trained on pictures under CC0 and OSL-3.0/AFL-3.0"
source = "lensback detector: MobileNetV2 (ImageNet, Apache-2.0), trained on composed scenes"
"""


def write(finder: Finder, folder: Path) -> float:
    """Writes both files; returns the largest difference of boxes and scores to the module's."""
    folder.mkdir(parents=True, exist_ok=True)
    finder = finder.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with warnings.catch_warnings():
        # The tracing exporter needs no further package and is enough for a fixed graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            finder,
            (torch.from_numpy(probe(1)),),
            str(folder / MODEL_FILE),
            dynamo=False,
            input_names=["image"],
            output_names=["labels", "boxes", "scores"],
            opset_version=OPSET,
        )
    halve(folder / MODEL_FILE)
    # A person is learnt, so that clothes are not taken for one, and is no region.
    labels = json.dumps(["" if label == PERSON else label for label in CLASSES])
    toml = TOML.format(
        height=HEIGHT,
        width=WIDTH,
        labels=labels,
        min_score=MIN_SCORE,
        hard=HARD,
        soft=SOFT,
        most=MOST,
    )
    (folder / FILE_NAME).write_text(toml, "utf-8")
    return parity(finder, folder)


def halve(path: Path) -> None:
    """Stores the weights in half precision, cast back when the model is loaded: half the bytes to
    ship, the same speed; `parity` tells what it costs."""
    model = onnx.load(str(path))
    casts = []
    for item in model.graph.initializer:
        values = numpy_helper.to_array(item)
        if values.dtype == np.float32 and values.size >= LARGE:
            name, half = item.name, f"{item.name}_half"
            item.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
            casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, str(path))


def probe(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Pictures to compare by: noise with a plain thing in it."""
    random = np.random.default_rng(0)
    images = random.random((count, 3, HEIGHT, WIDTH)).astype(np.float32)
    for image in images:
        image[:, HEIGHT // 4 : HEIGHT // 2, WIDTH // 3 : WIDTH // 2] = random.random((3, 1, 1))
    return images


def parity(finder: Finder, folder: Path, count: int = 3) -> float:
    """Largest difference between the file in ONNX Runtime and the module: fractions and scores.

    Places whose scores are equal to the sixth digit may change their order, so each of the
    module's first boxes is held against the nearest of the file's with its label.
    """
    detector, worst = OnnxDetector("probe", folder, threads=1), 0.0
    for image in probe(count):
        with torch.no_grad():
            labels, boxes, scores = (value[0].numpy() for value in finder(torch.from_numpy(image[None])))  # fmt: skip
        theirs = [value[0] for value in detector.outputs(image[None])]
        worst = max(worst, float(np.abs(theirs[2] - scores).max()))
        for label, box in zip(labels[:COMPARED], boxes[:COMPARED], strict=True):
            same = theirs[1][theirs[0] == label]
            apart = np.abs(same - box).max(axis=1) if len(same) else np.ones(1)
            worst = max(worst, float(apart.min()))
    return worst
