"""Money where several processes write at once: tried on a real PostgreSQL.

Each test stops the first writer between its reading and its writing and lets a second one go: it has
to wait for the first, and then to see what the first has done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from lensback import ledger
from lensback.db import Database
from servers import Postgres
from test_ledger import AT, USER, click, news, told

SECOND_S = 1.0
"""How long the first writer waits for a second one that does not wait for it."""


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.url(postgres.database("migrated"))


@pytest.fixture
def first(url: str) -> Iterator[Database]:
    database = Database(url)
    ledger.apply(database, [click("c1")])
    yield database
    database.close()


@pytest.fixture
def second(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


def meanwhile(first: Database, after: str, other: Callable[[], Any]) -> list[Any]:
    """When `first` has run a statement with this text, `other` runs in a thread; what it returned."""
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(other()))

    def paused(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if after in statement and thread.ident is None:
            thread.start()
            thread.join(SECOND_S)
            assert thread.is_alive(), "the second writer did not wait for the first"

    event.listen(first.engine, "after_cursor_execute", paused)
    done.append(thread)
    return done


def ended(done: list[Any]) -> Any:
    thread = done.pop(0)
    assert thread.ident is not None, "the statement was never run"
    thread.join(240)
    (result,) = done
    return result


def test_two_payouts_at_once_pay_once(first: Database, second: Database) -> None:
    told(first, news("approved", 1000))
    done = meanwhile(first, "sum(entries.minor)", lambda: ledger.pay(second, USER, "t2", at=AT))
    assert ledger.pay(first, USER, "t1", at=AT).sales == 1
    assert ended(done).sales == 0
    assert ledger.balances(first)["EUR"]["cashback_paid"] == -600
    assert ledger.audit(first).proven


def test_two_news_of_one_sale_at_once_end_in_its_state(first: Database, second: Database) -> None:
    """Both read the sale's events before either has written its entries, if nobody waits."""
    told(first, news("pending", 1000))
    done = meanwhile(
        first,
        "FROM conversion_events \nWHERE conversion_events.conversion_id",
        lambda: told(second, news("approved", 900, changed_at=5)),
    )
    assert told(first, news("approved", 800, changed_at=4)).new == 1
    assert ended(done).new == 1
    assert ledger.balances(first)["EUR"] == {
        "commission_due": 900,
        "cashback_due": -540,
        "our_share": -360,
    }
    assert ledger.audit(first).proven
