"""Vectors for every image, whatever happened to files, databases and encoders."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from sqlalchemy import update
from typer.testing import CliRunner

import icc
from lensback.catalogue import offers, pictures, stores
from lensback.catalogue.pictures import Downloaded
from lensback.cli import app
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.embed import embed
from lensback.errors import BadQuery, NotFound, UnknownName
from lensback.images import ImageStore
from lensback.types import Money, Offer, Vectors
from lensback.vectors import VectorStore
from lensback.workspace import init, open_workspace


class Mean:
    """A test encoder: mean colour; not a number where the picture is pure red."""

    name, dim, fingerprint, side_px = "mean", 3, "feedfeedfeedfeed", 32

    def __init__(self) -> None:
        self.sides: list[int] = []

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        self.sides += [max(image.size) for image in images]
        means = np.array([np.asarray(i).mean(axis=(0, 1)) for i in images], np.float32).reshape(
            -1, 3
        )
        means[(means[:, 0] > 250) & (means[:, 1] < 5)] = np.nan
        return means / np.linalg.norm(means, axis=1, keepdims=True)


Shelf = tuple[Database, ImageStore, VectorStore]


@pytest.fixture
def shelf(db: Database, tmp_path: Path) -> Shelf:
    return db, ImageStore(tmp_path / "images"), VectorStore(tmp_path / "vectors")


def png(color: str, side_px: int = 40) -> bytes:
    Image.new("RGB", (side_px, side_px), color).save(sink := io.BytesIO(), "PNG")
    return sink.getvalue()


def put(db: Database, images: ImageStore, *data: bytes) -> list[str]:
    key = stores.add(db, "s", "https://s.example").id
    rows = [
        Offer(str(n), "t", "https://s.example", Money(1, "USD"), (f"https://s.example/{n}.png",))
        for n in range(len(data))
    ]
    with db.write() as c:
        offers.write_batch(db, c, key, "s", rows, offers.SeenIds())
    kept = [images.put(d) for d in data]
    todo = sorted(pictures.to_download(db), key=lambda u: u.id)
    pictures.record_downloads(db, [Downloaded(u, i) for u, i in zip(todo, kept, strict=True)])
    return [i.hash for i in kept]


def test_each_image_once(shelf: Shelf) -> None:
    db, images, vectors = shelf
    hashes = put(db, images, png("green"), png("blue"))
    assert embed(db, images, vectors, Mean()).done == 2
    assert embed(db, images, vectors, Mean()).done == 0
    assert vectors.get(Mean.fingerprint, hashes).shape == (2, 3)


class Odd(Mean):
    """Gives a red picture one vector in place of its own."""

    def __init__(self, odd: Sequence[float]) -> None:
        super().__init__()
        self.odd = np.array(odd, np.float32)

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        means = [np.asarray(image).mean(axis=(0, 1)) for image in images]
        return np.array(
            [self.odd if m[0] > 250 else m / np.linalg.norm(m) for m in means], np.float32
        ).reshape(-1, 3)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "odd",
    [(0, 0, 0), (NAN, 0, 0), (NAN,) * 3, (INF, 0, 0), (-INF, INF, 0), (0, 0.99, 0), (0, 0, 1.01),
     (1, 1, 0), (1e-30, 0, 0), (3e38, 3e38, 0)],
)  # fmt: skip
def test_only_vectors_of_length_1_are_kept(shelf: Shelf, odd: tuple[float, ...]) -> None:
    """Any other is a reject that is counted once, and never stored."""
    db, images, vectors = shelf
    red, blue = put(db, images, png("red"), png("blue"))
    tally = embed(db, images, vectors, Odd(odd))
    assert (tally.done, dict(tally.rejected)) == (1, {"no usable vector": 1})
    assert list(vectors.hashes(Mean.fingerprint)) == [[blue]]
    with pytest.raises(NotFound):
        vectors.get(Mean.fingerprint, [red])
    assert pictures.count_embedded(db, Mean.fingerprint) == 1
    again = embed(db, images, vectors, Odd(odd))
    assert (again.done, again.rejects) == (0, 0), "it is known, and not tried at every sync"


@pytest.mark.parametrize("length", [0.9995, 1.0, 1.0005])
def test_rounding_of_half_precision_is_length_1(shelf: Shelf, length: float) -> None:
    db, images, vectors = shelf
    put(db, images, png("red"), png("blue"))
    assert embed(db, images, vectors, Odd((0, length, 0))).done == 2


def test_nothing_is_held_back_where_nothing_can_be_kept(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejects are written as they come, too: a kill costs COMMIT images at most."""
    monkeypatch.setattr("lensback.embed.COMMIT", 2)
    db, images, vectors = shelf
    put(db, images, *(png("red", 40 + n) for n in range(7)))
    told: list[int] = []
    embed(db, images, vectors, Odd((0, 0, 0)), batch=1, progress=lambda done, _: told.append(done))
    assert told == [2, 4, 6, 7]


