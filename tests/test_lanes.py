"""Lanes: bounds in all and per lane, nobody behind a slow lane, stop and early end."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from threading import Event, Lock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lensback.errors import Stopped
from lensback.lanes import LaneLimits, run

Item = tuple[str, int]


def lane_of(item: Item) -> str:
    return item[0]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), max_size=60),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_every_item_once_within_the_bounds(items: list[Item], jobs: int, per_lane: int) -> None:
    running: Counter[str] = Counter()
    worst: Counter[str] = Counter()
    lock = Lock()

    def work(item: Item) -> int:
        with lock:
            running[item[0]] += 1
            running["all"] += 1
            for name in (item[0], "all"):
                worst[name] = max(worst[name], running[name])
        time.sleep(0.0003)
        with lock:
            running[item[0]] -= 1
            running["all"] -= 1
        return item[1] * 2

    done = list(run(items, work, lane=lane_of, limits=LaneLimits(jobs, per_lane), halt=Event()))
    assert Counter(item for item, _ in done) == Counter(items)
    assert all(result == item[1] * 2 for item, result in done)
    assert worst.pop("all", 0) <= jobs
    assert all(n <= per_lane for n in worst.values())


def test_a_slow_lane_does_not_delay_the_others() -> None:
    items = [("slow", n) for n in range(200)] + [(f"quick{n}", n) for n in range(50)]
    free = Event()
    quick: list[str] = []

    def work(item: Item) -> None:
        if item[0] == "slow":
            assert free.wait(240)

    for item, _ in run(items, work, lane=lane_of, limits=LaneLimits(4, 2), halt=Event()):
        quick.append(item[0])
        if len(quick) == 50:
            assert "slow" not in quick
            free.set()
    assert len(quick) == 250


def test_a_full_queue_leaves_over_only_what_is_behind() -> None:
    items = [("slow", n) for n in range(100)] + [("quick", n) for n in range(3)]
    free, left = Event(), []
    done = []
    limits = LaneLimits(3, 1, waiting=10)
    work = lambda item: free.wait(240) if item[0] == "slow" else None  # noqa: E731
    for item, _ in run(
        items, work, lane=lane_of, limits=limits, halt=Event(), left_over=left.append
    ):
        done.append(item)
        if [name for name, _ in done].count("quick") == 3:
            free.set()
    assert [name for name, _ in done[:3]] == ["quick"] * 3
    assert {name for name, _ in left} == {"slow"}
    assert sorted(done + left) == sorted(items)


def test_a_delay_lies_between_two_starts_of_a_lane() -> None:
    starts: list[float] = []
    items = [("a", n) for n in range(4)]
    limits = LaneLimits(4, 4, delay_s=lambda _: 0.05)
    list(
        run(
            items,
            lambda _: starts.append(time.monotonic()),
            lane=lane_of,
            limits=limits,
            halt=Event(),
        )
    )
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    assert all(gap > 0.04 for gap in gaps)


def test_a_stop_ends_it_and_an_early_end_stops_the_work() -> None:
    halt = Event()
    items = [("a", n) for n in range(1000)]
    jobs = run(items, lambda _: None, lane=lane_of, limits=LaneLimits(2, 2), halt=halt)
    next(jobs)
    halt.set()
    with pytest.raises(Stopped):
        list(jobs)
    halt = Event()
    told = []

    def work(_: Item) -> None:
        told.append(halt.wait(240))

    quick_first = [("q", 0), *items]
    early = run(
        quick_first,
        lambda i: None if i[0] == "q" else work(i),
        lane=lane_of,
        limits=LaneLimits(3, 2),
        halt=halt,
    )
    next(early)
    early.close()
    assert halt.is_set()
    assert all(told)
    assert not [t for t in threading.enumerate() if t.name.startswith("lane")]


def test_a_bug_in_the_work_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        list(
            run(
                [("a", 0)], lambda i: 1 // i[1], lane=lane_of, limits=LaneLimits(1, 1), halt=Event()
            )
        )
