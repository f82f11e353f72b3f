"""The shelf of encoders: those that come with us, those added, and what a list shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from lensback.encoders.description import (
    FILE_NAME,
    EncoderDescription,
    model_fingerprint,
    read_description,
)
from lensback.errors import ConfigError
from lensback.shelves import Fetch, folders
from lensback.shelves.shelf import Shelf
from lensback.shelves.weights import model_files

CALIBRATION_FILE = "calibration.json"
"""Beside a model: the match probability that was fitted with it, on its training's pictures."""
LEARNT_FILE = "learnt.txt"
"""Beside a model: hashes of the pictures that it learnt from."""
SHELF: Shelf[EncoderDescription] = Shelf(
    "encoder",
    Path(__file__).parent,
    FILE_NAME,
    read_description,
    built_in=("pixels",),
    beside=(CALIBRATION_FILE, LEARNT_FILE),
)
SHIPPED = SHELF.shipped


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """One line of `encoder list`."""

    name: str
    kind: str
    """`built-in`, `shipped`, `added`, or `known`: described here, its weights not yet added."""
    dim: int
    licence: str
    fingerprint: str = ""
    bytes: int = 0
    source: str = ""
    problem: str = ""
    """Why it cannot be opened; empty where it can."""


def list_encoders(models: Path) -> list[EncoderInfo]:
    """Every encoder that can be opened or added, built-in first. Loads no model."""
    from lensback.encoders.pixels import PixelsEncoder

    pixels = PixelsEncoder()
    infos = [EncoderInfo("pixels", "built-in", pixels.dim, "Apache-2.0", pixels.fingerprint)]
    for kind, place in (("shipped", SHELF.shipped), ("added", models)):
        infos += [_folder_info(folder, kind) for folder in folders(place)]
    have = {info.name for info in infos}
    for name in SHELF.known_names():
        if name not in have:
            known = SHELF.known(name)
            infos.append(EncoderInfo(name, "known", known.dim, known.licence, source=known.repo))
    return infos


def add_encoder(
    name: str,
    source: str | Path,
    models: Path,
    *,
    description: str | Path | None = None,
    fetch: Fetch | None = None,
) -> Path:
    """Puts a model on the workspace's shelf and returns its folder; see `Shelf.add`. The model is
    tried on a drawn picture first."""
    given = None if description is None else str(description)
    return SHELF.add(name, str(source), models, _try_out, description=given, fetch=fetch)


def _try_out(name: str, folder: Path) -> None:
    """Encodes one drawn picture. Raises ConfigError where the result is no vector."""
    import numpy as np

    from lensback.encoders.onnx import OnnxEncoder
    from lensback.encoders.preprocess import to_batch

    encoder = OnnxEncoder(name, folder, threads=1)
    features = encoder.features(to_batch([_drawing()], encoder.description))
    if not np.isfinite(features).all() or not features.any():
        raise ConfigError(
            f"{name}: the model gives no usable numbers for a plain picture",
            hint="check 'mean', 'std' and 'output'; half-precision models may overflow",
        )


def _drawing() -> Image.Image:
    image = Image.new("RGB", (300, 400), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((80, 100, 220, 330), fill=(190, 40, 60))
    draw.ellipse((120, 40, 180, 100), fill=(60, 70, 160))
    return image


def _folder_info(folder: Path, kind: str) -> EncoderInfo:
    try:
        description = read_description(folder / FILE_NAME)
        size = sum(path.stat().st_size for path in model_files(folder))
        identity = model_fingerprint(folder, description)
    except ConfigError as error:
        return EncoderInfo(folder.name, kind, 0, "", problem=error.message)
    return EncoderInfo(
        folder.name, kind, description.dim, description.licence, identity, size, description.source
    )
