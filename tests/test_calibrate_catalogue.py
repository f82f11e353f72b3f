"""Calibration asks a real catalogue: two stores, and the same photograph at both."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import insert, select

import tiny
from lensback import calibrate as calibrating
from lensback.calibrate import (
    AS_IT_IS,
    COPY_NEARER,
    DISTORTED,
    TOO_FEW,
    Things,
    _seen,
    ask,
    calibrate,
    further_views,
    single,
)
from lensback.catalogue import offers, pictures, products, stores
from lensback.catalogue.pictures import Downloaded
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.distort import distort
from lensback.encoders.pixels import PixelsEncoder
from lensback.errors import DataError, Stopped
from lensback.group import group
from lensback.images import ImageStore, crop
from lensback.questions import COPIED_VIEWS, COPIES, VIEWS
from lensback.search.looking import widened
from lensback.types import WHOLE, ImageInfo, Money, Offer, Region, Vectors
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
        category="Shirts" if gtin.endswith("31") else "Jackets",
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
    todo = list(pictures.to_download(db))
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
    there, gone = ask(things, [(shirt, FRONT)], [VIEWS], {}).cases
    # Left are the side at 0.6 and the other shirt at 0.8.
    assert (there.first, there.rank, there.product) == (other, 2, shirt)
    assert there.similarity == pytest.approx(0.8)
    assert there.margin == pytest.approx(0.2)
    assert (gone.first, gone.product, gone.cluster) == (other, "", shirt)
    assert gone.margin == 0.0


def test_a_distorted_copy_must_find_its_original(things: Things) -> None:
    # The file is gone, so the image's own vector is asked.
    shirt = product_of(things, FRONT)
    there, gone = ask(things, [(shirt, FRONT)], [COPIES], {}).cases
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
        {},
        progress=lambda done, total: seen.append((done, total)),
    ).cases
    assert [each.cluster for each in found] == [shirt, shirt, other, other] * 2
    assert [each.present for each in found] == [True, False] * 4
    # With its only image held out the other shirt is not found, but it is no stranger.
    assert (found[2].product, found[2].rank, found[2].first) == (other, None, shirt)
    assert seen == [(2, 2)]


SIDE_PX = 25
PATIENCE_S = 300


class Corner:
    """An encoder that takes down the pictures it is given: two numbers, the first pixel's and the width."""

    name, dim, side_px, fingerprint = "corner", 2, SIDE_PX, "c0"

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        return np.array([[np.asarray(each)[0, 0, 0], each.width] for each in images], np.float32)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[Things, str]]:
    """A picture that is kept, a JPEG of 200 by 200, and one without a file; both have a vector."""
    images = ImageStore(tmp_path / "images")
    across = np.linspace(0, 255, 200).astype(np.uint8)[None, :, None].repeat(200, 0).repeat(3, 2)
    Image.fromarray(across).save(file := io.BytesIO(), "JPEG")
    digest = images.put(file.getvalue()).hash
    encoder = Corner()
    vectors = VectorStore(tmp_path / "vectors")
    vectors.append("c0", [digest, FRONT], np.array([[1, 0], [0, 1]], np.float32))
    db = Database(sqlite_url(tmp_path / "none.db"))
    with db.engine.begin() as c:
        t.metadata.create_all(c)
    yield Things(db, images, vectors, encoder), digest
    db.close()


def compared(things: Things, part: Sequence[tuple[str, str]], *ways: str) -> list[Vectors]:
    """What is compared of each picture by the seed 7, asked in the first of these ways."""
    with _seen(things, [part], ways, 7) as seen:
        (each,) = seen
    return [one[ways[0]] for one in each]


