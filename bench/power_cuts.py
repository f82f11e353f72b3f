"""Power cuts at every call of a run of four days: `python bench/power_cuts.py [--cuts N] [--days N]`.

The long form of `tests/hostile/test_powercut.py`, which tries a thousand over one day: clicks,
sales and payouts of a real `serve` and `ledger pay`, the disk as a cut leaves it, and what of the
answers is missing, doubled or not proven then.
"""

from __future__ import annotations

import os
import subprocess
import sys

from rig import REPOSITORY, arguments, write


def main() -> int:
    """The exit code of the test; how many cuts were tried and what was wrong is in the JSON."""
    given = arguments(__doc__, cuts=10_000, days=4).parse_args()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "tests/hostile/test_powercut.py"],
        cwd=REPOSITORY,
        env=os.environ | {"POWER_CUTS": str(given.cuts), "POWER_DAYS": str(given.days)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    told = [line for line in done.stdout.splitlines() if "power cuts, " in line]
    write(
        "power_cuts",
        {"cuts": given.cuts, "days": given.days, "passed": not done.returncode, "told": told},
        given.out,
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
