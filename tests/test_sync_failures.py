"""A sync under a killed process, a full disk, a locked database and a wrong clock: resumed or a
clear error, and in the end everything is as after one clean run."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from forked import Forked
from garments import items
from lensback import db as db_module
from lensback.catalogue import offers, stores
from lensback.db import tables as t
from lensback.errors import Busy, StateError
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace, init
from test_sync import state
from world import World

SETTINGS = {"allow_hosts": ("127.0.0.1",), "retries": 0, "encoder": "pixels"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world")) as made:
        made.store("harbour", "google", items(10), sizes=("S", "M"), views=(0, 1))
        made.store("lavka", "yml", items(14)[6:], sizes=("S", "M"))
        yield made


def opened(folder: Path, world: World, *, local: bool = False) -> Workspace:
    init(folder)
    workspace = Workspace(folder, Settings(**SETTINGS))  # type: ignore[arg-type]
    for store in world.stores.values():
        feed = str(store.feed_path) if local else store.feed_url
        stores.add(workspace.db, store.name, feed, base=world.base)
    return workspace


@pytest.fixture(scope="module")
def clean(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one clean run produces."""
    with opened(tmp_path_factory.mktemp("clean"), world) as workspace:
        assert not sync(workspace).failed
        return state(workspace)


# ---- kill -9

CHILD = """
import os, signal
from pathlib import Path
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace

def watch(name):
    mine = name.split()[0] == {stage!r}
    if mine and {moment!r} == "begin":
        os.kill(os.getpid(), signal.SIGKILL)
    def step(done, total):
        if mine and done:
            os.kill(os.getpid(), signal.SIGKILL)
    return step

settings = Settings(allow_hosts=("127.0.0.1",), retries=0, encoder="pixels", embed_batch=4)
sync(Workspace(Path({folder!r}), settings), watch=watch)
"""
PLACES = [
    *(("ingest", "midst"), ("download", "midst"), ("embed", "begin"), ("embed", "midst")),
    *(("group", "begin"), ("publish", "begin"), ("publish", "midst"), ("calibrate", "begin")),
]


@pytest.mark.slow
def test_kill_9_in_every_stage_one_after_the_other(
    world: World, clean: dict[str, Any], tmp_path: Path
) -> None:
    """One workspace, killed at the beginning and in the midst of each stage in turn."""
    opened(tmp_path / "w", world).close()
    folder = str(tmp_path / "w")
    with Forked() as forked:
        for stage, moment in PLACES:
            forked.start(CHILD.format(folder=folder, stage=stage, moment=moment))
            assert forked.finished() == (-signal.SIGKILL, []), (stage, moment)
    with Workspace(tmp_path / "w", Settings(**SETTINGS)) as workspace:  # type: ignore[arg-type]
        assert not sync(workspace).failed
        assert state(workspace) == clean


# ---- a full disk


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A tmpfs of its own, grown by `grow`; skips with a reason where it cannot be mounted."""
    folder.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("mounting a small tmpfs needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def grow(folder: Path, kilobytes: int) -> None:
    command = ["mount", "-o", f"remount,size={kilobytes}k", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def test_a_full_disk_in_stage_after_stage(
    world: World, clean: dict[str, Any], tmp_path: Path
) -> None:
    """The disk grows a little after each failure, so that every stage meets its end once."""
    with small_disk(tmp_path / "disk") as disk:
        told: list[StateError] = []
        finished: list[int] = []
        for kilobytes in (*range(700, 1450, 75), *range(1600, 8000, 1000), 400_000):
            grow(disk, kilobytes)
            try:
                with opened(disk / "w", world, local=True) as workspace:
                    report = sync(workspace)
                    assert not report.failed
                    finished = [kilobytes]
                    if kilobytes == 400_000:
                        assert state(workspace) == clean
            except StateError as error:
                told.append(error)
        assert finished == [400_000], told
        assert len({error.message for error in told}) > 2, "more than one stage met its end"
        assert {"disk" in error.message for error in told} == {True}, told
        assert {"free some space" in error.hint for error in told} == {True}, told


# ---- a locked database


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Somebody else writes to the database and does not end."""
    other = sqlite3.connect(folder / "catalogue.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.rollback()
        other.close()


def test_a_database_that_stays_locked_is_a_clear_error_and_nothing_is_lost(
    world: World, clean: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "w", world) as workspace:
        with locked(workspace.path), monkeypatch.context() as patch:
            patch.setattr(db_module, "BUSY_TIMEOUT_S", 0.3)
            with pytest.raises(Busy, match="locked") as told:
                sync(workspace)
        assert told.value.hint
        sync(workspace, only="ingest")
        with locked(workspace.path), monkeypatch.context() as patch:
            patch.setattr(db_module, "BUSY_TIMEOUT_S", 0.3)
            with pytest.raises(Busy, match="locked"):
                sync(workspace)
    with opened(tmp_path / "w", world) as workspace:
        assert not sync(workspace).failed
        assert state(workspace) == clean


def test_a_lock_that_passes_is_waited_for(
    world: World, clean: dict[str, Any], tmp_path: Path
) -> None:
    with opened(tmp_path / "w", world) as workspace:
        release = threading.Event()

        def hold() -> None:
            with locked(workspace.path):
                release.wait(1.0)

        other = threading.Thread(target=hold)
        other.start()
        assert not sync(workspace).failed
        other.join()
        assert state(workspace) == clean


# ---- a clock that went back


def test_a_clock_that_went_back_a_year(world: World, clean: dict[str, Any], tmp_path: Path) -> None:
    """Everything that was written seems to come from next year: nothing waits for it."""
    path = "/lavka/images/" + world.stores["lavka"].offers[-1].images[0]
    world.fail(path, status=503)
    year = 365 * 86_400
    try:
        with opened(tmp_path / "w", world) as workspace:
            for _ in range(4):
                sync(workspace)
            later = int(time.time()) + year
            with workspace.db.write() as c:
                c.execute(update(t.image_urls).values(tried_at=later))
                c.execute(update(t.feed_runs).values(started_at=later, finished_at=later))
                c.execute(update(t.hosts).values(retry_at=later))
                c.execute(update(t.offers).values(created_at=later, updated_at=later))
                c.execute(update(t.prices).values(at=later))
            world.heal(path)
            report = sync(workspace)
            assert not report.failed
            assert {tally.stage: tally.done for tally in report.tallies}["download"] == 1
            assert state(workspace) == clean
            offer = world.stores["lavka"].offers[0]
            kept = offer.price
            world.change(offer, price="5")
            sync(workspace)
            world.change(offer, price=kept)
            history = offers.price_history(workspace.db, offers.offer_id(*offer.key))
            assert [str(price) for _, price in history] == [f"{kept}.00 RUB", "5.00 RUB"]
    finally:
        world.heal()
