"""Breakers of feeds and hosts, and the one word an operator reads."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import func, insert, select, update

from lensback.catalogue import health, stores
from lensback.catalogue.health import BREAK_AFTER, LONGEST_S, PAUSE_S, Hosts
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import BadQuery, UnknownName
from lensback.schedule import parse


@pytest.fixture
def feed_id(db: Database) -> int:
    stores.add(db, "s", "https://s.example/feed.xml")
    return stores.feed(db, "s").feed.id


def ended(db: Database, feed_id: int, *statuses: str) -> None:
    for status in statuses:
        stores.note_run(db, feed_id, status, int(time.time()), message="why\nwhat to do")


def of(db: Database) -> health.FeedHealth:
    (found,) = health.feeds(db)
    return found


def shown(db: Database) -> stores.StoreState:
    (state,) = stores.overview(db)
    return state


def test_three_failures_in_a_row_open_the_breaker_and_a_success_closes_it(
    db: Database, feed_id: int
) -> None:
    now = int(time.time())
    ended(db, feed_id, "failed", "truncated")
    assert of(db).waits(now) == ""
    ended(db, feed_id, "failed")
    waits = of(db)
    assert f"failed {BREAK_AFTER} times in a row" in waits.waits(now)
    assert 0.7 * PAUSE_S < waits.retry_at - now < 1.3 * PAUSE_S + 300
    due = waits.due_at(parse("1m"), now)
    assert due is not None
    assert due >= waits.retry_at - 1
    assert of(db).waits(waits.retry_at + 1) == "", "then it is tried again"
    ended(db, feed_id, "unchanged")
    assert (of(db).failures, of(db).waits(now)) == (0, "")


def test_pauses_grow_to_a_day(db: Database, feed_id: int) -> None:
    ended(db, feed_id, *["failed"] * 12)
    away = of(db).retry_at - time.time()
    assert 0.7 * LONGEST_S < away < 1.3 * LONGEST_S


def test_a_feed_that_shrank_waits_for_the_operator_not_for_time(db: Database, feed_id: int) -> None:
    ended(db, feed_id, *["shrank"] * 5)
    assert of(db).failures == 0
    assert "--force" in shown(db).todo


def test_a_clock_that_went_back_holds_nothing_closed(db: Database, feed_id: int) -> None:
    ended(db, feed_id, *["failed"] * 3)
    later = int(time.time()) + 400 * 86_400  # what a clock of next year wrote
    with db.write() as c:
        c.execute(update(t.feed_states).values(retry_at=later))
        c.execute(update(t.feed_runs).values(started_at=later, finished_at=later))
    now = int(time.time())
    assert of(db).waits(now) == ""
    assert of(db).due_at(parse("6h"), now) == now
    assert shown(db).health == "failing"


def test_another_address_is_another_chance(db: Database, feed_id: int) -> None:
    ended(db, feed_id, *["failed"] * 3)
    stores.add(db, "s", "https://s.example/other.xml")
    assert of(db).failures == 0


def test_words(db: Database, feed_id: int) -> None:
    assert (shown(db).health, shown(db).todo) == ("never synced", "run: lensback sync s")
    ended(db, feed_id, "failed")
    assert (shown(db).health, shown(db).message, shown(db).todo) == ("failing", "why", "what to do")
    ended(db, feed_id, "ok")
    assert (shown(db).health, shown(db).todo) == ("fresh", "")
    old = int(time.time()) - 4 * 86_400
    with db.write() as c:
        c.execute(update(t.feed_runs).values(started_at=old, finished_at=old))
    assert shown(db).health == "late"
    health.set_paused(db, "s", True)
    assert shown(db).health == "paused"
    assert "resume" in shown(db).todo
    assert of(db).due_at(parse("1m"), int(time.time())) is None
    health.set_paused(db, "s", False)
    assert shown(db).health == "late"


def test_late_is_measured_by_the_schedule(db: Database, feed_id: int) -> None:
    ended(db, feed_id, "ok")
    ago = int(time.time()) - 5 * 3600
    with db.write() as c:
        c.execute(update(t.feed_runs).values(started_at=ago, finished_at=ago))
    assert shown(db).health == "fresh"
    health.set_schedule(db, "s", "1h")
    assert shown(db).health == "late"
    health.set_schedule(db, "s", "")
    assert shown(db).health == "fresh"
    with pytest.raises(BadQuery):
        health.set_schedule(db, "s", "now and then")
    with pytest.raises(UnknownName):
        health.set_schedule(db, "nobody", "1h")


def test_a_stores_own_schedule_stands_above_the_usual(db: Database, feed_id: int) -> None:
    ended(db, feed_id, "ok")
    health.set_schedule(db, "s", "10m")
    now = int(time.time())
    due = of(db).due_at(parse("6h"), now)
    assert due is not None
    assert 0 < due - now <= 600


def test_a_hundred_runs_are_kept(db: Database, feed_id: int) -> None:
    rows = [
        {"feed_id": feed_id, "started_at": n, "status": "ok", "rejected": {}, "samples": []}
        for n in range(250)
    ]
    with db.write() as c:
        c.execute(insert(t.feed_runs), rows)
    ended(db, feed_id, "ok")
    with db.read() as c:
        count = c.execute(select(func.count()).select_from(t.feed_runs)).scalar_one()
    assert count == health.KEPT_RUNS + 1
    assert len(health.runs(db, "s", 7)) == 7


def test_hosts_open_after_failures_in_a_row_and_are_remembered(db: Database) -> None:
    hosts = Hosts(db)
    for _ in range(2):
        hosts.failed("h.example", "no answer")
    hosts.succeeded("h.example")
    for _ in range(3):
        assert hosts.closed_for("h.example") == ""
        hosts.failed("h.example", "no answer")
    assert "no answer" in hosts.closed_for("h.example")
    hosts.save()
    assert [row[0] for row in health.open_hosts(db)] == ["h.example"]
    assert Hosts(db).closed_for("h.example")
    assert not Hosts(db, trust=True).closed_for("h.example")
    again = Hosts(db)
    again.succeeded("h.example")
    again.save()
    assert health.open_hosts(db) == []


def test_a_breaker_of_a_wrong_clock_is_open_to_all(db: Database) -> None:
    hosts = Hosts(db)
    for _ in range(3):
        hosts.failed("h.example", "no answer")
    hosts.save()
    with db.write() as c:
        c.execute(update(t.hosts).values(retry_at=int(time.time()) + 400 * 86_400))
    assert not Hosts(db).closed_for("h.example")
    assert health.open_hosts(db) == []
