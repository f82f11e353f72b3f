"""A real Chromium for tests: Debian's, installed where root may, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

from servers import installed

WAIT_MS = 120_000
"""How long a page may take for what a test waits for: a busy machine's."""
expect.set_options(timeout=WAIT_MS)


def chromium_path() -> str:
    """Where Chromium is; a skip where there is none and none can be installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return installed(lambda: next(filter(None, map(shutil.which, names)), None), "chromium")


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """A headless browser, started with these flags, that is closed in the end."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *flags])
        yield browser
        browser.close()
