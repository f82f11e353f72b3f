"""The HTTP face: the API and the shopper's page. Needs the extra `web`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lensback.errors import MissingExtra

if TYPE_CHECKING:
    from fastapi import FastAPI

    from lensback.workspace import Workspace

__all__ = ["create_app", "run"]

_PACKAGES = {
    "fastapi": "fastapi",
    "starlette": "fastapi",
    "python_multipart": "python-multipart",
    "uvicorn": "uvicorn",
}


def create_app(workspace: Workspace) -> FastAPI:
    """The application over an opened workspace. Raises MissingExtra."""
    with _extra():
        from lensback.web.app import create_app as make

        return make(workspace)


def run(workspace_path: Path, host: str = "127.0.0.1", port: int = 8000, workers: int = 1) -> None:
    """Serves until it is stopped. Raises ConfigError (no workspace, port taken), MissingExtra."""
    with _extra():
        from lensback.web.server import serve

        serve(workspace_path, host, port, workers)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        package = (error.name or "").split(".")[0]
        if package not in _PACKAGES:
            raise
        raise MissingExtra(_PACKAGES[package], "web") from error
