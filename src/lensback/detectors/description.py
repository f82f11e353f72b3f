"""`detector.toml`: how a detection model wants its photo, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from lensback.checked import checked, read_toml, wrong
from lensback.detectors.taxonomy import LABELS, of_label
from lensback.shelves import Described

FILE_NAME = "detector.toml"
PAGE = "detectors.md"
MAX_LABELS = 2000
Side = Annotated[int, Field(ge=32, le=2048)]
OUTPUTS = {"detr": 2, "yolo": 1, "decoded": 3}
"""How many outputs a style reads."""
Level = Annotated[float, Field(ge=-255, le=255)]
Spread = Annotated[float, Field(gt=0, le=255)]
Byte = Annotated[int, Field(ge=0, le=255)]
Weight = Annotated[float, Field(ge=-20, le=20)]
Chance = tuple[Weight, Weight]


def _names(labels: object) -> tuple[str, ...]:
    """The names of the classes, in the model's order, from a list or a table of numbers."""
    found = labels
    if isinstance(labels, dict):
        numbers = [int(key) for key in labels if str(key).isdigit()]
        if len(numbers) != len(labels) or not numbers or max(numbers) >= MAX_LABELS:
            raise ValueError("must map class numbers to labels")
        found = [str(labels.get(str(number), "")) for number in range(max(numbers) + 1)]
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
        raise ValueError("must be a list of texts")
    if not 1 <= len(found) <= MAX_LABELS:
        raise ValueError(f"must have 1 to {MAX_LABELS} names")
    return tuple(found)


def _ours(labels: object) -> tuple[str, ...]:
    found = tuple(name if name in LABELS else of_label(name) for name in _names(labels))
    if not any(found):
        raise ValueError("names nothing that we know")
    return found


@dataclass(frozen=True, slots=True)
class DetectorDescription(Described):
    """One model's preprocessing and outputs, as `detector.toml` gives them."""

    style: Literal["detr", "yolo", "decoded"]
    """`detr`: logits [1, n, classes] and boxes [1, n, 4]; `yolo`: one tensor of boxes and
    class scores; `decoded`: labels [1, n], boxes [1, n, 4] and scores [1, n]."""
    size: tuple[Side, Side]
    """[height, width] of the input, pixels, each 32 to 2048."""
    labels: Annotated[tuple[str, ...], BeforeValidator(_ours)]
    """Ours for each class, in the model's order; "" for a class that is never a region. The file
    may give the model's own class names, or a table from class number to either."""
    resize: Literal["squash", "letterbox"] = "letterbox"
    """`squash` ignores the aspect ratio; `letterbox` fits the photo in and fills the rest."""
    corner: bool = False
    """With `letterbox`: the photo lies in the upper left corner, not in the middle."""
    fill: tuple[Byte, Byte, Byte] = (114, 114, 114)
    """Three whole numbers from 0 to 255: the colour of that rest."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    channels: Literal["rgb", "bgr"] = "rgb"
    unit: bool = True
    """Pixels are divided by 255 before mean and std."""
    mean: tuple[Level, Level, Level] = (0.0, 0.0, 0.0)
    std: tuple[Spread, Spread, Spread] = (1.0, 1.0, 1.0)
    input: str = ""
    """The picture's input; empty: the only one with four dimensions."""
    size_input: str = ""
    """An input that wants [[width, height]] of the photo (as RT-DETR exports have)."""
    size_order: Literal["wh", "hw"] = "wh"
    """Order of the two numbers in `size_input`."""
    mask_input: str = ""
    """An input that tells which pixels are photo (`pixel_mask`): filled with ones where it is."""
    outputs: tuple[str, ...] = ()
    """`detr`: logits, boxes. `yolo`: the tensor. `decoded`: labels, boxes, scores. Empty: by
    the usual names, then by shape."""
    boxes: Literal["cxcywh", "xyxy", "xywh"] = "cxcywh"
    scale: Literal["fraction", "input", "photo"] = "fraction"
    """What box numbers are in: fractions of the input, its pixels, or the photo's pixels."""
    scores: Literal["softmax", "sigmoid", "none"] = "softmax"
    """`detr`: softmax has one more class at the end, "no thing". `yolo` and `decoded`: `none`
    where the model gives probabilities already, else `sigmoid`."""
    objectness: bool = False
    """`yolo`: the fifth number tells how likely there is anything (YOLOv5, YOLOX)."""
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.25
    overlap: Annotated[float, Field(ge=0.05, le=1)] = 0.6
    """Boxes that overlap a better one by more (IoU) are dropped; 1: none is."""
    soft: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Above 0: a box loses exp(-IoU^2 / soft) of its score to each better one."""
    most: Annotated[int, Field(ge=1, le=100)] = 16
    """Regions given at most, beside the whole photo."""
    chance: dict[str, Chance] = field(default_factory=dict)
    """Label -> bias and weight, fitted on held-out boxes: a region of the label is a thing with
    probability 1 / (1 + exp(-(bias + weight * logit(score)))), which becomes its score. A label
    without one keeps the model's score."""
    likely_from: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Score from which a region is offered; what is below stands behind "more"."""
    sure_from: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Score that one region must have for any to be offered where nothing on sale is near."""
    part: Annotated[float, Field(gt=0, le=1)] = 1.0
    """A box of which more lies within a better one of the same kind is a part of that, and dropped;
    1: none is."""
    names: tuple[str, ...] = ()
    """The model's own class names, where `labels` was made from them; not a key of the file."""

    @model_validator(mode="after")
    def _outputs_fit_the_style(self) -> Self:
        wanted = OUTPUTS[self.style]
        if self.outputs and len(self.outputs) != wanted:
            raise wrong("outputs", f"must name {wanted} for style {self.style!r}")
        if unknown := sorted(set(self.chance) - set(self.labels)):
            raise wrong("chance", f"{unknown[0]!r} is none of its labels")
        return self


def read_description(path: Path) -> DetectorDescription:
    """Reads and checks one `detector.toml`. Raises ConfigError naming the key that is wrong."""
    return parse_description(read_toml(path, PAGE), str(path))


def parse_description(values: Mapping[str, Any], where: str) -> DetectorDescription:
    """Checks the keys of `detector.toml`; `where` names the file in messages."""
    found = checked(DetectorDescription, values, f"{where}: ", hint=f"See docs/{PAGE}")
    return replace(found, names=_names(values["labels"]))
