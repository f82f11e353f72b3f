"""A real Chromium for tests: Debian's, installed where root may, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from servers import installed

WAIT_MS = 120_000
"""How long a page may take for what a test waits for: a busy machine's."""
expect.set_options(timeout=WAIT_MS)


@cache
def chromium_path() -> str:
    """Where Chromium is, best the one that has no window and spends half the processor time: the same
    engine without what draws menus and tabs. A skip where there is none and none can be installed."""
    shell, others = "chromium-headless-shell", ("chromium", "chromium-browser", "google-chrome")
    with suppress(pytest.skip.Exception):
        return installed(lambda: shutil.which(shell), shell)
    return installed(lambda: next(filter(None, map(shutil.which, others)), None), "chromium")


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """A headless browser, started with these flags, that is closed in the end."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *flags])
        yield browser
        browser.close()
