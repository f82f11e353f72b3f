"""The catalogue's revision tells of every change that grouping and publishing read, on either database."""

from __future__ import annotations

from sqlalchemy import update

from lensback.catalogue import offers, revision, stores
from lensback.db import Database
from lensback.db import tables as t
from lensback.types import Money, Offer

COUNT = revision.PAGE + 3


ROWS = [
    Offer(str(n), f"кофта {n}", "https://s.example", Money(100, "USD"), (f"https://s.example/{n}",))
    for n in range(COUNT)
]


def test_the_revision_is_the_same_until_something_changes(db: Database) -> None:
    store = stores.add(db, "harbour", "https://s.example/feed.xml").id
    with db.write() as c:
        offers.write_batch(db, c, store, "harbour", ROWS, offers.SeenIds())
    first, none = revision.said(db, "eye"), revision.grouped(db)
    assert (revision.said(db, "eye"), revision.grouped(db)) == (first, none)

    o = t.offers.c
    last = str(COUNT - 1)  # of the second page
    for change in (
        update(t.offers).where(o.external_id == "0").values(price_minor=101),
        update(t.offers).where(o.external_id == last).values(price_minor=101),
        update(t.offers).where(o.external_id == last).values(title="кофта"),
        update(t.offers).where(o.external_id == last).values(active=False),
    ):
        with db.write() as c:
            assert c.execute(change).rowcount == 1
        before, first = first, revision.said(db, "eye")
        assert before != first
    grouped = revision.grouped(db)
    with db.write() as c:
        c.execute(update(t.offers).where(o.external_id == "0").values(product_id="p1"))
    assert revision.grouped(db) != grouped
    assert revision.said(db, "eye") == first, "what grouping writes is not what it reads"
