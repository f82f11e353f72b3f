"""Stores over the years: changed in part, renamed, removed on purpose; offers named as people do."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select, text

from lensback import deeds, ledger
from lensback.catalogue import named, offers, stores
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import BadQuery, NotFound, UnknownName
from lensback.feeds import ColumnMap
from lensback.publish import StoreRows, read_rows, write_rows
from lensback.types import Money
from lensback.workspace import init, open_workspace, set_setting
from revisions import database_at
from test_cli import flat, lensback
from tiny import Row, write

PROGRAM = {"network": "generic", "domains": ["hats.example"], "share": "0.5"}
RED = Row("hats", "a/1", "hat", ("one",), fields={"title": "Red hat 100% wool", "brand": "Мир"})
BLUE = Row("hats", "a:2", "hat", ("two",), fields={"title": "Blue HAT"})


@pytest.fixture
def hats(db: Database) -> Database:
    write(db, [RED, BLUE], "none", {"hats": PROGRAM})
    return db


@pytest.fixture
def kept(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """A workspace with a store that has everything, synced from a file without images."""
    folder = tmp_path / "workspace"
    init(folder)
    shutil.copy(migrated_sqlite, folder / "catalogue.db")
    set_setting(folder, "encoder", "pixels")
    (tmp_path / "map.toml").write_text(
        'currency = "DKK"\n[fields]\nid = "nr"\ntitle = "navn"\nurl = "go"\nprice = "pris"\n'
    )
    (tmp_path / "program.toml").write_text(
        'network = "awin"\ndomains = ["hats.example"]\nshare = 0.5\n'
        '[link]\nadvertiser = "1"\npublisher = "2"\n[[rates]]\npercent = 5\n'
    )
    feed = tmp_path / "feed.csv"
    feed.write_text(
        "nr,navn,go,pris\n1,Red hat,https://hats.example/1,12\n2,Cap,https://hats.example/2,13 EUR\n"
    )
    given = ("--columns", tmp_path / "map.toml", "--program", tmp_path / "program.toml",
             "--base", "https://b.example", "--title", "Hats", "--every", "6h")  # fmt: skip
    done = lensback("store", "add", "hats", "--feed", feed, *given, "--workspace", folder)
    assert done.code == 0, done.err
    assert lensback("sync", "--only", "ingest", "--workspace", folder).code == 0
    return folder


@pytest.mark.parametrize("verb", ["add", "set"])
def test_a_program_that_does_not_cover_the_offers_is_told_with_its_mend(
    kept: Path, tmp_path: Path, verb: str
) -> None:
    program = tmp_path / "other.toml"
    program_lines = (tmp_path / "program.toml").read_text()
    program.write_text(program_lines.replace("hats.example", "my.shop.example"))
    given = ("--program", program, "--workspace", kept)
    told = lensback("store", verb, "hats", *given)
    assert told.code == 0
    assert "offers lead to hats.example, none of the program's domains" in told.err
    line = 'domains = ["my.shop.example", "hats.example"]'
    assert line in told.err
    exported = lensback("offers", "export", "--workspace", kept).out
    refused = lensback("click", exported.splitlines()[1].split(",")[0], "--workspace", kept)
    assert (refused.code, line in flat(refused.err)) == (2, True)
    program.write_text(re.sub("domains = .*", line, program_lines))
    assert "offers lead to" not in lensback("store", verb, "hats", *given).err


def test_a_new_store_is_held_against_the_feed_that_lies_here(kept: Path, tmp_path: Path) -> None:
    options = ("--feed", tmp_path / "feed.csv", "--columns", tmp_path / "map.toml")
    program = tmp_path / "other.toml"
    lines = (tmp_path / "program.toml").read_text()
    program.write_text(lines.replace("hats.example", "my.shop.example"))
    where = ("--workspace", kept, "--json")
    told = lensback("store", "add", "caps", *options, "--program", program, *where)
    assert told.json["name"] == "caps"
    assert 'domains = ["my.shop.example", "hats.example"]' in told.err


def said(folder: Path, name: str = "hats") -> dict[str, object]:
    """All that a store keeps of what it was told."""
    with open_workspace(folder) as opened, opened.db.read() as c:
        store = c.execute(select(t.stores).where(t.stores.c.name == name)).one()
        feed = c.execute(select(t.feeds).where(t.feeds.c.store_id == store.id)).one()
        state = c.execute(select(t.feed_states)).mappings().first()
        terms = list(c.scalars(select(t.programs.c.terms).where(t.programs.c.store_id == store.id)))
        return {"title": store.title, "base": store.base, "url": feed.url, "format": feed.format,
                "columns": feed.columns, "terms": terms, "every": dict(state or {}).get("schedule")}  # fmt: skip


@pytest.mark.parametrize("verb", ["add", "set"])
@pytest.mark.parametrize(
    ("option", "value", "key"),
    [
        ("--title", "Hats & Co", "title"),
        ("--base", "https://c.example", "base"),
        ("--feed", "https://hats.example/feed.csv", "url"),
        ("--format", "table", "format"),
        ("--currency", "sek", "columns"),
        ("--every", "1d", "every"),
        ("--title", "", "title"),
    ],
)
def test_what_is_not_named_stays(kept: Path, verb: str, option: str, value: str, key: str) -> None:
    before = said(kept)
    done = lensback("store", verb, "hats", option, value, "--workspace", kept)
    assert done.code == 0, done.err
    after = said(kept)
    assert {name for name in before if before[name] != after[name]} == {key}
    if option == "--currency":
        assert after["columns"] == str(before["columns"]).replace('"DKK"', '"SEK"')
    elif key != "every":
        assert after[key] == value


def test_a_change_of_how_it_is_read_is_read_at_once(kept: Path) -> None:
    where = ("--workspace", kept)

    def prices() -> dict[str, str]:
        with open_workspace(kept) as opened:
            return {s.offer.external_id: str(s.offer.price) for s in named.every(opened.db)}

    assert prices() == {"1": "12.00 DKK", "2": "13.00 EUR"}
    assert lensback("store", "set", "hats", "--currency", "NOK", *where).code == 0
    assert lensback("sync", "--only", "ingest", *where).code == 0
    assert prices() == {"1": "12.00 NOK", "2": "13.00 EUR"}


@pytest.mark.parametrize("form", ["google", "yml", "table"])
def test_a_currency_for_a_feed_that_names_none(tmp_path: Path, form: str) -> None:
    rows = {
        "table": "id,title,link,price\n1,Hat,https://h.example/1,12\n2,Cap,https://h.example/2,13 USD\n",
        "google": '<rss xmlns:g="http://base.google.com/ns/1.0"><channel>'
        "<item><g:id>1</g:id><title>Hat</title><link>https://h.example/1</link><g:price>12</g:price></item>"
        "<item><g:id>2</g:id><title>Cap</title><link>https://h.example/2</link><g:price>13 USD</g:price></item>"
        "</channel></rss>",
        "yml": "<yml_catalog><shop><offers>"
        '<offer id="1"><name>Hat</name><url>https://h.example/1</url><price>12</price></offer>'
        '<offer id="2"><name>Cap</name><url>https://h.example/2</url><price>13</price>'
        "<currencyId>USD</currencyId></offer></offers></shop></yml_catalog>",
    }
    folder, feed = tmp_path / "w", tmp_path / "feed"
    feed.write_text(rows[form])
    assert lensback("init", "--workspace", folder).code == 0
    add = ("store", "add", "h", "--feed", feed, "--currency", "eur", "--workspace", folder)
    tried = lensback(*add, "--dry-run", "--json")
    assert tried.json["offers"] == 2
    assert lensback(*add).code == 0
    assert lensback("sync", "--only", "ingest", "--workspace", folder).code == 0
    with open_workspace(folder) as opened:
        found = {s.offer.external_id: s.offer.price for s in named.every(opened.db)}
    assert found == {"1": Money(1200, "EUR"), "2": Money(1300, "USD")}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("set", "hats"), "nothing to change"),
        (("set", "caps", "--title", "x"), "unknown store"),
        (("add", "caps", "--title", "x"), "needs a feed"),
        (("add", "caps", "--dry-run"), "needs a feed"),
        (("set", "hats", "--currency", "XXQ"), "no such currency"),
        (("set", "hats", "--format", "pdf"), "no such format"),
        (("set", "hats", "--every", "often"), ""),
        (("set", "hats", "--feed", "gopher://x"), "cannot fetch"),
        (("rename", "caps", "x"), "unknown store"),
        (("rename", "hats", "Hats & Co"), "not a store name"),
        (("rename", "hats", "hats"), "there is a store"),
    ],
)
def test_what_is_refused_changes_nothing(kept: Path, arguments: tuple[str, ...], word: str) -> None:
    before = said(kept)
    refused = lensback("store", *arguments, "--workspace", kept)
    assert refused.code == 2
    assert word in refused.err
    assert said(kept) == before
    with open_workspace(kept) as opened:
        assert stores.names(opened.db) == ["hats"]


# ---- a column map that cannot work

MAPS = {
    "a column that is not there": 'id = "nr"\ntitle = "navn"\nurl = "go"\nprice = "summe"\n',
    "columns of another store": 'id = "a"\ntitle = "b"\nurl = "c"\nprice = "d"\n',
    "every row refused": 'id = "nr"\ntitle = "navn"\nurl = "go"\nprice = "navn"\n',
}


@pytest.mark.parametrize("verb", ["add", "set", "add a new one"])
@pytest.mark.parametrize("map_", MAPS.values(), ids=MAPS)
def test_a_map_that_cannot_work_is_refused(
    kept: Path, tmp_path: Path, verb: str, map_: str
) -> None:
    before = said(kept)
    (tmp_path / "wrong.toml").write_text(f"[fields]\n{map_}")
    name = "caps" if verb == "add a new one" else "hats"
    named_ = ("--feed", tmp_path / "feed.csv") if name == "caps" else ()
    options = (name, *named_, "--columns", tmp_path / "wrong.toml", "--workspace", kept)
    refused = lensback("store", verb.split(maxsplit=1)[0], *options)
    assert refused.code != 0
    assert refused.err.startswith("FeedError: ")
    assert said(kept) == before
    with open_workspace(kept) as opened:
        assert stores.names(opened.db) == ["hats"]
    tried = lensback("store", "add", *options, "--dry-run")
    told = "there is no offer in it that could be used"
    if map_ == MAPS["every row refused"]:
        assert told in refused.err
        assert f"to look at: {told}" in tried.err
    else:
        assert tried.err == refused.err


def test_a_map_is_taken_where_the_feed_cannot_be_had_now(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "feed.csv").unlink()
    done = lensback("store", "set", "hats", "--columns", tmp_path / "map.toml", "--workspace", kept)
    assert done.code == 0, done.err
    assert "the column map was not tried, the feed cannot be had now: cannot read" in done.out


def test_a_currency_alone_asks_for_no_feed(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "feed.csv").unlink()
    done = lensback("store", "set", "hats", "--currency", "SEK", "--workspace", kept)
    assert done.code == 0, done.err
    assert "not tried" not in done.out


# ---- another name


def test_a_renamed_store_keeps_everything(hats: Database) -> None:
    stored = offers.get(hats, RED.offer_id)
    ledger.apply(hats, [_click(stored)])
    before = stores.programs(hats, ["hats"])["hats"]
    history = offers.price_history(hats, RED.offer_id)
    stores.rename(hats, "hats", "caps")
    assert stores.names(hats) == ["caps"]
    after = offers.get(hats, RED.offer_id)
    assert (after.store, after.offer, after.product_id) == ("caps", stored.offer, stored.product_id)
    assert offers.price_history(hats, RED.offer_id) == history
    assert [p.id for p in stores.programs(hats, ["caps"])["caps"]] == [p.id for p in before]
    with hats.read() as c:
        assert list(c.scalars(select(t.clicks.c.store))) == ["caps"]
    write(hats, [Row("caps", "a/1", "hat", ("one",)), Row("caps", "3", "hat", ("one",))], "none")
    assert offers.get(hats, RED.offer_id).store == "caps", "the next sync changes no id"
    assert named.public_id(hats, "caps:a/1") == RED.offer_id


def _click(stored: object) -> object:
    from lensback.journal import Record

    body = ledger.click_body("c" * 20, stored, at=5, source="page")  # type: ignore[arg-type]
    return Record("click", body)


def test_nobody_takes_a_name_that_is_in_ids(hats: Database) -> None:
    stores.rename(hats, "hats", "caps")
    for taken in (lambda: stores.add(hats, "hats", "https://x.example/f"),
                  lambda: (stores.add(hats, "new", "https://x.example/f"), stores.rename(hats, "new", "hats"))):  # fmt: skip
        with pytest.raises(BadQuery, match="was the name of the store 'caps'"):
            taken()
    stores.rename(hats, "caps", "berets")
    with pytest.raises(BadQuery, match="'berets'"):
        stores.add(hats, "caps", "https://x.example/f")
    stores.rename(hats, "berets", "hats")  # its own name it may have again
    with pytest.raises(UnknownName):
        stores.rename(hats, "berets", "x")


def test_rename_by_command(kept: Path) -> None:
    with open_workspace(kept) as opened:
        write_rows(opened.rows_path, StoreRows("s", {"hats": 7, "other": 2}))
    done = lensback("store", "rename", "hats", "caps", "--workspace", kept)
    assert done.code == 0
    assert f"next: lensback sync caps --workspace {kept}" in done.out
    with open_workspace(kept) as opened:
        assert read_rows(opened.rows_path).rows == {"caps": 7, "other": 2}
        assert deeds.last(opened.db)[0].detail == "hats -> caps"
    assert said(kept, "caps")["title"] == "Hats"


def test_the_upgrade_from_the_version_before(tmp_path: Path) -> None:
    """Stores of a database of revision 0010 have had no other name."""
    database = database_at("0010", f"sqlite:///{tmp_path / 'x.db'}")
    with database.write() as c:
        c.execute(
            text("INSERT INTO stores (name, title, base, created_at) VALUES ('a', '', '', 0)")
        )
    database.migrate()
    stores.rename(database, "a", "b")
    with database.read() as c:
        assert c.execute(select(t.stores.c.name, t.stores.c.former)).all() == [("b", ["a"])]
    database.close()


# ---- removed on purpose


def test_removing_asks(kept: Path) -> None:
    refused = lensback("store", "remove", "hats", "--workspace", kept)
    assert refused.code == 2
    assert "nothing was done: it would forget the store hats, its 2 offers on sale" in refused.err
    assert "add --yes" in refused.err
    command = [
        sys.executable,
        "-m",
        "lensback",
        "store",
        "remove",
        "hats",
        "--workspace",
        str(kept),
    ]
    for answer, left in ((b"n\n", ["hats"]), (b"y\n", [])):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        os.write(ours, answer)
        told = b""
        while True:
            try:
                told += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
        process.wait(240)
        os.close(ours)
        assert b"2 offers on sale" in told.replace(b"\r\n", b" ")
        assert b"Traceback" not in told
        with open_workspace(kept) as opened:
            assert stores.names(opened.db) == left


# ---- offers by name


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["hat"], {"a/1", "a:2"}),
        (["HAT", "red"], {"a/1"}),
        (["мир"], {"a/1"}),
        (["a:2"], {"a:2"}),
        ([RED.offer_id], {"a/1"}),
        (["100%"], {"a/1"}),
        (["%"], {"a/1"}),
        (["_"], set()),
        (["red", "blue"], set()),
    ],
)
def test_find(hats: Database, words: list[str], found: set[str]) -> None:
    assert {s.offer.external_id for s in named.find(hats, words)} == found
    assert named.find(hats, words, store="caps") == []


def test_store_and_sku_name_an_offer(hats: Database) -> None:
    assert named.public_id(hats, "hats:a/1") == RED.offer_id
    assert named.public_id(hats, "hats:a:2") == BLUE.offer_id
    assert named.public_id(hats, RED.offer_id) == RED.offer_id
    for wrong in ("hats:3", "caps:a/1", ":a/1"):
        with pytest.raises(NotFound):
            named.public_id(hats, wrong)


def test_no_title_becomes_a_formula(kept: Path) -> None:
    with open_workspace(kept) as opened, opened.db.write() as c:
        c.execute(t.offers.update().where(t.offers.c.title == "Cap").values(title="=1+1"))
    rows = csv.DictReader(io.StringIO(lensback("offers", "export", "--workspace", kept).out))
    assert {row["title"] for row in rows} == {"Red hat", "'=1+1"}


def test_offers_by_command(kept: Path, tmp_path: Path) -> None:
    where = ("--workspace", kept)
    (row,) = lensback("offers", "find", "red", "--json", *where).json
    assert (row["sku"], row["price"], row["currency"], row["on_sale"]) == (
        "1",
        "12.00",
        "DKK",
        True,
    )
    assert row["offer_id"] in lensback("offers", "find", "red", *where).out
    printed = lensback("offers", "export", *where)
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert [r["sku"] for r in rows] == ["1", "2"]
    done = lensback("offers", "export", "--out", tmp_path / "o.csv", "--store", "hats", *where)
    assert "2 offers" in done.out
    assert list(csv.DictReader(io.StringIO((tmp_path / "o.csv").read_text()))) == rows
    assert lensback("offers", "export", "--store", "caps", *where).code == 2
    link = json.loads(lensback("click", "hats:1", "--json", *where).out)
    assert json.dumps(link).count("hats.example")
    assert lensback("program", "show", "hats", "--offer", "hats:1", *where).code == 0
    assert lensback("click", "hats:7", *where).code == 2


def test_a_currency_in_a_map(tmp_path: Path) -> None:
    for text_, wanted in (
        ("", 'currency = "EUR"\n'),
        ('[stock]\nin_stock = "ja"\n', 'currency = "EUR"\n[stock]\nin_stock = "ja"\n'),
        (
            'currency="X"\nitem = "p"\n[fields]\nid="a"',
            'currency = "EUR"\nitem = "p"\n[fields]\nid="a"',
        ),
        ('[fields]\ncurrency = "c"', 'currency = "EUR"\n[fields]\ncurrency = "c"'),
    ):
        assert ColumnMap.with_currency(text_, "EUR") == wanted
