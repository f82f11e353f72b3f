"""The server process: binds the port and runs the application, in one process or in several."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors.multiprocess import Multiprocess

from lensback import log
from lensback.errors import ConfigError
from lensback.settings import Settings
from lensback.web import connections
from lensback.web.app import create_app
from lensback.web.meters import SHARED
from lensback.web.together import shared
from lensback.workspace import Workspace, open_workspace

WORKSPACE = "LENSBACK_WORKSPACE"
FACTORY = "lensback.web.server:from_environment"
_OPTIONS: dict[str, Any] = {
    "access_log": False,  # the envelope writes a line that holds no ids of people
    "server_header": False,
    "ws": "none",  # there are none here; a connection that becomes one would be past all limits
    "log_level": "warning",
    "timeout_graceful_shutdown": 10,
}


class _Server(uvicorn.Server):
    """Says once that it was asked to stop; after Ctrl-C its `run` raises KeyboardInterrupt."""

    stopping: Callable[[], object]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            self.stopping()
        super().handle_exit(sig, frame)


class _Workers(Multiprocess):
    """The same for several processes."""

    stopping: Callable[[], object]
    by_hand = False

    def handle_int(self) -> None:
        self.by_hand = True
        self.stopping()
        super().handle_int()

    def handle_term(self) -> None:
        self.stopping()
        super().handle_term()


def serve(
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
        listening(workspace, listener.getsockname()[1])
        limits = _limits(workspace.settings)
        if workers == 1:
            log.setup(_level(workspace.settings))
            server = _Server(uvicorn.Config(create_app(workspace), **_OPTIONS, **limits))
            server.stopping = stopping
            server.run(sockets=[listener])
            return
        workspace.close()  # the settings are good: each worker opens its own
        os.environ[WORKSPACE] = str(path.absolute())
        seconds = workspace.settings.photo_memory_s
        config = uvicorn.Config(FACTORY, factory=True, workers=workers, **_OPTIONS, **limits)
        several = _Workers(config, sockets=[listener])
        several.stopping = stopping
        with TemporaryDirectory(prefix="lensback-counts-") as counts:
            os.environ[SHARED] = counts
            with shared(Path(counts), seconds):
                several.run()
        if several.by_hand:
            raise KeyboardInterrupt


def _level(settings: Settings) -> str:
    """What is logged: a line for each request, unless the settings say another level."""
    return settings.log_level if "log_level" in settings.model_fields_set else "info"


def _limits(settings: Settings) -> dict[str, Any]:
    """How many connections there may be. Nobody's word on where a request came from is believed
    unless the settings name them."""
    trusted = settings.trusted_proxies
    return {
        "proxy_headers": bool(trusted),
        "forwarded_allow_ips": list(trusted),
        "http": connections.protocol(
            settings.max_connections, settings.connections_per_address, trusted
        ),
    }


def from_environment() -> FastAPI:
    """The application of one worker process."""
    workspace = open_workspace(Path(os.environ[WORKSPACE]))
    log.setup(_level(workspace.settings))
    return create_app(workspace)


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
