"""Pictures without their end: an interrupted upload, a tool that forgot the last bytes.

Browsers show what is there, and so do we, if that is at least half of it: a smaller part says too
little of the thing. What browsers do not show (AVIF, HEIC, TIFF cut short) stays refused.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ENOUGH = 0.5
"""Share of the rows that must be there (of WebP: of the bytes)."""
MAX_RAW_BYTES = 200_000_000
"""Of a PNG that is unpacked by hand."""

_JPEG_END = b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"eXIf")
_MAX_PROFILE_BYTES = 1 << 20
"""Of a PNG; with a larger one Pillow reads nothing."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_LOOK_PX = 64
"""Shorter side at which two endings of a JPEG are compared."""
_UNLIKE = 3
"""Difference, of 255, from which a row depends on the ending."""


def ended(data: bytes) -> bytes | None:
    """The file with an end put to it, its lost rows grey (or clear); None where too little is
    there, or nobody would show it. `data` could be opened, but not read to its last pixel."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    return _gif(data) if data.startswith(b"GIF8") else None


def _jpeg(data: bytes) -> bytes | None:
    segments = list(_segments(data))
    if segments and segments[-1].end > len(data):  # cut inside of a table, not of the pixels
        data = data[: segments.pop().begin]
    # First and last frequency of each scan that has begun: 0 and 63 where it is not progressive.
    scans = [(s.body[-3], s.body[-2]) for s in segments if s.marker == 0xDA and len(s.body) > 3]
    if not scans:
        return None
    whole = data.removesuffix(b"\xff") + _JPEG_END
    if scans[0] == (0, 0):
        # The last scan is the one that is cut. Before it, a rough view of the whole must be there.
        return whole if any(first for first, _ in scans[:-1]) else None
    # The decoder invents what is missing from the ending: rows that look alike under two different
    # endings are really there.
    noise = hashlib.shake_128(b"noise").digest(4096).replace(b"\xff", b"\x55")
    one, other = _looked(whole), _looked(data.removesuffix(b"\xff") + noise + _JPEG_END)
    unlike = np.abs(one - other).max(axis=(1, 2)) > _UNLIKE
    there = int(unlike.argmax()) if unlike.any() else len(unlike)
    return whole if there >= ENOUGH * len(unlike) else None


@dataclass(frozen=True, slots=True)
class _Segment:
    marker: int
    begin: int
    end: int
    """May lie beyond the data."""
    body: bytes


def _segments(data: bytes) -> Iterator[_Segment]:
    """The marked segments of a JPEG, those among its pixels too."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 2 <= len(data):
        marker = data[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD9:
            at += 1 if marker == 0xFF else 2
            continue
        size = max(2, int.from_bytes(data[at + 2 : at + 4].ljust(2, b"\xff"), "big"))
        yield _Segment(marker, at, at + 2 + size, data[at + 4 : at + 2 + size])
        at += 2 + size


def _looked(data: bytes) -> NDArray[np.int16]:
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    image.draft(None, (_LOOK_PX, _LOOK_PX))
    return np.asarray(image.convert("RGB"), np.int16)


def _png(data: bytes) -> bytes | None:
    """Unpacked as far as it goes, filled up, and packed again without compression."""
    head, others, packed = b"", b"", b""
    for name, body in _chunks(data):
        if name == b"IHDR":
            head = body
        elif name == b"IDAT":
            packed += body
        elif name in _KEPT and not packed and not (name == b"iCCP" and _swells(body)):
            others += _chunk(name, body)
    if len(head) != 13:
        return None
    width, height, depth, kind, *_, interlaced = struct.unpack(">IIBBBBB", head)
    row = 1 + (width * depth * _CHANNELS.get(kind, 4) + 7) // 8
    if interlaced or row * height > MAX_RAW_BYTES:
        return None
    raw = _unpacked(packed, row * height)
    rows = len(raw) // row
    if rows < ENOUGH * height:
        return None
    lost = b"\0" + (b"\x80" if kind in (0, 2) else b"\0") * (row - 1)
    raw = raw[: rows * row] + lost * (height - rows)
    pixels = _chunk(b"IDAT", zlib.compress(raw, 0))
    return _PNG + _chunk(b"IHDR", head) + others + pixels + _chunk(b"IEND", b"")


def _swells(profile: bytes) -> bool:
    """Whether a compressed profile is larger than any that is of use."""
    packed = profile.partition(b"\0")[2][1:]
    return len(_unpacked(packed, _MAX_PROFILE_BYTES)) >= _MAX_PROFILE_BYTES


def _unpacked(packed: bytes, limit: int) -> bytes:
    """What zlib gives before the end or the first damage."""
    stream, raw = zlib.decompressobj(), bytearray()
    for at in range(0, len(packed), 1024):
        try:
            raw += stream.decompress(packed[at : at + 1024], max(1, limit - len(raw)))
        except zlib.error:
            break
        if len(raw) >= limit:
            break
    return bytes(raw[:limit])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += size + 12


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _webp(data: bytes) -> bytes | None:
    """Zeros to the length that it states, and as many again: the decoder draws something flat for
    them, and needs more of them than there were bytes."""
    size = int.from_bytes(data[4:8], "little") + 8
    if not ENOUGH * size <= len(data) < size or size > MAX_RAW_BYTES:
        return None
    at, end = 12, 12
    while end <= len(data):  # to the chunk that is cut
        at, end = end, end + 8 + (int.from_bytes(data[end + 4 : end + 8], "little") + 1) // 2 * 2
    if data[at : at + 4] not in (b"VP8 ", b"VP8L"):
        return data + bytes(size - len(data))
    longer = bytearray(data + bytes(size - len(data) + size + size % 2))
    longer[4:8] = (len(longer) - 8).to_bytes(4, "little")
    longer[at + 4 : at + 8] = (len(longer) - at - 8).to_bytes(4, "little")
    return bytes(longer)


def _gif(data: bytes) -> bytes | None:
    """The first frame, filled with the palette's first colour; a row of nothing else counts as lost."""
    missing = _gif_missing(data)
    if missing is None:
        return None
    width, height = struct.unpack("<HH", data[6:10])
    blocks = width * height * 3 // 2 // 255 + 2  # codes have twelve bits at most
    if blocks * 256 > MAX_RAW_BYTES:
        return None
    whole = data + bytes(missing) + (b"\xff" + bytes(255)) * blocks + b"\0;"
    image = Image.open(io.BytesIO(whole), formats=("GIF",))
    there = (np.asarray(image) != 0).reshape(image.height, -1).any(axis=1)
    return whole if there.mean() >= ENOUGH else None


def _gif_missing(data: bytes) -> int | None:
    """How many bytes the last block of the first frame lacks; None where the cut is elsewhere."""
    at = 13 + _colours(data[10])
    while data[at] == 0x21:  # extensions before the frame
        at = _past_blocks(data, at + 2)
    if data[at] != 0x2C or data[at + 9] & 0x40:  # rows of an interlaced one are lost all over
        return None
    end = _past_blocks(data, at + 10 + _colours(data[at + 9]) + 1)
    return end - len(data) if end > len(data) else None


def _colours(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _past_blocks(data: bytes, at: int) -> int:
    """Where the blocks end that begin here; beyond the data where it ends inside of one."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
