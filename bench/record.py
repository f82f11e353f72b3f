"""What every benchmark shares: where the data is, and one JSON a script with machine and revision."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lensback import __version__

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("LENSBACK_DATA", REPOSITORY / ".." / "shared" / "data")).resolve()
RESULTS = REPOSITORY / "bench" / "results"


def revision() -> str:
    """The commit that was measured, with `+` where the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip() or __version__


def write(name: str, figures: Mapping[str, Any], out: Path | None = None) -> Path:
    """Writes and prints `bench/results/NAME.json`."""
    record = {
        "name": name,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "revision": revision(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **figures,
    }
    path = out or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(record, indent=2, ensure_ascii=False))
    return path


def wilson(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); (0, 1) where there is nothing."""
    if n == 0:
        return 0.0, 1.0
    z = 1.959964
    p, d = right / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / d
    half = z * ((p * (1 - p) + z * z / (4 * n)) / n) ** 0.5 / d
    return round(middle - half, 4), round(middle + half, 4)


def share(right: int, n: int) -> dict[str, Any]:
    """A share with its interval and sample size."""
    return {"share": round(right / n, 4) if n else None, "n": n, "interval95": wilson(right, n)}
