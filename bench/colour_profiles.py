"""Copies in other colour spaces, searched: `python bench/colour_profiles.py [--copies 60] [--encoder eye] [--press FILE]`.

Main pictures of luma as JPEGs in Display P3, Adobe RGB, ProPhoto and CMYK, each with its profile; and the same
numbers without it, which is how a picture is read where profiles are ignored. Counted are copies that are
called exact, rightly, and whose own product comes first, in a catalogue of luma and outlet. The profiles and
the press are those of the tests (tests/icc.py).

With `--press FILE` (the ICC profile of a real printing press) only copies in its inks are made, by littlecms: as
Adobe's programs do unless told otherwise (relative colorimetric, black point moved), and perceptually.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from lensback.demo import serve_folder
from lensback.images import decode
from lensback.metrics import mcnemar
from lensback.search import Query, Tools, search
from lensback.sync import sync
from rig import DATA, arguments, connected, images_of, share, write

SPACES = ("Display P3", "Adobe RGB", "ProPhoto")
QUALITY = 95
INVERTED, STEP = 40, 0.3
"""Steps of the search for the inks that print a picture, and their length."""
SHARE_OF_BLACK = 0.7
DARKEST = 0.002
"""Light below which this press prints nothing darker."""
SIDE_PX = 448
"""To which pictures are decoded where the time of a transform is taken."""
TIMED = 20


def jpeg(image: Image.Image, **options: Any) -> bytes:
    image.save(buffer := io.BytesIO(), "JPEG", quality=QUALITY, subsampling=0, **options)
    return buffer.getvalue()


def inks(pixels: np.ndarray) -> np.ndarray:
    """Shares of ink [..., 4] that print sRGB pixels as nearly as this press can: black first, as much
    as all colours have of it, then what the colours need, by steps towards the right light."""
    import icc  # type: ignore[import-not-found,unused-ignore]

    light = icc.light(pixels / 255, 0)
    black = (1 - light.max(axis=-1, keepdims=True)) * SHARE_OF_BLACK
    wanted = np.log(np.maximum(light, DARKEST)) - np.log(1 - black * (1 - icc.INKS[3]))
    unmixed = np.linalg.inv(-np.log(icc.INKS[:3]))
    colours = (-wanted @ unmixed).clip(0, 1)
    for _ in range(INVERTED):
        got = np.prod(1 - colours[..., None] * (1 - icc.INKS[:3]), axis=-2)
        colours = (colours + (np.log(got) - wanted) @ unmixed * STEP).clip(0, 1)
    return np.concatenate([colours, black], axis=-1)


def copies(image: Image.Image) -> dict[str, tuple[bytes, bytes]]:
    """Space -> the picture in it with its profile, and without."""
    import icc

    pixels = np.asarray(image.convert("RGB"))
    made = {"sRGB": (jpeg(image), jpeg(image))}
    for space in SPACES:
        told = Image.fromarray(icc.brought(pixels, space))
        made[space] = jpeg(told, icc_profile=icc.screen(space)), jpeg(told)
    printed = (inks(pixels) * 255).round().astype(np.uint8)
    told = Image.frombytes("CMYK", image.size, printed.tobytes())
    made["CMYK"] = jpeg(told, icc_profile=icc.press()), jpeg(told)
    return made


def printed(image: Image.Image, press: Path) -> dict[str, tuple[bytes, bytes]]:
    """How the inks were found -> the picture in them with the press's profile, and without."""
    ways = {
        "relative, black point moved": (
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        ),
        "perceptual": (ImageCms.Intent.PERCEPTUAL, ImageCms.Flags.NONE),
    }
    profile, srgb = ImageCms.getOpenProfile(str(press)), ImageCms.createProfile("sRGB")
    made = {"sRGB": (jpeg(image), jpeg(image))}
    for name, (intent, flags) in ways.items():
        inks = ImageCms.buildTransform(srgb, profile, "RGB", "CMYK", intent, flags)
        told = ImageCms.applyTransform(image.convert("RGB"), inks)
        assert told
        made[name] = jpeg(told, icc_profile=press.read_bytes()), jpeg(told)
    return made


def asked(photo: bytes, product: str, tools: Tools) -> Counter[str]:
    answer = search(photo, Query(), tools)
    exact = [hit.product_id for hit in answer.hits if hit.exact]
    return Counter(
        exact=bool(exact),
        right=exact[:1] == [product],
        first=[hit.product_id for hit in answer.hits[:1]] == [product],
    )


def figures(found: list[tuple[Counter[str], Counter[str]]]) -> dict[str, Any]:
    """Shares with the profile and without, and whether the difference is more than chance."""
    n = len(found)
    sides = {"with": 0, "without": 1}
    counted = {
        name: {
            "called_exact": share(sum(pair[at]["exact"] for pair in found), n),
            "exact_is_right": share(
                sum(pair[at]["right"] for pair in found), sum(pair[at]["exact"] for pair in found)
            ),
            "own_product_first": share(sum(pair[at]["first"] for pair in found), n),
        }
        for name, at in sides.items()
    }
    exact = [[bool(pair[at]["exact"]) for pair in found] for at in (0, 1)]
    return {**counted, "exact_paired": asdict(mcnemar(*exact))}


def cost_ms(made: dict[str, tuple[bytes, bytes]]) -> dict[str, float]:
    """Median processor milliseconds that a profile adds to decoding, by space."""
    spent: dict[str, float] = {}
    for space, (told, bare) in made.items():
        times = [[_decoding_ms(told), _decoding_ms(bare)] for _ in range(TIMED)]
        spent[space] = round(float(np.median([a - b for a, b in times])), 2)
    return spent


def _decoding_ms(data: bytes) -> float:
    begin = time.process_time()
    decode(data, side_px=SIDE_PX)
    return (time.process_time() - begin) * 1000


def _described(press: Path) -> str:
    return ImageCms.getProfileDescription(ImageCms.getOpenProfile(str(press))).strip()


def main() -> None:
    chosen = arguments(__doc__, copies=60, encoder="eye", press=None).parse_args()
    with tempfile.TemporaryDirectory() as name, serve_folder(DATA / "shops") as base:
        stores = ("luma", "outlet")
        with connected(Path(name) / "w", base, stores, encoder=chosen.encoder) as workspace:
            sync(workspace)
            rows = images_of(workspace, "luma", first_only=True)
            rows = rows[:: max(1, len(rows) // chosen.copies)][: chosen.copies]
            tools = workspace.tools()
            found: dict[str, list[tuple[Counter[str], Counter[str]]]] = {}
            made: dict[str, tuple[bytes, bytes]] = {}
            for image_hash, product in rows:
                image = workspace.images.open(image_hash)
                made = printed(image, chosen.press) if chosen.press else copies(image)
                for space, (told, bare) in made.items():
                    pair = asked(told, product, tools), asked(bare, product, tools)
                    found.setdefault(space, []).append(pair)
            shown = {space: figures(pairs) for space, pairs in found.items()}
            record = {"encoder": chosen.encoder, "copies": len(rows), "spaces": shown}
            result = "colour_profiles_press" if chosen.press else "colour_profiles"
            press = {"press": _described(chosen.press)} if chosen.press else {}
            write(result, {**record, **press, "cost_ms": cost_ms(made)}, chosen.out)


if __name__ == "__main__":
    main()
