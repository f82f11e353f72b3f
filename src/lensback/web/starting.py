"""The start of a server process: what a search needs is opened while the application is imported, which
takes as long. Nothing heavy is imported at the top."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lensback import log
from lensback.errors import ConfigError, StateError
from lensback.images import shared
from lensback.settings import Settings
from lensback.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from fastapi import FastAPI

    from lensback.web.warming import Warming

WORKSPACE = "LENSBACK_WORKSPACE"


def start(
    path: Path,
    host: str,
    port: int,
    workers: int,
    listening: Callable[[Workspace, int], object],
    stopping: Callable[[], object],
) -> None:
    """Serves until stopped by a signal. `listening` is called with the workspace and the port once that
    is bound: what is said before would be untrue where it is taken. `stopping` is called as soon as a
    signal came. Raises ConfigError where there is nothing to serve, KeyboardInterrupt after Ctrl-C."""
    with open_workspace(path) as workspace, _bound(host, port) as listener:
        warming = _begun(workspace) if workers == 1 else None  # each of several opens its own
        try:
            with _to_stay():
                from lensback.web.server import serve
            listening(workspace, listener.getsockname()[1])
            if workers == 1:
                log.setup(_level(workspace.settings))
            else:
                os.environ[WORKSPACE] = str(path.absolute())
            serve(workspace, listener, workers, stopping, warming)
        finally:
            if warming:
                warming.end()


def from_environment() -> FastAPI:
    """The application of one worker process."""
    workspace = open_workspace(Path(os.environ[WORKSPACE]))
    warming = _begun(workspace)
    with _to_stay():
        from lensback.web.app import create_app
    log.setup(_level(workspace.settings))
    return create_app(workspace, warming)


def _begun(workspace: Workspace) -> Warming:
    """The processes that decode start first: they take as long as what a search is made of."""
    with suppress(StateError):  # no room for them now: whose photo it is hears of it
        shared().begin(codes=workspace.settings.codes)
    with _to_stay():
        from lensback.web.warming import Warming
    return Warming(workspace)


@contextmanager
def _to_stay() -> Iterator[None]:
    """Around imports: what they make stays, and is never looked through for circles of dead objects."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _level(settings: Settings) -> str:
    """What is logged: a line for each request, unless the settings say another level."""
    return settings.log_level if "log_level" in settings.model_fields_set else "info"


def _bound(host: str, port: int) -> socket.socket:
    """The listening socket, bound before anything slow happens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"cannot listen on {host}:{port}: {reason}", hint="choose another --host or --port"
        ) from error
