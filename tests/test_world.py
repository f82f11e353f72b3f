"""The test world itself: its feeds say what is true, and its faults happen."""

from __future__ import annotations

import csv
import gzip
import http.client
import io
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from garments import items
from world import G, World

THINGS = items(6)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def get(url: str, **headers: str) -> bytes:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        body: bytes = answer.read()
    return body


def test_google_feed_carries_the_truth(world: World) -> None:
    store = world.store("harbour", "google", THINGS, sizes=("S", "M"), views=(0, 1))
    root = ET.fromstring(get(store.feed_url))
    ids = [node.text for node in root.iter(f"{{{G}}}id")]
    assert len(ids) == 12
    assert {("harbour", i) for i in ids} == set(world.truth)
    image = next(root.iter(f"{{{G}}}image_link")).text
    assert Image.open(io.BytesIO(get(image))).size == (96, 96)


def test_yml_feed_is_windows_1251(world: World) -> None:
    store = world.store("lavka", "yml", THINGS, marker=True)
    data = get(store.feed_url)
    assert b"windows-1251" in data[:60]
    root = ET.fromstring(data)
    assert root.findtext(".//offer/picture").startswith("{BASE}/lavka/images/")
    assert root.find(".//currency").get("id") == "RUR"
    assert store.feed_path.read_bytes() == data


def test_table_feed_is_gzip_csv(world: World) -> None:
    store = world.store("closet", "table", THINGS)
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(get(store.feed_url)).decode())))
    assert [row["aw_product_id"] for row in rows] == [o.external_id for o in store.offers]
    assert all(get(row["merchant_image_url"])[:2] == b"\xff\xd8" for row in rows)


def test_stores_share_items_but_not_pictures(world: World) -> None:
    one = world.store("one", "google", THINGS[:2])
    two = world.store("two", "google", THINGS[:2])
    assert world.offers_of(THINGS[0]) == {one.offers[0].key, two.offers[0].key}
    first, second = (get(world.base + store.image_paths[0]) for store in (one, two))
    assert first != second


def test_changes_reach_the_feed(world: World) -> None:
    store = world.store("harbour", "google", THINGS[:3])
    before = get(store.feed_url)
    world.change(store.offers[0], price="1.50", available=False)
    gone = store.offers[1]
    world.remove(gone)
    world.add(store, THINGS[4:5])
    after = get(store.feed_url)
    assert b"1.50 USD" in after
    assert b"out_of_stock" in after
    assert gone.key not in world.truth
    assert len(world.truth) == 3
    assert before != after
    with pytest.raises(AttributeError):
        world.change(store.offers[0], pirce="2")


def test_repaint_keeps_the_address(world: World) -> None:
    store = world.store("harbour", "google", THINGS[:1])
    url = world.base + store.image_paths[0]
    before = get(url)
    world.repaint(store.offers[0], THINGS[3])
    assert get(url) != before


def test_status_faults_heal_after_their_times(world: World) -> None:
    store = world.store("harbour", "google", THINGS[:1])
    world.fail(store.path, 503, times=2)
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError, match="503") as caught:
            get(store.feed_url)
        caught.value.close()
    assert get(store.feed_url)
    assert world.requests[store.path] == 3


def test_body_faults(world: World) -> None:
    store = world.store("harbour", "google", THINGS[:1])
    whole = get(store.feed_url)
    world.truncate(store.path)
    with pytest.raises(http.client.IncompleteRead):
        get(store.feed_url)
    world.cut(store.path, 0.25)
    assert get(store.feed_url) == whole[: len(whole) // 4]
    world.drip(store.path, 0.2)
    begin = time.monotonic()
    assert get(store.feed_url) == whole
    assert time.monotonic() - begin > 0.15
    world.mistype(store.path, "text/html")
    with urllib.request.urlopen(store.feed_url) as answer:
        assert answer.headers["Content-Type"] == "text/html"
    world.put("/elsewhere", b"here")
    world.redirect(store.path, "/elsewhere")
    assert get(store.feed_url) == b"here"
    world.heal()
    assert get(store.feed_url) == whole


def test_unknown_pages_are_404_and_unchanged_ones_304(world: World) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        get(world.base + "/robots.txt")
    caught.value.close()
    store = world.store("harbour", "google", THINGS[:1])
    with urllib.request.urlopen(store.feed_url) as answer:
        tag = answer.headers["ETag"]
    with pytest.raises(urllib.error.HTTPError, match="304") as caught:
        get(store.feed_url, **{"If-None-Match": tag})
    caught.value.close()


def test_a_slow_page_does_not_hold_up_the_end(tmp_path: Path) -> None:
    begin = time.monotonic()
    with World(tmp_path) as world:
        store = world.store("harbour", "google", THINGS[:1])
        world.drip(store.path, 600)
        connection = http.client.HTTPConnection(world.host, timeout=120)
        connection.request("GET", store.path)
        connection.getresponse()
    connection.close()
    assert time.monotonic() - begin < 300


def test_photo_is_a_file_made_once(world: World) -> None:
    path = world.photo(THINGS[0], 3)
    stamp = path.stat().st_mtime_ns
    assert world.photo(THINGS[0], 3).stat().st_mtime_ns == stamp
    with Image.open(path) as photo:
        assert photo.size == (240, 320)
