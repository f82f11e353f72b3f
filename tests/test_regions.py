"""Regions in search: which is searched, what is remembered of a photo, what kind of thing it is."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from garments import KINDS as SOLD
from garments import items
from lensback.catalogue import stores
from lensback.catalogue.pictured import pictured
from lensback.detectors import Detector, open_detector
from lensback.detectors.measure import Judged, average_precision, share_met
from lensback.errors import TooLarge
from lensback.fleeting import Fleeting
from lensback.rank import Ranked
from lensback.search import Looks, Query, Tools, search
from lensback.search.kinds import SINK, decided, kinds_of, sunk
from lensback.search.looking import PHOTOS, Look, chosen, in_order, look, named, searched, widened
from lensback.settings import Settings
from lensback.sync import sync
from lensback.types import WHOLE, Box, Candidate, Filter, Region
from lensback.workspace import Workspace, init
from world import World

LAST = Region(WHOLE, "whole", 0.01)
TOP = Region((0.2, 0.2, 0.8, 0.6), "top", 0.8)
SHOES = Region((0.3, 0.85, 0.6, 0.97), "shoes", 0.9)
LIMITS = (20 << 20, 50_000_000)


def photo(seed: int = 0, size: tuple[int, int] = (400, 300)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(file, "JPEG")
    return file.getvalue()


class Counted:
    """A real detector, and how often it was asked."""

    def __init__(self, detector: Detector, regions: list[Region] | None = None) -> None:
        self.name, self.fingerprint = detector.name, detector.fingerprint
        self.detector, self.regions, self.asked = detector, regions, 0

    def find(self, picture: Image.Image) -> list[Region]:
        self.asked += 1
        return self.regions or self.detector.find(picture)


# ---- which is searched


def test_what_is_large_sure_and_in_the_middle_comes_first() -> None:
    assert in_order([SHOES, TOP, LAST]) == [TOP, SHOES, LAST]
    unsure = replace(TOP, score=0.02)
    assert in_order([SHOES, unsure, LAST])[0] == SHOES
    aside = replace(TOP, box=(0.0, 0.0, 0.3, 0.3))
    assert in_order([aside, replace(aside, box=(0.35, 0.35, 0.65, 0.65)), LAST])[0] != aside
    assert in_order([LAST]) == [LAST]


def test_a_box_that_was_given_stands_before_all() -> None:
    box: Box = (0.5, 0.5, 0.9, 0.9)
    assert chosen([TOP, SHOES, LAST], box) == [Region(box, "given"), TOP, SHOES, LAST]
    assert chosen([TOP, SHOES, LAST], None) == [TOP, SHOES, LAST]


def test_a_region_that_was_chosen_is_that_region() -> None:
    near: Box = (0.3, 0.8501, 0.5999, 0.97)
    assert chosen([TOP, SHOES, LAST], near) == [SHOES, TOP, LAST]
    assert chosen([TOP, SHOES, LAST], WHOLE) == [LAST, TOP, SHOES]


def test_a_box_that_was_drawn_is_called_what_it_meets() -> None:
    drawn = Region((0.22, 0.2, 0.8, 0.58), "given")
    assert named(drawn, [drawn, TOP, SHOES, LAST]).label == "top"
    assert named(drawn, [drawn, TOP, LAST]).box == drawn.box
    corner = Region((0.0, 0.0, 0.2, 0.2), "given")
    assert named(corner, [corner, TOP, LAST]) == corner
    everything = Region(WHOLE, "given")
    assert named(everything, [everything, SHOES, LAST]).label == "given"
    assert named(SHOES, [SHOES, TOP]) == SHOES


def test_a_region_is_searched_with_a_margin_and_the_whole_photo() -> None:
    top = replace(TOP, box=(0.2, 0.2, 0.8, 0.6))
    assert widened(top.box, 0.1) == (0.17, 0.18, 0.83, 0.62)
    first, whole = searched(top, None)
    assert first == widened(top.box)
    assert whole == WHOLE
    assert searched(top, top.box) == [widened(top.box)], "chosen: nothing else is meant"
    drawn = Region(top.box, "given")
    assert searched(drawn, drawn.box) == [drawn.box], "drawn: as it was drawn"
    assert searched(LAST, None) == [WHOLE]


# ---- what is remembered


def seen(looks: Looks, data: bytes, detector: Detector, side_px: int = 100) -> tuple[Look, dict[str, float]]:  # fmt: skip
    timings: dict[str, float] = {}
    return look(data, looks, detector, side_px, LIMITS, timings), timings


def test_a_photo_is_looked_at_once() -> None:
    looks, detector = Looks(60), Counted(open_detector("saliency"))
    first, timings = seen(looks, photo(), detector)
    assert set(timings) == {"decode", "regions"}
    assert first.size == (400, 300)
    again, _ = seen(looks, photo(), detector)
    assert again is first
    assert detector.asked == 1
    seen(looks, photo(1), detector)
    assert detector.asked == 2


def test_another_detector_looks_for_itself() -> None:
    looks = Looks(60)
    seen(looks, photo(), open_detector("saliency"))
    other = Counted(open_detector("whole"))
    seen(looks, photo(), other)
    assert other.asked == 1


def test_a_small_box_of_a_large_photo_is_decoded_finer() -> None:
    looks, detector, data = Looks(60), Counted(open_detector("whole")), photo(size=(1600, 1200))
    coarse, _ = seen(looks, data, detector, 100)
    assert min(coarse.picture.size) < 1200
    fine, _ = seen(looks, data, detector, 600)
    assert min(fine.picture.size) >= 600
    assert seen(looks, data, detector, 100)[0] is fine
    assert detector.asked == 2


def test_nothing_is_remembered_unless_told() -> None:
    looks, detector = Looks(0), Counted(open_detector("whole"))
    for _ in range(2):
        seen(looks, photo(), detector)
    assert detector.asked == 2


def test_old_and_many_photos_are_forgotten() -> None:
    now = [0.0]
    looks, detector = Looks(60), Counted(open_detector("whole"))
    looks._kept = Fleeting(60, PHOTOS, clock=lambda: now[0])
    seen(looks, photo(), detector)
    now[0] = 59
    seen(looks, photo(), detector)
    assert detector.asked == 1
    now[0] = 61
    seen(looks, photo(), detector)
    assert detector.asked == 2
    for seed in range(1, PHOTOS + 1):
        seen(looks, photo(seed), detector)
    assert len(looks._kept) == PHOTOS
    seen(looks, photo(), detector)
    assert detector.asked == PHOTOS + 3


def test_photos_go_in_time_even_where_nobody_searches_any_more() -> None:
    now, looks = [0.0], Looks(0.2)
    looks._kept = Fleeting(0.2, PHOTOS, clock=lambda: now[0])
    seen(looks, photo(), open_detector("whole"))
    assert len(looks._kept) == 1
    now[0] = 1.0
    end = time.monotonic() + 120
    while len(looks._kept) and time.monotonic() < end:
        time.sleep(0.02)
    assert not len(looks._kept)


def test_what_is_remembered_is_bound_by_the_limits() -> None:
    looks = Looks(60)
    seen(looks, photo(), open_detector("whole"))
    with pytest.raises(TooLarge):
        look(photo(), looks, open_detector("whole"), 100, (100, 100), {})


# ---- what kind of thing

KINDS = {
    **{f"shoe{n}": frozenset({"shoes"}) for n in range(12)},
    **{f"top{n}": frozenset({"top"}) for n in range(12)},
    "coat": frozenset({"outerwear"}),
    "odd": frozenset[str](),
}


def near(*hashes: str) -> list[Candidate]:
    return [Candidate(name, 0.9 - n / 100) for n, name in enumerate(hashes)]


@pytest.mark.parametrize(
    ("region", "nearest", "label"),
    [
        (TOP, near(*(f"top{n}" for n in range(12))), "top"),
        (replace(TOP, score=0.3), near(*(f"shoe{n}" for n in range(12))), "shoes"),
        (replace(TOP, score=0.9), near("shoe0", "top0", "top1"), "top"),
        # Neither the label nor the neighbours are sure: nothing is decided.
        (replace(TOP, score=0.6), near(*(f"shoe{n}" for n in range(5)), *(f"top{n}" for n in range(1)), "coat", "coat", "coat", "coat"), ""),
        (TOP, [], "top"),
        (Region(WHOLE, "whole"), near("top0"), ""),
        (Region(WHOLE, "item"), near("top0"), ""),
        (replace(TOP, label="other"), near("top0"), ""),
        (TOP, near("odd", "unknown"), "top"),
    ],
)  # fmt: skip
def test_label_and_neighbours_decide_together(
    region: Region, nearest: list[Candidate], label: str
) -> None:
    assert decided(region, nearest, KINDS) == label


def ranked(**similar: float) -> list[Ranked]:
    return [Ranked(name, name, value, 0.0) for name, value in similar.items()]


def test_other_kinds_sink_and_near_ones_do_not() -> None:
    before = ranked(shoe0=0.8, coat=0.79, odd=0.785, top0=0.78)
    assert [r.product_id for r in sunk(before, KINDS, "top")] == ["coat", "odd", "top0", "shoe0"]
    assert sunk(before, KINDS, "") == before
    ahead = ranked(shoe0=0.8 + SINK, top0=0.79)
    assert sunk(ahead, KINDS, "top") == ahead, "what is far ahead stays there"


@given(
    st.lists(st.sampled_from(sorted(KINDS)), unique=True),
    st.sampled_from(["top", "shoes", "bag", ""]),
)
def test_sinking_loses_nothing_and_keeps_the_order_within_a_kind(
    names: list[str], label: str
) -> None:
    before = ranked(**{name: 1 - n / 50 for n, name in enumerate(names)})
    after = sunk(before, KINDS, label)
    assert sorted(r.product_id for r in after) == sorted(names)
    for kind in ("top", "shoes"):
        kept = [r for r in after if KINDS[r.product_id] == {kind}]
        assert kept == sorted(kept, key=lambda r: -r.similarity)


def test_kinds_of_store_categories() -> None:
    paths = {"a": ["Women > Shoes > Boots", "Обувь/Сапоги"], "b": ["Sale"], "c": ["Tops", "Jeans"]}
    assert kinds_of(paths) == {"a": {"shoes"}, "b": set(), "c": {"top", "trousers"}}


# ---- a whole search


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Tools]]:
    root = tmp_path_factory.mktemp("regions")
    init(root / "workspace")
    chosen = Settings(allow_hosts=("127.0.0.1",), retries=0, index="exact", detector="saliency")
    with World(root / "world") as world, Workspace(root / "workspace", chosen) as workspace:
        harbour = world.store("harbour", "google", items(16))
        world.publish(harbour)
        stores.add(workspace.db, harbour.name, harbour.feed_url)
        assert not sync(workspace).failed
        yield world, workspace.tools()


def test_another_item_costs_no_second_look(tools: tuple[World, Tools]) -> None:
    world, found = tools
    detector = Counted(found.detector, [TOP, SHOES, LAST])
    mine = replace(found, detector=detector, looks=Looks(60))
    offer = world.stores["harbour"].offers[0]
    data = world._pages[f"/harbour/images/{offer.images[0]}"][0]
    first = search(data, Query(), mine)
    assert first.region == TOP.box
    assert [r.label for r in first.regions] == ["top", "shoes", "whole"]
    second = search(data, Query(box=SHOES.box), mine)
    assert second.region == SHOES.box
    assert [r.label for r in second.regions] == ["shoes", "top", "whole"]
    assert detector.asked == 1
    drawn = search(data, Query(box=(0.1, 0.1, 0.5, 0.5)), mine)
    assert [r.label for r in drawn.regions] == ["given", "top", "shoes", "whole"]


def _gives(region: Region) -> Detector:
    return Counted(open_detector("whole"), [region])


def test_other_categories_leave_an_answer(tools: tuple[World, Tools]) -> None:
    """What is of another kind than the label goes, and the shown similarity stays what it is."""
    world, found = tools
    moved = 0
    for offer in world.stores["harbour"].offers[:16]:
        if "Shoes" not in SOLD[offer.item.kind].category:
            continue
        data = world._pages[f"/harbour/images/{offer.images[0]}"][0]
        plain, labelled = (
            search(data, Query(limit=16), replace(found, detector=_gives(region), looks=Looks()))
            for region in (Region(WHOLE, "whole"), Region(WHOLE, "shoes", 1.0))
        )
        similar = {h.product_id: pytest.approx(h.similarity) for h in plain.hits}
        for hit in labelled.hits:
            assert hit.similarity == similar.get(hit.product_id, hit.similarity)
        assert any("Shoes" in hit.offers[0].category for hit in labelled.hits)
        assert all("Shoes" in hit.offers[0].category for hit in labelled.hits[1:])
        moved += any("Shoes" not in hit.offers[0].category for hit in plain.hits[1:])
    assert moved, "some of these have things of another kind among the nearest"


def test_categories_of_images(tools: tuple[World, Tools]) -> None:
    _, found = tools
    vector = np.ones(found.encoder.dim, np.float32) / np.sqrt(found.encoder.dim)
    hashes = [c.image_hash for c in found.index.search(vector, 5, Filter())]
    known = pictured(found.db, [*hashes, "f" * 64]).categories
    assert set(known) == set(hashes)
    assert all(path for paths in known.values() for path in paths)


# ---- how good regions are


def test_average_precision_counts_each_box_once() -> None:
    box: Box = (0.0, 0.0, 0.5, 1.0)
    double = Judged([("top", box)], [Region(box, "top", 0.9), Region(box, "top", 0.8)])
    assert average_precision([double], "top") == 1.0
    missed = Judged([("top", box)], [])
    assert average_precision([double, missed], "top") == 0.5
    false_first = Judged([("top", box)], [Region(box, "hat", 0.9), Region(box, "top", 0.8)])
    assert average_precision([false_first], "top") == 1.0
    assert np.isnan(average_precision([double], "hat"))


def test_share_met_looks_at_the_first_only() -> None:
    box: Box = (0.0, 0.0, 0.5, 1.0)
    late = Judged([("top", box), ("hat", (0.9, 0.9, 1, 1))], [LAST, Region(box, "shoes")])
    assert share_met([late], 1) == 0.5, "the whole photo meets the half of it at IoU 0.5"
    assert share_met([Judged([("top", (0.0, 0.0, 0.3, 1.0))], [LAST])], 1) == 0.0
    assert np.isnan(share_met([Judged([], [LAST])], 8))


def test_the_workspace_opens_what_the_setting_names(tmp_path: Path) -> None:
    init(tmp_path)
    with Workspace(tmp_path, Settings(detector="whole", photo_memory_s=7)) as workspace:
        assert workspace.detector.name == "whole"
        assert workspace.looks.keep_s == 7
