"""One store's feed, run after run: what is remembered, what goes off sale, what is guarded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from sqlalchemy import select

from lensback.catalogue import offers, stores
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import FeedError, FeedTruncated, FetchFailed
from lensback.ingest import Limits, ingest
from lensback.net import Fetcher
from lensback.types import Tally

Sync = Callable[..., Tally]


def item(n: int, price: str = "10.00 USD") -> str:
    return (
        f"<item><g:id>{n}</g:id><title>Thing {n}</title><link>https://s.example/{n}</link>"
        f"<g:price>{escape(price)}</g:price><g:image_link>https://s.example/{n}.jpg</g:image_link></item>"
    )


def rss(*items: str) -> str:
    head = '<rss xmlns:g="http://base.google.com/ns/1.0"><channel><title>s</title>'
    return f"{head}{''.join(items)}</channel></rss>"


@pytest.fixture
def sync(db: Database, tmp_path: Path) -> Iterator[Sync]:
    """Writes the feed's text and ingests it."""
    feed = tmp_path / "feed.xml"
    stores.add(db, "s", str(feed))
    with Fetcher(user_agent="test") as fetcher:

        def run(
            text: str,
            *,
            max_drop: float = 0.5,
            force: bool = False,
            unknown_stock: str = "unknown",
        ) -> Tally:
            feed.write_text(text, "utf-8")
            limits = Limits(1 << 20, max_drop, force, unknown_stock=unknown_stock)
            return ingest(db, fetcher, "s", spool=tmp_path / "spool", limits=limits)

        yield run


def prices(db: Database) -> dict[str, int]:
    o = t.offers.c
    with db.read() as c:
        rows = c.execute(select(o.external_id, o.price_minor).where(o.active))
        return {row.external_id: row.price_minor for row in rows}


def test_an_unchanged_feed_is_not_read(sync: Sync, db: Database) -> None:
    assert sync(rss(item(1), item(2))).done == 2
    again = sync(rss(item(1), item(2)))
    assert (again.done, again.notes["feed"]) == (0, "unchanged")


@pytest.mark.parametrize("broken", ["truncated", "shrank"])
def test_the_old_feed_after_a_partial_run_is_read_again(
    sync: Sync, db: Database, broken: str
) -> None:
    first = rss(*(item(n) for n in range(1, 11)))
    sync(first)
    if broken == "shrank":
        sync(rss(*(item(n, "5.00 USD") for n in range(1, 4))))
    else:
        with pytest.raises(FeedTruncated):
            sync(rss(*(item(n, "5.00 USD") for n in range(1, 11)))[:-300])
    assert 500 in prices(db).values()
    sync(first)
    assert set(prices(db).values()) == {1000}


def test_another_stores_feed_of_equal_size_is_held_back(sync: Sync, db: Database) -> None:
    sync(rss(*(item(n) for n in range(10))))
    tally = sync(rss(*(item(n) for n in range(100, 110))))
    assert "--force" in str(tally.notes["warning"])
    assert {"0", "9"} <= set(prices(db))
    sync(rss(*(item(n) for n in range(100, 110))), force=True)
    assert set(prices(db)) == {str(n) for n in range(100, 110)}


def test_a_delta_feed_retires_only_what_it_names(sync: Sync, db: Database) -> None:
    sync(rss(*(item(n) for n in range(10))))
    offer = (
        '<offer id="1" available="true"><url>https://s.example/1</url><price>7</price>'
        "<currencyId>USD</currencyId><name>Thing 1</name></offer>"
    )
    delta = f'<yml_catalog><shop><offers><offer id="2" deleted="true"/>{offer}</offers></shop></yml_catalog>'
    assert sync(delta, max_drop=1.0).notes["removed"] == 1
    assert prices(db)["1"] == 700
    assert set(prices(db)) == {str(n) for n in range(10)} - {"2"}


STOCK = "<g:availability>{}</g:availability></item>"


def stock(db: Database) -> dict[str, str]:
    o = t.offers.c
    with db.read() as c:
        return {
            row.external_id: row.availability
            for row in c.execute(select(o.external_id, o.availability))
        }


