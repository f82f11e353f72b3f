"""The eye as one torch module: a trunk read at several depths, a colour branch, a trained head.

Only `lensback.train` opens this file: it imports torch at its top. What the picture shows is told
from its background by the distance from the colour of its edge, as in the encoder `pixels`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE_PX = 224
DIM = 256
PREFIXES = (64, 128, 256)
"""First numbers of a vector that are a vector themselves (Matryoshka)."""


@dataclass(frozen=True, slots=True)
class FeatureGroup:
    """One group of features: how many, how much its cosine counts, whether it is standardised."""

    name: str
    width: int
    weight: float
    standardised: bool = True


TAPS = (9, 12, 15, 16)
PARTS = (
    FeatureGroup("block 9, foreground", 64, 0.2),
    FeatureGroup("block 12, foreground", 96, 0.2),
    FeatureGroup("block 15, foreground", 160, 0.2),
    FeatureGroup("block 16", 320, 0.5),
    FeatureGroup("last, root", 1280, 1.0, standardised=False),
    FeatureGroup("colour", 392, 1.0, standardised=False),
    # Once more in finer bins, each in units of its spread: a rare colour says more than black.
    FeatureGroup("fine colour", 1210, 0.7),
)

# MobileNetV2 (Sandler et al. 2018): expansion, channels and stride of each block. These weights
# have stride 2 at blocks 1, 3, 10 and 13 and plain ReLU.
BLOCKS = (
    (1, 16, 1),
    *((6, 24, 2), (6, 24, 1)),
    *((6, 32, 2), (6, 32, 1), (6, 32, 1)),
    *((6, 64, 1),) * 4,
    *((6, 96, 2), (6, 96, 1), (6, 96, 1)),
    *((6, 160, 2), (6, 160, 1), (6, 160, 1)),
    (6, 320, 1),
)
LAST = 1280
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Lab distance from the edge's colour: background below, foreground above, a ramp between.
NEAR, FAR = 4.0, 12.0
MIN_FOREGROUND = 0.02
BINS, FINE_BINS = (8, 7, 7), (10, 11, 11)
LAB_LOW, LAB_HIGH = (0.0, -50.0, -50.0), (100.0, 50.0, 50.0)
# Linear sRGB -> XYZ over the D65 white (IEC 61966-2-1).
TO_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)


class InvertedResidual(nn.Module):
    """1x1 expand, 3x3 depthwise, 1x1 project without ReLU; a shortcut where shapes agree."""

    def __init__(self, inputs: int, expansion: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = nn.Conv2d(inputs, inner, 1)
        self.depthwise = nn.Conv2d(inner, inner, 3, stride, 1, groups=inner)
        self.project = nn.Conv2d(inner, outputs, 1)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.depthwise(functional.relu(self.expand(x))))
        y: Tensor = self.project(inner)
        return x + y if self.shortcut else y


class Trunk(nn.Module):
    """MobileNetV2 1.0 with its BatchNorms folded: picture -> the maps after chosen blocks."""

    def __init__(self, taps: tuple[int, ...]) -> None:
        super().__init__()
        self.taps = taps
        self.first = nn.Conv2d(3, 32, 3, 2, 1)
        inputs = [32, *(channels for _, channels, _ in BLOCKS)]
        self.blocks = nn.ModuleList(
            InvertedResidual(before, *block) for before, block in zip(inputs, BLOCKS, strict=False)
        )
        self.last = nn.Conv2d(BLOCKS[-1][1], LAST, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = functional.relu(self.first(image))
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taps:
                maps.append(x)
        return [*maps, functional.relu(self.last(x))]


class Colour(nn.Module):
    """sRGB picture -> CIE Lab at half its size, and how much each pixel is foreground."""

    to_xyz: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("to_xyz", torch.tensor(TO_XYZ)[:, :, None, None], persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        lab = self.lab(functional.avg_pool2d(image, 2))
        return lab, self.foreground(lab)

    def lab(self, image: Tensor) -> Tensor:
        """The picture as CIE L*a*b*, D65: float [n, 3, h, w]."""
        linear = torch.where(
            image <= 0.04045, image / 12.92, ((image.clamp(min=0.04) + 0.055) / 1.055) ** 2.4
        )
        xyz = functional.conv2d(linear, self.to_xyz)
        low = 216 / 24389
        curve = torch.where(xyz > low, xyz.clamp(min=low) ** (1 / 3), xyz * (841 / 108) + 4 / 29)
        x, y, z = curve[:, 0:1], curve[:, 1:2], curve[:, 2:3]
        return torch.cat([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)

    def foreground(self, lab: Tensor) -> Tensor:
        """[n, 1, h, w] from 0 to 1: distance from the edge's median colour, on a ramp."""
        edge = torch.cat([lab[:, :, 0], lab[:, :, -1], lab[:, :, :, 0], lab[:, :, :, -1]], dim=2)
        half = edge.shape[2] // 2 + 1
        median = torch.topk(edge, half, dim=2).values[:, :, -1:]
        distance = ((lab - median[:, :, :, None]) ** 2).sum(dim=1, keepdim=True).sqrt()
        ramp = ((distance - NEAR) / (FAR - NEAR)).clamp(0, 1)
        enough = ramp.mean(dim=(2, 3), keepdim=True) > MIN_FOREGROUND
        return torch.where(enough, ramp, torch.ones_like(ramp))


