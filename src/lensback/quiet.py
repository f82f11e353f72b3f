"""What libraries would tell their makers, or a terminal, switched off before any of them is imported.

Three do it without being asked: ONNX Runtime tells Microsoft, OpenVINO Google Analytics, Ray its
makers (docs/outgoing.md). The package calls `quiet` first of all, so that it holds in every process
that uses Lensback: commands, `serve`, workers of Ray, benchmarks and tests.
"""

from __future__ import annotations

import os
import sys
from typing import Any

SWITCHES = {"ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}
"""Environment variables that the libraries read when they are loaded; children inherit them."""
WORDS = {"LANCE_LOG": "error", "LANCEDB_LOG": "error"}
"""Of how much libraries write to the terminal; what the environment says stands above."""
SILENCED = ("openvino_telemetry",)
"""Packages that only send. Whoever imports them has a stub for where they are not installed."""
COMMANDS = ("httpx._main",)
"""Commands of libraries, which bring what colours a terminal; each has a stub, too."""


def quiet() -> None:
    """Switches off what would be sent, whatever the environment says; may be called again.

    What was imported before Lensback is past this: `session` has ONNX Runtime's own call, too.
    """
    os.environ.update(SWITCHES)
    for name, value in WORDS.items():
        os.environ.setdefault(name, value)
    modules: dict[str, Any] = (
        sys.modules
    )  # None there: the import fails as if it were not installed
    for name in (*SILENCED, *COMMANDS):
        modules.setdefault(name, None)
