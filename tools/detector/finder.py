"""The detector as one torch module: MobileNetV2 read at three depths, one map of centres.

Each cell of the map (stride 8) tells for each class how likely a thing's centre is there, and the
distances to the thing's four sides, for each class its own: a coat and the shirt under it have
one centre and two boxes. After TTFNet (Liu et al. 2020) and CenterNet (Zhou et al. 2019).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lensback.train.trunks import IMAGENET_MEAN, IMAGENET_STD, MOBILENET, Trunk
from lensback.types import Box

HEIGHT, WIDTH = 352, 256
STRIDE = 8
FROZEN = 10
"""Blocks of the trunk that are not trained: their output is made once for each scene."""
CLASSES = (
    "top", "outerwear", "dress", "trousers", "skirt", "shoes", "bag", "hat", "eyewear", "belt",
    "scarf", "watch", "person",
)  # fmt: skip
TAPS = (9, 12, 16)
"""Read after these blocks, the first being the last that is frozen."""
TAP_CHANNELS = (64, 96, 320)
NECK = 96
REACH_PX = 16.0
"""A side's distance is this times exp(x)."""
PEAKS = 100
PRIOR = 0.01


class Mix(nn.Module):
    """3x3 depthwise, 1x1, normalised."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.pointwise(self.depthwise(x))))


class Finder(nn.Module):
    """sRGB picture [n, 3, 352, 256] from 0 to 1 -> labels [n, 100], boxes [n, 100, 4] as fractions
    x0, y0, x1, y1, scores [n, 100]."""

    mean: Tensor
    std: Tensor
    grid: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(MOBILENET)
        del self.trunk.last
        self.lateral = nn.ModuleList(nn.Conv2d(c, NECK, 1) for c in TAP_CHANNELS)
        self.whole = nn.Conv2d(TAP_CHANNELS[-1], NECK, 1)
        self.mix = nn.ModuleList(Mix(NECK) for _ in TAPS)
        self.centre = nn.Sequential(Mix(NECK), Mix(NECK), nn.Conv2d(NECK, len(CLASSES), 1))
        self.sides = nn.Sequential(Mix(NECK), Mix(NECK), nn.Conv2d(NECK, 4 * len(CLASSES), 1))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)
        self.register_buffer("grid", _grid(), persistent=False)
        last: nn.Conv2d = self.centre[-1]  # type: ignore[assignment]
        nn.init.constant_(last.bias, -float(np.log(1 / PRIOR - 1)))  # type: ignore[arg-type]

    def stem(self, image: Tensor) -> Tensor:
        """The frozen part: [n, 64, 44, 32]."""
        x = functional.relu(self.trunk.first((image - self.mean) / self.std))
        for block in self.trunk.blocks[:FROZEN]:
            x = block(x)
        return x

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Stem -> logits of centres [n, classes, 44, 32], distances in pixels
        [n, classes, 4, 44, 32]."""
        taps = [x]
        for number, block in enumerate(self.trunk.blocks[FROZEN:], FROZEN):
            x = block(x)
            if number in TAPS:
                taps.append(x)
        around = self.whole(taps[-1].mean(dim=(2, 3), keepdim=True))
        y = self.mix[2](self.lateral[2](taps[2]) + around)
        for level in (1, 0):
            # Twice in each direction: the sides are multiples of 32.
            y = functional.interpolate(y, scale_factor=2.0, mode="nearest")
            y = self.mix[level](self.lateral[level](taps[level]) + y)
        logits = self.centre(y)
        n, c, h, w = logits.shape
        reach = REACH_PX * torch.exp(self.sides(y).clamp(-4, 4)).reshape(n, c, 4, h, w)
        return logits, reach

    def boxes(self, reach: Tensor) -> Tensor:
        """Distances -> boxes in pixels, x0, y0, x1, y1: [n, classes, 4, h, w]."""
        x, y = self.grid[0], self.grid[1]
        return torch.stack(
            [x - reach[:, :, 0], y - reach[:, :, 1], x + reach[:, :, 2], y + reach[:, :, 3]], dim=2
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.peaks(*self.maps(self.stem(image)))

    def peaks(self, logits: Tensor, reach: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The highest places of the map that are higher than their eight neighbours."""
        heat = logits.sigmoid()
        top = functional.max_pool2d(heat, 3, 1, 1)
        heat = torch.where(heat >= top, heat, torch.zeros_like(heat))
        scores, places = heat.flatten(1).topk(PEAKS, dim=1)
        cells = logits.shape[2] * logits.shape[3]
        labels = torch.div(places, cells, rounding_mode="floor")
        flat = self.boxes(reach).permute(0, 1, 3, 4, 2).flatten(1, 3)
        boxes = torch.gather(flat, 1, places[:, :, None].expand(-1, -1, 4))
        scale = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT], dtype=boxes.dtype)
        return labels, (boxes / scale).clamp(0, 1), scores


def _grid() -> Tensor:
    """Centre of each cell in pixels: [2, 44, 32], x then y."""
    y = (torch.arange(HEIGHT // STRIDE) + 0.5) * STRIDE
    x = (torch.arange(WIDTH // STRIDE) + 0.5) * STRIDE
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns, rows])


# ---- targets and loss

Labelled = tuple[int, Box]


def targets(batch: list[list[Labelled]]) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (class, fractions of the input) -> heat [n, c, h, w], box in pixels [n, c, 4, h, w],
    weight of its distances [n, c, h, w]. Larger things first: a smaller one of the same class
    takes its cells back."""
    shape = (len(batch), len(CLASSES), HEIGHT // STRIDE, WIDTH // STRIDE)
    heat, weight = torch.zeros(shape), torch.zeros(shape)
    goal = torch.zeros(shape[0], shape[1], 4, *shape[2:])
    grid = _grid()
    scale = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    for row, boxes in enumerate(batch):
        for label, box in sorted(boxes, key=lambda item: -_area(item[1])):
            wide = torch.tensor(box) * scale
            centre, size = (wide[:2] + wide[2:]) / 2, (wide[2:] - wide[:2]).clamp(min=4)
            # The cell that holds the centre is a full positive, wherever in it the centre lies.
            cell = (centre / STRIDE).floor().clamp(min=0)
            cell = torch.minimum(cell, torch.tensor([shape[3] - 1, shape[2] - 1]))
            anchor = (cell + 0.5) * STRIDE
            sigma = (0.54 * size / 6).clamp(min=3.0)
            apart = (grid - anchor[:, None, None]) / sigma[:, None, None]
            bump = torch.exp(-(apart**2).sum(dim=0) / 2)
            heat[row, label] = torch.maximum(heat[row, label], bump)
            near = bump > 0.2
            weight[row, label][near] = bump[near]
            goal[row, label][:, near] = wide[:, None]
    return heat, goal, weight


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def loss(finder: Finder, logits: Tensor, reach: Tensor, wanted: tuple[Tensor, ...]) -> Tensor:
    """Focal loss of the centres (as CenterNet), and 1 - GIoU of the boxes around them."""
    heat, goal, weight = wanted
    chance = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    hit = (heat > 0.99).float()
    positive = -hit * (1 - chance) ** 2 * chance.log()
    negative = -(1 - hit) * (1 - heat) ** 4 * chance**2 * (1 - chance).log()
    count = hit.sum().clamp(min=1)
    centres = (positive + negative).sum() / count
    where = weight > 0
    boxes = finder.boxes(reach).permute(0, 1, 3, 4, 2)[where]
    wanted_boxes = goal.permute(0, 1, 3, 4, 2)[where]
    sides = (weight[where] * (1 - giou(boxes, wanted_boxes))).sum() / weight[where].sum().clamp(min=1e-6)  # fmt: skip
    return centres + 3.0 * sides


def giou(one: Tensor, other: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019) of boxes pairwise: [n, 4], [n, 4] -> [n]."""
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    both = (high - low).clamp(min=0).prod(dim=1)
    union = _size(one) + _size(other) - both
    least = torch.minimum(one[:, :2], other[:, :2])
    most = torch.maximum(one[:, 2:], other[:, 2:])
    hull = (most - least).clamp(min=1e-6).prod(dim=1)
    return both / union.clamp(min=1e-6) - (hull - union) / hull


def _size(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
