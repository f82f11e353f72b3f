"""MobileNetV2 as trained on ImageNet, read into the trunk that every eye starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lensback.train.model import Trunk

NORM_EPSILON = 1e-5
"""Added to each BatchNorm's variance, as in the network that was trained."""


def read_imagenet(trunk: Trunk, folder: Path) -> None:
    """Fills the trunk from BatchNorm-unfused .npy files, each BatchNorm folded:
    w' = w g, b' = beta - mean g, with g = gamma / sqrt(variance + epsilon)."""

    def fill(conv: nn.Conv2d, name: str, norm: str) -> None:
        read = {
            key: np.load(folder / f"mobilenetv20_features_{norm}_{key}.npy")
            for key in ("gamma", "beta", "running_mean", "running_var")
        }
        gain = read["gamma"] / np.sqrt(read["running_var"] + NORM_EPSILON)
        kernel = np.load(folder / f"mobilenetv20_features_{name}_weight.npy")
        bias = read["beta"] - read["running_mean"] * gain
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(kernel * gain[:, None, None, None]))
            conv.bias.copy_(torch.from_numpy(bias))  # type: ignore[union-attr]

    fill(trunk.first, "conv0", "batchnorm0")
    for number, block in enumerate(trunk.blocks):
        for part, conv in enumerate((block.expand, block.depthwise, block.project)):
            at = f"linearbottleneck{number}_"
            fill(conv, f"{at}conv{part}", f"{at}batchnorm{part}")  # type: ignore[arg-type]
    fill(trunk.last, "conv1", "batchnorm1")
