"""Feed readers of two commits beside each other: `python bench/feeds_beside.py --before REVISION [--offers N]`.

The files of bench/feeds.py are read by the readers of both commits in turn, each in a process of its own, so that whatever
else the machine does falls on both. What counts is the ratio of processor times, the median over the turns, and
the peaks of memory.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from feeds import AWIN, NARROW, write_table, write_yml
from rig import REPOSITORY, arguments, child, write


def turn(tree: Path, path: Path, expected: int) -> dict[str, Any]:
    """One reading by the readers of the commit that is checked out in `tree`."""
    source = {"PYTHONPATH": f"{tree / 'src'}:{tree / 'bench'}", "PYTHONDONTWRITEBYTECODE": ""}
    found = child(str(tree / "bench" / "feeds.py"), "--one", "read", path, **source)
    if found["n"] != expected:
        raise SystemExit(f"{tree} found {found['n']} of {expected} offers")
    return found


def beside(before: Path, path: Path, n: int, repeat: int) -> dict[str, Any]:
    """Seconds and memory of both, and how they relate in each turn."""
    turns = [(turn(before, path, n), turn(REPOSITORY, path, n)) for _ in range(repeat)]
    ratios = [now["s"] / then["s"] for then, now in turns]
    return {
        "before_s": round(min(then["s"] for then, _ in turns), 2),
        "now_s": round(min(now["s"] for _, now in turns), 2),
        "ratio": round(median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "before_peak_mb": max(then["peak_mb"] for then, _ in turns),
        "now_peak_mb": max(now["peak_mb"] for _, now in turns),
    }


def main() -> None:
    chosen = arguments(__doc__, before="HEAD~1", offers=30_000, repeat=5).parse_args()
    n = chosen.offers
    figures: dict[str, Any] = {"before": chosen.before, "offers": n, "repeat": chosen.repeat}
    with tempfile.TemporaryDirectory() as name:
        tree, path = Path(name) / "before", Path(name) / "feed"
        git = ["git", "-C", str(REPOSITORY), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(tree), chosen.before], check=True)
        try:
            write_yml(path, n)
            figures["yml"] = beside(tree, path, n, chosen.repeat)
            for named, columns in (("awin_36_columns", AWIN), ("awin_12_columns", NARROW)):
                write_table(path, n, columns)
                figures[named] = beside(tree, path, n, chosen.repeat)
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    figures["load_average"] = os.getloadavg()[0]
    write("feeds_beside", figures, chosen.out)


if __name__ == "__main__":
    main()
