"""No row of the ledger is lost or changed unseen: the seals over it, and what the workspace remembers."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from lensback import ledger
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.db.chain import SEALED, Chain
from lensback.errors import StateError
from lensback.ledger import seals
from lensback.workspace import init, open_workspace
from revisions import database_at, old_sale
from servers import Postgres
from test_ledger import AT, USER, click, news, told

TABLES = ("conversion_events", "entries", "payouts", "sold_clicks", "seals")


@pytest.fixture
def sealed(db: Database) -> Database:
    """Four seals: the first, two sales one after the other, a payout."""
    ledger.apply(db, [click("c1")])
    told(db, news("approved", 1000))
    told(db, news("approved", 500, external_id="s2"))
    ledger.pay(db, USER, "t1", at=AT)
    return db


def unguarded(db: Database) -> None:
    """As one who may do everything on the database's machine."""
    with db.write() as c:
        for table in TABLES:
            if c.dialect.name == "postgresql":
                c.execute(text(f"DROP TRIGGER {table}_append_only ON {table}"))
                continue
            for verb in ("UPDATE", "DELETE"):
                c.execute(text(f"DROP TRIGGER {table}_no_{verb}"))


def test_every_transaction_of_the_ledger_has_a_seal(sealed: Database) -> None:
    with sealed.read() as c:
        found = [
            (row.number, row.added) for row in c.execute(select(t.seals).order_by(t.seals.c.number))
        ]
    assert found == [(1, 0), (2, 5), (3, 4), (4, 7)]
    told(sealed, news("approved", 500, external_id="s2"))  # known already: nothing is added
    with sealed.read() as c:
        assert list(seals.differences(c)) == []
        assert len(list(c.execute(select(t.seals)))) == 4


