"""What the first photo needs, opened beside all else that a start does."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

from PIL import Image

from lensback import indexes, log
from lensback.db import import_driver
from lensback.errors import Error
from lensback.search import Query, search
from lensback.session.compiled import PREFIX
from lensback.workspace import Workspace


class Warming(threading.Thread):
    """Opens everything by one search of a blank picture, so that the first shopper does not wait for models
    to load. Begun before the application is imported, which takes as long; what came of it is logged
    when the service says that it may."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(name="warm-up", daemon=True)
        self._workspace = workspace
        self._may_tell = threading.Event()
        _imported(workspace)
        self.start()

    def run(self) -> None:
        """The search, and a line of what came of it."""
        try:
            _search_a_blank(self._workspace)
        except Error as error:
            told = {"type": type(error).__name__, "message": error.message}
            self._may_tell.wait()
            log.event("not ready", **told)
        else:
            self._may_tell.wait()
            log.event("warm")

    def tell(self) -> None:
        """Allows what came of the search to be logged."""
        self._may_tell.set()

    def end(self) -> None:
        """Waits until the search has ended: what it opened may be closed then."""
        self.tell()
        self.join()


def _imported(workspace: Workspace) -> None:
    """Imports what the search needs, in the thread that imports the application, too.

    Threads that import parts of one library at once may each wait for what the other has half of. And while one
    thread makes a class of two abstract parents, as pyarrow does, another one that asks what is a `Mapping`, as
    FastAPI does, may be told that `str` is one, for good: between two steps of its making such a class answers for
    its first parent (CPython 3.11 to 3.14, `ABCMeta.__new__`).
    """
    Image.preinit()
    import_driver(workspace.db_url)
    for name in _needed(workspace):
        with suppress(ImportError):  # who needs it says what is missing
            import_module(name)


def _needed(workspace: Workspace) -> Iterator[str]:
    """Names of modules. What is left out is imported by whoever needs it: our own rooms make no such classes."""
    s = workspace.settings
    for kind, name in (("encoders", s.encoder), ("detectors", s.detector)):
        by = "openvino" if name.startswith(PREFIX) else "onnx"
        yield from (
            f"lensback.{kind}.shelf",
            f"lensback.{kind}.{by}",
            by.replace("onnx", "onnxruntime"),
        )
    yield from indexes.imports(s.index)


def _search_a_blank(workspace: Workspace) -> None:
    blank = io.BytesIO()
    Image.new("RGB", (64, 64), "gray").save(blank, "JPEG")
    search(blank.getvalue(), Query(limit=1), workspace.tools())
