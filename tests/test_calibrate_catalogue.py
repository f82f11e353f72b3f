"""Calibration asks a real catalogue: two stores, and the same photograph at both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert, select

from lensback.calibrate import TOO_FEW, Things, ask, calibrate, further_views
from lensback.catalogue import offers, pictures, products, stores
from lensback.catalogue.pictures import Downloaded
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.encoders.pixels import PixelsEncoder
from lensback.errors import DataError
from lensback.group import group
from lensback.images import ImageStore
from lensback.questions import COPIES, VIEWS
from lensback.types import ImageInfo, Money, Offer, Vectors
from lensback.vectors import VectorStore

FRONT, FRONT_AGAIN, SIDE, OTHER = (f"{n:064x}" for n in (1, 2, 3, 4))
VECTORS = {FRONT: (1.0, 0.0), FRONT_AGAIN: (1.0, 0.0), SIDE: (0.6, 0.8), OTHER: (0.8, 0.6)}


def offer(external_id: str, gtin: str, *images: str) -> Offer:
    return Offer(
        external_id,
        title="Shirt",
        url="https://s.example/x",
        price=Money(1000, "USD"),
        gtin=gtin,
        image_urls=tuple(f"https://s.example/{image}" for image in images),
    )


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Things]:
    """Store a sells the shirt by front and side, store b by the front; store b another one, too."""
    root: Path = tmp_path_factory.mktemp("calibrate")
    db = Database(sqlite_url(root / "catalogue.db"))
    db.migrate()
    encoder = PixelsEncoder()
    sold = {
        "a": [offer("1", "4006381333931", FRONT, SIDE)],
        "b": [offer("1", "4006381333931", FRONT_AGAIN), offer("2", "4006381333948", OTHER)],
    }
    for name, rows in sold.items():
        key = stores.add(db, name, f"https://{name}.example").id
        with db.write() as c:
            offers.write_batch(db, c, key, name, rows, offers.SeenIds())
    todo = list(pictures.to_download(db, 3))
    infos = [ImageInfo(url.url.split("/")[-1], 9, 9, 9, "image/png", 0) for url in todo]
    pictures.record_downloads(db, [Downloaded(*each) for each in zip(todo, infos, strict=True)])
    pictures.record_embeddings(db, encoder.fingerprint, dict.fromkeys(VECTORS, ""))
    group(db)
    with db.write() as c:
        c.execute(insert(t.image_pairs).values(hash_a=FRONT, hash_b=FRONT_AGAIN, likeness=1.0))
    vectors = VectorStore(root / "vectors")
    vectors.append(encoder.fingerprint, list(VECTORS), padded(encoder.dim))
    yield Things(db, ImageStore(root / "images"), vectors, encoder)
    db.close()


def padded(dim: int) -> Vectors:
    rows = np.zeros((len(VECTORS), dim), np.float32)
    rows[:, :2] = list(VECTORS.values())
    return rows


def product_of(things: Things, image: str) -> str:
    with things.db.read() as c:
        (product,) = products.of_images(c, [image])[image]
    return product


def test_the_copy_at_the_other_store_is_no_answer(things: Things) -> None:
    shirt, other = product_of(things, FRONT), product_of(things, OTHER)
    assert product_of(things, FRONT_AGAIN) == shirt
    there, gone = ask(things, [(shirt, FRONT)], [VIEWS])
    # Left are the side at 0.6 and the other shirt at 0.8.
    assert (there.first, there.rank, there.product) == (other, 2, shirt)
    assert there.similarity == pytest.approx(0.8)
    assert there.margin == pytest.approx(0.2)
    assert (gone.first, gone.product, gone.cluster) == (other, "", shirt)
    assert gone.margin == 0.0


def test_a_distorted_copy_must_find_its_original(things: Things) -> None:
    # The file is gone, so the image's own vector is asked.
    shirt = product_of(things, FRONT)
    there, gone = ask(things, [(shirt, FRONT)], [COPIES])
    assert (there.first, there.rank) == (shirt, 1)
    assert there.similarity == pytest.approx(1.0)
    assert not gone.present


def test_two_kinds_and_two_questions_are_eight_outcomes(things: Things) -> None:
    shirt, other = product_of(things, FRONT), product_of(things, OTHER)
    seen: list[tuple[int, int]] = []
    found = ask(
        things,
        [(shirt, FRONT), (other, OTHER)],
        [VIEWS, COPIES],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [each.cluster for each in found] == [shirt, shirt, other, other] * 2
    assert [each.present for each in found] == [True, False] * 4
    # With its only image held out the other shirt is not found, but it is no stranger.
    assert (found[2].product, found[2].rank, found[2].first) == (other, None, shirt)
    assert seen == [(2, 2)]


def test_only_views_that_leave_another_one_are_asked(things: Things) -> None:
    shirt = product_of(things, FRONT)
    with things.db.read() as c:
        views = products.views(c, things.encoder.fingerprint)
        assert further_views(c, views) == {shirt: [FRONT, FRONT_AGAIN, SIDE]}
        assert further_views(c, {shirt: [FRONT, FRONT_AGAIN]}) == {}
        assert len(c.execute(select(t.image_pairs)).all()) == 1


def test_too_few_products_are_not_calibrated_on(things: Things) -> None:
    assert TOO_FEW == 10
    with pytest.raises(DataError, match="2 products"):
        calibrate(things.db, things.images, things.vectors, things.encoder)
