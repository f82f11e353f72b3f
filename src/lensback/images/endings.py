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

from lensback.images import interlaced

ENOUGH = 0.5
"""Share of the rows that must be there (of WebP: of the bytes); `interlaced` has a rule of its own."""
MAX_RAW_BYTES = 200_000_000
"""Of a PNG that is unpacked by hand."""

_JPEG_END = b"\xff\xd9"
_KEPT = (b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"eXIf")
_MAX_PROFILE_BYTES = 1 << 20
"""Of a PNG; with a larger one Pillow reads nothing."""
_LOOK_PX = 64
"""Shorter side at which two endings of a JPEG are compared."""
_UNLIKE = 3
"""Difference, of 255, from which a row depends on the ending."""


def ended(data: bytes) -> bytes | None:
    """The file with an end put to it, its lost rows grey (or clear); None where too little is
    there, or nobody would show it. `data` could be opened, but not read to its last pixel."""
    if data.startswith(b"BM"):
        return _bmp(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(interlaced.SIGNATURE):
        return _png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data[4:12] == b"ftypavis":
        return _avif(data)
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
            others += interlaced.chunk(name, body)
    if len(head) != 13:
        return None
    if (found := _rows(head, packed)) is None:
        return None
    head, raw = found
    body = interlaced.chunk(b"IHDR", head) + others
    pixels = interlaced.chunk(b"IDAT", zlib.compress(raw, 0))
    return interlaced.SIGNATURE + body + pixels + interlaced.chunk(b"IEND", b"")


def _rows(head: bytes, packed: bytes) -> tuple[bytes, bytes] | None:
    """Header and unpacked rows of a PNG, filled up; None where too little is there."""
    width, height, depth, kind, *_, mixed = struct.unpack(">IIBBBBB", head)
    if kind not in interlaced.CHANNELS:
        return None
    bits = depth * interlaced.CHANNELS[kind]
    row = 1 + (width * bits + 7) // 8
    size = interlaced.raw_bytes(width, height, bits) if mixed else row * height
    if size > MAX_RAW_BYTES:
        return None
    raw = _unpacked(packed, size)
    if mixed:
        return interlaced.whole_png(head, raw)
    rows = len(raw) // row
    if rows < ENOUGH * height:
        return None
    lost = b"\0" + (b"\x80" if kind in (0, 2) else b"\0") * (row - 1)
    return head, raw[: rows * row] + lost * (height - rows)


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


def _webp(data: bytes) -> bytes | None:
    """Of an animation the first frame. Of a still one zeros to the length that it states, and as many again: the
    decoder draws something flat for them, and needs more of them than there were bytes."""
    size = int.from_bytes(data[4:8], "little") + 8
    at, end = 12, 12
    while end <= len(data):  # to the chunk that is cut
        at, end = end, end + 8 + (int.from_bytes(data[end + 4 : end + 8], "little") + 1) // 2 * 2
        if data[at : at + 4] == b"ANMF" and end <= len(data):
            return b"RIFF" + (end - 8).to_bytes(4, "little") + data[8:end]
    if not ENOUGH * size <= len(data) < size or size > MAX_RAW_BYTES:
        return None
    if data[at : at + 4] not in (b"VP8 ", b"VP8L"):
        return data + bytes(size - len(data))
    longer = bytearray(data + bytes(size - len(data) + size + size % 2))
    longer[4:8] = (len(longer) - 8).to_bytes(4, "little")
    longer[at + 4 : at + 8] = (len(longer) - at - 8).to_bytes(4, "little")
    return bytes(longer)


def _avif(data: bytes) -> bytes | None:
    """Of an animation the still picture that it is, too (ISO/IEC 23000-22: `meta` names the first frame):
    the track is taken out of sight, and the last box ends where the file does."""
    still, at, found = bytearray(data), 0, False
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        found |= name == b"meta" and at + size <= len(data)
        if name == b"ftyp":
            still[at : at + size] = data[at : at + size].replace(b"avis", b"avif")
        elif name == b"moov":
            still[at + 4 : at + 8] = b"free"
        if size < 8 or at + size > len(data):
            still[at : at + 4] = (len(data) - at).to_bytes(4, "big")
            break
        at += size
    return bytes(still) if found else None


def _bmp(data: bytes) -> bytes | None:
    """Of one that is not compressed: grey for the rows that are lost, the upper ones as a rule."""
    begin, _, width, height, _, bits, packing = struct.unpack("<IIiiHHI", data[10:34])
    row = (abs(width) * bits + 31) // 32 * 4
    size = begin + row * abs(height)
    if packing not in (0, 3) or size > MAX_RAW_BYTES:
        return None
    there = (len(data) - begin) // row
    lost = (b"\x80" if bits > 8 else b"\0") * (size - len(data))
    return data + lost if there >= ENOUGH * abs(height) else None


def _gif(data: bytes) -> bytes | None:
    """The first frame, written anew, filled with the palette's first colour; rows of nothing else at the end
    count as lost."""
    found = _gif_frame(data)
    if found is None:
        return None
    at, missing = found
    width, height, flags = struct.unpack("<HHB", data[at + 5 : at + 10])
    begin = at + 10 + _colours(flags)
    blocks = width * height * 3 // 2 // 255 + 2  # codes have twelve bits at most
    if not width * height or blocks * 256 > MAX_RAW_BYTES:
        return None
    codes = data[begin:] + bytes(missing) + (b"\xff" + bytes(255)) * blocks + b"\0;"
    rows = _gif_pixels(width, height, flags & 0x40, codes)
    order = interlaced.gif_rows(height) if flags & 0x40 else np.arange(height)
    seen = np.flatnonzero(rows[order].any(axis=1))
    there = int(seen[-1]) + 1 if len(seen) else 0
    if flags & 0x40:
        filled = interlaced.whole_gif(rows, there)
    else:
        filled = rows if there >= ENOUGH * height else None
    if filled is None:
        return None
    head = data[: at + 9] + bytes([flags & ~0x40]) + data[at + 10 : begin]
    return head + _gif_codes(filled) + b";"


def _gif_pixels(width: int, height: int, mixed: int, codes: bytes) -> NDArray[np.uint8]:
    """The numbers of the colours of a frame, [height, width]. In a palette of greys each is its own colour."""
    greys = np.arange(256, dtype=np.uint8).repeat(3).tobytes()
    head = struct.pack("<6sHHBBB", b"GIF89a", width, height, 0xF7, 0, 0) + greys
    frame = struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, mixed)
    return np.asarray(Image.open(io.BytesIO(head + frame + codes), formats=("GIF",)))


