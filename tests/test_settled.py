"""A sync makes products and index again exactly where something that decides them has changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from garments import items
from lensback import group as grouping
from lensback import settled
from lensback import sync as syncing
from lensback.catalogue import stores
from lensback.db import tables as t
from lensback.errors import StateError
from lensback.publish import forget_store, rename_store
from lensback.settings import Settings
from lensback.sync import SyncReport, sync
from lensback.workspace import Workspace
from test_sync import opened, state
from world import World

THINGS = items(9)
FORCED = Settings(allow_hosts=("127.0.0.1",), retries=0, encoder="pixels")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two stores that sell the same things; whoever changes one puts it right again."""
    with World(tmp_path_factory.mktemp("world")) as made:
        made.store("harbour", "google", THINGS, sizes=("S", "M"), side_px=64)
        made.store("lavka", "yml", THINGS[:6], side_px=64)
        yield made


@pytest.fixture(scope="module")
def done(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with nothing to do."""
    folder = tmp_path_factory.mktemp("done")
    with opened(folder, world, encoder="pixels") as workspace:
        assert not sync(workspace).failed
    return folder


@pytest.fixture
def folder(done: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(done, tmp_path / "workspace")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that really ran, in order."""
    ran: list[str] = []

    def watched(module: Any, name: str) -> None:
        real = getattr(module, name)

        def run(*args: Any, **options: Any) -> Any:
            ran.append(name)
            return real(*args, **options)

        monkeypatch.setattr(module, name, run)

    for module, name in zip((grouping, grouping, syncing), ALL, strict=True):
        watched(module, name)
    return ran


ALL = ["pair_images", "group", "publish"]


def synced(
    folder: Path, *, force: bool = False, **settings: Any
) -> tuple[SyncReport, dict[str, Any]]:
    """What a sync says, and what it leaves."""
    with Workspace(folder, FORCED.model_copy(update=settings)) as workspace:
        return sync(workspace, force=force), state(workspace)


def written(statement: Any) -> Callable[[Path], None]:
    """A change of the database that nobody announces."""

    def change(folder: Path) -> None:
        with Workspace(folder, FORCED) as workspace, workspace.db.write() as c:
            assert c.execute(statement).rowcount

    return change


def told(report: SyncReport) -> list[dict[str, Any]]:
    """What the later stages say, without their times."""
    return [
        {key: value for key, value in tally.as_json().items() if key != "seconds"}
        for tally in report.tallies
        if tally.stage in {"pair", "group", "publish"}
    ]


def test_nothing_is_made_again_of_a_catalogue_that_is_settled(
    folder: Path, made: list[str]
) -> None:
    report, left = synced(folder)
    assert made == []
    forced, after = synced(folder, force=True)
    assert made == ALL
    assert told(report) == told(forced), "it says what a stage says that found nothing to do"
    assert left == after
    synced(folder)
    assert made == ALL, "what was forced is settled as well"


def renamed(folder: Path) -> None:
    with Workspace(folder, FORCED) as workspace:
        stores.rename(workspace.db, "lavka", "shop")
        rename_store(workspace.rows_path, "lavka", "shop")


def removed(folder: Path) -> None:
    with Workspace(folder, FORCED) as workspace:
        stores.remove(workspace.db, "lavka")
        forget_store(workspace.rows_path, "lavka")


def lost(*parts: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for part in parts:
            (found,) = folder.glob(part)
            shutil.rmtree(found) if found.is_dir() else found.unlink()

    return change


def damaged(folder: Path) -> None:
    (folder / settled.FILE).write_text('{"said": 1')


def of_another(folder: Path) -> None:
    """The index says that something else is searched."""
    path = folder / "published.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"snapshot": "other"}))


SOLD, SHOWN = t.offers, t.image_urls
SOLD_FIRST = select(func.min(SOLD.c.id)).where(SOLD.c.store_id == 1, SOLD.c.active)
ONE = SOLD.c.id == SOLD_FIRST.scalar_subquery()
"""An offer of the first store, whichever was read first."""
SAID: dict[str, Callable[[Path], None]] = {
    "a title": written(update(SOLD).where(ONE).values(title="Another thing")),
    "a colour": written(update(SOLD).where(ONE).values(color="puce")),
    "a number": written(update(SOLD).where(ONE).values(gtin="4006381333931")),
    "stock": written(update(SOLD).where(ONE).values(availability="out_of_stock")),
    "a price": written(update(SOLD).where(ONE).values(price_minor=1)),
    "what only words are found by": written(update(SOLD).where(ONE).values(content_hash="x")),
    "off sale": written(update(SOLD).where(ONE).values(active=False)),
    "a picture is gone": written(update(SHOWN).where(SHOWN.c.id == 2).values(image_hash=None)),
    "an offer shows a picture less": written(
        delete(t.offer_images).where(t.offer_images.c.offer_id == 2)
    ),
    "a store's name": renamed,
    "products are not known": written(update(SOLD).values(product_id=None)),
    "a product is another": written(update(SOLD).where(ONE).values(product_id="pother")),
    "reasons are gone": written(delete(t.product_links)),
}
LOST: dict[str, Callable[[Path], None]] = {
    "the index": lost("index"),
    "what is searched": lost("index/lance/CURRENT.json"),
    "the staged rows": lost("index/lance/v_*.lance", "index/lance/*.npz"),
    "the rows of stores": lost("published.json"),
    "whose rows they are": of_another,
    "what was settled": lost(settled.FILE),
    "the right words of it": damaged,
}


def test_all_is_made_again_where_the_catalogue_is_another(folder: Path, made: list[str]) -> None:
    for what, change in SAID.items():
        change(folder)
        synced(folder)
        assert made == ALL, what
        made.clear()
    report, left = synced(folder)
    assert made == [], "and then it is settled"
    forced, after = synced(folder, force=True)
    assert after == left, "nothing was left to do"
    assert told(forced) == told(report)


@pytest.mark.parametrize("what", LOST)
def test_all_is_made_again_where_something_is_lost(
    folder: Path, made: list[str], what: str
) -> None:
    with Workspace(folder, FORCED) as workspace:
        before = state(workspace)
    LOST[what](folder)
    assert synced(folder)[1] == before
    assert made == ALL
    synced(folder)
    assert made == ALL, "and then it is settled"


def test_without_a_store_all_is_made_again(folder: Path, made: list[str]) -> None:
    removed(folder)
    synced(folder)
    assert made == ["group", "publish"], "pictures of one store are compared with no other's"


def test_lost_files_of_what_is_searched_are_made_again_and_nothing_else(
    folder: Path, made: list[str]
) -> None:
    lost("index/lance/v_*@*")(folder)
    synced(folder)
    assert made == []
    assert [*folder.glob("index/lance/v_*@*/rows.arrow")]


@pytest.mark.parametrize(
    "settings", [{"encoder": "pixels*0.5"}, {"min_recall": 0.8}, {"index": "exact"}]
)
def test_other_settings_make_all_again(
    folder: Path, made: list[str], settings: dict[str, Any]
) -> None:
    _, left = synced(folder, **settings)
    assert made == ALL
    synced(folder, **settings)
    assert made == ALL
    assert synced(folder, force=True, **settings)[1] == left


def test_another_program_makes_all_again(
    folder: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settled, "_program", lambda: "another")
    synced(folder)
    assert made == ALL


def test_a_changed_feed_reaches_the_index(world: World, folder: Path, made: list[str]) -> None:
    offer = world.stores["harbour"].offers[0]
    before = offer.title
    world.change(offer, title="Something quite different")
    try:
        report, left = synced(folder)
        assert made == ALL
        assert told(report)[-1]["done"] == 0, "titles are no business of the index"
        assert synced(folder, force=True)[1] == left
    finally:
        world.change(offer, title=before)


def test_a_lost_picture_comes_again_and_nothing_else(
    folder: Path, made: list[str], world: World
) -> None:
    kept = sorted(path for path in (folder / "images").glob("??/??/*"))
    kept[0].unlink()
    report, _ = synced(folder)
    assert report.mended
    assert sorted((folder / "images").glob("??/??/*")) == kept
    assert made == [], "it is the same picture"


def test_what_broke_off_is_not_settled(
    folder: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    SAID["a price"](folder)
    with monkeypatch.context() as broken:
        broken.setattr(syncing.publications, "begin", _no_disk)
        with pytest.raises(StateError, match="no disk"):
            synced(folder)
    made.clear()
    _, left = synced(folder)
    assert made == ALL
    assert synced(folder, force=True)[1] == left


def _no_disk(*_: object) -> int:
    raise OSError(28, "no disk")


def test_an_index_that_is_held_back_is_not_settled(folder: Path, made: list[str]) -> None:
    written(update(SOLD).where(SOLD.c.id > 2).values(active=False))(folder)
    for _ in range(2):
        report, _ = synced(folder)
        assert "warning" in told(report)[-1]["notes"]
    assert made == 2 * ALL


@pytest.mark.parametrize("stage", ["group", "publish"])
def test_a_stage_that_is_asked_for_runs(folder: Path, made: list[str], stage: str) -> None:
    with Workspace(folder, FORCED) as workspace:
        sync(workspace, only=stage)
    assert stage in made
