"""A click that was changed after its sale is seen, moves no money, and its person can still be forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from lensback import ledger, people
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import StateError
from lensback.ledger import sold
from lensback.ledger.expected import RULES
from lensback.ledger.sale import digest
from revisions import database_at, old_sale
from servers import Postgres
from test_ledger import AT, TERMS, USER, click, eur, news, told

THIEF = "thief-token-1"
KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/sold.db"
    db = Database(url if request.param == "sqlite" else postgres.url(postgres.database("migrated")))
    db.migrate()
    yield db
    db.close()


@pytest.fixture
def credited(empty: Database) -> Database:
    """A sale of a user, one of nobody, one of a click of another network."""
    other = click("c3")
    other.body["network"] = "elsewhere"
    ledger.apply(empty, [click("c1"), click("c2", ""), other])
    told(empty, *(news("approved", 1000, external_id=f"s{n}", subid=f"c{n}") for n in (1, 2, 3)))
    return empty


def change(db: Database, click_id: str, **values: object) -> None:
    with db.write() as c:
        c.execute(update(t.clicks).where(t.clicks.c.click_id == click_id).values(**values))


CHANGES = {
    "to another user": ("c1", {"user_token": THIEF}, "is another user's now"),
    "to another user with a salt": (
        "c1",
        {"user_token": THIEF, "salt": "00" * 16},
        "is another user's now",
    ),
    "without its salt": ("c1", {"salt": ""}, "is another user's now"),
    "from nobody to a user": ("c2", {"user_token": THIEF}, "is another user's now"),
    "of another network": ("c3", {"user_token": THIEF}, "is another user's now"),
    "its time": ("c1", {"at": AT - 9}, "was changed since: its time"),
    "its network": ("c3", {"network": "demo"}, "was changed since: its network"),
    "its terms": ("c1", {"terms": {**TERMS, "share": "1"}}, "was changed since: its terms"),
    "all": (
        "c1",
        {"at": 1, "network": "x", "terms": {}},
        "was changed since: its time, network, terms",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_click_that_was_changed_after_its_sale_is_seen(credited: Database, what: str) -> None:
    assert ledger.audit(credited).differences == []
    click_id, values, says = CHANGES[what]
    change(credited, click_id, **values)
    before = eur(credited)
    assert ledger.audit(credited).differences == [f"click {click_id} of a sale {says}"]
    # News that come later book by the click as it stood.
    later = news("approved", 1000, external_id=f"s{click_id[1]}", subid=click_id, order_id="7")
    told(credited, later)
    assert eur(credited) == before
    assert ledger.audit(credited).differences == [f"click {click_id} of a sale {says}"]


def test_nothing_is_paid_to_whom_a_click_was_given(credited: Database) -> None:
    change(credited, "c1", user_token=THIEF)
    before = ledger.balances(credited)
    with pytest.raises(StateError, match=r"1 click of this user, another's .*c1"):
        ledger.pay(credited, THIEF, "t1", at=AT)
    assert ledger.balances(credited) == before
    change(credited, "c1", user_token=USER)
    assert str(ledger.pay(credited, USER, "t1", at=AT).amounts[0]) == "6.00 EUR"
    assert ledger.audit(credited).differences == []


def test_a_person_can_be_forgotten_and_nobody_takes_the_place(
    credited: Database, tmp_path: Path
) -> None:
    people.erase(credited, tmp_path, USER, AT, lambda: None)
    with credited.read() as c:
        assert c.scalars(select(t.clicks.c.salt).where(t.clicks.c.user_token == "")).all() != []
        kept = c.execute(select(t.sold_clicks.c.owner)).scalars().all()
        (salt,) = c.scalars(select(t.clicks.c.salt).where(t.clicks.c.click_id == "c1"))
    assert salt == "", "with a salt the digest would tell who it was"
    assert not {sold.owner_of(USER, salt) for salt in ("x", "c1")} & set(kept)
    assert ledger.audit(credited).differences == []
    change(credited, "c1", user_token=USER)
    assert ledger.audit(credited).wrong == 1


def test_a_click_that_is_told_again_keeps_its_salt(credited: Database) -> None:
    ledger.apply(credited, [click("c1")])
    told(credited, news("approved", 1000, subid="c1", external_id="s9"))
    assert ledger.audit(credited).differences == []
    with credited.read() as c:
        assert len(c.execute(select(t.sold_clicks)).all()) == 3


def test_the_digest_of_an_owner(credited: Database) -> None:
    """Kept for ever: it must not change."""
    told = "359deb57c7f120afe4d43f6a1e7ef8370b729497e62e90585fffd678974d542f"
    assert sold.owner_of("user-token-1", "00" * 16) == told
    assert sold.owner_of("", "00" * 16) == ""
    with credited.read() as c:
        owners = dict(c.execute(select(t.sold_clicks.c.click_id, t.sold_clicks.c.owner)).all())
    assert (owners["c2"], len(owners["c1"]), owners["c1"] == owners["c3"]) == ("", 64, False)


def test_what_is_told_of_a_person_has_no_salt(credited: Database, tmp_path: Path) -> None:
    data = people.data_of(credited, tmp_path, USER, AT)
    assert data["clicks"]
    assert not [click for click in data["clicks"] if "salt" in click]


def test_a_click_whose_row_is_lost_is_seen(tmp_path: Path, postgres: Postgres) -> None:
    db = Database(postgres.url(postgres.database("migrated")))
    try:
        ledger.apply(db, [click("c1")])
        told(db, news("approved", 1000))
        with db.write() as c:
            c.execute(text("ALTER TABLE conversions DROP CONSTRAINT fk_conversions_click_id"))
            c.execute(text("DELETE FROM clicks"))
        assert "click c1 of a sale is lost" in ledger.audit(db).differences
    finally:
        db.close()


# ---- the version before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("revision", ["0009", "0015"])
def test_sales_of_before_are_booked_by_the_rules_of_now(
    kind: str, revision: str, tmp_path: Path, postgres: Postgres
) -> None:
    """A sale whose "pending" is dated later than its decision, as it was booked before that counted."""
    url = f"sqlite:///{tmp_path}/old.db" if kind == "sqlite" else postgres.url(postgres.database())
    db = database_at(revision, url)
    try:
        told_at = {"approved": 20, "pending": 30}
        events = (
            {
                "digest": digest(news(status, 1000, changed_at=at)),
                "status": status,
                "changed_at": at,
            }
            for status, at in told_at.items()
        )
        later = {"store": "hats"} if revision > "0009" else {}
        old_sale(db, *events, changed_at=20, **later)
        db.migrate()
        assert not ledger.audit(db).proven
        assert ledger.renew(db, at=AT) == 1
        assert ledger.audit(db).differences == []
        assert eur(db)["cashback_pending"] == -600
        assert ledger.renew(db, at=AT) == 0, "once is enough"
        with db.read() as c:
            row = c.execute(select(t.sold_clicks)).mappings().one()
            assert json.loads(row["terms"]) == {"share": "0.6"}
            assert c.scalars(select(t.conversions.c.rules)).all() == [RULES]
        change(db, "c1", user_token=THIEF)
        assert ledger.audit(db).wrong == 1
    finally:
        db.close()
