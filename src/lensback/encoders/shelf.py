"""The shelf of models: finding, listing and adding the folders that hold an ONNX encoder."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from lensback.encoders.description import (
    FILE_NAME,
    Description,
    model_fingerprint,
    read_description,
)
from lensback.errors import ConfigError, UnknownName
from lensback.shelves import HUB_URL, MODEL_FILE, NAME, Fetch, folders, workbench
from lensback.shelves.weights import copied, fetched, model_files

SHIPPED = Path(__file__).with_name("models")
KNOWN = Path(__file__).with_name("known")
BUILT_IN = ("pixels",)
CALIBRATION_FILE = "calibration.json"
"""Beside a model: the match probability that was fitted with it, on its training's pictures."""
LEARNT_FILE = "learnt.txt"
"""Beside a model: hashes of the pictures that it learnt from."""
REPO = re.compile(r"[\w.-]+/[\w.-]+")
REPO_FILE = re.compile(r"([\w.-]+/[\w.-]+)/([\w./-]+\.onnx)")


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """One line of `encoder list`."""

    name: str
    kind: str
    """`built-in`, `shipped`, `added`, or `known`: described here, its weights not yet added."""
    dim: int
    licence: str
    fingerprint: str = ""
    bytes: int = 0
    source: str = ""
    problem: str = ""
    """Why it cannot be opened; empty where it can."""


def find_model(name: str, models: Path) -> Path:
    """The folder of a model. Raises UnknownName, or ConfigError where only a description exists."""
    if NAME.fullmatch(name):
        for folder in (models / name, SHIPPED / name):
            if folder.is_dir():
                return folder
    if name in known_names():
        raise ConfigError(
            f"encoder {name!r} is described, but its weights have not been added",
            hint=f"run: lensback encoder add {name} {known_description(name).repo or 'FILE.onnx'}",
        )
    added = [*BUILT_IN, *(folder.name for folder in (*folders(SHIPPED), *folders(models)))]
    raise UnknownName("encoder", name, sorted(set(added) | set(known_names())))


def beside(name: str, models: Path, file: str) -> Path | None:
    """A file that lies beside a model; None for a model or a file that is not there."""
    places = (models / name / file, SHIPPED / name / file) if NAME.fullmatch(name) else ()
    return next((path for path in places if path.is_file()), None)


def known_names() -> list[str]:
    """Names of the descriptions that come with Lensback."""
    return sorted(path.stem for path in KNOWN.glob("*.toml"))


def known_description(name: str) -> Description:
    """A description that comes with Lensback. Raises UnknownName."""
    if name not in known_names():
        raise UnknownName("description", name, known_names())
    return read_description(KNOWN / f"{name}.toml")


def list_encoders(models: Path) -> list[EncoderInfo]:
    """Every encoder that can be opened or added, built-in first. Loads no model."""
    from lensback.encoders.pixels import PixelsEncoder

    pixels = PixelsEncoder()
    infos = [EncoderInfo("pixels", "built-in", pixels.dim, "Apache-2.0", pixels.fingerprint)]
    for kind, place in (("shipped", SHIPPED), ("added", models)):
        infos += [_folder_info(folder, kind) for folder in folders(place)]
    have = {info.name for info in infos}
    for name in known_names():
        if name not in have:
            known = known_description(name)
            infos.append(EncoderInfo(name, "known", known.dim, known.licence, source=known.repo))
    return infos


def add_encoder(
    name: str,
    source: str | Path,
    models: Path,
    *,
    description: str | Path | None = None,
    fetch: Fetch | None = None,
) -> Path:
    """Puts a model on the workspace's shelf and returns its folder.

    `source` is an .onnx file, a model folder, an https URL of an .onnx file, a Hugging Face
    repository (`owner/name`, or `owner/name/path/in/it.onnx`), or the name of a known
    description. `description` is a TOML file or a known name; by default the one beside the
    model, the known one of the same name, or the one that names the same repository.
    `fetch(url, path)` downloads. The model is tried on a drawn picture before it appears, and
    appears whole or not at all. Raises ConfigError, UnknownName, or what `fetch` raises.
    """
    _check_free(name, models)
    toml = _find_toml(name, source, description)
    with workbench(models) as folder:
        _gather(source, read_description(toml), folder, fetch)
        shutil.copyfile(toml, folder / FILE_NAME)
        _try_out(name, folder)
        try:
            folder.rename(models / name)
        except OSError as error:
            raise _taken(name) from error
    return models / name


