"""Two or more encoders as one: `imagenet+pixels`, `imagenet*0.7+pixels*0.3`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from lensback.encoders.door import Encoder
from lensback.errors import ConfigError
from lensback.types import Vectors


class JoinedEncoder:
    """Vectors side by side, scaled so that the cosine is the weighted mean of the parts' cosines.

    Each part is multiplied by sqrt(weight / sum of weights): the result has unit length again.
    """

    def __init__(self, name: str, parts: Sequence[Encoder], weights: Sequence[float]) -> None:
        shares = [weight / sum(weights) for weight in weights]
        self.name = name
        self.parts = tuple(parts)
        self.dim = sum(part.dim for part in parts)
        self.side_px = max(part.side_px for part in parts)
        self.fingerprint = _fingerprint(parts, shares)
        self._scales = [np.float32(math.sqrt(share)) for share in shares]

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """RGB pictures -> float32 [n, dim], rows of unit length. Thread-safe."""
        scaled = [
            part.encode(images) * scale
            for part, scale in zip(self.parts, self._scales, strict=True)
        ]
        return np.concatenate(scaled, axis=1)


def parse_join(name: str) -> dict[str, float]:
    """Names of encoders with their weights, from `a*0.7+b` -> {"a": 0.7, "b": 1.0}.

    >>> parse_join("imagenet*0.7+pixels*0.3")
    {'imagenet': 0.7, 'pixels': 0.3}
    """
    weights: dict[str, float] = {}
    for part in name.split("+"):
        word, star, number = (item.strip() for item in part.partition("*"))
        weight = _weight(number) if star else 1.0
        if not word or not 0 < weight < math.inf or word in weights:
            raise ConfigError(
                f"{name!r} is not a join of encoders",
                hint="write distinct names and weights above 0, as in 'imagenet*0.7+pixels*0.3'",
            )
        weights[word] = weight
    return weights


def _weight(number: str) -> float:
    try:
        return float(number)
    except ValueError:
        return 0.0


def _fingerprint(parts: Sequence[Encoder], shares: Sequence[float]) -> str:
    lines = [f"{part.fingerprint} {share:.6f}" for part, share in zip(parts, shares, strict=True)]
    return hashlib.sha256("\n".join(["join", *lines]).encode()).hexdigest()[:16]
