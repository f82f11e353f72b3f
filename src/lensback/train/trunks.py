"""The two frozen networks that the eye looks through, each read at several depths.

Only `lensback.train` opens this file: it imports torch at its top. Both hold their BatchNorms folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class BlockShape:
    """One inverted residual: expansion, channels given, kernel and stride."""

    expansion: int
    channels: int
    kernel: int = 3
    stride: int = 1


@dataclass(frozen=True, slots=True)
class TrunkShape:
    """All that tells one network of inverted residuals from another."""

    side_px: int
    """Sides of the square that it looks at; smaller than what it was trained on finds as much here."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    blocks: tuple[BlockShape, ...]
    taps: tuple[int, ...]
    """The blocks whose maps are given, from 0; the last layer's map comes after them."""
    ceiling: float = float("inf")
    """Where the rectifier ends: 6 for ReLU6."""
    same: bool = False
    """Padding as TensorFlow's `same`: what is odd goes to the right and below."""


def repeated(times: int, first: BlockShape) -> tuple[BlockShape, ...]:
    """The block and `times` - 1 more like it without stride."""
    rest = BlockShape(first.expansion, first.channels, first.kernel)
    return (first, *(rest,) * (times - 1))


FIRST, LAST = 32, 1280
"""Channels after the first layer and after the last one, in both."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# MobileNetV2 (Sandler et al. 2018). These weights have stride 2 at blocks 1, 3, 10 and 13 and plain ReLU.
MOBILENET = TrunkShape(
    160,
    IMAGENET_MEAN,
    IMAGENET_STD,
    (
        BlockShape(1, 16),
        *repeated(2, BlockShape(6, 24, stride=2)),
        *repeated(3, BlockShape(6, 32, stride=2)),
        *repeated(4, BlockShape(6, 64)),
        *repeated(3, BlockShape(6, 96, stride=2)),
        *repeated(3, BlockShape(6, 160, stride=2)),
        BlockShape(6, 320),
    ),
    taps=(9, 12, 15, 16),
)
# EfficientNet-Lite2 (Tan and Le 2019; the Lite variants 2020): no squeeze, ReLU6.
LITE = TrunkShape(
    192,
    (127 / 255,) * 3,
    (128 / 255,) * 3,
    (
        BlockShape(1, 16),
        *repeated(3, BlockShape(6, 24, 3, 2)),
        *repeated(3, BlockShape(6, 48, 5, 2)),
        *repeated(4, BlockShape(6, 88, 3, 2)),
        *repeated(4, BlockShape(6, 120, 5)),
        *repeated(5, BlockShape(6, 208, 5, 2)),
        BlockShape(6, 352),
    ),
    taps=(8, 13, 19, 20),
    ceiling=6.0,
    same=True,
)


class Padded(nn.Conv2d):
    """A convolution that keeps the size over its stride, with either kind of padding."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, *, same: bool
    ) -> None:
        # Without a stride both kinds are the same.
        self.lopsided = same and stride > 1
        padding = 0 if self.lopsided else kernel // 2
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.lopsided:
            (down, right) = (self._missing(side) for side in x.shape[2:])
            x = functional.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return super().forward(x)

    def _missing(self, side: int) -> int:
        side, stride, kernel = int(side), self.stride[0], self.kernel_size[0]
        return max(0, (-(-side // stride) - 1) * stride + kernel - side)


class InvertedResidual(nn.Module):
    """1x1 expand (where there is anything to), depthwise, 1x1 project without a rectifier; a shortcut where shapes agree."""

    def __init__(self, inputs: int, block: BlockShape, shape: TrunkShape) -> None:
        super().__init__()
        inner = inputs * block.expansion
        whole = shape.same and block.expansion == 1
        self.expand = nn.Identity() if whole else nn.Conv2d(inputs, inner, 1)
        self.depthwise = Padded(inner, inner, block.kernel, block.stride, inner, same=shape.same)
        self.project = nn.Conv2d(inner, block.channels, 1)
        self.shortcut = block.stride == 1 and inputs == block.channels
        self.ceiling = shape.ceiling

    def forward(self, x: Tensor) -> Tensor:
        inner = (
            x if isinstance(self.expand, nn.Identity) else rectified(self.expand(x), self.ceiling)
        )
        y: Tensor = self.project(rectified(self.depthwise(inner), self.ceiling))
        return x + y if self.shortcut else y


def rectified(x: Tensor, ceiling: float) -> Tensor:
    """ReLU, or ReLU6 where there is a ceiling."""
    return functional.relu(x) if ceiling == float("inf") else x.clamp(0, ceiling)


class Trunk(nn.Module):
    """Picture -> the maps after chosen blocks and after the last layer."""

    mean: Tensor
    std: Tensor

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("mean", _column(shape.mean), persistent=False)
        self.register_buffer("std", _column(shape.std), persistent=False)
        self.first = Padded(3, FIRST, 3, 2, 1, same=shape.same)
        inputs = [FIRST, *(block.channels for block in shape.blocks)]
        self.blocks = nn.ModuleList(
            InvertedResidual(before, block, shape)
            for before, block in zip(inputs, shape.blocks, strict=False)
        )
        self.last = nn.Conv2d(shape.blocks[-1].channels, LAST, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps [n, channels, h, w] of sRGB pictures [n, 3, any, any] from 0 to 1."""
        x = rectified(self.first((image - self.mean) / self.std), self.shape.ceiling)
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.shape.taps:
                maps.append(x)
        return [*maps, rectified(self.last(x), self.shape.ceiling)]


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(tuple(values))[:, None, None]
