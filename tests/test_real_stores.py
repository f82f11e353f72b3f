"""The three real stores: every offer counted, grouping held against the truth, photos found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.imagenet_onnx import write

import main_job
from lensback.catalogue import offers
from lensback.demo import serve_folder
from lensback.search import Query, search
from lensback.sync import sync
from lensback.workspace import Workspace
from rig import connected

ENCODER = "imagenet*0.7+pixels*0.3"
PHOTOS = 60

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def shops(data: Path) -> Iterator[str]:
    with serve_folder(data / "shops") as base:
        yield base


@pytest.fixture(scope="module")
def synced(shops: str, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """luma and outlet with the ImageNet network joined with colour."""
    folder = tmp_path_factory.mktemp("real")
    with connected(folder, shops, ["luma", "outlet"], encoder=ENCODER) as made:
        write(data / "weights" / "mobilenetv2_bn_npy", made.models / "imagenet")
        assert not sync(made).failed
        yield made


def test_every_offer_is_counted(shops: str, tmp_path: Path) -> None:
    with connected(tmp_path, shops) as workspace:
        report = sync(workspace, only="ingest")
        assert [tally.rejects for tally in report.tallies] == [0, 0, 0]
        assert offers.counts(workspace.db) == {"luma": 1870, "outlet": 563, "closet": 5057}


def test_second_sync_embeds_nothing(synced: Workspace) -> None:
    done = {tally.stage: tally.done for tally in sync(synced).tallies}
    assert (done["download"], done["embed"], done["publish"]) == (0, 0, 0)


@pytest.mark.parametrize("codes", [False, True])
def test_grouping_against_the_truth(synced: Workspace, codes: bool) -> None:
    measured = main_job.grouping(synced, codes=codes)
    assert measured["precision"]["share"] >= 0.99
    assert measured["recall"]["share"] >= 0.90
    assert measured["colourways_split_in_two"] == 0


def test_distorted_pictures_find_their_own_product(synced: Workspace) -> None:
    main_job.grouping(synced, codes=True)
    measured = main_job.distorted(synced, PHOTOS)
    assert measured["own_product_first"]["share"] >= 0.90
    assert measured["outlet_beside_luma"]["share"] >= 0.90


def test_answer_on_a_real_picture(synced: Workspace, data: Path) -> None:
    picture = (data / "shops" / "outlet" / "images" / "mh03-black_main.jpg").read_bytes()
    answer = search(picture, Query(), synced.tools())
    assert answer.verdict in {"exact", "similar"}
    first = answer.hits[0]
    assert {s.store for s in first.offers} == {"luma", "outlet"}
    assert {s.color for s in first.offers} == {"Black", "чёрный"}
