"""News that are dated in the future: refused and counted, whoever tells them; none stands behind what is
told later."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import insert, select

from lensback import conversions, ledger
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import PostbackError
from lensback.ledger.sale import MOST_AHEAD_S, digest
from lensback.networks import open_network
from test_ledger import AT, click, eur, news, told

AHEAD = AT + MOST_AHEAD_S
SAYS = {
    "changed_at": "changed_at lies in the future",
    "ordered_at": "ordered_at lies in the future",
}


@pytest.fixture
def one(db: Database) -> Database:
    ledger.apply(db, [click("c1")])
    return db


@pytest.mark.parametrize("field", SAYS)
@pytest.mark.parametrize("verb", ["record", "observe"])
@pytest.mark.parametrize("ahead_s", [0, 1, 86_400 * 40, 4_102_444_799 - AHEAD])
def test_a_time_ahead_is_refused_from_a_day_on(
    one: Database, verb: str, field: str, ahead_s: int
) -> None:
    first = news("approved", 1000, **{field: AHEAD + ahead_s})
    more = news("approved", 500, external_id="s2")
    tell = {
        "record": lambda *many: ledger.record(one, many, at=AT, source="x"),
        "observe": lambda *many: ledger.observe(one, many, at=AT),
    }[verb]
    done = tell(first, more)
    assert dict(done.rejected) == ({SAYS[field]: 1} if ahead_s else {})
    assert done.new == (1 if ahead_s else 2), "the others are taken"
    tell(news("declined", 1000, changed_at=AT + 5))
    assert ledger.audit(one).differences == []


ZONES = ["+14:00", "+03:00", "Z", "-05:00", "-12:00"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("days", [0, 1, 2, 3650])
def test_a_call_that_is_dated_ahead_is_refused_in_every_zone(zone: str, days: int) -> None:
    """The very moment counts: as it is written may be tomorrow already, or still yesterday."""
    offset = zone.replace("Z", "+00:00")
    hour, minute = int(offset[1:3]), int(offset[4:])
    shift = timedelta(hours=hour, minutes=minute) * (-1 if offset[0] == "-" else 1)
    local = datetime.fromtimestamp(AT + days * 86_400, timezone(shift)).replace(tzinfo=None)
    call = {
        "external_id": "s1",
        "status": "approved",
        "commission": "1",
        "currency": "EUR",
        "changed_at": local.isoformat() + zone,
        "secret": "s",
    }
    account = {"postback_secret": "s"}
    if days <= 1:
        found = conversions.receive(open_network("generic"), call, account, at=AT)
        assert found.changed_at == AT + days * 86_400
    else:
        with pytest.raises(PostbackError, match="changed_at lies in the future"):
            conversions.receive(open_network("generic"), call, account, at=AT)


def test_a_decline_of_before_that_is_dated_ahead_blocks_nothing(one: Database) -> None:
    """As it was recorded by a version that took every date."""
    told(one, news("approved", 1000, changed_at=AT - 50))
    poison = news("declined", 1000, changed_at=4_000_000_000)
    with one.write() as c:
        first = c.execute(select(t.conversion_events)).mappings().one()
        values = {k: v for k, v in first.items() if k != "id"}
        said = {"status": "declined", "changed_at": poison.changed_at, "digest": digest(poison)}
        c.execute(insert(t.conversion_events).values(**{**values, **said, "received_at": AT}))
    told(one, news("pending", 1, external_id="s9"))
    ledger.record(one, [news("approved", 1200, changed_at=AT + 60)], at=AT + 99, source="x")
    assert eur(one)["commission_due"] == 1200
    assert not [text for text in ledger.audit(one).differences if "events say" in text]
    later = ledger.observe(one, [news("declined", 1200, changed_at=AT + 200)], at=AT + 300)
    assert (later.new, "commission_due" in eur(one)) == (1, False)


def test_what_stands_behind_a_date_of_tomorrow_stays_there(one: Database) -> None:
    told(one, news("declined", 1000, changed_at=AHEAD))
    for n in range(3):
        done = ledger.observe(one, [news("approved", 1000)], at=AT + n)
        assert done.new == (1 if n == 0 else 0), "told once, and not at each pull"
    assert eur(one)["commission_due"] == 1000
    assert ledger.audit(one).differences == []
