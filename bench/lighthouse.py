"""Lighthouse on the shopper's page: `python bench/lighthouse.py --url http://127.0.0.1:8000/ [--runs 3]`.

Needs Node, `npm install lighthouse` in the folder named by --node (npx fetches it otherwise), and
Chromium at CHROME_PATH. Takes the first page, as a phone and as a desktop; keeps the median of each
score and what the last run found below 1. Not a part of the test suite: Lighthouse is no Python.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from rig import arguments, write

CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
NUMBERS = (
    "first-contentful-paint",
    "largest-contentful-paint",
    "total-blocking-time",
    "cumulative-layout-shift",
    "total-byte-weight",
)


def run(url: str, preset: str, node: Path | None) -> dict[str, Any]:
    """One report."""
    command = (
        [str(node / "node_modules/.bin/lighthouse")] if node else ["npx", "--yes", "lighthouse"]
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command += [url, "--quiet", "--output=json", f"--output-path={path}"]
        command += [f"--only-categories={','.join(CATEGORIES)}"]
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
    given = arguments(__doc__, url="http://127.0.0.1:8000/", runs=3, node=None).parse_args()
    results: dict[str, Any] = {"load_average_before": round(os.getloadavg()[0], 1)}
    for preset in ("phone", "desktop"):
        reports = [run(given.url, preset, given.node) for _ in range(given.runs)]
        results[preset] = summed(reports)
        results["lighthouse"] = reports[-1]["lighthouseVersion"]
    write("lighthouse", results, given.out)


if __name__ == "__main__":
    main()
