"""The server process: binds the port and runs the application, in one process or in several."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from lensback import log
from lensback.errors import ConfigError
from lensback.settings import Settings
from lensback.web import connections
from lensback.web.app import create_app
from lensback.workspace import open_workspace

WORKSPACE = "LENSBACK_WORKSPACE"
FACTORY = "lensback.web.server:from_environment"
_OPTIONS: dict[str, Any] = {
    "access_log": False,  # the envelope writes a line that holds no ids of people
    "server_header": False,
    "ws": "none",  # there are none here; a connection that becomes one would be past all limits
    "log_level": "warning",
    "timeout_graceful_shutdown": 10,
}


def serve(path: Path, host: str, port: int, workers: int) -> None:
    """Serves until stopped by a signal. Raises ConfigError where there is nothing to serve."""
    with open_workspace(path) as workspace, _bound(host, port) as listener:
        if workers == 1:
            log.setup(_level(workspace.settings))
            app = create_app(workspace)
            limits = _limits(workspace.settings)
            uvicorn.Server(uvicorn.Config(app, **_OPTIONS, **limits)).run(sockets=[listener])
            return
        limits = _limits(workspace.settings)
    # The port was free and the settings are good: each worker opens its own.
    os.environ[WORKSPACE] = str(path.absolute())
    uvicorn.run(FACTORY, factory=True, host=host, port=port, workers=workers, **_OPTIONS, **limits)


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
