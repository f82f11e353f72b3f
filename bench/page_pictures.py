"""The page in every state, looked at: `python bench/page_pictures.py [--renew 1] [--keep DIR]`.

Two things, both by the states of `tests/page_matrix.py` and a real Chromium:

- the long matrix: every state at every width, light and dark, in both languages, at the text's own size
  and at 200 %. What `tests/test_browser_matrix.py` asks of some of these pages is asked of all;
- reference pictures in `bench/pages/`: what was looked at and found good. Each is compared with what is
  drawn now, in cells of 16 pixels, so that smoother edges of letters do not count; more than TOLERANCE
  of the cells in another colour is a difference, and the picture is kept in --keep to be looked at.

Fonts differ from machine to machine, so the references hold for Debian's Chromium with the fonts that
it brings (DejaVu), and this is no part of the test suite. After a change of the looks: look at what is in
--keep, then `--renew 1` writes the references anew; commit them with the change.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page

from rig import REPOSITORY, arguments, write

from browser import chromium  # type: ignore[import-not-found,unused-ignore]  # isort: skip
from page_matrix import FAULTS, STATES, WATCH, WIDTHS, matrix  # type: ignore[import-not-found,unused-ignore]  # isort: skip

REFERENCES = REPOSITORY / "bench" / "pages"
LOOKS = ((390, 844, "light", "en"), (1280, 900, "light", "en"), (390, 844, "dark", "ru"))
"""Width, height, scheme and language of the reference pictures of each state."""
CELL_PX = 8  # of a picture at half its size
COLOUR = 24
"""Of 255, in one channel: from here on a cell has another colour."""
TOLERANCE = 0.02


def difference(one: Image.Image, other: Image.Image) -> float:
    """Share of the cells that have another colour; 1 where the pictures are of two sizes."""
    if one.size != other.size:
        return 1.0
    return float((np.abs(_cells(one) - _cells(other)).max(axis=2) > COLOUR).mean())


def _cells(picture: Image.Image) -> Any:
    """The mean colour of each cell, [rows, columns, 3]."""
    size = (-(-picture.width // CELL_PX), -(-picture.height // CELL_PX))
    return np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BOX), np.float32)


def opened(page: Page, address: str, state: str, scheme: str, language: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{address}/matrix/{state}?lang={language}", wait_until="networkidle")


def picture(page: Page) -> Image.Image:
    """What the window shows, at half its size."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return shot.resize((shot.width // 2, shot.height // 2), Image.Resampling.BOX)


def looks(page: Page, address: str) -> Iterator[tuple[str, Image.Image]]:
    """Name and picture of each reference."""
    for state in STATES:
        for width, height, scheme, language in LOOKS:
            page.set_viewport_size({"width": width, "height": height})
            opened(page, address, state, scheme, language)
            yield f"{state}-{width}-{scheme}-{language}", picture(page)


def compared(page: Page, address: str, keep: Path, *, renew: bool) -> dict[str, float]:
    """The pictures that are not as their references, with the share of cells in another colour."""
    found = {}
    for name, shot in looks(page, address):
        path = REFERENCES / f"{name}.webp"
        if renew:
            path.parent.mkdir(exist_ok=True)
            shot.save(path, quality=60, method=6)
            continue
        share = difference(shot, Image.open(path)) if path.exists() else 1.0
        if share > TOLERANCE:
            found[name] = round(share, 4)
            shot.save(keep / f"{name}.png")
    return found


def faults(page: Page, address: str) -> tuple[int, list[str]]:
    """How many pages were looked at, and what is wrong with them."""
    pages, found = 0, []
    for state in STATES:
        for scheme in ("light", "dark"):
            for language in ("en", "ru"):
                for size in ("100%", "200%"):
                    page.set_viewport_size({"width": 412, "height": 800})
                    opened(page, address, state, scheme, language)
                    page.evaluate(
                        "size => { document.documentElement.style.fontSize = size; }", size
                    )
                    where = f"{state} {scheme} {language} {size}"
                    # At twice the text a window of 320 pixels is one of 160.
                    widths = [one for one in WIDTHS if size == "100%" or one >= 390]
                    pages += len(widths)
                    found += [f"{where} {fault}" for one in widths for fault in at(page, one)]
    return pages, found


def at(page: Page, width: int) -> list[str]:
    """What is wrong at a width."""
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return [f"{width} px: {fault}" for fault in page.evaluate(FAULTS)]


def main() -> None:
    given = arguments(__doc__, renew=0, keep=None, long=1).parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        keep = given.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        context = browser.new_context(reduced_motion="reduce", has_touch=True)
        context.add_init_script(WATCH)
        with matrix(Path(folder) / "workspace") as address:
            page = context.new_page()
            other = compared(page, address, keep, renew=bool(given.renew))
            pages, wrong = faults(page, address) if given.long else (0, [])
        context.close()
    figures = {"references": len(STATES) * len(LOOKS), "different": other, "pages": pages}
    write("page_pictures", {**figures, "tolerance": TOLERANCE, "faults": wrong}, given.out)
    if other or wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
