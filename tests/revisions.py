"""A database as an earlier version left it."""

from __future__ import annotations

from sqlalchemy import text

from lensback import db as room
from lensback.db import Database


def database_at(revision: str, url: str) -> Database:
    """An empty catalogue of that revision; the caller writes rows of then into it and migrates it."""
    database = Database(url)
    with database._writing() as connection:
        room._upgrade(connection, revision)
        connection.commit()
    return database


CLICK = {
    "click_id": "c1", "at": 5, "source": "go", "offer_id": "o", "product_id": "", "store": "hats",
    "search_id": "", "network": "demo", "program_id": "7", "terms": '{"share": "0.6"}',
    "price_minor": 1, "currency": "EUR", "user_token": "user-token-1",
}  # fmt: skip
SALE = {
    "id": 1, "network": "demo", "external_id": "s1", "item": "", "subid": "c1", "click_id": "c1",
    "status": "approved", "currency": "EUR", "commission_minor": 1000, "cashback_minor": 600,
    "paid_out_minor": 0, "order_id": "", "order_currency": "", "reason": "", "reason_text": "",
    "first_at": 5, "updated_at": 5,
}  # fmt: skip
EVENT = {
    "conversion_id": 1, "kind": "news", "part": "", "status": "approved", "subid": "c1",
    "commission_minor": 1000, "commission_currency": "EUR", "order_currency": "", "order_id": "",
    "reason": "", "source": "poll", "received_at": 5,
}  # fmt: skip
ENTRY = {"transaction_id": "x", "conversion_id": 1, "currency": "EUR", "at": 5}


def old_sale(
    database: Database, *events: dict[str, object], cashback: str = "cashback_due", **sale: object
) -> None:
    """Writes a sale as revision 0009 kept it: EUR 10.00 of commission, of which 6.00 are on this account
    of a user's cashback. `events` and `sale` say what differs, and what a later revision added."""
    shares = {"commission_due": 1000, "our_share": -400, cashback: -600}
    rows = [
        ("clicks", CLICK),
        ("conversions", SALE | sale),
        *(("conversion_events", EVENT | event) for event in events),
        *(("entries", ENTRY | {"account": name, "minor": minor}) for name, minor in shares.items()),
    ]
    with database.write() as c:
        for table, row in rows:
            values = ", ".join(f":{name}" for name in row)
            c.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})"), row)
