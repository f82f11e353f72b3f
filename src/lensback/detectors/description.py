"""`detector.toml`: how a detection model wants its photo, and what its outputs mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from lensback.detectors.taxonomy import LABELS, of_label
from lensback.errors import ConfigError
from lensback.shelves import read_toml

FILE_NAME = "detector.toml"
STYLES = ("detr", "yolo", "decoded")
BOXES = ("cxcywh", "xyxy", "xywh")
SCALES = ("fraction", "input", "photo")
SCORES = ("softmax", "sigmoid", "none")
RESIZES = ("squash", "letterbox")
INTERPOLATIONS = ("bilinear", "bicubic")
CHANNELS = ("rgb", "bgr")
REQUIRED = ("style", "size", "labels")
ABOUT = ("licence", "source", "repo", "file", "doubt")
MAX_SIDE_PX = 2048
MAX_LABELS = 2000


@dataclass(frozen=True, slots=True)
class Description:
    """One model's preprocessing and outputs, as `detector.toml` gives them."""

    style: str
    """`detr`: logits [1, n, classes] and boxes [1, n, 4]; `yolo`: one tensor of boxes and
    class scores; `decoded`: labels [1, n], boxes [1, n, 4] and scores [1, n]."""
    size: tuple[int, int]
    """Height and width of the input, pixels."""
    labels: tuple[str, ...]
    """Ours for each class, in the model's order; "" for a class that is never a region."""
    resize: str = "letterbox"
    """`squash` ignores the aspect ratio; `letterbox` fits the photo in and fills the rest."""
    corner: bool = False
    """With `letterbox`: the photo lies in the upper left corner, not in the middle."""
    fill: tuple[int, int, int] = (114, 114, 114)
    interpolation: str = "bilinear"
    channels: str = "rgb"
    unit: bool = True
    """Pixels are divided by 255 before mean and std."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    input: str = ""
    """The picture's input; empty: the only one with four dimensions."""
    size_input: str = ""
    """An input that wants [[width, height]] of the photo (as RT-DETR exports have)."""
    size_order: str = "wh"
    """Order of the two numbers in `size_input`: `wh` or `hw`."""
    mask_input: str = ""
    """An input that tells which pixels are photo (`pixel_mask`): filled with ones where it is."""
    outputs: tuple[str, ...] = ()
    """`detr`: logits, boxes. `yolo`: the tensor. `decoded`: labels, boxes, scores. Empty: by
    the usual names, then by shape."""
    boxes: str = "cxcywh"
    scale: str = "fraction"
    """What box numbers are in: fractions of the input, its pixels, or the photo's pixels."""
    scores: str = "softmax"
    """`detr`: softmax has one more class at the end, "no thing". `yolo` and `decoded`: `none`
    where the model gives probabilities already, else `sigmoid`."""
    objectness: bool = False
    """`yolo`: the fifth number tells how likely there is anything (YOLOv5, YOLOX)."""
    min_score: float = 0.25
    overlap: float = 0.6
    """Boxes that overlap a better one by more (IoU) are dropped; 1: none is."""
    soft: float = 0.0
    """Above 0: a box loses exp(-IoU^2 / soft) of its score to each better one."""
    most: int = 16
    """Regions given at most, beside the whole photo."""
    licence: str = ""
    source: str = ""
    repo: str = ""
    """Hugging Face repository that publishes the model."""
    file: str = ""
    """The ONNX file in it; empty: it publishes none that we know."""
    doubt: str = ""
    """What has not been verified."""
    names: tuple[str, ...] = field(default=())
    """The model's own class names, where `labels` was made from them."""

    def identity(self) -> bytes:
        """Canonical bytes of everything that changes the regions."""
        kept = {key: value for key, value in asdict(self).items() if key not in ABOUT}
        return json.dumps(kept, sort_keys=True).encode()


def read_description(path: Path) -> Description:
    """Reads and checks one `detector.toml`. Raises ConfigError naming the key that is wrong."""
    return parse_description(read_toml(path, "detectors.md"), str(path))


