"""Power cuts at every call of a run of four days: `python bench/power_cuts.py [CUTS] [DAYS]`.

The long form of `tests/hostile/test_powercut.py`, which tries a thousand over one day: clicks,
sales and payouts of a real `serve` and `ledger pay`, the disk as a cut leaves it, and what of the
answers is missing, doubled or not proven then. It prints how many were tried and what was wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """The exit code of the test."""
    cuts, days = (*sys.argv[1:], "10000", "4")[:2]
    sizes = {"POWER_CUTS": cuts, "POWER_DAYS": days}
    test = [sys.executable, "-m", "pytest", "-q", "-s", "tests/hostile/test_powercut.py"]
    return subprocess.run(test, cwd=ROOT, env=os.environ | sizes, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
