"""The shelf of detectors: finding, listing and adding the folders that hold an ONNX detector."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lensback.detectors.description import FILE_NAME, Description, read_description
from lensback.errors import ConfigError, UnknownName
from lensback.shelves import HUB_URL, MODEL_FILE, NAME, Fetch, folders, workbench
from lensback.shelves.weights import copied, fetched

SHIPPED = Path(__file__).with_name("models")
KNOWN = Path(__file__).with_name("known")
BUILT_IN = ("saliency", "whole")


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


def find_folder(name: str, added: Path | None) -> Path:
    """The folder of a detector. Raises UnknownName, or ConfigError where only a description exists."""
    places = [place for place in (added, SHIPPED) if place]
    if NAME.fullmatch(name):
        for place in places:
            if (place / name / FILE_NAME).is_file():
                return place / name
    if name in known_names():
        raise ConfigError(
            f"detector {name!r} is described, but its weights have not been added",
            hint=f"run: lensback detector add {name} FILE.onnx",
        )
    there = {folder.name for place in places for folder in folders(place)}
    raise UnknownName("detector", name, sorted(there | set(BUILT_IN) | set(known_names())))


def known_names() -> list[str]:
    """Names of the descriptions that come with Lensback."""
    return sorted(path.stem for path in KNOWN.glob("*.toml"))


def list_detectors(added: Path) -> list[DetectorInfo]:
    """Every detector that can be opened or added, built-in first. Loads no model."""
    infos = [DetectorInfo(name, "built-in") for name in BUILT_IN]
    for kind, place in (("shipped", SHIPPED), ("added", added)):
        infos += [_info(folder.name, kind, folder / FILE_NAME) for folder in folders(place)]
    have = {info.name for info in infos}
    known = [name for name in known_names() if name not in have]
    return infos + [_info(name, "known", KNOWN / f"{name}.toml") for name in known]


def add_detector(
    name: str,
    source: str,
    added: Path,
    *,
    description: str | None = None,
    fetch: Fetch | None = None,
) -> Path:
    """Puts a model on the workspace's shelf and returns its folder.

    `source` is an .onnx file, a folder that holds `model.onnx`, an https URL of an .onnx file, or
    the name of a known description that publishes one. `description` is a TOML file or a known
    name; by default the one beside the model, or the known one of the same name. The model is
    tried on a plain picture before it appears. Raises ConfigError, UnknownName, or what `fetch`
    raises.
    """
    if not NAME.fullmatch(name) or name in BUILT_IN or (SHIPPED / name).exists():
        raise ConfigError(
            f"{name!r} is no name for a detector that is added",
            hint="use small letters, digits, '.', '_' and '-', as in 'my-detector'",
        )
    if (added / name).exists():
        raise ConfigError(f"{added / name} is there already", hint="choose another name")
    toml = _toml(name, source, description)
    with workbench(added) as folder:
        shutil.copyfile(toml, folder / FILE_NAME)
        _bring(source, read_description(toml), folder, fetch)
        _try_out(name, folder)
        folder.rename(added / name)
    return added / name


def _toml(name: str, source: str, description: str | None) -> Path:
    """The description: as given, beside the model, or known by its name."""
    local = Path(source)
    beside = (local if local.is_dir() else local.parent) / FILE_NAME
    if description is not None and Path(description).is_file():
        return Path(description)
    if description is None and local.exists() and beside.is_file():
        return beside
    for known in [description] if description is not None else [name, source]:
        if known in known_names():
            return KNOWN / f"{known}.toml"
    raise UnknownName("description", description or name, known_names())


def _bring(source: str, description: Description, folder: Path, fetch: Fetch | None) -> None:
    local = Path(source)
    if local.exists():
        copied(local / MODEL_FILE if local.is_dir() else local, folder)
        return
    url = source
    if source in known_names() and description.file:
        url = HUB_URL.format(repo=description.repo, file=description.file)
    if not (url.startswith("https://") and url.endswith(".onnx")):
        raise ConfigError(
            f"{source!r} is not a file, folder, https URL of an .onnx file, or detector that publishes one",
            hint="export the model and give its file, for example ./model.onnx",
        )
    fetched(url, folder, fetch)


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