DAMAGE = {
    "the last entry": "DELETE FROM entries WHERE id = (SELECT MAX(id) FROM entries)",
    "a middle entry": "DELETE FROM entries WHERE id = (SELECT MIN(id) + 1 FROM entries)",
    "the last event": "DELETE FROM conversion_events WHERE id = (SELECT MAX(id) FROM conversion_events)",
    "the payout": "DELETE FROM payouts",
    "a whole sale": "DELETE FROM entries WHERE conversion_id = 2;"
    "DELETE FROM conversion_events WHERE conversion_id = 2; DELETE FROM conversions WHERE id = 2",
    "the whole tail": "DELETE FROM entries WHERE id > 3; DELETE FROM conversion_events WHERE id > 1",
    "an amount": "UPDATE entries SET minor = minor + 1 WHERE id = 2",
    "a reference": "UPDATE payouts SET reference = 't2'",
    "a request": "UPDATE payouts SET amounts = '[]'",
    "a reason": "UPDATE conversion_events SET reason = 'x' WHERE id = 1",
    "a time": "UPDATE conversion_events SET received_at = 7 WHERE id = 1",
    "a seal": "UPDATE seals SET hash = 'x' WHERE number = 3",
    "a middle seal": "DELETE FROM seals WHERE number = 3",
    "the last seal": "DELETE FROM seals WHERE number = 4",
    "all seals": "DELETE FROM seals",
    "a row more": "INSERT INTO payouts (reference, request, amounts, sales, at) VALUES ('x','x','[]',0,0)",
    "a row before the first": "INSERT INTO payouts (id, reference, request, amounts, sales, at)"
    " VALUES (-1,'x','x','[]',0,0)",
    "entries before the first": "INSERT INTO entries (id, transaction_id, conversion_id, account, currency,"
    " minor, at) VALUES (-1,'x',1,'a','EUR',5,0), (-2,'x',1,'a','EUR',-5,0)",
    "where the last seal ends": "UPDATE seals SET last_event = 1000000 WHERE number = 4",
    "where its entries end": "UPDATE seals SET last_entry = last_entry + 1 WHERE number = 4",
    "where its payouts end": "UPDATE seals SET last_payout = 7 WHERE number = 4",
    "where its clicks end": "UPDATE seals SET last_click = 0 WHERE number = 4",
    "where the first seal ends": "UPDATE seals SET last_entry = -5 WHERE number = 1",
    "the day of the first seal": "UPDATE seals SET at = at - 86400 WHERE number = 1",
    "the day of a middle seal": "UPDATE seals SET at = at + 1 WHERE number = 2",
    "the day of the last seal": "UPDATE seals SET at = at + 1 WHERE number = 4",
    "what the last seal covers": "UPDATE seals SET last_seal = 0 WHERE number = 4",
    "what a middle seal covers": "UPDATE seals SET last_seal = 3 WHERE number = 2",
    "a seal before the first": "INSERT INTO seals (number, last_event, last_entry, last_payout, added, hash,"
    " at) VALUES (-1,0,0,0,0,'x',0)",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_row_that_is_lost_or_changed_is_seen(sealed: Database, what: str) -> None:
    assert ledger.audit(sealed).proven
    unguarded(sealed)
    with sealed.write() as c:
        for statement in DAMAGE[what].split(";"):
            c.execute(text(statement))
    with sealed.read() as c:
        assert list(seals.differences(c)), what
    assert not ledger.audit(sealed).proven


UNREADABLE = {
    "a status": "UPDATE conversion_events SET status = 'zz' WHERE id = 1",
    "an amount of bytes": "UPDATE conversion_events SET commission_minor = X'00FF' WHERE id = 1",
    "a time": "UPDATE conversion_events SET ordered_at = 'zz', changed_at = 'zz' WHERE id = 1",
    "terms": "UPDATE sold_clicks SET terms = '{'",
    "terms of bytes": "UPDATE sold_clicks SET terms = X'00FF'",
    "the end of a seal": "UPDATE seals SET last_event = 'zz' WHERE number = 4",
    "the day of a seal": "UPDATE seals SET at = 1000000000000000000, hash = 'x' WHERE number = 3",
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_is_a_difference_and_no_end_of_the_audit(
    tmp_path: Path, what: str
) -> None:
    """SQLite holds anything in any column. The other sale is looked at all the same."""
    with closing(Database(sqlite_url(tmp_path / "x.db"))) as db:
        db.migrate()
        ledger.apply(db, [click("c1")])
        told(db, news("approved", 1000), news("approved", 500, external_id="s2"))
        told(db, news("approved", 5))
        ledger.pay(db, USER, "t1", at=AT)
        unguarded(db)
        with db.write() as c:
            c.execute(text(UNREADABLE[what]))
        found = ledger.audit(db)
        assert found.wrong
        assert found.conversions == 2


TIMES = {
    "first told earlier": "UPDATE conversions SET first_at = first_at - 86400 WHERE id = 1",
    "first told later": "UPDATE conversions SET first_at = first_at + 1 WHERE id = 2",
    "told last": "UPDATE conversions SET updated_at = updated_at + 1 WHERE id = 1",
}


@pytest.mark.parametrize("what", TIMES)
def test_when_a_sale_was_told_follows_from_its_news(sealed: Database, what: str) -> None:
    """`ledger received --until` asks when a sale without a day of its own was told first."""
    assert ledger.audit(sealed).proven
    with sealed.write() as c:
        c.execute(text(TIMES[what]))
    found = ledger.audit(sealed)
    column = "updated_at" if what == "told last" else "first_at"
    assert [column in text for text in found.differences] == [True]
    assert found.rebookable == 1
    assert ledger.rebook(sealed, at=AT) == 1
    assert ledger.audit(sealed).proven


SWAP = "UPDATE conversions SET external_id = 'x' WHERE id = 1;"
SALES = {
    "another number": "UPDATE conversions SET external_id = 's9' WHERE id = 2",
    "another item": "UPDATE conversions SET item = '1' WHERE id = 2",
    "two numbers swapped": f"{SWAP}UPDATE conversions SET external_id = 's1' WHERE id = 2;"
    "UPDATE conversions SET external_id = 's2' WHERE id = 1",
    "a sale more": "INSERT INTO conversions (id, network, external_id, item, subid, status, currency,"
    " commission_minor, cashback_minor, paid_out_minor, order_id, reason, reason_text, order_currency,"
    " first_at, updated_at) VALUES (-1,'demo','x','','c1','approved','EUR',9,9,0,'','','','',0,0)",
}
"""What no seal covers: it follows from the events."""


@pytest.mark.parametrize("what", SALES)
def test_a_sale_that_is_not_the_one_of_its_news_is_seen(sealed: Database, what: str) -> None:
    with sealed.write() as c:
        for statement in SALES[what].split(";"):
            c.execute(text(statement))
    assert not ledger.audit(sealed).proven


def test_a_sale_that_is_lost_is_seen(tmp_path: Path) -> None:
    """SQLite asks for foreign keys only where the one that writes wants it."""
    db = Database(sqlite_url(tmp_path / "d.db"))
    db.migrate()
    ledger.apply(db, [click("c1")])
    told(db, news("approved", 1000), news("approved", 500, external_id="s2"))
    db.close()
    with closing(sqlite3.connect(tmp_path / "d.db")) as raw, raw:
        raw.execute("DELETE FROM conversions WHERE id = 2")
    try:
        assert ledger.audit(db).differences == [
            "1 row of conversion_events, of a sale that is lost",
            "3 rows of entries, of a sale that is lost",
        ]
    finally:
        db.close()


def test_only_the_seal_that_is_hurt_is_named(sealed: Database) -> None:
    unguarded(sealed)
    with sealed.write() as c:
        c.execute(text("UPDATE entries SET at = 5 WHERE id = 2"))
    with sealed.read() as c:
        assert list(seals.differences(c)) == ["seal 2 of 2025-10-09: a row of it was changed"]


def test_the_database_itself_refuses(sealed: Database) -> None:
    for table in TABLES:
        column = "received_at" if table == "conversion_events" else "at"
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = 1"):
            with pytest.raises(Exception, match="append-only"), sealed.write() as c:
                c.execute(text(statement))


# ---- a ledger cut at its end, with good seals


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "w"
    init(made)
    with open_workspace(made) as opened:
        ledger.apply(opened.db, [click("c1")])
        told(opened.db, news("approved", 1000))
        opened.journal.append(
            "news", ledger.news_body(news("approved", 500, external_id="s2"), at=AT, source="x")
        )
        opened.drain()
    return made


def audited(folder: Path) -> list[str]:
    with open_workspace(folder) as opened:
        opened.drain()
        return ledger.audit(opened.db, opened.path).differences


def test_an_older_backup_is_seen_until_it_is_accepted(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "catalogue.db", tmp_path / "backup.db")
    with open_workspace(folder) as opened:
        ledger.pay(opened.db, USER, "t1", at=AT)
        ledger.remember(opened.db, opened.path)
    assert audited(folder) == []
    assert (folder / seals.FILE_NAME).stat().st_mode & 0o077 == 0
    for file in folder.glob("catalogue.db*"):
        file.unlink()
    shutil.copy(tmp_path / "backup.db", folder / "catalogue.db")
    (difference,) = audited(folder)
    assert "has seen seal 4 of 2025-10-09" in difference
    assert "the last one here is 3" in difference
    with open_workspace(folder) as opened:  # what comes later hides nothing
        told(
            opened.db, news("approved", 7, external_id="s8"), news("approved", 9, external_id="s9")
        )
        ledger.remember(opened.db, opened.path)
    (difference,) = audited(folder)
    assert "another one" in difference
    with open_workspace(folder) as opened:
        ledger.remember(opened.db, opened.path, accept_loss=True)
    assert audited(folder) == []


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", '{"number": "x"}', '{"number": 1, "hash": "x"}', "\x00"),
        *('{"number": "1", "hash": "x", "at": 1}', '{"number": 1, "hash": "x", "at": "noon"}'),
    ],
)
def test_a_note_that_cannot_be_read_is_written_anew(folder: Path, content: str) -> None:
    (folder / seals.FILE_NAME).write_text(content)
    assert audited(folder) == []
    with open_workspace(folder) as opened:
        ledger.remember(opened.db, opened.path)
    assert json.loads((folder / seals.FILE_NAME).read_text())["number"] == 3


