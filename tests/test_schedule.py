"""When a sync is due: periods and cron lines, missed runs, clocks that go back."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lensback import schedule
from lensback.errors import BadQuery
from lensback.schedule import parse

MONDAY = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(schedule).failed == 0


def after(text: str, when: datetime = MONDAY) -> str:
    at = int(when.timestamp())
    return f"{datetime.fromtimestamp(parse(text).due_at(at, at), UTC):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("30m", "2026-11-23 11:00"),
        ("6h", "2026-11-23 16:30"),
        ("2 d", "2026-11-25 10:30"),
        ("0 */6 * * *", "2026-11-23 12:00"),
        ("15 4 * * *", "2026-11-24 04:15"),
        ("30 10 * * *", "2026-11-24 10:30"),
        ("*/20 9-11 * * *", "2026-11-23 10:40"),
        ("0 0 * * 7", "2026-11-29 00:00"),
        ("0 0 * * 0", "2026-11-29 00:00"),
        ("0 0 1 * *", "2026-12-01 00:00"),
        ("0 0 1 * 3", "2026-11-25 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("5,10 0 31 1-12/2 *", "2027-01-31 00:05"),
    ],
)
def test_what_comes_next(text: str, then: str) -> None:
    assert after(text) == then


@pytest.mark.parametrize(
    "text",
    [
        *("", "6", "h", "0h", "-1h", "6 hours", "1w", "* * * *", "* * * * * *", "60 * * * *"),
        *("* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *"),
        *("a * * * *", "0 0 30 2 *", "9" * 90 + "h", "1,,2 * * * *"),
    ],
)
def test_what_is_no_schedule_says_how_to_write_one(text: str) -> None:
    with pytest.raises(BadQuery) as told:
        parse(text)
    assert "6h" in told.value.hint


def test_missed_runs_are_one_and_a_clock_that_went_back_delays_nothing() -> None:
    plan, now = parse("1h"), int(MONDAY.timestamp())
    assert plan.due_at(now - 10 * 3600, now) <= now, "ten missed: due at once"
    assert plan.due_at(now, now) == now + 3600, "and then only once"
    assert plan.due_at(None, now) == now
    assert plan.due_at(now + 86_400, now) == now, "a run of tomorrow was written by a wrong clock"


def test_usual_gap() -> None:
    now = int(MONDAY.timestamp())
    assert parse("90m").usual_s(now) == 5400
    assert parse("0 4 * * 1-5").usual_s(now) == 3 * 86_400, "over the weekend"


# A field as it is written, and the numbers that it stands for.
MINUTES = {
    "*": range(60),
    "0": [0],
    "*/7": range(0, 60, 7),
    "3-40/5": range(3, 41, 5),
    "50/5": [50, 55],
}
HOURS = {"*": range(24), "5": [5], "1-6": range(1, 7), "*/8": [0, 8, 16], "7,9": [7, 9]}
DAYS = {"*": range(1, 32), "1": [1], "28-31": [28, 29, 30, 31]}
MONTHS = {"*": range(1, 13), "2": [2], "6-12": range(6, 13)}
WEEKDAYS = {"*": range(7), "0": [0], "7": [0], "1-5": [1, 2, 3, 4, 5]}


@settings(max_examples=150, deadline=None)
@given(
    *(st.sampled_from(sorted(known)) for known in (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS)),
    st.integers(0, 2_000_000_000),
)
def test_cron_against_looking_at_every_minute(
    minute: str, hour: str, day: str, month: str, weekday: str, after_s: int
) -> None:
    plan = parse(f"{minute} {hour} {day} {month} {weekday}")
    found = datetime.fromtimestamp(plan.due_at(after_s, after_s), UTC)

    def matches(when: datetime) -> bool:
        by_day, by_week = when.day in DAYS[day], when.isoweekday() % 7 in WEEKDAYS[weekday]
        fits = by_day or by_week if "*" not in {day, weekday} else by_day and by_week
        clock = when.minute in MINUTES[minute] and when.hour in HOURS[hour]
        return clock and when.month in MONTHS[month] and fits

    assert found.timestamp() > after_s
    assert matches(found)
    step = datetime.fromtimestamp(after_s, UTC).replace(second=0) + timedelta(minutes=1)
    for _ in range(300):
        if step >= found:
            break
        assert not matches(step)
        step += timedelta(minutes=1)
