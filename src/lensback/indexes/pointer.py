"""CURRENT.json: which snapshot is searched. One small file, replaced atomically and durably."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from lensback.durable import replace_file
from lensback.errors import StateError
from lensback.livefile import LiveFile
from lensback.types import Snapshot

NAME = "CURRENT.json"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pointer:
    """The published snapshot, how to query it, and the location that stays for late readers."""

    snapshot: Snapshot
    parameters: Mapping[str, float] = field(default_factory=dict)
    previous: str = ""


def read(root: Path) -> Pointer | None:
    """None before the first publish. Raises StateError where the file is not ours."""
    try:
        return _parsed(root, (root / NAME).read_bytes())
    except FileNotFoundError:
        return None


def _parsed(root: Path, text: bytes) -> Pointer:
    try:
        data = json.loads(text)
        return Pointer(Snapshot(**data["snapshot"]), data["parameters"], data["previous"])
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{root / NAME} is damaged", hint="run: lensback sync") from error


def write(root: Path, pointer: Pointer) -> None:
    """Durable when it returns; a reader sees the old pointer or the new one, never a part."""
    replace_file(root / NAME, lambda path: path.write_text(json.dumps(asdict(pointer), indent=1)))


def new_snapshot(
    mark: int, location: str, *, encoder: str, fingerprint: str, dim: int, rows: int, recall: float
) -> Snapshot:
    """The snapshot that is published now; `mark` keeps apart what is published in one moment."""
    now = datetime.now(UTC)
    return Snapshot(
        id=f"{now:%Y%m%dT%H%M%S%f}-{mark}",
        encoder=encoder,
        fingerprint=fingerprint,
        dim=dim,
        rows=rows,
        recall=round(recall, 4),
        location=location,
        created_at=now.isoformat(timespec="seconds"),
    )


def followed(root: Path, opener: Callable[[Pointer], T]) -> LiveFile[T | None]:
    """What the pointer names, opened again whenever the pointer has changed; None before the
    first publish. Where the new one does not open, searches go on in the old one."""

    def opened(text: bytes | None) -> T | None:
        pointer = _parsed(root, text) if text is not None else None
        for _ in range(3):
            try:
                return opener(pointer) if pointer else None
            except StateError:
                # Its files went away: two publishes happened since we read it.
                tried, pointer = pointer, read(root)
                if pointer == tried:
                    raise
        raise StateError("the index changes faster than it opens", hint="try again")

    return LiveFile(opened, root / NAME)
