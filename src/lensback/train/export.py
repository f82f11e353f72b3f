"""Torch module -> model folder that the encoders open, and back: the file is the checkpoint.

Only `lensback.train` opens this file: it imports torch and onnx.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from lensback.encoders.description import FILE_NAME
from lensback.encoders.onnx import OnnxEncoder
from lensback.errors import ConfigError
from lensback.shelves import MODEL_FILE
from lensback.train.model import SIDE_PX

OPSET = 17
FULL = ".full"
"""Behind a weight's name: the same in single precision."""
TOML = """\
# Written by `lensback train`. Pixels between 0 and 1: the model normalises them itself.
size = [{side}, {side}]
resize = "letterbox"
interpolation = "bicubic"
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
dim = {dim}
licence = "{licence}"
source = "{source}"
"""


def export(module: nn.Module, folder: Path, *, dim: int, licence: str, source: str) -> float:
    """Writes `model.onnx` and `encoder.toml`; returns the parity.

    The parity is the largest absolute difference between ONNX Runtime and torch over a batch of
    pictures, relative to the largest number. Weights keep the names they have in the module, whose
    kernels and matrices are rounded to half precision first: the file holds them so, in half the space, and
    is read back to the very numbers that the module then has. It computes in single precision.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module = rounded(module.eval().cpu())
    example = torch.from_numpy(sample_pictures(2))
    with warnings.catch_warnings():
        # The tracing exporter needs no further package and is enough for a fixed graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            str(folder / MODEL_FILE),
            dynamo=False,
            input_names=["image"],
            output_names=["vector"],
            dynamic_axes={"image": {0: "n"}, "vector": {0: "n"}},
            opset_version=OPSET,
        )
    _store_halves(folder / MODEL_FILE)
    toml = TOML.format(side=SIDE_PX, dim=dim, licence=licence, source=source)
    (folder / FILE_NAME).write_text(toml, "utf-8")
    return parity(module, folder)


def rounded(module: nn.Module) -> nn.Module:
    """The module, its kernels and matrices rounded to what half precision can hold."""
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:
                weight.copy_(weight.half().float())
    return module


def _store_halves(path: Path) -> None:
    """Rewrites the file with kernels and matrices in half precision, each brought back by a Cast,
    which ONNX Runtime and OpenVINO do once, when they load."""
    model = onnx.load(str(path))
    graph = model.graph
    wide = [
        w for w in graph.initializer if len(w.dims) > 1 and w.data_type == onnx.TensorProto.FLOAT
    ]
    for weight in wide:
        values = numpy_helper.to_array(weight)
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue  # a constant of the graph that is no weight, such as a colour matrix
        for node in graph.node:
            node.input[:] = [f"{n}{FULL}" if n == weight.name else n for n in node.input]
        weight.CopyFrom(numpy_helper.from_array(half, weight.name))
    halves = [w.name for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT16]
    casts = [
        helper.make_node("Cast", [n], [f"{n}{FULL}"], to=onnx.TensorProto.FLOAT) for n in halves
    ]
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, str(path))


def parity(module: nn.Module, folder: Path, count: int = 5) -> float:
    """Largest difference between the file in ONNX Runtime and the module, over the largest number."""
    images = sample_pictures(count)
    with torch.no_grad():
        ours = module(torch.from_numpy(images)).numpy()
    theirs = OnnxEncoder("probe", folder, threads=1).features(images)
    return float(np.abs(ours - theirs).max() / np.abs(ours).max())


def sample_pictures(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Pictures to compare by: noise, a plain one, and things on a plain ground."""
    random = np.random.default_rng(0)
    images = random.random((count, 3, SIDE_PX, SIDE_PX)).astype(np.float32)
    images[0] = 0.5
    low, high = SIDE_PX // 4, SIDE_PX * 3 // 4
    for image in images[1::2]:
        inside = image[:, low:high, low:high].copy()
        image[:] = 0.95
        image[:, low:high, low:high] = inside * random.random((3, 1, 1))
    return images


def read_weights(module: nn.Module, model: Path) -> None:
    """Fills a module from the file that `export` wrote. Raises ConfigError where one is missing."""
    stored = {item.name: item for item in onnx.load(str(model)).graph.initializer}
    state = module.state_dict()
    missing = sorted(name for name in state if name not in stored)
    if missing:
        raise ConfigError(
            f"{model} has no {missing[0]}: it was not written by lensback train",
            hint="start from the shipped encoder",
        )
    for name, value in state.items():
        array = numpy_helper.to_array(stored[name]).astype(np.float32)
        if array.shape != tuple(value.shape):
            raise ConfigError(
                f"{model}: {name} is {array.shape}, not {tuple(value.shape)}",
                hint="start from the shipped encoder",
            )
        state[name] = torch.from_numpy(array)
    module.load_state_dict(state)
