"""Pictures -> one float32 NCHW batch, exactly as a model was trained to see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lensback.encoders.description import EncoderDescription
from lensback.session import planes

RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# A centre crop needs only the middle: a 1 x 10,000 picture must not be blown up whole.
MAX_ASPECT = 4


def to_batch(images: Sequence[Image.Image], description: EncoderDescription) -> NDArray[np.float32]:
    """RGB pictures -> float32 [n, 3, height, width], normalised; n may be 0."""
    scale = 1 / (255 * np.array(description.std, np.float32))
    shift = np.array(description.mean, np.float32) / np.array(description.std, np.float32)
    steps = np.arange(256, dtype=np.float32)[:, None]
    levels = np.asarray(steps * scale - shift, np.float32)
    batch = np.empty((len(images), 3, *description.size), np.float32)
    for row, image in enumerate(images):
        pixels = np.asarray(fit(image, description))
        batch[row] = planes(pixels[..., ::-1] if description.channels == "bgr" else pixels, levels)
    return batch


def fit(image: Image.Image, description: EncoderDescription) -> Image.Image:
    """One picture at the model's input size, RGB."""
    image = image if image.mode == "RGB" else image.convert("RGB")
    resample = RESAMPLING[description.interpolation]
    if description.resize == "crop":
        return _crop(image, description, resample)
    if description.resize == "letterbox":
        return _letterbox(image, description, resample)
    height, width = description.size
    return image.resize((width, height), resample)


def edge_colour(pixels: NDArray[Any]) -> NDArray[Any]:
    """Median of the outermost pixels: [height, width, 3] -> [3]. The likely background."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return np.asarray(np.median(edge, axis=0))


def _crop(
    image: Image.Image, description: EncoderDescription, resample: Image.Resampling
) -> Image.Image:
    """Shorter side to size / crop_fraction, then the middle (as torchvision does)."""
    image = _trim(image)
    height, width = description.size
    factor = max(
        math.floor(height / description.crop_fraction) / image.height,
        math.floor(width / description.crop_fraction) / image.width,
    )
    # The small addition keeps float noise from losing the last pixel of the fitted side.
    large = (
        max(width, int(image.width * factor + 1e-6)),
        max(height, int(image.height * factor + 1e-6)),
    )
    left, top = round((large[0] - width) / 2), round((large[1] - height) / 2)
    return image.resize(large, resample).crop((left, top, left + width, top + height))


def _trim(image: Image.Image) -> Image.Image:
    width = min(image.width, MAX_ASPECT * image.height)
    height = min(image.height, MAX_ASPECT * image.width)
    if (width, height) == image.size:
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _letterbox(
    image: Image.Image, description: EncoderDescription, resample: Image.Resampling
) -> Image.Image:
    height, width = description.size
    factor = min(width / image.width, height / image.height)
    inner = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    small = image.resize(inner, resample)
    if inner == (width, height):
        return small
    red, green, blue = (int(value) for value in edge_colour(np.asarray(small)))
    canvas = Image.new("RGB", (width, height), (red, green, blue))
    canvas.paste(small, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return canvas
