"""The server process: runs the application on a port that is bound, in one process or in several."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

from lensback.settings import Settings
from lensback.web import connections
from lensback.web.app import create_app
from lensback.web.meters import SHARED
from lensback.web.together import shared
from lensback.web.warming import Warming
from lensback.workspace import Workspace

FACTORY = "lensback.web.starting:from_environment"
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
    workspace: Workspace,
    listener: socket.socket,
    workers: int,
    stopping: Callable[[], object],
    warming: Warming | None,
) -> None:
    """Serves until stopped by a signal; `stopping` is called as soon as one came. Raises KeyboardInterrupt
    after Ctrl-C."""
    limits = _limits(workspace.settings)
    if workers == 1:
        app = create_app(workspace, warming)
        server = _Server(uvicorn.Config(app, **_OPTIONS, **limits))
        server.stopping = stopping
        server.run(sockets=[listener])
        return
    workspace.close()  # the settings are good: each worker opens its own
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
