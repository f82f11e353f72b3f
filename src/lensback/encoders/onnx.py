"""Encoders that are ONNX models: a folder with `model.onnx` and `encoder.toml`."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lensback.encoders.description import (
    FILE_NAME,
    EncoderDescription,
    model_fingerprint,
    read_description,
)
from lensback.encoders.preprocess import to_batch
from lensback.errors import ConfigError
from lensback.log import event
from lensback.session import Array, Load, Run, open_session, side_by_side
from lensback.shelves import MODEL_FILE
from lensback.shelves.weights import model_files
from lensback.types import Vectors

# Beyond this many pictures a larger batch gains nothing on a processor and only takes memory.
BATCH = 8
FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}
FIRST_OUTPUTS = ("image_embeds", "pooler_output")


@dataclass(frozen=True, slots=True)
class _Network:
    """A loaded model, and what it is given and asked for."""

    run: Run
    input: Any
    output: Any
    fill: Mapping[str, Array]
    fixed: int
    """Pictures that it always takes at once; 0: any number."""


class OnnxEncoder:
    """One model folder, loaded into ONNX Runtime on the processor.

    `deferred`: only when the first picture comes. What is said of it is known before, and so is every
    error but those of the model file itself.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        threads: int = 0,
        load: Load | None = None,
        deferred: bool = False,
    ) -> None:
        self.name = name
        self.folder = folder
        self.description = read_description(folder / FILE_NAME)
        self.dim = self.description.dim
        self.side_px = self.description.side_px
        self.fingerprint = model_fingerprint(folder, self.description)
        self._runs, each = side_by_side(threads)
        self._load = partial(load or _load, folder, each)
        self._loading = Lock()
        self._beside = ThreadPoolExecutor(self._runs, thread_name_prefix="encode")
        self._loaded: _Network | None = None if deferred else self._opened()

    def _opened(self) -> _Network:
        session, run = self._load()
        wanted = _choose_input(session.get_inputs(), self.description, self.folder)
        # A model exported for one batch size only is always given that many.
        fixed = wanted.shape[0] if isinstance(wanted.shape[0], int) else 0
        output = _choose_output(session.get_outputs(), self.description, self.folder)
        fill = _constants(session.get_inputs(), wanted.name, self.description, self.folder)
        return _Network(run, wanted, output, fill, fixed)

    @property
    def _network(self) -> _Network:
        if self._loaded is None:
            with self._loading:
                self._loaded = self._loaded or self._opened()
        return self._loaded

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """RGB pictures -> float32 [n, dim], rows of unit length. Thread-safe.

        A picture for which the network gives zeros or no numbers gets a vector that is far from
        all others and always the same for that picture. Raises ConfigError where the network
        gives another shape than `encoder.toml` says.
        """
        if not images:
            return np.zeros((0, self.dim), np.float32)
        step = self._network.fixed or min(BATCH, -(-len(images) // self._runs))
        chunks = [images[start : start + step] for start in range(0, len(images), step)]
        work = self._beside.map if len(chunks) > 1 else map
        return np.concatenate(list(work(self._encode_chunk, chunks)))

    def features(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Preprocessed pictures -> float32 [n, dim] as the network gives them, not normalised."""
        network = self._network
        output = np.asarray(network.run([network.output.name], self.feed(batch))[0])
        return _pool(output, self.description, self.folder)[: len(batch)]

    def feed(self, batch: NDArray[np.float32]) -> dict[str, Array]:
        """All inputs of the network for preprocessed pictures, by name."""
        network = self._network
        return {**network.fill, network.input.name: _pad(batch, network)}

    def _encode_chunk(self, images: Sequence[Image.Image]) -> Vectors:
        batch = to_batch(images, self.description)
        return _unit_rows(self.features(batch), batch)


def _pad(batch: NDArray[np.float32], network: _Network) -> Array:
    missing = max(0, network.fixed - len(batch))
    if missing:
        batch = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
    return batch.astype(FLOATS[network.input.type], copy=False)


def _load(folder: Path, threads: int) -> tuple[Any, Run]:
    model_files(folder)
    return open_session(
        folder / MODEL_FILE,
        threads=threads,
        load_hint="the file is broken or too new for this onnxruntime: add the encoder again",
        run_hint=f"compare 'size' and 'fill' of {folder / FILE_NAME} with the model's inputs",
    )


def _choose_input(inputs: Sequence[Any], description: EncoderDescription, folder: Path) -> Any:
    """The picture's input: by name, or the only one with four dimensions."""
    named = [item for item in inputs if item.name == (description.input or "pixel_values")]
    images = [item for item in inputs if len(item.shape) == 4]
    chosen = named or ([] if description.input else images)
    if len(chosen) != 1:
        raise ConfigError(
            f"{folder}: no single picture input among {[item.name for item in inputs]}",
            hint=f"name it as 'input' in {folder / FILE_NAME}",
        )
    item = chosen[0]
    expected = (3, *description.size)
    agrees = len(item.shape) == 4 and all(
        not isinstance(given, int) or given == wanted
        for given, wanted in zip(item.shape[1:], expected, strict=False)
    )
    if not agrees or item.type not in FLOATS:
        raise ConfigError(
            f"{folder}: input {item.name!r} is {item.type} {item.shape}, "
            f"not a float [n, {', '.join(map(str, expected))}]",
            hint=f"mend 'size' in {folder / FILE_NAME}, or export with channels first",
        )
    return item


def _choose_output(outputs: Sequence[Any], description: EncoderDescription, folder: Path) -> Any:
    """The vector's output: by name or number, or the likeliest one."""
    wanted = description.output
    by_name = {item.name: item for item in outputs}
    if wanted in by_name:
        return by_name[wanted]
    if wanted.isdigit() and int(wanted) < len(outputs):
        return outputs[int(wanted)]
    if wanted:
        raise ConfigError(
            f"{folder}: no output {wanted!r} among {list(by_name)}",
            hint=f"mend 'output' in {folder / FILE_NAME}",
        )
    ranks = (3, 4) if description.pool else (2, 4)
    fitting = [item for item in outputs if len(item.shape) in ranks]
    likely = [by_name[name] for name in FIRST_OUTPUTS if by_name.get(name) in fitting]
    return (likely or fitting or list(outputs))[0]


def _constants(
    inputs: Sequence[Any], image_input: str, description: EncoderDescription, folder: Path
) -> Mapping[str, Array]:
    """Values of the inputs that are not the picture, from `fill`."""
    others = {item.name: item for item in inputs if item.name != image_input}
    if set(others) != set(description.fill):
        raise ConfigError(
            f"{folder}: 'fill' gives {sorted(description.fill)}, "
            f"the model's other inputs are {sorted(others)}",
            hint=f"give each a constant under [fill] in {folder / FILE_NAME}",
        )
    kinds = {**FLOATS, **INTEGERS}
    try:
        return {
            name: np.asarray(description.fill[name], dtype=kinds[item.type])
            for name, item in others.items()
        }
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{folder}: 'fill' does not suit the model: {error}",
            hint=f"mend [fill] in {folder / FILE_NAME}",
        ) from error


def _pool(output: Array, description: EncoderDescription, folder: Path) -> NDArray[np.float32]:
    """Output -> [n, dim]: tokens or a feature map pooled, the first `dim` numbers kept."""
    flat: Array = output
    if description.pool and output.ndim == 4:
        flat = output.mean(axis=(2, 3))
    elif description.pool == "cls" and output.ndim == 3:
        flat = output[:, 0]
    elif description.pool == "mean" and output.ndim == 3:
        flat = output.mean(axis=1)
    elif output.ndim == 4 and output.shape[2:] == (1, 1):
        flat = output[:, :, 0, 0]
    if flat.ndim != 2 or flat.shape[1] < description.dim:
        raise ConfigError(
            f"{folder}: the model gives {list(output.shape)}, "
            f"encoder.toml wants {description.dim} numbers a picture",
            hint=f"mend 'dim', 'output' or 'pool' in {folder / FILE_NAME}",
        )
    return flat[:, : description.dim].astype(np.float32)


def _unit_rows(features: NDArray[np.float32], batch: NDArray[np.float32]) -> Vectors:
    """Rows at unit length; a row without a direction gets one drawn from its own picture."""
    wide = features.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1)
    broken = ~np.isfinite(lengths) | (lengths < 1e-12)
    for row in np.flatnonzero(broken):
        seed = hashlib.sha256(batch[row].tobytes()).digest()
        wide[row] = np.random.default_rng(list(seed)).standard_normal(wide.shape[1])
        lengths[row] = np.linalg.norm(wide[row])
    if broken.any():
        event("encoder.no_direction", logging.WARNING, pictures=int(broken.sum()))
    return np.asarray(wide / lengths[:, None], np.float32)
