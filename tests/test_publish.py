"""vectors -> index: what differs is written, what nobody sells goes, the rest is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

import lensback.publish as module
from lensback.catalogue import offers, pictures, stores
from lensback.catalogue.pictures import Downloaded
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.indexes import Index, open_index, row_digest, row_id
from lensback.publish import _Staged, publish
from lensback.types import Filter, ImageInfo, IndexRow, Money, Offer
from lensback.vectors import VectorStore

PRINT, DIM = "ab" * 8, 8


class Shop:
    """One store whose offers show one picture each, with a vector of their own."""

    def __init__(self, folder: Path) -> None:
        self.db = Database(sqlite_url(folder / "catalogue.db"))
        self.db.migrate()
        self.vectors = VectorStore(folder / "vectors")
        self.index: Index = open_index("exact", folder, fingerprint=PRINT, dim=DIM)
        self.key = stores.add(self.db, "shop", "x").id

    def sells(self, prices: dict[int, int]) -> None:
        """Exactly these offers are on sale: number -> price."""
        rows = [
            Offer(str(n), f"thing {n}", "https://s.example", Money(price, "EUR"),
                  (f"https://s.example/{n}.jpg",))
            for n, price in prices.items()
        ]  # fmt: skip
        seen = offers.SeenIds()
        with self.db.write() as c:
            offers.write_batch(self.db, c, self.key, "shop", rows, seen)
            c.execute(update(t.offers).values(product_id="p" + t.offers.c.offer_id))
            offers.deactivate(c, [key for key in offers.active_ids(c, self.key) if key not in seen])
        for url in list(pictures.to_download(self.db)):
            name = f"{int(url.url.split('/')[-1][:-4]):064x}"
            info = ImageInfo(hash=name, width=1, height=1, bytes=1, mime="image/png", phash=0)
            pictures.record_downloads(self.db, [Downloaded(url, info)])
            self.vectors.append(PRINT, [name], vector(int(name, 16))[None])
            pictures.record_embeddings(self.db, PRINT, {name: ""})

    def publish(self) -> tuple[int, int, int]:
        """Rows written, rows left alone, rows removed."""
        tally = publish(self.db, self.vectors, self.index, fingerprint=PRINT, encoder="test")
        return tally.done, tally.skipped, int(tally.notes["removed"])

    def finds(self, number: int, where: Filter | None = None) -> int:
        """The number of the offer whose picture is nearest to that of an offer."""
        found = self.index.search(vector(number), 1, where or Filter())
        return int(found[0].image_hash, 16)


def vector(number: int) -> np.ndarray:
    drawn = np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
    return drawn / np.linalg.norm(drawn)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.db.close()


@pytest.mark.parametrize("batch", [3, 4000])
def test_only_what_differs_is_written(
    shop: Shop, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", batch)
    shop.sells(dict.fromkeys(range(10), 100))
    assert shop.publish() == (10, 0, 0)
    first = shop.index.snapshot
    assert shop.publish() == (0, 10, 0)
    assert shop.index.snapshot == first, "nothing differs, nothing is published"
    shop.sells(dict.fromkeys(range(10), 100) | {3: 900, 10: 100})
    assert shop.publish() == (2, 9, 0)
    cheap = Filter(price_max=Money(500, "EUR"))
    assert [shop.finds(n) for n in range(11)] == list(range(11))
    assert shop.finds(3, cheap) != 3
    shop.sells(dict.fromkeys(range(4, 12), 100))
    assert shop.publish() == (1, 7, 4)
    assert {shop.finds(n) for n in range(4)} <= set(range(4, 12))
    assert shop.publish() == (0, 8, 0)


def test_progress_counts_rows_written_and_rows_left_alone(shop: Shop) -> None:
    shop.sells(dict.fromkeys(range(5), 100))
    shop.publish()
    shop.sells(dict.fromkeys(range(5), 100) | {2: 200})
    told: list[int] = []
    publish(shop.db, shop.vectors, shop.index, fingerprint=PRINT, encoder="test",
            progress=lambda done, _: told.append(done))  # fmt: skip
    assert told == [5]


def test_staged_rows_in_any_order() -> None:
    """Ids that are equal, new, larger than all and smaller than all; digests that differ."""
    rows = [
        IndexRow(row_id(f"im{n}", "s", "", True, "EUR"), f"im{n}", "s", "", True, "EUR", 1, 1)
        for n in range(8)
    ]
    ids = np.array([row.row_id for row in rows])
    digests = np.array([row_digest(row) for row in rows])
    for order in (np.argsort(ids), np.argsort(-ids), np.arange(8)):
        for missing in range(8):
            kept = order[order != missing]
            staged = _Staged(ids[kept], digests[kept])
            assert list(staged.changed(rows)) == [missing]
            assert staged.unseen() == []
    staged = _Staged(ids, digests)
    dearer = [replace(rows[2], price_high=9), rows[5]]
    assert list(staged.changed(dearer)) == [0]
    assert staged.unseen() == sorted(int(i) for n, i in enumerate(ids) if n not in {2, 5})
    empty = _Staged(np.empty(0, np.int64), np.empty(0, np.int64))
    assert list(empty.changed(rows)) == list(range(8))
    assert empty.unseen() == []
