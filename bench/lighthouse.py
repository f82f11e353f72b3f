"""Lighthouse on the shopper's page: `python bench/lighthouse.py --folder WORKSPACE --photo PHOTO [--runs 1]`.

Serves the workspace and takes the first page, the answer to the photo as whoever sent it sees it, and
the page of the first thing in that answer, each as a phone and as a desktop. Needs Node, `npm install
lighthouse` in the folder named by --node (npx fetches it otherwise), and Chromium at CHROME_PATH. Keeps
the median of each score and what the last run found below 1. Not a part of the test suite: Lighthouse
is no Python.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx

from rig import Served, arguments, write

CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
NUMBERS = (
    "first-contentful-paint",
    "largest-contentful-paint",
    "total-blocking-time",
    "cumulative-layout-shift",
    "total-byte-weight",
)
PAGES = ("home", "answer", "product")


def place(page: str, url: str, photo: Path) -> tuple[str, str]:
    """The address of a page, and the cookie of the browser whose photo was searched just now."""
    with httpx.Client(base_url=url, timeout=120) as client:
        answer = client.post("/", files={"photo": photo.read_bytes()}).raise_for_status().text
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    search = _named("data-search", answer)
    product = _named("data-product", answer)
    paths = {
        "home": "/",
        "answer": f"/answers/{search}",
        "product": f"/products/{product}?search={search}",
    }
    return url + paths[page], cookie


def _named(attribute: str, page: str) -> str:
    found = re.search(rf'{attribute}="(\w+)"', page)
    if found is None:
        raise SystemExit(f"the answer has no {attribute}: take a photo of something on sale")
    return found[1]


def run(url: str, cookie: str, preset: str, node: Path | None) -> dict[str, Any]:
    """One report."""
    command = (
        [str(node / "node_modules/.bin/lighthouse")] if node else ["npx", "--yes", "lighthouse"]
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command += [url, "--quiet", "--output=json", f"--output-path={path}"]
        command += [f"--only-categories={','.join(CATEGORIES)}"]
        command += [f"--extra-headers={json.dumps({'Cookie': cookie})}"]
        command += ["--chrome-flags=--headless=new --no-sandbox"]
        command += ["--preset=desktop"] if preset == "desktop" else []
        env = {"CHROME_PATH": "/usr/bin/chromium", **os.environ}
        subprocess.run(command, check=True, env=env, timeout=600)
        report: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return report


def summed(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians, and the audits of the last report that are not whole."""
    scores = {
        name: statistics.median(r["categories"][name]["score"] * 100 for r in reports)
        for name in CATEGORIES
    }
    numbers = {
        name: round(statistics.median(r["audits"][name]["numericValue"] for r in reports), 3)
        for name in NUMBERS
    }
    last = reports[-1]
    found = {
        name: audit["score"]
        for name, audit in last["audits"].items()
        if audit["score"] is not None and audit["score"] < 1
    }
    return {"runs": len(reports), "scores": scores, **numbers, "below_1": found}


def main() -> None:
    given = arguments(__doc__, folder=None, photo=None, runs=1, node=None).parse_args()
    results: dict[str, Any] = {"load_average_before": round(os.getloadavg()[0], 1)}
    with Served(given.folder) as served:
        for page in PAGES:
            for preset in ("phone", "desktop"):
                taken = [place(page, served.url, given.photo) for _ in range(given.runs)]
                reports = [run(*one, preset, given.node) for one in taken]
                results.setdefault(page, {})[preset] = summed(reports)
                results["lighthouse"] = reports[-1]["lighthouseVersion"]
    write("lighthouse", results, given.out)


if __name__ == "__main__":
    main()
