"""A model's convolutions in eight bits: less work where the processor multiplies bytes, and numbers that are near.

Static: what range each layer needs is seen on pictures beforehand. Kernels have a scale for each channel, what a layer
gives has one. Only `lensback.train` opens this file: it needs the package onnx.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from lensback.errors import ConfigError
from lensback.session import Array

RECTIFIERS = ("Relu", "Clip")
FROM = 4
"""Layers whose maps have more than a quarter of the input's side stay as they are: few channels that everything
after them hangs on. Leaving them out costs little time and loses the least of what is found."""
LEAST_CHANNELS = 8
"""A convolution that gives fewer is no layer but a change of colours, exact for little."""
OPSET = 17
QUIET, WARNING = 3, 2
"""Levels of ONNX Runtime's log."""


def write_eight_bit(network: Path, to: Path, feeds: Iterable[Mapping[str, Array]]) -> int:
    """Writes the model with its convolutions in eight bits to the file `to`; how many they are.

    `feeds` are inputs as the model is run with, typical of what it will see: ranges are taken from them. Raises
    ConfigError where the model has no convolution in single precision, has been through this before, or is one
    that ONNX Runtime cannot make smaller.
    """
    onnxruntime.set_default_logger_severity(QUIET)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of numbers without bounds; told below
            plain = Path(folder) / "plain.onnx"
            chosen = _prepared(network, plain)
            quantize_static(
                str(plain),
                str(to),
                _Reader(iter(feeds)),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=["Conv", "Add", *RECTIFIERS],
                nodes_to_quantize=[node.name for node in chosen],
            )
    except (
        *(RuntimeError, ValueError, TypeError, NotImplementedError),
        AssertionError,  # a layer's numbers have no bounds
    ) as error:
        raise ConfigError(
            f"{network} cannot be brought to eight bits: {str(error).strip().partition(chr(10))[0][:300]}",
            hint="use the model as it is",
        ) from error
    finally:
        onnxruntime.set_default_logger_severity(WARNING)
    return sum(node.op_type == "Conv" for node in chosen)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds, one after another, as ONNX Runtime asks for them."""

    def __init__(self, feeds: Iterator[Mapping[str, Array]]) -> None:
        self._feeds = feeds

    def get_next(self) -> Mapping[str, Array] | None:
        """What the model is run with next; None at the end."""
        return next(self._feeds, None)


def _prepared(network: Path, plain: Path) -> list[onnx.NodeProto]:
    """Writes the model with constants worked out, names for all nodes, and margins within the convolutions;
    the nodes to bring to eight bits."""
    loaded = onnx.load(str(network))
    if any(node.op_type == "QuantizeLinear" for node in loaded.graph.node):
        raise ConfigError(
            f"{network} is in eight bits already", hint="take the model it was made of"
        )
    if any(map(_unreal, loaded.graph.initializer)):
        raise ConfigError(
            f"{network} holds weights that are no numbers", hint="it is damaged: add it again"
        )
    if next(each.version for each in loaded.opset_import if not each.domain) < OPSET:
        loaded = version_converter.convert_version(loaded, OPSET)
    for number, node in enumerate(loaded.graph.node):
        node.name = node.name or f"node {number}"
    onnx.save(loaded, str(plain))
    quant_pre_process(str(plain), str(plain), skip_symbolic_shape=True)
    made = onnx.load(str(plain))
    _fold_pads(made.graph)
    onnx.save(made, str(plain))
    chosen = _chosen(made.graph)
    if not chosen:
        raise ConfigError(
            f"{network} has no layers that could be brought to eight bits",
            hint="convolutions in single precision are; use the model as it is",
        )
    return chosen


def _unreal(weights: Any) -> bool:
    """Whether any of them is not a number. (An infinite one may be meant: a bound that is none.)"""
    values = numpy_helper.to_array(weights)
    return bool(values.dtype.kind == "f" and np.isnan(values).any())


def _fold_pads(graph: Any) -> None:
    """A margin of zeros before a convolution becomes the convolution's own: the same numbers, a copy less."""
    constants = {each.name: each for each in graph.initializer}
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        users = [node for node in graph.node if pad.output[0] in node.input]
        if not (_is_margin(pad, constants) and all(map(_has_own_margin, users))):
            continue
        margin = numpy_helper.to_array(constants[pad.input[1]]).tolist()
        for node in users:
            own = next((each for each in node.attribute if each.name == "pads"), None)
            if own is None:  # what is added is a copy
                node.attribute.append(onnx.helper.make_attribute("pads", [0, 0, 0, 0]))
                own = node.attribute[-1]
            added = (*margin[2:4], *margin[6:8])
            own.ints[:] = [a + b for a, b in zip(own.ints, added, strict=True)]
            node.input[0] = pad.input[0]
        graph.node.remove(pad)


def _has_own_margin(node: Any) -> bool:
    """Whether it is a convolution whose margin is written down, not worked out from its size."""
    worked_out = (each for each in node.attribute if each.name == "auto_pad")
    return node.op_type == "Conv" and all(each.s in {b"", b"NOTSET"} for each in worked_out)


def _is_margin(pad: Any, constants: Mapping[str, Any]) -> bool:
    """Whether it adds known rows and columns of zeros to maps, and nothing else."""
    mode = next((each.s for each in pad.attribute if each.name == "mode"), b"constant")
    value = pad.input[2] if len(pad.input) > 2 else ""
    if mode != b"constant" or len(pad.input) > 3 or pad.input[1] not in constants:
        return False
    if value and (value not in constants or numpy_helper.to_array(constants[value]).any()):
        return False
    margin = numpy_helper.to_array(constants[pad.input[1]])
    return len(margin) == 8 and bool((margin >= 0).all()) and not margin[[0, 1, 4, 5]].any()


def _chosen(graph: Any) -> list[onnx.NodeProto]:
    """The layers: convolutions of maps that have shrunk enough, their rectifiers, and the sums of two layers."""
    kernels = {
        each.name: each.dims[0]
        for each in graph.initializer
        if each.data_type == onnx.TensorProto.FLOAT and each.dims
    }
    shrunk: dict[str, int] = {}
    made: set[str] = set()
    """What a chosen node gives."""
    chosen = []
    for node in graph.node:
        times = max((shrunk.get(name, 1) for name in node.input), default=1) * _stride(node)
        shrunk.update(dict.fromkeys(node.output, times))
        layer = node.op_type == "Conv" and kernels.get(node.input[1], 0) >= LEAST_CHANNELS
        follows = node.op_type in RECTIFIERS and node.input[0] in made
        joins = node.op_type == "Add" and made.issuperset(node.input)
        if (layer and times >= FROM) or follows or joins:
            chosen.append(node)
            made.update(node.output)
    return chosen


def _stride(node: Any) -> int:
    return max((max(each.ints) for each in node.attribute if each.name == "strides"), default=1)
