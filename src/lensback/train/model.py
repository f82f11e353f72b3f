"""The eye as one torch module: two trunks read at several depths, a colour branch, a trained head.

Only `lensback.train` opens this file: it imports torch at its top. What the picture shows is told
from its background by the distance from the colour of its edge, as in the encoder `pixels`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lensback.train.trunks import LITE, MOBILENET, Trunk

SIDE_PX = 192
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


PARTS = (
    FeatureGroup("MobileNetV2, block 9, foreground", 64, 0.2),
    FeatureGroup("MobileNetV2, block 12, foreground", 96, 0.2),
    FeatureGroup("MobileNetV2, block 15, foreground", 160, 0.2),
    FeatureGroup("MobileNetV2, block 16", 320, 0.5),
    FeatureGroup("MobileNetV2, last, root", 1280, 1.0, standardised=False),
    FeatureGroup("Lite2, block 8, foreground", 88, 0.2),
    FeatureGroup("Lite2, block 13, foreground", 120, 0.2),
    FeatureGroup("Lite2, block 19, foreground", 208, 0.3),
    FeatureGroup("Lite2, block 20", 352, 0.5),
    FeatureGroup("Lite2, last, root", 1280, 1.0, standardised=False),
    FeatureGroup("colour", 392, 1.5, standardised=False),
    # Once more in finer bins, each in units of its spread: a rare colour says more than black.
    FeatureGroup("fine colour", 1210, 1.05),
)

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
    """Frozen: sRGB picture [n, 3, side, side] from 0 to 1 -> [n, 5570], the parts side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.mobilenet = Trunk(MOBILENET)
        self.lite = Trunk(LITE)
        self.colour = Colour()

    def forward(self, image: Tensor) -> Tensor:
        lab, foreground = self.colour(image)
        parts = [*seen(self.mobilenet, image, foreground), *seen(self.lite, image, foreground)]
        parts.append(histogram(lab, foreground).sqrt())
        coarse, weight = functional.avg_pool2d(lab, 2), functional.avg_pool2d(foreground, 2)
        return torch.cat([*parts, histogram(coarse, weight, FINE_BINS).sqrt()], dim=1)


def seen(trunk: Trunk, image: Tensor, foreground: Tensor) -> list[Tensor]:
    """What a trunk gives of a picture: its inner maps over the foreground, the late ones over all."""
    side = trunk.shape.side_px
    if side != SIDE_PX:
        image, foreground = sized(image, side), sized(foreground, side // 2)
    *inner, late, last = trunk(image)
    # Roots, as of histograms (Arandjelovic and Zisserman 2012): few strong channels rule less.
    ends = [late.mean(dim=(2, 3)), last.mean(dim=(2, 3)).sqrt()]
    return [*(pooled(part, foreground) for part in inner), *ends]


def sized(maps: Tensor, side: int) -> Tensor:
    """Maps [n, c, any, any] -> [n, c, side, side]."""
    return functional.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)


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
        """[n, 5570] of unit length: what the linear map sees."""
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
