"""A shelf: a place whose folders each hold one ONNX model and its description."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lensback.checked import STRICT

MODEL_FILE = "model.onnx"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
HUB_URL = "https://huggingface.co/{repo}/resolve/main/{file}"

Fetch = Callable[[str, Path], object]
"""Downloads a URL into a file that does not exist yet; raises FetchError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What every model's description tells of where it is from."""

    __pydantic_config__ = STRICT

    licence: str = ""
    source: str = ""
    repo: str = ""
    """Hugging Face repository that publishes the model."""
    file: str = ""
    """The ONNX file in it; empty: it publishes none that we know."""
    doubt: str = ""
    """What has not been verified."""

    def identity(self) -> bytes:
        """Canonical bytes of all keys but those that only inform: what changes the result."""
        kept = {key: value for key, value in asdict(self).items() if key not in _ABOUT}
        return json.dumps(kept, sort_keys=True).encode()


_ABOUT = frozenset(each.name for each in fields(Described))


def folders(place: Path) -> list[Path]:
    """The model folders of a shelf, sorted; none where it is not there."""
    if not place.is_dir():
        return []
    return sorted(path for path in place.iterdir() if path.is_dir() and NAME.fullmatch(path.name))


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
