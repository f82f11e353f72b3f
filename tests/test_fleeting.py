"""What is kept for a short time goes in time, by weight, and alone."""

from __future__ import annotations

import time
from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from lensback.fleeting import Fleeting

SECONDS, MOST = 10, 20
EVENTS = st.lists(
    st.tuples(st.sampled_from(["put", "get"]), st.sampled_from("abcd"), st.integers(1, 25), st.integers(0, 6)),
    max_size=40,
)  # fmt: skip


@given(EVENTS)
def test_it_holds_what_a_plain_model_holds(events: list[tuple[str, str, int, int]]) -> None:
    now = [0.0]
    kept: Fleeting[int] = Fleeting(SECONDS, MOST, float, clock=lambda: now[0])
    model: OrderedDict[str, tuple[float, int]] = OrderedDict()
    for verb, key, weight, passed in events:
        now[0] += passed
        model = OrderedDict((k, v) for k, v in model.items() if now[0] - v[0] < SECONDS)
        if verb == "put" and weight <= MOST:
            kept.put(key, weight)
            model.pop(key, None)
            model[key] = (now[0], weight)
            while sum(value for _, value in model.values()) > MOST:
                model.popitem(last=False)
        elif verb == "put":
            kept.put(key, weight)
        else:
            assert kept.get(key) == (model[key][1] if key in model else None)


def test_it_goes_where_nobody_asks_any_more() -> None:
    now = [0.0]
    kept: Fleeting[str] = Fleeting(0.2, 5, clock=lambda: now[0])
    kept.put("a", "x")
    now[0] = 0.1
    kept.put("b", "y")
    assert len(kept) == 2
    now[0] = 1.0
    end = time.monotonic() + 120
    while len(kept) and time.monotonic() < end:
        time.sleep(0.02)
    assert not len(kept)


def test_nothing_is_kept_for_no_time() -> None:
    kept: Fleeting[str] = Fleeting(0, 5)
    kept.put("a", "x")
    assert kept.get("a") is None