def test_a_lost_file_is_fetched_again(shelf: Shelf) -> None:
    db, images, vectors = shelf
    lost, _ = put(db, images, png("green"), png("blue"))
    images.drop(lost)
    tally = embed(db, images, vectors, Mean())
    assert (tally.done, tally.rejects) == (1, 1)
    (again,) = pictures.to_download(db)
    pictures.record_downloads(db, [Downloaded(again, images.put(png("green")))])
    assert embed(db, images, vectors, Mean()).done == 1


def test_vectors_of_another_database_are_forgotten(shelf: Shelf, tmp_path: Path) -> None:
    db, images, vectors = shelf
    put(db, images, png("green"), png("blue"))
    embed(db, images, vectors, Mean())
    fresh = Database(sqlite_url(tmp_path / "fresh.db"))
    fresh.migrate()
    put(fresh, images, png("blue"), png("yellow"))
    assert embed(fresh, images, vectors, Mean()).done == 1
    assert vectors.count(Mean.fingerprint) == 2
    fresh.close()


def test_huge_pictures_do_not_stay_huge(shelf: Shelf) -> None:
    db, images, vectors = shelf
    put(db, images, png("green", 3000))
    encoder = Mean()
    embed(db, images, vectors, encoder)
    assert max(encoder.sides) <= 4 * encoder.side_px


def test_another_packages_engine_embeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--on NAME:ADDRESS` finds it by its entry point, and hands it the address as it is."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "foreign")
    init(tmp_path)
    with open_workspace(tmp_path) as workspace:
        put(workspace.db, workspace.images, png("green"), png("blue"))

    def run(*options: str) -> Result:
        arguments = ["embed", "--workspace", str(tmp_path), "--json", *options]
        return CliRunner().invoke(app, arguments, env={"LENSBACK_ENCODER": "pixels"})

    unknown = run("--on", "nowhere:x")
    assert isinstance(unknown.exception, UnknownName)
    assert "here, ray" in unknown.exception.hint
    assert isinstance(run("--on", "here:x", "--ray", "auto").exception, BadQuery)
    told = json.loads(run("--on", "here:far://away:1").stdout)
    assert (told["done"], told["notes"]["address"]) == (2, "far://away:1")
    assert json.loads(run().stdout)["done"] == 0


def test_only_pictures_whose_colours_are_read_otherwise_now_are_embedded_again(
    shelf: Shelf,
) -> None:
    db, images, vectors = shelf
    sink = io.BytesIO()
    Image.new("RGB", (40, 40), (200, 90, 30)).save(sink, "PNG", icc_profile=icc.screen("ProPhoto"))
    put(db, images, png("blue"), sink.getvalue())
    encoder = Mean()
    assert embed(db, images, vectors, encoder).done == 2
    with db.write() as c:
        c.execute(update(t.images).values(decoding=0))  # as the version before left them
    assert embed(db, images, vectors, encoder).done == 1
    assert embed(db, images, vectors, encoder).done == 0
    assert vectors.count(encoder.fingerprint) == 2