def test_a_copy_is_taken_of_the_picture_at_twice_the_encoders_side(
    kept: tuple[Things, str],
) -> None:
    things, digest = kept
    part = [("p", digest), ("q", FRONT), ("p", digest)]
    found = np.concatenate(compared(things, part, DISTORTED))
    twice = things.images.open(digest, 2 * SIDE_PX)
    sizes = [things.images.open(digest, n * SIDE_PX).width for n in (1, 2, 3)]
    assert sizes == [25, 50, 100], "a JPEG is read at an eighth, a quarter, a half"
    first, third = (distort(twice, seed) for seed in (7000, 7002))
    assert found.tolist() == [*things.encoder.encode([first]).tolist(), [0, 1],
                              *things.encoder.encode([third]).tolist()]  # fmt: skip
    assert found[0].tolist() != found[2].tolist()
    # A view is asked as it is; and what is kept does not change.
    assert np.concatenate(compared(things, part, AS_IT_IS)).tolist() == [[1, 0], [0, 1], [1, 0]]


def test_pictures_are_asked_as_photos_are_searched(kept: tuple[Things, str]) -> None:
    """By the likeliest region, 15 % wider, and whole; a view's whole is the vector that is stored."""
    things, digest = kept
    box = (0.5, 0.5, 0.9, 0.9)
    detector = tiny.FixedDetector((Region(box, "top", 0.9), Region(WHOLE, "whole", 0.01)))
    things = replace(things, detector=detector)
    twice = things.images.open(digest, 2 * SIDE_PX)
    part = [("p", digest), ("q", FRONT)]
    first, gone = compared(things, part, AS_IT_IS)
    assert first.tolist() == [*things.encoder.encode([crop(twice, widened(box))]).tolist(), [1, 0]]
    assert gone.tolist() == [[0, 1]], "without a file by its own vector"
    copy = distort(twice, 7000)
    both, _ = compared(things, part, DISTORTED)
    wanted = things.encoder.encode([crop(copy, widened(box)), copy])
    assert both.tolist() == wanted.tolist()