def parse_description(values: Mapping[str, Any], where: str) -> Description:
    """Checks the keys of `detector.toml`; `where` names the file in messages.

    `labels` is a list of our labels, a list of the model's own class names (mapped by
    `taxonomy.of_label`), or a table from class number to either.
    """
    known = {item.name for item in fields(Description)} - {"names"}
    for key in REQUIRED:
        if key not in values:
            _refuse(where, key, "is missing")
    for key in values:
        if key not in known:
            _refuse(where, key, f"is unknown (known: {', '.join(sorted(known))})")
    checked: dict[str, Any] = dict(values)
    checked["size"] = _size(values["size"], where)
    checked["names"] = _names(values["labels"], where)
    checked["labels"] = tuple(_ours(name) for name in checked["names"])
    if not any(checked["labels"]):
        _refuse(where, "labels", "names nothing that we know")
    for key in ("mean", "std", "fill"):
        if key in values:
            checked[key] = _three(values[key], key, where)
    if "outputs" in values:
        checked["outputs"] = _texts(values["outputs"], "outputs", where)
    _check(checked, where)
    return Description(**checked)


def _ours(name: str) -> str:
    return name if name in LABELS else of_label(name)


def _names(value: object, where: str) -> tuple[str, ...]:
    if isinstance(value, dict):
        numbers = [int(key) for key in value if str(key).isdigit()]
        if len(numbers) != len(value) or not numbers or max(numbers) >= MAX_LABELS:
            _refuse(where, "labels", "must map class numbers to labels")
        return tuple(str(value.get(str(number), "")) for number in range(max(numbers) + 1))
    found = _texts(value, "labels", where)
    if not 1 <= len(found) <= MAX_LABELS:
        _refuse(where, "labels", f"must have 1 to {MAX_LABELS} names")
    return found


def _texts(value: object, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        _refuse(where, key, "must be a list of texts")
    return tuple(value)


_CHOICES = {
    "style": STYLES,
    "boxes": BOXES,
    "scale": SCALES,
    "scores": SCORES,
    "resize": RESIZES,
    "interpolation": INTERPOLATIONS,
    "channels": CHANNELS,
    "size_order": ("wh", "hw"),
}
_RANGES = {"min_score": (0.0, 1.0), "overlap": (0.05, 1.0), "soft": (0.0, 10.0)}


def _check(values: Mapping[str, Any], where: str) -> None:
    for key, known in _CHOICES.items():
        if key in values and values[key] not in known:
            _refuse(where, key, f"must be one of {', '.join(repr(item) for item in known)}")
    for key in ("input", "size_input", "mask_input", *ABOUT):
        if not isinstance(values.get(key, ""), str):
            _refuse(where, key, "must be a text")
    for key in ("corner", "unit", "objectness"):
        if not isinstance(values.get(key, False), bool):
            _refuse(where, key, "must be true or false")
    for key, (low, high) in _RANGES.items():
        if key in values and not (_number(values[key]) and low <= values[key] <= high):
            _refuse(where, key, f"must be between {low:g} and {high:g}")
    _check_counts(values, where)


def _check_counts(values: Mapping[str, Any], where: str) -> None:
    if "most" in values and not (_whole(values["most"]) and 1 <= values["most"] <= 100):
        _refuse(where, "most", "must be 1 to 100")
    if min(values.get("std", (1.0,))) <= 0:
        _refuse(where, "std", "must be above 0")
    wanted = {"detr": 2, "yolo": 1, "decoded": 3}[values["style"]]
    if values.get("outputs") and len(values["outputs"]) != wanted:
        _refuse(where, "outputs", f"must name {wanted} for style {values['style']!r}")


def _size(value: object, where: str) -> tuple[int, int]:
    pair = value if isinstance(value, list) else []
    if len(pair) != 2 or not all(_whole(side) and 32 <= side <= MAX_SIDE_PX for side in pair):
        _refuse(where, "size", f"must be [height, width], each 32 to {MAX_SIDE_PX}")
    return pair[0], pair[1]


def _three(value: object, key: str, where: str) -> tuple[Any, Any, Any]:
    three = value if isinstance(value, list) else []
    if key == "fill":
        if len(three) != 3 or not all(_whole(item) and 0 <= item <= 255 for item in three):
            _refuse(where, key, "must be three whole numbers from 0 to 255")
        return three[0], three[1], three[2]
    if len(three) != 3 or not all(_number(item) and abs(item) <= 255 for item in three):
        _refuse(where, key, "must be three numbers")
    return float(three[0]), float(three[1]), float(three[2])


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse(where: str, key: str, why: str) -> NoReturn:
    raise ConfigError(f"{where}: {key!r} {why}", hint=f"mend {key!r}; see docs/detectors.md")
