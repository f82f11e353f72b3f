"""A stage that begins while the one before it still waits: what it sees, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from weakref import WeakSet

import pytest

from lensback import headstart
from lensback.errors import ConfigError, Stopped
from lensback.types import Tally

PATIENCE_S = 300


def test_each_key_comes_once_and_the_last_look_is_after_the_end() -> None:
    there, seen, shown = ["a"], SimpleQueue[str](), list[tuple[int, int]]()
    kept: list[Tally] = []

    def work(coming: headstart.Coming, tally: Tally) -> None:
        for key in coming.keys(lambda: iter(list(there))):
            seen.put(key)
            tally.done += 1

    with headstart.begun(work, Tally("embed"), kept.append) as coming:
        step = coming.progress(lambda done, total: shown.append((done, total)))
        for key in "bc":
            there.append(key)
            step(len(there), 9)
            while seen.get(timeout=PATIENCE_S) != key:
                pass
        there.append("d")
    assert seen.get(timeout=PATIENCE_S) == "d"
    assert [tally.done for tally in kept] == [4]
    assert shown == [(2, 9), (3, 9)]


class Key(str):
    """A string that can be asked whether it is still held."""


def test_what_was_handed_over_long_ago_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headstart, "REMEMBERED", 8)
    coming, held, done = headstart.Coming(), WeakSet[Key](), list[str]()
    coming.end()

    def look() -> Iterator[Key]:
        for n in range(1000):
            held.add(key := Key(f"{n:04}"))
            yield key
            if not n % 5:  # in hand, and not yet kept: found by a page that was read before
                yield Key(key)

    for key in coming.keys(look):
        done.append(f"{key}")
        assert len(held) <= 8 + 3
    assert done == [f"{n:04}" for n in range(1000)]


def test_who_breaks_off_leaves_what_has_come() -> None:
    met: list[BaseException] = []
    kept: list[Tally] = []
    begun = SimpleQueue[str]()

    def endless() -> Iterator[str]:
        n = 0
        while True:
            n += 1
            yield str(n)

    def work(coming: headstart.Coming, tally: Tally) -> None:
        try:
            for key in coming.keys(endless):
                tally.done = 1
                begun.put(key)
        except Stopped as error:
            met.append(error)
            raise

    def broken_off() -> None:
        with headstart.begun(work, Tally("embed"), kept.append) as coming:
            coming.progress(lambda _done, _total: None)(1, 2)
            begun.get(timeout=PATIENCE_S)
            raise ConfigError("away", hint="")

    with pytest.raises(ConfigError, match="away"):
        broken_off()
    assert len(met) == 1
    assert [tally.done for tally in kept] == [1], "what it did is done"


def test_what_it_fails_at_is_not_told_twice() -> None:
    kept: list[Tally] = []

    def work(_coming: headstart.Coming, _tally: Tally) -> None:
        raise ConfigError("broken", hint="")

    with headstart.begun(work, Tally("embed"), kept.append):
        pass
    assert kept == [], "it did nothing"


def test_two_runs_of_a_stage_are_one_tally() -> None:
    one = Tally("embed", 3, 1, seconds=2.0, notes={"lost": 2, "snapshot": "x"})
    other = Tally("embed", 4, 2, seconds=9.0, notes={"lost": 3, "gone": 1, "snapshot": "y"})
    one.rejected["BadImage"] = 1
    other.rejected.update({"BadImage": 2, "TooLarge": 1})
    one.add(other)
    assert (one.done, one.skipped, one.seconds) == (7, 3, 11.0)
    assert dict(one.rejected) == {"BadImage": 3, "TooLarge": 1}
    assert one.notes == {"lost": 5, "gone": 1, "snapshot": "x"}
