"""Content-addressed pictures on disk: verified, kept by the hash of their bytes, made small."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from lensback.errors import BadQuery, Error, NotFound
from lensback.images.decoding import (
    HERE,
    MAX_BYTES,
    MAX_PIXELS,
    Decoder,
    decode,
    inspected,
)
from lensback.types import ImageInfo

_DIGEST = re.compile("[0-9a-f]{64}")


class ImageStore:
    """Pictures on disk by the SHA-256 of their bytes: `root/ab/cd/<hash>`.

    Whole or not there: written aside in `root/tmp` and renamed. Any number of threads and
    processes may write at once. A kill leaves at worst a file in `tmp`, which `sweep` removes.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int = MAX_BYTES,
        max_pixels: int = MAX_PIXELS,
        by: Decoder = HERE,
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._by = by

    def put(self, data: bytes) -> ImageInfo:
        """Verifies and keeps the picture. Idempotent. Raises BadImage, TooLarge."""
        limits = {"max_bytes": self._max_bytes, "max_pixels": self._max_pixels}
        info = inspected(data, **limits, by=self._by)
        path = self._path(info.hash)
        if not (path.is_file() and path.stat().st_size == len(data)):
            self._write(path, data)
        return info

    def has(self, digest: str) -> bool:
        """Whether a picture with this SHA-256 (hex) is kept."""
        return _is_digest(digest) and self._path(digest).is_file()

    def whole(self, digest: str, size: int) -> bool:
        """Whether a picture of so many bytes is kept; its content is not looked at."""
        try:
            return os.stat(self._name(digest)).st_size == size  # noqa: PTH116 - thousands at a time
        except (FileNotFoundError, NotADirectoryError):
            return False

    def read(self, digest: str) -> bytes:
        """The bytes as they were put. Raises NotFound; bytes that are no longer those of the
        hash (a damaged disk) are dropped and count as not found."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise _missing(digest) from None
        if hashlib.sha256(data).hexdigest() != digest:
            self.drop(digest)
            raise _missing(digest)
        return data

    def open(self, digest: str, side_px: int | None = None) -> Image.Image:
        """The decoded picture, see `decode`."""
        data = self.read(digest)
        limits = {"max_bytes": self._max_bytes, "max_pixels": self._max_pixels}
        return decode(data, side_px=side_px, **limits, by=self._by)

    def open_many(
        self, digests: Sequence[str], side_px: int | None = None
    ) -> list[Image.Image | Error]:
        """The decoded pictures, see `decode`, handed over together where they are decoded elsewhere; in
        place of each that is not there or cannot be decoded, why."""
        found: dict[str, Image.Image | Error] = {}
        datas: dict[str, bytes] = {}
        for digest in digests:
            try:
                datas[digest] = self.read(digest)
            except NotFound as error:
                found[digest] = error
        made = self._by.many(list(datas.values()), side_px, self._max_bytes, self._max_pixels)
        for digest, one in zip(datas, made, strict=True):
            found[digest] = one if isinstance(one, Error) else one[0]
        return [found[digest] for digest in digests]

    def thumbnail(self, digest: str, side_px: int = 320) -> bytes:
        """A JPEG whose longer side is at most `side_px` (16 to 2048), kept on disk once made."""
        if not 16 <= side_px <= 2048:
            raise BadQuery(f"thumbnail of {side_px} px", hint="ask for 16 to 2048 pixels")
        path = self._path(digest, f"thumbnails/{side_px}").with_suffix(".jpg")
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        image = self.open(digest, side_px)
        image.thumbnail((side_px, side_px), Image.Resampling.BICUBIC, reducing_gap=2)
        sink = io.BytesIO()
        image.save(sink, "JPEG", quality=82, optimize=True)
        with contextlib.suppress(OSError):  # a full disk: it is made anew the next time
            self._write(path, sink.getvalue())
        return sink.getvalue()

    def drop(self, digest: str) -> None:
        """Forgets the picture and its thumbnails; an unknown one is fine."""
        if not _is_digest(digest):
            return
        self._path(digest).unlink(missing_ok=True)
        for folder in self._root.glob("thumbnails/*"):
            path = self._path(digest, f"thumbnails/{folder.name}").with_suffix(".jpg")
            path.unlink(missing_ok=True)

    def sweep(self, older_s: float = 3600) -> int:
        """Removes what killed writers left behind longer ago than `older_s`; says how many."""
        removed = 0
        for path in self._root.glob("tmp/*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - older_s:
                    path.unlink()
                    removed += 1
        return removed

    def _path(self, digest: str, folder: str = "") -> Path:
        return Path(self._name(digest, folder))

    def _name(self, digest: str, folder: str = "") -> str:
        if not _is_digest(digest):
            raise _missing(digest)
        # One text: it is asked for thousands at a time.
        return f"{self._root}/{folder and folder + '/'}{digest[:2]}/{digest[2:4]}/{digest}"

    def _write(self, path: Path, data: bytes) -> None:
        part = self._root / "tmp" / secrets.token_hex(16)
        for folder in (part.parent, path.parent):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def _missing(digest: str) -> NotFound:
    return NotFound(f"no image {digest[:64]!r}", hint="run `lensback sync` to fetch it again")
