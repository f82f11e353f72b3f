"""`sync --every`: who is due and who is not, what ends a round, and a clean stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import func, select, update

from garments import items
from lensback.catalogue import health, offers, stores
from lensback.db import tables as t
from lensback.errors import Busy, Error, UnknownName
from lensback.schedule import parse
from lensback.service import serve
from lensback.settings import Settings
from lensback.sync import SyncReport
from lensback.workspace import Workspace, init
from world import World

Heard = list[SyncReport | Error]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "world") as made:
        made.store("harbour", "google", items(2))
        made.store("lavka", "yml", items(2))
        yield made


@pytest.fixture
def workspace(tmp_path: Path, world: World) -> Iterator[Workspace]:
    init(tmp_path / "w")
    settings = Settings(allow_hosts=("127.0.0.1",), retries=0, encoder="pixels")
    with Workspace(tmp_path / "w", settings) as opened:
        for store in world.stores.values():
            stores.add(opened.db, store.name, store.feed_url, base=world.base)
        yield opened


@contextmanager
def running(
    workspace: Workspace, every: str = "1h", names: tuple[str, ...] = ()
) -> Iterator[Heard]:
    """The service in a thread, with rounds of a tenth of a second; stopped as a signal would."""
    stop, heard = Event(), Heard()
    work = threading.Thread(
        target=serve,
        args=(workspace, parse(every), stop, heard.append),
        kwargs={"names": names, "round_s": 0.1},
    )
    work.start()
    try:
        yield heard
    finally:
        stop.set()
        workspace.fetcher.halt.set()
        work.join(240)
        assert not work.is_alive()


def until(ready, seconds: float = 240.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def runs(workspace: Workspace, store: str) -> int:
    r = t.feed_runs.c
    with workspace.db.read() as c:
        feed_id = stores.feed(workspace.db, store).feed.id
        return int(c.execute(select(func.count()).where(r.feed_id == feed_id)).scalar_one())


def make_old(workspace: Workspace, store: str, seconds: int) -> None:
    """The store's runs, so long ago (negative: in the future, as a wrong clock wrote them)."""
    feed_id = stores.feed(workspace.db, store).feed.id
    r = t.feed_runs
    with workspace.db.write() as c:
        c.execute(
            update(r)
            .where(r.c.feed_id == feed_id)
            .values(started_at=int(time.time()) - seconds, finished_at=int(time.time()) - seconds)
        )


def test_it_syncs_who_is_due_and_only_them(world: World, workspace: Workspace) -> None:
    with running(workspace) as heard:
        until(lambda: len(heard) == 1)
        assert isinstance(heard[0], SyncReport)
        assert offers.counts(workspace.db) == {"harbour": 2, "lavka": 2}
        world.change(world.stores["lavka"].offers[0], price="777")
        time.sleep(0.5)
        assert len(heard) == 1, "nobody is due"
        make_old(workspace, "lavka", 3700)
        until(lambda: len(heard) == 2)
        assert (runs(workspace, "harbour"), runs(workspace, "lavka")) == (1, 2)
        key = world.stores["lavka"].offers[0].key
        stored = offers.get(workspace.db, offers.offer_id(*key))
        assert str(stored.offer.price) == "777.00 RUB", "within one round of that store"


def test_a_clock_that_went_back_makes_a_store_due_once(workspace: Workspace) -> None:
    with running(workspace) as heard:
        until(lambda: len(heard) == 1)
        make_old(workspace, "harbour", -400 * 86_400)
        until(lambda: runs(workspace, "harbour") == 2)
        time.sleep(0.5)
        assert runs(workspace, "harbour") == 2


def test_a_new_store_is_met_and_a_paused_one_is_not(world: World, workspace: Workspace) -> None:
    health.set_paused(workspace.db, "lavka", True)
    with running(workspace) as heard:
        until(lambda: len(heard) == 1)
        attic = world.store("attic", "table", items(1))
        stores.add(workspace.db, attic.name, attic.feed_url, base=world.base)
        until(lambda: len(heard) == 2)
    assert runs(workspace, "attic") == 1
    assert runs(workspace, "lavka") == 0


def test_an_error_ends_the_round_and_not_the_service(workspace: Workspace) -> None:
    with workspace.locked(), running(workspace) as heard:
        until(lambda: len(heard) >= 2)
        assert all(isinstance(came, Busy) for came in heard)
    with running(workspace) as heard:
        until(lambda: len(heard) == 1)
        assert isinstance(heard[0], SyncReport)


def test_only_those_named(workspace: Workspace) -> None:
    with running(workspace, names=("harbour",)) as heard:
        until(lambda: len(heard) == 1)
        stores.remove(workspace.db, "harbour")
        time.sleep(0.3)
    assert runs(workspace, "lavka") == 0
    with pytest.raises(UnknownName):
        serve(workspace, parse("1h"), Event(), lambda _: None, names=("nobody",))


def test_a_host_that_is_left_alone_makes_no_busy_loop(world: World, workspace: Workspace) -> None:
    stores.add(workspace.db, "away", "http://127.0.0.1:9/feed.xml")
    hosts = health.Hosts(workspace.db)
    for _ in range(3):
        hosts.failed("127.0.0.1:9", "no answer")
    hosts.save()
    with running(workspace) as heard:
        until(lambda: len(heard) == 1)
        time.sleep(0.5)
    assert len(heard) == 1
    assert isinstance(heard[0], SyncReport)
    assert "away" in heard[0].skipped


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly_in_the_middle_of_a_feed(
    world: World, workspace: Workspace, which: signal.Signals
) -> None:
    """A feed that takes ten minutes is under way; the next run goes on from its part."""
    world.drip(world.stores["lavka"].path, 600)
    command = [sys.executable, "-m", "lensback", "sync", "--every", "1h"]
    places = {"LENSBACK_WORKSPACE": str(workspace.path), "LENSBACK_ALLOW_HOSTS": "127.0.0.1"}
    process = subprocess.Popen(
        [*command, "--json"],
        env={**os.environ, **places, "LENSBACK_ENCODER": "pixels"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        until(lambda: world.requests[world.stores["lavka"].path] == 1)
        until(lambda: offers.counts(workspace.db)["harbour"] == 2)
        process.send_signal(which)
        assert process.wait(240) == (130 if which == signal.SIGINT else 0)
        assert process.stdout
        assert "nothing is lost" in process.stdout.read()
    assert offers.counts(workspace.db)["harbour"] == 2
    assert runs(workspace, "lavka") == 0
    world.heal()
    with running(workspace) as heard:
        until(lambda: len(heard) == 1)
    assert offers.counts(workspace.db)["lavka"] == 2
