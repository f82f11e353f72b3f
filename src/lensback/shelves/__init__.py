"""A shelf: a place whose folders each hold one ONNX model and its description."""

from __future__ import annotations

import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lensback.errors import ConfigError

MODEL_FILE = "model.onnx"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
HUB_URL = "https://huggingface.co/{repo}/resolve/main/{file}"

Fetch = Callable[[str, Path], object]
"""Downloads a URL into a file that does not exist yet; raises FetchError."""


def folders(place: Path) -> list[Path]:
    """The model folders of a shelf, sorted; none where it is not there."""
    if not place.is_dir():
        return []
    return sorted(path for path in place.iterdir() if path.is_dir() and NAME.fullmatch(path.name))


def read_toml(path: Path, page: str) -> dict[str, Any]:
    """A model's description. Raises ConfigError where there is none to read; `page` of docs/ tells of
    its keys."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", hint=f"see docs/{page} for its keys"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", hint="mend that line") from error


@contextmanager
def workbench(place: Path) -> Iterator[Path]:
    """A new folder on the shelf in which a model is put together, to be renamed when it is whole;
    what is still there in the end goes."""
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".adding-", dir=place))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
