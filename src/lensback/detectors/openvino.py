"""The same model folders, run by OpenVINO, as encoders are. Opened as `openvino:NAME`.

Its regions are those of ONNX Runtime but for some last digits of boxes and scores, so it has a
fingerprint of its own. An index does not hang on it: it may be changed at any time.
"""

from __future__ import annotations

from pathlib import Path

from lensback.detectors.onnx import OnnxDetector
from lensback.session import Run, compiled
from lensback.shelves import MODEL_FILE


class OpenVinoDetector(OnnxDetector):
    """One model folder, compiled by OpenVINO for the processor."""

    def __init__(self, name: str, folder: Path, *, threads: int = 0) -> None:
        super().__init__(name, folder, threads=threads, load=_load)
        self.fingerprint = compiled.fingerprint(self.fingerprint)


def _load(folder: Path, threads: int) -> tuple[compiled.Ports, Run]:
    return compiled.open_compiled(folder / MODEL_FILE, threads=threads, kind="detector")
