"""Vectors of the parts of a photo: each is worked out once, the likeliest while the detector still looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

import numpy as np
from PIL import Image

from lensback import images
from lensback.encoders import Encoder
from lensback.types import Box, Vector, Vectors

MOST = 32
"""Parts of one photo whose vectors are remembered: a kilobyte each with 256 numbers."""
PATIENCE_S = 0.01
"""How long what was begun is waited for before the rest is encoded beside it, on fewer threads. On all of
them the rest is done sooner, but not while something else runs."""

T = TypeVar("T")


def begun(name: str, work: Callable[[], T]) -> Future[T]:
    """Begins the work in a thread."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return future


class Parts:
    """A photo and the vectors of parts of it, by encoder. Any number of threads may ask."""

    def __init__(self, picture: Image.Image) -> None:
        self.picture = picture
        self._known: dict[tuple[str, Box], Future[Vector]] = {}

    def begin(self, box: Box, encoder: Encoder) -> None:
        """Begins to encode a part, in a thread of its own."""
        key = encoder.fingerprint, box
        work = begun("part", lambda: self._encoded([box], encoder)[0])
        self._known[key] = work
        # Who asks afterwards tries it again, and is told the error.
        work.add_done_callback(lambda done: done.exception() and self._known.pop(key, None))

    def vectors(
        self, boxes: Sequence[Box], encoder: Encoder, beside: Encoder | None = None
    ) -> Vectors:
        """float32 [n, dim], a row for each box. `beside` is the same encoder on fewer threads: what is not
        known yet is encoded by it where another part is still under way."""
        known = {box: self._known.get((encoder.fingerprint, box)) for box in boxes}
        new = [box for box in boxes if known[box] is None]
        if new:
            idle = all(_soon(one) for one in known.values() if one)
            made = self._encoded(new, encoder if idle or beside is None else beside)
            for box, vector in zip(new, made, strict=True):
                known[box] = self._kept(encoder.fingerprint, box, vector)
        return np.stack([work.result() for box in boxes if (work := known[box])])

    def _encoded(self, boxes: Sequence[Box], encoder: Encoder) -> Vectors:
        return encoder.encode([images.crop(self.picture, box) for box in boxes])

    def _kept(self, fingerprint: str, box: Box, vector: Vector) -> Future[Vector]:
        made: Future[Vector] = Future()
        made.set_result(vector)
        if len(self._known) < MOST:
            self._known[fingerprint, box] = made
        return made


def _soon(work: Future[Vector]) -> bool:
    """Whether it is done within PATIENCE_S."""
    try:
        work.exception(PATIENCE_S)
    except TimeoutError:
        return False
    return True