def _check_free(name: str, models: Path) -> None:
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name for an encoder",
            hint="use small letters, digits, '.', '_' and '-', as in 'my-model'",
        )
    if name in BUILT_IN or (models / name).exists() or (SHIPPED / name).exists():
        raise _taken(name)


def _taken(name: str) -> ConfigError:
    return ConfigError(
        f"an encoder named {name!r} is there already", hint="choose another name, or remove it"
    )


def _find_toml(name: str, source: str | Path, description: str | Path | None) -> Path:
    if description is not None:
        path = Path(description)
        return path if path.is_file() else _known_toml(str(description))
    local = Path(source)
    beside = (local if local.is_dir() else local.parent) / FILE_NAME
    if local.exists() and beside.is_file():
        return beside
    for known in known_names():
        repo = known_description(known).repo
        if known in (name, str(source)) or (repo and _is_from(str(source), repo)):
            return KNOWN / f"{known}.toml"
    raise ConfigError(
        f"no description of {source} is known",
        hint=f"give a description: a TOML file or one of {', '.join(known_names())}",
    )


def _is_from(source: str, repo: str) -> bool:
    """Whether a source is that repository or a file of it, however it is written."""
    return f"{source}/".removeprefix("https://huggingface.co/").startswith(f"{repo}/")


def _known_toml(name: str) -> Path:
    known_description(name)
    return KNOWN / f"{name}.toml"


def _gather(
    source: str | Path, description: Description, folder: Path, fetch: Fetch | None
) -> None:
    """Brings `model.onnx` and the files it refers to into the folder."""
    local = Path(source)
    if local.exists():
        model = _model_in(local) if local.is_dir() else local
        copied(model, folder)
        for name in (CALIBRATION_FILE, LEARNT_FILE):
            if local.is_dir() and (local / name).is_file():
                shutil.copyfile(local / name, folder / name)
        return
    fetched(_url(str(source), description), folder, fetch)


def _model_in(folder: Path) -> Path:
    named = folder / MODEL_FILE
    found = [named] if named.is_file() else sorted(folder.glob("*.onnx"))
    if len(found) != 1:
        raise ConfigError(
            f"{folder} has {len(found)} .onnx files", hint="give the one file, not the folder"
        )
    return found[0]


def _url(source: str, description: Description) -> str:
    if source.startswith("https://") and source.endswith(".onnx"):
        return source.replace("/blob/", "/resolve/", 1)
    if source in known_names():
        source = known_description(source).repo
    repo = source.removeprefix("https://huggingface.co/").strip("/")
    inside = REPO_FILE.fullmatch(repo)
    if inside and ".." not in repo:
        return HUB_URL.format(repo=inside[1], file=inside[2])
    if not REPO.fullmatch(repo) or ".." in repo:
        raise ConfigError(
            f"{source!r} is not a file, folder, https URL of an .onnx file, or repository",
            hint="give for example ./model.onnx or Marqo/marqo-fashionSigLIP",
        )
    if not description.file:
        raise ConfigError(
            f"{repo} publishes no ONNX file that we know of",
            hint=f"export one and add the file, or give {repo}/PATH.onnx",
        )
    return HUB_URL.format(repo=repo, file=description.file)


def _try_out(name: str, folder: Path) -> None:
    """Encodes one drawn picture. Raises ConfigError where the result is no vector."""
    import numpy as np

    from lensback.encoders.onnx import OnnxEncoder
    from lensback.encoders.preprocess import to_batch

    encoder = OnnxEncoder(name, folder, threads=1)
    features = encoder.features(to_batch([_drawing()], encoder.description))
    if not np.isfinite(features).all() or not features.any():
        raise ConfigError(
            f"{name}: the model gives no usable numbers for a plain picture",
            hint="check 'mean', 'std' and 'output'; half-precision models may overflow",
        )


def _drawing() -> Image.Image:
    image = Image.new("RGB", (300, 400), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((80, 100, 220, 330), fill=(190, 40, 60))
    draw.ellipse((120, 40, 180, 100), fill=(60, 70, 160))
    return image


def _folder_info(folder: Path, kind: str) -> EncoderInfo:
    try:
        description = read_description(folder / FILE_NAME)
        size = sum(path.stat().st_size for path in model_files(folder))
        identity = model_fingerprint(folder, description)
    except ConfigError as error:
        return EncoderInfo(folder.name, kind, 0, "", problem=error.message)
    return EncoderInfo(
        folder.name, kind, description.dim, description.licence, identity, size, description.source
    )
