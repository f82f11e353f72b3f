"""Files written whole or not at all, and a quiet server for a folder of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lensback.durable import replace_file


def write_whole(path: Path, data: bytes) -> None:
    """Writes so that a reader, or a run after a crash, sees all of it or nothing.

    A file that has these bytes already is left alone, and keeps its time.
    """
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda half: half.write_bytes(data))


@contextmanager
def serve_folder(folder: Path, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serves the files below `folder` while the block runs; gives the base URL, without a slash at its end.

    Port 0 takes a free one. Folders are not listed. Raises OSError where the port is taken.
    """
    server = _Server((host, port), partial(_Files, directory=str(folder)))
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # the usual 5 makes a burst of clients wait whole seconds

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Files(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name is http.server's)
        """The caller shows its own progress."""

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        del path  # what is in a folder is not told
        self.send_error(404)
