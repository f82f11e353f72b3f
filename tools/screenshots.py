"""The pictures of docs/images, from a served demo: `python tools/screenshots.py --url http://127.0.0.1:8000/`.

`lensback demo` first; --demo names its folder. Needs Chromium at CHROME_PATH. Only the demo's own
pictures are in them, which are CC0.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
PATIENCE_MS = 120_000
MOST_BYTES = 60_000
"""Of one picture in the repository."""


def answered(browser: Browser, url: str, photo: Path, how: dict[str, Any]) -> Page:
    """A page that has searched a photo."""
    page = browser.new_context(**how).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.set_input_files("#photo", photo)
    page.wait_for_selector("#answer[data-search]:not([aria-busy]) .verdict")
    page.wait_for_load_state("networkidle")
    return page


def keep(page: Page, name: str) -> None:
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        small = shot.convert("RGB")
    if small.width == PHONE["viewport"]["width"] * PHONE["device_scale_factor"]:
        small = small.resize(
            (small.width * 3 // 4, small.height * 3 // 4), Image.Resampling.LANCZOS
        )
    for quality in (82, 70, 55, 40, 25):
        sink = io.BytesIO()
        small.save(sink, "WEBP", quality=quality, method=6)
        if sink.tell() <= MOST_BYTES:
            break
    (IMAGES / f"{name}.webp").write_bytes(sink.getvalue())
    page.context.close()


def sheets(browser: Browser, url: str, photo: Path, exact: Path, nothing: Path) -> None:
    """What is around an answer: terms, the page of a thing, saved things, nothing found, a narrow phone."""
    terms = answered(browser, url, exact, {**PHONE, "locale": "en"})
    terms.locator("button.earn-of").first.click()
    terms.wait_for_selector(".terms:popover-open")
    keep(terms, "phone-terms")
    found = answered(browser, url, exact, {**PHONE, "locale": "en"})
    address = found.locator('.acts a[href^="/products/"]').first.get_attribute("href")
    found.goto(f"{url.rstrip('/')}{address}")
    found.locator("#save").click()
    found.wait_for_load_state("networkidle")
    keep(found, "phone-product")
    wide = browser.new_context(**DESKTOP, color_scheme="dark", locale="ru").new_page()
    wide.goto(f"{url.rstrip('/')}{address}", timeout=PATIENCE_MS)
    wide.wait_for_load_state("networkidle")
    keep(wide, "desktop-product-dark")
    narrow = {**PHONE, "viewport": {"width": 320, "height": 640}, "locale": "ru"}
    small = answered(browser, url, photo, narrow)
    small.locator(".cards.grid").scroll_into_view_if_needed()
    small.wait_for_load_state("networkidle")
    keep(small, "phone-320-ru")
    keep(answered(browser, url, nothing, {**PHONE, "locale": "en"}), "phone-noise")


def take(browser: Browser, url: str, photo: Path, exact: Path) -> None:
    keep(answered(browser, url, photo, {**DESKTOP, "locale": "en"}), "desktop-answer")
    dark = {**PHONE, "locale": "ru", "color_scheme": "dark"}
    keep(answered(browser, url, photo, dark), "phone-dark-ru")
    keep(answered(browser, url, exact, {**PHONE, "locale": "en"}), "phone-exact")
    why = answered(browser, url, photo, {**PHONE, "locale": "en"})
    why.locator("details.more > summary").first.click()
    why.locator("[data-why]").first.click()
    why.wait_for_selector("#heat:not([hidden])")
    why.evaluate("window.scrollTo(0, 0)")
    why.wait_for_timeout(500)
    keep(why, "phone-why")
    home = browser.new_context(**PHONE, locale="en").new_page()
    home.goto(url, timeout=PATIENCE_MS)
    home.wait_for_load_state("networkidle")
    keep(home, "phone-home")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000/")
    parser.add_argument("--demo", type=Path, default=Path("demo-workspace"))
    given = parser.parse_args()
    photos = given.demo / "demo" / "photos"
    sold, alike = photos / "blue-denim-jacket-with-a-red-lining.jpg", photos / "red-shirt-dress.jpg"
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        path = os.environ.get("CHROME_PATH", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        take(browser, given.url, alike, sold)
        nothing = Path(scratch) / "nothing.png"
        Image.effect_noise((480, 640), 90).convert("RGB").save(nothing)
        sheets(browser, given.url, alike, sold, nothing)
        browser.close()


if __name__ == "__main__":
    main()
