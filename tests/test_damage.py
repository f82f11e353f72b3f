"""Whatever of a workspace is lost or damaged: following the hints of doctor and sync mends it, or
ends at a clear last word. No two parts point at each other."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from garments import items
from lensback.catalogue import stores
from lensback.doctor import Check, examine
from lensback.errors import Error, StateError
from lensback.search import Query, search
from lensback.settings import Settings
from lensback.sync import SyncReport, sync
from lensback.workspace import Workspace, init
from world import World

pytestmark = pytest.mark.slow

THINGS = items(8)
STEPS = 3
Harm = Callable[[Path], None]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world")) as made:
        made.store("harbour", "google", THINGS, side_px=64)
        yield made


@pytest.fixture(scope="module")
def kept(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "workspace"
    init(folder)
    with opened(folder) as workspace:
        stores.add(workspace.db, "harbour", world.stores["harbour"].feed_url)
        assert not sync(workspace).failed
    return folder


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept, tmp_path / "workspace")
    return tmp_path / "workspace"


def opened(folder: Path) -> Workspace:
    """Without a model: none lies in the workspace, and each of hundreds of looks would load it."""
    chosen = {"allow_hosts": ("127.0.0.1",), "retries": 0, "encoder": "pixels", "detector": "whole"}
    return Workspace(folder, Settings.model_validate(chosen))


def looked(folder: Path, *, deep: bool = False) -> list[Check]:
    with opened(folder) as workspace:
        lines = examine(workspace, deep=deep)
    # What is so in health, too: pictures of one view a thing, and rights that git does not keep.
    return [x for x in lines if x.part not in {"calibration", "rights"} and x.state != "ok"]


def synced(folder: Path) -> SyncReport | Error:
    with opened(folder) as workspace:
        try:
            return sync(workspace)
        except Error as error:
            return error


def finds(folder: Path, world: World) -> int:
    with opened(folder) as workspace:
        answer = search(world.photo(THINGS[0]).read_bytes(), Query(), workspace.tools())
    return len(answer.hits)


def parts(folder: Path) -> list[str]:
    """Each file and folder of the workspace, those of tables by their kind."""
    names: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        relative = str(path.relative_to(folder))
        if relative.split("/", maxsplit=1)[0] in {"journal", ".lock", "lensback.toml"}:
            continue
        kind = re.sub(r"[0-9a-f]{8,}|\d{3,}|[01]{8,}\w*", "*", relative)
        names.setdefault(kind, relative)
    return sorted(names.values())


def removed(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def cut(path: Path) -> None:
    if path.is_file():
        os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    if path.is_file():
        os.truncate(path, 0)
    else:
        shutil.rmtree(path)
        path.mkdir()


def is_database(path: str) -> bool:
    return path.startswith("catalogue.db")


def test_each_part_lost_or_damaged_is_mended_in_three_steps(
    kept: Path, tmp_path: Path, world: World
) -> None:
    """Each part by one kind of harm, in turn. All three at each passed, in three times the time."""
    named = parts(kept)
    assert len([p for p in named if p.startswith("vectors/")]) >= 4
    assert len([p for p in named if p.startswith("index/")]) >= 4
    assert any(p.startswith("images/") for p in named)
    for number, name in enumerate(n for n in named if not is_database(n)):
        folder = tmp_path / str(number)
        shutil.copytree(kept, folder)
        harm: Harm = (removed, cut, emptied)[number % 3]
        harm(folder / name)
        for step in range(STEPS):
            bad = looked(folder)
            if not bad and step:
                break
            assert all(line.hint.startswith("run: lensback sync") for line in bad), (name, bad)
            report = synced(folder)
            assert isinstance(report, SyncReport), (name, report)
            assert not report.guarded(0.2), (name, report.as_json())
        assert looked(folder, deep=True) == [], name
        assert finds(folder, world), name
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("images", "pictures lost, to be fetched again"),
        ("vectors", "vectors lost, made again"),
    ],
)
def test_a_sync_says_what_it_mended(name: str, told: str, folder: Path, world: World) -> None:
    shutil.rmtree(folder / name)
    report = synced(folder)
    assert isinstance(report, SyncReport)
    assert report.mended == {told: 8}
    assert report.as_json()["mended"] == {told: 8}
    again = synced(folder)
    assert isinstance(again, SyncReport)
    assert again.mended == {}


def test_pictures_and_vectors_lost_while_the_store_is_away(folder: Path, world: World) -> None:
    """What is searched stays until they can be had again."""
    store = world.stores["harbour"]
    for name in ("images", "vectors"):
        shutil.rmtree(folder / name)
    for path in store.image_paths:
        world.fail(path, 404)
    with opened(folder) as workspace:
        before = workspace.index.snapshot
    try:
        for _ in range(2):
            report = synced(folder)
            assert isinstance(report, SyncReport)
            assert "publish" in report.guarded(0.2)
            with opened(folder) as workspace:
                assert workspace.index.snapshot == before
            assert any(line.part == "images" for line in looked(folder))
        assert finds(folder, world)
    finally:
        world.heal()
    report = synced(folder)
    assert isinstance(report, SyncReport)
    assert not report.guarded(0.2)
    assert looked(folder, deep=True) == []


def test_one_damaged_picture_is_found_by_a_deep_look(folder: Path, world: World) -> None:
    file = next(p for p in sorted((folder / "images").glob("??/??/*")))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert looked(folder) == [], "of the same size"
    (line,) = [x for x in looked(folder, deep=True) if x.part == "files"]
    assert line.message == "gone from the disk, or damaged: 1 of 8 pictures"
    synced(folder)
    assert looked(folder, deep=True) == []


def test_a_sample_of_few_pictures_is_all_of_them_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in (0, 0x8000, 0xFFFF):
        monkeypatch.setattr("lensback.doctor.random.randrange", lambda _, start=start: start)
        with opened(folder) as workspace:
            (line,) = [x for x in examine(workspace) if x.part == "files"]
        assert "there: 8 pictures of a sample" in line.message


@pytest.mark.parametrize("encoded", [False, True])
def test_a_database_from_before_the_first_publish(
    folder: Path, world: World, encoded: bool
) -> None:
    """One of a version that kept no notes of publishes has its vectors noted, and is none."""
    with closing(sqlite3.connect(folder / "catalogue.db")) as db:
        db.execute("DELETE FROM publications")
        if not encoded:
            db.execute("DELETE FROM embeddings")
        db.commit()
    told = synced(folder)
    if encoded:
        assert isinstance(told, SyncReport)
        return
    assert isinstance(told, StateError)
    assert "knows of none" in told.message
    (line,) = [x for x in looked(folder) if x.state == "fail"]
    assert (line.part, line.message, line.hint) == ("database", told.message, told.hint)
    assert finds(folder, world), "searches go on"
    with opened(folder) as workspace:
        assert not sync(workspace, force=True).failed
    assert looked(folder) == []


def test_a_database_older_than_its_index(folder: Path, world: World) -> None:
    """Put back from a backup that was taken before the last publish."""
    backup = folder.parent / "backup.db"
    with closing(sqlite3.connect(folder / "catalogue.db")) as old:
        with closing(sqlite3.connect(backup)) as new:
            old.backup(new)
        old.execute("UPDATE publications SET finished_at = finished_at - 90, started_at = 1")
        old.commit()
        with closing(sqlite3.connect(backup)) as new:
            old.backup(new)
    offer = world.stores["harbour"].offers[0]
    world.change(offer, price="77.00")
    assert isinstance(synced(folder), SyncReport)
    for file in folder.glob("catalogue.db*"):
        file.unlink()
    shutil.copy(backup, folder / "catalogue.db")
    told = synced(folder)
    assert isinstance(told, StateError)
    assert "older than the index" in told.message
    (line,) = [x for x in looked(folder) if x.state == "fail"]
    assert (line.part, line.message, line.hint) == ("database", told.message, told.hint)
    assert finds(folder, world), "searches go on"
    with opened(folder) as workspace:
        assert not sync(workspace, force=True).failed
    assert isinstance(synced(folder), SyncReport)
    assert looked(folder) == []
