"""What is seen in a photo: its pixels and regions, found once, and which of them to search."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, MutableMapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from PIL import Image

from lensback import images, log
from lensback.detectors import Detector
from lensback.detectors.boxes import overlap
from lensback.errors import InputError
from lensback.fleeting import Fleeting
from lensback.images.decoding import worth
from lensback.images.workers import QUICK
from lensback.search.parts import Parts
from lensback.types import WHOLE, Box, Region

PHOTOS = 24
"""Photos remembered at once: about a megabyte each."""
AHEAD = 2
"""Photos at once whose codes are begun before they are decoded. Of one that is refused that was for nothing, and so many
such leave no queue behind."""
SAME = 0.5
"""Intersection over union from which a box that was drawn is taken for a region that was found."""
ROUNDED = 1e-3
"""Boxes of an answer are rounded."""
MARGIN = 0.15
"""What a region is widened by before it is encoded."""
CENTRED = 0.35
"""How far from the photo's middle (as a share of its half) prominence falls to 61 %."""


T = TypeVar("T")
Readers = tuple[images.Decode, images.ReadCodes | None, images.ReadTexts | None]
"""What decodes a photo, and what reads its codes and its words, where these are to be read."""


def _nothing_written(_seconds: float) -> tuple[images.TextLine, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Look:
    """One photo: decoded, measured, and its regions, best first, the whole photo last."""

    parts: Parts
    size: tuple[int, int]
    regions: tuple[Region, ...] = ()
    codes: Callable[[], tuple[images.Code, ...]] = tuple
    """Waits for the codes of the photo, which are read beside everything else."""
    texts: Callable[[float], tuple[images.TextLine, ...] | None] = _nothing_written
    """Waits so many seconds for the words of the photo, which are read beside everything else; None where they
    are not there by then."""

    @property
    def picture(self) -> Image.Image:
        """The photo's pixels."""
        return self.parts.picture


class Looks:
    """The last photos that were looked at, in memory only, for `keep_s` seconds.

    The other items of a photo are then searched without decoding it or finding them again.
    """

    def __init__(self, keep_s: float = 0.0) -> None:
        self.keep_s = keep_s
        self._kept: Fleeting[Look] = Fleeting(keep_s, PHOTOS)
        self.ahead = threading.BoundedSemaphore(AHEAD)
        """Places for codes that are begun before their photo is decoded."""
        self.whose = ""

    def of(self, whose: str) -> Looks:
        """What one browser's photos were seen to show, in the memory of all: how long an answer takes
        tells nobody that another one has searched the same photo."""
        own = copy(self)
        own.whose = whose
        return own

    def get(self, key: str, side_px: int) -> Look | None:
        """The look of that key, if its pixels suffice for `side_px`; 0: any do."""
        found = self._kept.get(f"{self.whose} {key}")
        return found if found and _suffices(found, side_px) else None

    def put(self, key: str, look: Look) -> None:
        """Keeps what was seen in a photo for the next searches with it."""
        self._kept.put(f"{self.whose} {key}", look)


def _suffices(look: Look, side_px: int) -> bool:
    """Whether the pixels are those of the whole photo, or as many as are asked for."""
    return look.picture.size == look.size or min(look.picture.size) >= side_px


def look(
    photo: bytes,
    looks: Looks,
    detector: Detector,
    side_px: int,
    limits: tuple[int, int],
    timings: MutableMapping[str, float],
    readers: Readers = (images.decoded, None, None),
    still: Callable[[], object] = lambda: None,
) -> Look:
    """Decodes a photo and finds its regions, or remembers both; its codes and its words begin to be read, once.

    Codes begin beside the decoding where they may (`_begun_ahead`). `limits` are most bytes and most pixels; `still`
    is asked between decoding and regions, and may raise. Raises BadImage, TooLarge.
    """
    decode, codes, texts = readers
    with log.timed("decode", timings):
        # The limits are part of it: what another caller may not have is not remembered for it.
        key = f"{hashlib.sha256(photo).hexdigest()} {detector.fingerprint} {limits}"
        known = looks.get(key, side_px)
        if known is None:
            coarse = looks.get(key, 0)
            early = None if coarse else _begun_ahead(codes, photo, limits, looks.ahead)
            picture, size = images.decode_measured(
                photo, side_px=side_px, max_bytes=limits[0], max_pixels=limits[1], by=decode
            )
    with log.timed("regions", timings):
        if known is None:
            still()
            if coarse:
                read, words = coarse.codes, coarse.texts
            else:
                read = early or _read(codes, photo, limits)
                words = _written(texts, photo, limits)
            known = Look(Parts(picture), size, tuple(in_order(detector.find(picture))), read, words)
            looks.put(key, known)
    return known


def _begun_ahead(
    codes: images.ReadCodes | None,
    photo: bytes,
    limits: tuple[int, int],
    places: threading.BoundedSemaphore,
) -> Callable[[], tuple[images.Code, ...]] | None:
    """What waits for the codes of a photo that is not decoded yet; None where they are not begun so soon: a photo
    that is refused by its header, or is more than the first lane's work, or finds no place."""
    if codes is None or not _light(photo, limits) or not places.acquire(blocking=False):
        return None
    try:
        begun = _begun("codes", lambda: codes(photo, *limits))
    except BaseException:
        places.release()
        raise
    begun.add_done_callback(lambda _: places.release())
    return begun.result


def _light(photo: bytes, limits: tuple[int, int]) -> bool:
    """Whether the lane of most photos takes this one whole, as far as its header tells. In a later lane its codes
    would keep the place in which it is to be decoded."""
    with suppress(InputError):
        weight = worth(photo, None, *limits)
        return weight.width > 0 and QUICK.takes(weight)
    return False


def _read(
    codes: images.ReadCodes | None, photo: bytes, limits: tuple[int, int]
) -> Callable[[], tuple[images.Code, ...]]:
    """What waits for the codes of a photo, which begin to be read."""
    return _begun("codes", lambda: codes(photo, *limits)).result if codes else tuple


def _written(
    texts: images.ReadTexts | None, photo: bytes, limits: tuple[int, int]
) -> Callable[[float], tuple[images.TextLine, ...] | None]:
    """What waits so many seconds for the words of a photo, which begin to be read."""
    return _awaited(_begun("texts", lambda: texts(photo, *limits))) if texts else _nothing_written


def _begun(name: str, work: Callable[[], T]) -> Future[T]:
    """Begins the work in a thread."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _awaited(work: Future[T]) -> Callable[[float], T | None]:
    """What waits so many seconds for the work."""

    def wait(seconds: float) -> T | None:
        try:
            return work.result(seconds)
        except TimeoutError:
            return None

    return wait


def in_order(regions: Sequence[Region]) -> list[Region]:
    """The one that was most likely meant first; the others as the detector ordered them. Where none is
    likely to be a thing at all, the whole photo is first."""
    things = [region for region in regions if region.box != WHOLE and region.likely]
    if not things:
        return sorted(regions, key=lambda region: region.box != WHOLE)
    main = max(things, key=prominence)
    return [main, *(region for region in regions if region is not main)]


def prominence(region: Region) -> float:
    """How likely a region is what the photo was taken for: sure, large, and near the middle.

    score * sqrt(area) * exp(-(distance from the middle / CENTRED)^2 / 2), the distance as a share
    of half the photo.

    >>> small, large = Region((0.4, 0.4, 0.5, 0.5)), Region((0.3, 0.3, 0.7, 0.7))
    >>> prominence(small) < prominence(large)
    True
    """
    x0, y0, x1, y1 = region.box
    away = math.hypot(x0 + x1 - 1, y0 + y1 - 1)
    return region.score * math.sqrt((x1 - x0) * (y1 - y0)) * math.exp(-((away / CENTRED) ** 2) / 8)


def chosen(regions: Sequence[Region], box: Box | None) -> list[Region]:
    """The region to search first, then the others. A box that was given stands before all;
    one that is a region's, as an answer gives it, is that region."""
    if box is None:
        return list(regions)
    same = next((r for r in regions if np.allclose(r.box, box, rtol=0, atol=ROUNDED)), None)
    first = same or Region(box, "given")
    return [first, *(region for region in regions if region is not same)]


def offered(regions: Sequence[Region]) -> list[Region]:
    """What an answer names: the region that was searched, what is likely a thing, the whole photo."""
    return [r for n, r in enumerate(regions) if r.likely or r.box == WHOLE or not n]


def unlikely(regions: Sequence[Region]) -> list[Region]:
    """What the detector does not believe in and nobody chose, the likeliest first."""
    return [region for region in regions[1:] if region.box != WHOLE and not region.likely]


def nothing_in(regions: Sequence[Region], box: Box | None) -> bool:
    """Whether a photo to which nothing on sale is near shows no thing: the detector is sure of none. Who drew
    a box saw one."""
    return box is None and not any(region.likely and region.sure for region in regions)


def withdrawn(regions: Sequence[Region]) -> list[Region]:
    """The whole photo, and nothing else that is offered: where there is nothing to search."""
    whole = [region for region in regions if region.box == WHOLE]
    return [*whole, *(replace(r, likely=False) for r in regions if r.box != WHOLE)]


def searched(region: Region, box: Box | None) -> list[Box]:
    """The boxes whose vectors are searched together: a drawn box as it is; a region with a margin,
    and with it, where nothing was chosen, the whole photo, because a store's picture shows the
    thing on a person as often as not (docs/detectors.md has what both bring)."""
    if region.box == WHOLE or region.label == "given":
        return [region.box]
    return [widened(region.box)] if box else [widened(region.box), WHOLE]


def likeliest(regions: Sequence[Region]) -> list[Box]:
    """The boxes that a search without one compares."""
    return searched(in_order(regions)[0], None)


def widened(box: Box, by: float = MARGIN) -> Box:
    """The box with `by` of its sides more, half of it on each side, cut at the photo's edges.

    >>> widened((0.2, 0.2, 0.4, 1.0), 0.5)
    (0.15, 0.0, 0.45, 1.0)
    """
    x0, y0, x1, y1 = box
    dx, dy = by * (x1 - x0) / 2, by * (y1 - y0) / 2
    left, top, right, bottom = max(0.0, x0 - dx), max(0.0, y0 - dy), min(1.0, x1 + dx), min(1.0, y1 + dy)  # fmt: skip
    return round(left, 5), round(top, 5), round(right, 5), round(bottom, 5)


def named(region: Region, regions: Sequence[Region]) -> Region:
    """A given box with the label of the region that it meets, if it meets one."""
    if region.label != "given":
        return region
    met = max(
        (other for other in regions if other is not region and other.box != WHOLE),
        key=lambda other: overlap(region.box, other.box),
        default=None,
    )
    if met is None or overlap(region.box, met.box) < SAME:
        return region
    return replace(met, box=region.box)
