"""Feeds that mean harm, large: `python bench/feeds_attacked.py [--bytes 8000000]`.

The long form of `tests/hostile/test_hostile_feeds.py`: every feed of `tests/hostile_feeds.py`, every
HTTP and FTP server that means harm, in one real sync beside a store that is well.
"""

from __future__ import annotations

import sys

from rig import arguments, tested, write


def main() -> int:
    """0 where all was read rightly; how long each part took is in the JSON."""
    given = arguments(__doc__, bytes=8_000_000).parse_args()
    passed, told = tested("tests/hostile/test_hostile_feeds.py", HOSTILE_BYTES=str(given.bytes))
    figures = {"bytes_of_a_feed": given.bytes, "passed": passed, "told": told[-20:]}
    write("feeds_attacked", figures, given.out)
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