def _gif_codes(rows: NDArray[np.uint8]) -> bytes:
    """Rows in the code of a GIF, not compressed: numbers of nine bits, and a new beginning before each 254."""
    run, pixels = 254, rows.ravel()
    padded = np.concatenate([pixels, np.zeros(-len(pixels) % run, np.uint8)]).reshape(-1, run)
    numbers = np.full((len(padded), run + 1), 256, np.uint16)
    numbers[:, 1:] = padded
    listed = np.append(numbers.ravel()[: len(pixels) + len(padded)], np.uint16(257)).astype("<u2")
    bits = np.unpackbits(listed.view(np.uint8).reshape(-1, 2), axis=1, bitorder="little")[:, :9]
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    parts = (packed[i : i + 255] for i in range(0, len(packed), 255))
    return b"\x08" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def _gif_frame(data: bytes) -> tuple[int, int] | None:
    """Where the first frame begins, and how many bytes its last block lacks; None where the cut is elsewhere."""
    at = 13 + _colours(data[10])
    while data[at] == 0x21:  # extensions before the frame
        at = _past_blocks(data, at + 2)
    if data[at] != 0x2C:
        return None
    end = _past_blocks(data, at + 10 + _colours(data[at + 9]) + 1)
    return (at, end - len(data)) if end > len(data) else None


def _colours(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _past_blocks(data: bytes, at: int) -> int:
    """Where the blocks end that begin here; beyond the data where it ends inside of one."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
