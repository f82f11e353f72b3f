"""The shelf of detectors: those that come with us, those added, and what a list shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lensback.detectors.description import FILE_NAME, DetectorDescription, read_description
from lensback.errors import ConfigError
from lensback.shelves import Fetch, folders
from lensback.shelves.shelf import Shelf

SHELF: Shelf[DetectorDescription] = Shelf(
    "detector", Path(__file__).parent, FILE_NAME, read_description, built_in=("saliency", "whole")
)


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """One line of `detector list`."""

    name: str
    kind: str
    """`built-in`, `shipped`, `added`, or `known`: described here, its weights not yet added."""
    labels: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""
    problem: str = ""
    """Why it cannot be opened; empty where it can."""


def list_detectors(added: Path) -> list[DetectorInfo]:
    """Every detector that can be opened or added, built-in first. Loads no model."""
    infos = [DetectorInfo(name, "built-in") for name in SHELF.built_in]
    for kind, place in (("shipped", SHELF.shipped), ("added", added)):
        infos += [_info(folder.name, kind, folder / FILE_NAME) for folder in folders(place)]
    have = {info.name for info in infos}
    known = [name for name in SHELF.known_names() if name not in have]
    return infos + [_info(name, "known", SHELF.root / "known" / f"{name}.toml") for name in known]


def add_detector(
    name: str,
    source: str,
    added: Path,
    *,
    description: str | None = None,
    fetch: Fetch | None = None,
) -> Path:
    """Puts a model on the workspace's shelf and returns its folder; see `Shelf.add`. The model is
    tried on a plain picture first."""
    return SHELF.add(name, source, added, _try_out, description=description, fetch=fetch)


def _try_out(name: str, folder: Path) -> None:
    """Looks at one plain picture. Raises ConfigError where model and description disagree."""
    from lensback.detectors.onnx import OnnxDetector

    OnnxDetector(name, folder, threads=1).find(Image.new("RGB", (300, 400), "white"))


def _info(name: str, kind: str, toml: Path) -> DetectorInfo:
    try:
        description = read_description(toml)
    except ConfigError as error:
        return DetectorInfo(name, kind, problem=error.message)
    labels = tuple(sorted({label for label in description.labels if label}))
    return DetectorInfo(name, kind, labels, description.licence, description.source)
