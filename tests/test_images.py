"""`images`: every format, broken and hostile files, the store on a real disk."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import re
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drawing import drawn
from effort import within
from lensback.errors import BadImage, BadQuery, NotFound, TooLarge
from lensback.images import (
    ImageStore,
    crop,
    decode,
    hamming,
    inspect,
    phash,
)

STILL = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF")


@functools.cache
def packed(kind: str, width: int = 120, height: int = 90) -> bytes:
    return saved(drawn(width, height), kind)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    pillow_heif.register_heif_opener()
    sink = io.BytesIO()
    if kind in ("JPEG", "WEBP", "AVIF", "HEIF"):
        options = {"quality": 92, **options}
    image.save(sink, kind, **options)
    return sink.getvalue()


def apart(a: Image.Image, b: Image.Image) -> float:
    """Mean difference of two pictures, 0 to 255."""
    assert a.size == b.size
    return float(np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16)).mean())


# Formats and modes


@pytest.mark.parametrize("kind", STILL)
def test_every_format_comes_out_as_rgb(kind: str) -> None:
    data = packed(kind)
    info, image = inspect(data)
    assert image.mode == "RGB"
    assert apart(image, drawn()) < 4
    assert (info.width, info.height, info.bytes) == (120, 90, len(data))
    assert info.mime == f"image/{kind.lower()}"
    assert re.fullmatch("[0-9a-f]{64}", info.hash)
    assert 0 <= info.phash < 1 << 64


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_orientation_is_undone(kind: str, orientation: int) -> None:
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    turned = drawn()
    for step in undo.get(orientation, []):
        turned = turned.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    info, image = inspect(saved(turned, kind, exif=exif.tobytes() if kind != "TIFF" else exif))
    assert apart(image, drawn()) < 4
    assert (info.width, info.height) == (120, 90)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of the EXIF
def test_broken_exif_does_not_make_a_picture_bad() -> None:
    for exif in (
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0MM\0*\0\0\0\x08\0\xff",
    ):
        assert decode(saved(drawn(), "JPEG", exif=exif)).size == (120, 90)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "GIF", "P", "L", "RGB"])
def test_transparency_lands_on_white(mode: str) -> None:
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (0, 0, 10, 20))
    options: dict[str, Any] = {}
    kind = "PNG"
    if mode == "P":
        clear = Image.new("P", (20, 20), 1)
        clear.putpalette([0, 0, 0, 255, 0, 0])
        clear.paste(0, (0, 0, 10, 20))
        options["transparency"] = 1
    elif mode in ("L", "RGB"):
        clear = Image.new(mode, (20, 20), 200 if mode == "L" else (1, 2, 3))
        clear.paste(0 if mode == "L" else (0, 0, 0), (0, 0, 10, 20))
        options["transparency"] = 200 if mode == "L" else (1, 2, 3)
    elif mode == "GIF":
        kind = "GIF"
    else:
        clear = clear.convert(mode)
    image = decode(saved(clear, kind, **options))
    assert image.mode == "RGB"
    assert image.getpixel((15, 10)) == (255, 255, 255)
    assert max(image.getpixel((5, 10))) < 3  # type: ignore[arg-type]


def test_cmyk_sixteen_bits_bilevel_and_floats() -> None:
    cmyk = decode(saved(drawn().convert("CMYK"), "JPEG"))
    assert apart(cmyk, drawn()) < 4
    ramp = np.linspace(0, 65535, 32 * 32).reshape(32, 32)
    for kind in ("PNG", "TIFF"):
        grey = np.asarray(decode(saved(Image.fromarray(ramp.astype(np.uint16)), kind)))
        assert (grey[0, 0, 0], grey[-1, -1, 0]) == (0, 255)
        assert abs(float(grey.mean()) - 127.5) < 1
    for top in (1.0, 255.0):
        floats = Image.fromarray((ramp / 65535 * top).astype(np.float32))
        assert abs(float(np.asarray(decode(saved(floats, "TIFF"))).mean()) - 127.5) < 1
    nan = Image.fromarray(np.full((9, 9), np.nan, np.float32))
    assert decode(saved(nan, "TIFF")).getpixel((0, 0)) == (0, 0, 0)
    assert decode(saved(drawn().convert("1"), "PNG")).mode == "RGB"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_an_animation_is_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (40, 40), color) for color in ("red", "lime", "blue")]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    assert apart(decode(data), frames[0]) < 4


def test_a_phone_jpeg_with_a_second_picture_inside_is_a_jpeg() -> None:
    data = saved(drawn(), "MPO", save_all=True, append_images=[drawn(seed=2)])
    info, image = inspect(data)
    assert info.mime == "image/jpeg"
    assert apart(image, drawn()) < 6


# Sizes


@given(st.integers(8, 700), st.integers(8, 700), st.integers(1, 400))
@settings(max_examples=30, deadline=None)
def test_a_draft_is_never_smaller_than_asked(width: int, height: int, side_px: int) -> None:
    data = saved(Image.new("RGB", (width, height)), "JPEG")
    image = decode(data, side_px=side_px)
    assert min(image.size) >= min(side_px, width, height)
    assert image.width <= width


def test_a_large_jpeg_is_decoded_small_and_described_whole() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    info, image = inspect(saved(drawn(2000, 1600), "JPEG", exif=exif.tobytes()))
    assert (info.width, info.height) == (1600, 2000)
    assert image.size == (400, 500)


@pytest.mark.parametrize("size", [(1, 1), (7, 500), (500, 7)])
def test_a_tiny_picture_is_bad(size: tuple[int, int]) -> None:
    with pytest.raises(BadImage, match=f"only {size[0]} x {size[1]}") as caught:
        decode(saved(Image.new("RGB", size), "PNG"))
    assert "8 x 8" in caught.value.hint


def test_limits() -> None:
    data = packed("PNG")
    with pytest.raises(TooLarge, match="bytes"):
        decode(data, max_bytes=len(data) - 1)
    with pytest.raises(TooLarge, match="120 x 90 pixels"):
        decode(data, max_pixels=120 * 90 - 1)
    assert decode(data, max_bytes=len(data), max_pixels=120 * 90).size == (120, 90)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


BOMBS = {
    "png": png(30000, 30000, chunk(b"IDAT", zlib.compress(bytes(50 << 20), 9))),
    "png of 10 GPixel": png(100000, 100000, chunk(b"IDAT", b"")),
    "png just above": png(10000, 9500, chunk(b"IDAT", b"")),
    "bmp": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 30000, 30000, 1, 24, 0, 0, 0, 0, 0, 0),
    "gif": b"GIF89a"
    + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
    + b"\x2c"
    + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
    + b"\x02\x02\x4c\x01\x00;",
    "webp": b"RIFF"
    + struct.pack("<I", 22)
    + b"WEBPVP8X"
    + struct.pack("<II", 10, 0)
    + b"\xff\xff\x00\xff\xff\x00",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_decoding(name: str) -> None:
    with within(75), pytest.raises((TooLarge, BadImage)) as caught:
        decode(BOMBS[name])
    if name != "webp":
        assert isinstance(caught.value, TooLarge)


@pytest.mark.parametrize("name", ["GIF", "BMP", "TIFF"])
def test_every_format_is_read_by_a_fresh_process(name: str) -> None:
    """HEIF is registered when the first such picture comes: none has come yet here."""
    code = (
        "import io, sys; from PIL import Image; from lensback.images import decode\n"
        "kept = io.BytesIO(); Image.new('RGB', (64, 64), 'red').save(kept, sys.argv[1])\n"
        "assert decode(kept.getvalue()).size == (64, 64)"
    )
    subprocess.run([sys.executable, "-c", code, name], check=True)


def test_a_bomb_in_a_text_chunk_is_left_packed() -> None:
    bomb = zlib.compress(bytes(200 << 20), 9)
    pixels = chunk(b"IDAT", zlib.compress(bytes(20 * 61), 9))
    texts = [
        chunk(b"zTXt", b"a\0\0" + bomb),
        chunk(b"iTXt", b"a\0\1\0\0\0" + bomb),
        chunk(b"iCCP", b"a\0\0" + bomb),
    ]
    with within(75):
        for text in texts:
            assert decode(png(20, 20, text, pixels)).size == (20, 20)
        assert decode(png(20, 20, pixels, texts[0])).size == (20, 20)


# Broken files


@pytest.mark.parametrize("kind", ["AVIF", "HEIF", "TIFF"])
@given(share=st.floats(0, 0.97))
@settings(max_examples=40, deadline=None)
def test_a_picture_cut_short_is_bad_where_browsers_show_nothing(kind: str, share: float) -> None:
    """Or every pixel of it was there: a TIFF keeps its directory anywhere."""
    data = packed(kind, 300, 200)
    whole = decode(data)
    for side_px in (None, 50):
        try:
            image = decode(data[: int(len(data) * share)], side_px=side_px)
        except BadImage:
            continue
        assert side_px is None or kind != "JPEG"
        assert apart(image, whole) == 0


@pytest.mark.parametrize("alpha", [False, True])
def test_of_an_animated_avif_cut_short_the_first_frame_is_there(alpha: bool) -> None:
    frames = [drawn(300, 200, seed=seed).convert("RGBA" if alpha else "RGB") for seed in range(4)]
    if alpha:
        for frame in frames:
            frame.putalpha(128)
    data = saved(frames[0], "AVIF", save_all=True, append_images=frames[1:])
    whole = decode(data)
    for share in (0.65, 0.8, 0.9, 0.99):
        assert apart(decode(data[: int(len(data) * share)]), whole) == 0
    assert apart(decode(data[:-1], side_px=50), decode(data, side_px=50)) == 0
    for share in (0.02, 0.1, 0.4):
        with pytest.raises(BadImage):
            decode(data[: int(len(data) * share)])


CUTS = {
    "JPEG": {},
    "progressive JPEG": {"progressive": True},
    "JPEG of marked parts": {"restart_marker_rows": 1},
    "PNG": {},
    "grey PNG": {},
    "PNG with a palette": {},
    "clear PNG": {},
    "WEBP": {},
    "GIF": {"interlace": 0},
}


@functools.cache
def to_cut(name: str) -> bytes:
    modes = {"grey PNG": "L", "PNG with a palette": "P", "clear PNG": "RGBA"}
    image = drawn(300, 200).convert(modes.get(name, "RGB"))
    kind = next(kind for kind in STILL if kind in name)
    return saved(image, kind, **CUTS[name])


@pytest.mark.parametrize("name", CUTS)
@given(share=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_of_a_picture_without_its_end_half_is_enough(name: str, share: float) -> None:
    data = to_cut(name)
    whole = decode(data)
    cut = data[: int(len(data) * share)]
    for side_px in (None, 50):
        try:
            image = decode(cut, side_px=side_px)
        except BadImage:
            assert share < (0.3 if "progressive" in name else 0.9)
            continue
        assert share > 0.1
        if side_px is None:
            assert image.size == whole.size
            top = (0, 0, 300, 90 if name != "WEBP" else 50)
            assert apart(image.crop(top), whole.crop(top)) < (10 if "progressive" in name else 1)


@pytest.mark.parametrize("lost", [1, 2, 3, 5, 8, 12, 20, 30, 50, 100])
@pytest.mark.parametrize("quality", [60, 80, 95])
def test_a_webp_without_its_last_bytes(lost: int, quality: int) -> None:
    """The decoder needs more bytes than there were, whatever it makes of them."""
    data = saved(drawn(300, 200), "WEBP", quality=quality)
    top = (0, 0, 300, 90)
    assert apart(decode(data[:-lost]).crop(top), decode(data).crop(top)) < 1


@pytest.mark.parametrize("name", CUTS)
def test_the_lost_rows_are_plain(name: str) -> None:
    """Neither black nor noise, and the hash is of the bytes as they came."""
    data = to_cut(name)
    cut = data[: int(len(data) * 0.8)]
    info, image = inspect(cut)
    assert (info.width, info.height, info.bytes) == (300, 200, len(cut))
    assert info.hash == hashlib.sha256(cut).hexdigest()
    if name in {"JPEG", "JPEG of marked parts", "PNG", "grey PNG", "clear PNG"}:
        last = np.asarray(image)[-2]
        assert (np.ptp(last, axis=0) <= 2).all()
        assert last.mean() > 100


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_bmp_without_its_end(mode: str) -> None:
    """Its rows come from the bottom up."""
    data = saved(drawn(300, 200).convert(mode), "BMP")
    bottom = (0, 90, 300, 200)
    for share in (0.6, 0.8, 0.999):
        cut = decode(data[: int(len(data) * share)])
        assert apart(cut.crop(bottom), decode(data).crop(bottom)) == 0
    with pytest.raises(BadImage):
        decode(data[: int(len(data) * 0.4)])


def test_an_animated_webp_without_its_end_is_its_first_frame() -> None:
    frames = [drawn(100, 80).rotate(turn) for turn in (0, 10, 20, 30, 40, 50)]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    second = data.index(b"ANMF", data.index(b"ANMF") + 4)
    for end in {second, second + 30, len(data) // 2, len(data) - 9}:
        assert apart(decode(data[:end]), decode(data)) == 0
    with pytest.raises(BadImage):
        decode(data[: second // 2])


def test_a_jpeg_whose_end_marker_is_missing_loses_nothing() -> None:
    for name in ("JPEG", "progressive JPEG"):
        data = to_cut(name)
        assert data.endswith(b"\xff\xd9")
        assert apart(decode(data[:-2]), decode(data)) == 0
        assert apart(decode(data[:-1]), decode(data)) == 0
        assert apart(decode(data[:-12]), decode(data)) < 2


@pytest.mark.parametrize("kind", STILL)
@given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_damage_ends_in_a_picture_or_one_of_our_errors(
    kind: str, damage: list[tuple[float, int]], early: bool
) -> None:
    data = bytearray(packed(kind))
    for share, value in damage:
        data[int(share * (min(len(data), 200) if early else len(data)))] = value
    with contextlib.suppress(BadImage, TooLarge):
        info, image = inspect(bytes(data), max_pixels=1 << 20)
        assert image.mode == "RGB"
        assert info.width * info.height <= 1 << 20


@given(st.binary(max_size=200))
def test_noise_is_bad(data: bytes) -> None:
    with pytest.raises(BadImage):
        decode(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "an empty file"),
        (b"just words, renamed to .jpg\n", "text"),
        (b"<!DOCTYPE html><html>404", "a web page"),
        (b"\n <HTML>", "a web page"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "an SVG drawing"),
        (b"<svg/>", "an SVG drawing"),
        (b"<?xml version='1.0'?><Error/>", "XML"),
        (b"%PDF-1.7\n%\xff", "a PDF document"),
        (b'{"error": 1}', "JSON"),
        (b"PK\x03\x04rest", "a ZIP archive"),
        (b"\0\0\0\x20ftypisom\0\0", "a video"),
        (b"\xff\xd8\xff\xe0broken", "a broken picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a broken picture"),
        (b"\x00\x01\x02\x03", "of another kind"),
    ],
)
def test_the_error_says_what_the_file_seems_to_be(data: bytes, kind: str) -> None:
    with pytest.raises(BadImage, match=f"it seems to be {kind}") as caught:
        decode(data)
    assert "JPEG" in caught.value.hint


def test_other_formats_of_pillow_are_not_opened() -> None:
    for kind in ("PPM", "TGA", "ICO", "PCX", "JPEG2000", "EPS"):
        with pytest.raises(BadImage):
            decode(saved(drawn(), kind))


def test_pillow_is_left_as_it_was() -> None:
    code = (
        "from PIL import Image, ImageFile; before = Image.MAX_IMAGE_PIXELS\n"
        "import sys; from lensback import images; assert 'pillow_heif' not in sys.modules\n"
        "images.decode(sys.stdin.buffer.read()); assert 'pillow_heif' not in sys.modules\n"
        "assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == (before, False)"
    )
    subprocess.run([sys.executable, "-c", code], input=packed("JPEG"), check=True)


def test_threads_decode_side_by_side() -> None:
    kinds = STILL * 5
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda kind: decode(packed(kind)), kinds))
    for kind, image in zip(kinds, images, strict=True):
        assert image.tobytes() == decode(packed(kind)).tobytes()


# Boxes and hashes


@given(
    st.tuples(*[st.floats(0, 1)] * 4).filter(lambda b: b[0] < b[2] and b[1] < b[3]),
    st.integers(1, 50),
    st.integers(1, 50),
)
def test_a_crop_holds_its_box(
    box: tuple[float, float, float, float], width: int, height: int
) -> None:
    part = crop(Image.new("RGB", (width, height)), box)
    assert 1 <= part.width <= width
    assert 1 <= part.height <= height
    assert part.width >= (box[2] - box[0]) * width - 1e-6


@pytest.mark.parametrize("box", [(0, 0, 0, 1), (0.5, 0, 0.4, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.1)])
def test_not_a_box(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(BadQuery):
        crop(drawn(), box)
    with pytest.raises(BadQuery):
        crop(drawn(), (float("nan"), 0, 1, 1))


def test_phash_stays_under_recompression_and_tells_pictures_apart() -> None:
    first = phash(drawn(400, 300))
    again = phash(decode(saved(drawn(400, 300).resize((200, 150)), "JPEG", quality=60)))
    assert hamming(first, again) <= 4
    assert hamming(first, phash(drawn(400, 300).rotate(90))) > 12
    assert phash(Image.new("RGB", (50, 50), "red")) == 0
    assert (hamming(0, 0), hamming(0, (1 << 64) - 1), hamming(5, 6)) == (0, 64, 2)


# The store


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_put_keeps_the_bytes_once(store: ImageStore, tmp_path: Path) -> None:
    data = packed("WEBP")
    info = store.put(data)
    assert store.put(data) == info == inspect(data)[0]
    assert store.has(info.hash)
    assert store.read(info.hash) == data
    assert store.open(info.hash).size == (120, 90)
    assert files(tmp_path) == [f"images/{info.hash[:2]}/{info.hash[2:4]}/{info.hash}"]


def test_a_bad_picture_is_not_kept(tmp_path: Path) -> None:
    store = ImageStore(tmp_path, max_bytes=5000, max_pixels=120 * 90)
    for data in (b"<html>", packed("JPEG")[:700], packed("BMP"), packed("PNG", 121, 90)):
        with pytest.raises((BadImage, TooLarge)):
            store.put(data)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "digest", ["", "ab", "../../etc/passwd", "A" * 64, "0" * 64, "0" * 63 + "\n"]
)
def test_what_is_not_there(store: ImageStore, digest: str) -> None:
    assert not store.has(digest)
    store.drop(digest)
    for ask in (store.read, store.open, store.thumbnail):
        with pytest.raises(NotFound):
            ask(digest)


def test_thumbnails_are_made_once_and_dropped_with_the_picture(
    store: ImageStore, tmp_path: Path
) -> None:
    digest = store.put(packed("JPEG", 800, 600)).hash
    small = store.thumbnail(digest, 64)
    assert decode(small).size == (64, 48)
    assert decode(store.thumbnail(digest)).size == (320, 240)
    assert store.thumbnail(digest, 64) == small
    assert len(files(tmp_path)) == 3
    with pytest.raises(BadQuery):
        store.thumbnail(digest, 100_000)
    store.drop(digest)
    assert files(tmp_path) == []
    assert not store.has(digest)


def test_damaged_bytes_count_as_not_there(store: ImageStore, tmp_path: Path) -> None:
    data = packed("PNG")
    digest = store.put(data).hash
    path = next(path for path in tmp_path.rglob(digest))
    for damage in (b"", data[:-1] + b"x"):
        path.write_bytes(damage)
        with pytest.raises(NotFound):
            store.read(digest)
        assert not store.has(digest)
        store.put(data)
        assert store.read(digest) == data
    path.write_bytes(b"")
    store.put(data)
    assert store.read(digest) == data


def test_a_killed_writer_leaves_nothing_but_a_temporary_file(tmp_path: Path) -> None:
    code = (
        "import sys, io, itertools; from pathlib import Path; from PIL import Image\n"
        "from lensback.images import ImageStore\n"
        "store = ImageStore(Path(sys.argv[1]))\n"
        "for i in itertools.count():\n"
        "    sink = io.BytesIO(); Image.effect_noise((300, 300), i % 99 + 1).save(sink, 'PNG')\n"
        "    store.put(sink.getvalue()); print(i, flush=True)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with writer:
        assert writer.stdout
        for _ in range(5):
            writer.stdout.readline()
        writer.kill()
    store = ImageStore(tmp_path)
    digests = [path.name for path in tmp_path.rglob("*") if re.fullmatch("[0-9a-f]{64}", path.name)]
    assert len(digests) >= 5
    for digest in digests:
        store.open(digest)
    store.sweep(older_s=-1)
    assert files(tmp_path / "tmp") == []


def test_sweep_spares_the_young(store: ImageStore, tmp_path: Path) -> None:
    store.put(packed("PNG"))
    old, young = (tmp_path / "images" / "tmp" / name for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert store.sweep() == 1
    assert young.exists()
    assert ImageStore(tmp_path / "nowhere").sweep() == 0


def test_many_threads_put_the_same_pictures(store: ImageStore, tmp_path: Path) -> None:
    datas = [packed(kind) for kind in STILL] * 6
    with ThreadPoolExecutor(8) as pool:
        digests = {info.hash for info in pool.map(store.put, datas)}
    assert len(digests) == len(STILL)
    assert all(store.has(digest) for digest in digests)
    assert len(files(tmp_path)) == len(STILL)
