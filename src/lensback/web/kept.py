"""Photos that the operator keeps (setting `keep_photos_days`): without metadata, and for a while only."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from PIL.Image import Image

from lensback import images, log, tokens
from lensback.durable import make_private_folder, replace_file
from lensback.errors import Error, NotFound
from lensback.ledger.shown import Shown
from lensback.settings import Settings
from lensback.web.memory import Remembered

FOLDER = "photos"
SIDE_PX = 1024
"""Longer side of what is kept."""
QUALITY = 88
_UNDRAWN = re.compile(rb"....ftyp(?!avif|avis)|II\*\x00|MM\x00\*", re.DOTALL)


def keep(
    workspace: Path, settings: Settings, search_id: str, photo: bytes, decode: images.Decode
) -> None:
    """Writes `photos/SEARCH_ID.jpg` anew from the pixels: no EXIF, no place, no thumbnail inside.
    Where that fails the answer is given all the same."""
    if not settings.keep_photos_days:
        return
    try:
        image = bare(photo, settings.max_image_pixels, decode)
        path = workspace / FOLDER / f"{search_id}.jpg"
        make_private_folder(path.parent)
        replace_file(
            path, lambda partial: image.save(partial, "JPEG", quality=QUALITY), private=True
        )
    except (Error, OSError, images.TooDear) as error:
        log.event("photo not kept", 30, type=type(error).__name__)


def mark_of(search_id: str, whose: str) -> str:
    """What a record says of the browser (`web.browser`) whose photo is kept: that browser is known again by
    it, and no two searches are known to be of one."""
    return tokens.digest(f"{search_id} {whose}")


def photo_of(
    workspace: Path, days: int, search_id: str, whose: str, said: Callable[[], Shown]
) -> Remembered | None:
    """The kept photo of a search, for the browser that sent it, as long as photos are kept; `said` tells what
    is recorded of that search."""
    if not days:
        return None
    try:
        record = said()
        first, mark = record.kept
        if not mark or not tokens.same(mark, mark_of(search_id, whose)):
            return None
        photo = (workspace / FOLDER / f"{first}.jpg").read_bytes()
    except (NotFound, OSError):
        return None
    return Remembered(photo, record.region, whose, first)


def bare(photo: bytes, max_pixels: int, decode: images.Decode) -> Image:
    """The pixels of a photo, its longer side at most SIDE_PX, with nothing beside them: no EXIF, no
    comment, no profile. Raises BadImage, TooLarge."""
    return _small(images.decode(photo, side_px=SIDE_PX, max_pixels=max_pixels, by=decode))


def _small(image: Image) -> Image:
    image.thumbnail((SIDE_PX, SIDE_PX))
    image.info.clear()  # a comment would be written again
    return image


def is_drawn(photo: bytes) -> bool:
    """Whether every browser draws a file of this kind, and not only we: HEIC and TIFF are none."""
    return not _UNDRAWN.match(photo)


def jpeg_of(photo: bytes, max_pixels: int, decode: images.Decode) -> bytes:
    """A photo as a browser gets it back: `bare`, as a JPEG. Raises BadImage, TooLarge."""
    return _jpeg(bare(photo, max_pixels, decode))


def jpeg_of_pixels(picture: Image) -> bytes:
    """Decoded pixels as a JPEG, its longer side at most SIDE_PX; the picture itself stays what it is."""
    return _jpeg(_small(picture.copy()))


def _jpeg(image: Image) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=QUALITY)
    return sink.getvalue()


def sweep(workspace: Path, days: int, now: float | None = None) -> int:
    """Removes what is older than that; everything where nothing is to be kept. How many."""
    end = (time.time() if now is None else now) - days * 86_400
    swept = 0
    of_search = f"{'[0-9a-f]' * 16}.jpg"
    photos = (workspace / FOLDER).glob(of_search)
    broken_off = (workspace / FOLDER).glob(f".{of_search}.*.tmp")  # `replace_file` was killed
    for path in (*photos, *broken_off):
        with suppress(OSError):  # another process was quicker
            if path.stat().st_mtime < end:
                path.unlink()
                swept += 1
    return swept
