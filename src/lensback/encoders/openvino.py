"""The same model folders, run by OpenVINO: in bfloat16 where the processor can, about twice as fast.

Opened as `openvino:NAME`. Its vectors are near those of ONNX Runtime and not equal to them, so it
has a fingerprint of its own: an index is made and searched with one of the two.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lensback.encoders.onnx import OnnxEncoder
from lensback.session import Run, compiled, side_by_side
from lensback.shelves import MODEL_FILE
from lensback.shelves.weights import model_files


class OpenVinoEncoder(OnnxEncoder):
    """One model folder, compiled by OpenVINO for the processor."""

    def __init__(
        self, name: str, folder: Path, *, threads: int = 0, deferred: bool = False
    ) -> None:
        load = partial(_load, runs=side_by_side(threads)[0])
        super().__init__(name, folder, threads=threads, load=load, deferred=deferred)
        self.fingerprint = compiled.fingerprint(self.fingerprint)


def _load(folder: Path, threads: int, runs: int) -> tuple[compiled.Ports, Run]:
    model_files(folder)
    return compiled.open_compiled(folder / MODEL_FILE, threads=threads, kind="encoder", runs=runs)
