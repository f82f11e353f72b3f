"""OpenVINO: a model file compiled for the processor, asked as ONNX Runtime's session is. The only door to it.

What it gives is near what ONNX Runtime gives and not equal to it, so whoever is run by it has a
fingerprint of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lensback.errors import ConfigError, MissingExtra
from lensback.session import Array, Run, in_turns

PREFIX = "openvino:"
"""Before the name of a model: it is run by OpenVINO."""
PRECISION = "bf16"
"""Where the processor has it, else single precision."""
TYPES = {
    "f32": "tensor(float)",
    "f16": "tensor(float16)",
    "i64": "tensor(int64)",
    "i32": "tensor(int32)",
    "boolean": "tensor(bool)",
}


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


def fingerprint(plain: str) -> str:
    """16 hex digits: the identity of a model with the `plain` fingerprint where OpenVINO runs it."""
    return hashlib.sha256(f"openvino {PRECISION} {plain}".encode()).hexdigest()[:16]


def open_compiled(path: Path, *, threads: int, kind: str, runs: int = 1) -> tuple[Ports, Run]:
    """What a model file takes and gives, and its `run(outputs, feed)`, which may be shared by threads.

    `threads` of each of `runs` at once; 0: one per core. Raises MissingExtra without openvino, ConfigError for a file that cannot be
    loaded; `run` raises ConfigError, too. `kind`: `encoder` or `detector`, for what these say.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra("openvino", "openvino") from error
    hint = f"use the {kind} without '{PREFIX}'"
    options = {"INFERENCE_PRECISION_HINT": PRECISION, "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads * runs)
    if runs > 1:
        options["NUM_STREAMS"] = str(runs)
    try:
        compiled = openvino.Core().compile_model(str(path), "CPU", options)
    except RuntimeError as error:
        raise ConfigError(f"{path} cannot be loaded: {_last_line(error)}", hint=hint) from error

    def run(outputs: list[str], feed: dict[str, Array]) -> list[Array]:
        # A request of its own for every call: threads do not share one.
        request = compiled.create_infer_request()
        try:
            request.infer(feed)
        except RuntimeError as error:
            raise ConfigError(f"{path} failed: {_last_line(error)}", hint=hint) from error
        return [np.array(request.get_tensor(name).data) for name in outputs]

    return Ports(_ports(compiled.inputs), _ports(compiled.outputs)), in_turns(run)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:300]


def _ports(ports: Sequence[Any]) -> list[Port]:
    return [
        Port(
            port.get_any_name(),
            tuple(d.get_length() if d.is_static else None for d in port.partial_shape),
            TYPES.get(port.element_type.get_type_name(), ""),
        )
        for port in ports
    ]
