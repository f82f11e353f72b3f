"""Pictures that cost more than they weigh, made here byte by byte; and honest ones beside them.

JPEG: ITU-T T.81, annex B (segments) and G (progressive scans); PNG: W3C PNG, third edition, 5 and 11;
TIFF 6.0, section 2; GIF89a; ISO/IEC 14496-12 (boxes) and 23008-12 (`ispe`).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pillow_heif
from PIL import Image

Make = Callable[[], bytes]


def segment(kind: int, body: bytes = b"") -> bytes:
    return b"\xff" + bytes([kind]) + struct.pack(">H", len(body) + 2) + body


def jpeg(scans: int, side: int, *, kind: int = 0xC2, parts: int = 1, before: bytes = b"") -> bytes:
    """Scans that hold nothing: an end-of-band run over all blocks (progressive), or no data."""
    tables = segment(0xDB, b"\0" + bytes([1] * 64))
    for table, value in ((b"\x00", b"\0"), (b"\x10", b"\xe0")):
        tables += segment(0xC4, table + bytes([1] + [0] * 15) + value)
    each = b"".join(bytes([n + 1, 0x11, 0]) for n in range(parts))
    frame = segment(kind, struct.pack(">BHHB", 8, side, side, parts) + each)
    progressive = kind in (0xC2, 0xCA)
    first = segment(0xDA, bytes([1, 1, 0, 0, 0 if progressive else 63, 0]))
    blocks = ((side + 7) // 8) ** 2
    one = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) if progressive else first
    bits = ("0" + "1" * 14) * -(-blocks // 32767)
    bits += "1" * (-len(bits) % 8)
    run = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    data = b"\0" * (-(-blocks // 8))
    return b"\xff\xd8" + before + tables + frame + first + data + (one + run) * scans + b"\xff\xd9"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    side: int, colour: int, depth: int, *, interlaced: int = 0, extra: bytes = b"", flood: int = 0
) -> bytes:
    """A black square; `flood`: bytes that its data unpack to beyond the picture."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    size = side * (1 + -(-side * channels * depth // 8)) + (64 << 10 if interlaced else 0) + flood
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(-(-size // (1 << 20))))
    head = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, interlaced)
    pixels = chunk(b"IDAT", data + packer.flush())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + pixels + chunk(b"IEND", b"")


def saved(size: tuple[int, int], kind: str, seed: int = 0, **options: object) -> bytes:
    """An honest picture: soft noise, so that it weighs what a photo does."""
    pillow_heif.register_heif_opener()
    noise = np.random.default_rng(seed).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(
        b := io.BytesIO(), kind, **options
    )  # type: ignore[arg-type]
    return b.getvalue()


def animation(kind: str, frames: int, side: int = 64) -> bytes:
    rows = [Image.new("RGB", (side, side), (n % 256, n // 256, 7)) for n in range(frames)]
    rows[0].save(b := io.BytesIO(), kind, save_all=True, append_images=rows[1:])
    return b.getvalue()


def gif_of_comments(size: int) -> bytes:
    """Comment blocks of one byte: what joins them one by one copies all of them each time."""
    head = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0x80, 0, 0) + bytes(6)
    return (
        head + b"\x21\xfe" + b"\xff" + b"c" * 255 + (b"\xff" + b"c" * 255) * (size // 256) + b"\0"
    )


def webp_of_a_canvas(side: int) -> bytes:
    """An animation (RIFF container, ANMF) of one small frame on a canvas of this side."""
    still = saved((16, 16), "WEBP", lossless=True)[12:]
    corner, sides = bytes(6), (15).to_bytes(3, "little") * 2
    canvas = b"\x02\0\0\0" + (side - 1).to_bytes(3, "little") * 2
    parts = ((b"VP8X", canvas), (b"ANIM", bytes(6)), (b"ANMF", corner + sides + bytes(4) + still))
    body = b"WEBP" + b"".join(
        k + struct.pack("<I", len(b)) + b + bytes(len(b) % 2) for k, b in parts
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif_beyond_its_screen(side: int) -> bytes:
    """A frame larger than what the header of the file announces."""
    Image.new("P", (side, side)).save(b := io.BytesIO(), "GIF")
    data = bytearray(b.getvalue())
    data[6:10] = struct.pack("<HH", 16, 16)
    return bytes(data)


def tiff_of_strips(strips: int) -> bytes:
    """A directory whose lists of strips are longer than the picture."""
    tags = [(256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, strips, 200), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, strips, 200)]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 8) + body + b"\0" * 4 + struct.pack("<I", 1) * (strips + 64)


def tiff_in_a_circle() -> bytes:
    """A directory that names itself as the next."""
    entry = struct.pack("<HHII", 256, 3, 1, 64)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + struct.pack("<I", 8)


def heic_that_lies(side: int) -> bytes:
    """A small HEIC whose header announces another size."""
    data = bytearray(saved((64, 64), "HEIF"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", side, side)
    return bytes(data)


REFUSED: dict[str, Make] = {
    "3000 empty scans": lambda: jpeg(3000, 4000),
    "scans without data": lambda: jpeg(9000, 800, kind=0xC0, parts=3),
    "arithmetic scans": lambda: jpeg(500, 4000, kind=0xCA),
    "scans of 49 MP": lambda: jpeg(60, 7000),
    "segments": lambda: jpeg(0, 64, before=segment(0xE1) * 400_000),
    "fill bytes": lambda: b"\xff\xd8" + b"\xff" * (8 << 20) + b"\0",
    "fill bytes between segments": lambda: b"\xff\xd8" + segment(0xFE, b"x") + b"\xff" * (1 << 20),
    "fill bytes after a frame": lambda: jpeg(0, 64, kind=0xC0, parts=3)[:-30] + segment(0xFE) + b"\xff\xd0" * (4 << 20),
    "HEIC of sizes": lambda: b"\0\0\0\x1cftypheic" + bytes(16) + struct.pack(">I4sIII", 20, b"ispe", 0, 64, 64) * 50_000,
    "PNG of 16 bits": lambda: png(7000, 6, 16),
    "PNG of a million chunks": lambda: png(64, 0, 8, extra=chunk(b"teXt", b"") * 400_000),
    "PNG of profiles": lambda: png(64, 0, 8, extra=3000 * chunk(b"iCCP", b"c\0\0" + zlib.compress(bytes(1_000_000), 9))),
    "GIF of comments": lambda: gif_of_comments(8 << 20),
    "TIFF of strips": lambda: tiff_of_strips(1_000_000),
    "TIFF in a circle": tiff_in_a_circle,
    "WebP of a large canvas": lambda: webp_of_a_canvas(7000),
    "GIF larger than its screen": lambda: gif_beyond_its_screen(7000),
    "HEIC that lies": lambda: heic_that_lies(60_000),
    "AVIF of 49 MP": lambda: b"\0\0\0\x1cftypavif" + bytes(16) + struct.pack(">I4sIII", 20, b"ispe", 0, 7000, 7000),
    "AVIF cut off": lambda: saved((800, 600), "AVIF")[:9000],
    "PNG cut off": lambda: saved((800, 600), "PNG")[:9000],
}  # fmt: skip
"""Never a picture, whoever decodes."""
DEAR: dict[str, Make] = {
    "PNG interlaced of 49 MP": lambda: png(7000, 0, 8, interlaced=1),
    "PNG whose data go on": lambda: png(100, 0, 8, flood=400 << 20),
    "segments before a scan": lambda: (
        jpeg(0, 64, kind=0xC0, parts=3)[:-9] + segment(0xFE) * 400_000
    ),
    "PNG text": lambda: png(100, 0, 8, extra=chunk(b"zTXt", b"c\0\0" + zlib.compress(bytes(200 << 20), 9))),
    "PNG profile": lambda: png(100, 0, 8, extra=chunk(b"iCCP", b"c\0\0" + zlib.compress(bytes(200 << 20), 9))),
    "scans, as many as go": lambda: jpeg(60, 2500),
}  # fmt: skip
"""Pictures that may be decoded, at a price."""
HONEST: dict[str, Make] = {
    "12 MP JPEG": lambda: saved((3000, 4000), "JPEG", quality=85),
    "2 MP progressive": lambda: saved((1200, 1600), "JPEG", quality=85, progressive=True),
    "store JPEG": lambda: saved((452, 560), "JPEG"),
    "store PNG": lambda: saved((800, 1000), "PNG"),
    "WebP": lambda: saved((1000, 1300), "WEBP"),
    "AVIF": lambda: saved((800, 1000), "AVIF"),
    "GIF": lambda: saved((300, 300), "GIF"),
    "500 frames of GIF": lambda: animation("GIF", 500),
    "200 frames of WebP": lambda: animation("WEBP", 200),
    "200 frames of PNG": lambda: animation("PNG", 200),
    "BMP": lambda: saved((300, 300), "BMP"),
    "TIFF": lambda: saved((300, 300), "TIFF"),
}
"""What shoppers and stores send; all of it takes the quick lane."""
PHONES: dict[str, Make] = {
    "12 MP AVIF": lambda: saved((3024, 4032), "AVIF", quality=60, speed=10),
    "12 MP progressive": lambda: saved((3000, 4000), "JPEG", progressive=True),
    "12 MP screenshot": lambda: saved((3000, 4000), "PNG", compress_level=1),
    "50 MP JPEG": lambda: saved((7000, 7100), "JPEG", quality=60),
}
"""Honest and dear: the slow lane."""
