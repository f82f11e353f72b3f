"""`encoder.toml`: how a model wants its pictures and which output is the vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lensback.checked import checked, read_toml, wrong
from lensback.shelves import Described
from lensback.shelves.weights import fingerprint

FILE_NAME = "encoder.toml"
PAGE = "encoders.md"
# Raised when the code of preprocessing changes its numbers: every fingerprint changes with it.
REVISION = 1
Side = Annotated[int, Field(ge=1, le=2048)]
Level = Annotated[float, Field(ge=-10, le=10)]
Spread = Annotated[float, Field(gt=0, le=10)]


@dataclass(frozen=True, slots=True)
class EncoderDescription(Described):
    """One model's preprocessing and output, as `encoder.toml` gives it."""

    size: tuple[Side, Side]
    """[height, width] of the input, pixels, each 1 to 2048."""
    mean: tuple[Level, Level, Level]
    """Three numbers, subtracted from pixels between 0 and 1, in the order of `channels`."""
    std: tuple[Spread, Spread, Spread]
    """Three numbers above 0 by which the pixels are divided then."""
    resize: Literal["squash", "crop", "letterbox"]
    """`squash` ignores the aspect ratio; `crop` fits the shorter side and cuts the middle out;
    `letterbox` fits the longer side and fills the rest with the colour of the picture's edge."""
    interpolation: Literal["bilinear", "bicubic", "lanczos"]
    dim: Annotated[int, Field(ge=1)]
    """Numbers kept; fewer than the output has (Matryoshka) means: the first ones."""
    crop_fraction: Annotated[float, Field(ge=0.1, le=1)] = 1.0
    """With `crop`: input size / size of the shorter side before cutting."""
    channels: Literal["rgb", "bgr"] = "rgb"
    input: str = ""
    """Input's name; empty: `pixel_values`, or the only one with four dimensions."""
    output: str = ""
    """Output's name or number; empty: `image_embeds`, `pooler_output`, or the first flat one."""
    pool: Literal["", "cls", "mean"] = ""
    """For an output of tokens [n, tokens, dim]: `cls` takes the first, `mean` averages."""
    fill: Mapping[str, Any] = field(default_factory=dict)
    """Table of constant values of further inputs, such as the text of a two-tower model."""

    @property
    def side_px(self) -> int:
        """Pixels of a picture's shorter side from which more make no difference."""
        return round(max(self.size) / self.crop_fraction)

    @model_validator(mode="after")
    def _only_a_crop_has_a_fraction(self) -> Self:
        if self.crop_fraction != 1 and self.resize != "crop":
            raise wrong("crop_fraction", "contradicts resize: only 'crop' has one")
        return self


def read_description(path: Path) -> EncoderDescription:
    """Reads and checks one `encoder.toml`. Raises ConfigError naming the key that is wrong."""
    return parse_description(read_toml(path, PAGE), str(path))


def parse_description(values: Mapping[str, Any], where: str) -> EncoderDescription:
    """Checks the keys of `encoder.toml`; `where` names the file in messages."""
    return checked(EncoderDescription, values, f"{where}: ", hint=f"See docs/{PAGE}")


def model_fingerprint(folder: Path, description: EncoderDescription) -> str:
    """16 hex digits of SHA-256 over the model's files, its preprocessing and our code for it."""
    return fingerprint(folder, f"onnx {REVISION}\n".encode(), description.identity())