def test_words_of_stock_that_nobody_knows_are_counted_and_told(sync: Sync, db: Database) -> None:
    said = ["in stock", "bald da", "bald da", "kommt"]
    text = rss(*(item(n).replace("</item>", STOCK.format(word)) for n, word in enumerate(said)))
    tally = sync(text)
    assert "3 offers" in str(tally.notes["warning"])
    assert "'bald da'" in str(tally.notes["warning"])
    assert stock(db) == {"0": "in_stock", "1": "unknown", "2": "unknown", "3": "unknown"}
    (state,) = stores.overview(db)
    assert (state.in_stock, state.unknown_stock, state.rejected) == (1, 3, 0)
    with db.read() as c:
        (samples,) = c.scalars(select(t.feed_runs.c.samples))
    assert [(s["sample"], s["count"]) for s in samples] == [("bald da", 2), ("kommt", 1)]
    assert sync(text).notes["feed"] == "unchanged"
    assert "out_of_stock" in str(sync(text, unknown_stock="out_of_stock").notes["warning"])
    assert stock(db) == {"0": "in_stock", **dict.fromkeys("123", "out_of_stock")}


def test_image_addresses_that_cannot_be_taken_are_counted_and_told(
    sync: Sync, db: Database
) -> None:
    bad = ["no picture", "https://s.example/" + "x" * 3000 + ".jpg", "https://s.example/ok.jpg"]
    more = [f"https://s.example/{n}.jpg" for n in range(25)]
    element = "<g:additional_image_link>{}</g:additional_image_link>".format
    links = [*map(element, bad), "".join(map(element, more))]
    rows = [item(n).replace("</item>", f"{link}</item>") for n, link in enumerate(links)]
    tally = sync(rss(*rows))
    assert (tally.done, tally.rejects) == (4, 0)
    assert {name: n for name, n in tally.notes.items() if "image" in name} == {
        "image addresses no address": 1,
        "image addresses too long": 1,
        "image addresses too many": 5,
    }
    with db.read() as c:
        (samples,) = c.scalars(select(t.feed_runs.c.samples))
    told = {s["reason"]: (s["id"], s["count"], s["sample"][:10]) for s in samples}
    assert told == {
        "image addresses no address": ("0", 1, "no picture"),
        "image addresses too long": ("1", 1, "https://s."),
        "image addresses too many": ("3", 5, "https://s."),
    }
    assert sync(rss(*rows)).notes["feed"] == "unchanged"


def test_rejects_are_counted_with_samples(sync: Sync, db: Database) -> None:
    tally = sync(rss(item(1), item(1), item(2, "free"), *(item(3, "") for _ in range(9))))
    assert tally.done == 1
    assert tally.rejected["duplicate id"] == 1
    assert tally.rejects == 11
    with db.read() as c:
        (samples,) = c.scalars(select(t.feed_runs.c.samples))
    assert 0 < len([s for s in samples if s["reason"] == "no price"]) <= 5
    assert all(s["line"] >= 1 for s in samples if s["reason"] == "no price")


def test_a_feed_that_cannot_be_had_or_read(sync: Sync, db: Database, tmp_path: Path) -> None:
    with pytest.raises(FeedError):
        sync("<html><body>Not found</body></html>")
    assert stores.overview(db)[0].status == "failed"
    stores.add(db, "s", str(tmp_path / "nowhere.xml"))
    with pytest.raises(FetchFailed, match="no such file"):
        sync(rss(item(1)))


def test_adding_the_same_again_forgets_nothing(sync: Sync, db: Database, tmp_path: Path) -> None:
    sync(rss(item(1)))
    stores.add(db, "s", str(tmp_path / "feed.xml"))
    assert sync(rss(item(1))).notes["feed"] == "unchanged"
    feed = stores.feed(db, "s").feed
    stores.add(db, "s", str(tmp_path / "other.xml"))
    stores.remember(db, feed, content_hash="of the old address")
    assert stores.feed(db, "s").content_hash == ""
    assert offers.counts(db)["s"] == 1


def test_a_feed_without_images_is_told_and_is_no_fault(sync: Sync, db: Database) -> None:
    bare = [item(n).replace("image_link", "picture_of_it") for n in (1, 2)]
    tally = sync(rss(*bare))
    assert "2 offers, no image: no photo can find them" in str(tally.notes["hint"])
    assert "warning" not in tally.notes
    assert "hint" not in sync(rss(item(1), bare[1])).notes
