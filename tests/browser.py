"""A real Chromium for tests: Debian's, installed where root may, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

from servers import one_at_a_time


def chromium_path() -> str:
    """Where Chromium is; a skip where there is none and none can be installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    with one_at_a_time("chromium"):
        found = next(filter(None, map(shutil.which, names)), None)
        if not found and os.geteuid() == 0 and shutil.which("apt-get"):
            _install()
            found = shutil.which("chromium")
    if not found:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


def _install() -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["update", "-qq"],
        ["install", "-y", "-qq", "--no-install-recommends", "chromium"],
    ):
        subprocess.run(["apt-get", *command], env=env, check=False, capture_output=True)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser that is closed in the end."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
