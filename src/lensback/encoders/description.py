"""`encoder.toml`: how a model wants its pictures and which output is the vector."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from lensback.errors import ConfigError
from lensback.shelves import read_toml
from lensback.shelves.weights import fingerprint

FILE_NAME = "encoder.toml"
RESIZES = ("squash", "crop", "letterbox")
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos")
CHANNELS = ("rgb", "bgr")
POOLS = ("", "cls", "mean")
REQUIRED = ("size", "mean", "std", "resize", "interpolation", "dim")
# Keys that only inform; every other key changes the vectors and so the fingerprint.
ABOUT = ("licence", "source", "repo", "file", "doubt")
MAX_SIDE_PX = 2048
# Raised when the code of preprocessing changes its numbers: every fingerprint changes with it.
REVISION = 1


@dataclass(frozen=True, slots=True)
class Description:
    """One model's preprocessing and output, as `encoder.toml` gives it."""

    size: tuple[int, int]
    """Height and width of the input, pixels."""
    mean: tuple[float, float, float]
    """Subtracted from pixels scaled to 0..1, in the order of `channels`."""
    std: tuple[float, float, float]
    resize: str
    """`squash` ignores the aspect ratio; `crop` fits the shorter side and cuts the middle out;
    `letterbox` fits the longer side and fills the rest with the colour of the picture's edge."""
    interpolation: str
    dim: int
    """Numbers kept; fewer than the output has (Matryoshka) means: the first ones."""
    crop_fraction: float = 1.0
    """With `crop`: input size / size of the shorter side before cutting."""
    channels: str = "rgb"
    input: str = ""
    """Input's name; empty: `pixel_values`, or the only one with four dimensions."""
    output: str = ""
    """Output's name or number; empty: `image_embeds`, `pooler_output`, or the first flat one."""
    pool: str = ""
    """For an output of tokens [n, tokens, dim]: `cls` takes the first, `mean` averages."""
    fill: Mapping[str, Any] = field(default_factory=dict)
    """Constant values of further inputs, such as the text of a two-tower model."""
    licence: str = ""
    source: str = ""
    repo: str = ""
    """Hugging Face repository that publishes the model."""
    file: str = ""
    """The ONNX file in it; empty: it publishes none."""
    doubt: str = ""
    """What has not been verified."""

    @property
    def side_px(self) -> int:
        """Pixels of a picture's shorter side from which more make no difference."""
        return round(max(self.size) / self.crop_fraction)

    def identity(self) -> bytes:
        """Canonical bytes of everything that changes the vectors."""
        kept = {key: value for key, value in asdict(self).items() if key not in ABOUT}
        return json.dumps(kept, sort_keys=True).encode()


def read_description(path: Path) -> Description:
    """Reads and checks one `encoder.toml`. Raises ConfigError naming the key that is wrong."""
    return parse_description(read_toml(path, "encoders.md"), str(path))


def model_fingerprint(folder: Path, description: Description) -> str:
    """16 hex digits of SHA-256 over the model's files, its preprocessing and our code for it."""
    return fingerprint(folder, f"onnx {REVISION}\n".encode(), description.identity())


def parse_description(values: Mapping[str, Any], where: str) -> Description:
    """Checks the keys of `encoder.toml`; `where` names the file in messages."""
    names = {item.name for item in fields(Description)}
    for key in REQUIRED:
        if key not in values:
            _refuse(where, key, "is missing")
    for key in values:
        if key not in names:
            _refuse(where, key, f"is unknown (known: {', '.join(sorted(names))})")
    checked = dict(values)
    checked["size"] = _size(values["size"], where)
    checked["mean"] = _numbers(values["mean"], "mean", where)
    checked["std"] = _numbers(values["std"], "std", where)
    _check(checked, where)
    return Description(**checked)


def _check(values: Mapping[str, Any], where: str) -> None:
    for key, known in (
        ("resize", RESIZES),
        ("interpolation", INTERPOLATIONS),
        ("channels", CHANNELS),
        ("pool", POOLS),
    ):
        if key in values and values[key] not in known:
            _refuse(where, key, f"must be one of {', '.join(repr(item) for item in known)}")
    for key in ("input", "output", *ABOUT):
        if not isinstance(values.get(key, ""), str):
            _refuse(where, key, "must be a text")
    if not isinstance(values.get("fill", {}), dict):
        _refuse(where, "fill", "must be a table of constants")
    if not _whole(values["dim"]) or values["dim"] < 1:
        _refuse(where, "dim", "must be a whole number above 0")
    if min(values["std"]) <= 0:
        _refuse(where, "std", "must be above 0")
    _check_crop(values, where)


def _check_crop(values: Mapping[str, Any], where: str) -> None:
    fraction = values.get("crop_fraction", 1.0)
    if not _number(fraction) or not 0.1 <= fraction <= 1:
        _refuse(where, "crop_fraction", "must be between 0.1 and 1")
    if fraction != 1 and values["resize"] != "crop":
        _refuse(where, "crop_fraction", "contradicts resize: only 'crop' has one")


def _size(value: object, where: str) -> tuple[int, int]:
    pair = value if isinstance(value, list) else []
    if len(pair) != 2 or not all(_whole(side) and 1 <= side <= MAX_SIDE_PX for side in pair):
        _refuse(where, "size", f"must be [height, width], each 1 to {MAX_SIDE_PX}")
    return pair[0], pair[1]


def _numbers(value: object, key: str, where: str) -> tuple[float, float, float]:
    three = value if isinstance(value, list) else []
    if len(three) != 3 or not all(_number(item) and abs(item) <= 10 for item in three):
        _refuse(where, key, "must be three numbers, for pixels between 0 and 1")
    return float(three[0]), float(three[1]), float(three[2])


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse(where: str, key: str, why: str) -> NoReturn:
    raise ConfigError(f"{where}: {key!r} {why}", hint=f"mend {key!r}; see docs/encoders.md")
