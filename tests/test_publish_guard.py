"""No good index is replaced by a worse one unasked, whatever made it worse."""

from __future__ import annotations

import json
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from typer.testing import CliRunner

from garments import items
from lensback.catalogue import stores
from lensback.cli import app
from lensback.db import tables as t
from lensback.doctor import examine
from lensback.publish import LossGuard, StoreRows, write_rows
from lensback.search import Query, search
from lensback.settings import Settings
from lensback.sync import SyncReport, sync
from lensback.types import Snapshot
from lensback.workspace import Workspace, init
from world import World

THINGS = items(16)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world")) as made:
        made.store("harbour", "google", THINGS[:10], side_px=64)
        made.store("lavka", "yml", THINGS[10:], side_px=64)
        yield made


@pytest.fixture(autouse=True)
def _healed(world: World) -> Iterator[None]:
    yield
    world.heal()


def opened(folder: Path, **settings: object) -> Workspace:
    values = {"allow_hosts": ("127.0.0.1",), "retries": 0, "encoder": "pixels", **settings}
    return Workspace(folder, Settings.model_validate(values))


@pytest.fixture(scope="module")
def synced(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synced") / "workspace"
    init(folder)
    with opened(folder) as workspace:
        connect(workspace, world)
        assert not sync(workspace).failed
    return folder


def connect(workspace: Workspace, world: World, *names: str) -> None:
    for name in names or world.stores:
        stores.add(workspace.db, name, world.stores[name].feed_url)


@pytest.fixture
def folder(synced: Path, tmp_path: Path) -> Path:
    shutil.copytree(synced, tmp_path / "workspace")
    return tmp_path / "workspace"


def warning(report: SyncReport) -> str:
    return str({t.stage: t for t in report.tallies}["publish"].notes.get("warning", ""))


def shown(workspace: Workspace) -> int:
    snapshot = workspace.index.snapshot
    return snapshot.rows if snapshot else 0


def unsell(workspace: Workspace, store: str, share: float) -> None:
    """Some of a store's offers go, by no feed's word."""
    key, o = stores.store_id(workspace.db, store), t.offers.c
    with workspace.db.write() as c:
        keys = list(c.scalars(t.offers.select().where(o.store_id == key).with_only_columns(o.id)))
        gone = keys[: round(share * len(keys))]
        c.execute(update(t.offers).where(o.id.in_(gone)).values(active=False))


def half_a_store(folder: Path, world: World) -> None:
    with opened(folder) as workspace:
        unsell(workspace, "lavka", 0.6)


def no_pictures_known(folder: Path, world: World) -> None:
    with opened(folder) as workspace, workspace.db.write() as c:
        c.execute(delete(t.offer_images))


CAUSES: dict[str, tuple[Callable[[Path, World], None], str]] = {
    "one store's offers": (half_a_store, "lavka 2 of 6"),
    "no picture of any offer": (no_pictures_known, "all together 0 of 16, harbour 0 of 10"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_worse_index_is_held_back_until_forced(cause: str, folder: Path, world: World) -> None:
    harm, told = CAUSES[cause]
    harm(folder, world)
    with opened(folder) as workspace:
        before = workspace.index.snapshot
        foretold = {check.part: check for check in examine(workspace)}["next index"]
        assert foretold.state == "warn"
        assert told in foretold.message
        for _ in range(2):
            report = sync(workspace, only="publish")
            assert told in warning(report)
            assert report.guarded(0.2) == ["publish"]
            assert workspace.index.snapshot == before
        photo = world.photo(THINGS[0]).read_bytes()
        assert search(photo, Query(), workspace.tools()).snapshot == before.id  # type: ignore[union-attr]
        assert not warning(sync(workspace, only="publish", force=True))
        assert shown(workspace) < before.rows  # type: ignore[union-attr]
        assert "next index" not in {check.part for check in examine(workspace)}


def test_force_for_one_store_is_no_leave_for_another(folder: Path, world: World) -> None:
    with opened(folder) as workspace:
        unsell(workspace, "harbour", 0.8)
        report = sync(workspace, ["lavka"], only="publish", force=True)
        assert "harbour 2 of 10" in warning(report)
        assert not warning(sync(workspace, ["harbour"], only="publish", force=True))
        assert shown(workspace) == 8


def test_another_encoder_takes_over_only_whole(folder: Path, world: World) -> None:
    with opened(folder, encoder="pixels*0.5") as workspace:
        before = workspace.index.snapshot
        assert "all together 0 of 16" in warning(sync(workspace, only="publish"))
        assert workspace.index.snapshot == before
        assert not warning(sync(workspace))
        assert shown(workspace) == 16


def test_a_small_loss_and_a_removed_store_are_none(folder: Path, world: World) -> None:
    with opened(folder) as workspace:
        unsell(workspace, "lavka", 0.5)
        assert not warning(sync(workspace, only="publish"))
        assert shown(workspace) == 13
    runner = CliRunner()
    assert not runner.invoke(
        app, ["store", "remove", "harbour", "--yes", "--workspace", str(folder)]
    ).exit_code
    with opened(folder) as workspace:
        assert not warning(sync(workspace, only="publish"))
        assert shown(workspace) == 3


def test_the_command_says_it_and_exits_with_1(folder: Path, world: World) -> None:
    half_a_store(folder, world)
    (folder / "lensback.toml").write_text('encoder = "pixels"\n')
    args = ["sync", "--only", "publish", "--workspace", str(folder)]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 1
    assert f"lensback sync --workspace {shlex.quote(str(folder))} --force" in result.stderr
    assert CliRunner().invoke(app, [*args, "--force"]).exit_code == 0


# ---- the sum by itself

LIVE = Snapshot("now", "pixels", "f", 8, 100, 1.0)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ({"a": 60, "b": 40}, []),
        ({"a": 30, "b": 20}, []),  # exactly half
        ({"a": 29, "b": 40}, ["a"]),
        ({"a": 60, "b": 19}, ["b"]),
        ({"a": 60}, ["b"]),
        ({"a": 31, "b": 0}, ["", "b"]),
        ({}, ["", "a", "b"]),
        ({"c": 100}, ["", "a", "b"]),  # another database's stores
        ({"a": 60, "b": 40, "c": 1}, []),
    ],
)
def test_losses_by_store_and_in_all(after: dict[str, int], told: list[str], tmp_path: Path) -> None:
    guard = LossGuard(tmp_path / "rows.json", 0.5)
    write_rows(guard.path, StoreRows("now", {"a": 60, "b": 40}))
    assert sorted(name for name, _, _ in guard.losses(LIVE, Counter(after))) == told
    assert guard.losses(None, Counter(after)) == []
    assert LossGuard(guard.path, 0.5, None).losses(LIVE, Counter(after)) == []
    assert LossGuard(guard.path, 1.0).losses(LIVE, Counter(after)) == []


@pytest.mark.parametrize("text", [None, "", "{", '{"rows": 3}', json.dumps({"snapshot": "old"})])
def test_without_the_file_the_sum_is_kept(text: str | None, tmp_path: Path) -> None:
    guard = LossGuard(tmp_path / "rows.json", 0.5)
    if text is not None:
        guard.path.write_text(text)
    assert guard.losses(LIVE, Counter({"a": 49})) == [("", 100, 49)]
    assert guard.losses(LIVE, Counter({"a": 50})) == []
