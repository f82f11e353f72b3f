"""Writes the ImageNet MobileNetV2 as an ONNX model folder: `python tools/imagenet_onnx.py OUT_DIR`.

Reads the BatchNorm-unfused .npy weights (`weights/mobilenetv2_bn_npy` of LENSBACK_DATA, or
`--weights DIR`), folds every BatchNorm into its convolution, and writes `model.onnx` and
`encoder.toml` with numpy and `onnx.helper` alone. The network ends at the pooled 1280-d feature.

These weights use plain ReLU (not ReLU6) and stride 2 at blocks 1, 3, 10 and 13; with the usual
layout they load silently and are much worse.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper, save_model

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("LENSBACK_DATA", REPOSITORY / ".." / "shared" / "data"))
PREFIX = "mobilenetv20_features_"
BLOCKS = 17
STRIDE_2 = (1, 3, 10, 13)
EPSILON = 1e-5

DESCRIPTION = """\
# MobileNetV2 1.0 trained on ImageNet, pooled feature before the classifier.
size = [192, 192]
resize = "letterbox"
interpolation = "bicubic"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
dim = 1280
licence = "Apache-2.0"
source = "MobileNetV2 1.0 (ImageNet), BatchNorm folded by tools/imagenet_onnx.py"
"""

Array = NDArray[np.float32]


class Graph:
    """Nodes and weights so far; `tail` is the tensor the next node reads."""

    def __init__(self, weights: Path) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.tail = "image"
        self.channels = 3

    def load(self, name: str) -> Array:
        return np.asarray(np.load(self.weights / f"{PREFIX}{name}.npy"), np.float32)

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> None:
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        self.tail = output

    def convolve(self, conv: str, norm: str, *, stride: int = 1, relu: bool = True) -> None:
        """Convolution with its BatchNorm folded: w' = w * g, b' = beta - mean * g, g = gamma / std."""
        kernel = self.load(f"{conv}_weight")
        gain = self.load(f"{norm}_gamma") / np.sqrt(self.load(f"{norm}_running_var") + EPSILON)
        bias = self.load(f"{norm}_beta") - self.load(f"{norm}_running_mean") * gain
        names = [f"{conv}.weight", f"{conv}.bias"]
        folded = kernel * gain[:, None, None, None]
        for name, value in zip(names, (folded, bias), strict=True):
            self.initializers.append(numpy_helper.from_array(value.astype(np.float32), name))
        groups = self.channels // kernel.shape[1]
        pad = kernel.shape[2] // 2
        self.add(
            "Conv",
            [self.tail, *names],
            strides=[stride, stride],
            pads=[pad] * 4,
            group=groups,
        )
        self.channels = kernel.shape[0]
        if relu:
            self.add("Relu", [self.tail])

    def bottleneck(self, number: int) -> None:
        """1x1 expand, 3x3 depthwise, 1x1 project without ReLU; a shortcut where shapes agree."""
        stride = 2 if number in STRIDE_2 else 1
        head, channels = self.tail, self.channels
        name = f"linearbottleneck{number}_"
        self.convolve(f"{name}conv0", f"{name}batchnorm0")
        self.convolve(f"{name}conv1", f"{name}batchnorm1", stride=stride)
        self.convolve(f"{name}conv2", f"{name}batchnorm2", relu=False)
        if stride == 1 and self.channels == channels:
            self.add("Add", [head, self.tail])


def build(weights: Path) -> Any:
    """The whole network as a checked ONNX model: image [n,3,h,w] -> feature [n,1280]."""
    graph = Graph(weights)
    graph.convolve("conv0", "batchnorm0", stride=2)
    for number in range(BLOCKS):
        graph.bottleneck(number)
    graph.convolve("conv1", "batchnorm1")
    graph.add("GlobalAveragePool", [graph.tail])
    graph.nodes.append(helper.make_node("Flatten", [graph.tail], ["feature"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    feature = helper.make_tensor_value_info("feature", TensorProto.FLOAT, ["n", graph.channels])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "mobilenetv2", [image], [feature], graph.initializers),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    checker.check_model(model)
    return model


def write(weights: Path, folder: Path) -> Path:
    """Writes the model folder and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_model(build(weights), str(folder / "model.onnx"))
    (folder / "encoder.toml").write_text(DESCRIPTION, "utf-8")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "out", type=Path, help="model folder to write, for example workspace/models/imagenet"
    )
    parser.add_argument("--weights", type=Path, default=DATA / "weights" / "mobilenetv2_bn_npy")
    arguments = parser.parse_args()
    print(write(arguments.weights, arguments.out))


if __name__ == "__main__":
    main()