def test_threads_remember_at_once(folder: Path) -> None:
    """A server drains its journal while somebody decides in /admin."""
    with open_workspace(folder) as opened:
        broken: list[BaseException] = []

        def work(name: str) -> None:
            try:
                for n in range(6):
                    told(opened.db, news("approved", 7, external_id=f"{name}{n}"))
                    ledger.remember(opened.db, folder)
            except BaseException as error:  # noqa: BLE001 - told below
                broken.append(error)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
        assert broken == []
        assert ledger.audit(opened.db, folder).proven
    assert json.loads((folder / seals.FILE_NAME).read_text())["number"] == 3 + 24


def test_a_note_that_cannot_be_written_is_told(folder: Path) -> None:
    with open_workspace(folder) as opened:
        told(opened.db, news("approved", 7, external_id="s9"))
        with pytest.raises(StateError, match="cannot write"):
            ledger.remember(opened.db, folder / "gone")


# ---- several writers


def test_several_writers_at_once(tmp_path: Path, postgres: Postgres) -> None:
    for url in (f"sqlite:///{tmp_path}/many.db", postgres.url(postgres.database("migrated"))):
        databases = [Database(url) for _ in range(3)]
        databases[0].migrate()
        ledger.apply(databases[0], [click("c1")])
        broken: list[BaseException] = []

        def write(db: Database, name: str, broken: list[BaseException] = broken) -> None:
            try:
                for n in range(8):
                    told(
                        db,
                        news("approved", 100, external_id=f"{name}{n}"),
                        news("pending", 5, external_id=f"all{n}"),
                    )
                ledger.pay(db, USER, name, at=AT)
            except BaseException as error:  # noqa: BLE001 - told below
                broken.append(error)

        threads = [
            threading.Thread(target=write, args=(db, f"w{n}")) for n, db in enumerate(databases)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
        try:
            assert broken == []
            found = ledger.audit(databases[0])
            assert found.differences == []
            assert -found.balances["EUR"]["cashback_paid"] == 60 * 24
        finally:
            for db in databases:
                db.close()


# ---- the version before


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_ledger_of_before_is_sealed(kind: str, tmp_path: Path, postgres: Postgres) -> None:

    url = f"sqlite:///{tmp_path}/old.db" if kind == "sqlite" else postgres.url(postgres.database())
    db = database_at("0009", url)
    try:
        payout = {"digest": "e", "kind": "payout", "status": "paid", "subid": "", "order_id": "old"}
        payout |= {"commission_minor": 600, "changed_at": 6, "source": "pay", "received_at": 6}
        sold = {"digest": "d041175f1d7cda1bdcf131373cd1f4ac36eb1fdb69aca300d798b51bc47452d2"}
        old_sale(
            db, sold, payout, cashback="cashback_paid", network="elsewhere", paid_out_minor=600
        )
        db.migrate()
        assert ledger.renew(db, at=AT) == 1
        found = ledger.audit(db)
        assert found.differences == []
        assert found.balances == {
            "EUR": {"commission_due": 1000, "cashback_paid": -600, "our_share": -400}
        }
        with db.read() as c:
            (sale,) = c.execute(select(t.conversions)).mappings()
            (payout,) = c.execute(select(t.payouts)).mappings()
        assert (sale["store"], sale["click_id"]) == ("hats", "c1")
        assert json.loads(payout["amounts"]) == [[600, "EUR"]]
        # The same payment once more is still no second one; the sale stays with its click.
        assert ledger.pay(db, USER, "old", at=AT).repeated
        told(db, news("approved", 2000, network="elsewhere", changed_at=9))
        assert [d.approved for d in ledger.due(db)] == [600]
        assert ledger.audit(db).differences == []
    finally:
        db.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("sales", [0, 1, 3])
def test_the_times_of_seals_of_before_are_vouched_for(
    kind: str, sales: int, tmp_path: Path, postgres: Postgres
) -> None:
    """Seals of before 0017 cover rows alone: one seal more covers their times, and where they end."""
    url = f"sqlite:///{tmp_path}/old.db" if kind == "sqlite" else postgres.url(postgres.database())
    with closing(database_at("0016", url)) as db:
        with db.write() as c:
            for n in range(2, 2 + sales):
                chain = Chain(
                    c.execute(text("SELECT hash FROM seals ORDER BY number DESC")).scalars().first()
                )
                row = {
                    "id": n,
                    "reference": f"r{n}",
                    "request": "x",
                    "amounts": "[]",
                    "sales": 0,
                    "at": AT + n,
                }
                c.execute(insert(t.payouts), [row])
                chain.add("payouts", [[row[name] for name in SEALED["payouts"]]])
                values = f"{n}, 0, 0, {n}, 0, 1, '{chain.seal()}', {AT + n}"
                names = "number, last_event, last_entry, last_payout, last_click, added, hash, at"
                c.execute(text(f"INSERT INTO seals ({names}) VALUES ({values})"))
        db.migrate()
        assert ledger.audit(db).differences == []
        with db.read() as c:
            found = c.execute(select(t.seals.c.number, t.seals.c.last_seal)).all()
        covers = {row.number: row.last_seal for row in found}
        assert len(found) == (sales + 2 if sales else 1)
        assert covers[max(covers)] == (max(covers) if sales else 0)
        ledger.apply(db, [click("c1")])
        told(db, news("approved", 1000))
        assert ledger.audit(db).differences == []
        unguarded(db)
        with db.write() as c:
            c.execute(text("UPDATE seals SET at = at + 1 WHERE number = 1"))
        assert len(ledger.audit(db).differences) == 1, "whoever changes a day of before is seen"
