"""The same model folders, run by OpenVINO: in bfloat16 where the processor can, about twice as fast.

Opened as `openvino:NAME`. Its vectors are near those of ONNX Runtime and not equal to them, so it
has a fingerprint of its own: an index is made and searched with one of the two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lensback.encoders.onnx import OnnxEncoder
from lensback.errors import ConfigError, MissingExtra
from lensback.session import Array, Run
from lensback.shelves import MODEL_FILE
from lensback.shelves.weights import model_files

PREFIX = "openvino:"
PRECISION = "bf16"
TYPES = {
    "f32": "tensor(float)",
    "f16": "tensor(float16)",
    "i64": "tensor(int64)",
    "i32": "tensor(int32)",
    "boolean": "tensor(bool)",
}


class OpenVinoEncoder(OnnxEncoder):
    """One model folder, compiled by OpenVINO for the processor."""

    def __init__(
        self, name: str, folder: Path, *, threads: int = 0, deferred: bool = False
    ) -> None:
        super().__init__(name, folder, threads=threads, load=_load, deferred=deferred)
        own = f"openvino {PRECISION} {self.fingerprint}"
        self.fingerprint = hashlib.sha256(own.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output, told of as ONNX Runtime does."""

    name: str
    shape: tuple[int | None, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Ports:
    """Inputs and outputs of an OpenVINO model, asked for as ONNX Runtime's are."""

    inputs: Sequence[Port]
    outputs: Sequence[Port]

    def get_inputs(self) -> Sequence[Port]:
        """The model's inputs in order."""
        return self.inputs

    def get_outputs(self) -> Sequence[Port]:
        """The model's outputs in order."""
        return self.outputs


def _load(folder: Path, threads: int) -> tuple[Ports, Run]:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra("openvino", "openvino") from error
    model_files(folder)
    path = str(folder / MODEL_FILE)
    options = {"INFERENCE_PRECISION_HINT": PRECISION, "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    try:
        compiled = openvino.Core().compile_model(path, "CPU", options)
    except RuntimeError as error:
        raise ConfigError(
            f"{path} cannot be loaded: {str(error).strip().splitlines()[-1][:300]}",
            hint="use the encoder without 'openvino:'",
        ) from error

    def run(outputs: list[str], feed: dict[str, Array]) -> list[Array]:
        # A request of its own for every call: threads do not share one.
        request = compiled.create_infer_request()
        try:
            request.infer(feed)
        except RuntimeError as error:
            raise ConfigError(
                f"{path} failed: {str(error).strip().splitlines()[-1][:300]}",
                hint="use the encoder without 'openvino:'",
            ) from error
        return [np.array(request.get_tensor(name).data) for name in outputs]

    return Ports(_ports(compiled.inputs), _ports(compiled.outputs)), run


def _ports(ports: Sequence[Any]) -> list[Port]:
    return [
        Port(
            port.get_any_name(),
            tuple(d.get_length() if d.is_static else None for d in port.partial_shape),
            TYPES.get(port.element_type.get_type_name(), ""),
        )
        for port in ports
    ]
