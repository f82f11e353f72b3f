"""What the first photo needs, opened beside all else that a start does."""

from __future__ import annotations

import io
import threading

from PIL import Image

from lensback import log
from lensback.errors import Error
from lensback.search import Query, search
from lensback.workspace import Workspace


class Warming(threading.Thread):
    """Opens everything by one search of a blank picture, so that the first shopper does not wait for models
    to load. Begun before the application is imported, which takes as long; what came of it is logged
    when the service says that it may.

    Of what is imported meanwhile it shares no library: two threads that import parts of one package may each
    wait for what the other has half of."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(name="warm-up", daemon=True)
        self._workspace = workspace
        self._may_tell = threading.Event()
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


def _search_a_blank(workspace: Workspace) -> None:
    blank = io.BytesIO()
    Image.new("RGB", (64, 64), "gray").save(blank, "JPEG")
    search(blank.getvalue(), Query(limit=1), workspace.tools())
