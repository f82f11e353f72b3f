"""Feeds that mean harm, large: `python bench/feeds_attacked.py [--bytes 8000000]`.

The long form of `tests/hostile/test_hostile_feeds.py`: every feed of `tests/hostile_feeds.py`, every
HTTP and FTP server that means harm, in one real sync beside a store that is well.
"""

from __future__ import annotations

import os
import subprocess
import sys

from rig import REPOSITORY, arguments, write


def main() -> int:
    """The exit code of the test; how long each part took is in the JSON."""
    given = arguments(__doc__, bytes=8_000_000).parse_args()
    test = [sys.executable, "-m", "pytest", "-q", "--durations=9"]
    done = subprocess.run(
        [*test, "tests/hostile/test_hostile_feeds.py"],
        cwd=REPOSITORY,
        env=os.environ | {"HOSTILE_BYTES": str(given.bytes)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    told = done.stdout.splitlines()[-20:]
    write(
        "feeds_attacked",
        {"bytes_of_a_feed": given.bytes, "passed": not done.returncode, "told": told},
        given.out,
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
