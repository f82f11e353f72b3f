"""Power cuts at every call of a run of four days: `python bench/power_cuts.py [--cuts N] [--days N]`.

The long form of `tests/hostile/test_powercut.py`, which tries a thousand over one day: clicks,
sales and payouts of a real `serve` and `ledger pay`, the disk as a cut leaves it, and what of the
answers is missing, doubled or not proven then.
"""

from __future__ import annotations

import sys

from rig import arguments, tested, write


def main() -> int:
    """0 where nothing was wrong; how many cuts were tried and what was wrong is in the JSON."""
    given = arguments(__doc__, cuts=10_000, days=4).parse_args()
    passed, told = tested(
        "tests/hostile/test_powercut.py", POWER_CUTS=str(given.cuts), POWER_DAYS=str(given.days)
    )
    lost = [line for line in told if "power cuts, " in line]
    figures = {"cuts": given.cuts, "days": given.days, "passed": passed, "told": lost}
    write("power_cuts", figures, given.out)
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
