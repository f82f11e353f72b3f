"""The page in every state, looked at: `python bench/page_pictures.py [--renew 1] [--keep DIR] [--minutes 30]`.

Two things, both by the states of `tests/page_matrix.py` and a real Chromium:

- the long matrix: every state at every width, light and dark, in both languages, at the text's own size
  and at 200 %. What `tests/test_browser_matrix.py` asks of some of these pages is asked of all. Each look is
  written down once it was taken (`looks.jsonl` in --keep), so a run that was ended goes on where it was, as
  long as neither the page nor this changed; `--minutes` ends one in time and says how many looks are left;
- reference pictures in `bench/pages/`: what was looked at and found good. Each is compared with what is
  drawn now, in cells of 16 pixels, so that smoother edges of letters do not count; more than TOLERANCE
  of the cells in another colour is a difference, and the picture is kept in --keep to be looked at.

Fonts differ from machine to machine, so the references hold for Debian's Chromium with the fonts that
it brings (DejaVu), and this is no part of the test suite. After a change of the looks: look at what is in
--keep, then `--renew 1` writes the references anew; commit them with the change.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
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
LONG = [
    (state, language, scheme, size, width)
    for state in STATES
    for language in ("en", "ru")
    for scheme in ("light", "dark")
    for size in ("100%", "200%")
    for width in WIDTHS
    if size == "100%" or width >= 390  # at twice the text a window of 320 pixels is one of 160
]
"""All looks of the long matrix."""
ADD = """css => { const sheet = new CSSStyleSheet(); sheet.replaceSync(css);
  document.adoptedStyleSheets = css ? [sheet] : []; }"""


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


def looks(page: Page, address: str, css: str) -> Iterator[tuple[str, Image.Image]]:
    """Name and picture of each reference."""
    for state in STATES:
        for width, height, scheme, language in LOOKS:
            page.set_viewport_size({"width": width, "height": height})
            opened(page, address, state, scheme, language)
            page.evaluate(ADD, css)
            yield f"{state}-{width}-{scheme}-{language}", picture(page)


def compared(page: Page, address: str, keep: Path, css: str, *, renew: bool) -> dict[str, float]:
    """The pictures that are not as their references, with the share of cells in another colour."""
    found = {}
    for name, shot in looks(page, address, css):
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


@dataclass(frozen=True)
class Seen:
    """The looks that were taken, on disk: a line each, under a first one that says of which page."""

    path: Path
    mark: str

    def known(self) -> dict[str, list[str]]:
        """Look -> what is wrong with it, of this page; of another one nothing is known."""
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        first, *lines = text.split("\n")
        whole = (
            lines[:-1] if first == self.mark else []
        )  # behind the last end of a line a run was killed
        self.path.write_text("\n".join([self.mark, *whole, ""]), "utf-8")
        return {name: found for line in whole for name, found in json.loads(line).items()}

    def add(self, name: str, found: list[str]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: found}, ensure_ascii=False) + "\n")


def mark(css: str) -> str:
    """Changes with all that the looks are of: templates, styles, scripts, words, and what is asked of them."""
    web = REPOSITORY / "src" / "lensback" / "web"
    files = [*web.glob("templates/*"), *web.glob("static/*"), *web.glob("*.py")]
    files += [*REPOSITORY.glob("src/lensback/locale/*"), REPOSITORY / "tests" / "page_matrix.py"]
    digest = hashlib.sha256(css.encode())
    for path in sorted(one for one in files if one.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def faults(page: Page, address: str, seen: Seen, css: str, until: float) -> dict[str, list[str]]:
    """What is wrong with each look, as far as `until` (of the clock) reaches."""
    found, now = seen.known(), ("", "")
    for state, language, scheme, size, width in LONG:
        name = f"{state} {language} {scheme} {size} {width} px"
        if name in found:
            continue
        if time.monotonic() > until:
            break
        if now != (state, language):  # one page for all schemes, sizes and widths
            page.set_viewport_size({"width": 412, "height": 800})
            opened(page, address, state, scheme, language)
            page.evaluate(ADD, css)
            now = (state, language)
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.evaluate("size => { document.documentElement.style.fontSize = size; }", size)
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        found[name] = page.evaluate(FAULTS)
        seen.add(name, found[name])
    return found


def main() -> None:
    given = arguments(__doc__, renew=0, keep=None, long=1, minutes=60.0, css="").parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        keep = given.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        context = browser.new_context(reduced_motion="reduce", has_touch=True)
        context.add_init_script(WATCH)
        with matrix(Path(folder) / "workspace") as address:
            page = context.new_page()
            page.set_default_timeout(180_000)  # a busy machine is no fault of the page
            other = compared(page, address, keep, given.css, renew=bool(given.renew))
            until = time.monotonic() + given.minutes * 60
            seen = Seen(keep / "looks.jsonl", mark(given.css))
            taken = faults(page, address, seen, given.css, until) if given.long else {}
        context.close()
    wrong = [f"{name}: {fault}" for name, found in taken.items() for fault in found]
    figures = {
        "references": len(STATES) * len(LOOKS),
        "different": other,
        "looks": len(taken),
        "looks_left": len(LONG) - len(taken) if given.long else 0,
        "tolerance": TOLERANCE,
        "faults": wrong,
    }
    write("page_pictures", figures, given.out)
    if other or wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
