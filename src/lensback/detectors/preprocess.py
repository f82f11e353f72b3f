"""A photo as a detection model wants it, and the way back from its boxes to the photo's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lensback.detectors.boxes import Boxes
from lensback.detectors.description import DetectorDescription
from lensback.session import planes

RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """A photo inside the model's input: where it lies, as fractions of the input."""

    image: Image.Image
    left: float
    top: float
    width: float
    height: float

    def back(self, boxes: Boxes) -> Boxes:
        """Fractions of the input -> fractions of the photo, cut to it."""
        shift = np.array([self.left, self.top, self.left, self.top], np.float32)
        size = np.array([self.width, self.height, self.width, self.height], np.float32)
        return np.asarray(np.clip((boxes - shift) / size, 0, 1), np.float32)


def fit(photo: Image.Image, description: DetectorDescription) -> Fitted:
    """Squashed to the input's size, or fitted into its middle with a plain fill around."""
    photo = photo if photo.mode == "RGB" else photo.convert("RGB")
    height, width = description.size
    resample = RESAMPLING[description.interpolation]
    if description.resize == "squash":
        return Fitted(photo.resize((width, height), resample, reducing_gap=2), 0, 0, 1, 1)
    factor = min(width / photo.width, height / photo.height)
    inner = (max(1, round(photo.width * factor)), max(1, round(photo.height * factor)))
    red, green, blue = description.fill
    canvas = Image.new("RGB", (width, height), (red, green, blue))
    left = 0 if description.corner else (width - inner[0]) // 2
    top = 0 if description.corner else (height - inner[1]) // 2
    canvas.paste(photo.resize(inner, resample, reducing_gap=2), (left, top))
    return Fitted(canvas, left / width, top / height, inner[0] / width, inner[1] / height)


def to_batch(image: Image.Image, description: DetectorDescription) -> NDArray[np.float32]:
    """float32 [1, 3, height, width], scaled and normalised as the description says."""
    pixels = np.asarray(image, np.uint8)
    if description.channels == "bgr":
        pixels = pixels[..., ::-1]
    levels = np.arange(256, dtype=np.float32)[:, None]
    if description.unit:
        levels = levels / np.float32(255)
    mean, std = (np.array(values, np.float32) for values in (description.mean, description.std))
    return planes(pixels, (levels - mean) / std)[None]
