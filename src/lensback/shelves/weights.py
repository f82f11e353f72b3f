"""The files of a model folder: which they are, how they come there, what they digest to."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import shutil
from pathlib import Path
from typing import Any

from lensback.errors import ConfigError
from lensback.shelves import MODEL_FILE, Fetch

DIGESTS_FILE = ".digests.json"
# Smaller files hash faster than a note about them is worth.
REMEMBER_BYTES = 64 << 20
# TensorProto.external_data holds {key: "location", value: FILE} in these bytes (protobuf: field 1
# of length 8, field 2 of a length under 128). Reading them needs no onnx package.
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")


def model_files(folder: Path) -> list[Path]:
    """`model.onnx` and the weight files it refers to. Raises ConfigError where one is missing."""
    model = folder / MODEL_FILE
    if not model.is_file():
        raise ConfigError(f"{folder} has no {MODEL_FILE}", hint="add the model again")
    files = [model, *(folder / name for name in external_files(model))]
    for path in files:
        if not path.is_file():
            raise ConfigError(
                f"{model} refers to {path.name}, which is not beside it",
                hint=f"put {path.name} into {folder}",
            )
    return files


def external_files(model: Path) -> list[str]:
    """Names of the weight files an ONNX file refers to, sorted; most refer to none.

    Raises ConfigError where a name would leave the folder.
    """
    if model.stat().st_size == 0:
        return []
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        names = {
            data[match.end() : match.end() + match[1][0]].decode("utf-8", "replace")
            for match in _LOCATION.finditer(data)
        }
    for name in names:
        if Path(name).name != name or name.startswith("."):
            raise ConfigError(
                f"{model} refers to a file outside its folder: {name!r}",
                hint="export the model again with its weights beside it",
            )
    return sorted(names)


def copied(model: Path, folder: Path) -> None:
    """Copies an ONNX file, as `model.onnx`, and the weight files beside it that it refers to."""
    shutil.copyfile(model, folder / MODEL_FILE)
    for name in external_files(folder / MODEL_FILE):
        if (model.parent / name).is_file():
            shutil.copyfile(model.parent / name, folder / name)


def fetched(url: str, folder: Path, fetch: Fetch | None) -> None:
    """Fetches an ONNX file from a URL into the folder, as `model.onnx`. Raises ConfigError without
    a `fetch`, or what it raises."""
    if fetch is None:
        raise ConfigError(f"{url} must be downloaded", hint="give a downloaded .onnx file instead")
    fetch(url, folder / MODEL_FILE)
    for name in external_files(folder / MODEL_FILE):
        fetch(f"{url.rpartition('/')[0]}/{name}", folder / name)


def fingerprint(folder: Path, *said: bytes) -> str:
    """16 hex digits of SHA-256 over what is said of a model and over its files."""
    digest = hashlib.sha256(b"".join(said))
    for path in model_files(folder):
        digest.update(f"\n{file_digest(path)}".encode())
    return digest.hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file; a large one's is remembered beside it, by size and time of change."""
    state = path.stat()
    if state.st_size < REMEMBER_BYTES:
        return _hash(path)
    key = f"{state.st_size} {state.st_mtime_ns}"
    notes = _read_notes(path.parent)
    note = notes.get(path.name)
    if isinstance(note, list) and len(note) == 2 and note[0] == key:
        return str(note[1])
    digest = _hash(path)
    _write_notes(path.parent, {**notes, path.name: [key, digest]})
    return digest


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_notes(folder: Path) -> dict[str, Any]:
    try:
        notes = json.loads((folder / DIGESTS_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _write_notes(folder: Path, notes: dict[str, Any]) -> None:
    part = folder / f"{DIGESTS_FILE}.{os.getpid()}"
    try:
        part.write_text(json.dumps(notes), "utf-8")
        part.replace(folder / DIGESTS_FILE)
    except OSError:
        return  # a read-only folder: hashed again at the next start
