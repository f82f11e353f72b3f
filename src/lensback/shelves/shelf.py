"""One shelf of models: finding, and adding from a file, a folder, an address or a repository."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from lensback.errors import ConfigError, UnknownName
from lensback.shelves import HUB_URL, MODEL_FILE, NAME, Described, Fetch, folders, workbench
from lensback.shelves.weights import copied, fetched

D = TypeVar("D", bound=Described)
HUB = HUB_URL.partition("{")[0]
REPO = re.compile(r"[\w.-]+/[\w.-]+")
REPO_FILE = re.compile(r"([\w.-]+/[\w.-]+)/([\w./-]+\.onnx)")


@dataclass(frozen=True, slots=True)
class Shelf(Generic[D]):
    """Where the models of one kind stand, and how their descriptions are read."""

    kind: str
    """`encoder`, `detector`: for messages and commands."""
    root: Path
    """Our own folder: `models` in it holds those that are shipped, `known` the descriptions of
    those whose weights are somebody else's."""
    file_name: str
    """Of a description beside its model."""
    read: Callable[[Path], D]
    built_in: tuple[str, ...]
    """Names that need no model."""
    beside: tuple[str, ...] = ()
    """Further files that come along with a folder."""

    @property
    def shipped(self) -> Path:
        """The folder of the models that come with Lensback."""
        return self.root / "models"

    def find(self, name: str, added: Path | None) -> Path:
        """The folder of a model, those added first. Raises UnknownName, or ConfigError where only
        a description exists."""
        places = [place for place in (added, self.shipped) if place]
        for place in places if NAME.fullmatch(name) else ():
            if (place / name).is_dir():
                return place / name
        if name in self.known_names():
            source = self.known(name).repo if self.known(name).file else ""
            raise ConfigError(
                f"{self.kind} {name!r} is described, but its weights have not been added",
                hint=f"run: lensback {self.kind} add {name} {source or 'FILE.onnx'}",
            )
        there = {folder.name for place in places for folder in folders(place)}
        raise UnknownName(self.kind, name, sorted({*there, *self.built_in, *self.known_names()}))

    def beside_model(self, name: str, added: Path, file: str) -> Path | None:
        """A file that lies beside a model; None for a model or a file that is not there."""
        places = (added / name / file, self.shipped / name / file) if NAME.fullmatch(name) else ()
        return next((path for path in places if path.is_file()), None)

    def names(self, added: Path) -> list[str]:
        """Names that can be opened: built in, shipped, added. No file is read."""
        there = [folder.name for place in (self.shipped, added) for folder in folders(place)]
        return sorted({*self.built_in, *there})

    def known_names(self) -> list[str]:
        """Names of the descriptions that come with Lensback."""
        return sorted(path.stem for path in (self.root / "known").glob("*.toml"))

    def known(self, name: str) -> D:
        """A description that comes with Lensback. Raises UnknownName."""
        return self.read(self._known_toml(name))

    def add(
        self,
        name: str,
        source: str,
        added: Path,
        try_out: Callable[[str, Path], object],
        *,
        description: str | None = None,
        fetch: Fetch | None = None,
    ) -> Path:
        """Puts a model on the workspace's shelf and returns its folder.

        `source` is an .onnx file, a model folder, an https URL of an .onnx file, a Hugging Face
        repository (`owner/name`, or `owner/name/path/in/it.onnx`), or the name of a known
        description. `description` is a TOML file or a known name; by default the one beside the
        model, the known one of the same name, or the one that names the same repository.
        `fetch(url, path)` downloads. `try_out(name, folder)` runs the model once
        before it appears: it appears whole or not at all. Raises ConfigError, UnknownName, or what `fetch` and `try_out` raise.
        """
        self.check_free(name, added)
        toml = self._find_toml(name, source, description)
        with workbench(added) as folder:
            self._gather(source, self.read(toml), folder, fetch)
            shutil.copyfile(toml, folder / self.file_name)
            try_out(name, folder)
            try:
                folder.rename(added / name)
            except OSError as error:
                raise self._taken(name) from error
        return added / name

    def check_free(self, name: str, added: Path) -> None:
        """Raises ConfigError where no model can be added under that name: it is no name, or taken."""
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name for a model that is added",
                hint=f"use small letters, digits, '.', '_' and '-', as in 'my-{self.kind}'",
            )
        if name in self.built_in or (added / name).exists() or (self.shipped / name).exists():
            raise self._taken(name)

    def _taken(self, name: str) -> ConfigError:
        return ConfigError(
            f"a model named {name!r} is there already", hint="choose another name, or remove it"
        )

    def _find_toml(self, name: str, source: str, description: str | None) -> Path:
        if description is not None:
            path = Path(description)
            return path if path.is_file() else self._known_toml(description)
        local = Path(source)
        toml = (local if local.is_dir() else local.parent) / self.file_name
        if local.exists() and toml.is_file():
            return toml
        for known in self.known_names():
            repo = self.known(known).repo
            if known in (name, source) or (repo and _is_from(source, repo)):
                return self._known_toml(known)
        raise ConfigError(
            f"no description of {source} is known",
            hint=f"give a description: a TOML file or one of {', '.join(self.known_names())}",
        )

    def _known_toml(self, name: str) -> Path:
        if name not in self.known_names():
            raise UnknownName("description", name, self.known_names())
        return self.root / "known" / f"{name}.toml"

    def _gather(self, source: str, description: D, folder: Path, fetch: Fetch | None) -> None:
        """Brings `model.onnx`, the files it refers to and those beside it into the folder."""
        local = Path(source)
        if not local.exists():
            fetched(self._url(source, description), folder, fetch)
            return
        copied(_model_in(local) if local.is_dir() else local, folder)
        for name in self.beside:
            if local.is_dir() and (local / name).is_file():
                shutil.copyfile(local / name, folder / name)

    def _url(self, source: str, description: D) -> str:
        if source.startswith("https://") and source.endswith(".onnx"):
            return source.replace("/blob/", "/resolve/", 1)
        if source in self.known_names():
            source = self.known(source).repo
        repo = source.removeprefix(HUB).strip("/")
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


def _is_from(source: str, repo: str) -> bool:
    """Whether a source is that repository or a file of it, however it is written."""
    return f"{source}/".removeprefix(HUB).startswith(f"{repo}/")


def _model_in(folder: Path) -> Path:
    named = folder / MODEL_FILE
    found = [named] if named.is_file() else sorted(folder.glob("*.onnx"))
    if len(found) != 1:
        raise ConfigError(
            f"{folder} has {len(found)} .onnx files", hint="give the one file, not the folder"
        )
    return found[0]
