"""The pictures of docs/images, from a served demo: `python tools/screenshots.py --url http://127.0.0.1:8000/`.

`lensback demo` first; --demo names its folder. Needs Chromium at CHROME_PATH. Only the demo's own
pictures are in them, which are CC0.
"""

from __future__ import annotations

import argparse
import io
import os
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
        shot.convert("RGB").save(IMAGES / f"{name}.webp", quality=82, method=6)
    page.context.close()


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
    with sync_playwright() as playwright:
        path = os.environ.get("CHROME_PATH", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        take(browser, given.url, alike, sold)
        browser.close()


if __name__ == "__main__":
    main()
