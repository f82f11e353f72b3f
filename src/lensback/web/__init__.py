"""The HTTP face: the API and the shopper's page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from lensback.workspace import Workspace

__all__ = ["create_app", "run"]


def create_app(workspace: Workspace) -> FastAPI:
    """The application over an opened workspace."""
    from lensback.web.app import create_app as make

    return make(workspace)


def run(
    workspace_path: Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    listening: Callable[[Workspace, int], object] = lambda _workspace, _port: None,
    stopping: Callable[[], object] = lambda: None,
) -> None:
    """Serves until it is stopped. `listening` is called with the opened workspace and the port once
    that is ours, `stopping` when a signal has asked for the end, while requests under way are still
    answered. Raises ConfigError (no workspace, port taken), and KeyboardInterrupt after Ctrl-C."""
    from lensback.web.starting import start

    start(workspace_path, host, port, workers, listening, stopping)
