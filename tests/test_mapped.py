"""What waits in files is what was given, and is no memory of the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lensback import mapped
from lensback.mapped import BLOCK, Latest, NameLists, Records, in_name_order


@pytest.mark.parametrize("n", [0, 1, 5, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_numbers_are_sorted_and_counted_as_in_memory(n: int) -> None:
    drawn = np.random.default_rng(n).integers(-n, n + 1, n)
    given = mapped.collected((drawn[at : at + 1000] for at in range(0, n, 1000)), np.int64)
    assert np.array_equal(given, drawn)
    ascending = mapped.in_order(given)
    assert np.array_equal(ascending, np.sort(drawn))
    assert np.array_equal(given, drawn), "the given ones stay as they are"
    assert mapped.distinct(ascending) == len(np.unique(drawn))
    values, counts = np.unique(drawn, return_counts=True)
    again = [number for block in mapped.repeated(ascending) for number in block.tolist()]
    assert sorted(set(again)) == values[counts > 1].tolist()
    assert mapped.zeros(n, np.int32).tolist() == [0] * n


def test_rows_come_in_the_order_they_were_added() -> None:
    kept = Records("=id")
    rows = [(n, n / 4) for n in range(BLOCK + 10)]
    for at, row in enumerate(rows):
        if at % BLOCK == 1:
            assert list(kept) == rows[:at], "what was added so far"
        kept.add(*row)
    assert (len(kept), list(kept)) == (len(rows), rows)


def test_the_latest_are_kept_and_the_oldest_make_room() -> None:
    latest = Latest(3, 10)
    told = {name: name.encode() * n for n, name in enumerate(["z", "a", "ü", "bcd", "e"])}
    for name, some in told.items():
        latest.put(name, some)
    assert {name: latest.get(name) for name in told} == told | {"z": None, "a": None}
    latest.put("a", b"0123456789")
    assert [latest.get(name) for name in ("ü", "bcd", "e", "a")] == [
        None, told["bcd"], told["e"], b"0123456789",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="11 bytes"):
        latest.put("f", b"01234567890")


def test_what_the_disk_has_no_room_for_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    latest, bare = Latest(2, 10), os.pwrite
    for name in "ab":
        latest.put(name, name.encode())

    def full(*_: object) -> int:
        raise OSError(28, "no space left on device")

    for broken in (full, lambda file, data, at: bare(file, data[:-1], at)):
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", broken)
            latest.put("c", b"cc")
        assert [latest.get(name) for name in "abc"] == [None, b"b", None]
    latest.put("c", b"cc")
    assert [latest.get(name) for name in "abc"] == [None, b"b", b"cc"]


def test_names_are_found_as_in_a_mapping() -> None:
    given = {"": ["x"], "a": [], "b": ["ü", "帽子"], "ba": ["1", "2", "3"], "é": ["same"]}
    named = NameLists(sorted(given.items()))
    assert named == given
    assert (len(named), list(named), dict(named.items())) == (5, list(given), given)
    assert [*in_name_order(named)] == [*in_name_order(given)] == sorted(given.items())
    assert "bb" not in named
    assert named.get("c", ()) == ()
    assert (len(NameLists([])), "a" in NameLists([])) == (0, False)


@pytest.mark.parametrize("names", [["b", "a"], ["a", "a"]])
def test_names_that_do_not_ascend_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match="'a' after"):
        NameLists((name, []) for name in names)


HELD = """
import re, sys
from pathlib import Path
import numpy as np
from lensback import mapped

def own_mb():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10

before = own_mb()
numbers = mapped.in_order(mapped.zeros(5_000_000, np.int64))
rows = mapped.Records("=qq")
for n in range(500_000):
    rows.add(n, n)
named = mapped.NameLists((f"{n:040x}", ["x" * 100]) for n in range(200_000))
assert (mapped.distinct(numbers), sum(1 for _ in rows), named[f"{9:040x}"][0][0]) == (1, 500_000, "x")
print(own_mb() - before)
"""


def test_seventy_megabytes_are_held_by_few(tmp_path: Path) -> None:
    line = [sys.executable, "-c", HELD]
    assert int(subprocess.run(line, check=True, capture_output=True, text=True).stdout) < 12


@pytest.mark.parametrize("place", ["missing", "full"])
@pytest.mark.parametrize("kept", ["Records('=q')", "Latest(9, 99)"])
def test_who_has_no_room_hears_it_once(kept: str, place: str, tmp_path: Path) -> None:
    """The error reaches the caller, and nothing is printed beside it when the rows are forgotten."""
    code = """
import resource, signal, sys, tempfile
from lensback.mapped import Latest, Records
if sys.argv[1] == "missing":
    tempfile.tempdir = sys.argv[2] + "/missing"
else:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    kept = eval(sys.argv[3])
    for n in range(100_000):
        kept.add(n) if isinstance(kept, Records) else kept.put(str(n), bytes(99))
except OSError as error:
    print(type(error).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, place, tmp_path, kept],
        capture_output=True,
        text=True,
        check=True,
    )
    heard = {"missing": "FileNotFoundError\n", "full": "OSError\n"}[place]
    # What was made last is not needed: where there is no room for it, it is made anew.
    assert done.stdout == ("" if (place, kept[0]) == ("full", "L") else heard)
    assert done.stderr == ""
