"""The demo's catalogue: drawn or downloaded, whole, honest about which, and built once."""

from __future__ import annotations

import http.client
import io
import json
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lensback.demo import build_catalogue, photos, serve_folder
from lensback.demo import draw as drawing
from lensback.demo.draw import DrawnItem, cutout, draw, items, photo_of
from lensback.demo.files import write_whole
from lensback.demo.stores import Thing, recrop
from lensback.demo.words import COLOURS, KINDS, PATTERNS, nearest_colour
from lensback.errors import Error, FetchFailed, FetchTimeout
from world import World, jpeg

G = "{http://base.google.com/ns/1.0}"


def fetch(url: str, timeout_s: float = 2) -> bytes:
    """As the program's own: an OSError whatever goes wrong."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            body: bytes = answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    return body


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "world") as made:
        yield made


def fill(world: World, count: int) -> list[photos.Row]:
    """Serves drawn pictures under the first names of the manifest; returns the rows served."""
    rows = photos.manifest()[:count]
    for number, (row, item) in enumerate(zip(rows, items(count), strict=True)):
        world.put("/data/" + row.paths[number % len(row.paths)], jpeg(draw(item, side_px=64)))
    return rows


# ---- words


def test_enough_to_draw_with() -> None:
    assert len(KINDS) >= 10
    assert len(COLOURS) >= 16
    assert len(PATTERNS) >= 6
    for word in [k.russian + k.russian_category for k in KINDS.values()]:
        word.encode("windows-1251")


def test_nearest_colour_names_itself() -> None:
    assert all(nearest_colour(colour.rgb) is colour for colour in COLOURS.values())


# ---- drawing


def test_items_differ_and_a_longer_list_begins_the_same() -> None:
    many = items(240)
    assert items(40) == many[:40]
    assert len({item.id for item in many}) == 240
    assert len({(item.kind, item.colour, item.pattern) for item in many}) == 240
    assert items(40, seed=2) != many[:40]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("view", [0, 1])
def test_every_kind_is_drawn_inside_the_picture(kind: str, view: int) -> None:
    cover = np.asarray(
        cutout(DrawnItem("x", kind, "red", "navy", "block", 5), view=view, side_px=96)
    )[..., 3]
    share = (cover > 128).mean()
    assert 0.08 < share < 0.85
    assert not cover[[0, -1]].any()
    assert not cover[:, [0, -1]].any()


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    colour=st.sampled_from(sorted(COLOURS)),
    accent=st.sampled_from(sorted(COLOURS)),
    pattern=st.sampled_from(sorted(PATTERNS)),
    seed=st.integers(0, 2**31),
    view=st.integers(0, 1),
    side_px=st.sampled_from([16, 48, 65]),
)
def test_any_item_can_be_drawn(
    kind: str, colour: str, accent: str, pattern: str, seed: int, view: int, side_px: int
) -> None:
    item = DrawnItem("x", kind, colour, accent, pattern, seed)
    image = draw(item, view=view, side_px=side_px)
    assert image.mode == "RGB"
    assert image.size == (side_px, side_px)
    assert item.title[0].isupper()


def test_drawing_is_the_same_every_time_and_shows_its_colour() -> None:
    item = DrawnItem("x", "t-shirt", "red", "white", "plain", 9)
    picture = draw(item, side_px=120)
    assert picture.tobytes() == draw(item, side_px=120).tobytes()
    assert picture.tobytes() != draw(item, view=1, side_px=120).tobytes()
    red, green, blue = picture.getpixel((60, 66))
    assert red > 2 * max(green, blue)


def test_photos_are_the_same_for_a_seed_and_differ_between_seeds() -> None:
    item = items(1)[0]
    photo = photo_of(item, 4, width_px=150, height_px=200)
    assert photo.size == (150, 200)
    assert photo.tobytes() == photo_of(item, 4, width_px=150, height_px=200).tobytes()
    assert photo.tobytes() != photo_of(item, 6, width_px=150, height_px=200).tobytes()


# ---- the drawn catalogue


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    build_catalogue(folder, fetch=None, count=24)
    return folder


def test_without_network_it_draws_and_says_so(drawn: Path) -> None:
    catalogue = build_catalogue(drawn, fetch=None, count=24)
    assert catalogue.source == "drawn"
    assert "drawn" in catalogue.note
    with Image.open(catalogue.photo) as photo:
        assert photo.size == (768, 1024)


def test_feeds_name_pictures_that_are_there(drawn: Path) -> None:
    catalogue = build_catalogue(drawn, fetch=None, count=24)
    google, yml = (ET.parse(store.feed_path).getroot() for store in catalogue.stores)
    links = [node.text for node in google.iter() if node.tag.endswith("image_link")]
    links += [node.text for node in yml.iter("picture")]
    assert len(links) > 60
    with serve_folder(catalogue.folder) as base:
        bodies = {link: fetch(link.replace("{BASE}", base)) for link in set(links)}
        assert (
            fetch(catalogue.stores[0].feed_url(base)) == catalogue.stores[0].feed_path.read_bytes()
        )
    assert all(Image.open(io.BytesIO(body)).format == "JPEG" for body in bodies.values())


def test_the_second_store_sells_a_third_at_its_own_prices(drawn: Path) -> None:
    google, yml = (
        ET.parse(s.feed_path).getroot() for s in build_catalogue(drawn, fetch=None, count=24).stores
    )
    groups = {node.text for node in google.iter(G + "item_group_id")}
    assert len(groups) == 24
    assert len({node.get("group_id") for node in yml.iter("offer")}) == 8
    assert b"windows-1251" in (drawn / "stores/lavka/feed.yml").read_bytes()[:60]
    states = {node.text for node in google.iter(G + "availability")}
    assert states == {"in_stock", "out_of_stock"}
    assert all(node.text.endswith(" USD") for node in google.iter(G + "price"))
    assert len({node.text for node in yml.iter("price")}) > 4
    assert "invented" in google.findtext("channel/description")
    assert "Вымышленный" in yml.findtext("shop/company")


def test_expected_offers_are_in_the_feeds_and_one_is_in_stock(drawn: Path) -> None:
    catalogue = build_catalogue(drawn, fetch=None, count=24)
    google, yml = (ET.parse(store.feed_path).getroot() for store in catalogue.stores)
    stock = {
        ("harbour", n.findtext(G + "id")): n.findtext(G + "availability")
        for n in google.iter("item")
    }
    stock |= {("lavka", n.get("id")): n.get("available") for n in yml.iter("offer")}
    assert {store for store, _ in catalogue.expected_offer_ids} == {"harbour", "lavka"}
    assert set(catalogue.expected_offer_ids) <= set(stock)
    assert stock[catalogue.expected_offer_ids[0]] == "in_stock"


def test_the_second_call_changes_nothing_and_is_fast(drawn: Path) -> None:
    def stamps() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in drawn.rglob("*") if path.is_file()}

    def refuse(url: str) -> bytes:
        raise AssertionError(url)

    before, begin = stamps(), time.monotonic()
    first = build_catalogue(drawn, fetch=None, count=24)
    assert build_catalogue(drawn, fetch=refuse, count=24) == first
    assert time.monotonic() - begin < 0.5
    assert stamps() == before


@pytest.mark.parametrize("harm", ["half a record", "no picture", "no feed", "another record"])
def test_what_is_broken_is_built_again(tmp_path: Path, harm: str) -> None:
    first = build_catalogue(tmp_path, fetch=None, count=3)
    record = tmp_path / "demo.json"
    if harm == "half a record":
        record.write_bytes(record.read_bytes()[:40])
    elif harm == "another record":
        record.write_text(json.dumps({"layout": 0}))
    elif harm == "no feed":
        first.stores[1].feed_path.unlink()
    else:
        next((first.stores[0].folder / "images").iterdir()).unlink()
    feed = first.stores[0].feed_path.read_bytes()
    assert build_catalogue(tmp_path, fetch=None, count=3) == first
    assert first.stores[0].feed_path.read_bytes() == feed
    assert json.loads(record.read_bytes())["layout"] == 1


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    build_catalogue(tmp_path, fetch=None, count=4, progress=lambda *at: seen.append(at))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


# ---- the downloaded catalogue


def test_manifest_is_whole() -> None:
    rows = photos.manifest()
    assert len(rows) > 320
    assert len({row.file for row in rows}) == len(rows)
    assert {row.label for row in rows} == set(photos_labels())
    seen = [row for row in rows if row.split]
    assert rows[: len(seen)] == seen
    assert len(seen) == 25
    assert rows[-1].paths == [f"{s}/{rows[-1].label}/{rows[-1].file}" for s in photos.SPLITS]


def photos_labels() -> list[str]:
    return [
        "dress",
        "hat",
        "longsleeve",
        "outwear",
        "pants",
        "shirt",
        "shoes",
        "shorts",
        "skirt",
        "t-shirt",
    ]


def test_downloads_what_is_there_and_counts_what_is_not(world: World, tmp_path: Path) -> None:
    rows = fill(world, 70)
    world.fail("/data/" + rows[4].paths[0], 404)
    world.put("/data/" + rows[5].paths[0], b"\xff\xd8 not a picture")
    world.cut("/data/" + rows[6].paths[0])
    world.drip("/data/" + rows[7].paths[0], 1.0)
    seen: list[int] = []
    catalogue = build_catalogue(
        tmp_path / "demo",
        fetch=fetch,
        base_url=world.base + "/data",
        count=60,
        progress=lambda done, _: seen.append(done),
    )
    assert catalogue.source == "downloaded"
    assert "60 real photos" in catalogue.note
    assert "1 missing" in catalogue.note
    assert "2 broken picture" in catalogue.note
    assert "changed copy" in catalogue.note
    assert seen[-1] == 60
    names = {path.name for path in (catalogue.stores[0].folder / "images").iterdir()}
    assert rows[7].file in names
    assert names == {row.file for row in rows[:63]} - {rows[i].file for i in (4, 5, 6)}
    own = [path.read_bytes() for path in (catalogue.stores[0].folder / "images").iterdir()]
    assert catalogue.photo.read_bytes() not in own


def test_a_second_download_asks_only_for_what_is_missing(world: World, tmp_path: Path) -> None:
    fill(world, 60)
    first = photos.download(
        tmp_path, fetch, world.base + "/data/", count=30, progress=lambda *_: None
    )
    asked = sum(world.requests.values())
    again = photos.download(
        tmp_path, fetch, world.base + "/data/", count=30, progress=lambda *_: None
    )
    assert len(first.rows) == 30
    assert again.rows == first.rows
    assert sum(world.requests.values()) == asked


@pytest.mark.parametrize(
    "error", [FetchFailed("no route", retry=True), OSError("no route"), FetchTimeout("late")]
)
def test_no_network_falls_back_to_drawing_at_once(tmp_path: Path, error: Exception) -> None:
    calls: list[str] = []

    def offline(url: str) -> bytes:
        calls.append(url)
        raise error

    catalogue = build_catalogue(tmp_path, fetch=offline, count=4)
    assert catalogue.source == "drawn"
    assert ("no route" in catalogue.note) or ("timed out" in catalogue.note)
    assert len(calls) == 3
    assert calls[0].startswith(photos.BASE_URL)


def test_a_silent_network_is_given_up(world: World, tmp_path: Path) -> None:
    for row in fill(world, 10):
        world.drip("/data/" + row.paths[0], 60)
    begin = time.monotonic()
    result = photos.download(
        tmp_path, fetch, world.base + "/data", count=10, progress=lambda *_: None, probe_s=0.4
    )
    assert time.monotonic() - begin < 3
    assert result.rows == []
    assert "0.4 s" in result.reason


def test_a_network_that_dies_on_the_way_is_given_up(world: World, tmp_path: Path) -> None:
    rows = fill(world, 20)
    for row in rows[5:]:
        world.drip("/data/" + row.paths[0], 60)
    result = photos.download(
        tmp_path, lambda url: fetch(url, timeout_s=30), world.base + "/data",
        count=20, progress=lambda *_: None, patience_s=0.5,
    )  # fmt: skip
    assert [row.file for row in result.rows] == [row.file for row in rows[:5]]
    assert result.failed["not answered in time"] > 0


def test_too_few_photos_are_no_catalogue(world: World, tmp_path: Path) -> None:
    fill(world, 12)
    catalogue = build_catalogue(tmp_path, fetch=fetch, base_url=world.base + "/data/", count=20)
    assert catalogue.source == "drawn"
    assert "only 12 came" in catalogue.note
    assert "missing" in catalogue.note


def test_a_web_page_instead_of_pictures_is_no_network(tmp_path: Path) -> None:
    catalogue = build_catalogue(tmp_path, fetch=lambda _: b"<html>please log in</html>", count=3)
    assert catalogue.source == "drawn"
    assert "broken picture" in catalogue.note


def test_huge_pictures_are_refused(tmp_path: Path) -> None:
    big = jpeg(Image.new("RGB", (9000, 20)))
    result = photos.download(tmp_path, lambda _: big, "http://x", count=3, progress=lambda *_: None)
    assert result.reason == "broken picture"
    assert not list(tmp_path.iterdir())


def test_an_error_of_ours_never_leaks(tmp_path: Path) -> None:
    def broken(url: str) -> bytes:
        raise Error(f"strange answer: {url}")

    assert "strange answer" in build_catalogue(tmp_path, fetch=broken, count=3).note


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


def test_recrop_changes_the_bytes_and_little_else(tmp_path: Path) -> None:
    item = items(1)[0]
    write_whole(tmp_path / "a.jpg", jpeg(draw(item, side_px=160)))
    recrop(tmp_path / "a.jpg", tmp_path / "b.jpg", 3)
    with Image.open(tmp_path / "a.jpg") as one, Image.open(tmp_path / "b.jpg") as two:
        assert 0.6 < two.width / one.width < 0.95
        difference = np.abs(
            np.subtract(
                np.asarray(one.resize((16, 16)), int), np.asarray(two.resize((16, 16)), int)
            )
        )
    assert difference.mean() < 25


def test_things_have_stable_prices_and_a_size_in_stock() -> None:
    thing = Thing("x", KINDS["hoodie"], "Hoodie", "Худи", "red", 7, ("x.jpg",))
    assert thing.dollars() == thing.dollars()
    assert KINDS["hoodie"].price[0] <= thing.dollars() < KINDS["hoodie"].price[1]
    assert thing.roubles() % 100 == 90
    assert thing.stock(0)[0][1]
    assert drawing.draw is draw
