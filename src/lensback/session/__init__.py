"""ONNX Runtime: a model file loaded for the processor, its errors in our words. The only door to it.
And what every model shares: the processors, and pixels as networks take them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensback.errors import ConfigError, MissingExtra

Array = NDArray[Any]
Run = Callable[[list[str], dict[str, Array]], Sequence[Array]]
Load = Callable[[Path, int], tuple[Any, Run]]
"""Model folder and threads -> what has `get_inputs` and `get_outputs`, and its `run`."""
QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""What a container may use: microseconds of processor time, or `max`, in so many of the clock."""


def processors() -> int:
    """How many processors this process may use: those it is bound to, within its container's quota."""
    bound = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = QUOTA.read_text("ascii").split()
        return max(1, min(bound, int(quota) // int(period)))
    except (OSError, ValueError):
        return bound


def side_by_side(threads: int) -> tuple[int, int]:
    """Runs at once, and the threads of each, where several pictures share `threads` (0: one per processor).

    Two halves of a batch, each with half of the threads, are done sooner than the whole with all of them: the
    threads of one run wait for each other after every layer.
    """
    allowed = threads or processors()
    runs = min(2, allowed)
    return runs, allowed // runs


def planes(pixels: NDArray[np.uint8], levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture [height, width, 3] as a network takes it: float32 [3, height, width]. `levels` [256, 3] is what
    each of the 256 values becomes in each channel: looked up, not worked out for every pixel."""
    taken = np.empty((3, *pixels.shape[:2]), np.float32)
    for channel in range(3):
        taken[channel] = np.ascontiguousarray(levels[:, channel])[pixels[..., channel]]
    return taken


def open_session(path: Path, *, threads: int, load_hint: str, run_hint: str) -> tuple[Any, Run]:
    """The session of a model file, and its `run(outputs, feed)`, which may be shared by threads.

    Raises MissingExtra without onnxruntime, ConfigError with `load_hint` for a file that cannot
    be loaded; `run` raises ConfigError with `run_hint`.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        raise MissingExtra("onnxruntime") from error
    # `quiet` keeps it silent from the start; where it was imported before us, only this can.
    onnxruntime.disable_telemetry_events()
    own = (value for value in vars(state).values() if _is_error(value))
    theirs = (*own, RuntimeError, ValueError)
    options = onnxruntime.SessionOptions()
    # Its own default is all cores of the machine: two threads on one core are half as fast as one.
    allowed = processors()
    options.intra_op_num_threads = threads or (allowed if allowed < (os.cpu_count() or 1) else 0)
    options.inter_op_num_threads = 1
    # Idle threads that spin take the cores from the other model of a search, and from other searches.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=_providers(onnxruntime)
        )
    except theirs as error:
        raise ConfigError(
            f"{path} cannot be loaded: {_first_line(error)}", hint=load_hint
        ) from error

    def run(outputs: list[str], feed: dict[str, Array]) -> list[Array]:
        try:
            return list(session.run(outputs, feed))
        except theirs as error:
            raise ConfigError(f"{path} failed: {_first_line(error)}", hint=run_hint) from error

    return session, in_turns(run)


def in_turns(run: Run) -> Run:
    """A run that lets no more callers in at once than there are processors, while others wait: each under way
    holds its own memory, which engines keep, and more of them answer nobody sooner."""
    turns = threading.BoundedSemaphore(processors())

    def taking_turns(outputs: list[str], feed: dict[str, Array]) -> Sequence[Array]:
        with turns:
            return run(outputs, feed)

    return taking_turns


def _providers(onnxruntime: Any) -> list[str]:
    """The GPU where this build of ONNX Runtime knows one, the processor always."""
    known = onnxruntime.get_available_providers()
    return [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in known]


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
