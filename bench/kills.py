"""Syncs and writers of the index killed with `kill -9` at many moments: `python bench/kills.py [--kills 40]`.

The long form of tests that kill a few times each, `tests/test_sync.py`, `tests/behaviour/test_indexes.py`
and `tests/test_milvus.py`: whatever moment it was, the next run ends in what one undisturbed run makes.
"""

from __future__ import annotations

import sys

from rig import arguments, tested, write

TESTS = (
    "tests/test_sync.py::test_kill_9_at_random_moments_ends_as_one_clean_run",
    "tests/behaviour/test_indexes.py::test_killed_at_any_moment",
    "tests/test_milvus.py::test_killed_at_any_moment",
)


def main() -> int:
    """0 where every test passed; the JSON tells which did."""
    given = arguments(__doc__, kills=40).parse_args()
    often = str(given.kills)
    passed = {name: tested(name, SYNC_KILLS=often, INDEX_KILLS=often)[0] for name in TESTS}
    write("kills", {"kills_each": given.kills, "passed": passed}, given.out)
    return int(not all(passed.values()))


if __name__ == "__main__":
    sys.exit(main())
