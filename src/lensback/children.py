"""Processes of our own for what comes from outside: pictures to decode, feeds to read.

One starter for all of them. They get no signal of a terminal's, no file of ours but those named, and of the
environment only what a Python needs to run: keys, passwords and addresses of databases stay here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lensback.errors import StateError

PASSED_ON = (
    *("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV"),
    *("PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
)
"""Names of the environment that a child sees."""


def start(
    module: str,
    *arguments: object,
    files: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    piped: bool = False,
) -> subprocess.Popen[bytes]:
    """`python -m MODULE ARGUMENTS` of this very package, with `files` open. `piped`: its input and
    output are ours; else it has none. What it says of an error is for no terminal.

    Raises StateError where the machine has no room for a process.
    """
    pipe = subprocess.PIPE if piped else subprocess.DEVNULL
    try:
        return subprocess.Popen(  # noqa: S603 - this Python, our own module
            [sys.executable, "-P", "-m", module, *map(str, arguments)],
            pass_fds=files,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            env={**_environment(), **(environment or {})},
        )
    except OSError as error:
        raise StateError(
            f"no process for {module}: {error.strerror or error}",
            hint="free some memory, then try again",
        ) from error


def _environment() -> dict[str, str]:
    here = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    package = str(Path(__file__).parents[1])
    return {**here, "PYTHONPATH": os.pathsep.join([package, *filter(None, sys.path)])}