def hats(value: Tensor, low: float, high: float, bins: int) -> Tensor:
    """[n, p] -> [n, bins, p]: each value shared between its two nearest of `bins` centres."""
    place = ((value - low) * ((bins - 1) / (high - low))).clamp(0, bins - 1)
    centres = torch.arange(bins, dtype=value.dtype, device=value.device)[:, None]
    return functional.relu(1 - (place[:, None] - centres).abs())


def histogram(lab: Tensor, weight: Tensor, bins: tuple[int, int, int] = BINS) -> Tensor:
    """Soft Lab histogram: [n, 3, h, w] and [n, 1, h, w] -> [n, bins], sums to 1."""
    flat, mass = lab.flatten(2), weight.flatten(1)
    light, a, b = (
        hats(flat[:, channel], low, high, count)
        for channel, (low, high, count) in enumerate(zip(LAB_LOW, LAB_HIGH, bins, strict=True))
    )
    hue = (a[:, :, None] * b[:, None]).flatten(1, 2)
    counts = torch.matmul(light * mass[:, None], hue.transpose(1, 2)).flatten(1)
    return counts / mass.sum(dim=1, keepdim=True).clamp(min=1e-6)


class Features(nn.Module):
    """Frozen: sRGB picture [n, 3, side, side] from 0 to 1 -> [n, 3522], the parts side by side."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(TAPS)
        self.colour = Colour()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.trunk((image - self.mean) / self.std)
        lab, foreground = self.colour(image)
        *inner, late, last = maps
        parts = [pooled(part, foreground) for part in inner]
        # Roots, as of histograms (Arandjelovic and Zisserman 2012): few strong channels rule less.
        parts += [late.mean(dim=(2, 3)), last.mean(dim=(2, 3)).sqrt()]
        parts.append(histogram(lab, foreground).sqrt())
        coarse, weight = functional.avg_pool2d(lab, 2), functional.avg_pool2d(foreground, 2)
        return torch.cat([*parts, histogram(coarse, weight, FINE_BINS).sqrt()], dim=1)


def pooled(maps: Tensor, foreground: Tensor) -> Tensor:
    """Mean of a map over the foreground: [n, c, h, w] -> [n, c]."""
    weight = functional.avg_pool2d(foreground, foreground.shape[2] // maps.shape[2])
    return (maps * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3))


class Head(nn.Module):
    """Features -> vector: each part standardised and brought to unit length, joined by weight,
    then one linear map. Its numbers come from `lensback.train.fit` and `loop`."""

    shift: Tensor
    scale: Tensor

    def __init__(self, dim: int = DIM, parts: tuple[FeatureGroup, ...] = PARTS) -> None:
        super().__init__()
        self.parts = parts
        width = sum(part.width for part in parts)
        self.register_buffer("shift", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.project = nn.Linear(width, dim)

    def joined(self, features: Tensor) -> Tensor:
        """[n, 3522] of unit length: what the linear map sees."""
        even = (features - self.shift) * self.scale
        parts = torch.split(even, [part.width for part in self.parts], dim=1)
        total = sum(part.weight for part in self.parts)
        return torch.cat(
            [
                functional.normalize(value, dim=1) * math.sqrt(part.weight / total)
                for part, value in zip(self.parts, parts, strict=True)
            ],
            dim=1,
        )

    def forward(self, features: Tensor) -> Tensor:
        vector: Tensor = self.project(self.joined(features))
        return vector


class Eye(nn.Module):
    """Picture [n, 3, side, side], sRGB from 0 to 1 -> vector [n, 256], not normalised."""

    def __init__(self, dim: int = DIM) -> None:
        super().__init__()
        self.features = Features()
        self.head = Head(dim)

    def forward(self, image: Tensor) -> Tensor:
        vector: Tensor = self.head(self.features(image))
        return vector