def test_every_copy_is_distorted_in_its_own_way(
    kept: tuple[Things, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    things, digest = kept
    seeds: list[int] = []

    def noted(image: Image.Image, seed: int) -> Image.Image:
        seeds.append(seed)
        return image

    monkeypatch.setattr(calibrating, "distort", noted)
    steps: list[tuple[int, int]] = []
    asked = [("p", digest)] * 130
    ask(things, asked, [COPIES], {}, seed=3, progress=lambda *done: steps.append(done))
    # 64 at a time, each of these by the next thousand.
    assert sorted(seeds) == [*range(3000, 3064), *range(4000, 4064), 5000, 5001]
    assert steps == [(64, 130), (128, 130), (130, 130)]
    del seeds[:]
    ask(things, asked[:1], [COPIES, COPIED_VIEWS], {})
    assert seeds == [0], "one copy answers both"


def test_a_picture_is_read_once_for_both_ways(
    kept: tuple[Things, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    things, digest = kept
    box = (0.5, 0.5, 0.9, 0.9)
    detector = tiny.FixedDetector((Region(box, "top", 0.9), Region(WHOLE, "whole", 0.01)))
    things = replace(things, detector=detector)
    part = [("p", digest), ("q", FRONT)]
    alone = [compared(things, part, way) for way in (AS_IT_IS, DISTORTED)]
    opened: list[str] = []
    plain = things.images.open

    def noted(digest: str, side_px: int | None = None) -> Image.Image:
        opened.append(digest)
        return plain(digest, side_px)

    monkeypatch.setattr(things.images, "open", noted)
    for ways, wanted in (((AS_IT_IS, DISTORTED), alone[0]), ((DISTORTED, AS_IT_IS), alone[1])):
        found = compared(things, part, *ways)
        assert [one.tolist() for one in found] == [one.tolist() for one in wanted]
    assert sorted(opened) == sorted([digest, FRONT] * 2)


class Paired:
    """A detector that finds nothing, in two photos at once; what it counts are photos."""

    name, fingerprint = "paired", "p0"

    def __init__(self) -> None:
        self.together, self.open = Barrier(2), Event()
        self.seen = count(1)

    def find(self, _photo: Image.Image) -> list[Region]:
        if next(self.seen) <= 64:
            self.together.wait(PATIENCE_S)
        else:
            assert self.open.wait(PATIENCE_S)
        return [Region(WHOLE, "whole", 0.01)]


def test_pictures_are_asked_side_by_side_and_left_when_it_is_stopped(
    kept: tuple[Things, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    things, digest = kept
    detector = Paired()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            detector.open.set()
            super().shutdown(wait=True)

    def stopped(_done: int, _total: int) -> None:
        raise Stopped("now", hint="")

    monkeypatch.setattr(calibrating, "processors", lambda: 2)
    monkeypatch.setattr(calibrating, "ThreadPoolExecutor", Pool)
    with pytest.raises(Stopped):
        ask(replace(things, detector=detector), [("p", digest)] * 130, [COPIES], {}, progress=stopped)  # fmt: skip
    assert next(detector.seen) - 1 <= 66, "64 and those that were under way"


def test_sixty_pictures_are_near(tmp_path: Path) -> None:
    """70 pictures on a quarter of a circle; the first product has the 60th of them as well, and the
    last one has the 61st as seen from there."""
    names = [f"{n:02d}" for n in range(70)]
    db = Database(sqlite_url(tmp_path / "catalogue.db"))
    with db.engine.begin() as c:
        t.metadata.create_all(c)
    both = {"00": ("00", "59"), "69": ("69", "09")}
    rows = [tiny.Row("a", name, name, both.get(name, (name,))) for name in names]
    tiny.write(db, [row for row in rows if row.sku not in {"59", "09"}], "c0")
    vectors = VectorStore(tmp_path / "vectors")
    angles = np.linspace(0, 1.5, 70)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    vectors.append("c0", list(map(tiny.hash_of, names)), around)
    things = Things(db, ImageStore(tmp_path / "images"), vectors, Corner())
    asked = [(tiny.product_of(name), tiny.hash_of(name)) for name in both]
    seen, _, unseen, _ = ask(things, asked, [VIEWS], {}).cases
    # The picture itself is held out, 58 others are nearer.
    assert (seen.rank, unseen.rank) == (59, None)
    db.close()


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


def test_how_near_photos_of_what_is_sold_are(things: Things) -> None:
    """The shirt's front is taken out with its copy: the other shirt is nearer than its side. The other
    shirt has no second view: a copy of it is asked, and that counts as farther."""
    shirt, other = product_of(things, FRONT), product_of(things, OTHER)
    asked = [(other, OTHER), (shirt, FRONT)]
    with things.db.read() as c:
        views = products.views(c, things.encoder.fingerprint)
        several = further_views(c, views)
    for kind in (COPIES, COPIED_VIEWS):
        found = ask(things, asked, [kind], several).sold
        assert [one.similarity for one in found] == pytest.approx([COPY_NEARER * 1.0, 0.8])
        assert [one.kinds for one in found] == [frozenset({"outerwear"})] * 2, "of what is nearest"
    assert ask(things, asked, [VIEWS], several).sold == [], "only copies are as photos are"
    assert ask(things, [], [COPIES], several).sold == []
    # One product of two has one picture: as many of it are asked as of the other.
    assert single(things, views, several, 1) == found[:1]
    assert single(things, views, several, 0) == []


def test_all_pictures_are_asked_in_one_go_through_the_vectors(
    things: Things, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred and thirty, as they are and distorted."""
    gone, scan = [], VectorStore.scan
    monkeypatch.setattr(VectorStore, "scan", lambda *told: (gone.append(told), scan(*told))[1])
    asked = [(product_of(things, FRONT), FRONT)] * 130
    found = ask(things, asked, [VIEWS, COPIES], {})
    assert (len(found.cases), len(found.sold)) == (520, 130)
    assert len(gone) == 1
