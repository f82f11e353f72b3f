"""Feeds that mean harm, large: `python bench/hostile_feeds.py [BYTES]` (8,000,000 each by default).

The long form of `tests/hostile/test_hostile_feeds.py`: every feed of `tests/hostile_feeds.py`, every
HTTP and FTP server that means harm, in one real sync beside a store that is well.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """The exit code of the test."""
    size = {"HOSTILE_BYTES": sys.argv[1] if sys.argv[1:] else "8000000"}
    test = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--durations=9",
        "tests/hostile/test_hostile_feeds.py",
    ]
    return subprocess.run(test, cwd=ROOT, env=os.environ | size, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
