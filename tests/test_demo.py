"""The demo's catalogue: real photos, invented stores, and words that are true of both."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effort import within
from lensback.colors import basic
from lensback.demo import DemoCatalogue, build_catalogue, serve_folder
from lensback.demo.files import write_whole
from lensback.demo.stores import recrop
from lensback.demo.things import Thing, things
from lensback.likeness import SAME_PHOTOGRAPH, likeness, signature

G = "{http://base.google.com/ns/1.0}"
PHOTOS = Path(str(resources.files("lensback.demo") / "photos"))


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=120) as answer:
        body: bytes = answer.read()
    return body


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalogue:
    return build_catalogue(tmp_path_factory.mktemp("demo"))


# ---- the table and its photos


def test_the_table_and_the_photos_are_the_same_set() -> None:
    named = [name for thing in things() for name in (*thing.photos, thing.asked) if name]
    assert sorted(named) == sorted(path.name for path in PHOTOS.glob("*.jpg"))
    assert len(set(named)) == len(named)
    assert 115 <= len(named) <= 135
    assert sum(path.stat().st_size for path in PHOTOS.iterdir()) < 3_000_000
    assert "CC0" in (PHOTOS / "LICENSE.md").read_text("utf-8")


def test_every_photo_is_a_small_picture_that_says_nothing_of_its_owner() -> None:
    for path in PHOTOS.glob("*.jpg"):
        with Image.open(path) as image:
            assert image.format == "JPEG"
            assert max(image.size) <= 480
            assert not image.getexif(), f"{path.name} tells where it was taken"


@pytest.mark.parametrize("thing", things(), ids=lambda thing: str(thing.number))
def test_a_row_is_whole(thing: Thing) -> None:
    assert bool(thing.photos) == bool(thing.usd or thing.rub), "in a store, or nowhere"
    assert thing.photos or thing.asked
    assert bool(thing.russian_title) >= bool(thing.rub)
    assert thing.title[0].isupper()
    thing.russian_title.encode("windows-1251")
    colours = basic(thing.colour)
    assert not colours or not basic(thing.title) or colours & basic(thing.title), thing
    assert len(thing.sizes) in {2, 3, 4}
    assert thing.in_stock(0, 0)
    assert thing.in_stock(1, 0)


def test_titles_numbers_and_prices_are_their_own() -> None:
    rows = things()
    assert len({thing.number for thing in rows}) == len(rows)
    assert len({thing.title for thing in rows}) == len(rows)
    both = [thing for thing in rows if thing.usd and thing.rub]
    assert len(both) >= 30, "shared by both stores"
    assert sum(bool(t.usd and not t.rub) for t in rows) >= 20
    assert sum(bool(t.rub and not t.usd) for t in rows) >= 8
    assert len({round(thing.rub / thing.usd) for thing in both}) > 5, "each store has its price"


# ---- the feeds


def test_feeds_name_pictures_that_are_there(made: DemoCatalogue) -> None:
    google, yml = (ET.parse(store.feed_path).getroot() for store in made.stores)
    links = [node.text or "" for node in google.iter() if node.tag.endswith("image_link")]
    links += [node.text or "" for node in yml.iter("picture")]
    with serve_folder(made.folder) as base:
        bodies = {link: fetch(link.replace("{BASE}", base)) for link in set(links)}
        for store in made.stores:
            assert fetch(store.feed_url(base)) == store.feed_path.read_bytes()
    assert len(bodies) > 150
    assert all(Image.open(io.BytesIO(body)).format == "JPEG" for body in bodies.values())


def test_feeds_say_what_the_table_says(made: DemoCatalogue) -> None:
    google, yml = (ET.parse(store.feed_path).getroot() for store in made.stores)
    asked = {(node.findtext(G + "item_group_id"), node.findtext("title"), node.findtext(G + "color"))
             for node in google.iter("item")}  # fmt: skip
    rows = things()
    assert asked == {(f"h{t.number:03d}", t.title, t.colour) for t in rows if t.usd}
    told = {(node.findtext("name"), node.findtext("price")) for node in yml.iter("offer")}
    assert told == {(t.russian_title, str(t.rub)) for t in rows if t.rub}
    paid = {n.findtext(G + "item_group_id"): n.findtext(G + "sale_price") or n.findtext(G + "price")
            for n in google.iter("item")}  # fmt: skip
    assert paid == {f"h{t.number:03d}": f"{t.usd}.00 USD" for t in rows if t.usd}
    assert b"windows-1251" in made.stores[1].feed_path.read_bytes()[:60]
    states = {node.findtext(G + "availability") for node in google.iter("item")}
    assert states == {"in_stock", "out_of_stock"}
    assert "invented" in (google.findtext("channel/description") or "")
    assert "Вымышленный" in (yml.findtext("shop/company") or "")


def test_the_photo_asked_with_is_no_picture_of_any_store(made: DemoCatalogue) -> None:
    sold = [signature(Image.open(path)) for path in made.folder.glob("stores/*/images/*.jpg")]
    for photo in made.photos:
        mine = signature(Image.open(photo.path))
        assert max(likeness(mine, other) for other in sold) < SAME_PHOTOGRAPH, photo.shows


def test_offers_of_the_asked_thing_are_in_the_feeds(made: DemoCatalogue) -> None:
    google, yml = (ET.parse(store.feed_path).getroot() for store in made.stores)
    ids = {("harbour", node.findtext(G + "id")) for node in google.iter("item")}
    ids |= {("lavka", node.get("id")) for node in yml.iter("offer")}
    sold, *unsold = made.photos
    assert {store for store, _ in sold.offers} == {"harbour", "lavka"}
    assert sold.offers <= ids
    assert len(unsold) == 2
    assert not any(photo.offers for photo in unsold)


# ---- built once, mended where it is broken


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_second_call_changes_nothing_and_is_fast(made: DemoCatalogue) -> None:
    before = stamps(made.folder)
    with within(300):
        assert build_catalogue(made.folder) == made
    assert stamps(made.folder) == before


@pytest.mark.parametrize("harm", ["half a picture", "no picture", "no feed", "no photo"])
def test_what_is_broken_is_mended(tmp_path: Path, harm: str) -> None:
    first = build_catalogue(tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    picture = next((tmp_path / "stores" / "lavka" / "images").iterdir())
    if harm == "half a picture":
        picture.write_bytes(picture.read_bytes()[:200])
    else:
        broken = {
            "no picture": picture,
            "no feed": first.stores[1].feed_path,
            "no photo": first.photos[0].path,
        }
        broken[harm].unlink()
    assert build_catalogue(tmp_path) == first
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_the_second_store_shows_the_same_photograph_in_other_bytes() -> None:
    name = next(thing.photos[0] for thing in things() if thing.rub)
    ours = (PHOTOS / name).read_bytes()
    theirs = recrop(ours, 3)
    assert theirs == recrop(ours, 3)
    assert theirs != recrop(ours, 4)
    one, two = (Image.open(io.BytesIO(data)).convert("RGB") for data in (ours, theirs))
    assert 0.85 < two.width / one.width < 1
    assert likeness(signature(one), signature(two)) > SAME_PHOTOGRAPH
    small = [np.asarray(image.resize((16, 16)), int) for image in (one, two)]
    assert np.abs(small[0] - small[1]).mean() < 25


# ---- files


def test_serve_folder_serves_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.txt").write_text("no")
    write_whole(tmp_path / "in" / "a" / "b.txt", b"hello")
    with serve_folder(tmp_path / "in") as base:
        assert fetch(base + "/a/b.txt") == b"hello"
        for path in ("/", "/a/", "/none", "/../secret.txt", "/%2e%2e/secret.txt"):
            with pytest.raises(urllib.error.HTTPError, match="404") as caught:
                fetch(base + path)
            caught.value.close()
    with pytest.raises(urllib.error.URLError):
        fetch(base + "/a/b.txt")


def test_write_whole_leaves_no_half(tmp_path: Path) -> None:
    write_whole(tmp_path / "x", b"1")
    write_whole(tmp_path / "x", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"2"
